"""What errors say: where, what, and which law."""

from __future__ import annotations

import pytest

from traefik_bg.core.errors import DesiredStateError, DesiredStateErrors, LawBroken


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DesiredStateError("unknown key imagee"), "unknown key imagee"),
        (DesiredStateError("cannot be read", path="desired.yaml"), "desired.yaml: cannot be read"),
        (
            DesiredStateError("unknown key imagee", path="desired.yaml", line=7),
            "desired.yaml:7: unknown key imagee",
        ),
    ],
)
def test_a_mistake_in_the_file_says_where_it_is(error: DesiredStateError, words: str) -> None:
    """As much of the place as is known."""
    assert str(error) == words


def test_several_mistakes_are_told_line_by_line() -> None:
    """All of them at once, each with its place."""
    errors = DesiredStateErrors(
        [DesiredStateError("one", path="a.yaml", line=1), DesiredStateError("two", path="b.yaml")]
    )
    assert str(errors) == "a.yaml:1: one\nb.yaml: two"
    assert [error.message for error in errors.errors] == ["one", "two"]


def test_a_broken_law_says_which() -> None:
    """The law has a number, and the detail names the replica."""
    error = LawBroken("S2", "Traefik may still route to web-1")
    assert str(error) == "law S2: Traefik may still route to web-1"
    assert error.law == "S2"

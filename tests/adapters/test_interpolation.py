"""Variables in text: the rules of the Compose specification."""

from __future__ import annotations

import pytest

from traefik_bg.adapters.interpolation import InterpolationError, substitute

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "more"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a-$SET-b", "a-value-b"),
        ("${SET}${OTHER}", "valuemore"),
        ("$$SET", "$SET"),
        ("$$$SET", "$value"),
        ("100$$", "100$"),
        ("${SET:-default}", "value"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${MISSING:-default}", "default"),
        ("${MISSING-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:b-c?d+e}", "a:b-c?d+e"),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${MISSING+other}", ""),
        ("${SET:?must be set}", "value"),
        ("${EMPTY?must be set}", ""),
        ("${MISSING:-${SET}}", "value"),
        ("${MISSING:-${ALSO:-${OTHER}}}/x", "more/x"),
        ("${MISSING:-$SET}", "value"),
        ("${SET:+${OTHER}}!", "more!"),
    ],
)
def test_variables_are_put_in_as_compose_does(text: str, expected: str) -> None:
    """Every form of a variable that Compose knows has Compose's meaning."""
    assert substitute(text, VARIABLES).text == expected


def test_a_variable_that_is_not_set_is_empty_and_named() -> None:
    """A variable that is not set and has no default becomes empty, and is told of."""
    made = substitute("[$MISSING]${ALSO}", VARIABLES)

    assert (made.text, made.unset) == ("[]", ("MISSING", "ALSO"))


def test_only_text_with_a_variable_is_changed() -> None:
    """A text whose dollars are all plain holds nobody's secret."""
    assert not substitute("$$5", VARIABLES).is_changed
    assert substitute("$SET", VARIABLES).is_changed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${MISSING:?no tag given}", "the variable MISSING is not set: no tag given"),
        ("${EMPTY:?}", "the variable EMPTY is empty"),
        ("${MISSING?see $OTHER}", "the variable MISSING is not set: see more"),
        ("costs 5$", 'a "$" begins no variable here; write "$$" for a plain dollar sign'),
        ("^.+$`", 'a "$" begins no variable here; write "$$" for a plain dollar sign'),
        ("${SET", 'a "${" is not closed; write "$$" for a plain dollar sign'),
        ("${}", 'a "$" begins no variable here; write "$$" for a plain dollar sign'),
        (
            "${SET/a/b}",
            "after ${SET only :-default, -default, :?message, ?message, :+other or +other can follow",
        ),
        ("${A:-" * 20 + "}" * 20, "variables are nested more than 16 deep"),
    ],
)
def test_a_variable_that_cannot_be_had_says_what_would_work(text: str, expected: str) -> None:
    """What Compose refuses is refused, and the reason names a way out."""
    with pytest.raises(InterpolationError) as caught:
        substitute(text, VARIABLES)

    assert str(caught.value) == expected

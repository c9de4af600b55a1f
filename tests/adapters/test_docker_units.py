"""The small notations of the Compose specification."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traefik_bg.adapters.docker_units import pairs, seconds, size, whole_seconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", 0),
        ("90s", 90),
        ("1m30s", 90),
        ("1h2m3s", 3723),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10us", 1e-5),
        (5, 5),
        (0.5, 0.5),
    ],
)
def test_durations_are_read_as_compose_reads_them(written: Any, expected: float) -> None:
    """A duration is a chain of numbers and units; a bare number is seconds."""
    assert seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize("written", ["", "5", "s", "1x", "1m 30", "-1s", "1s2", True, None])
def test_anything_else_is_no_duration(written: Any) -> None:
    """What Compose would not take is refused rather than guessed."""
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(written)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_grace_period_is_never_made_shorter(milliseconds: int) -> None:
    """Docker takes whole seconds; the rest of one counts as one."""
    assert 0 <= whole_seconds(f"{milliseconds}ms") * 1000 - milliseconds < 1001


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("1b", 1),
        ("2k", 2048),
        ("512m", 512 * 1024**2),
        ("512MB", 512 * 1024**2),
        ("1.5g", 1536 * 1024**2),
        ("1GiB", 1024**3),
        ("1t", 1024**4),
    ],
)
def test_sizes_are_read_as_compose_reads_them(written: Any, expected: int) -> None:
    """A size is a number and a unit of 1,024s, in either case."""
    assert size(written) == expected


@pytest.mark.parametrize("written", ["", "m", "1x", "-1m", "1 000m", True, 1.5j])
def test_anything_else_is_no_size(written: Any) -> None:
    """What Compose would not take is refused rather than guessed."""
    with pytest.raises(ValueError, match="is not a size"):
        size(written)


def test_pairs_tell_an_empty_value_from_none() -> None:
    """NAME= is an empty value, NAME alone is none."""
    assert pairs(["A=", "B"]) == {"A": "", "B": None}

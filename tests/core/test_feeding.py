"""A step's clock counts the time in which green really got its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traefik_bg.core.feeding import LOST, Feeding, share


def fed(*intervals: tuple[float, float], seconds: float = 1.0) -> Feeding:
    """Return the clock after some intervals, each with what was due and got."""
    clock = Feeding()
    for due, got in intervals:
        clock = clock.after(seconds, due=due, got=got)
    return clock


def test_time_with_a_fair_share_counts() -> None:
    """Ten seconds of what was due."""
    assert fed(*[(5.0, 5.0)] * 10).fed_for() == 10.0
    assert fed(*[(5.0, 2.5)] * 10).fed_for() == 10.0


def test_time_in_which_green_starved_does_not_count() -> None:
    """A 1 % canary behind a configuration that is reloaded every 50 requests."""
    assert fed(*[(10.0, 0.0)] * 30).fed_for(since=0.5) == 0.0


def test_time_in_which_nobody_can_tell_counts() -> None:
    """A quiet app is deployed too."""
    assert fed(*[(0.01, 0.0)] * 60).fed_for(since=0.5) == 60.5
    assert Feeding().fed_for(since=2.0) == 2.0


def test_many_quiet_seconds_are_judged_together() -> None:
    """One request due a second: each alone tells nothing, all together do."""
    assert fed(*[(1.0, 0.0)] * 2).fed_for() == 2.0
    assert fed(*[(1.0, 0.0)] * 3).fed_for() == 0.0
    assert fed(*[(1.0, 0.0)] * 12).fed_for() == 0.0
    assert fed(*[(1.0, 1.0)] * 12).fed_for() == 12.0


def test_a_turn_that_comes_late_counts_for_the_whole_stretch() -> None:
    """Five Traefiks, each of which gives green its first request after a hundred others."""
    late = fed((3.0, 0.0), (3.0, 0.0))
    assert late.fed_for() == 0.0
    assert late.after(1.0, due=3.0, got=5.0).fed_for() == 3.0


def test_what_was_lost_stays_lost() -> None:
    """Green is fed again: the time counts from there."""
    starved = fed(*[(LOST, 0.0)] * 5)
    assert starved.fed_for(since=1.0) == 0.0
    again = starved.after(1.0, due=5.0, got=5.0)
    assert again.fed_for(since=0.5) == 1.5


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=50),
    st.floats(0.1, 5.0),
)
def test_never_more_time_counts_than_has_passed(
    intervals: list[tuple[float, float]], seconds: float
) -> None:
    """And never less than none."""
    clock = fed(*intervals, seconds=seconds)
    assert 0 <= clock.fed_for() <= seconds * len(intervals) + 1e-6


@given(st.lists(st.floats(0, 20), max_size=50))
def test_who_always_gets_its_due_loses_no_second(dues: list[float]) -> None:
    """Whatever the traffic."""
    assert fed(*((due, due) for due in dues)).fed_for() == pytest.approx(len(dues))


def test_the_share_is_told_when_it_can_be_told() -> None:
    """Of what is asked, and not from a handful of requests."""
    assert share(asked=1000, got=48, due=50.0) == 4.8
    assert share(asked=20, got=0, due=1.0) is None
    assert share(asked=0, got=0, due=0.0) is None

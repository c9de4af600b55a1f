"""What Traefik counts adds up; its quantiles are Prometheus', and the edges around them are known."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import between
from traefik_bg.core.evidence import Figures, Tally
from traefik_bg.core.tally import Buckets, added, figures, growth, increase, quantile

BOUNDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, inf)


@st.composite
def some_buckets(draw: st.DrawFn) -> Buckets:
    """Return counts that rise, at the same bounds."""
    total, found = 0, []
    for bound in BOUNDS:
        total += draw(st.integers(0, 1000))
        found.append((bound, total))
    return tuple(found)


@st.composite
def some_tallies(draw: st.DrawFn) -> Tally:
    """Return what may have been counted."""
    buckets = draw(some_buckets())
    requests = buckets[-1][1]
    return Tally(
        requests=requests,
        reads=draw(st.integers(0, requests)),
        errors=draw(st.integers(0, requests)),
        buckets=buckets,
    )


@pytest.mark.parametrize(
    ("before", "now", "expected"), [(0, 5, 5), (5, 5, 0), (5, 7, 2), (7, 2, 2), (7, 0, 0)]
)
def test_a_counter_that_fell_began_anew(before: float, now: float, expected: float) -> None:
    """Traefik was restarted, or the name left its configuration and came back."""
    assert growth(before, now) == expected


@given(st.lists(st.integers(0, 50), max_size=30), st.lists(st.booleans(), max_size=30))
def test_growth_after_resets_is_never_more_than_what_happened(
    steps: list[int], resets: list[bool]
) -> None:
    """Nothing is counted twice; only what came before a reset and after the last look is lost."""
    counter, seen, counted, happened = 0, 0, 0.0, 0
    for step, is_reset in zip(steps, resets, strict=False):
        counter = step if is_reset else counter + step
        happened += step
        grown = growth(seen, counter)
        assert grown >= 0
        counted, seen = counted + grown, counter
    assert counted <= happened
    if not any(resets):
        assert counted == sum(steps[: len(resets)])


@given(some_tallies(), some_tallies())
def test_what_was_added_is_the_increase(one: Tally, other: Tally) -> None:
    """Sums and differences belong together."""
    assert increase(one, added(one, other)) == other


@given(some_tallies())
def test_nothing_added_changes_nothing(tally: Tally) -> None:
    """An empty tally is neutral, and a tally that fell began anew."""
    assert added(tally, Tally()) == added(Tally(), tally) == tally
    assert increase(Tally(requests=tally.requests + 1), tally) == tally


def test_different_bounds_are_added_where_they_agree() -> None:
    """At a bound only one of two Traefiks knows, nobody knows the sum."""
    one = Tally(requests=9, buckets=((0.1, 5), (0.3, 7), (inf, 9)))
    other = Tally(requests=4, buckets=((0.1, 1), (0.2, 2), (inf, 4)))
    assert added(one, other).buckets == ((0.1, 6), (inf, 13))
    assert increase(one, Tally(requests=9, buckets=((0.1, 4), (inf, 9)))).buckets == (
        (0.1, 0),
        (inf, 0),
    )


@given(some_buckets(), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_its_bucket(buckets: Buckets, fraction: float) -> None:
    """Between the bound that too few were within, and the one that enough were within."""
    found = quantile(fraction, buckets)
    total = buckets[-1][1]
    if total == 0:
        assert found is None
        return
    assert found is not None
    enough = next(bound for bound, count in buckets if count >= fraction * total)
    floor = max((bound for bound, count in buckets if count < fraction * total), default=0.0)
    assert (found.at_least, found.at_most) == (floor, enough)
    assert floor - 1e-12 <= found.about <= enough + 1e-12
    assert found.is_cut == (enough == inf)
    assert not found.is_cut or found.about == BOUNDS[-2]


@given(some_buckets())
def test_quantiles_rise(buckets: Buckets) -> None:
    """Never is a smaller fraction slower."""
    found = [quantile(fraction / 20, buckets) for fraction in range(1, 20)]
    for before, after in pairwise(q for q in found if q is not None):
        assert before.about <= after.about + 1e-12
        assert before.at_least <= after.at_least
        assert before.at_most <= after.at_most


some_times = st.lists(st.integers(1, 60), min_size=1, max_size=40)
some_bounds = st.sets(st.sampled_from((5, 10, 20, 30, 40, 50)), min_size=1)


@given(some_times, some_bounds, some_times, some_bounds, st.sampled_from((0.5, 0.95, 0.99)))
def test_different_bounds_leave_a_wider_bucket_not_a_wrong_one(
    mine: list[int], my_bounds: set[int], theirs: list[int], their_bounds: set[int], fraction: float
) -> None:
    """The quantile of what two Traefiks answered lies between the edges that both know."""
    together = added(taken(mine, my_bounds), taken(theirs, their_bounds))
    found = quantile(fraction, together.buckets)
    if not my_bounds & their_bounds:
        assert found is None
        return
    assert found is not None
    everybody = sorted(mine + theirs)
    real = next(x for n, x in enumerate(everybody, 1) if n >= fraction * len(everybody))
    assert found.at_least < real <= found.at_most
    assert {found.at_least, found.at_most} <= {0.0, *(my_bounds & their_bounds), inf}


def taken(times: list[int], bounds: set[int]) -> Tally:
    """Return what a Traefik with these bounds counts of requests that took so long."""
    buckets = tuple((float(b), sum(x <= b for x in times)) for b in (*sorted(bounds), inf))
    return Tally(requests=len(times), buckets=buckets)


@pytest.mark.parametrize(
    ("fraction", "buckets", "expected"),
    [
        (0.5, ((0.1, 10), (0.2, 20), (inf, 20)), 0.1),
        (0.75, ((0.1, 10), (0.2, 20), (inf, 20)), 0.15),
        (0.25, ((0.1, 10), (0.2, 20), (inf, 20)), 0.05),
        (0.9, ((0.1, 10), (0.2, 10), (inf, 20)), 0.2),
        (0.5, ((0.1, 0), (0.2, 0), (inf, 20)), 0.2),
        (0.5, ((0.1, 0), (inf, 0)), None),
        (0.5, ((0.1, 5), (0.2, 5)), None),
        (0.5, ((inf, 5),), None),
        (0.5, (), None),
    ],
)
def test_quantiles_are_those_of_prometheus(
    fraction: float, buckets: Buckets, expected: float | None
) -> None:
    """Linear within a bucket; the highest finite bound beyond it; else nobody knows."""
    found = quantile(fraction, buckets)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.about == pytest.approx(expected)


def test_the_figures_of_a_tally() -> None:
    """Each quantile comes with the edges of its bucket."""
    buckets = ((0.1, 50), (0.2, 100), (inf, 100))
    found = figures(Tally(requests=100, reads=80, errors=2, buckets=buckets))
    assert (found.requests, found.errors, found.error_ratio) == (100, 2, 0.02)
    assert found.p50 == between(0.0, 0.1, 0.1)
    assert found.p95 is not None
    assert found.p95 == between(0.1, 0.2, found.p95.about)
    assert found.p95.about == pytest.approx(0.19)
    assert figures(Tally()) == Figures()

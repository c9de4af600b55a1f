"""Latencies are judged by the edges of Traefik's buckets: who is bad is bad wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import between
from traefik_bg.core.analysis import ALIKE, NOTICEABLE, Verdict, judged
from traefik_bg.core.evidence import Figures, Latency, Tally
from traefik_bg.core.rollout import Analysis
from traefik_bg.core.tally import figures

COARSE = (0.1, 0.3, 1.2, 5.0)
"""Traefik's own."""
FINE = (0.005, 0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5)  # fmt: skip
"""Those of config/traefik.yaml."""
FRACTIONS = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
TINY = 1e-9

some_seconds = st.integers(1, 250).map(lambda ms: ms / 1000)
some_latencies = st.lists(st.tuples(some_seconds, st.integers(1, 400)), min_size=1, max_size=4).map(
    lambda parts: [took for took, times in parts for _ in range(times)]
)
some_bounds = st.sets(some_seconds, min_size=1, max_size=12).map(sorted)
a_quantile = st.sampled_from(sorted(FRACTIONS))


def counted(latencies: Sequence[float], bounds: Iterable[float]) -> Figures:
    """Return the figures of requests that were answered in so many seconds each."""
    buckets = tuple((b, sum(took <= b for took in latencies)) for b in (*bounds, inf))
    return figures(Tally(requests=len(latencies), buckets=buckets))


def real(fraction: float, latencies: Sequence[float]) -> float:
    """Return the least latency that so large a fraction of the requests did not exceed."""
    ranked = sorted(latencies)
    return next(x for number, x in enumerate(ranked, 1) if number >= fraction * len(ranked))


def verdict_of(green: Figures, blue: Figures | None, **limits: Any) -> Verdict:
    """Return what is said of green, however few its requests are."""
    return judged(Analysis(min_requests=1, **limits), green, blue, {}).verdict


def takes(seconds: float, times: int = 304) -> list[float]:
    """Return requests that are all answered as fast."""
    return [seconds] * times


# --- fixed limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("green", "limit", "verdict", "detail"),
    [
        (
            between(0.1, 0.3, 0.29),
            0.2,
            "unsure",
            "p95 is between 100 ms and 300 ms: Traefik's buckets cannot tell it from the limit of 200 ms",
        ),
        (
            between(0.0, 0.1),
            0.05,
            "unsure",
            "p95 is 100 ms or less: Traefik's buckets cannot tell it from the limit of 50 ms",
        ),
        (
            between(2.5, inf),
            5.0,
            "unsure",
            "p95 is 2.5 s or more: Traefik's buckets cannot tell it from the limit of 5 s",
        ),
        (between(0.1, 0.3, 0.29), 0.1, "bad", "p95 about 290 ms, more than 100 ms (304 requests)"),
        (between(0.1, 0.3, 0.29), 0.3, "good", "none of its 304 requests failed, p95 about 290 ms"),
        (between(0.0, 0.1, 0.1), 0.1, "good", "none of its 304 requests failed, p95 about 100 ms"),
        (between(1.5, 2.5, 2.4), 5.0, "good", "none of its 304 requests failed, p95 about 2.4 s"),
        (between(5.0, inf), 5.0, "bad", "p95 5 s or more, more than 5 s (304 requests)"),
    ],
)
def test_a_limit_inside_a_bucket_leaves_it_open(
    green: Latency, limit: float, verdict: str, detail: str
) -> None:
    """At an edge it is decided, on either side of it; beyond the last one it may be an hour."""
    found = judged(Analysis(max_p95=limit), Figures(requests=304, p95=green), None, {})
    assert (found.verdict, found.detail) == (verdict, detail)


def test_a_good_version_is_not_rejected_for_wide_buckets() -> None:
    """All take 105 ms, which interpolates to 290: over the limit of 200 it only seems to be."""
    green = counted(takes(0.105), COARSE)
    assert green.p95 is not None
    assert green.p95.about == pytest.approx(0.29)
    assert verdict_of(green, None, max_p95=0.2) is Verdict.UNSURE
    assert verdict_of(counted(takes(0.105), FINE), None, max_p95=0.2) is Verdict.GOOD


@pytest.mark.parametrize(
    ("blue", "verdict", "words"),
    [
        (takes(0.6), "unsure", "p95 about 1.15 s, more than 300 ms (304 requests), but so it is with blue"),
        (takes(0.25), "bad", "p95 about 1.15 s, more than 300 ms (304 requests)"),
        (takes(9.0), "unsure", "p95 about 1.15 s, more than 300 ms (304 requests), but so it is with blue"),
        ([], "bad", "p95 about 1.15 s, more than 300 ms (304 requests)"),
    ],
)  # fmt: skip
def test_blue_over_the_same_limit_leaves_it_open(
    blue: list[float], verdict: str, words: str
) -> None:
    """Alike is what need not be different."""
    green = counted(takes(0.5), COARSE)
    found = judged(Analysis(max_p95=0.3), green, counted(blue, COARSE), {})
    assert (found.verdict, found.detail) == (verdict, words)


def test_blue_that_may_be_over_the_limit_leaves_it_open() -> None:
    """It shares the trouble, unless green is surely far beyond."""
    blue = counted(takes(0.13), COARSE)
    found = judged(Analysis(max_p95=0.2), counted(takes(0.4), COARSE), blue, {})
    assert found.verdict is Verdict.UNSURE
    assert found.detail.endswith("more than 200 ms (304 requests), but so it may be with blue")
    found = judged(Analysis(max_p95=0.2), counted(takes(1.3), COARSE), blue, {})
    assert found.verdict is Verdict.BAD


# --- compared with blue ---------------------------------------------------------------------------


def test_three_times_slower_is_told_in_close_buckets() -> None:
    """20 ms and 60: wherever in their buckets, the edges alone are twice apart."""
    analysis = Analysis(worse_than_blue=1.5)
    found = judged(analysis, counted(takes(0.06), FINE), counted(takes(0.02), FINE), {})
    assert found.verdict is Verdict.BAD
    assert found.detail.startswith("p50 about 62 ms is 3.1 times blue's 20 ms, more than 1.5 times")


@pytest.mark.parametrize(
    ("green", "blue", "detail"),
    [
        (
            between(0.1, 0.3, 0.29),
            between(0.0, 0.1, 0.095),
            "p95 about 290 ms may be more than 1.5 times blue's 95 ms: Traefik's buckets cannot tell",
        ),
        (
            between(0.025, 0.035, 0.034),
            between(0.005, 0.01, 0.006),
            "p95 about 34 ms may be more than 1.5 times blue's 6 ms: Traefik's buckets cannot tell",
        ),
        (
            between(5.0, inf),
            between(1.2, 5.0, 4.0),
            "p95 5 s or more may be more than 1.5 times blue's 4 s: Traefik's buckets cannot tell",
        ),
    ],
    ids=["buckets beside each other", "surely slower, hardly noticeable", "as slow as can be"],
)
def test_what_only_seems_worse_than_blue_leaves_it_open(
    green: Latency, blue: Latency, detail: str
) -> None:
    """The numbers people see say so, the edges do not prove it."""
    pair = (Figures(requests=304, p95=green), Figures(requests=304, p95=blue))
    found = judged(Analysis(worse_than_blue=1.5), *pair, {})
    assert (found.verdict, found.detail) == (Verdict.UNSURE, detail)


@pytest.mark.parametrize(
    ("green", "blue"),
    [
        (between(0.1, 0.3, 0.29), between(0.1, 0.3, 0.11)),
        (between(5.0, inf), between(5.0, inf)),
        (between(0.1, 0.3, 0.13), between(0.0, 0.1, 0.099)),
        (between(0.01, 0.015), between(0.0, 0.005)),
        (between(1.2, 5.0), between(5.0, inf)),
    ],
    ids=["one bucket", "both beyond", "a little in the next", "fast", "faster than blue"],
)
def test_in_one_bucket_nothing_seems_worse(green: Latency, blue: Latency) -> None:
    """Else Traefik's own buckets would leave everything open."""
    pair = (Figures(requests=304, p95=green), Figures(requests=304, p95=blue))
    assert judged(Analysis(worse_than_blue=1.5), *pair, {}).verdict is Verdict.GOOD


# --- laws -----------------------------------------------------------------------------------------


@given(some_latencies, some_bounds, some_seconds, a_quantile)
def test_bad_is_over_the_limit_and_good_is_not(
    latencies: list[float], bounds: list[float], limit: float, name: str
) -> None:
    """Whatever the buckets are: what is said of green is true of the requests themselves."""
    verdict = verdict_of(counted(latencies, bounds), None, **{f"max_{name}": limit})
    is_over = real(FRACTIONS[name], latencies) > limit
    assert verdict is not Verdict.BAD or is_over
    assert verdict is not Verdict.GOOD or not is_over


@given(some_latencies, some_bounds, some_seconds, a_quantile)
def test_all_that_the_counts_can_tell_is_told(
    latencies: list[float], bounds: list[float], limit: float, name: str
) -> None:
    """At the bounds beside the limit it is known how many were within: that much is certain."""
    needed = FRACTIONS[name] * len(latencies)
    below = [b for b in bounds if b <= limit]
    above = [b for b in bounds if b >= limit]
    is_good = bool(below) and sum(took <= below[-1] for took in latencies) >= needed
    is_bad = bool(above) and sum(took <= above[0] for took in latencies) < needed
    expected = Verdict.BAD if is_bad else Verdict.GOOD if is_good else Verdict.UNSURE
    assert verdict_of(counted(latencies, bounds), None, **{f"max_{name}": limit}) is expected


@given(some_latencies, some_bounds, a_quantile, st.data())
def test_a_limit_that_is_a_bound_is_always_decided(
    latencies: list[float], bounds: list[float], name: str, data: st.DataObject
) -> None:
    """That is why such limits are the best ones."""
    limit = data.draw(st.sampled_from(bounds))
    is_over = real(FRACTIONS[name], latencies) > limit
    expected = Verdict.BAD if is_over else Verdict.GOOD
    assert verdict_of(counted(latencies, bounds), None, **{f"max_{name}": limit}) is expected


@given(some_latencies, some_latencies, some_bounds, some_seconds, a_quantile)
def test_nobody_is_rejected_for_what_blue_suffers_as_well(
    latencies: list[float], blues: list[float], bounds: list[float], limit: float, name: str
) -> None:
    """Bad beside a blue means that blue keeps the limit, or is not nearly as far over it."""
    green, blue = counted(latencies, bounds), counted(blues, bounds)
    if verdict_of(green, blue, **{f"max_{name}": limit}) is not Verdict.BAD:
        return
    mine, theirs = real(FRACTIONS[name], latencies), real(FRACTIONS[name], blues)
    assert mine > limit
    assert theirs <= limit or mine > ALIKE * theirs


@given(some_latencies, some_latencies, some_bounds, st.floats(1, 4))
def test_worse_than_blue_is_really_worse(
    latencies: list[float], blues: list[float], bounds: list[float], factor: float
) -> None:
    """In some quantile: by the factor, and by what is worth noticing."""
    green, blue = counted(latencies, bounds), counted(blues, bounds)
    if verdict_of(green, blue, worse_than_blue=factor) is not Verdict.BAD:
        return
    pairs = [(real(f, latencies), real(f, blues)) for f in FRACTIONS.values()]
    assert any(
        mine > factor * theirs - TINY and mine - theirs > NOTICEABLE - TINY
        for mine, theirs in pairs
    )

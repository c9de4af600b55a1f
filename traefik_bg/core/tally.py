"""The arithmetic of what Traefik counts: growth, sums, quantiles, figures.

Separate from the nouns in `evidence` because the metrics adapter (growth and sums) and the runtime
(figures of a window) both calculate with them. Pure; the quantiles are those of Prometheus, so that
people find the same numbers in their own graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from math import inf, isinf

from traefik_bg.core.evidence import Figures, Tally

Buckets = tuple[tuple[float, int], ...]


def growth(before: float, now: float) -> float:
    """Return by how much a counter has grown; one that is lower than before began anew at 0."""
    return now - before if now >= before else now


def added(one: Tally, other: Tally) -> Tally:
    """Return what two tallies counted together."""
    return Tally(
        requests=one.requests + other.requests,
        reads=one.reads + other.reads,
        errors=one.errors + other.errors,
        buckets=_merged(one.buckets, other.buckets, lambda mine, theirs: mine + theirs),
    )


def increase(before: Tally, now: Tally) -> Tally:
    """Return what was counted between two tallies; one that is lower than before began anew."""
    if now.requests < before.requests:
        return now
    return Tally(
        requests=now.requests - before.requests,
        reads=max(0, now.reads - before.reads),
        errors=max(0, now.errors - before.errors),
        buckets=_merged(now.buckets, before.buckets, lambda mine, theirs: max(0, mine - theirs)),
    )


def _merged(one: Buckets, other: Buckets, combined: Callable[[int, int], int]) -> Buckets:
    """Return buckets at the bounds that both have; who has none has nothing to say.

    Traefiks may be set up with different bounds; at those that all of them have the counts are
    exact.
    """
    if not one or not other:
        return one or other
    theirs = dict(other)
    return tuple((bound, combined(count, theirs[bound])) for bound, count in one if bound in theirs)


def quantile(fraction: float, buckets: Buckets) -> float | None:
    """Return the latency that so large a fraction did not exceed; None: nobody knows.

    As `histogram_quantile` of Prometheus: linear within a bucket, the first of which begins at 0,
    and the highest finite bound for what lies beyond it.
    """
    if len(buckets) < 2 or not isinf(buckets[-1][0]):
        return None
    bounds = [bound for bound, _ in buckets]
    counts = list(accumulate((count for _, count in buckets), max))
    if counts[-1] == 0:
        return None
    rank = fraction * counts[-1]
    finite = zip([0.0, *bounds[:-1]], [0, *counts[:-1]], strict=True)
    for (low, below), (high, up_to) in pairwise(finite):
        if up_to >= rank and up_to > below:
            return low + (high - low) * max(0.0, rank - below) / (up_to - below)
    return bounds[-2]


def figures(tally: Tally) -> Figures:
    """Return how was answered what a tally counted."""
    finite = [bound for bound, _ in tally.buckets if bound < inf]
    return Figures(
        requests=tally.requests,
        errors=tally.errors,
        p50=quantile(0.50, tally.buckets),
        p95=quantile(0.95, tally.buckets),
        p99=quantile(0.99, tally.buckets),
        slowest=max(finite, default=None),
    )

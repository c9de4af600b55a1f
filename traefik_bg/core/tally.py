"""The arithmetic of what Traefik counts: growth, sums, quantiles, figures.

Separate from the nouns in `evidence` because the metrics adapter (growth and sums) and the runtime
(figures of a window) both calculate with them. Pure; what people are shown of the quantiles is what
Prometheus makes of them, so that they find the same numbers in their own graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from math import isinf

from traefik_bg.core.evidence import Figures, Latency, Tally

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


def quantile(fraction: float, buckets: Buckets) -> Latency | None:
    """Return the latency that so large a fraction did not exceed; None: nobody knows.

    It lies in the first bucket up to which there are enough requests. Within it, as
    `histogram_quantile` of Prometheus: linear, from 0 in the lowest, and the highest finite bound
    for what lies beyond that.
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
            about = low + (high - low) * max(0.0, rank - below) / (up_to - below)
            return Latency(about=about, at_least=low, at_most=high)
    return Latency(about=bounds[-2], at_least=bounds[-2], at_most=bounds[-1])


def figures(tally: Tally) -> Figures:
    """Return how was answered what a tally counted."""
    return Figures(
        requests=tally.requests,
        errors=tally.errors,
        p50=quantile(0.50, tally.buckets),
        p95=quantile(0.95, tally.buckets),
        p99=quantile(0.99, tally.buckets),
    )

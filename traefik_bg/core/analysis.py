"""Judges green by its answers: good, bad, or too early to tell, and why.

Separate from `verdict` because that asks whether green lives, this how well it answers. Called by
the planner while green has traffic; the details become the reasons of rejections. Pure.

The rules, each on the figures of the analysis' window:

- Fewer than `min_requests` are neither good nor bad, except that errors are bad as soon as they
  would be too many even if all further requests up to `min_requests` were answered well.
- A latency is bad, or good, if it is so wherever it lies between the edges of its bucket: bad with
  the lower edge at the limit or above, good with the upper one at it or below. A limit between them
  leaves it open; one that is a bound of Traefik's buckets is always decided.
- Worse than blue is judged only where blue too has `min_requests`; alone in its bake green has
  nobody to be compared with. Noise is not worse: it takes `WORTH_COMPARING` errors of green, and
  blue is granted one error more than it had; a latency must be `NOTICEABLE` seconds above blue's,
  and `BEYOND` requests of both beyond the quantile, for with fewer it is the luck of a single one.
  By the edges, too: what only the interpolation says stays open. In one bucket with blue's a
  latency does not even seem worse, or coarse buckets would leave everything open.
- Trouble that hits blue as much is no evidence against green: where blue itself is, or may be, over
  a fixed limit in the same window, and green perhaps not `ALIKE` times as far, it stays open. So a
  broken database, or Docker's name server being away (each hidden attempt of a retry counts),
  rejects nobody.
- A check that is bad is bad; one that has not answered is unknown (law S5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from traefik_bg.core.evidence import CheckResult, CheckVerdict, Figures, Latency
from traefik_bg.core.rollout import Analysis

WORTH_COMPARING = 3
NOTICEABLE = 0.02  # seconds: what a busy machine makes of nothing
BEYOND = 3
ALIKE = 1.5
_ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7, and 1.5 * 0.05 more than 0.075

_SHARED = "but so it is with blue"
_MAYBE_SHARED = "but so it may be with blue"
_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Verdict(StrEnum):
    """What the evidence says of green."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and the reason for people."""

    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Breach:
    """A limit that was passed."""

    by: float
    """How many times over."""
    words: str
    shared: str = ""
    """That blue is over the same limit, or may be, about as far: then it is no reason."""


def judged(
    analysis: Analysis,
    green: Figures | None,
    blue: Figures | None,
    checks: Mapping[str, CheckResult],
    *,
    trouble: str = "",
) -> Judgement:
    """Return what the figures of both and the checks say of green.

    Figures that are None cannot be had, `trouble` says why. All breaches are named, worst first.
    """
    peer = blue if blue is not None and _is_enough(analysis, blue) else None
    breaches = sorted(_breaches(analysis, green, peer, checks), key=lambda b: -b.by)
    if bad := [breach.words for breach in breaches if not breach.shared]:
        return Judgement(verdict=Verdict.BAD, detail="; ".join(bad))
    doubts = [f"{breach.words}, {breach.shared}" for breach in breaches]
    doubts += [*_doubts(analysis, green, peer, trouble), *_unanswered(analysis, checks)]
    if doubts:
        return Judgement(verdict=Verdict.UNSURE, detail="; ".join(doubts))
    return Judgement(verdict=Verdict.GOOD, detail="; ".join(_praise(analysis, green, peer)))


def _is_enough(analysis: Analysis, blue: Figures) -> bool:
    return blue.requests >= max(1, analysis.min_requests)


def _breaches(
    analysis: Analysis,
    green: Figures | None,
    peer: Figures | None,
    checks: Mapping[str, CheckResult],
) -> Iterator[_Breach]:
    for check in analysis.checks:
        result = checks.get(check.name)
        if result is not None and result.verdict is CheckVerdict.BAD:
            detail = f": {result.detail}" if result.detail else " says no"
            yield _Breach(inf, f"check {check.name}{detail}")
    if green is None:
        return
    yield from _too_many_errors(analysis, green, peer)
    if green.requests >= analysis.min_requests:
        yield from _too_slow(analysis, green, peer)
        if analysis.worse_than_blue is not None and peer is not None:
            yield from _more_errors(analysis.worse_than_blue, green, peer)
            yield from _slower(analysis.worse_than_blue, green, peer)


# --- fixed limits ---------------------------------------------------------------------------------


def _too_many_errors(analysis: Analysis, green: Figures, peer: Figures | None) -> Iterator[_Breach]:
    limit = analysis.max_error_ratio
    if limit is None:
        return
    judged_of = max(green.requests, analysis.min_requests)
    if green.errors <= limit * judged_of + _ROUNDING:
        return
    further = judged_of - green.requests
    even = f" even if the next {further} are all fine" if further else ""
    allowed = limit * judged_of
    is_shared = peer is not None and _is_alike(limit, green.error_ratio, peer.error_ratio)
    yield _Breach(
        green.errors / allowed if allowed else inf,
        f"{_failed(green)}, more than {_percent(limit)}{even}",
        shared=_SHARED if is_shared else "",
    )


def _too_slow(analysis: Analysis, green: Figures, peer: Figures | None) -> Iterator[_Breach]:
    for name, limit, seen in _limited(analysis, green):
        if seen is not None and _is_over(seen, limit):
            yield _Breach(
                seen.about / limit if limit else inf,
                f"{name} {_about(seen)}, more than {_time(limit)} ({_requests(green.requests)})",
                shared=_sharing(limit, seen, None if peer is None else peer.latencies[name]),
            )


def _sharing(limit: float, mine: Latency, theirs: Latency | None) -> str:
    """Return that blue is over the limit as well, or may be; "" where green surely stands alone."""
    if theirs is None or not _is_alike(limit, mine.at_least, theirs.at_most):
        return ""
    return _SHARED if _is_over(theirs, limit) else _MAYBE_SHARED


def _is_alike(limit: float, mine: float, theirs: float) -> bool:
    return theirs > limit + _ROUNDING and mine <= ALIKE * theirs


def _is_within(seen: Latency, limit: float) -> bool:
    return seen.at_most <= limit + _ROUNDING


def _is_over(seen: Latency, limit: float) -> bool:
    return seen.at_least >= limit - _ROUNDING and not _is_within(seen, limit)


def _limited(analysis: Analysis, green: Figures) -> Iterator[tuple[str, float, Latency | None]]:
    """Yield the name, the limit and what was seen of every quantile that has a limit."""
    limits = {"p50": analysis.max_p50, "p95": analysis.max_p95, "p99": analysis.max_p99}
    for name, seen in green.latencies.items():
        limit = limits[name]
        if limit is not None:
            yield name, limit, seen


# --- compared with blue ---------------------------------------------------------------------------


def _more_errors(factor: float, green: Figures, blue: Figures) -> Iterator[_Breach]:
    fair = factor * (blue.errors + 1) / (blue.requests + 1)
    if green.errors >= WORTH_COMPARING and green.error_ratio > fair:
        yield _Breach(green.error_ratio / fair, _failed_more(green, blue, factor))


def _slower(factor: float, green: Figures, blue: Figures) -> Iterator[_Breach]:
    for name, mine, theirs in _seemingly_slower(factor, green, blue):
        if _is_surely_slower(factor, mine, theirs):
            times = mine.about / theirs.about
            yield _Breach(
                times / factor,
                f"{name} {_about(mine)} is {_times(times)} blue's {_time(theirs.about)}, "
                f"more than {factor:g} times",
            )


def _seemingly_slower(
    factor: float, green: Figures, blue: Figures
) -> Iterator[tuple[str, Latency, Latency]]:
    """Yield the quantiles that are worse than blue's as far as the interpolation goes.

    What is cut seems as slow as can be.
    """
    for name, fraction in _QUANTILES.items():
        mine, theirs = green.latencies[name], blue.latencies[name]
        if mine is None or theirs is None or not theirs.about or _is_same_bucket(mine, theirs):
            continue
        enough = min(green.requests, blue.requests) * (1 - fraction) + _ROUNDING >= BEYOND
        seems = inf if mine.is_cut else mine.about
        if enough and seems - theirs.about >= NOTICEABLE and seems > factor * theirs.about:
            yield name, mine, theirs


def _is_same_bucket(mine: Latency, theirs: Latency) -> bool:
    return (mine.at_least, mine.at_most) == (theirs.at_least, theirs.at_most)


def _is_surely_slower(factor: float, mine: Latency, theirs: Latency) -> bool:
    """Tell whether it is slower by the factor, and noticeably, wherever in the buckets both lie."""
    worst = max(factor * theirs.at_most, theirs.at_most + NOTICEABLE)
    return mine.at_least >= worst - _ROUNDING


def _failed_more(green: Figures, blue: Figures, factor: float) -> str:
    if blue.errors == 0:
        return f"{_failed(green)}, none of blue's {blue.requests} did"
    return (
        f"{_failed(green)}, {_times(green.error_ratio / blue.error_ratio)} blue's "
        f"{_percent(blue.error_ratio)} ({blue.errors} of {blue.requests}), "
        f"more than {factor:g} times"
    )


# --- what is not known ----------------------------------------------------------------------------


def _doubts(
    analysis: Analysis, green: Figures | None, peer: Figures | None, trouble: str
) -> Iterator[str]:
    if not analysis.has_limits:
        return
    if green is None:
        yield "Traefik's metrics cannot be asked" + (f": {trouble}" if trouble else "")
    elif green.requests < analysis.min_requests:
        yield f"{green.requests} of {_requests(analysis.min_requests)} so far"
    else:
        yield from _untold_from_limits(analysis, green)
        if analysis.worse_than_blue is not None and peer is not None:
            yield from _untold_from_blue(analysis.worse_than_blue, green, peer)


def _untold_from_limits(analysis: Analysis, green: Figures) -> Iterator[str]:
    for name, limit, seen in _limited(analysis, green):
        if seen is None:
            yield f"its {name} is not known"
        elif not _is_within(seen, limit) and not _is_over(seen, limit):
            yield (
                f"{name} is {_between(seen)}: "
                f"Traefik's buckets cannot tell it from the limit of {_time(limit)}"
            )


def _untold_from_blue(factor: float, green: Figures, blue: Figures) -> Iterator[str]:
    """Say what only seems to be slower; what surely is has been a breach before any doubt."""
    for name, mine, theirs in _seemingly_slower(factor, green, blue):
        yield (
            f"{name} {_about(mine)} may be more than {factor:g} times "
            f"blue's {_time(theirs.about)}: Traefik's buckets cannot tell"
        )


def _unanswered(analysis: Analysis, checks: Mapping[str, CheckResult]) -> Iterator[str]:
    for check in analysis.checks:
        result = checks.get(check.name)
        if result is None:
            yield f"check {check.name} has not answered yet"
        elif result.verdict is CheckVerdict.UNKNOWN:
            detail = f": {result.detail}" if result.detail else ""
            yield f"check {check.name} is not known{detail}"


# --- words ----------------------------------------------------------------------------------------


def _praise(analysis: Analysis, green: Figures | None, peer: Figures | None) -> Iterator[str]:
    if analysis.has_limits and green is not None:
        latency = f", p95 {_about(green.p95)}" if green.p95 is not None else ""
        yield f"{_failed(green)}{latency}"
        if analysis.worse_than_blue is not None and peer is None:
            yield "too few requests of blue to compare with"
    if analysis.checks:
        yield f"checks passed: {', '.join(check.name for check in analysis.checks)}"


def _failed(figures: Figures) -> str:
    if figures.errors == 0:
        return f"none of its {_requests(figures.requests)} failed"
    ratio = _percent(figures.error_ratio)
    return f"{ratio} of its requests failed ({figures.errors} of {figures.requests})"


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _percent(ratio: float) -> str:
    percent = 100 * ratio
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.2g} %"


def _times(factor: float) -> str:
    return f"{factor:.0f} times" if factor >= 9.95 else f"{factor:.2g} times"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _about(latency: Latency) -> str:
    """Return what people see of a latency elsewhere, and that it is no more than that."""
    return _between(latency) if latency.is_cut else f"about {_time(latency.about)}"


def _between(latency: Latency) -> str:
    """Return all that is known of a latency."""
    if latency.is_cut:
        return f"{_time(latency.at_least)} or more"
    if latency.at_least == 0:
        return f"{_time(latency.at_most)} or less"
    return f"between {_time(latency.at_least)} and {_time(latency.at_most)}"

"""Judges green by its answers: good, bad, or too early to tell, and why.

Separate from `verdict` because that asks whether green lives, this how well it answers. Called by
the planner while green has traffic; the details become the reasons of rejections. Pure.

The rules, each on the figures of the analysis' window:

- Fewer than `min_requests` are neither good nor bad, except that errors are bad as soon as they
  would be too many even if all further requests up to `min_requests` were answered well.
- A latency that Traefik's buckets cannot tell from the limit is not judged (`Figures.slowest`).
- Worse than blue is judged only where blue too has `min_requests`; alone in its bake green has
  nobody to be compared with. Noise is not worse: it takes `WORTH_COMPARING` errors of green, and
  blue is granted one error more than it had; a latency must be `NOTICEABLE` seconds above blue's,
  and `BEYOND` requests of both beyond the quantile, for with fewer it is the luck of a single one.
- Trouble that hits blue as much is no evidence against green: where blue itself is over a fixed
  limit in the same window, and green not `ALIKE` times as far, it stays open. So a broken database,
  or Docker's name server being away (each hidden attempt of a retry counts), rejects nobody.
- A check that is bad is bad; one that has not answered is unknown (law S5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from traefik_bg.core.evidence import CheckResult, CheckVerdict, Figures
from traefik_bg.core.rollout import Analysis

WORTH_COMPARING = 3
NOTICEABLE = 0.02  # seconds: what a busy machine and the interpolation in a bucket make of nothing
BEYOND = 3
ALIKE = 1.5
_ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7

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
    is_shared: bool = False
    """Blue is over the same limit, about as far."""


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
    breaches = sorted(_breaches(analysis, green, blue, checks), key=lambda b: -b.by)
    if bad := [breach.words for breach in breaches if not breach.is_shared]:
        return Judgement(verdict=Verdict.BAD, detail="; ".join(bad))
    shared = [f"{breach.words}, but so it is with blue" for breach in breaches]
    if doubts := [*shared, *_doubts(analysis, green, trouble), *_unanswered(analysis, checks)]:
        return Judgement(verdict=Verdict.UNSURE, detail="; ".join(doubts))
    return Judgement(verdict=Verdict.GOOD, detail="; ".join(_praise(analysis, green, blue)))


def _breaches(
    analysis: Analysis,
    green: Figures | None,
    blue: Figures | None,
    checks: Mapping[str, CheckResult],
) -> Iterator[_Breach]:
    for check in analysis.checks:
        result = checks.get(check.name)
        if result is not None and result.verdict is CheckVerdict.BAD:
            detail = f": {result.detail}" if result.detail else " says no"
            yield _Breach(inf, f"check {check.name}{detail}")
    if green is None:
        return
    peer = blue if blue is not None and _is_enough(analysis, blue) else None
    yield from _too_many_errors(analysis, green, peer)
    if green.requests >= analysis.min_requests:
        yield from _too_slow(analysis, green, peer)
        if analysis.worse_than_blue is not None and peer is not None:
            yield from _worse(analysis.worse_than_blue, green, peer)


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
    yield _Breach(
        green.errors / allowed if allowed else inf,
        f"{_failed(green)}, more than {_percent(limit)}{even}",
        is_shared=peer is not None and _is_alike(limit, green.error_ratio, peer.error_ratio),
    )


def _too_slow(analysis: Analysis, green: Figures, peer: Figures | None) -> Iterator[_Breach]:
    for name, limit in _latency_limits(analysis).items():
        seen: float | None = getattr(green, name)
        if seen is not None and seen > limit + _ROUNDING:
            yield _Breach(
                seen / limit if limit else inf,
                f"{name} {_at_least(seen, green)}, more than {_time(limit)} "
                f"({_requests(green.requests)})",
                is_shared=peer is not None and _is_alike(limit, seen, getattr(peer, name)),
            )


def _is_alike(limit: float, mine: float, theirs: float | None) -> bool:
    return theirs is not None and theirs > limit and mine <= ALIKE * theirs


def _latency_limits(analysis: Analysis) -> dict[str, float]:
    limits = {"p50": analysis.max_p50, "p95": analysis.max_p95, "p99": analysis.max_p99}
    return {name: limit for name, limit in limits.items() if limit is not None}


# --- compared with blue ---------------------------------------------------------------------------


def _is_enough(analysis: Analysis, blue: Figures) -> bool:
    return blue.requests >= max(1, analysis.min_requests)


def _worse(factor: float, green: Figures, blue: Figures) -> Iterator[_Breach]:
    fair = factor * (blue.errors + 1) / (blue.requests + 1)
    if green.errors >= WORTH_COMPARING and green.error_ratio > fair:
        yield _Breach(green.error_ratio / fair, _more_errors(green, blue, factor))
    for name, fraction in _QUANTILES.items():
        mine: float | None = getattr(green, name)
        theirs: float | None = getattr(blue, name)
        if not mine or not theirs:
            continue
        beyond = min(green.requests, blue.requests) * (1 - fraction) + _ROUNDING
        if beyond < BEYOND or mine - theirs < NOTICEABLE or mine <= factor * theirs:
            continue
        times = mine / theirs
        yield _Breach(
            times / factor,
            f"{name} {_at_least(mine, green)} is {_times(times)} blue's {_time(theirs)}, "
            f"more than {factor:g} times",
        )


def _more_errors(green: Figures, blue: Figures, factor: float) -> str:
    if blue.errors == 0:
        return f"{_failed(green)}, none of blue's {blue.requests} did"
    return (
        f"{_failed(green)}, {_times(green.error_ratio / blue.error_ratio)} blue's "
        f"{_percent(blue.error_ratio)} ({blue.errors} of {blue.requests}), "
        f"more than {factor:g} times"
    )


# --- what is not known ----------------------------------------------------------------------------


def _doubts(analysis: Analysis, green: Figures | None, trouble: str) -> Iterator[str]:
    if not analysis.has_limits:
        return
    if green is None:
        yield "Traefik's metrics cannot be asked" + (f": {trouble}" if trouble else "")
    elif green.requests < analysis.min_requests:
        yield f"{green.requests} of {_requests(analysis.min_requests)} so far"
    else:
        for name, limit in _latency_limits(analysis).items():
            seen: float | None = getattr(green, name)
            if seen is None:
                yield f"its {name} is not known"
            elif green.slowest is not None and green.slowest <= seen:
                yield (
                    f"{name} is {_time(seen)} or more: Traefik's buckets end there, "
                    f"below the limit of {_time(limit)}"
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


def _praise(analysis: Analysis, green: Figures | None, blue: Figures | None) -> Iterator[str]:
    if analysis.has_limits and green is not None:
        latency = f", p95 {_at_least(green.p95, green)}" if green.p95 is not None else ""
        yield f"{_failed(green)}{latency}"
        is_enough = blue is not None and _is_enough(analysis, blue)
        if analysis.worse_than_blue is not None and not is_enough:
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


def _at_least(seconds: float, figures: Figures) -> str:
    """Return a latency that may be any higher one where Traefik's buckets end."""
    is_cut = figures.slowest is not None and seconds >= figures.slowest
    return f"{_time(seconds)} or more" if is_cut else _time(seconds)

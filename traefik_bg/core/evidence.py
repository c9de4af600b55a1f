"""What is known of how green and blue answer: the figures that a deployment is judged by.

Separate from the judging (`analysis`) because the runtime makes these values of what Traefik
counted, sample by sample. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traefik_bg.core.model import RevisionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was counted of one revision so far; never less than before."""

    requests: int = 0
    reads: int = 0
    """GETs and HEADs among them: what may be mirrored without doing something twice."""
    errors: int = 0
    """Answers of 500 and more."""
    buckets: tuple[tuple[float, int], ...] = ()
    """How many were answered within so many seconds, rising; the last bound is infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How one revision answered over a while, as Traefik counted it."""

    requests: int = 0
    errors: int = 0
    """Answers of 500 and more."""
    p50: float | None = None
    """Seconds within which half of the requests were answered; None: nobody knows."""
    p95: float | None = None
    p99: float | None = None
    slowest: float | None = None
    """The highest latency that is told apart: a quantile equal to it may be any higher one."""

    @property
    def error_ratio(self) -> float:
        """The fraction of requests that were answered with an error."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What Traefik counted since the present weights are confirmed."""

    figures: Mapping[RevisionId, Figures] = field(default_factory=dict)
    """Of the analysis' window at most."""
    share: float | None = None
    """The percentage of the requests since then that green really got; None: too few to tell."""
    fed_for: float = 0.0
    """Seconds of that time in which green got the share it was to get; where there were too few
    requests to tell, it counts as got."""


class CheckVerdict(StrEnum):
    """What a check says of green."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It could not be asked, or did not say: neither good nor bad (S5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The last answer of a check."""

    verdict: CheckVerdict
    detail: str = ""

"""What is known of how green and blue answer: the figures that a deployment is judged by.

Separate from the judging (`analysis`) because the runtime makes these values of what Traefik
counted, sample by sample. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isinf

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
class Latency:
    """A quantile of latencies, in seconds, and the edges of Traefik's bucket that it lies in.

    It may be anywhere between them: people are shown `about`, judged is by the edges.
    """

    about: float
    """Interpolated between the edges as Prometheus does; the lower one if the upper is infinite."""
    at_least: float
    """The lower edge: it is over that, for what equals a bound counts below it; 0 in the lowest."""
    at_most: float
    """The upper edge; infinite beyond the last bound."""

    @property
    def is_cut(self) -> bool:
        """Tell whether it may be any higher one: Traefik's buckets end below it."""
        return isinf(self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How one revision answered over a while, as Traefik counted it."""

    requests: int = 0
    errors: int = 0
    """Answers of 500 and more."""
    p50: Latency | None = None
    """Within which half of the requests were answered; None: nobody knows."""
    p95: Latency | None = None
    p99: Latency | None = None

    @property
    def latencies(self) -> Mapping[str, Latency | None]:
        """The quantiles by their names, rising."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99}

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

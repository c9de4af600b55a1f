"""How green takes over: the user's wishes for a deployment, as values.

Separate from the other nouns because only an app's own rollout speaks of them. Durations are
seconds as `float`, ratios are fractions of 1. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Approval(StrEnum):
    """Who lets a proven green take traffic."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Strategy(StrEnum):
    """Whether both versions may run at once."""

    SIDE_BY_SIDE = "side-by-side"
    """Blue-green and canary: add, shift, drain, remove."""
    RECREATE = "recreate"
    """For what must not run twice: hold requests, stop, start."""


class Sessions(StrEnum):
    """What becomes of clients that were served by blue."""

    MOVE = "move"
    KEEP = "keep"
    """They finish on blue, until the drain is over; new ones begin on green."""


class Inconclusive(StrEnum):
    """What happens when the longest wait for evidence is over."""

    CONTINUE = "continue"
    REJECT = "reject"


class CheckKind(StrEnum):
    """Whom a check asks."""

    QUERY = "query"
    """A Prometheus: the result of a query must lie within limits."""
    WEBHOOK = "webhook"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One shift of a canary: the weight of green, and what must be over before the next one."""

    weight: int
    pause: float = 0.0
    needs_approval: bool = False
    """Whether an operator has to promote it, after the pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Copies of requests for green before it takes traffic; nobody sees its answers."""

    percent: int
    pause: float = 30.0
    all_methods: bool = False
    """Also those that may change something, not only GET and HEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """By what a request says that it wants green before it has traffic; any of them will do."""

    header: tuple[str, str] | None = None
    cookie: tuple[str, str] | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question that Traefik's metrics cannot answer, asked while green is judged."""

    name: str
    kind: CheckKind
    target: str = ""
    """The URL of the Prometheus or of the webhook."""
    query: str = ""
    command: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    interval: float = 10.0
    timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What green must show while it has traffic: limits for its answers."""

    max_error_ratio: float | None = None
    max_p50: float | None = None
    max_p95: float | None = None
    max_p99: float | None = None
    worse_than_blue: float | None = None
    """How many times blue's errors and latencies, at the same time, are still fine."""
    min_requests: int = 50
    """Fewer are neither good nor bad."""
    window: float = 60.0
    """Requests longer ago than this do not count."""
    max_wait: float = 300.0
    """The longest wait for evidence after the pause is over."""
    inconclusive: Inconclusive = Inconclusive.CONTINUE
    checks: tuple[Check, ...] = ()

    @property
    def has_limits(self) -> bool:
        """Tell whether Traefik's own figures are judged."""
        limits = (
            self.max_error_ratio,
            self.max_p50,
            self.max_p95,
            self.max_p99,
            self.worse_than_blue,
        )
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How traffic moves from blue to green."""

    strategy: Strategy = Strategy.SIDE_BY_SIDE
    steps: tuple[Step, ...] = ()
    """Weights on the way to 100; none means one cutover."""
    bake: float = 30.0
    drain: float = 30.0
    approval: Approval = Approval.AUTOMATIC
    analysis: Analysis | None = None
    preview: Preview | None = None
    sessions: Sessions = Sessions.MOVE
    mirror: Mirror | None = None
    hold_requests: float = 30.0
    """How long requests wait while nothing serves (recreate)."""

    @property
    def needs_figures(self) -> bool:
        """Tell whether Traefik's figures matter: to judge green, or to see its real share."""
        return bool(self.steps) or self.mirror is not None or self.analysis is not None

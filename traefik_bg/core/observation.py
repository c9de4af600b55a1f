"""The nouns of a look: one app as it is now.

Made by the runtime's observer, read by the planner. Durations are seconds as `float`; there are no
dates. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traefik_bg.core.evidence import CheckResult, Evidence
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import ADOPTED, AppName, AppSpec, ReplicaName, RevisionId, Routing
from traefik_bg.core.names import is_hook_of

MEGABYTE = 1_000_000


class ContainerState(StrEnum):
    """Docker's word for a container, reduced to what matters here."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"


class Health(StrEnum):
    """What our probes say of a running replica."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A router that a container's own labels make, which is gone when the container stops."""

    router: str
    rule: str
    priority: int
    entrypoints: tuple[str, ...] = ()
    has_tls: bool = False
    leads_elsewhere: bool = False
    """It does not lead to the container, but ends with it all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One container of one revision, as seen now."""

    name: ReplicaName
    revision: RevisionId
    number: int
    state: ContainerState
    address: str = ""
    """What Traefik is to connect to; empty while the container has none."""
    health: Health = Health.UNKNOWN
    health_reason: str = ""
    age: float = 0.0
    """Seconds since we first saw it running, or since a life in which it was healthy ended."""
    restarts: int = 0
    image_id: str = ""
    """What its image is to Docker: the content, whatever its tag points to by now."""
    image_digest: str = ""
    """Where that content can be had, such as `ghcr.io/acme/web@sha256:…`; empty: only here."""
    exit_code: int | None = None
    is_blameless: bool = False
    """Its end says nothing against its revision: we stopped it, or never saw it run."""
    log: tuple[str, ...] = ()
    """Its last lines, when it failed."""
    unrouted_for: float | None = None
    """Seconds since Traefik was confirmed not to route to it; None: it may."""
    idle_for: float | None = None
    """Seconds it has been without an open connection; None: it has some, or we cannot count."""
    open_connections: int | None = None
    claims: tuple[Claim, ...] = ()
    """What its own labels have Traefik send to it; only what was adopted has some."""
    defines: tuple[str, ...] = ()
    """The middlewares that its labels define, as others name them, such as `gzip@docker`."""
    oddities: tuple[str, ...] = ()
    """What its labels say that no route can, in words."""
    port: int | None = None
    """Where its labels say that it listens."""

    @property
    def is_adopted(self) -> bool:
        """Tell whether others made it: it is never created nor removed."""
        return self.revision == ADOPTED

    @property
    def is_running(self) -> bool:
        """Tell whether its process is there to answer."""
        return self.state is ContainerState.RUNNING

    @property
    def is_healthy(self) -> bool:
        """Tell whether it is proven now."""
        return self.is_running and self.health is Health.HEALTHY

    @property
    def is_dead(self) -> bool:
        """Tell whether its process has ended."""
        return self.state in {
            ContainerState.EXITED,
            ContainerState.RESTARTING,
            ContainerState.REMOVING,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """The container of a hook, as seen now."""

    name: ReplicaName
    moment: Moment
    revision: RevisionId
    deployment: int
    """The number of the deployment that it runs for."""
    timeout: float
    """The seconds it may take; what its deployment wanted, whatever is wanted now."""
    state: ContainerState
    age: float = 0.0
    """Seconds since we first saw it running."""
    image_id: str = ""
    image_digest: str = ""
    exit_code: int | None = None
    log: tuple[str, ...] = ()
    """Its last lines, once it has ended."""

    @property
    def may_run(self) -> bool:
        """Tell whether its process may be there."""
        return self.state not in {ContainerState.CREATED, ContainerState.EXITED}

    @property
    def has_ended(self) -> bool:
        """Tell whether it has run, and how it ended is known."""
        return self.state is ContainerState.EXITED and self.exit_code is not None

    def trouble(self, *, was_stopped: bool) -> str:
        """Return how it ended, where that was not well, with the last line it wrote; else empty.

        What was told to end has not succeeded, even if it says so: many programs answer SIGTERM
        with 0.
        """
        if not self.has_ended or (self.exit_code == 0 and not was_stopped):
            return ""
        ended = f"ended with code {self.exit_code}"
        if was_stopped:
            ended = f"did not end within {self.timeout:g} s, and was stopped"
        return f"{ended}: {self.log[-1]}" if self.log else ended

    @property
    def is_late(self) -> bool:
        """Tell whether it has had all the time it may take."""
        return self.age >= self.timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How much of an image has come."""

    done: int
    """Bytes, of the layers that were not here."""
    total: int
    """Bytes of all of them, as far as their sizes are known."""
    is_whole: bool = True
    """Whether all their sizes are known."""

    @property
    def sentence(self) -> str:
        """Return it as the end of a sentence; whole megabytes, so that its kind stays the same."""
        done, total = round(self.done / MEGABYTE), max(1, round(self.total / MEGABYTE))
        if self.is_whole and self.done >= self.total:
            return f"all of {total} MB is here, unpacking"
        return f"{min(done, total)} of {'' if self.is_whole else 'at least '}{total} MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at everything that concerns one app; complete, or not made at all (law S5)."""

    app: AppName
    desired: AppSpec | None
    replicas: tuple[Replica, ...] = ()
    hooks: tuple[HookRun, ...] = ()
    published: Routing | None = None
    """What we told Traefik; None: it has not been told of this app."""
    confirmed_for: float | None = None
    """Seconds since every Traefik runs what is published; None: not confirmed."""
    weights_for: float | None = None
    """Seconds since every Traefik runs the published split, whatever the replicas behind it."""
    images: Mapping[str, bool] = field(default_factory=dict)
    """Whether each image in question is on this machine."""
    routable: frozenset[ReplicaName] = frozenset()
    """Names some Traefik may still route to, whether or not such a container exists."""
    busy: frozenset[str] = frozenset()
    """Replicas and images something is under way for."""
    pulls: Mapping[str, PullProgress] = field(default_factory=dict)
    """How far the images are that are being pulled, where Docker has said so."""
    cooling: Mapping[str, float] = field(default_factory=dict)
    """Replicas and images that must be left alone, and for how many seconds more."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Answers of no, by what they are about: an image, a replica, or the app's routing."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What went wrong last with a replica or an image, where trying again may help."""
    guard_available: bool = False
    """Whether every Traefik knows how to fail over by status (3.7 and newer)."""
    hold_available: bool = False
    """Whether every Traefik can have requests wait while nothing serves."""
    evidence: Evidence | None = None
    """What Traefik counted since it runs the published split; None: it cannot be asked."""
    evidence_trouble: str = ""
    """Why Traefik cannot be asked what it counted, for people; empty when it can, or need not."""
    checks: Mapping[str, CheckResult] = field(default_factory=dict)
    """The last answer of each check, by its name, asked since the present split."""

    @property
    def hooks_under_way(self) -> tuple[str, ...]:
        """The hooks that may run now, or in a moment: what is being made cannot be seen yet."""
        ended = {run.name for run in self.hooks if run.has_ended}
        names = {run.name for run in self.hooks if run.may_run}
        names |= {ReplicaName(name) for name in self.busy if is_hook_of(self.app, name)} - ended
        return tuple(sorted(names))

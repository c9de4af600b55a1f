"""The nouns: what is wanted, what is seen and what is remembered about one app.

Every other module speaks in these types, and only in these words. Values are frozen and compare by
content; durations are seconds as `float`; there are no dates, because a decision must not depend
on a clock that can be set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NewType

AppName = NewType("AppName", str)
RevisionId = NewType("RevisionId", str)
ReplicaName = NewType("ReplicaName", str)
Json = NewType("Json", str)
"""Canonical JSON text: sorted keys, no spaces; compares and hashes like the value it stands for."""

REVISION_LENGTH = 8  # hex digits; 32 bits are plenty among the handful of revisions of one app


def canonical_json(value: object) -> Json:
    """Return `value` as canonical JSON."""
    return Json(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def digest(value: object) -> str:
    """Return a short stable fingerprint of a JSON-like value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


# --- what is wanted -------------------------------------------------------------------------------


class Approval(StrEnum):
    """Who lets a proven green take traffic."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One Traefik router of an app."""

    rule: str
    entrypoints: tuple[str, ...] = ()
    middlewares: tuple[str, ...] = ()
    priority: int | None = None
    tls: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When a replica counts as healthy."""

    path: str | None = None
    interval: float = 0.25
    """Seconds between probes until the deployment is over."""
    serving_interval: float = 5.0
    """Seconds between probes of a replica of the good revision."""
    timeout: float = 2.0
    rise: int = 1
    fall: int = 3
    deadline: float = 60.0
    """Seconds a replica may take to become healthy before its revision is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One shift of a canary: the weight of green, and how long to stay there."""

    weight: int
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How traffic moves from blue to green."""

    steps: tuple[Step, ...] = ()
    """Weights on the way to 100; none means one cutover."""
    bake: float = 30.0
    drain: float = 30.0
    approval: Approval = Approval.AUTOMATIC


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """What the user wants of one app."""

    name: AppName
    image: str
    port: int
    container: Json = Json("{}")
    """The rest of the container's settings, in the Compose specification's keys."""
    replicas: int = 1
    routes: tuple[Route, ...] = ()
    health: HealthPolicy = field(default_factory=HealthPolicy)
    rollout: Rollout = field(default_factory=Rollout)
    sticky: bool = False
    hold: bool = False

    @property
    def revision(self) -> RevisionId:
        """The fingerprint of all that needs new containers; scaling and routing do not."""
        return RevisionId(digest([self.image, self.container, self.port])[:REVISION_LENGTH])

    @property
    def digest(self) -> str:
        """The fingerprint of the whole spec: a rejection holds until it changes."""
        return digest(asdict(self))


# --- what is routed -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Server:
    """The address Traefik uses for one replica."""

    replica: ReplicaName
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The weight of one revision and the replicas behind it."""

    revision: RevisionId
    weight: int
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All that Traefik is told about one app; what has no weight is not in it."""

    shares: tuple[Share, ...] = ()
    routes: tuple[Route, ...] = ()
    sticky: bool = False
    trial: tuple[Route, ...] = ()
    """Routes to be tried: loaded where no request reaches them, so that Traefik can refuse them
    before they matter. Not read back from a published document."""
    fallback: Share | None = None
    """Blue, while it is warm: answers the GETs and HEADs that the shares fail to; has no weight."""

    @property
    def weights(self) -> Mapping[RevisionId, int]:
        """The weight of each revision that has one."""
        return {share.revision: share.weight for share in self.shares}

    @property
    def servers(self) -> Iterator[Server]:
        """Every replica that may get a request, those of the fallback included, each once."""
        shares = self.shares if self.fallback is None else (*self.shares, self.fallback)
        return iter(dict.fromkeys(server for share in shares for server in share.servers))

    def has(self, replica: ReplicaName) -> bool:
        """Tell whether the replica may get a request."""
        return any(server.replica == replica for server in self.servers)


# --- what is seen ---------------------------------------------------------------------------------


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
class Observation:
    """One look at everything that concerns one app; complete, or not made at all (law S5)."""

    app: AppName
    desired: AppSpec | None
    replicas: tuple[Replica, ...] = ()
    published: Routing | None = None
    """What we told Traefik; None: it has not been told of this app."""
    confirmed_for: float | None = None
    """Seconds since every Traefik runs what is published; None: not confirmed."""
    weights_for: float | None = None
    """Seconds since every Traefik runs the published weights, whatever the replicas behind them."""
    images: Mapping[str, bool] = field(default_factory=dict)
    """Whether each image in question is on this machine."""
    routable: frozenset[ReplicaName] = frozenset()
    """Names some Traefik may still route to, whether or not such a container exists."""
    busy: frozenset[str] = frozenset()
    """Replicas and images something is under way for."""
    cooling: Mapping[str, float] = field(default_factory=dict)
    """Replicas and images that must be left alone, and for how many seconds more."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Answers of no, by what they are about: an image, a replica, or the app's routing."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What went wrong last with a replica or an image, where trying again may help."""
    guard_available: bool = False
    """Whether every Traefik knows how to fail over by status (3.7 and newer)."""


# --- what is remembered ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a spec is not tried again until it changes."""

    spec: str
    """The digest of the rejected spec."""
    revision: RevisionId
    reason: str
    log: tuple[str, ...] = ()
    is_about_routes: bool = False
    """Only the routes were refused; nothing is known against the revision itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An operator's leave to go on from a weight without waiting (promote)."""

    revision: RevisionId
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The attempt under way."""

    number: int
    revision: RevisionId
    image: str
    blue: RevisionId | None = None
    """The revision that served when green took its first traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The few facts that must outlive the process; losing them costs time, never safety (L4)."""

    good: AppSpec | None = None
    """The last spec that passed its bake."""
    previous: tuple[AppSpec, ...] = ()
    """Good specs before that one, newest first: where a rollback can go."""
    rejection: Rejection | None = None
    deployment: Deployment | None = None
    deployments: int = 0
    waiver: Waiver | None = None
    paused: bool = False

    def rejects(self, spec: AppSpec) -> bool:
        """Tell whether this very spec has been rejected."""
        return self.rejection is not None and self.rejection.spec == spec.digest


# --- what is decided ------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where an app stands, derived anew at every look; for people, never for decisions."""

    SETTLED = "settled"
    PULLING = "pulling"
    STARTING = "starting"
    WAITING = "waiting for approval"
    SHIFTING = "shifting"
    CONFIRMING = "confirming"
    BAKING = "baking"
    DRAINING = "draining"
    REPAIRING = "repairing"
    REJECTED = "rejected"
    PAUSED = "paused"
    REMOVING = "removing"
    BLIND = "blind"


class Outcome(StrEnum):
    """How a deployment ended."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"

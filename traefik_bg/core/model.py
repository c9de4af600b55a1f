"""The nouns: what is wanted of one app, and what Traefik is told of it.

What is seen is in `observation`, what is remembered in `record`; every other module speaks in these
types, and only in these words. Values are frozen and compare by content; durations are seconds as
`float`; there are no dates, because a decision must not depend on a clock that can be set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NewType

from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.rollout import Preview, Rollout

AppName = NewType("AppName", str)
RevisionId = NewType("RevisionId", str)
ReplicaName = NewType("ReplicaName", str)
Json = NewType("Json", str)
"""Canonical JSON text: sorted keys, no spaces; compares and hashes like the value it stands for."""

REVISION_LENGTH = 8  # hex digits; 32 bits are plenty among the handful of revisions of one app


ADOPTED = RevisionId("adopted")
"""The revision of what ran before traefik-bg did: its settings are known to nobody."""


def canonical_json(value: object) -> Json:
    """Return `value` as canonical JSON."""
    return Json(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def digest(value: object) -> str:
    """Return a short stable fingerprint of a JSON-like value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


# --- what is wanted -------------------------------------------------------------------------------


class Protocol(StrEnum):
    """What a route carries."""

    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One Traefik router of an app."""

    rule: str
    entrypoints: tuple[str, ...] = ()
    middlewares: tuple[str, ...] = ()
    priority: int | None = None
    tls: Json | None = None
    protocol: Protocol = Protocol.HTTP
    """The same in all routes of an app."""


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
class Adoption:
    """Which containers that others started serve the app until its first deployment is over.

    They are found by Compose's labels, or by their names.
    """

    project: str = ""
    service: str = ""
    containers: tuple[str, ...] = ()
    port: int | None = None
    """Where they listen; None: where their labels say, or the app does."""
    moved: tuple[str, ...] = ()
    """Routers of their labels that lead elsewhere and stand in a file of Traefik's by now."""


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
    hooks: tuple[Hook, ...] = ()
    """One a moment."""
    sticky: bool = False
    hold: bool = False
    adopt: Adoption | None = None

    def hook(self, moment: Moment) -> Hook | None:
        """Return what is to run at a moment of its deployment."""
        return next((hook for hook in self.hooks if hook.moment is moment), None)

    @property
    def revision(self) -> RevisionId:
        """The fingerprint of all that needs new containers; scaling and routing do not."""
        return RevisionId(digest([self.image, self.container, self.port])[:REVISION_LENGTH])

    @property
    def digest(self) -> str:
        """The fingerprint of all that is tried: a rejection holds until it changes."""
        fields = asdict(self)
        del fields["adopt"]
        if not self.hooks:
            del fields["hooks"]  # what was rejected before there were hooks stays so
        return digest(fields)


# --- what is routed -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Server:
    """The address Traefik uses for one replica."""

    replica: ReplicaName
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The weight of one revision and the replicas behind it; 0 where it gets requests otherwise."""

    revision: RevisionId
    weight: int
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewShare:
    """Green, for those who ask for it."""

    share: Share
    by: Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorShare:
    """Green, for copies of requests."""

    share: Share
    percent: int
    all_methods: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All that Traefik is told about one app; what gets no request is not in it."""

    shares: tuple[Share, ...] = ()
    routes: tuple[Route, ...] = ()
    sticky: bool = False
    """A client stays with its revision and its replica."""
    keeps_sessions: bool = False
    """A client stays with its revision, even with one that is `kept`."""
    trial: tuple[Route, ...] = ()
    """Routes to be tried: loaded where no request reaches them, so that Traefik can refuse them
    before they matter. Not read back from a published document."""
    fallback: Share | None = None
    """Blue, while it is warm: answers the GETs and HEADs that the shares fail to; has no weight."""
    kept: Share | None = None
    """Blue, for the clients that began there; has no weight."""
    preview: PreviewShare | None = None
    mirror: MirrorShare | None = None
    holds_for: float | None = None
    """Seconds that requests wait, when nothing is to serve for a moment; there are no shares."""
    loops: bool = False
    """Whether requests that wait can come back; to be confirmed before the first has to, and kept
    until the last is through."""

    @property
    def weights(self) -> Mapping[RevisionId, int]:
        """The weight of each revision that has one."""
        return {share.revision: share.weight for share in self.shares}

    @property
    def split(self) -> tuple[object, ...]:
        """What a step's clock runs for: who gets how much, whatever the replicas behind."""
        mirror = self.mirror
        copies = None if mirror is None else (mirror.share.revision, mirror.percent)
        return (tuple(sorted(self.weights.items())), copies, self.holds_for is not None)

    @property
    def all_shares(self) -> tuple[Share, ...]:
        """Every share, those without a weight included."""
        further = (
            self.fallback,
            self.kept,
            self.preview.share if self.preview else None,
            self.mirror.share if self.mirror else None,
        )
        return (*self.shares, *(share for share in further if share is not None))

    @property
    def servers(self) -> Iterator[Server]:
        """Every replica that may get a request, by whatever way, each once."""
        return iter(dict.fromkeys(server for share in self.all_shares for server in share.servers))

    def has(self, replica: ReplicaName) -> bool:
        """Tell whether the replica may get a request."""
        return any(server.replica == replica for server in self.servers)

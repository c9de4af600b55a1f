"""What the runtime needs of the outside, named by need; the adapters provide it.

Kept in the core so that runtime and adapters need not know each other. Every method may raise the
errors its docstring names and no others: adapters translate what their libraries raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from traefik_bg.core.actions import Ending
from traefik_bg.core.evidence import CheckResult, Tally
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import (
    Adoption,
    AppName,
    AppSpec,
    HealthPolicy,
    ReplicaName,
    RevisionId,
    Routing,
)
from traefik_bg.core.observation import Claim, ContainerState, Health
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Check
from traefik_bg.core.tags import KnownTag

Wake = Callable[[AppName | None], None]
"""Say "look again" for one app, or for all (None); safe to call from the event loop at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookLabel:
    """What the labels of a hook's container say."""

    moment: Moment
    deployment: int
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of ours, or one that was adopted, as Docker describes it now."""

    name: ReplicaName
    app: AppName
    revision: RevisionId
    number: int
    id: str
    state: ContainerState
    life: str = ""
    """Changes whenever the container is started anew (Docker's StartedAt)."""
    image_id: str = ""
    """Docker's ID of its image: the content, whatever the tag points to by now."""
    ip: str = ""
    """Its address on the network shared with Traefik; empty while it has none."""
    pid: int = 0
    exit_code: int | None = None
    restarts: int = 0
    claims: tuple[Claim, ...] = ()
    defines: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    port: int | None = None
    """Where the labels of one that was adopted say that it listens."""
    health_path: str | None = None
    """What its labels have Traefik ask it for."""
    hook: HookLabel | None = None
    """What it runs for, if it is no replica."""
    docker_health: Health | None = None
    """Docker's own HEALTHCHECK verdict; None: the container has no such check."""


class Engine(Protocol):
    """Docker, or what speaks like it. Only containers of this instance are seen or touched (S6).

    What is adopted is seen too, and may be started and stopped, never made nor removed.
    """

    async def adopted(self, app: AppName, adopt: Adoption | None) -> Sequence[Container]:
        """Return the containers of others that an app adopts; from now on they are its own.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app, whatever their state.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def apps(self) -> frozenset[AppName]:
        """Return the names of all apps that have a container.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def create(self, name: ReplicaName, number: int, spec: AppSpec, image: str) -> None:
        """Create a container from this image, which may be named more exactly than in the spec.

        One of that name and revision that is already there is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been created.
            ImageNotFound: the image is not on this machine.
            SpecRefused: Docker rejects the settings, or the name belongs to a stranger.
        """
        ...

    async def create_hook(
        self, name: ReplicaName, hook: Hook, deployment: int, spec: AppSpec, image: str
    ) -> None:
        """Create the container in which a hook of the app is to run, from this image.

        It has the app's settings but no route, no health check and no restart. One of that name
        that is already there is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been created.
            ImageNotFound: the image is not on this machine.
            SpecRefused: as for a replica.
        """
        ...

    async def start_once(self, name: ReplicaName) -> None:
        """Start a container that has never been started; any other is left as it is.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been started.
            SpecRefused: as for a replica.
            Conflict: it is gone.
        """
        ...

    async def start(self, name: ReplicaName) -> None:
        """Start a container; one that runs already is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been started.
            SpecRefused: it cannot be started (a missing executable, a taken port, …), or the name
                belongs to a stranger.
            Conflict: it is gone.
        """
        ...

    async def stop(self, name: ReplicaName) -> None:
        """Stop a container with its own signal and grace period; gone or stopped is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been stopped.
            SpecRefused: the name belongs to a stranger.
        """
        ...

    async def remove(self, name: ReplicaName) -> None:
        """Remove a container that does not run, with its anonymous volumes; gone is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been removed.
            Conflict: it runs.
            SpecRefused: the name belongs to a stranger.
        """
        ...

    async def tail(self, name: ReplicaName, lines: int) -> tuple[str, ...]:
        """Return the last lines a container wrote; none when it is gone.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingState:
    """What Traefik has been told about one app, and what it is known to do."""

    published: Routing | None = None
    confirmed_for: float | None = None
    """Seconds since every Traefik is known to run exactly that; None: not known."""
    weights_for: float | None = None
    """The same for the split of the traffic alone."""
    detail: str = ""
    """Why it is not confirmed, for people."""
    refusal: str | None = None
    """Traefik runs it but reports a router or service of this app in error: its words."""
    unrouted: Mapping[ReplicaName, float] = field(default_factory=dict)
    """Seconds since replicas that were routed once are confirmed not to be."""
    routable: frozenset[ReplicaName] = frozenset()
    """Replicas that some Traefik may still route to."""
    watched_for: float | None = None
    """Seconds this state has been confirmed without a break; what a replica that was never seen
    routed counts as unrouted for."""

    def unrouted_for(self, replica: ReplicaName) -> float | None:
        """Return for how long the replica is known to get no request; None: it may get some."""
        if replica in self.routable:
            return None
        return self.unrouted.get(replica, self.watched_for)


class Router(Protocol):
    """The one published document, and what the Traefiks made of it."""

    async def publish(self, app: AppName, routing: Routing | None) -> None:
        """Make this the app's part of the published document; returns when it is written.

        Raises:
            RouterUnavailable: it could not be written; what was published before still is.
        """
        ...

    def state(self, app: AppName) -> RoutingState:
        """Return what is published and confirmed for the app.

        Raises:
            RouterUnavailable: what is published cannot be known.
        """
        ...

    def apps(self) -> frozenset[AppName]:
        """Return the apps that have a part in the published document.

        Raises:
            RouterUnavailable: what is published cannot be known.
        """
        ...

    @property
    def guard_available(self) -> bool:
        """Tell whether every Traefik can fail over by status."""
        ...

    @property
    def hold_available(self) -> bool:
        """Tell whether every Traefik can have requests wait while nothing serves."""
        ...


class Store(Protocol):
    """The memory: one record an app, a history for people, and what else must not be guessed."""

    async def record(self, app: AppName) -> Record:
        """Return what is remembered of an app; an empty record when nothing is.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    async def save(self, app: AppName, record: Record, endings: Sequence[Ending] = ()) -> None:
        """Remember the record, durably, and how deployments ended.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def forget(self, app: AppName) -> None:
        """Forget the record of an app that is gone; its history stays.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def note(self, app: AppName, sentence: str) -> None:
        """Add a sentence to the app's history.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def apps(self) -> frozenset[AppName]:
        """Return the apps that have a record.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    async def tags(self) -> Mapping[AppName, KnownTag]:
        """Return what the tags of apps were last known to mean.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    async def pulled(self) -> Mapping[str, frozenset[str]]:
        """Return the images that we brought here, by Docker's IDs, and the names they came by.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    async def save_pulled(self, image_id: str, name: str) -> None:
        """Remember, durably, that we brought an image here.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def forget_pulled(self, image_id: str) -> None:
        """Forget an image that is gone.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def save_tag(self, app: AppName, tag: KnownTag | None) -> None:
        """Remember, durably, what the tag of an app means; None: forget it.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One answer of one probe."""

    ok: bool
    detail: str = ""
    """What it said, for people: "HTTP 503", "connection refused", …"""
    is_bound: bool = True
    """Whether something listened at all; a port that is not bound may be asked again sooner."""


class Prober(Protocol):
    """Asks a replica how it is."""

    async def probe(self, container: Container, port: int, policy: HealthPolicy) -> ProbeResult:
        """Ask once, within the policy's timeout; never raises for what the replica does."""
        ...


class ConnectionCounter(Protocol):
    """Counts what is still being answered."""

    async def open_connections(self, container: Container, port: int) -> int | None:
        """Return the replica's established connections on its port; None: cannot be counted."""
        ...


class Meter(Protocol):
    """Traefik's own counting of what each revision answered."""

    async def tallies(self, app: AppName) -> Mapping[RevisionId, Tally]:
        """Return what all Traefiks together have counted so far of the app's revisions.

        Raises:
            RouterUnavailable: a Traefik did not say.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a check is asked about."""

    app: AppName
    revision: RevisionId
    image: str
    weight: int
    blue: RevisionId | None = None


class Checker(Protocol):
    """Asks what Traefik's figures cannot know."""

    async def ask(self, check: Check, subject: Subject) -> CheckResult:
        """Ask once, within the check's timeout; never raises for what the other side does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """What the user wants of all apps, or what is wrong with the file."""

    apps: Mapping[AppName, AppSpec] = field(default_factory=dict)
    error: str | None = None
    """Why the newest file is not in force; `apps` is then the last good one."""
    is_known: bool = True
    """False: no good file has been read yet, so nothing may be concluded from an absent app."""
    polls: Mapping[AppName, float] = field(default_factory=dict)
    """Seconds between questions what the tag of an app's image means; absent: it is not asked."""
    unknown: Mapping[AppName, str] = field(default_factory=dict)
    """Apps that are wanted, of which it is not known yet as what; and what that waits for."""


class DesiredSource(Protocol):
    """Where the desired state comes from."""

    def current(self) -> DesiredState:
        """Return the desired state in force."""
        ...

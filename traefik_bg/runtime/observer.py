"""Looks: gathers all that concerns one app into one observation, or none at all (law S5).

The only place where what adapters report is joined; it decides nothing. Durations are kept here, on
the monotonic clock of the event loop, so that a clock that is set changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from traefik_bg.core.adoption import concerns
from traefik_bg.core.image_ports import Images
from traefik_bg.core.model import (
    ADOPTED,
    Adoption,
    AppName,
    AppSpec,
    HealthPolicy,
    ReplicaName,
    RevisionId,
    Routing,
)
from traefik_bg.core.observation import (
    ContainerState,
    Health,
    Observation,
    PullProgress,
    Replica,
)
from traefik_bg.core.pins import ways_to_have
from traefik_bg.core.ports import (
    ConnectionCounter,
    Container,
    Engine,
    Router,
    RoutingState,
)
from traefik_bg.core.record import Record
from traefik_bg.runtime.exposure import exposure
from traefik_bg.runtime.hook_watch import HookWatch
from traefik_bg.runtime.inquiry import Inquiry
from traefik_bg.runtime.operations import Operations
from traefik_bg.runtime.vitals import Checkup, Vital, Vitals
from traefik_bg.runtime.witness import Witness

LAST_LINES = 20  # of the log of a replica that failed: enough for a traceback's end


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An observation, and what else people want to know of it."""

    seen: Observation
    routing: RoutingState
    at: float
    """The loop's time to which the durations in it are true; counting connections comes after."""


class Observer:
    """Looks at one app."""

    def __init__(  # one parameter a port
        self,
        app: AppName,
        *,
        engine: Engine,
        images: Images,
        router: Router,
        counter: ConnectionCounter,
        vitals: Vitals,
        witness: Witness | None,
        inquiry: Inquiry | None,
        operations: Operations,
        addresses_are_names: bool,
    ) -> None:
        self._app = app
        self._engine = engine
        self._images = images
        self._router = router
        self._counter = counter
        self._vitals = vitals
        self._witness = witness
        self._inquiry = inquiry
        self._operations = operations
        self._addresses_are_names = addresses_are_names
        self._hooks = HookWatch(engine, self._digest)
        self._idle_since: dict[ReplicaName, float] = {}
        self._logs: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._digests: dict[str, str] = {}

    async def look(self, desired: AppSpec | None, record: Record) -> Sight:
        """Return what is there now.

        Raises:
            Unavailable: something could not be seen, so nothing can be concluded.
        """
        busy = self._operations.busy  # before the listing: what ends meanwhile is seen or busy
        everything = await self._containers(desired, record)
        containers = [container for container in everything if container.hook is None]
        routing, at = self._router.state(self._app), asyncio.get_running_loop().time()
        specs = _known_specs(desired, record)
        good = record.good.revision if record.good else None

        def checkup(container: Container) -> Checkup:
            spec = specs.get(container.revision)
            published = routing.published
            routed = published is not None and published.has(container.name)
            return Checkup(
                policy=spec.health if spec else HealthPolicy(path=container.health_path),
                port=spec.port if spec else _guessed_port(routing, container, desired),
                is_urgent=container.revision != good or record.deployment is not None,
                is_serving=routed,
                is_meant=self._operations.meant.get(container.name),
                is_busy=container.name in busy,
            )

        self._forget_absent(containers, busy)
        vitals = self._vitals.read(containers, checkup)
        replicas = await asyncio.gather(
            *(self._replica(c, vitals[c.name], routing, checkup(c)) for c in containers)
        )
        exposed = exposure(desired, record, routing)
        seen = Observation(
            app=self._app,
            desired=desired,
            replicas=tuple(sorted(replicas, key=lambda replica: replica.name)),
            hooks=await self._hooks.read(everything),
            published=routing.published,
            confirmed_for=routing.confirmed_for,
            weights_for=routing.weights_for,
            images=await self._images_seen(desired, record, containers),
            routable=routing.routable,
            busy=busy,
            pulls=self._pulls(busy),
            cooling=self._operations.cooling,
            refusals=self._refusals(routing),
            failures=self._operations.failures,
            guard_available=self._router.guard_available,
            hold_available=self._router.hold_available,
            evidence=self._witness.read(exposed) if self._witness is not None else None,
            evidence_trouble=self._witness.trouble if self._witness is not None else "",
            checks=self._inquiry.read(exposed) if self._inquiry is not None else {},
        )
        return Sight(seen=seen, routing=routing, at=at)

    async def _containers(self, desired: AppSpec | None, record: Record) -> Sequence[Container]:
        """Return the app's containers, and those of others that it takes over."""
        published = self._router.state(self._app).published
        adopt = _adoption(desired, published)
        ours, theirs = await asyncio.gather(
            self._engine.containers(self._app), self._engine.adopted(self._app, adopt)
        )
        return [
            *ours,
            *(each for each in theirs if concerns(each.name, each.state, record, published)),
        ]

    async def close(self) -> None:
        """End what goes on between looks."""
        await self._vitals.close()
        if self._witness is not None:
            await self._witness.close()
        if self._inquiry is not None:
            await self._inquiry.close()

    def _refusals(self, routing: RoutingState) -> dict[str, str]:
        refusals = dict(self._operations.refusals)
        if routing.refusal is not None:
            refusals[self._app] = routing.refusal
        return refusals

    async def _replica(
        self, container: Container, vital: Vital, routing: RoutingState, checkup: Checkup
    ) -> Replica:
        unrouted_for = routing.unrouted_for(container.name)
        is_published = routing.published is not None and routing.published.has(container.name)
        is_running = container.state is ContainerState.RUNNING
        connections = None
        if is_running and not is_published:
            connections = await self._counter.open_connections(container, checkup.port)
        is_late = vital.health is Health.STARTING and vital.age >= checkup.policy.deadline
        failed = not is_running or is_late or vital.health is Health.UNHEALTHY or vital.restarts > 0
        return Replica(
            name=container.name,
            revision=container.revision,
            number=container.number,
            state=container.state,
            address=self._address(container),
            # It may be on its way down: whatever it says, nobody can know how it is in a moment.
            health=Health.UNKNOWN if checkup.is_busy else vital.health,
            health_reason=vital.reason,
            age=vital.age,
            restarts=vital.restarts,
            image_id=container.image_id,
            image_digest=await self._digest(container.image_id),
            exit_code=container.exit_code,
            is_blameless=vital.is_blameless,
            log=await self._last_lines(container, vital) if failed else (),
            unrouted_for=unrouted_for,
            idle_for=self._idle_for(container.name, connections),
            open_connections=connections,
            claims=container.claims,
            defines=container.defines,
            oddities=container.oddities,
            port=container.port,
        )

    def _pulls(self, busy: frozenset[str]) -> dict[str, PullProgress]:
        """Return how far the pulls are that are under way for this app."""
        found = {about: self._images.progress(about) for about in busy}
        return {image: progress for image, progress in found.items() if progress is not None}

    async def _digest(self, image_id: str) -> str:
        """Return where an image can be had again, asked once: a content never changes."""
        if image_id and image_id not in self._digests:
            self._digests[image_id] = await self._images.digest(image_id)
        return self._digests.get(image_id, "")

    def _address(self, container: Container) -> str:
        if container.state is not ContainerState.RUNNING or not container.ip:
            return ""
        return container.name if self._addresses_are_names else container.ip

    def _idle_for(self, name: ReplicaName, connections: int | None) -> float | None:
        """Return for how long a replica has been without an open connection."""
        now = asyncio.get_running_loop().time()
        if connections != 0:
            self._idle_since.pop(name, None)
            return None
        return now - self._idle_since.setdefault(name, now)

    async def _last_lines(self, container: Container, vital: Vital) -> tuple[str, ...]:
        """Return the log's end, read once for each way a container has failed."""
        if container.state is ContainerState.CREATED:
            return ()
        key = (container.id, container.life, f"{container.state} {vital.health}")
        if key not in self._logs:
            self._logs[key] = await self._engine.tail(container.name, LAST_LINES)
        return self._logs[key]

    async def _images_seen(
        self, desired: AppSpec | None, record: Record, containers: Sequence[Container]
    ) -> dict[str, bool]:
        """Tell whether the images are here that containers may have to be created from now."""
        seen = {}
        for spec in (desired, record.good):
            if spec is None:
                continue
            count = sum(container.revision == spec.revision for container in containers)
            if count >= spec.replicas:
                continue
            for image in ways_to_have(spec, record):
                seen[image] = await self._images.has(image)
                if seen[image]:
                    break
        return seen

    def _forget_absent(self, containers: Sequence[Container], busy: frozenset[str]) -> None:
        """Drop what was noted of containers that are gone."""
        names = {container.name for container in containers}
        self._operations.forget_meant(names | busy)
        ids = {container.id for container in containers}
        self._idle_since = {n: t for n, t in self._idle_since.items() if n in names}
        self._logs = {key: lines for key, lines in self._logs.items() if key[0] in ids}


def _known_specs(desired: AppSpec | None, record: Record) -> dict[RevisionId, AppSpec]:
    known = (*reversed(record.previous), record.good, desired)
    return {spec.revision: spec for spec in known if spec is not None}


def _adoption(desired: AppSpec | None, published: Routing | None) -> Adoption | None:
    """Return what is to be adopted: as desired, and whatever of it has requests still."""
    if desired is None:
        return None
    shares = published.all_shares if published is not None else ()
    names = {x.replica for share in shares if share.revision == ADOPTED for x in share.servers}
    adopt = desired.adopt or Adoption()
    if desired.adopt is None and not names:
        return None
    return replace(adopt, containers=tuple(sorted({*adopt.containers, *names})))


def _guessed_port(routing: RoutingState, container: Container, desired: AppSpec | None) -> int:
    """Return the port of a replica whose spec nobody remembers: as published, or as desired now."""
    adopt = desired.adopt if desired is not None else None
    if container.revision == ADOPTED and adopt is not None and adopt.port is not None:
        return adopt.port
    if container.port is not None:
        return container.port
    servers = routing.published.servers if routing.published else ()
    guess = desired.port if desired else 0
    return next((server.port for server in servers if server.replica == container.name), guess)

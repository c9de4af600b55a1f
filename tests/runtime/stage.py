"""A whole service with a whole world around it, in virtual time.

The world outlives the service: `kill` cancels every task of the service and forgets all it had in
memory, `start` begins a new one on the same containers, Traefiks and database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.core.build import WEB, app
from tests.runtime.fake_evidence import FakeChecker, FakeMeter
from tests.runtime.fakes import (
    Behaviour,
    Box,
    FakeCounter,
    FakeEngine,
    FakeProber,
    FakeRouter,
    FakeSource,
    FakeStore,
)
from tests.runtime.ledger import Ledger
from tests.runtime.tape import Tape
from traefik_bg.core.actions import Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import Unavailable
from traefik_bg.core.model import AppName, AppSpec, RevisionId, Routing, Server, Share
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Rollout
from traefik_bg.core.tags import with_tag
from traefik_bg.runtime.reconciler import AppStatus, Parts
from traefik_bg.runtime.retention import Pulls, Retention
from traefik_bg.runtime.supervisor import Senses, Supervisor
from traefik_bg.runtime.tags import Tags
from traefik_bg.runtime.triggers import Triggers

STEP = 0.02  # seconds between two looks of a test at the world


def web(image: str = "web:1", **changes: Any) -> AppSpec:
    """Return a spec with short waits: two replicas, bake 5 s, drain 3 s, deadline 4 s."""
    return app(image, **{"health": QUICK, "rollout": SHORT} | changes)


QUICK = app().health.__class__(path="/health", interval=0.25, deadline=4.0)
SHORT = Rollout(bake=5.0, drain=3.0)


class Stage:
    """One service and its world."""

    def __init__(
        self,
        *,
        traefiks: int = 1,
        resync: float = 30.0,
        addresses_are_names: bool = True,
        keep_images: int = 0,
    ) -> None:
        self.tape = Tape()
        self.ledger = Ledger()
        self.engine = FakeEngine(self.tape, self.ledger)
        self.router = FakeRouter(self.tape, self.ledger, traefiks)
        self.store = FakeStore(self.tape, self.ledger)
        self.source = FakeSource()
        self.prober = FakeProber(self.engine, self.tape)
        self.counter = FakeCounter(self.engine)
        self.meter = FakeMeter()
        self.checker = FakeChecker()
        self.ledger.engine, self.ledger.router = self.engine, self.router
        self.ledger.store, self.ledger.desired = self.store, self._desired
        self.laws_may_break = False
        self.told: list[tuple[AppName, str]] = []
        """Every sentence, as it was said."""
        self.changed: Callable[[AppStatus], object] = lambda status: self.told.append(
            (status.app, status.reason)
        )
        self._resync = resync
        self._keep_images = keep_images
        self._addresses_are_names = addresses_are_names
        self._service: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.wishes: dict[AppName, AppSpec] = {}
        """What was wanted when somebody was woken last, with what tags mean."""
        self.supervisor: Supervisor
        self.tags: Tags
        self.retention: Retention
        self.triggers: Triggers
        for number in range(1, 5):
            self.engine.images[f"web:{number}"] = Behaviour()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self.kill()
        self.tape.close()
        await asyncio.sleep(0)
        if error is None and not self.laws_may_break:
            assert not self.ledger.broken, "\n".join(self.ledger.broken)

    def given(self, spec: AppSpec) -> None:
        """Let a spec be what is desired, serves and is good, before the service starts."""
        boxes = self.engine.given(spec)
        address = "name" if self._addresses_are_names else "ip"
        servers = tuple(
            Server(replica=box.name, address=getattr(box, address), port=spec.port) for box in boxes
        )
        share = Share(revision=spec.revision, weight=100, servers=servers)
        self.router.given(spec.name, Routing(shares=(share,), routes=spec.routes))
        self.store.records[spec.name] = Record(good=spec, deployments=1)
        self.ledger.good[spec.name] = spec
        self.source.want(spec)

    # --- the service ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a new service on the world as it is."""
        self.tape.is_dead = False
        self.tape.died.clear()
        self.triggers = Triggers()
        self.engine.wake = self.router.wake = self.triggers.wake
        self.tags = Tags(
            self.source,
            registry=self.engine,
            store=self.store,
            wake=self._woken,
            chance=lambda: 0.5,
        )
        self.source.wake = self.tags.woken
        self.router.open()
        self.supervisor = Supervisor(
            parts=Parts(
                engine=self.engine,
                images=Pulls(self.engine, self.store),
                router=self.router,
                store=self.store,
                source=self.tags,
            ),
            senses=Senses(
                prober=self.prober,
                counter=self.counter,
                meter=self.meter,
                checker=self.checker,
            ),
            triggers=self.triggers,
            resync=self._resync,
            addresses_are_names=self._addresses_are_names,
            changed=self._hear,
        )
        self.retention = Retention(
            keep=self._keep_images,
            shelf=self.engine,
            store=self.store,
            source=self.tags,
            statuses=lambda: self.supervisor.statuses,
            is_blind=lambda: self.supervisor.trouble is not None,
        )
        self._service = asyncio.create_task(self._serve(), name="service")

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tags.run(), name="tags")
            group.create_task(self.supervisor.run(), name="supervisor")
            group.create_task(self.retention.run(), name="retention")

    def _woken(self, app: AppName | None) -> None:
        """Hear that something is wanted, as the ledger has to: a tag that moves is a wish too."""
        given = self.tags.current()
        if given.is_known:
            for name, spec in given.apps.items():
                if spec != self.wishes.get(name):
                    self.ledger.wished(name, spec)
            self.wishes = dict(given.apps)
        self.triggers.wake(app)

    def _hear(self, status: AppStatus) -> None:
        self.changed(status)
        self.retention.hear(status)

    async def kill(self) -> None:
        """End the service at once, with all it has in memory; the world goes on."""
        self.tape.kill()
        if self._service is not None:
            self._service.cancel()
            with suppress(asyncio.CancelledError):
                await self._service
            self._service = None

    async def restart(self, *, lose_record: bool = False, down_for: float = 0.0) -> None:
        """Kill the service and start a new one."""
        await self.kill()
        if lose_record:
            self.store.lose()
        await asyncio.sleep(down_for)
        self.start()

    def keep_alive(self, *, lose_record: bool = False, down_for: float = 0.5) -> None:
        """Start a new service whenever one was killed by an action."""
        self._keeper = asyncio.create_task(self._keep(lose_record, down_for), name="keeper")

    async def _keep(self, lose_record: bool, down_for: float) -> None:
        while True:
            await self.tape.died.wait()
            await self.restart(lose_record=lose_record, down_for=down_for)

    # --- what users and operators do --------------------------------------------------------------

    def _desired(self, name: AppName) -> AppSpec | None:
        """Return what is wanted of an app, with what its tag means."""
        given = self.tags.current() if hasattr(self, "tags") else self.source.state
        return (given if given.is_known else self.source.state).apps.get(name)

    def want(self, *specs: AppSpec, poll: float | None = None) -> None:
        """Edit the desired state: add apps, or change them; their tags are followed, or not."""
        for spec in specs:
            if poll is None:  # else it is a wish once its tag is known
                self.ledger.wished(spec.name, with_tag(spec, self.store.known_tags.get(spec.name)))
        self.source.want(*specs, poll=poll)

    def drop(self, name: AppName = WEB) -> None:
        """Take an app out of the desired state."""
        self.ledger.wished(name, None)
        self.source.drop(name)

    async def command(
        self,
        verb: Verb,
        name: AppName = WEB,
        to: RevisionId | None = None,
        *,
        is_full: bool = False,
    ) -> str:
        """Say something as the operator."""
        async with asyncio.timeout(60):
            try:
                sentence = await self.supervisor.command(name, verb, to, is_full=is_full)
            except Unavailable:
                self.ledger.commanded(name, verb, is_certain=False)
                raise
        self.ledger.commanded(name, verb)
        return sentence

    async def deployed(self, spec: AppSpec) -> None:
        """Have a spec deployed and good, and nothing left to do."""
        self.want(spec)
        await self.until(lambda: self.record(spec.name).good == spec)
        await self.settle()

    # --- what there is to see ---------------------------------------------------------------------

    def status(self, name: AppName = WEB) -> AppStatus:
        """Return what the service says of an app."""
        return self.supervisor.statuses[name]

    @property
    def reason(self) -> str:
        """The sentence of the app of most tests."""
        return self.status().reason

    @property
    def phase(self) -> Phase | None:
        """The phase of the app of most tests; None before it is known."""
        found = self.supervisor.statuses.get(WEB)
        return found.phase if found is not None else None

    def record(self, name: AppName = WEB) -> Record:
        """Return what is remembered of an app."""
        return self.store.records.get(name, Record())

    def boxes(self, spec: AppSpec) -> list[Box]:
        """Return the containers of a spec's revision."""
        return self.engine.of(spec.revision)

    def running(self, spec: AppSpec) -> int:
        """Return how many containers of a spec's revision run."""
        return sum(box.is_running for box in self.boxes(spec))

    def weights(self, name: AppName = WEB) -> Mapping[RevisionId, int]:
        """Return what every Traefik runs of an app; empty while they differ."""
        parts = [traefik.loaded.parts.get(name) for traefik in self.router.traefiks]
        first = parts[0].weights if parts[0] is not None else {}
        same = all(part is not None and part.weights == first for part in parts)
        return first if same else {}

    def serves(self, spec: AppSpec) -> bool:
        """Tell whether every Traefik sends all of the app's traffic to a spec's revision."""
        return self.weights(spec.name) == {spec.revision: 100}

    # --- the passing of time ----------------------------------------------------------------------

    async def until(self, is_so: Callable[[], object], within: float = 120.0) -> None:
        """Let time pass until something is so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not is_so():
            if self._service is not None and self._service.done():
                await self._service
            assert loop.time() < end, f"not so within {within:g} s: {self._account()}"
            await asyncio.sleep(STEP)

    async def stays(self, is_so: Callable[[], object], during: float) -> None:
        """Let time pass during which something is always so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + during
        while loop.time() < end:
            assert is_so(), f"not so any more: {self._account()}"
            await asyncio.sleep(max(STEP, during / 400))

    async def settle(self, quiet: float = 40.0, within: float = 1000.0) -> None:
        """Let time pass until the service has done nothing for a while."""
        loop = asyncio.get_running_loop()
        end, began = loop.time() + within, loop.time()
        while (left := max(self.tape.last_at, began) + quiet - loop.time()) > 0:
            assert loop.time() < end, f"not settled within {within:g} s: {self._account()}"
            await asyncio.sleep(left)

    def _account(self) -> str:
        said = [
            f"{status.phase}: {status.reason} ({status.trouble}, {status.routing.detail})"
            for status in self.supervisor.statuses.values()
        ]
        last = self.tape.said()[-8:]
        return "; ".join([*said, f"last actions: {last}", *self.ledger.broken])

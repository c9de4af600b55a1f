"""A service that really decides, on a world that is played: for the API and the command line.

What it says of its apps is what the planner says of the forecast's world, so the tests meet the
phases, sentences and refusals that users meet. Its time passes when a test says so, or by itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from aiohttp import web

from tests.cli.played_logs import PlayedLogs
from tests.core.build import app
from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.forecast import World
from traefik_bg.core.model import AppName, AppSpec, RevisionId
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.planner import plan
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.situation import Situation
from traefik_bg.core.tags import TagStatus
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.runtime.transcript import Scribe, Transcript, Wanted
from traefik_bg.runtime.triggers import Triggers
from traefik_bg.web.server import application

SECRET = "hunter2-the-secret"
LAST_WORDS = ("Traceback (most recent call last):", "KeyError: \x1b[31m'DATABASE_URL'\x1b[0m")
V1 = app("ghcr.io/acme/web:1")
EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BAD = ":bad"
"""Images that end so never get healthy: their containers exit."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """A deployment that has ended."""

    number: int
    revision: RevisionId
    image: str
    started: datetime | None
    ended: datetime | None
    outcome: Outcome | None
    reason: str
    log: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sentence of the journal."""

    at: datetime
    sentence: str


@dataclass(kw_only=True)
class FakeService:
    """Apps that are played rather than run."""

    worlds: dict[AppName, World] = field(default_factory=dict)
    trouble: str | None = None
    desired_error: str | None = None
    app_trouble: str | None = None
    is_deaf: bool = False
    """Commands are never obeyed, as when Docker does not answer."""
    vanishes: bool = False
    """The app is gone before it obeys."""
    past: list[Past] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    triggers: Triggers = field(default_factory=Triggers)
    tags: dict[AppName, TagStatus] = field(default_factory=dict)
    digest: str = ""
    """What tags mean, where they are followed."""

    def __post_init__(self) -> None:
        self.logs = PlayedLogs(self.worlds)

    @classmethod
    def of(cls, *specs: AppSpec) -> FakeService:
        """Return a service that has just been told of these apps."""
        return cls(worlds={spec.name: World(app=spec.name, desired=spec) for spec in specs})

    # --- time -------------------------------------------------------------------------------------

    def settle(self) -> FakeService:
        """Let as much time pass as is needed for everything to be done."""
        for _ in range(40):
            self.step(5.0)
        return self

    def until(self, phase: str) -> FakeService:
        """Let time pass until an app is in this phase."""
        for _ in range(2000):
            self.step(0.1)
            if any(status.phase == phase for status in self.statuses.values()):
                return self
        raise AssertionError(f"never {phase}: {[s.reason for s in self.statuses.values()]}")

    def step(self, seconds: float) -> None:
        """Do what is planned, then let time pass."""
        for world in self.worlds.values():
            for _ in range(20):
                made = plan(world.observe(), world.record)
                self._note(world, made.endings)
                world.record = made.record
                for action in made.actions:
                    world.apply(action)
                self._break(world)
                if not made.actions and made.recheck_after != 0.0:
                    break
            world.advance(seconds)
            self._break(world)

    def _break(self, world: World) -> None:
        bad = {
            spec.revision
            for spec in (world.desired, world.record.good)
            if spec is not None and spec.image.endswith(BAD)
        }
        for name, replica in world.replicas.items():
            if replica.revision in bad and replica.is_running:
                world.replicas[name] = replace(
                    replica,
                    state=ContainerState.EXITED,
                    health=Health.UNKNOWN,
                    exit_code=1,
                    address="",
                    log=LAST_WORDS,
                )

    def _note(self, world: World, endings: tuple[Ending, ...]) -> None:
        for ending in endings:
            image = world.desired.image if world.desired else ""
            self.past.insert(
                0,
                Past(
                    number=len(self.past) + 1,
                    revision=ending.revision,
                    image=image,
                    started=EPOCH,
                    ended=EPOCH + timedelta(seconds=75),
                    outcome=ending.outcome,
                    reason=ending.reason,
                    log=ending.log,
                ),
            )

    # --- what the web layer asks ------------------------------------------------------------------

    @property
    def statuses(self) -> Mapping[AppName, AppStatus]:
        return {name: self._status(world) for name, world in sorted(self.worlds.items())}

    def _status(self, world: World) -> AppStatus:
        seen = world.observe()
        made = plan(seen, world.record)
        return AppStatus(
            app=world.app,
            phase=made.phase,
            reason=made.reason,
            trouble=self.app_trouble,
            record=world.record,
            seen=seen,
            routing=RoutingState(
                published=world.published,
                confirmed_for=None if world.published is None else world.confirmed_for,
            ),
        )

    async def command(
        self, app: AppName, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False
    ) -> str:
        if self.is_deaf:
            await asyncio.Event().wait()
        if self.vanishes:
            gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone
        world = self.worlds[app]
        obeyed = obey(
            verb, Situation(seen=world.observe(), record=world.record), to=to, is_full=is_full
        )
        self._note(world, obeyed.endings)
        world.record = obeyed.record
        self.said.insert(0, Said(at=EPOCH, sentence=f"{verb}: {obeyed.sentence}"))
        return obeyed.sentence

    async def update(self, app: AppName) -> str:
        world = self.worlds[app]
        if world.desired is None or "@" in world.desired.image:
            raise CommandRefused(f"{app}: there is no tag to follow")
        return f"{world.desired.image} is still sha256:1"

    def tag(self, app: AppName) -> TagStatus | None:
        return self.tags.get(app)

    async def deploy(self, app: AppName, image: str) -> str:
        world = self.worlds[app]
        if world.desired is None or "$" in world.desired.image:
            raise CommandRefused(f"desired.yaml:3: the image of {app} is made of a variable")
        exactly = f"{image}@{self.digest}" if self.digest else image
        world.desired = replace(world.desired, image=exactly)
        return f"{app} is to run {image}"

    async def history(self, app: AppName, limit: int) -> list[Past]:
        return self.past[:limit] if app in self.worlds or app == "gone" else []

    async def journal(self, app: AppName, limit: int) -> list[Said]:
        return self.said[:limit] if app in self.worlds else []

    def transcript(self, app: AppName, wanted: Wanted) -> Transcript:
        scribe = Scribe(roster=self.logs, logs=self.logs, triggers=self.triggers)
        return scribe.transcript(app, wanted)


# --- on a port ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Served:
    """A service on a port of this machine, in a thread of its own."""

    service: FakeService
    token: str | None = None
    speed: float = 0.0
    """Seconds of the played world that pass in each hundredth of a real one."""
    port: int = 0
    posted: list[str] = field(default_factory=list)
    """The paths of the commands that came."""
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Served]:
        loop = self._loop = asyncio.new_event_loop()
        ready, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with self._listening():
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="served")
        thread.start()
        try:
            assert ready.wait(10)
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    def play(self, part: Callable[[], object]) -> None:
        """Have something happen in the service's own thread, between two of its requests."""
        assert self._loop is not None
        over: concurrent.futures.Future[object] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(lambda: over.set_result(part()))
        over.result(10)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        app = application(self.service, token=self.token, is_loopback=True)
        app.on_response_prepare.append(self._note)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        playing = asyncio.create_task(self._play())
        try:
            yield
        finally:
            playing.cancel()
            await runner.cleanup()

    async def _note(self, request: web.Request, _: web.StreamResponse) -> None:
        if request.method == "POST":
            self.posted.append(request.path)

    async def _play(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            if self.speed:
                self.service.step(self.speed)
            self.service.triggers.wake(None)

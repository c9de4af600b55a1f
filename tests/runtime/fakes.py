"""Docker, Traefik, a database and a desired file in memory, on the event loop's virtual time.

Stateful fakes, not mocks: they behave as the real ones do, containers come up, die and come back,
Traefiks load what is published when they get to it. They tell the ledger what really happens, and
the tape what they were asked.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from tests.runtime.ledger import Ledger
from tests.runtime.tape import Result, Tape
from traefik_bg.core.actions import Ending
from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageDenied,
    ImageNotFound,
    RouterUnavailable,
    SpecRefused,
    StoreUnavailable,
)
from traefik_bg.core.hooks import Hook
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
from traefik_bg.core.observation import ContainerState, PullProgress
from traefik_bg.core.ports import (
    Container,
    DesiredState,
    HookLabel,
    ProbeResult,
    RoutingState,
    Wake,
)
from traefik_bg.core.record import Record
from traefik_bg.core.tags import KnownTag

COMES_BACK_AFTER = 0.1  # seconds until Docker restarts what crashed; doubles each time


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


# --- Docker ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How containers of an image behave."""

    ready_after: float = 0.5
    """Seconds from its start until its port is bound."""
    status: int = 200
    """What it answers to the probe, until it fades."""
    crashes_after: float | None = None
    fades_after: float | None = None
    """Seconds from its start until it answers nothing good any more."""
    comes_back: bool = True
    """Docker's restart policy: unless-stopped."""
    last_words: tuple[str, ...] = ("it broke",)
    create_takes: float = 0.02
    start_takes: float = 0.1
    stop_takes: float = 0.2
    """Seconds from the signal to the exit."""
    pull_takes: float = 1.0
    size: int = 0
    """Bytes to be pulled; 0: Docker says nothing of it."""
    refusal: str = ""
    """Why Docker refuses to create it."""
    start_refusal: str = ""


@dataclass(slots=True, kw_only=True)
class Box:
    """One container, as it really is."""

    id: str
    name: ReplicaName
    app: AppName
    revision: RevisionId
    number: int
    port: int
    behaves: Behaviour
    state: ContainerState = ContainerState.CREATED
    life: int = 0
    started_at: float = 0.0
    ip: str = ""
    exit_code: int | None = None
    restarts: int = 0
    sick: str = ""
    """What is wrong with it although it runs."""
    is_silent: bool = False
    """It accepts, but answers nothing."""
    is_stopping: bool = False
    died_by_itself: bool = False
    changed_at: float = 0.0
    """When its health last changed, or its life ended."""
    connections: int | None = 0
    hook: HookLabel | None = None
    """What it runs for, if it is no replica."""

    @property
    def is_running(self) -> bool:
        """Tell whether its process is there."""
        return self.state is ContainerState.RUNNING

    @property
    def is_ready(self) -> bool:
        """Tell whether its port is bound."""
        return (
            self.is_running
            and not self.is_stopping
            and now() >= self.started_at + self.behaves.ready_after - 1e-9
        )

    @property
    def is_well(self) -> bool:
        """Tell whether it answers as it should."""
        return self.is_ready and self.status == 200 and not self.sick and not self.is_silent

    @property
    def sick_for(self) -> float:
        """Seconds since it answers nothing good, although it did."""
        if self.sick:
            return now() - self.changed_at
        fades = self.behaves.fades_after
        return now() - self.started_at - fades if fades is not None else 1e9

    @property
    def status(self) -> int:
        """What it answers to the probe."""
        fades = self.behaves.fades_after
        return 500 if fades is not None and now() > self.started_at + fades else self.behaves.status


def is_adopted(box: Box, adopt: Adoption) -> bool:
    """Tell whether the desired state names this container that others made."""
    return bool(adopt.project) or box.name in adopt.containers


class FakeEngine:
    """Docker with its images and its registry; implements `Engine` and `Images`."""

    def __init__(self, tape: Tape, ledger: Ledger) -> None:
        self._tape = tape
        self._ledger = ledger
        self.boxes: dict[ReplicaName, Box] = {}
        self.graveyard: dict[ReplicaName, Box] = {}
        """What somebody removed by hand."""
        self.strangers: set[str] = set()
        """Names of containers that are not ours."""
        self.images: dict[str, Behaviour] = {}
        """What is on this machine."""
        self.registry: dict[str, Behaviour] = {}
        self._contents: dict[str, Behaviour] = {}
        """What has been here, by Docker's IDs: a tag that moves leaves its old content behind."""
        self.digests: dict[str, str] = {}
        """Where contents were pushed to; empty: nowhere."""
        self.tags: dict[str, str] = {}
        """What tags mean in the registry now."""
        self.registry_takes = 0.05
        self._pushed: dict[int, str] = {}
        """Where contents were pushed to, for those that were."""
        self.denied: set[str] = set()
        self.wake: Wake = lambda _app: None
        self.tells = True
        """Whether its events arrive."""
        self.hook_takes = 1.0
        """Seconds that hooks need."""
        self.hook_code = 0
        """How hooks end."""
        self.hook_obeys = False
        """Whether a hook that is told to end says that all is well."""
        self.hooks_run: list[ReplicaName] = []
        """Every start of a hook."""
        self._pulls: dict[str, float] = {}
        self.lies_about_images = False
        """Says that every image is here."""
        self._ids = count(1)
        self._image_ids = count(0)
        self.others: list[Box] = []
        """Containers that are not ours, nor of any app."""
        self._free_ips = [f"10.0.0.{n}" for n in range(2, 250)]

    # --- what tests do ----------------------------------------------------------------------------

    def given(self, spec: AppSpec) -> list[Box]:
        """Let there be the replicas of a spec, healthy for a long time."""
        for number in range(spec.replicas):
            name = ReplicaName(f"{spec.name}-{spec.revision}-{number}")
            self.boxes[name] = self._box(name, number, spec, self.images[spec.image])
            self._run(self.boxes[name])
            self.boxes[name].started_at = self.boxes[name].changed_at = -1000.0
        return self.of(spec.revision)

    def given_theirs(self, spec: AppSpec, *names: str) -> list[Box]:
        """Let there be containers that others started of this image."""
        for number, name in enumerate(map(ReplicaName, names)):
            box = self._box(name, number, spec, self.images[spec.image])
            box.revision = ADOPTED
            self.boxes[name] = box
            self._run(box)
            box.started_at = box.changed_at = -1000.0
        return self.of(ADOPTED)

    def of(self, revision: RevisionId) -> list[Box]:
        """Return the containers of a revision, by name."""
        return [self.boxes[n] for n in sorted(self.boxes) if self.boxes[n].revision == revision]

    def crash(self, name: ReplicaName, code: int = 1, *, comes_back: bool | None = None) -> None:
        """Let a container's process end by itself; Docker starts it again if it is told to."""
        box = self.boxes[name]
        if not box.is_running:
            return
        box.died_by_itself = True
        self._exit(box, code)
        if box.behaves.comes_back if comes_back is None else comes_back:
            box.state = ContainerState.RESTARTING
            pause = COMES_BACK_AFTER * 2 ** min(box.restarts, 8)
            asyncio.get_running_loop().call_later(pause, self._come_back, box)

    def remove_by_hand(self, name: ReplicaName) -> None:
        """Let somebody `docker rm -f` a container."""
        box = self.graveyard[name] = self.boxes.pop(name)
        box.died_by_itself = True
        self._exit(box, 137)

    def sicken(self, name: ReplicaName, what: str = "HTTP 500") -> None:
        """Let a container run on and answer nothing good."""
        self.boxes[name].sick, self.boxes[name].changed_at = what, now()

    def heal(self, name: ReplicaName) -> None:
        """Let it be well again."""
        if self.boxes[name].sick:
            self.boxes[name].sick, self.boxes[name].changed_at = "", now()

    def reboot(self) -> None:
        """Let the machine go down and come up: everything has exited."""
        for name in sorted(self.boxes):
            self.crash(name, 255, comes_back=False)

    # --- the port: looking ------------------------------------------------------------------------

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app."""
        return await self._ask(
            "containers",
            lambda: [
                self._described(box)
                for box in self.boxes.values()
                if box.app == app and box.revision != ADOPTED
            ],
        )

    async def adopted(self, app: AppName, adopt: Adoption | None) -> Sequence[Container]:
        """Return what others started and an app adopts."""
        if adopt is None:
            return []
        return await self._ask(
            "adopted",
            lambda: [
                self._described(box)
                for box in self.boxes.values()
                if box.app == app and box.revision == ADOPTED and is_adopted(box, adopt)
            ],
        )

    async def apps(self) -> frozenset[AppName]:
        """Return the names of all apps that have a container."""
        return await self._ask("apps", lambda: frozenset(b.app for b in self.boxes.values()))

    async def tail(self, name: ReplicaName, lines: int) -> tuple[str, ...]:
        """Return the last lines a container wrote."""

        def last() -> tuple[str, ...]:
            box = self.boxes.get(name)
            return box.behaves.last_words[-lines:] if box is not None else ()

        return await self._ask("tail", last)

    async def has(self, image: str) -> bool:
        """Tell whether the image is on this machine."""
        return await self._ask(
            "has", lambda: self.lies_about_images or image in self.images or image in self._contents
        )

    async def digest(self, image_id: str) -> str:
        """Return where an image can be had again."""

        def answer() -> str:
            pushed = self._pushed.get(id(self._contents.get(image_id)), "")
            return self.digests.get(image_id, pushed)

        return await self._ask("digest", answer)

    def _image_id(self, behaves: Behaviour) -> str:
        known = next((key for key, value in self._contents.items() if value is behaves), None)
        if known is None:
            known = f"sha256:{next(self._image_ids)}"
            self._contents[known] = behaves
        return known

    def _described(self, box: Box) -> Container:
        return Container(
            name=box.name,
            app=box.app,
            revision=box.revision,
            number=box.number,
            id=box.id,
            state=box.state,
            life=str(box.life) if box.life else "",
            image_id=self._image_id(box.behaves),
            ip=box.ip,
            pid=100 if box.is_running else 0,
            exit_code=box.exit_code,
            restarts=box.restarts,
            hook=box.hook,
        )

    async def _ask(self, verb: str, answer: Callable[[], Result]) -> Result:
        return await self._tape.ask("docker", verb, answer, EngineUnavailable, takes=0.002)

    # --- the port: acting -------------------------------------------------------------------------

    async def create(self, name: ReplicaName, number: int, spec: AppSpec, image: str) -> None:
        """Create a container; one of that name and revision that is already there is fine."""

        async def effect() -> None:
            behaves = self.images.get(image) or self._contents.get(image)
            if behaves is None:
                raise ImageNotFound(f"no such image: {image}")
            if name in self.strangers:
                raise SpecRefused(f"the name {name} belongs to someone else")
            if behaves.refusal:
                raise SpecRefused(behaves.refusal)
            if name in self.boxes:
                return
            self._ledger.creating(name, spec)
            await asyncio.sleep(behaves.create_takes)
            self.boxes[name] = self._box(name, number, spec, behaves)
            self._tell(spec.name)

        await self._act("create", name, effect)

    def _box(self, name: ReplicaName, number: int, spec: AppSpec, behaves: Behaviour) -> Box:
        return Box(
            id=f"c{next(self._ids)}",
            name=name,
            app=spec.name,
            revision=spec.revision,
            number=number,
            port=spec.port,
            behaves=behaves,
        )

    async def create_hook(
        self, name: ReplicaName, hook: Hook, deployment: int, spec: AppSpec, image: str
    ) -> None:
        """Create the container of a hook; one of that name that is already there is fine."""
        label = HookLabel(moment=hook.moment, deployment=deployment, timeout=hook.timeout)

        async def effect() -> None:
            behaves = self.images.get(image) or self._contents.get(image)
            if behaves is None:
                raise ImageNotFound(f"no such image: {image}")
            if name not in self.boxes:
                await asyncio.sleep(behaves.create_takes)
                self.boxes[name] = replace(self._box(name, 0, spec, behaves), hook=label)
                self._tell(spec.name)

        await self._act("create_hook", name, effect)

    async def start_once(self, name: ReplicaName) -> None:
        """Start a container that has never been started; any other is left as it is."""

        async def effect() -> None:
            box = self.boxes.get(name)
            if box is None:
                raise Conflict(f"{name} is gone")
            if box.state is not ContainerState.CREATED:
                return
            self._ledger.hook_starting(box)
            self.hooks_run.append(name)
            self._run(box)
            asyncio.get_running_loop().call_later(self.hook_takes, self._end_hook, box)

        await self._act("start_once", name, effect)

    def _end_hook(self, box: Box) -> None:
        if box.is_running:
            self._exit(box, self.hook_code)

    async def start(self, name: ReplicaName) -> None:
        """Start a container; one that runs already is fine."""

        async def effect() -> None:
            box = self.boxes.get(name)
            if box is None:
                raise Conflict(f"{name} is gone")
            await asyncio.sleep(box.behaves.start_takes)
            if box.behaves.start_refusal:
                raise SpecRefused(box.behaves.start_refusal)
            if not box.is_running and self.boxes.get(name) is box:
                self._ledger.starting(box)
                self._run(box)

        await self._act("start", name, effect)

    async def stop(self, name: ReplicaName) -> None:
        """Stop a container with its own signal and grace period; gone or stopped is fine."""

        async def effect() -> None:
            box = self.boxes.get(name)
            if box is None or not (box.is_running or box.state is ContainerState.RESTARTING):
                return
            self._ledger.stopping(box)
            life, box.is_stopping = box.life, True
            if box.state is ContainerState.RESTARTING:
                self._exit(box, box.exit_code or 0)
                return
            await asyncio.sleep(box.behaves.stop_takes)
            if box.is_running and box.life == life:
                self._exit(box, 0 if box.hook is not None and self.hook_obeys else 143)

        await self._act("stop", name, effect)

    async def remove(self, name: ReplicaName) -> None:
        """Remove a container that does not run; gone is fine."""

        async def effect() -> None:
            box = self.boxes.get(name)
            if box is None:
                return
            if box.is_running:
                raise Conflict(f"{name} cannot be removed now: it is running")
            self._ledger.removing(box)
            box.state = ContainerState.REMOVING
            del self.boxes[name]
            self._tell(box.app)

        await self._act("remove", name, effect)

    async def pull(self, image: str) -> None:
        """Bring the image here."""

        async def effect() -> None:
            behaves = self.registry.get(image)
            self._pulls[image] = now()
            try:
                await asyncio.sleep(behaves.pull_takes if behaves else 0.3)
            finally:
                self._pulls.pop(image, None)
            if image in self.denied:
                raise ImageDenied(f"{image}: the registry wants a login")
            if behaves is None:
                raise ImageNotFound(f"{image}: there is no such image")
            self.images[image] = behaves

        await self._act("pull", image, effect)

    def progress(self, image: str) -> PullProgress | None:
        """Return how much of an image has come: it comes evenly."""
        since, behaves = self._pulls.get(image), self.registry.get(image)
        if since is None or behaves is None or not behaves.size:
            return None
        part = min(1.0, (now() - since) / behaves.pull_takes)
        return PullProgress(done=int(behaves.size * part), total=behaves.size)

    # --- the shelf --------------------------------------------------------------------------------

    async def ids(self) -> frozenset[str]:
        """Return the IDs of all images on this machine."""
        return await self._ask(
            "ids", lambda: frozenset({*self._contents, *map(self._image_id, self.images.values())})
        )

    async def used(self) -> frozenset[str]:
        """Return the IDs of the images that containers have."""
        boxes = (*self.boxes.values(), *self.others)
        return await self._ask("used", lambda: frozenset(self._image_id(b.behaves) for b in boxes))

    async def image_id(self, image: str) -> str:
        """Return the ID of an image on this machine."""

        def answer() -> str:
            behaves = self.images.get(image) or self._contents.get(image)
            return "" if behaves is None else self._image_id(behaves)

        return await self._ask("image_id", answer)

    async def remove_image(self, image_id: str, names: frozenset[str]) -> None:
        """Remove an image that nobody has come to use beside us."""

        async def effect() -> None:
            behaves = self._contents.get(image_id)
            if behaves is None:
                return
            called = {name for name, what in self.images.items() if what is behaves}
            if called - names:
                raise Conflict(f"it is also called {called - names}")
            if any(box.behaves is behaves for box in (*self.boxes.values(), *self.others)):
                raise Conflict("a container uses it")
            for name in called:
                del self.images[name]
            del self._contents[image_id]

        await self._act("remove_image", ",".join(sorted(names)), effect)

    # --- the registry -----------------------------------------------------------------------------

    def push(self, image: str, digest: str, behaves: Behaviour) -> None:
        """Have a tag mean something from now on; what it meant before can be had by its digest."""
        self.tags[image] = digest
        self.registry[image] = self.registry[f"{image}@{digest}"] = behaves
        repository = image.rpartition(":")[0]
        self.registry[f"{repository}@{digest}"] = behaves
        self._pushed[id(behaves)] = f"{repository}@{digest}"

    async def tag_digest(self, image: str) -> str:
        """Return what a tag means now."""

        def answer() -> str:
            if image in self.denied:
                raise ImageDenied(f"{image}: the registry wants a login")
            if image not in self.tags:
                raise ImageNotFound(f"{image}: there is no such image")
            return self.tags[image]

        return await self._tape.ask(
            "registry", "tag_digest", answer, EngineUnavailable, takes=self.registry_takes
        )

    async def known_digests(self, image: str) -> frozenset[str]:
        """Return under which digests an image of this machine is known."""

        def answer() -> frozenset[str]:
            behaves = self.images.get(image) or self._contents.get(image)
            name = "" if behaves is None else self._pushed.get(id(behaves), "")
            return frozenset({name.partition("@")[2]} - {""})

        return await self._ask("digests", answer)

    async def _act(self, verb: str, about: str, effect: Callable[[], Awaitable[None]]) -> None:
        await self._tape.act("docker", verb, about, effect, EngineUnavailable)

    # --- lives ------------------------------------------------------------------------------------

    def _run(self, box: Box) -> None:
        box.state, box.exit_code = ContainerState.RUNNING, None
        box.life += 1
        box.started_at = box.changed_at = now()
        box.is_stopping = box.died_by_itself = False
        box.connections = 0
        box.ip = heapq.heappop(self._free_ips)  # what became free is given out again at once
        after = box.behaves.crashes_after
        if after == 0:
            self.crash(box.name)
        elif after is not None:
            asyncio.get_running_loop().call_later(after, self._crash_of_life, box, box.life)
        self._tell(box.app)

    def _exit(self, box: Box, code: int) -> None:
        box.state, box.exit_code, box.changed_at = ContainerState.EXITED, code, now()
        if box.ip:
            heapq.heappush(self._free_ips, box.ip)
        box.ip, box.connections = "", 0
        self._tell(box.app)

    def _crash_of_life(self, box: Box, life: int) -> None:
        if box.life == life and self.boxes.get(box.name) is box:
            self.crash(box.name)

    def _come_back(self, box: Box) -> None:
        if box.state is ContainerState.RESTARTING and self.boxes.get(box.name) is box:
            box.restarts += 1
            self._run(box)

    def _tell(self, app: AppName) -> None:
        if self.tells and "docker" not in self._tape.down:
            self.wake(app)


class FakeProber:
    """Asks the containers themselves."""

    def __init__(self, engine: FakeEngine, tape: Tape) -> None:
        self._engine = engine
        self._tape = tape
        self.breaks_with: Exception | None = None
        """A bug of the adapter: it raises although it never should."""

    async def probe(
        self,
        container: Container,
        port: int,
        policy: HealthPolicy,  # noqa: ARG002 - the port has it
    ) -> ProbeResult:
        """Ask once."""
        return await self._tape.ask(
            "network", "probe", lambda: self._answer(container, port), RuntimeError, takes=0.003
        )

    def _answer(self, container: Container, port: int) -> ProbeResult:
        if self.breaks_with is not None:
            raise self.breaks_with
        box = next((b for b in self._engine.boxes.values() if b.ip and b.ip == container.ip), None)
        if box is None or not box.is_ready or port != box.port:
            return ProbeResult(ok=False, detail="connection refused", is_bound=False)
        if box.is_silent:
            return ProbeResult(ok=False, detail="no answer within 2 s")
        if box.sick:
            return ProbeResult(ok=False, detail=box.sick)
        return ProbeResult(ok=box.status == 200, detail=f"HTTP {box.status}")


class FakeCounter:
    """Counts what tests say is open."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.can_count = True
        self.takes = 0.0
        """Seconds to count."""
        self.counted: list[ReplicaName] = []
        """Who was counted."""

    async def open_connections(self, container: Container, port: int) -> int | None:
        """Return the replica's established connections."""
        del port  # it has only one
        self.counted.append(container.name)
        await asyncio.sleep(self.takes)
        box = self._engine.boxes.get(container.name)
        return box.connections if self.can_count and box is not None else None


# --- Traefik --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edition:
    """One version of the published document."""

    number: int
    parts: Mapping[AppName, Routing]


NOTHING = Edition(0, {})


@dataclass(slots=True)
class FakeTraefik:
    """One Traefik: runs what it has loaded."""

    name: str
    lag: float = 0.01
    """Seconds from a publication until it runs."""
    is_stuck: bool = False
    """It loads nothing any more."""
    answers: bool = True
    """Its API can be asked."""
    loaded: Edition = NOTHING


@dataclass(slots=True)
class _Timers:
    """Since when things are known of one app."""

    part: float | None = None
    weights: float | None = None
    unrouted: dict[ReplicaName, float] = field(default_factory=dict)
    routable: frozenset[ReplicaName] = frozenset()


class FakeRouter:
    """The published document and the Traefiks that read it; implements `ports.Router`.

    The file outlives the service; what is known of the Traefiks does not, and is learnt anew.
    """

    def __init__(self, tape: Tape, ledger: Ledger, traefiks: int = 1) -> None:
        self._tape = tape
        self._ledger = ledger
        self.traefiks = [FakeTraefik(f"traefik-{n}") for n in range(1, traefiks + 1)]
        self.file = NOTHING
        self.editions = [NOTHING]
        """Every edition ever written, the newest last."""
        self.wake: Wake = lambda _app: None
        self.guard_available = True
        self.hold_available = True
        self.refuses: dict[str, str] = {}
        """What Traefik says of routes with these rules."""
        self.write_takes = 0.002
        self.is_known = False
        self.known_from = 0
        """The edition that was published when the service started."""
        self._timers: dict[AppName, _Timers] = {}
        self._watched: float | None = None

    # --- what tests do ----------------------------------------------------------------------------

    def given(self, app: AppName, routing: Routing) -> None:
        """Let a routing be published and loaded."""
        self.file = Edition(self.file.number + 1, {**self.file.parts, app: routing})
        self.editions.append(self.file)
        for traefik in self.traefiks:
            traefik.loaded = self.file

    def open(self) -> None:
        """Be started anew with the service: the file is read, nothing else is known."""
        parts = {app: replace(part, trial=()) for app, part in self.file.parts.items()}
        self.file = self.editions[-1] = Edition(self.file.number, parts)  # trials are not read back
        self.is_known = False
        self.known_from, self._timers, self._watched = self.file.number, {}, None
        asyncio.get_running_loop().call_later(0.02, self._learn)

    def stop_answering(self, which: int = 0) -> None:
        """Let a Traefik's API be out of reach; traffic flows on."""
        self.traefiks[which].answers = False
        self._observe()

    def answer_again(self, which: int = 0) -> None:
        """Let it be in reach again."""
        self.traefiks[which].answers = True
        self._observe()

    def stick(self, which: int = 0) -> None:
        """Let a Traefik load nothing any more."""
        self.traefiks[which].is_stuck = True

    def unstick(self, which: int = 0) -> None:
        """Let it load again."""
        self.traefiks[which].is_stuck = False
        self._load(self.traefiks[which])

    def lose(self) -> None:
        """Let somebody empty the published document; every Traefik loads it so."""
        self.file = Edition(self.file.number + 1, {})
        self.editions.append(self.file)
        for traefik in self.traefiks:
            traefik.loaded = self.file

    def restart(self, which: int = 0) -> None:
        """Let a Traefik be started anew: for a moment it runs nothing."""
        traefik = self.traefiks[which]
        traefik.loaded = NOTHING
        self._observe()
        asyncio.get_running_loop().call_later(0.5, self._load, traefik)

    def may_run(self) -> list[Edition]:
        """Return every edition that some Traefik runs or may yet load: the truth."""
        oldest = min((t.loaded.number for t in self.traefiks), default=self.file.number)
        running = {t.loaded.number for t in self.traefiks}
        return [e for e in self.editions if e.number >= oldest or e.number in running]

    def may_route_to(self, name: ReplicaName, since: int = 0) -> bool:
        """Tell whether a request can reach the replica: the truth."""
        editions = [e for e in self.may_run() if e.number >= since]
        return any(part.has(name) for e in editions for part in e.parts.values())

    def part(self, app: AppName) -> Routing | None:
        """Return what is published for an app."""
        return self.file.parts.get(app)

    def weights(self, app: AppName) -> dict[RevisionId, int]:
        """Return the published weights of an app."""
        part = self.part(app)
        return dict(part.weights) if part is not None else {}

    # --- the port ---------------------------------------------------------------------------------

    async def publish(self, app: AppName, routing: Routing | None) -> None:
        """Make this the app's part of the published document."""
        self._require_known()

        async def effect() -> None:
            await asyncio.sleep(self.write_takes)
            self._ledger.publishing(app, routing)
            parts = {k: v for k, v in self.file.parts.items() if k != app}
            if routing is not None:
                parts[app] = routing
            self.file = Edition(self.file.number + 1, parts)
            self.editions.append(self.file)
            for traefik in self.traefiks:
                asyncio.get_running_loop().call_later(traefik.lag, self._load, traefik)
            self._observe()

        await self._tape.act(
            "router", "publish", f"{app} {_told(routing)}", effect, RouterUnavailable
        )

    def state(self, app: AppName) -> RoutingState:
        """Return what is published and confirmed for the app."""
        self._require_known()
        timers = self._timers.get(app) or _Timers(part=self._watched, weights=self._watched)
        part = self.part(app)
        state = RoutingState(
            published=part,
            confirmed_for=_since(timers.part),
            weights_for=_since(timers.weights),
            unrouted={name: now() - moment for name, moment in timers.unrouted.items()},
            routable=timers.routable,
            watched_for=_since(self._watched),
        )
        if state.confirmed_for is None:
            return replace(state, detail=self._detail())
        routes = (*part.routes, *part.trial) if part is not None else ()
        rules = [route.rule for route in routes]
        return replace(
            state, refusal=next((self.refuses[r] for r in rules if r in self.refuses), None)
        )

    def apps(self) -> frozenset[AppName]:
        """Return the apps that have a part in the published document."""
        self._require_known()
        return frozenset(self.file.parts)

    def _require_known(self) -> None:
        if "router" in self._tape.down:
            raise RouterUnavailable(self._tape.down["router"])
        if not self.is_known:
            raise RouterUnavailable("what is published has not been read yet")

    def _detail(self) -> str:
        for traefik in self.traefiks:
            if not traefik.answers:
                return f"Traefik at {traefik.name} does not answer"
            if traefik.loaded.number != self.file.number:
                return f"Traefik at {traefik.name} still runs what was published before"
        return ""

    # --- loading and confirming -------------------------------------------------------------------

    def _load(self, traefik: FakeTraefik) -> None:
        if traefik.is_stuck or traefik.loaded.number == self.file.number:
            return
        traefik.loaded = self.file
        self._ledger.loaded(traefik)
        self._observe()

    def _learn(self) -> None:
        self.is_known = True
        self._observe()
        self.wake(None)

    @property
    def _oldest(self) -> int | None:
        """The oldest edition that may be running, as far as can be asked; None: unknown."""
        if not all(t.answers and t.loaded.number >= self.known_from for t in self.traefiks):
            return None
        return min(t.loaded.number for t in self.traefiks)

    def _observe(self) -> None:
        if not self.is_known:
            return
        oldest = self._oldest
        before, self._watched = (
            self._watched,
            None if oldest is None else now() if self._watched is None else self._watched,
        )
        possible = [e for e in self.editions if e.number >= max(oldest or 0, self.known_from)]
        apps = {app for e in possible for app in e.parts} | self._timers.keys()
        for app in sorted(apps):
            if self._refresh(app, [e.parts.get(app) for e in possible]):
                self.wake(app)
        if (before is None) != (self._watched is None):
            self.wake(None)

    def _refresh(self, app: AppName, parts: Sequence[Routing | None]) -> bool:
        timers = self._timers.setdefault(app, _Timers())
        before = (timers.part is None, timers.weights is None, timers.routable)
        routable = frozenset(s.replica for part in parts if part for s in part.servers)
        if self._watched is None:
            timers.part = timers.weights = None
            timers.unrouted.clear()
        else:
            timers.part = _kept(timers.part, parts)
            timers.weights = _kept(timers.weights, [p.split if p else None for p in parts])
            timers.unrouted |= dict.fromkeys(timers.routable - routable, now())
            timers.unrouted = {n: at for n, at in timers.unrouted.items() if n not in routable}
        timers.routable = routable
        return before != (timers.part is None, timers.weights is None, timers.routable)


def _kept(moment: float | None, values: Sequence[object]) -> float | None:
    if any(value != values[-1] for value in values[:-1]):
        return None
    return now() if moment is None else moment


def _since(moment: float | None) -> float | None:
    return None if moment is None else now() - moment


def _told(routing: Routing | None) -> str:
    if routing is None:
        return "nowhere"
    return " ".join(
        f"{share.revision}={share.weight}%x{len(share.servers)}" for share in routing.shares
    )


# --- memory and wishes ----------------------------------------------------------------------------


class FakeStore:
    """A database in memory; implements `ports.Store`."""

    def __init__(self, tape: Tape, ledger: Ledger) -> None:
        self._tape = tape
        self._ledger = ledger
        self.records: dict[AppName, Record] = {}
        self.known_tags: dict[AppName, KnownTag] = {}
        self.images_pulled: dict[str, frozenset[str]] = {}
        self.endings: list[Ending] = []
        self.notes: list[str] = []

    def lose(self) -> None:
        """Let somebody delete the database."""
        self.records.clear()
        self.known_tags.clear()
        self.images_pulled.clear()
        self._ledger.record_lost()

    async def record(self, app: AppName) -> Record:
        """Return what is remembered of an app."""
        return await self._tape.ask(
            "store", "record", lambda: self.records.get(app, Record()), StoreUnavailable
        )

    async def apps(self) -> frozenset[AppName]:
        """Return the apps that have a record."""
        return await self._tape.ask(
            "store", "remembered", lambda: frozenset(self.records), StoreUnavailable
        )

    async def save(self, app: AppName, record: Record, endings: Sequence[Ending] = ()) -> None:
        """Remember the record, and how deployments ended."""

        async def effect() -> None:
            self._ledger.saving(app, record, endings)
            self.records[app] = record
            self.endings.extend(endings)

        await self._act("save", app, effect)

    async def forget(self, app: AppName) -> None:
        """Forget the record of an app that is gone."""

        async def effect() -> None:
            self._ledger.forgetting(app)
            self.records.pop(app, None)

        await self._act("forget", app, effect)

    async def tags(self) -> Mapping[AppName, KnownTag]:
        """Return what tags were last known to mean."""
        return await self._tape.ask(
            "store", "tags", lambda: dict(self.known_tags), StoreUnavailable
        )

    async def save_tag(self, app: AppName, tag: KnownTag | None) -> None:
        """Remember what a tag means."""

        async def effect() -> None:
            if tag is None:
                self.known_tags.pop(app, None)
            else:
                self.known_tags[app] = tag

        await self._act("save_tag", app, effect)

    async def pulled(self) -> Mapping[str, frozenset[str]]:
        """Return the images that we brought here."""
        return await self._tape.ask(
            "store", "pulled", lambda: dict(self.images_pulled), StoreUnavailable
        )

    async def save_pulled(self, image_id: str, name: str) -> None:
        """Remember that we brought an image here."""

        async def effect() -> None:
            names = self.images_pulled.get(image_id, frozenset())
            self.images_pulled[image_id] = names | {name}

        await self._act("save_pulled", name, effect)

    async def forget_pulled(self, image_id: str) -> None:
        """Forget an image that is gone."""

        async def effect() -> None:
            self.images_pulled.pop(image_id, None)

        await self._act("forget_pulled", image_id, effect)

    async def note(self, app: AppName, sentence: str) -> None:
        """Add a sentence to the app's history."""

        async def effect() -> None:
            self.notes.append(sentence)

        await self._act("note", app, effect)

    async def _act(self, verb: str, about: str, effect: Callable[[], Awaitable[None]]) -> None:
        await self._tape.act("store", verb, about, effect, StoreUnavailable)


class FakeSource:
    """A desired file in memory; implements `ports.DesiredSource`."""

    def __init__(self) -> None:
        self.state = DesiredState()
        self.wake: Wake = lambda _app: None

    def current(self) -> DesiredState:
        """Return the desired state in force."""
        return self.state

    def want(self, *specs: AppSpec, poll: float | None = None) -> None:
        """Edit the file: add these apps, or change them; their tags are followed, or not."""
        apps = {**self.state.apps, **{spec.name: spec for spec in specs}}
        names = [spec.name for spec in specs]
        polls = {name: every for name, every in self.state.polls.items() if name not in names}
        if poll is not None:
            polls |= dict.fromkeys(names, poll)
        self.state = DesiredState(apps=apps, polls=polls)
        for spec in specs:
            self.wake(spec.name)

    def drop(self, app: AppName) -> None:
        """Edit the file: take an app out."""
        self.state = DesiredState(
            apps={k: v for k, v in self.state.apps.items() if k != app},
            polls={k: v for k, v in self.state.polls.items() if k != app},
        )
        self.wake(app)

    def break_file(self, error: str) -> None:
        """Make a mistake in the file: the last good one stays in force."""
        self.state = replace(self.state, error=error)
        self.wake(None)

    def unread(self) -> None:
        """Let no good file have been read yet."""
        self.state = DesiredState(error="desired.yaml: not read yet", is_known=False)

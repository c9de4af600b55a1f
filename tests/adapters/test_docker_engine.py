"""DockerEngine against a daemon that is made to misbehave; `integration/` has the real one.

docker-py, its sockets and our threads are real here; only what answers behind the socket is not.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from traefik_bg.adapters import docker_events
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageDenied,
    ImageNotFound,
    SpecRefused,
)
from traefik_bg.core.model import (
    AppName,
    AppSpec,
    ContainerState,
    Health,
    ReplicaName,
    RevisionId,
    canonical_json,
)

WEB, SHOP = AppName("web"), AppName("shop")
NAME = ReplicaName("web-1")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def app(**container: Any) -> AppSpec:
    return AppSpec(name=WEB, image="acme/web:1", port=80, container=canonical_json(container))


REVISION = app().revision


class FakeDocker:
    """As much of Docker's API as the engine uses, with faults on demand."""

    def __init__(self, api: str = "1.45") -> None:
        self.api = api
        self.containers: dict[str, dict[str, Any]] = {}
        self.networks = {"edge", "db"}
        self.pulling: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.streams: dict[web.StreamResponse, asyncio.Event] = {}
        self.is_deaf = False
        self._news = asyncio.Condition()

    def add(self, name: str = NAME, *, owner: str = "mine", **changes: Any) -> dict[str, Any]:
        labels = {
            "traefik-bg.instance": owner,
            "traefik-bg.app": changes.pop("app", "web"),
            "traefik-bg.revision": str(REVISION),
            "traefik-bg.replica": "1",
        }
        state = {
            "Status": "running",
            "Running": True,
            "Paused": False,
            "Pid": 42,
            "ExitCode": 0,
            "StartedAt": "2026-01-01T00:00:00Z",
        }
        key = f"id-of-{name}"
        found = {
            "Id": key,
            "Name": f"/{name}",
            "State": state | changes,
            "Config": {"Labels": labels, "StopTimeout": 30, "Tty": True},
            "RestartCount": 2,
            "NetworkSettings": {"Networks": {"edge": {"IPAddress": "10.0.0.2"}}},
        }
        self.containers[key] = found
        return found

    def find(self, key: str) -> dict[str, Any] | None:
        return next((c for c in self.containers.values() if key in (c["Id"], c["Name"][1:])), None)

    async def emit(self, container_id: str, app: str = "web") -> None:
        event = {"Actor": {"ID": container_id, "Attributes": {"traefik-bg.app": app}}}
        for stream in self.streams:
            await stream.write(json.dumps(event).encode() + b"\n")

    def hang_up(self) -> None:
        for is_over in self.streams.values():
            is_over.set()
        self.streams.clear()

    async def until(self, kind: str, times: int = 1) -> None:
        """Wait until a kind of request has been made that often."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.asked[kind] >= times)

    # --- the API ---

    @web.middleware
    async def look(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        kind = request.match_info.route.name or ""
        self.asked[kind] += 1
        self.requests.append(request)
        async with self._news:
            self._news.notify_all()
        if kind in self.answers:
            status, message = self.answers[kind]
            return web.json_response({"message": message}, status=status)
        if kind in self.gates:
            await self.gates[kind].wait()
        return await handler(request)

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": self.api})

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(text="OK", headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})

    async def events(self, request: web.Request) -> web.StreamResponse:
        if self.is_deaf:
            return web.json_response({"message": "not now"}, status=503)
        stream = web.StreamResponse()
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        is_over = self.streams[stream] = asyncio.Event()
        await is_over.wait()
        return stream

    async def list(self, request: web.Request) -> web.Response:
        filters = json.loads(request.query["filters"])
        owner = filters["label"][0].partition("=")[2]
        return web.json_response(
            [
                {
                    "Id": found["Id"],
                    "Names": ["/linked/alias", found["Name"]],
                    "Labels": found["Config"]["Labels"],
                    "State": found["State"]["Status"],
                    "NetworkSettings": found["NetworkSettings"],
                }
                for found in self.containers.values()
                if found["Config"]["Labels"]["traefik-bg.instance"] == owner
            ]
        )

    async def inspect(self, request: web.Request) -> web.Response:
        found = self.find(request.match_info["name"])
        if found is None:
            return web.json_response({"message": "No such container: x"}, status=404)
        return web.json_response(found)

    async def create(self, request: web.Request) -> web.Response:
        self.bodies.append(body := await request.json())
        name = request.query["name"]
        if self.find(name):
            words = f'Conflict. The container name "/{name}" is already in use by container "x".'
            return web.json_response({"message": words}, status=409)
        made = self.add(name, Status="created", Running=False)
        made["Config"]["Labels"] = body["Labels"]
        networks = body["NetworkingConfig"]["EndpointsConfig"]
        made["NetworkSettings"]["Networks"] = {network: {} for network in networks}
        return web.json_response({"Id": made["Id"]}, status=201)

    async def network(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.networks:
            return web.json_response({"message": f"network {name} not found"}, status=404)
        return web.json_response({"Name": name})

    async def connect(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response()

    async def done(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def logs(self, _: web.Request) -> web.Response:
        return web.Response(body=b"first\r\n\x1b[31mred\x1b[0m\xff\n" + b"x" * 600 + b"\n\n")

    async def image(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != "acme/web:1":
            return web.json_response({"message": "No such image: x"}, status=404)
        return web.json_response({})

    async def pull(self, _: web.Request) -> web.Response:
        return web.Response(text="\n".join(json.dumps(line) for line in self.pulling))

    def build(self) -> web.Application:
        served = web.Application(middlewares=[self.look])
        v = f"/v{self.api}"
        served.add_routes(
            [
                web.get("/version", self.version, name="version"),
                web.get("/_ping", self.ping, name="ping"),
                web.get(f"{v}/events", self.events, name="events"),
                web.get(f"{v}/containers/json", self.list, name="list"),
                web.get(f"{v}/containers/{{name}}/json", self.inspect, name="inspect"),
                web.post(f"{v}/containers/create", self.create, name="create"),
                web.post(f"{v}/containers/{{name}}/start", self.done, name="start"),
                web.post(f"{v}/containers/{{name}}/unpause", self.done, name="unpause"),
                web.post(f"{v}/containers/{{name}}/stop", self.done, name="stop"),
                web.delete(f"{v}/containers/{{name}}", self.done, name="remove"),
                web.get(f"{v}/containers/{{name}}/logs", self.logs, name="logs"),
                web.get(f"{v}/networks/{{name}}", self.network, name="network"),
                web.post(f"{v}/networks/{{name}}/connect", self.connect, name="connect"),
                web.get(f"{v}/images/{{name:.+}}/json", self.image, name="image"),
                web.post(f"{v}/images/create", self.pull, name="pull"),
            ]
        )
        return served


class Wakes:
    """Remembers what was woken, and lets a test wait for it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[AppName | None] = asyncio.Queue()

    def __call__(self, app: AppName | None) -> None:
        self._queue.put_nowait(app)

    async def next(self) -> AppName | None:
        async with asyncio.timeout(5):
            return await self._queue.get()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture(params=["1.45"])
async def docker(request: pytest.FixtureRequest, socket: Path) -> AsyncIterator[FakeDocker]:
    fake = FakeDocker(request.param)
    runner = web.AppRunner(fake.build(), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    yield fake
    for gate in fake.gates.values():
        gate.set()
    fake.hang_up()
    await runner.cleanup()


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(docker: FakeDocker, socket: Path, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    """Return an engine that hears events."""
    async with DockerEngine("mine", "edge", wakes, f"unix://{socket}") as engine:
        assert await wakes.next() is None
        yield engine


class TestLooking:
    async def test_tells_all_there_is_to_know_of_a_container(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container is described by what Docker says of it now."""
        docker.add(Health={"Status": "starting"})

        (found,) = await engine.containers(WEB)

        assert (found.name, found.app, found.revision, found.number) == (NAME, WEB, REVISION, 1)
        assert (found.state, found.ip, found.pid) == (ContainerState.RUNNING, "10.0.0.2", 42)
        assert (found.life, found.restarts) == ("2026-01-01T00:00:00Z", 2)
        assert (found.docker_health, found.exit_code) == (Health.STARTING, None)

    @pytest.mark.parametrize(
        ("status", "state", "code"),
        [
            ("created", ContainerState.CREATED, None),
            ("paused", ContainerState.PAUSED, None),
            ("restarting", ContainerState.RESTARTING, 137),
            ("removing", ContainerState.REMOVING, None),
            ("exited", ContainerState.EXITED, 137),
            ("dead", ContainerState.EXITED, 137),
        ],
    )
    async def test_knows_every_state_of_docker(
        self,
        docker: FakeDocker,
        engine: DockerEngine,
        status: str,
        state: ContainerState,
        code: int | None,
    ) -> None:
        """Each of Docker's states has a meaning; only a process that ended has an exit code."""
        docker.add(Status=status, ExitCode=137, StartedAt="0001-01-01T00:00:00Z")

        (found,) = await engine.containers(WEB)

        assert (found.state, found.exit_code, found.life) == (state, code, "")

    async def test_sees_only_this_instance(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """Another service's containers on the same Docker do not exist for us (S6)."""
        docker.add("web-2", owner="theirs")
        docker.add("shop-1", app="shop")

        assert await engine.containers(WEB) == ()
        assert await engine.apps() == {SHOP}

    async def test_shares_one_listing_among_all_apps(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Fifty apps that look at once cost one listing."""
        await asyncio.gather(*(engine.containers(AppName(f"app{n}")) for n in range(50)))

        assert docker.asked["list"] == 1

    async def test_never_answers_with_a_listing_begun_before_the_question(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Who asks while a listing is under way waits for the next one."""
        gate = docker.gates["list"] = asyncio.Event()
        early = asyncio.create_task(engine.containers(WEB))
        await docker.until("list")
        late = [asyncio.create_task(engine.containers(WEB)) for _ in range(3)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(early, *late)

        assert docker.asked["list"] == 2

    async def test_inspects_a_container_at_rest_only_once(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """As long as events are heard and tell nothing, what is known is known."""
        docker.add()

        first, second = await engine.containers(WEB), await engine.containers(WEB)

        assert first == second
        assert docker.asked["inspect"] == 1

    async def test_inspects_anew_after_an_event(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """An event about a container says look: what was known of it counts no more."""
        found = docker.add()
        await engine.containers(WEB)
        found["State"]["StartedAt"] = "2026-02-02T00:00:00Z"
        await docker.emit(found["Id"])

        assert await wakes.next() == WEB
        assert (await engine.containers(WEB))[0].life == "2026-02-02T00:00:00Z"

    async def test_does_not_keep_an_inspection_an_event_has_overtaken(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """An answer that was under way when the event came may be older than the event."""
        found = docker.add()
        gate = docker.gates["inspect"] = asyncio.Event()
        looking = asyncio.create_task(engine.containers(WEB))
        await docker.until("inspect")
        await docker.emit(found["Id"])
        await wakes.next()
        gate.set()
        await looking
        await engine.containers(WEB)

        assert docker.asked["inspect"] == 2

    async def test_inspects_anew_when_the_listing_says_otherwise(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A listing that contradicts what is known wins, event or not."""
        found = docker.add()
        await engine.containers(WEB)
        found["State"] |= {"Status": "exited", "Running": False, "ExitCode": 3}

        (seen,) = await engine.containers(WEB)

        assert (seen.state, seen.exit_code) == (ContainerState.EXITED, 3)

    async def test_takes_the_address_from_the_newest_listing(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An address is never remembered: it may be a stranger's by now (S7)."""
        found = docker.add()
        await engine.containers(WEB)
        found["NetworkSettings"]["Networks"] = {}

        assert (await engine.containers(WEB))[0].ip == ""

    async def test_trusts_nothing_while_events_are_not_heard(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Without events every look asks Docker about every container."""
        docker.add()
        docker.is_deaf = True
        await engine.containers(WEB)
        docker.hang_up()
        await docker.until("events", 2)
        docker.asked.clear()
        await engine.containers(WEB)
        await engine.containers(WEB)

        assert docker.asked["inspect"] == 2

    async def test_leaves_out_what_vanishes_while_it_looks(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container that is gone between listing and inspection is gone."""
        found = docker.add()
        gate = docker.gates["inspect"] = asyncio.Event()
        looking = asyncio.create_task(engine.containers(WEB))
        await docker.until("inspect")
        del docker.containers[found["Id"]]
        gate.set()

        assert await looking == ()

    async def test_does_not_know_when_docker_answers_with_an_error(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An error is no empty list (S5), for nobody who shared the question."""
        docker.answers["list"] = (500, "database is locked")

        answers = await asyncio.gather(
            engine.containers(WEB), engine.apps(), return_exceptions=True
        )

        assert [str(answer) for answer in answers] == [
            "Docker could not list the containers: database is locked"
        ] * 2
        assert all(isinstance(answer, EngineUnavailable) for answer in answers)

    async def test_does_not_know_when_docker_is_not_there(self, wakes: Wakes) -> None:
        """No socket, no knowledge; the message says where Docker was sought."""
        engine = DockerEngine("mine", "edge", wakes, "unix:///nowhere/docker.sock")

        with pytest.raises(EngineUnavailable, match=r"at unix:///nowhere/docker\.sock: there"):
            await engine.containers(WEB)

    async def test_is_not_held_up_by_stops(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """However many containers take their time to stop, looking goes on."""
        docker.gates["stop"] = asyncio.Event()
        names = [ReplicaName(f"web-{number}") for number in range(12)]
        for name in names:
            docker.add(name)
        stops = [asyncio.create_task(engine.stop(name)) for name in names]
        await docker.until("stop", len(stops))

        assert len(await engine.containers(WEB)) == len(names)
        docker.gates["stop"].set()
        await asyncio.gather(*stops)


class TestEvents:
    @pytest.mark.usefixtures("engine")
    async def test_wake_the_app_they_are_about(self, docker: FakeDocker, wakes: Wakes) -> None:
        """Each event wakes the app of its container, and no other."""
        await docker.emit("x", "shop")
        await docker.emit("y", "web")

        assert [await wakes.next(), await wakes.next()] == [SHOP, WEB]

    @pytest.mark.usefixtures("engine")
    async def test_are_asked_for_without_a_gap(self, docker: FakeDocker) -> None:
        """Docker is asked for our containers' events since a moment ago by its own clock."""
        (asked,) = [request for request in docker.requests if request.path.endswith("/events")]

        assert asked.query["since"] == "1767225600"
        filters = json.loads(asked.query["filters"])
        assert filters["label"] == ["traefik-bg.instance=mine"]
        assert filters["type"] == ["container"]

    @pytest.mark.usefixtures("engine")
    async def test_are_heard_again_after_an_outage_that_is_logged_once(
        self,
        docker: FakeDocker,
        wakes: Wakes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """However long Docker is away: one line when it goes, one when it is back, and a look."""
        monkeypatch.setattr(docker_events, "FIRST_PAUSE", 0.001)
        monkeypatch.setattr(docker_events, "LONGEST_PAUSE", 0.002)
        with structlog.testing.capture_logs() as logs:
            docker.is_deaf = True
            docker.hang_up()
            await docker.until("events", 5)
            docker.is_deaf = False

            assert await wakes.next() is None
        assert [line["event"] for line in logs] == ["engine.lost", "engine.back"]

    @pytest.mark.usefixtures("docker")
    async def test_are_subscribed_to_anew_when_it_was_quiet_for_long(
        self,
        socket: Path,
        wakes: Wakes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A silent stream may be a dead one: it is replaced without a word in the log."""
        monkeypatch.setattr(docker_events, "QUIET_TIMEOUT", 0.02)
        with structlog.testing.capture_logs() as logs:
            async with DockerEngine("mine", "edge", wakes, f"unix://{socket}"):
                assert [await wakes.next(), await wakes.next()] == [None, None]
        assert logs == []

    async def test_end_at_once_when_the_engine_is_closed(
        self, docker: FakeDocker, socket: Path, wakes: Wakes
    ) -> None:
        """Closing waits neither for the stream nor for a call that hangs."""
        docker.gates["inspect"] = asyncio.Event()
        docker.add()
        async with DockerEngine("mine", "edge", wakes, f"unix://{socket}") as engine:
            hanging = asyncio.create_task(engine.containers(WEB))
            await docker.until("inspect")
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1
        hanging.cancel()


class TestVerbs:
    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    async def test_leave_strangers_alone(
        self, docker: FakeDocker, engine: DockerEngine, verb: str
    ) -> None:
        """A name that belongs to another instance's container is refused, untouched (S6)."""
        docker.add(owner="theirs")

        with pytest.raises(SpecRefused, match="belongs to a container of instance 'theirs'"):
            await getattr(engine, verb)(NAME)
        assert docker.asked[verb] == 0

    async def test_do_not_show_a_strangers_log(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """What strangers write is not ours to read."""
        docker.add(owner="theirs")

        assert await engine.tail(NAME, 10) == ()

    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    async def test_act_on_the_id_that_was_looked_at(
        self, docker: FakeDocker, engine: DockerEngine, verb: str
    ) -> None:
        """A name can change hands between the look and the deed; an id cannot."""
        docker.add()

        await getattr(engine, verb)(NAME)

        assert docker.requests[-1].match_info["name"] == "id-of-web-1"

    async def test_start_unpauses_what_is_paused(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A paused container goes on where it was."""
        docker.add(Paused=True)

        await engine.start(NAME)

        assert (docker.asked["unpause"], docker.asked["start"]) == (1, 0)

    async def test_start_of_what_is_gone_is_a_conflict(self, engine: DockerEngine) -> None:
        """What is gone cannot be started; the world must be looked at again."""
        with pytest.raises(Conflict, match="web-1 is gone"):
            await engine.start(NAME)

    async def test_stop_gives_the_containers_own_grace(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """The grace period is the one the container was created with."""
        docker.add()

        await engine.stop(NAME)

        assert docker.requests[-1].query["t"] == "30"

    async def test_stop_is_done_when_there_is_nothing_to_stop(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Gone before, gone meanwhile or not running: all of it is stopped."""
        await engine.stop(NAME)
        docker.add(Running=False)
        await engine.stop(NAME)
        docker.add()
        docker.answers["stop"] = (404, "No such container: x")
        await engine.stop(NAME)

    async def test_stop_that_docker_cannot_do_is_unknown(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A stop that failed may be tried again."""
        docker.add()
        docker.answers["stop"] = (500, "did not receive an exit event")

        with pytest.raises(EngineUnavailable, match="could not stop web-1: did not receive"):
            await engine.stop(NAME)

    @pytest.mark.parametrize(
        "answer",
        [(404, "No such container: x"), (409, "removal of container x is already in progress")],
    )
    async def test_remove_is_done_when_someone_else_does_it(
        self, docker: FakeDocker, engine: DockerEngine, answer: tuple[int, str]
    ) -> None:
        """Gone or going is as good as removed."""
        await engine.remove(NAME)
        docker.add(Running=False)
        docker.answers["remove"] = answer
        await engine.remove(NAME)

        assert docker.requests[-1].query["v"] == "True"
        assert docker.requests[-1].query["force"] == "False"

    async def test_remove_of_what_runs_is_a_conflict(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Nothing that runs is ever removed."""
        docker.add()
        docker.answers["remove"] = (409, "container is running: stop the container before removing")

        with pytest.raises(Conflict, match="web-1 cannot be removed now: container is running"):
            await engine.remove(NAME)

    async def test_tail_shows_lines_people_can_read(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Colours, control characters and endless lines are left out."""
        docker.add()

        assert await engine.tail(NAME, 3) == ("first", "red\N{REPLACEMENT CHARACTER}", "x" * 500)

    async def test_tail_is_empty_where_there_is_nothing_to_read(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container that is gone, or logs elsewhere, has no last lines."""
        assert await engine.tail(NAME, 3) == ()
        docker.add()
        docker.answers["logs"] = (500, "configured logging driver does not support reading")
        assert await engine.tail(NAME, 3) == ()


class TestCreate:
    async def test_marks_the_container_as_ours(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """All that a look needs is on the container itself."""
        await engine.create(NAME, 3, app())

        assert docker.bodies[0]["Labels"] == {
            "traefik-bg.instance": "mine",
            "traefik-bg.app": "web",
            "traefik-bg.revision": str(REVISION),
            "traefik-bg.replica": "3",
        }

    async def test_is_done_when_it_is_there_already(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Done but the answer was lost: doing it again changes nothing."""
        await engine.create(NAME, 1, app())
        await engine.create(NAME, 1, app())

        assert len(docker.containers) == 1

    async def test_refuses_a_name_of_a_stranger(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A stranger keeps its name; people read what they can do."""
        docker.add(owner="")

        with pytest.raises(SpecRefused, match="belongs to a container of someone else"):
            await engine.create(NAME, 1, app())

    async def test_refuses_a_name_of_another_replica(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Ours, but not what was asked for: never taken for it."""
        docker.add()["Config"]["Labels"]["traefik-bg.revision"] = str(RevisionId("other"))

        with pytest.raises(SpecRefused, match="another replica of ours"):
            await engine.create(NAME, 1, app())

    async def test_asks_for_every_network_first(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A missing network is refused with the command that makes it, before anything is made."""
        with pytest.raises(SpecRefused, match="docker network create cache"):
            await engine.create(NAME, 1, app(networks=["db", "cache"]))
        assert docker.containers == {}

    @pytest.mark.parametrize("docker", ["1.43"], indirect=True)
    async def test_attaches_the_other_networks_one_by_one_where_it_must(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An older engine gets them after the creation; a second try finds what is missing."""
        spec = app(networks={"db": {"aliases": ["w"]}})
        await engine.create(NAME, 1, spec)
        docker.bodies.clear()
        await engine.create(NAME, 1, spec)

        endpoint = docker.bodies[-1]["EndpointConfig"]
        assert (docker.asked["connect"], endpoint["Aliases"]) == (2, ["w"])

    async def test_says_that_the_image_is_missing(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A missing image is a reason of its own: it can be pulled."""
        docker.answers["create"] = (404, "No such image: acme/web:1")

        with pytest.raises(ImageNotFound, match="acme/web:1 is not on this machine"):
            await engine.create(NAME, 1, app())


class TestImages:
    async def test_are_here_or_not(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """An image is on this machine, or it is not, or we do not know."""
        assert await engine.has("acme/web:1")
        assert not await engine.has("acme/web:2")
        docker.answers["image"] = (500, "x")
        with pytest.raises(EngineUnavailable, match="look for image acme/web:1: x"):
            await engine.has("acme/web:1")

    @pytest.mark.parametrize(
        ("image", "asked"),
        [
            ("acme/web", ("acme/web", "latest")),
            ("ghcr.io/acme/web:1", ("ghcr.io/acme/web", "1")),
            ("localhost:5000/web@sha256:ab", ("localhost:5000/web", "sha256:ab")),
        ],
    )
    async def test_are_pulled_by_tag_or_digest(
        self, docker: FakeDocker, engine: DockerEngine, image: str, asked: tuple[str, str]
    ) -> None:
        """Never more than one image is pulled."""
        docker.pulling = [{"status": "Pulling"}, {"status": "Done"}]

        await engine.pull(image)

        query = docker.requests[-1].query
        assert (query["fromImage"], query["tag"]) == asked

    async def test_that_fail_half_way_are_not_here(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A pull that began well may still fail; its last line says so."""
        docker.pulling = [{"status": "Pulling"}, {"error": "manifest unknown"}]

        with pytest.raises(ImageNotFound, match="acme/web:2 is not in its registry"):
            await engine.pull("acme/web:2")

    async def test_that_docker_refuses_at_once_are_refused(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A no before the first line counts as well."""
        docker.answers["pull"] = (404, "pull access denied for acme/web")

        with pytest.raises(ImageDenied, match="`docker login`"):
            await engine.pull("acme/web:2")

    async def test_that_cannot_be_named_are_not_found(self, engine: DockerEngine) -> None:
        """A name no registry could know is refused without asking one."""
        with pytest.raises(ImageNotFound, match="cannot name an image"):
            await engine.pull("-a.io/web")

    async def test_are_pulled_with_the_newest_login(
        self,
        docker: FakeDocker,
        engine: DockerEngine,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A login made while the service runs counts for the next pull."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        await engine.pull("ghcr.io/acme/web:1")
        assert "X-Registry-Auth" not in docker.requests[-1].headers
        secret = base64.b64encode(b"me:hunter2").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": secret}}}))
        await engine.pull("ghcr.io/acme/web:1")

        sent = json.loads(base64.urlsafe_b64decode(docker.requests[-1].headers["X-Registry-Auth"]))
        assert (sent["username"], sent["password"]) == ("me", "hunter2")

    @pytest.mark.filterwarnings("ignore:docker-credential-nowhere not installed")
    async def test_whose_login_cannot_be_read_are_denied(
        self, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A credential helper that does not work is named as the reason."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"credsStore": "nowhere"}))

        with pytest.raises(ImageDenied, match="credential helper"):
            await engine.pull("ghcr.io/acme/web:1")

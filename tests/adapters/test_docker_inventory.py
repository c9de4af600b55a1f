"""How DockerEngine looks and listens, against a daemon that is made to misbehave.

docker-py, its sockets and our threads are real here; only what answers behind the socket is not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from tests.adapters.fake_docker import NAME, REVISION, SHOP, WEB, FakeDocker, Wakes, fake_docker
from traefik_bg.adapters import docker_events, docker_inventory
from traefik_bg.adapters.docker_connection import ASK_TIMEOUT
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.model import AppName, ReplicaName
from traefik_bg.core.observation import ContainerState, Health


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
async def docker(socket: Path) -> AsyncIterator[FakeDocker]:
    async with fake_docker(socket) as fake:
        yield fake


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

    async def test_does_not_guess_a_state_it_does_not_know(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A word of a Docker yet to come is no knowledge."""
        docker.add(Status="dreaming")

        with pytest.raises(EngineUnavailable, match="'dreaming'"):
            await engine.containers(WEB)

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

    async def test_asks_for_one_app_only_when_only_one_looks(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A look of one app does not make Docker describe all the others; what is kept stays."""
        docker.add()
        docker.add("shop-1", app="shop")
        await asyncio.gather(engine.containers(WEB), engine.containers(SHOP))
        await engine.containers(SHOP)
        await engine.containers(WEB)

        filters = [
            json.loads(request.query["filters"])["label"]
            for request in docker.requests
            if request.path.endswith("/containers/json")
        ]
        assert filters == [
            ["traefik-bg.instance=mine"],
            ["traefik-bg.instance=mine", "traefik-bg.app=shop"],
            ["traefik-bg.instance=mine", "traefik-bg.app=web"],
        ]
        assert docker.asked["inspect"] == 2

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

    async def test_believes_nothing_for_ever(
        self, docker: FakeDocker, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An event may get lost without a sign: after a while a container is inspected anew."""
        monkeypatch.setattr(docker_inventory, "_KEPT_FOR", 0)
        docker.add()
        await engine.containers(WEB)
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

    async def test_does_not_wait_to_say_that_a_container_has_ended(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """While Docker starts it again it cannot be inspected; but requests go there still."""
        found = docker.add()
        await engine.containers(WEB)
        found["State"] |= {"Status": "restarting", "Running": True, "ExitCode": 137}
        docker.gates["inspect"] = asyncio.Event()
        await docker.emit(found["Id"])
        assert await wakes.next() == WEB

        (seen,) = await engine.containers(WEB)

        assert (seen.state, seen.exit_code) == (ContainerState.RESTARTING, None)
        docker.gates["inspect"].set()
        (seen,) = await engine.containers(WEB)
        assert seen.exit_code == 137

    async def test_says_so_when_docker_can_tell_more(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Nobody asks again meanwhile; with what code it ended is worth another look."""
        found = docker.add()
        await engine.containers(WEB)
        found["State"] |= {"Status": "exited", "Running": False, "ExitCode": 137}
        docker.gates["inspect"] = asyncio.Event()
        await docker.emit(found["Id"])
        assert await wakes.next() == WEB
        for _ in range(3):
            (seen,) = await engine.containers(WEB)
            assert (seen.state, seen.exit_code) == (ContainerState.EXITED, None)
        assert docker.asked["inspect"] == 2

        docker.gates["inspect"].set()

        assert await wakes.next() == WEB
        (seen,) = await engine.containers(WEB)
        assert seen.exit_code == 137

    async def test_asks_no_further_when_nobody_waits_for_it(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """A look that is given up leaves no question behind."""
        found = docker.add()
        await engine.containers(WEB)
        found["State"] |= {"Status": "exited", "Running": False, "ExitCode": 137}
        docker.gates["inspect"] = asyncio.Event()
        await docker.emit(found["Id"])
        assert await wakes.next() == WEB
        look = asyncio.create_task(engine.containers(WEB))
        asked = [f"inspect {found['Name'][1:]}"]
        inspecting: list[asyncio.Task[object]] = []
        for _ in range(100_000):
            inspecting = [task for task in asyncio.all_tasks() if task.get_name() in asked]
            if inspecting:
                break
            await asyncio.sleep(0)

        look.cancel()

        await asyncio.gather(look, *inspecting, return_exceptions=True)
        assert inspecting
        assert all(task.cancelled() for task in (look, *inspecting))

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
        """Docker is asked for all containers' events since a moment ago by its own clock."""
        (asked,) = [request for request in docker.requests if request.path.endswith("/events")]

        assert asked.query["since"] == "1767225600"
        filters = json.loads(asked.query["filters"])
        assert "label" not in filters, "what others started may be adopted"
        assert not [event for event in filters["event"] if "exec" in event]
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
        assert asyncio.get_running_loop().time() - began < ASK_TIMEOUT
        hanging.cancel()

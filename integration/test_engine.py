"""DockerEngine, the probes and the connection count against a real Docker Engine.

Every test has a network and an instance of its own; what it made is removed, and nothing else is
touched.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from integration.corner import (
    HOST,
    IMAGE,
    READY,
    Corner,
    Line,
    Wakes,
    ask,
    corner_of_docker,
    known,
    only,
    running,
    states,
    until_bound,
)
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.core.errors import Conflict, EngineUnavailable, ImageNotFound, SpecRefused
from traefik_bg.core.model import AppSpec, HealthPolicy
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.ports import Container

DAEMON = os.environ.get("TESTBED_DOCKERD", "")  # conftest.py runs nothing where it is not set


@pytest.fixture
def corner() -> Iterator[Corner]:
    with corner_of_docker() as corner:
        yield corner


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(corner: Corner, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    async with DockerEngine(corner.instance, corner.network, wakes) as engine:
        yield engine


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    line = Line(tmp_path, HOST)
    await line.open()
    yield line
    await line.cut()


async def test_a_container_lives_from_creation_to_removal(
    corner: Corner, engine: DockerEngine
) -> None:
    """Every verb does what it says, and is fine when it is done already."""
    spec, app = corner.spec(), corner.app
    name = corner.name(spec)
    assert await engine.containers(app) == ()

    for _ in range(2):
        await engine.create(name, 1, spec, spec.image)
        created = await only(engine, app)
        assert (created.name, created.revision, created.number) == (name, spec.revision, 1)
        assert (created.state, created.ip, created.life) == (ContainerState.CREATED, "", "")
    for _ in range(2):
        await engine.start(name)
        started = await only(engine, app)
        assert started.state is ContainerState.RUNNING
        assert all([started.ip, started.pid, started.life])
        assert started.docker_health is None
    assert await engine.apps() == {app}
    await until_bound(started)  # before that it would not hear the signal
    for _ in range(2):
        await engine.stop(name)
        stopped = await only(engine, app)
        assert (stopped.state, stopped.ip, stopped.exit_code) == (ContainerState.EXITED, "", 0)
    for _ in range(2):
        await engine.remove(name)
        assert await engine.containers(app) == ()
    await engine.stop(name)
    with pytest.raises(Conflict, match="is gone"):
        await engine.start(name)


async def test_a_container_that_runs_is_never_removed(corner: Corner, engine: DockerEngine) -> None:
    """Removal of what runs is a conflict, and it goes on running."""
    name = await running(corner, engine, corner.spec())

    with pytest.raises(Conflict, match="running"):
        await engine.remove(name)
    assert (await only(engine, corner.app)).state is ContainerState.RUNNING


async def test_a_paused_container_goes_on_when_started(
    corner: Corner, engine: DockerEngine
) -> None:
    """Start means that it runs afterwards."""
    name = await running(corner, engine, corner.spec())
    corner.client.pause(name)
    assert (await only(engine, corner.app)).state is ContainerState.PAUSED

    await engine.start(name)

    assert (await only(engine, corner.app)).state is ContainerState.RUNNING


async def test_settings_reach_the_container(corner: Corner, engine: DockerEngine) -> None:
    """What Docker runs is what the spec said, in Docker's own words."""
    other = corner.other_network()
    spec = corner.spec(
        environment=READY | {"A": "1"},
        networks={other: {"aliases": ["friend"]}},
        volumes=["/cache", {"type": "tmpfs", "target": "/ram", "tmpfs": {"size": "1m"}}],
        deploy={"resources": {"limits": {"memory": "64m", "cpus": "0.5"}}},
        ulimits={"nofile": 1024},
        sysctls={"net.core.somaxconn": 1024},
        extra_hosts={"db": "10.1.2.3"},
        logging={"driver": "json-file", "options": {"max-size": "1m"}},
        stop_grace_period="1500ms",
        user="1000:1000",
        init=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs="/tmp:size=1m",
        labels={"mine": "yes"},
    )
    name = await running(corner, engine, spec)

    found = corner.inspect(name)
    host, config, networks = found["HostConfig"], found["Config"], found["NetworkSettings"]
    assert (host["Memory"], host["NanoCpus"]) == (64 * 1024**2, 500_000_000)
    assert (host["ReadonlyRootfs"], host["Init"], host["CapDrop"]) == (True, True, ["ALL"])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["NetworkMode"] == corner.network
    assert (config["StopTimeout"], config["User"]) == (2, "1000:1000")
    assert "A=1" in config["Env"]
    assert config["Labels"]["mine"] == "yes"
    assert set(networks["Networks"]) == {corner.network, other}
    assert "friend" in networks["Networks"][other]["Aliases"]
    assert {mount["Destination"] for mount in found["Mounts"]} == {"/cache", "/ram"}
    assert (await only(engine, corner.app)).ip == networks["Networks"][corner.network]["IPAddress"]


async def test_older_engines_get_their_networks_one_by_one(
    corner: Corner, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spoken to in an older API, Docker attaches the same networks, before the start."""
    monkeypatch.setenv("DOCKER_API_VERSION", "1.43")
    other = corner.other_network()
    spec = corner.spec(networks={other: {"aliases": ["friend"]}}, healthcheck={"test": "true"})
    async with DockerEngine(corner.instance, corner.network, wakes) as engine:
        await engine.create(corner.name(spec), 1, spec, spec.image)

    networks = corner.inspect(corner.name(spec))["NetworkSettings"]["Networks"]
    assert set(networks) == {corner.network, other}
    assert "friend" in networks[other]["Aliases"]


async def test_two_services_share_one_docker(corner: Corner, wakes: Wakes) -> None:
    """Each sees its own containers; the other's name is refused, its container untouched."""
    spec = corner.spec()
    name = corner.name(spec)
    theirs = corner.stranger(name, **{"traefik-bg.instance": "other", "traefik-bg.app": corner.app})
    before = corner.inspect(theirs)["State"]
    async with DockerEngine(corner.instance, corner.network, wakes) as engine:
        assert await engine.containers(corner.app) == ()
        for verb in (engine.start, engine.stop, engine.remove):
            with pytest.raises(SpecRefused, match="belongs to a container of instance 'other'"):
                await verb(name)
        with pytest.raises(SpecRefused, match=f"docker rename {name}"):
            await engine.create(name, 1, spec, spec.image)
        assert await engine.tail(name, 5) == ()

    assert corner.inspect(theirs)["State"] == before


class TestRefusals:
    async def test_an_image_that_is_not_here(self, corner: Corner, engine: DockerEngine) -> None:
        """A missing image is told from all other reasons."""
        spec = corner.spec(image="traefik-bg-nowhere:1")

        assert not await engine.images.has(spec.image)
        assert await engine.images.has(IMAGE)
        with pytest.raises(ImageNotFound, match="traefik-bg-nowhere:1"):
            await engine.create(corner.name(spec), 1, spec, spec.image)

    async def test_a_registry_that_does_not_answer(self, engine: DockerEngine) -> None:
        """Nobody listens there: not known, so it may be tried again."""
        with pytest.raises(EngineUnavailable, match="localhost:9/x:1 could not be pulled now"):
            await engine.images.pull("localhost:9/x:1")

    async def test_a_network_that_does_not_exist(self, corner: Corner, wakes: Wakes) -> None:
        """The command that helps is in the message, and nothing was created."""
        missing, spec = f"{corner.network}-missing", corner.spec()
        async with DockerEngine(corner.instance, missing, wakes) as engine:
            with pytest.raises(SpecRefused, match=f"docker network create {missing}"):
                await engine.create(corner.name(spec), 1, spec, spec.image)
            assert await engine.containers(corner.app) == ()

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"command": ["/no/such/thing"]}, "/no/such/thing.*no such file"),
            ({"command": ["nosuchthing"]}, "nosuchthing.*not found in"),
            ({"user": "nobody-knows"}, "unable to find user nobody-knows"),
            ({"devices": ["/dev/nothing"]}, "/dev/nothing.*no such file"),
            ({"volumes": ["/etc/passwd:/usr"]}, "not a directory"),
            ({"cap_add": ["NOPE"]}, "NOPE"),
            ({"mem_limit": "1k"}, "Minimum memory limit"),
        ],
    )
    async def test_settings_that_docker_rejects(
        self, corner: Corner, engine: DockerEngine, settings: dict[str, Any], words: str
    ) -> None:
        """Whether at creation or at the start: refused, in Docker's words without its wrappings."""
        spec = corner.spec(**settings)

        with pytest.raises(SpecRefused, match=words) as caught:
            await running(corner, engine, spec)
        assert "OCI runtime" not in str(caught.value)


class TestHealthcheck:
    @pytest.mark.skipif("DOCKER_API_VERSION" in os.environ, reason="older ones have no such field")
    async def test_gives_its_verdict_as_soon_as_a_probe_would(
        self, corner: Corner, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Docker's first look comes after our interval, not after its own 30 seconds."""
        policy = HealthPolicy(path=None, interval=0.1)
        spec = corner.spec(health=policy, healthcheck={"test": "test -e /tmp/well"})
        name = await running(corner, engine, spec)

        async def verdict() -> Health | None:
            return (await only(engine, corner.app)).docker_health

        assert await verdict() is Health.STARTING
        corner.execute(name, "touch /tmp/well")
        assert await wakes.until(verdict, lambda seen: seen is Health.HEALTHY)

    async def test_of_an_image_without_one_is_none(
        self, corner: Corner, engine: DockerEngine
    ) -> None:
        """Being eager for a verdict does not make a check where there is none."""
        await running(corner, engine, corner.spec(health=HealthPolicy(path=None)))

        assert (await only(engine, corner.app)).docker_health is None


class TestEvents:
    async def test_wake_when_a_container_dies_and_comes_back(
        self, corner: Corner, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """A crash is seen without asking: it lives anew, and the restart is counted."""
        await running(corner, engine, corner.spec())
        before = await only(engine, corner.app)
        await until_bound(before)
        await ask(before, "POST /admin/die")

        after = await wakes.until(
            lambda: only(engine, corner.app),
            lambda seen: seen.state is ContainerState.RUNNING and seen.life != before.life,
        )
        assert (before.restarts, after.restarts) == (0, 1)
        assert after.pid != before.pid

    async def test_survive_an_outage(self, corner: Corner, line: Line, wakes: Wakes) -> None:
        """Docker out of reach: unknown, not empty; back again: everything is looked at."""
        spec = corner.spec()
        async with DockerEngine(corner.instance, corner.network, wakes, line.url) as engine:
            name = await running(corner, engine, spec)
            await wakes.until(lambda: engine.containers(corner.app), bool)
            with structlog.testing.capture_logs() as logs:
                await line.cut()
                with pytest.raises(EngineUnavailable):
                    await engine.containers(corner.app)
                corner.client.stop(name, timeout=1)
                await line.open()
                await wakes.until(
                    lambda: known(engine, corner.app),
                    lambda seen: states(seen) == [ContainerState.EXITED] and len(logs) == 2,
                )
        assert [item["event"] for item in logs] == ["engine.lost", "engine.back"]

    async def test_survive_a_restart_of_docker(
        self, corner: Corner, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Docker is restarted under running containers: all are there, and changes are seen."""
        name = await running(corner, engine, corner.spec())
        restart = await asyncio.create_subprocess_exec(DAEMON, "restart")
        assert await restart.wait() == 0

        async def look() -> Sequence[Container]:
            return await known(engine, corner.app)

        await wakes.until(look, lambda seen: states(seen) == [ContainerState.RUNNING])
        await engine.stop(name)
        await wakes.until(look, lambda seen: states(seen) == [ContainerState.EXITED])


@pytest.mark.parametrize("verb", ["create", "start", "stop", "remove"])
async def test_done_but_the_answer_was_lost(
    corner: Corner, line: Line, wakes: Wakes, verb: str
) -> None:
    """Each verb whose answer gets lost is unknown at first, and fine when tried again."""
    spec = corner.spec(stop_grace_period="1s")
    name = corner.name(spec)
    steps: dict[str, tuple[bytes, Callable[[DockerEngine], Awaitable[None]]]] = {
        "create": (b"/containers/create", lambda engine: engine.create(name, 1, spec, spec.image)),
        "start": (b"/start", lambda engine: engine.start(name)),
        "stop": (b"/stop", lambda engine: engine.stop(name)),
        "remove": (b"DELETE /", lambda engine: engine.remove(name)),
    }
    engine = DockerEngine(corner.instance, corner.network, wakes, line.url)
    try:
        for each, (request, act) in steps.items():
            if each == verb:
                line.loses = request
                with pytest.raises(EngineUnavailable, match="Docker does not answer"):
                    await act(engine)
                line.loses = None
            await act(engine)
        assert await engine.containers(corner.app) == ()
    finally:
        await engine.__aexit__(None, None, None)


async def test_looking_goes_on_while_containers_come_and_go(
    corner: Corner, engine: DockerEngine
) -> None:
    """A container that vanishes under a look is no error, and is not seen twice."""
    specs = [corner.spec(labels={"n": str(number)}) for number in range(4)]

    async def come_and_go(spec: AppSpec) -> None:
        for _ in range(3):
            await engine.create(corner.name(spec), 1, spec, spec.image)
            await engine.remove(corner.name(spec))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(come_and_go(spec)) for spec in specs]
        while not all(task.done() for task in tasks):
            seen = await engine.containers(corner.app)
            assert len({container.name for container in seen}) == len(seen)
    assert await engine.containers(corner.app) == ()


async def test_the_last_lines_of_a_failure_can_be_read(
    corner: Corner, engine: DockerEngine, wakes: Wakes
) -> None:
    """What a replica said before it ended is there to explain it, with its exit code."""
    spec = corner.spec(environment={"EXIT_AT_START": "1"}, restart="no")
    name = await running(corner, engine, spec)
    ended = await wakes.until(
        lambda: engine.containers(corner.app),
        lambda seen: states(seen) == [ContainerState.EXITED],
    )

    assert ended[0].exit_code == 1
    assert "EXIT_AT_START is set" in (await engine.tail(name, 3))[-1]

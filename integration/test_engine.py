"""DockerEngine, the probes and the connection count against a real Docker Engine.

Runs in `scripts/testbed`, or against whatever Docker the environment names. Every test has a
network and an instance of its own; what it made is removed, and nothing else is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import docker
import pytest
import structlog
from docker.errors import NotFound

from traefik_bg.adapters.connections import ProcConnectionCounter
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.probe import NetworkProber
from traefik_bg.core.errors import Conflict, EngineUnavailable, ImageNotFound, SpecRefused
from traefik_bg.core.model import (
    AppName,
    AppSpec,
    ContainerState,
    Health,
    HealthPolicy,
    ReplicaName,
    canonical_json,
)
from traefik_bg.core.ports import Container

T = TypeVar("T")

IMAGE = os.environ.get("TESTBED_SAMPLE_IMAGE", "traefik-bg-sample") + ":v1"
DAEMON = os.environ.get("TESTBED_DOCKERD")
PORT = 8000
PATIENCE = 20.0  # for what takes a fraction of a second on a machine that is not overloaded
READY = {"BIND_AFTER": "0", "READY_AFTER": "0"}


class Bench:
    """One test's corner of Docker: its names, and a plain client to look behind the engine."""

    def __init__(self, client: docker.APIClient) -> None:
        self.client = client
        self.id = uuid.uuid4().hex[:8]
        self.instance = f"engine-test-{self.id}"
        self.network = f"engine-test-{self.id}"
        self.app = AppName(f"web{self.id}")
        self._made = [self.client.create_network(self.network)["Id"]]

    def spec(self, image: str = IMAGE, health: HealthPolicy | None = None, **more: Any) -> AppSpec:
        return AppSpec(
            name=self.app,
            image=image,
            port=PORT,
            container=canonical_json({"environment": READY} | more),
            health=health or HealthPolicy(path="/health"),
        )

    def name(self, spec: AppSpec, number: int = 1) -> ReplicaName:
        return ReplicaName(f"{spec.name}-{spec.revision}-{number}")

    def other_network(self) -> str:
        name = f"{self.network}-{len(self._made)}"
        self._made.append(self.client.create_network(name)["Id"])
        return name

    def stranger(self, name: str, **labels: str) -> str:
        made = self.client.create_container(IMAGE, name=name, labels=labels)
        self._made.append(made["Id"])
        return str(made["Id"])

    def inspect(self, name: str) -> Any:
        return self.client.inspect_container(name)

    def sweep(self) -> None:
        ours = {"label": [f"traefik-bg.instance={self.instance}"]}
        made = [item["Id"] for item in self.client.containers(all=True, filters=ours)]
        for item in reversed(self._made + made):
            with contextlib.suppress(NotFound):
                self.client.remove_container(item, force=True, v=True)
            with contextlib.suppress(NotFound):
                self.client.remove_network(item)


class Wakes:
    """Remembers what was woken."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def __call__(self, app: AppName | None) -> None:
        self._news.set()

    async def until(self, look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
        """Look, and again each time we are woken, and only then, until it is enough."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._news.clear()
                if enough(seen := await look()):
                    return seen
                await self._news.wait()


class Line:
    """A line to Docker that can be cut, and that can lose an answer."""

    def __init__(self, folder: Path, target: str) -> None:
        self._socket = folder / "line.sock"
        self.url = f"unix://{self._socket}"
        self._target = target.removeprefix("unix://")
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.loses: bytes | None = None
        """What a request contains whose answer gets lost."""

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._socket.unlink(missing_ok=True)
        for writer in tuple(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_unix_connection(self._target)
        self._open |= {writer, here}
        lost = asyncio.Event()
        pipes = [self._pipe(reader, here, lost, asks=True), self._pipe(there, writer, lost)]
        try:
            await asyncio.wait(
                [asyncio.ensure_future(pipe) for pipe in pipes],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for end in (writer, here):
                end.close()
            self._open -= {writer, here}

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        asks: bool = False,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                if asks and self.loses is not None and self.loses in chunk:
                    lost.set()
                if not asks and lost.is_set():
                    return
                writer.write(chunk)
                await writer.drain()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with contextlib.closing(docker.APIClient(version="auto", **_from_environment())) as client:
        bench = Bench(client)
        try:
            yield bench
        finally:
            bench.sweep()


def _from_environment() -> dict[str, Any]:
    return {**docker.utils.kwargs_from_env()}


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(bench: Bench, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    async with DockerEngine(bench.instance, bench.network, wakes) as engine:
        yield engine


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        pytest.skip("a line can be put only into a unix socket")
    line = Line(tmp_path, host)
    await line.open()
    yield line
    await line.cut()


async def running(bench: Bench, engine: DockerEngine, spec: AppSpec) -> ReplicaName:
    name = bench.name(spec)
    await engine.create(name, 1, spec)
    await engine.start(name)
    return name


async def only(engine: DockerEngine, app: AppName) -> Container:
    (found,) = await engine.containers(app)
    return found


def states(containers: Sequence[Container]) -> list[ContainerState]:
    return [container.state for container in containers]


async def known(engine: DockerEngine, app: AppName) -> Sequence[Container]:
    try:
        return await engine.containers(app)
    except EngineUnavailable:
        return ()


async def ask(replica: Container, what: str) -> None:
    """Send a request and wait until the connection ends."""
    reader, writer = await asyncio.open_connection(replica.ip, PORT)
    writer.write(f"{what} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def until_bound(replica: Container) -> None:
    async with NetworkProber() as prober, asyncio.timeout(PATIENCE):
        while not (await prober.probe(replica, PORT, HealthPolicy(path=None))).ok:
            await asyncio.sleep(0.02)


async def test_a_container_lives_from_creation_to_removal(
    bench: Bench, engine: DockerEngine
) -> None:
    """Every verb does what it says, and is fine when it is done already."""
    spec, app = bench.spec(), bench.app
    name = bench.name(spec)
    assert await engine.containers(app) == ()

    for _ in range(2):
        await engine.create(name, 1, spec)
        created = await only(engine, app)
        assert (created.name, created.revision, created.number) == (name, spec.revision, 1)
        assert (created.state, created.ip, created.life) == (ContainerState.CREATED, "", "")
    for _ in range(2):
        await engine.start(name)
        started = await only(engine, app)
        assert started.state is ContainerState.RUNNING
        assert started.ip and started.pid and started.life
        assert started.docker_health is None
    assert await engine.apps() == {app}
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


async def test_a_container_that_runs_is_never_removed(bench: Bench, engine: DockerEngine) -> None:
    """Removal of what runs is a conflict, and it goes on running."""
    name = await running(bench, engine, bench.spec())

    with pytest.raises(Conflict, match="running"):
        await engine.remove(name)
    assert (await only(engine, bench.app)).state is ContainerState.RUNNING


async def test_a_paused_container_goes_on_when_started(bench: Bench, engine: DockerEngine) -> None:
    """Start means that it runs afterwards."""
    name = await running(bench, engine, bench.spec())
    bench.client.pause(name)
    assert (await only(engine, bench.app)).state is ContainerState.PAUSED

    await engine.start(name)

    assert (await only(engine, bench.app)).state is ContainerState.RUNNING


async def test_settings_reach_the_container(bench: Bench, engine: DockerEngine) -> None:
    """What Docker runs is what the spec said, in Docker's own words."""
    other = bench.other_network()
    spec = bench.spec(
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
    name = await running(bench, engine, spec)

    found = bench.inspect(name)
    host, config, networks = found["HostConfig"], found["Config"], found["NetworkSettings"]
    assert (host["Memory"], host["NanoCpus"]) == (64 * 1024**2, 500_000_000)
    assert (host["ReadonlyRootfs"], host["Init"], host["CapDrop"]) == (True, True, ["ALL"])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["NetworkMode"] == bench.network
    assert (config["StopTimeout"], config["User"]) == (2, "1000:1000")
    assert "A=1" in config["Env"]
    assert config["Labels"]["mine"] == "yes"
    assert set(networks["Networks"]) == {bench.network, other}
    assert "friend" in networks["Networks"][other]["Aliases"]
    assert {mount["Destination"] for mount in found["Mounts"]} == {"/cache", "/ram"}
    assert (await only(engine, bench.app)).ip == networks["Networks"][bench.network]["IPAddress"]


async def test_older_engines_get_their_networks_one_by_one(
    bench: Bench, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spoken to in an older API, Docker attaches the same networks, before the start."""
    monkeypatch.setenv("DOCKER_API_VERSION", "1.43")
    other = bench.other_network()
    spec = bench.spec(networks={other: {"aliases": ["friend"]}}, healthcheck={"test": "true"})
    async with DockerEngine(bench.instance, bench.network, wakes) as engine:
        await engine.create(bench.name(spec), 1, spec)

    networks = bench.inspect(bench.name(spec))["NetworkSettings"]["Networks"]
    assert set(networks) == {bench.network, other}
    assert "friend" in networks[other]["Aliases"]


async def test_two_services_share_one_docker(bench: Bench, wakes: Wakes) -> None:
    """Each sees its own containers; the other's name is refused, the other's container untouched."""
    spec = bench.spec()
    name = bench.name(spec)
    theirs = bench.stranger(name, **{"traefik-bg.instance": "other", "traefik-bg.app": bench.app})
    before = bench.inspect(theirs)["State"]
    async with DockerEngine(bench.instance, bench.network, wakes) as engine:
        assert await engine.containers(bench.app) == ()
        for verb in (engine.start, engine.stop, engine.remove):
            with pytest.raises(SpecRefused, match="belongs to a container of instance 'other'"):
                await verb(name)
        with pytest.raises(SpecRefused, match=f"docker rename {name}"):
            await engine.create(name, 1, spec)
        assert await engine.tail(name, 5) == ()

    assert bench.inspect(theirs)["State"] == before


class TestRefusals:
    async def test_an_image_that_is_not_here(self, bench: Bench, engine: DockerEngine) -> None:
        """A missing image is told from all other reasons."""
        spec = bench.spec(image="traefik-bg-nowhere:1")

        assert not await engine.has(spec.image)
        assert await engine.has(IMAGE)
        with pytest.raises(ImageNotFound, match="traefik-bg-nowhere:1"):
            await engine.create(bench.name(spec), 1, spec)

    async def test_a_registry_that_does_not_answer(self, engine: DockerEngine) -> None:
        """Nobody listens there: not known, so it may be tried again."""
        with pytest.raises(EngineUnavailable, match="localhost:9/x:1 could not be pulled now"):
            await engine.pull("localhost:9/x:1")

    async def test_a_network_that_does_not_exist(self, bench: Bench, wakes: Wakes) -> None:
        """The command that helps is in the message, and nothing was created."""
        missing, spec = f"{bench.network}-missing", bench.spec()
        async with DockerEngine(bench.instance, missing, wakes) as engine:
            with pytest.raises(SpecRefused, match=f"docker network create {missing}"):
                await engine.create(bench.name(spec), 1, spec)
            assert await engine.containers(bench.app) == ()

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
        self, bench: Bench, engine: DockerEngine, settings: dict[str, Any], words: str
    ) -> None:
        """Whether at creation or at the start: refused, in Docker's words without its wrappings."""
        spec = bench.spec(**settings)

        with pytest.raises(SpecRefused, match=words) as caught:
            await running(bench, engine, spec)
        assert "OCI runtime" not in str(caught.value)


class TestHealthcheck:
    async def test_gives_its_verdict_as_soon_as_a_probe_would(
        self, bench: Bench, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Docker's first look comes after our interval, not after its own 30 seconds."""
        policy = HealthPolicy(path=None, interval=0.1)
        spec = bench.spec(health=policy, healthcheck={"test": "test -e /tmp/well"})
        name = await running(bench, engine, spec)

        async def verdict() -> Health | None:
            return (await only(engine, bench.app)).docker_health

        assert await verdict() is Health.STARTING
        made = bench.client.exec_create(name, "touch /tmp/well")
        bench.client.exec_start(made["Id"])
        assert await wakes.until(verdict, lambda seen: seen is Health.HEALTHY)

    async def test_of_an_image_without_one_is_none(
        self, bench: Bench, engine: DockerEngine
    ) -> None:
        """Being eager for a verdict does not make a check where there is none."""
        await running(bench, engine, bench.spec(health=HealthPolicy(path=None)))

        assert (await only(engine, bench.app)).docker_health is None


class TestEvents:
    async def test_wake_when_a_container_dies_and_comes_back(
        self, bench: Bench, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """A crash is seen without asking: it lives anew, and the restart is counted."""
        await running(bench, engine, bench.spec())
        before = await only(engine, bench.app)
        await until_bound(before)
        await ask(before, "POST /admin/die")

        after = await wakes.until(
            lambda: only(engine, bench.app),
            lambda seen: seen.state is ContainerState.RUNNING and seen.life != before.life,
        )
        assert (before.restarts, after.restarts) == (0, 1)
        assert after.pid != before.pid

    async def test_survive_an_outage(self, bench: Bench, line: Line, wakes: Wakes) -> None:
        """Docker out of reach: unknown, not empty; back again: everything is looked at."""
        spec = bench.spec()
        async with DockerEngine(bench.instance, bench.network, wakes, line.url) as engine:
            name = await running(bench, engine, spec)
            await wakes.until(lambda: engine.containers(bench.app), bool)
            with structlog.testing.capture_logs() as logs:
                await line.cut()
                with pytest.raises(EngineUnavailable):
                    await engine.containers(bench.app)
                bench.client.stop(name, timeout=1)
                await line.open()
                gone = await wakes.until(
                    lambda: known(engine, bench.app),
                    lambda seen: states(seen) == [ContainerState.EXITED],
                )
        assert len(gone) == 1
        assert [item["event"] for item in logs] == ["engine.lost", "engine.back"]

    @pytest.mark.skipif(DAEMON is None, reason="may not restart a Docker that is not ours")
    async def test_survive_a_restart_of_docker(
        self, bench: Bench, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Docker is restarted under running containers: they are all there, and changes are seen."""
        assert DAEMON is not None
        name = await running(bench, engine, bench.spec())
        restart = await asyncio.create_subprocess_exec(DAEMON, "restart")
        assert await restart.wait() == 0

        async def look() -> Sequence[Container]:
            return await known(engine, bench.app)

        await wakes.until(look, lambda seen: states(seen) == [ContainerState.RUNNING])
        await engine.stop(name)
        await wakes.until(look, lambda seen: states(seen) == [ContainerState.EXITED])


@pytest.mark.parametrize("verb", ["create", "start", "stop", "remove"])
async def test_done_but_the_answer_was_lost(
    bench: Bench, line: Line, wakes: Wakes, verb: str
) -> None:
    """Each verb whose answer gets lost is unknown at first, and fine when tried again."""
    spec = bench.spec()
    name = bench.name(spec)
    requests = {
        "create": (b"/containers/create", lambda engine: engine.create(name, 1, spec)),
        "start": (b"/start", lambda engine: engine.start(name)),
        "stop": (b"/stop", lambda engine: engine.stop(name)),
        "remove": (b"DELETE /", lambda engine: engine.remove(name)),
    }
    engine = DockerEngine(bench.instance, bench.network, wakes, line.url)
    try:
        for each, (request, act) in requests.items():
            if each == verb:
                line.loses = request
                with pytest.raises(EngineUnavailable, match="Docker does not answer"):
                    await act(engine)
                line.loses = None
            await act(engine)
        assert await engine.containers(bench.app) == ()
    finally:
        await engine.__aexit__(None, None, None)


async def test_looking_goes_on_while_containers_come_and_go(
    bench: Bench, engine: DockerEngine
) -> None:
    """A container that vanishes under a look is no error, and is not seen twice."""
    specs = [bench.spec(labels={"n": str(number)}) for number in range(4)]

    async def come_and_go(spec: AppSpec) -> None:
        for _ in range(3):
            await engine.create(bench.name(spec), 1, spec)
            await engine.remove(bench.name(spec))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(come_and_go(spec)) for spec in specs]
        while not all(task.done() for task in tasks):
            seen = await engine.containers(bench.app)
            assert len({container.name for container in seen}) == len(seen)
    assert await engine.containers(bench.app) == ()


async def test_the_last_lines_of_a_failure_can_be_read(
    bench: Bench, engine: DockerEngine, wakes: Wakes
) -> None:
    """What a replica said before it ended is there to explain it, with its exit code."""
    spec = bench.spec(environment={"EXIT_AT_START": "1"}, restart="no")
    name = await running(bench, engine, spec)
    ended = await wakes.until(
        lambda: engine.containers(bench.app),
        lambda seen: states(seen) == [ContainerState.EXITED],
    )

    assert ended[0].exit_code == 1
    assert "EXIT_AT_START is set" in (await engine.tail(name, 3))[-1]


class TestProbes:
    async def test_see_a_replica_come_up(self, bench: Bench, engine: DockerEngine) -> None:
        """Not bound, then not ready, then well: each in its own words."""
        late = {"BIND_AFTER": "1", "READY_AFTER": "1"}
        spec = bench.spec(environment=late)
        await running(bench, engine, spec)
        replica = await only(engine, bench.app)
        details: list[str] = []
        async with NetworkProber() as prober, asyncio.timeout(PATIENCE):
            while "HTTP 200" not in details:
                result = await prober.probe(replica, PORT, spec.health)
                if result.detail not in details:
                    details.append(result.detail)
                await asyncio.sleep(0.02)

        assert details == ["connection refused", "HTTP 503", "HTTP 200"]

    async def test_connections_are_counted_until_they_end(
        self, bench: Bench, engine: DockerEngine
    ) -> None:
        """A running request counts, whatever the image; one that has ended does not."""
        await running(bench, engine, bench.spec())
        replica = await only(engine, bench.app)
        counter = ProcConnectionCounter()
        await until_bound(replica)
        if await counter.open_connections(replica, PORT) is None:
            pytest.skip("the containers' processes cannot be seen from here")
        assert await counter.open_connections(replica, PORT) == 0

        _, writer = await asyncio.open_connection(replica.ip, PORT)
        assert await counter.open_connections(replica, PORT) == 1
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(PATIENCE):
            while await counter.open_connections(replica, PORT):
                await asyncio.sleep(0.02)

        await engine.stop(replica.name)
        assert await counter.open_connections(replica, PORT) is None

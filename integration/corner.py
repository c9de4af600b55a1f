"""What the tests of the engine share: a corner of Docker each, and a line that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import NotFound

from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.probe import NetworkProber
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, ReplicaName, canonical_json
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import Container

T = TypeVar("T")

IMAGE = os.environ.get("TESTBED_SAMPLE_IMAGE", "traefik-bg-sample") + ":v1"
HOST = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
PORT = 8000
PATIENCE = 20.0  # for what takes a fraction of a second on a machine that is not overloaded
READY = {"BIND_AFTER": "0", "READY_AFTER": "0"}


@contextlib.contextmanager
def corner_of_docker() -> Iterator[Corner]:
    """Give a test its corner, and clean it up."""
    with contextlib.closing(docker.APIClient(HOST, version="auto")) as client:
        corner = Corner(client)
        try:
            yield corner
        finally:
            corner.sweep()


class Corner:
    """One test's corner of Docker: its names, and a plain client to look behind the engine."""

    def __init__(self, client: docker.APIClient) -> None:
        self.client = client
        self.id = uuid.uuid4().hex[:8]
        self.instance = f"engine-test-{self.id}"
        self.network = f"engine-test-{self.id}"
        self.app = AppName(f"web{self.id}")
        self._volumes: list[str] = []
        self._made = [self.client.create_network(self.network)["Id"]]

    @property
    def api(self) -> tuple[int, int]:
        """The version of Docker's API."""
        major, minor = self.client.version()["ApiVersion"].split(".")
        return int(major), int(minor)

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

    def execute(self, name: str, command: str) -> None:
        made = self.client.exec_create(name, command)
        self.client.exec_start(made["Id"])

    def output(self, name: str, command: str) -> str:
        """Return what a command prints in a running container."""
        made = self.client.exec_create(name, ["sh", "-c", command])
        return str(self.client.exec_start(made["Id"]).decode())

    def volume(self, name: str) -> str:
        """Make a volume of this corner's own."""
        made = self.client.create_volume(f"{self.network}-{name}")["Name"]
        self._volumes.append(made)
        return str(made)

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
        for volume in self._volumes:
            with contextlib.suppress(NotFound):
                self.client.remove_volume(volume, force=True)


class Wakes:
    """Remembers what was woken."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def __call__(self, _: AppName | None) -> None:
        self._news.set()

    async def until(self, look: Callable[[], Awaitable[T]], enough: Callable[[T], object]) -> T:
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
        self._calls: set[asyncio.Task[Any]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.loses: bytes | None = None
        """What a request contains whose answer gets lost."""

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._socket.unlink(missing_ok=True)
        for writer in tuple(self._ends):
            writer.close()
        if self._calls:
            await asyncio.wait(self._calls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        there, here = await asyncio.open_unix_connection(self._target)
        self._ends |= {writer, here}
        lost = asyncio.Event()
        await asyncio.gather(
            self._pipe(reader, here, lost, asks=True), self._pipe(there, writer, lost)
        )
        self._ends -= {writer, here}

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        asks: bool = False,
    ) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while chunk := await reader.read(65536):
                if asks and self.loses is not None and self.loses in chunk:
                    lost.set()
                if not asks and lost.is_set():
                    return
                writer.write(chunk)
                await writer.drain()


async def running(corner: Corner, engine: DockerEngine, spec: AppSpec) -> ReplicaName:
    name = corner.name(spec)
    await engine.create(name, 1, spec, spec.image)
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
    async with NetworkProber() as prober:
        await eventually(lambda: _accepts(prober, replica))


async def _accepts(prober: NetworkProber, replica: Container) -> bool:
    return (await prober.probe(replica, PORT, HealthPolicy(path=None))).ok


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so: for what nobody tells us of."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await look():
                return
            await asyncio.sleep(0.02)

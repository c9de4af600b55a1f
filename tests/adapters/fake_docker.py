"""As much of a Docker daemon as the engine talks to, over a real socket, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.adapters.fake_docker_logs import Printed
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, canonical_json

WEB, SHOP = AppName("web"), AppName("shop")
NAME = ReplicaName("web-1")
IMAGE = "acme/web:1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def app(**container: Any) -> AppSpec:
    return AppSpec(name=WEB, image=IMAGE, port=80, container=canonical_json(container))


REVISION = app().revision


class FakeDocker:
    """Answers as Docker does, unless told to misbehave; remembers what it was asked."""

    def __init__(self, api: str = "1.45") -> None:
        self.api = api
        self.containers: dict[str, dict[str, Any]] = {}
        self.networks = {"edge", "db"}
        self.volumes = {"data"}
        self.warnings: list[str] = []
        self.held: dict[tuple[str, str], bytes] = {}
        """What was copied into containers, by id and path."""
        self.printed: dict[str, Printed] = {}
        """What containers print, by id."""
        self.pulling: list[dict[str, Any]] = []
        self.repo_digests: list[str] = []
        self.repo_tags: list[str] = []
        self.image_ids: list[str] = []
        self.distribution: dict[str, str] = {}
        self.pulls_until: asyncio.Event | None = None
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
            "Image": "sha256:1",
            "Name": f"/{name}",
            "State": state | changes,
            "Config": {"Labels": labels, "StopTimeout": 30, "Tty": True},
            "HostConfig": {"LogConfig": {"Type": "json-file"}},
            "RestartCount": 2,
            "NetworkSettings": {"Networks": {"edge": {"IPAddress": "10.0.0.2"}}},
        }
        self.containers[key] = found
        return found

    def add_theirs(
        self, name: str, labels: Mapping[str, str] | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Let there be a container that others made."""
        found = self.add(name, **changes)
        found["Config"]["Labels"] = dict(labels or {})
        return found

    def find(self, key: str) -> dict[str, Any] | None:
        return next((c for c in self.containers.values() if key in (c["Id"], c["Name"][1:])), None)

    async def emit(self, container_id: str, app: str = "web", **labels: str) -> None:
        """Say that something happened to a container of ours, or to one with these labels."""
        ours = {"traefik-bg.app": app, "traefik-bg.instance": "mine"}
        event = {"Actor": {"ID": container_id, "Attributes": labels or ours}}
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
        if "filters" not in request.query:
            return web.json_response([{"ImageID": c["Image"]} for c in self.containers.values()])
        filters = json.loads(request.query["filters"])
        labels = dict(label.split("=", 1) for label in filters.get("label", ()))
        labels.pop("traefik-bg.app", None)  # it may list more than it was asked for
        names = filters.get("name")
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
                if labels.items() <= found["Config"]["Labels"].items()
                and (names is None or any(re.search(name, found["Name"]) for name in names))
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
        return web.json_response({"Id": made["Id"], "Warnings": self.warnings}, status=201)

    async def put(self, request: web.Request) -> web.Response:
        folder = request.query["path"].rstrip("/")
        with tarfile.open(fileobj=io.BytesIO(await request.read())) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                key = (request.match_info["name"], f"{folder}/{member.name}")
                self.held[key] = file.read()
        return web.Response()

    async def get(self, request: web.Request) -> web.Response:
        path = request.query["path"]
        content = self.held.get((request.match_info["name"], path))
        if content is None:
            return web.json_response({"message": f"Could not find the file {path}"}, status=404)
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        stat = base64.b64encode(b"{}").decode()
        headers = {"X-Docker-Container-Path-Stat": stat}
        return web.Response(body=written.getvalue(), headers=headers)

    async def volume(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.volumes:
            return web.json_response({"message": f"get {name}: no such volume"}, status=404)
        return web.json_response({"Name": name})

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

    async def logs(self, request: web.Request) -> web.StreamResponse:
        if (printed := self.printed.get(request.match_info["name"])) is not None:
            return await printed.send(request)
        return web.Response(body=b"first\r\n\x1b[31mred\x1b[0m\xff\n" + b"x" * 600 + b"\n\n")

    async def image(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != "acme/web:1":
            return web.json_response({"message": "No such image: x"}, status=404)
        return web.json_response(
            {"Id": "sha256:1", "RepoDigests": self.repo_digests, "RepoTags": self.repo_tags}
        )

    async def images(self, _: web.Request) -> web.Response:
        return web.json_response([{"Id": image_id} for image_id in self.image_ids])

    async def remove_image(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def inspect_distribution(self, request: web.Request) -> web.Response:
        digest = self.distribution[request.match_info["name"]]
        return web.json_response({"Descriptor": {"digest": digest}, "Platforms": []})

    async def pull(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for line in self.pulling:
            await answer.write(json.dumps(line).encode() + b"\n")
        if self.pulls_until is not None:
            await self.pulls_until.wait()
        return answer

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
                web.put(f"{v}/containers/{{name}}/archive", self.put, name="put"),
                web.get(f"{v}/containers/{{name}}/archive", self.get, name="get"),
                web.get(f"{v}/volumes/{{name}}", self.volume, name="volume"),
                web.get(f"{v}/networks/{{name}}", self.network, name="network"),
                web.post(f"{v}/networks/{{name}}/connect", self.connect, name="connect"),
                web.get(f"{v}/images/json", self.images, name="images"),
                web.delete(f"{v}/images/{{name:.+}}", self.remove_image, name="remove_image"),
                web.get(f"{v}/images/{{name:.+}}/json", self.image, name="image"),
                web.post(f"{v}/images/create", self.pull, name="pull"),
                web.get(
                    f"{v}/distribution/{{name:.+}}/json",
                    self.inspect_distribution,
                    name="distribution",
                ),
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


@contextlib.asynccontextmanager
async def fake_docker(socket: Path, api: str = "1.45") -> AsyncIterator[FakeDocker]:
    """Serve a fake Docker at a socket."""
    fake = FakeDocker(api)
    runner = web.AppRunner(fake.build(), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield fake
    finally:
        for gate in fake.gates.values():
            gate.set()
        for printed in fake.printed.values():
            printed.break_off()
        fake.hang_up()
        await runner.cleanup()

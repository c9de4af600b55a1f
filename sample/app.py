"""The sample app: a web service with the bad manners that deployments have to cope with.

It binds its port late, is not ready when it binds, and cuts everything open when told to stop. The
README's first minute deploys it, and the integration tests measure with it. Whoever deploys it has
no part in it: it knows neither Docker nor Traefik.

Set by the environment: PORT, VERSION, BIND_AFTER and READY_AFTER (seconds), SICK=forever,
EXIT_AT_START=1. And what no health check notices, since /health stays as it is:

    ERRORS=0.02     this share of the answers is 500, at random
    SLOWER=0.1      each answer takes so many seconds longer
    DIES_AFTER=300  the process ends with that request, as one does that leaks until it is killed
"""

import asyncio
import hashlib
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from aiohttp import WSMsgType, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TICK = 0.1  # seconds between two chunks of a stream
KILLED = 137  # the exit code of what the kernel ends


@dataclass(slots=True)
class Manners:
    """How badly it treats requests, though its health is fine."""

    errors: float = 0.0
    slower: float = 0.0
    dies_after: int = 0
    answered: int = 0

    @classmethod
    def from_environment(cls) -> "Manners":
        """Read how badly to behave."""
        return cls(
            errors=float(os.environ.get("ERRORS", "0")),
            slower=float(os.environ.get("SLOWER", "0")),
            dies_after=int(os.environ.get("DIES_AFTER", "0")),
        )

    async def show(self) -> None:
        """Answer late, or with an error, or never again."""
        self.answered += 1
        if self.answered == self.dies_after:
            os._exit(KILLED)
        if self.slower:
            await asyncio.sleep(self.slower)
        if random.random() < self.errors:  # noqa: S311 - a share, not a secret
            raise web.HTTPInternalServerError(text="out of order\n")


@dataclass(slots=True)
class Replica:
    """What this one process says of itself, and how well it is."""

    version: str
    hostname: str
    ready: bool = False
    healthy: bool = True
    broken: bool = False
    manners: Manners = field(default_factory=Manners)
    sockets: set[web.WebSocketResponse] = field(default_factory=set)


REPLICA = web.AppKey("replica", Replica)


def seconds_since_process_start() -> float:
    """Ask the kernel, so that the interpreter's start-up and the imports above count too."""
    fields_after_name = (
        Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    )
    started = int(fields_after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def seconds_asked_for(request: web.Request) -> float:
    """Read ?seconds=, bounded so that a typing error does not hold a connection for a day."""
    try:
        return min(max(float(request.query.get("seconds", "3")), 0.0), 600.0)
    except ValueError as error:
        raise web.HTTPBadRequest(text="seconds must be a number\n") from error


async def index(request: web.Request) -> web.Response:
    replica = request.app[REPLICA]
    return web.Response(text=f"{replica.version} from {replica.hostname}\n")


async def health(request: web.Request) -> web.Response:
    if not request.app[REPLICA].healthy:
        raise web.HTTPServiceUnavailable(text="sick\n")
    return web.Response(text="ok\n")


async def echo(request: web.Request) -> web.Response:
    replica = request.app[REPLICA]
    digest = hashlib.sha256()
    async for chunk in request.content.iter_any():
        digest.update(chunk)
    return web.json_response(
        {
            "version": replica.version,
            "hostname": replica.hostname,
            "method": request.method,
            "sha256": digest.hexdigest(),
        }
    )


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(seconds_asked_for(request))
    return await index(request)


async def stream(request: web.Request) -> web.StreamResponse:
    replica = request.app[REPLICA]
    chunks = round(seconds_asked_for(request) / TICK)
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(chunks):
        await response.write(f"{replica.version} {number}\n".encode())
        await asyncio.sleep(TICK)
    await response.write(b"end\n")
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    replica = request.app[REPLICA]
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    await ws.send_str(replica.version)
    replica.sockets.add(ws)
    try:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
    finally:
        replica.sockets.discard(ws)
    return ws


async def tick_sockets(app: web.Application) -> None:
    """Send every open websocket a tick per second, so that a silent cut is noticed."""
    number = 0
    while True:
        await asyncio.sleep(1)
        number += 1
        for ws in tuple(app[REPLICA].sockets):
            try:
                await ws.send_str(f"tick {number}")
            except ConnectionError:
                app[REPLICA].sockets.discard(ws)


async def fall_sick(request: web.Request) -> web.Response:
    replica = request.app[REPLICA]
    replica.healthy = False
    replica.broken = request.query.get("hard") == "1"
    return web.Response(text="sick from now on\n")


async def recover(request: web.Request) -> web.Response:
    replica = request.app[REPLICA]
    replica.healthy, replica.broken = True, False
    return web.Response(text="well again\n")


async def die(_request: web.Request) -> NoReturn:
    os._exit(1)


@web.middleware
async def mood(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse everything until ready, and all but the way back once it is broken."""
    replica = request.app[REPLICA]
    if not replica.ready:
        raise web.HTTPServiceUnavailable(text="not ready yet\n")
    if replica.broken and not request.path.startswith("/admin/"):
        raise web.HTTPInternalServerError(text="broken\n")
    if not request.path.startswith(("/health", "/admin/", "/ws")):
        await replica.manners.show()
    return await handler(request)


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Say on every response who answered."""
    response.headers["X-Version"] = request.app[REPLICA].version
    response.headers["X-Replica"] = request.app[REPLICA].hostname


def build_app(replica: Replica) -> web.Application:
    app = web.Application(middlewares=[mood], client_max_size=1 << 30)
    app[REPLICA] = replica
    app.on_response_prepare.append(sign)
    app.add_routes(
        [
            web.get("/", index),
            web.get("/health", health),
            web.get("/echo", echo),
            web.post("/echo", echo),
            web.get("/slow", slow),
            web.get("/stream", stream),
            web.get("/ws", websocket),
            web.post("/admin/sick", fall_sick),
            web.post("/admin/well", recover),
            web.post("/admin/die", die),
        ]
    )
    return app


async def serve() -> None:
    """Bind late, get ready later, then serve until killed."""
    replica = Replica(
        version=os.environ.get("VERSION", "v1"),
        hostname=socket.gethostname(),
        healthy=os.environ.get("SICK") != "forever",
        manners=Manners.from_environment(),
    )
    app = build_app(replica)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    bind_after = float(os.environ.get("BIND_AFTER", "1.5"))
    await asyncio.sleep(bind_after - seconds_since_process_start())
    port = int(os.environ.get("PORT", "8000"))
    await web.TCPSite(runner, "0.0.0.0", port, reuse_port=False).start()
    print(f"{replica.version} listens on port {port}, not ready yet")
    await asyncio.sleep(float(os.environ.get("READY_AFTER", "1.5")))
    replica.ready = True
    print(f"{replica.version} is ready")
    await tick_sockets(app)


def main() -> None:
    # No grace: whatever is open is cut, and the deployment must cope.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if os.environ.get("EXIT_AT_START") == "1":
        raise RuntimeError("EXIT_AT_START is set: this version cannot start")
    asyncio.run(serve())


if __name__ == "__main__":
    main()

"""Blue and green behind the real Traefik, with a router between: what clients see, and who was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.adapters.routing import WEB, confirmed, new_router, running, share
from tests.adapters.traefik_process import TraefikProcess, serve, until, watched_folder
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.core.model import AppName, RevisionId, Routing, Share


@dataclass(slots=True)
class Asked:
    """One request, as a replica saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Recorder:
    """A replica that answers with its name, echoes on websockets, and remembers what it was asked."""

    name: str
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    status: int = 200
    patience: asyncio.Event | None = None
    """If any: answers wait for it."""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner, self.port = await serve(self._answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def share(self, revision: RevisionId, weight: int = 0, app: AppName = WEB) -> Share:
        """Return the share of a revision whose only replica this is."""
        return share(revision, weight, port=self.port, app=app)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        if self.patience is not None:
            await self.patience.wait()
        if request.headers.get("Upgrade"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"{self.name}: {message.data}")
            return socket
        return web.Response(text=self.name, status=self.status)


@dataclass(frozen=True, slots=True)
class Stage:
    """All that is needed to publish, and to ask as a client does."""

    traefik: TraefikProcess
    router: TraefikRouter
    session: aiohttp.ClientSession
    blue: Recorder
    green: Recorder

    async def publish(self, routing: Routing | None, app: AppName = WEB) -> None:
        """Publish an app, and wait until Traefik runs it."""
        await self.router.publish(app, routing)
        await until(confirmed(self.router, app), what="confirmed")

    async def ask(self, path: str = "/", method: str = "GET", **options: Any) -> tuple[int, str]:
        """Return the status and the body that a client gets."""
        url = self.traefik.web_url + path
        async with self.session.request(method, url, **options) as answer:
            return answer.status, await answer.text()

    async def say(self, word: str, **headers: str) -> str:
        """Return what a websocket answers."""
        url = self.traefik.web_url + "/socket"
        async with self.session.ws_connect(url, headers=headers) as socket:
            await socket.send_str(word)
            return await socket.receive_str()


@asynccontextmanager
async def staged(folder: Path, *options: str, holds: bool = False) -> AsyncIterator[Stage]:
    """Set the stage; clients have no cookies."""
    dynamic = watched_folder(folder)
    traefik = TraefikProcess(folder, f"--providers.file.directory={dynamic}", *options)
    if holds:
        traefik.options += traefik.loop
    router = new_router(folder, dynamic, api_urls=[traefik.api_url])
    async with AsyncExitStack() as stack:
        blue = await stack.enter_async_context(Recorder("blue"))
        green = await stack.enter_async_context(Recorder("green"))
        await stack.enter_async_context(traefik)
        await stack.enter_async_context(running(router))
        await until(lambda: router.guard_available, what="the features are known")
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0)
        )
        await stack.enter_async_context(session)
        yield Stage(traefik, router, session, blue, green)

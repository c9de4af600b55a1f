"""Builders of routings and a running router, for the tests of the Traefik adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.adapters.traefik_process import until
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.model import AppName, ReplicaName, RevisionId, Route, Routing, Server, Share
from traefik_bg.web.provider import Provider

WEB, API = AppName("web"), AppName("api")
BLUE, GREEN = RevisionId("0b1ee000"), RevisionId("93ee7000")
SETTLE = 0.05


def replica(revision: RevisionId, app: AppName = WEB) -> ReplicaName:
    """Return the name of the only replica of a revision."""
    return ReplicaName(f"{app}-{revision}-0")


def share(
    revision: RevisionId, weight: int = 100, *, port: int = 8000, app: AppName = WEB
) -> Share:
    """Return a share of one replica on this machine."""
    only = Server(replica=replica(revision, app), address="127.0.0.1", port=port)
    return Share(revision=revision, weight=weight, servers=(only,))


def routing(*shares: Share, app: AppName = WEB, **changes: Any) -> Routing:
    """Return a routing of an app by a header, so that no test needs a name."""
    route = Route(rule=f"Header(`X-App`, `{app}`)", entrypoints=("web",))
    return Routing(**{"shares": shares, "routes": (route,)} | changes)


def to(revision: RevisionId, app: AppName = WEB) -> Routing:
    """Return a routing of an app to one revision."""
    return routing(share(revision, app=app), app=app)


class Woken:
    """Counts who was told to look again."""

    def __init__(self) -> None:
        self.apps: list[AppName | None] = []

    def __call__(self, app: AppName | None) -> None:
        self.apps.append(app)


def new_router(folder: Path, dynamic_dir: Path | None, **options: Any) -> TraefikRouter:
    """Return a router with a state folder of its own."""
    state_dir = folder / "state"
    state_dir.mkdir(parents=True, exist_ok=True)
    options.setdefault("wake", Woken())
    return TraefikRouter(state_dir=state_dir, dynamic_dir=dynamic_dir, **options)


def settling(folder: Path, **options: Any) -> TraefikRouter:
    """Return a router that asks nobody and trusts after a moment."""
    dynamic = folder / "dynamic"
    dynamic.mkdir(parents=True, exist_ok=True)
    return new_router(folder, dynamic, settle=SETTLE, **options)


def remembering(folder: Path, url: str) -> TraefikRouter:
    """Return a router that published an app in an earlier life."""
    state_dir = folder / "state"
    state_dir.mkdir()
    body = traffic.encode(traffic.render({WEB: to(BLUE)}))
    (state_dir / "traefik-bg.yml").write_bytes(body)
    return new_router(folder, None, api_urls=[url])


@asynccontextmanager
async def running(router: TraefikRouter, *, is_known: bool = True) -> AsyncIterator[TraefikRouter]:
    """Run a router, by default from when it knows what is published."""
    task = asyncio.create_task(router.run())
    try:
        if is_known:
            await until(lambda: task.done() or knows(router), what="the router knows")
        yield router
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def providing(router: TraefikRouter, port: int) -> AsyncIterator[None]:
    """Serve what the router publishes to Traefik's HTTP provider."""
    app = web.Application()
    Provider(router.publication).add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def knows(router: TraefikRouter) -> bool:
    """Tell whether the router knows what is published."""
    with suppress(RouterUnavailable):
        router.apps()
        return True
    return False


def confirmed(router: TraefikRouter, app: AppName = WEB) -> Callable[[], bool]:
    """Return the condition that an app is confirmed."""
    return lambda: router.state(app).confirmed_for is not None


def unconfirmed(router: TraefikRouter, app: AppName = WEB) -> Callable[[], bool]:
    """Return the condition that an app is not confirmed."""
    return lambda: router.state(app).confirmed_for is None

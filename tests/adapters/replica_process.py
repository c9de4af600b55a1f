"""A replica that can be killed, or told to fail: `python -m tests.adapters.replica_process PORT NAME`.

`/` answers with its name, or as it was told by `/tell/{mode}`; `/created` with 201; `/slow` after a
moment; `/stream` in two pieces; `/socket` is a websocket that echoes; `/posts` counts what it took.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web

ROOT = Path(__file__).parents[2]


class ReplicaProcess:
    """One such replica on a port of this machine."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._process: subprocess.Popen[bytes] | None = None

    async def tell(self, mode: str) -> None:
        """Tell it how to answer from now on: ok, 500, 503, or chunked503."""
        await self.ask(f"/tell/{mode}")

    async def ask(self, path: str) -> str:
        """Ask it directly."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return await answer.text()

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", __name__, str(self.port), self.name]
        self._process = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT)
        for _ in range(2000):
            try:
                await self.ask("/")
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
            else:
                return self
        raise AssertionError(f"replica {self.name} does not start")

    async def __aexit__(self, *_: object) -> None:
        self.kill()


class _Answers:
    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = "ok"
        self.posts = 0

    async def tell(self, request: web.Request) -> web.Response:
        self.mode = request.match_info["mode"]
        return web.Response()

    async def count(self, _: web.Request) -> web.Response:
        return web.Response(text=str(self.posts))

    async def slow(self, _: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return self._named(200)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._in_pieces(request, 200)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{self.name}: {message.data}")
        return socket

    async def anything(self, request: web.Request) -> web.StreamResponse:
        self.posts += request.method == "POST"
        await request.read()
        if self.mode.startswith("chunked"):
            return await self._in_pieces(request, int(self.mode.removeprefix("chunked")))
        if self.mode != "ok":
            return self._named(int(self.mode))
        return self._named(201 if request.path == "/created" else 200)

    def _named(self, status: int) -> web.Response:
        return web.Response(status=status, text=self.name, headers={"X-Replica": self.name})

    async def _in_pieces(self, request: web.Request, status: int) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"X-Replica": self.name})
        await response.prepare(request)
        for piece in (b"one ", b"two"):
            await response.write(piece)
            await asyncio.sleep(0.05)
        await response.write_eof()
        return response


def main() -> None:
    """Serve until killed."""
    answers = _Answers(sys.argv[2])
    app = web.Application()
    app.router.add_get("/tell/{mode}", answers.tell)
    app.router.add_get("/posts", answers.count)
    app.router.add_get("/slow", answers.slow)
    app.router.add_get("/stream", answers.stream)
    app.router.add_get("/socket", answers.socket)
    app.router.add_route("*", "/{path:.*}", answers.anything)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()

"""What a container prints, and how a Docker daemon sends it."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

OUT, ERR = 1, 2


def moment(number: int) -> str:
    """Return the n-th of the times at which things are printed, as Docker writes it."""
    return f"2026-01-02T03:04:{5 + number // 1000:02}.{number % 1000:03}000000Z"


@dataclass(slots=True)
class Printed:
    """The log of one container, which goes on until it ends."""

    is_tty: bool = False
    payloads: list[tuple[int, str, bytes]] = field(default_factory=list)
    is_over: bool = False
    is_broken: bool = False
    sent: int = 0
    """Bytes that were sent, in all answers."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, text: str | bytes, kind: int = OUT, at: str = "") -> None:
        """Print a line."""
        raw = text if isinstance(text, bytes) else text.encode()
        self.payloads.append((kind, at or moment(len(self.payloads)), raw + b"\n"))
        self._tell()

    def end(self) -> None:
        """Let the container end."""
        self.is_over = True
        self._tell()

    def break_off(self) -> None:
        """Let the daemon go away in the middle of its answers."""
        self.is_broken = True
        self._tell()

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Answer as Docker does."""
        self.is_broken = False
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        tail, since = request.query["tail"], float(request.query.get("since", "0"))
        chosen = [n for n, (_, at, _) in enumerate(self.payloads) if _unix(at) >= since]
        if tail != "all":
            chosen = chosen[len(chosen) - min(int(tail), len(chosen)) :]
        first = chosen[0] if chosen else len(self.payloads)
        await self._send(answer, first, follows=request.query["follow"] == "1")
        if self.is_broken:
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _send(self, answer: web.StreamResponse, first: int, *, follows: bool) -> None:
        while True:
            news = self._news
            for kind, at, raw in self.payloads[first:]:
                piece = f"{at} ".encode() + raw
                if not self.is_tty:
                    piece = struct.pack(">BxxxL", kind, len(piece)) + piece
                await answer.write(piece)
                self.sent += len(piece)
                first += 1
            if self.is_broken or self.is_over or not follows:
                return
            await news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()

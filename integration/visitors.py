"""People with browsers: each keeps its cookies, and asks again and again.

The meter keeps no cookies, on purpose: it measures what everybody gets. These are the few that a
version keeps something for, so who answers whom is written down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from integration.stage import HOST, Stage

PAUSE = 0.25  # seconds between two requests of one visitor


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one visitor, and who answered; no version: nobody did."""

    visitor: int
    at: float
    version: str
    trouble: str = ""


@dataclass(kw_only=True)
class Visitors:
    """Visitors who ask all along; more of them can come at any time."""

    scene: Stage
    headers: Mapping[str, str] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    def come(self, count: int) -> range:
        """Let so many more begin; returns their numbers."""
        first = len(self._tasks)
        numbers = range(first, first + count)
        self._tasks += [asyncio.create_task(self._visit(number)) for number in numbers]
        return numbers

    async def until_answered(
        self, numbers: Sequence[int], *, times: int = 1, within: float = 10
    ) -> None:
        """Wait until each of them has been answered so many times from now on."""
        now = time.monotonic()
        async with asyncio.timeout(within):
            while True:
                since = [visit.visitor for visit in self.visits if visit.at >= now]
                if all(since.count(number) >= times for number in numbers):
                    return
                await asyncio.sleep(0.02)

    def versions(
        self, numbers: Sequence[int], after: float = 0.0, before: float = float("inf")
    ) -> dict[int, list[str]]:
        """Return who answered each of them in that span, without repetitions, in order."""
        answered: dict[int, list[str]] = {number: [] for number in numbers}
        for visit in self.visits:
            if visit.visitor in answered and after <= visit.at < before:
                mine = answered[visit.visitor]
                if mine[-1:] != [visit.version]:
                    mine.append(visit.version)
        return answered

    def troubles(self) -> list[Visit]:
        """Return the requests that were lost."""
        return [visit for visit in self.visits if visit.trouble]

    async def _visit(self, number: int) -> None:
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # the address is a number
            headers={"Host": HOST, **self.headers},
            timeout=aiohttp.ClientTimeout(total=10),
        ) as session:
            while not self._stop.is_set():
                self.visits.append(await self._ask(session, number))
                try:
                    await asyncio.wait_for(self._stop.wait(), PAUSE)
                except TimeoutError:
                    continue

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> Visit:
        at = time.monotonic()
        try:
            async with session.get(self.scene.url) as answer:
                await answer.read()
                version = answer.headers.get("X-Version", "")
                trouble = "" if answer.status == 200 else f"HTTP {answer.status}"
                return Visit(number, at, version, trouble)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Visit(number, at, "", repr(error))

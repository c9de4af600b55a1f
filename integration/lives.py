"""Which containers ran when, as Docker tells it: to see whether two versions ever ran at once.

Docker's own events, not the service's word for it. A life begins with a container's start and ends
with its death; who watches from before the first start to after the last death misses none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A container was started, or died."""

    at: int
    """Nanoseconds, on Docker's clock."""
    is_start: bool
    name: str

    @property
    def revision(self) -> str:
        """Return the revision that the container's name carries: `{app}-{revision}-{number}`."""
        return self.name.rsplit("-", 2)[1]


def overlaps(happenings: Iterable[Happening], running: Iterable[str] = ()) -> list[str]:
    """Return where containers of two revisions ran at once; `running` did from the beginning."""
    alive = set(running)
    found = []
    for happening in sorted(happenings, key=lambda happening: happening.at):
        if not happening.is_start:
            alive.discard(happening.name)
            continue
        others = sorted(n for n in alive if n.rsplit("-", 2)[1] != happening.revision)
        if others:
            found.append(f"{happening.name} was started while {', '.join(others)} ran")
        alive.add(happening.name)
    return found


class Lives:
    """Listens to Docker for as long as the `async with` block lasts."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._running: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self.happenings: list[Happening] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        label = f"label=traefik-bg.instance={self._instance}"
        self._process = await asyncio.create_subprocess_exec(
            "docker", "events", "--filter", label, "--filter", "event=start",
            "--filter", "event=die", "--format", "json", "--since", "0s",
            stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._task = asyncio.create_task(self._listen(self._process))
        listing = await asyncio.create_subprocess_exec(
            "docker", "ps", "--filter", label, "--format", "{{.Names}}",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        names, _ = await listing.communicate()
        self._running = names.decode().split()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._task is not None
        self._process.terminate()
        await self._process.wait()
        await self._task

    def overlaps(self) -> list[str]:
        """Return where two revisions ran at once."""
        return overlaps(self.happenings, self._running)

    def starts(self) -> list[str]:
        """Return the containers that were started, in order."""
        return [happening.name for happening in self.happenings if happening.is_start]

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            event = json.loads(line)
            self.happenings.append(
                Happening(
                    at=event["timeNano"],
                    is_start=event["Action"] == "start",
                    name=event["Actor"]["Attributes"]["name"],
                )
            )

"""What the replicas of a played world print: for the API and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from traefik_bg.core.errors import EngineUnavailable, LogUnreadable
from traefik_bg.core.forecast import World
from traefik_bg.core.logs import Excerpt, LogLine, Stream
from traefik_bg.core.model import AppName
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import Container

TICK = 0.002  # seconds until a line is seen


def moment(number: int) -> str:
    """Return the n-th of the times at which things are printed, as Docker writes it."""
    return f"2026-01-02T03:{number // 60:02}:{number % 60:02}.000000000Z"


@dataclass
class PlayedLogs:
    """Implements `Logs`, and the roster of who can be read."""

    worlds: Mapping[AppName, World]
    printed: dict[str, list[LogLine]] = field(default_factory=dict)
    """By the name of the replica, which is its id here."""
    unreadable: set[str] = field(default_factory=set)
    is_away: bool = False
    """Docker does not answer."""
    at_work: set[PlayedReading] = field(default_factory=set)
    count: int = 0

    def say(self, replica: str, *texts: str, stream: Stream = Stream.STDOUT) -> None:
        """Let a replica print."""
        for text in texts:
            line = LogLine(at=moment(self.count), stream=stream, text=text)
            self.printed.setdefault(replica, []).append(line)
            self.count += 1

    def runs(self, replica: str) -> bool:
        """Tell whether a replica runs."""
        worlds = self.worlds.values()
        return any(w.replicas[n].is_running for w in worlds for n in w.replicas if n == replica)

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app."""
        if self.is_away:
            raise EngineUnavailable("Docker is away")
        world = self.worlds.get(app)
        return [
            Container(
                name=replica.name,
                app=app,
                revision=replica.revision,
                number=replica.number,
                id=replica.name,
                state=replica.state,
                life="" if replica.state is ContainerState.CREATED else "1",
                exit_code=replica.exit_code,
            )
            for replica in (world.replicas.values() if world is not None else ())
        ]

    def open(self, container_id: str, excerpt: Excerpt) -> PlayedReading:
        """Begin to read."""
        reading = PlayedReading(self, container_id, excerpt)
        self.at_work.add(reading)
        return reading


class PlayedReading:
    """One log that is read."""

    def __init__(self, logs: PlayedLogs, replica: str, excerpt: Excerpt) -> None:
        self._logs, self._replica, self._excerpt = logs, replica, excerpt
        lines = logs.printed.setdefault(replica, [])
        new = [n for n, line in enumerate(lines) if line.at > excerpt.after]
        if excerpt.lines is not None:
            new = new[len(new) - min(excerpt.lines, len(new)) :]
        self._place = new[0] if new else len(lines)

    async def more(self) -> Sequence[LogLine]:
        """Wait for lines."""
        if self._replica in self._logs.unreadable:
            raise LogUnreadable("its driver cannot be read")
        while True:
            await asyncio.sleep(TICK)
            is_over = not self._excerpt.follows or not self._logs.runs(self._replica)
            if found := self._logs.printed[self._replica][self._place : self._place + 10]:
                self._place += len(found)
                return found
            if is_over:
                return ()

    async def close(self) -> None:
        """Read no further."""
        self._logs.at_work.discard(self)

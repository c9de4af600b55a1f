"""What the containers of the fake Docker print, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.runtime.fakes import Box, FakeEngine, now
from tests.runtime.tape import Tape
from traefik_bg.core.errors import Conflict, EngineUnavailable, LogUnreadable
from traefik_bg.core.logs import Excerpt, LogLine, Stream

TICK = 0.01  # seconds until a line is seen


def moment(seconds: float) -> str:
    """Return a time as Docker writes it."""
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    return f"2026-01-01T{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{micros:06}000Z"


@dataclass
class FakeLogs:
    """All logs, read by any number of readers; implements `ports.Logs`."""

    engine: FakeEngine
    tape: Tape
    printed: dict[str, list[LogLine]] = field(default_factory=dict)
    """By the id of the container."""
    unreadable: set[str] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)
    """Containers whose log cannot be read now, and why."""
    broken_off: set[str] = field(default_factory=set)
    """Containers whose log ends though they run."""
    bugs: set[str] = field(default_factory=set)
    is_at_work: set[FakeReading] = field(default_factory=set)
    taken: int = 0
    """Lines that were read, by all."""

    def say(self, box: Box, *texts: str, at: float | None = None) -> None:
        """Let a container print."""
        lines = self.printed.setdefault(box.id, [])
        for text in texts:
            stamp = moment(now() if at is None else at)
            if lines and lines[-1].at >= stamp:
                stamp = lines[-1].at[:-4] + f"{int(lines[-1].at[-4:-1]) + 1:03}Z"
            lines.append(LogLine(at=stamp, stream=Stream.STDOUT, text=text))

    def open(self, container_id: str, excerpt: Excerpt) -> FakeReading:
        """Begin to read."""
        reading = FakeReading(self, container_id, excerpt)
        self.is_at_work.add(reading)
        return reading

    def box(self, container_id: str) -> Box | None:
        """Return a container, unless it is gone."""
        boxes = self.engine.boxes.values()
        return next((box for box in boxes if box.id == container_id), None)


class FakeReading:
    """One log that is read; a few lines at a time."""

    def __init__(self, logs: FakeLogs, container_id: str, excerpt: Excerpt) -> None:
        self._logs = logs
        self._id = container_id
        self._excerpt = excerpt
        box = logs.box(container_id)
        self._life = box.life if box is not None else 0
        lines = logs.printed.setdefault(container_id, [])
        new = [n for n, line in enumerate(lines) if line.at > excerpt.after]
        if excerpt.lines is not None:
            new = new[len(new) - min(excerpt.lines, len(new)) :]
        self._place = new[0] if new else len(lines)

    async def more(self) -> Sequence[LogLine]:
        """Wait for lines."""
        logs = self._logs
        while True:
            await asyncio.sleep(TICK)
            if "docker" in logs.tape.down or self._id in logs.trouble:
                raise EngineUnavailable(
                    logs.trouble.get(self._id, logs.tape.down.get("docker", ""))
                )
            if self._id in logs.bugs:
                raise ZeroDivisionError("a bug")
            if self._id in logs.unreadable:
                raise LogUnreadable("its driver cannot be read")
            found = logs.printed[self._id][self._place : self._place + 10]
            if found:
                self._place += len(found)
                logs.taken += len(found)
                return found
            box = logs.box(self._id)
            if box is None and not self._excerpt.follows:
                raise Conflict(f"{self._id} is gone")
            is_over = box is None or not box.is_running or box.life != self._life
            if is_over or self._id in logs.broken_off or not self._excerpt.follows:
                return ()

    async def close(self) -> None:
        """Read no further."""
        self._logs.is_at_work.discard(self)

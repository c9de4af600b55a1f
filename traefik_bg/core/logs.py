"""What containers print, as the runtime needs it; an adapter provides it.

Apart from the other ports because it has nouns of its own and nothing is ever decided by it: the
log of a replica is for people. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Stream(StrEnum):
    """Where a process has written to; a container with a terminal has one for both."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a container."""

    at: str
    """When Docker got it: `2026-01-02T03:04:05.123456789Z`, so texts sort as the times do."""
    stream: Stream
    text: str
    """Without its end and without what a terminal would obey; cut where it was too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Which part of a log."""

    lines: int | None = None
    """At most so many, the last ones; None: all."""
    after: str = ""
    """Only what is newer than this, written as `LogLine.at`; empty: from the beginning."""
    follows: bool = False
    """Go on with what is written from now on, until the container ends."""


class LogReading(Protocol):
    """A log that is being read."""

    async def more(self) -> Sequence[LogLine]:
        """Wait for lines, and return those that have come; none: that was all.

        Raises:
            EngineUnavailable: Docker did not answer, or went away.
            LogUnreadable: this log cannot be read; trying again will not help.
            Conflict: the container is gone.
        """
        ...

    async def close(self) -> None:
        """Read no further, and let go of what it took; safe to call at any time."""
        ...


class Logs(Protocol):
    """The logs of this instance's containers, and of no others (S6)."""

    def open(self, container_id: str, excerpt: Excerpt) -> LogReading:
        """Begin to read; whatever is wrong is said when lines are asked for."""
        ...

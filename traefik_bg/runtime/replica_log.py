"""The log of one replica, and how far it has been told.

Apart from the transcript, which is about all replicas of an app, because a replica can live several
times: it ends and is started again, and each life has a log to be read and an end to be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from traefik_bg.core.errors import Conflict, LogUnreadable
from traefik_bg.core.logs import Excerpt, LogLine, LogReading, Logs
from traefik_bg.core.model import ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import Container

_ENDED = {ContainerState.EXITED, ContainerState.RESTARTING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a replica, or a note about it."""

    replica: ReplicaName | None = None
    """None: it is about no replica alone."""
    revision: RevisionId | None = None
    line: LogLine | None = None
    note: str = ""
    """What is to be said of it, for people, where there is no line."""


@dataclass(slots=True, kw_only=True, eq=False)
class ReplicaLog:
    """One replica whose log is read."""

    container: Container
    logs: Logs
    last: str = ""
    """The time of the newest line that was read; older ones are not wanted."""
    lines: int | None = None
    """How many old lines are wanted while none has been read; None: all."""
    life: str = ""
    """The life that is being read, or was read last; empty: none yet."""
    is_read: bool = False
    """Whether that life's log has been read to its end."""
    is_told: bool = False
    """Whether the end of that life has been told."""
    is_readable: bool = True
    failures: int = 0
    """How often reading failed in a row, for reasons that may pass."""
    again_at: float = 0.0
    """The loop's time before which reading is not tried anew."""
    task: asyncio.Task[None] | None = None
    _reading: LogReading | None = field(default=None, init=False)

    @property
    def has_ended(self) -> bool:
        """Tell whether its process is not there any more."""
        return self.container.state in _ENDED

    def note(self, sentence: str) -> Entry:
        """Return a note about it."""
        return Entry(replica=self.container.name, revision=self.container.revision, note=sentence)

    @property
    def end(self) -> str:
        """How it ended, in a sentence; empty while nobody knows."""
        code = self.container.exit_code
        if not self.has_ended or code is None:
            return ""
        return f"{self.container.name} ended with code {code}"

    def open(self, *, follows: bool) -> None:
        """Begin to read where we are."""
        excerpt = Excerpt(lines=self.lines, after=self.last, follows=follows)
        self._reading = self.logs.open(self.container.id, excerpt)

    async def more(self) -> Sequence[Entry]:
        """Wait for lines; none: that was all. What cannot be read at all is noted, once.

        Raises:
            EngineUnavailable: Docker did not answer, or went away.
        """
        if self._reading is None:
            return ()
        try:
            lines = await self._reading.more()
        except Conflict:
            return ()  # it is gone, and that is told by who looks
        except LogUnreadable as error:
            was_readable, self.is_readable = self.is_readable, False
            sentence = f"the log of {self.container.name} cannot be read: {error}"
            return (self.note(sentence),) if was_readable else ()
        name, revision = self.container.name, self.container.revision
        if lines:
            self.last, self.lines, self.failures = max(lines[-1].at, self.last), None, 0
        return [Entry(replica=name, revision=revision, line=line) for line in lines]

    async def close(self) -> None:
        """Read no further."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.close()

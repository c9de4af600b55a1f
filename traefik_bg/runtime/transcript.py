"""What the replicas of an app print, all of them in one: the last lines, and what comes.

Separate from the loop of the app, which decides by other things: a transcript only looks on, and
any number of them may. The past is in the order of Docker's times; what comes later is, too, as far
as it came together. Replicas that appear while it goes on are read from their beginning, and the
end of one is noted after its last line. It reads no faster than it is read, and when it is closed
all of it ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import structlog

from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.logs import Logs
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import Container
from traefik_bg.runtime.replica_log import Entry, ReplicaLog
from traefik_bg.runtime.triggers import Triggers, wait

RESYNC = 10.0  # seconds; only what no event told of is found so late
AGAIN = 1.0  # seconds before something that failed is tried once more
ENOUGH = 64 * 1024  # characters that wait to be taken; what is behind them is not read yet

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants to read of an app."""

    lines: int | None = None
    """At most so many old lines of each replica; None: all."""
    after: str = ""
    """Only lines that are newer, as `LogLine.at`; empty: from the beginning."""
    follows: bool = False
    """Go on with what comes, until it is closed."""
    revision: str = ""
    """Only this revision; empty: all."""
    replica: str = ""
    """Only this replica, by its name with or without the app's; empty: all."""

    def includes(self, app: AppName, name: str, revision: RevisionId) -> bool:
        """Tell whether a replica of the app is one of those that are wanted."""
        names = {"", name, name.removeprefix(f"{app}-")}
        return self.revision in {"", revision} and self.replica in names


class Roster(Protocol):
    """As much of the engine as it takes to know whom to read."""

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app, whatever their state.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribe:
    """Knows whom to ask; begins transcripts."""

    roster: Roster
    logs: Logs
    triggers: Triggers

    def transcript(self, app: AppName, wanted: Wanted) -> Transcript:
        """Return a transcript of an app; it begins when its context is entered."""
        return Transcript(app, wanted, self)


class Transcript:
    """All that the replicas of one app print, for one reader."""

    def __init__(self, app: AppName, wanted: Wanted, scribe: Scribe) -> None:
        self._app = app
        self._wanted = wanted
        self._scribe = scribe
        self._logs: dict[str, ReplicaLog] = {}
        self._outbox = _Outbox()
        self._bell = asyncio.Event()
        self._is_blind = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        for container in await self._look():
            self._logs[container.id] = self._new(container)
        self._task = asyncio.create_task(self._run(), name=f"{self._app}: transcript")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def more(self) -> Sequence[Entry]:
        """Wait for entries, and return those that have come; none: that was all.

        Nothing is lost where the waiting is cancelled.
        """
        return await self._outbox.take()

    async def _run(self) -> None:
        try:
            await self._tell_past()
            if self._wanted.follows:
                with self._scribe.triggers.listening(self._app) as self._bell:
                    await self._follow()
        except Exception as error:
            log.exception("transcript.failed", app=self._app)
            await self._outbox.put([Entry(note=_bug(error))])
        finally:
            tasks = [each.task for each in self._logs.values() if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(each.close() for each in self._logs.values()))
            self._outbox.close()

    async def _look(self) -> list[Container]:
        found = await self._scribe.roster.containers(self._app)
        wanted = [c for c in found if self._wanted.includes(self._app, c.name, c.revision)]
        return sorted(wanted, key=lambda container: container.name)

    def _new(self, container: Container) -> ReplicaLog:
        return ReplicaLog(container=container, logs=self._scribe.logs)

    # --- the past ---------------------------------------------------------------------------------

    async def _tell_past(self) -> None:
        """Tell what there is, in the order in which it was printed."""
        began = [each for each in self._logs.values() if each.container.life]
        for each in began:
            each.last, each.lines = self._wanted.after, self._wanted.lines
            each.life = each.container.life
            each.is_read = each.is_told = each.has_ended
            if self._wanted.lines != 0:
                each.open(follows=False)
        heads: dict[ReplicaLog, deque[Entry]] = {each: deque() for each in began}
        while heads:
            dry = [each for each, entries in heads.items() if not entries]
            for each, entries in zip(dry, await asyncio.gather(*map(_past, dry)), strict=True):
                heads[each].extend(entries)
            heads = {each: entries for each, entries in heads.items() if entries}
            told = []
            while heads and all(heads.values()):
                told.append(min(heads.values(), key=lambda entries: _at(entries[0])).popleft())
            await self._outbox.put(told)
        await asyncio.gather(*(each.close() for each in began))

    # --- what comes -------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Look whenever something happens to the app, and read what there is to read."""
        while True:
            self._bell.clear()
            try:
                found = await self._look()
            except EngineUnavailable as error:
                await self._say_blind(f"{error}; waiting for it")
                await wait(self._bell, AGAIN)
                continue
            await self._say_blind("")
            is_soon = await self._compare(found)
            await wait(self._bell, AGAIN if is_soon else RESYNC)

    async def _say_blind(self, why: str) -> None:
        if bool(why) != self._is_blind:
            self._is_blind = bool(why)
            await self._outbox.put([Entry(note=why or "Docker answers again")])

    async def _compare(self, found: Sequence[Container]) -> bool:
        """Attend to every replica; tell whether one must be looked at again soon."""
        is_soon = False
        for container in found:
            each = self._logs.setdefault(container.id, self._new(container))
            each.container = container
            if each.task is None and container.life:
                is_soon = await self._attend(each) or is_soon
        here = {container.id for container in found}
        for gone in [key for key in self._logs if key not in here]:
            each = self._logs[gone]
            if each.task is not None:
                continue  # it reads what is left; then we are woken
            if each.life and not each.is_told:
                sentence = each.end or f"{each.container.name} ended and is gone"
                await self._outbox.put([each.note(sentence)])
            del self._logs[gone]
        return is_soon

    async def _attend(self, each: ReplicaLog) -> bool:
        """Read on, or tell the end; tell whether to look again soon."""
        container = each.container
        if container.life != each.life:
            if each.life:
                was = "" if each.is_told else "ended and "
                await self._outbox.put([each.note(f"{container.name} {was}was started again")])
            each.life, each.is_read, each.is_told = container.life, False, False
        each.is_read = each.is_read or not each.is_readable
        is_over = each.is_read and (each.has_ended or not each.is_readable)
        if not is_over and container.state is not ContainerState.REMOVING:
            return self._read_on(each)
        if not each.has_ended or each.is_told:
            return False
        if each.end:
            each.is_told = True
            await self._outbox.put([each.note(each.end)])
        return not each.is_told  # with what code, Docker knows in a moment

    def _read_on(self, each: ReplicaLog) -> bool:
        now = asyncio.get_running_loop().time()
        if now < each.again_at:
            return True
        each.again_at = now + AGAIN
        name = f"{self._app}: log of {each.container.name}"
        each.task = asyncio.create_task(self._read(each), name=name)
        return False

    async def _read(self, each: ReplicaLog) -> None:
        """Read a replica's log as it is written, until it ends."""
        name = each.container.name
        try:
            each.open(follows=True)
            while entries := await each.more():
                await self._outbox.put(entries)
            each.is_read = True
        except EngineUnavailable as error:
            each.failures += 1
            if each.failures == 2:  # once is an outage, and that is told by the look
                sentence = f"the log of {name} cannot be read now: {error}"
                await self._outbox.put([each.note(sentence)])
        except Exception as error:
            log.exception("transcript.failed", app=self._app, replica=name)
            each.is_readable = False
            await self._outbox.put([each.note(_bug(error))])
        finally:
            await each.close()
            each.task = None
            self._bell.set()


async def _past(each: ReplicaLog) -> Sequence[Entry]:
    """Return more old lines of a replica, or why they cannot be had."""
    try:
        return await each.more()
    except EngineUnavailable as error:
        await each.close()
        return [each.note(f"the log of {each.container.name} cannot be read now: {error}")]


def _bug(error: Exception) -> str:
    return f"internal error, please report this: {error!r}"


def _at(entry: Entry) -> str:
    return entry.line.at if entry.line is not None else ""


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries by the time of their lines; notes stay between what is around them."""
    told: list[Entry] = []
    lines: list[Entry] = []
    for entry in entries:
        if entry.line is not None:
            lines.append(entry)
            continue
        told += [*sorted(lines, key=_at), entry]
        lines = []
    return told + sorted(lines, key=_at)


class _Outbox:
    """Entries that wait to be taken: a few, and who brings more has to wait."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._size = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._is_closed = False

    async def put(self, entries: Sequence[Entry]) -> None:
        """Add entries as soon as there is room."""
        while self._size >= ENOUGH:
            self._room.clear()
            await self._room.wait()
        if entries:
            self._entries += entries
            self._size += sum(len(e.line.text if e.line else e.note) + 1 for e in entries)
            self._news.set()

    async def take(self) -> list[Entry]:
        """Wait for entries, and return all there are; none: there will be no more."""
        await self._news.wait()
        entries, self._entries, self._size = self._entries, [], 0
        self._room.set()
        if not self._is_closed:
            self._news.clear()
        return in_order(entries)

    def close(self) -> None:
        """Say that there will be no more."""
        self._is_closed = True
        self._news.set()

"""What is done to the world, counted; and what can happen to the one who does it.

Every fake asks the tape before it does anything. So a test can let the n-th action fail, be done
with the reply lost, never answer, or be the last thing the service did; and a service that has been
killed does nothing any more, whatever its tasks are still up to.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

Result = TypeVar("Result")

PATIENCE = 10.0  # seconds after which an adapter gives up on a call that hangs


class Mishap(Enum):
    """What happens to one call."""

    FAILS = auto()
    """Nothing is done, and the caller is told that nobody answered."""
    LOSES_REPLY = auto()
    """It is done, and the caller is told that nobody answered."""
    HANGS = auto()
    """Nothing is done, and the caller finds out late."""
    KILLS_DURING = auto()
    """It has begun and will be done, but the service dies before it is."""
    KILLS_AFTER = auto()
    """It is done, and the service dies before it hears of it."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done to the world."""

    verb: str
    about: str
    at: float

    def __str__(self) -> str:
        return f"{self.verb} {self.about}"


@dataclass(slots=True)
class Tape:
    """Counts, and lets things go wrong."""

    actions: list[Action] = field(default_factory=list)
    """Every change of the world, from when it began."""
    looks: list[Action] = field(default_factory=list)
    """Every question."""
    at: dict[int, Mishap] = field(default_factory=dict)
    """What happens to the n-th action; counted from 0."""
    died: asyncio.Event = field(default_factory=asyncio.Event)
    is_dead: bool = False
    """The service that holds the other end is dead: nothing it asks for is done."""
    down: dict[str, str] = field(default_factory=dict)
    """Parts of the world that do not answer now, and what is said of them."""
    late: dict[str, float] = field(default_factory=dict)
    """Seconds by which answers to a verb are late."""
    _next: defaultdict[str, deque[Mishap]] = field(default_factory=lambda: defaultdict(deque))
    begun: int = 0
    """How many actions were asked for, done or not."""
    _daemons: set[asyncio.Task[object]] = field(default_factory=set)

    # --- what tests ask and order -----------------------------------------------------------------

    def next(self, verb: str, mishap: Mishap, times: int = 1) -> None:
        """Let something happen to the next calls of a verb."""
        self._next[verb].extend([mishap] * times)

    def forget(self) -> None:
        """Let nothing happen any more that was ordered for the next calls."""
        self._next.clear()

    def said(self, *verbs: str) -> list[str]:
        """Return the actions so far, or those of some verbs."""
        return [str(action) for action in self.actions if not verbs or action.verb in verbs]

    def count(self, verb: str) -> int:
        """Return how often a question was asked or an action begun."""
        return sum(action.verb == verb for action in (*self.actions, *self.looks))

    @property
    def last_at(self) -> float:
        """The time of the newest action."""
        return self.actions[-1].at if self.actions else 0.0

    def close(self) -> None:
        """Stop what the world is still doing."""
        for daemon in self._daemons:
            daemon.cancel()

    # --- what fakes ask ---------------------------------------------------------------------------

    async def ask(
        self,
        part: str,
        verb: str,
        answer: Callable[[], Result],
        error: Callable[[str], Exception],
        *,
        takes: float = 0.0,
    ) -> Result:
        """Answer a question, unless something happens to it."""
        await self._alive()
        self.looks.append(Action(verb, "", _now()))
        mishap = self._next[verb].popleft() if self._next[verb] else None
        await self._wait(verb, takes)
        if part in self.down or mishap is Mishap.FAILS:
            raise error(self.down.get(part, f"{part}: no answer to {verb}"))
        if mishap is Mishap.HANGS:
            await asyncio.sleep(PATIENCE)
            raise error(f"{part}: no answer to {verb} for {PATIENCE:g} s")
        found = answer()
        await self._alive()
        return found

    async def act(
        self,
        part: str,
        verb: str,
        about: str,
        effect: Callable[[], Awaitable[None]],
        error: Callable[[str], Exception],
    ) -> None:
        """Change the world, unless something happens; it goes on even if nobody waits for it."""
        await self._alive()
        number, self.begun = self.begun, self.begun + 1
        queued = self._next[verb].popleft() if self._next[verb] else None
        mishap = self.at.get(number, queued)
        if part in self.down or mishap is Mishap.FAILS:
            raise error(self.down.get(part, f"{part}: no answer to {verb} {about}"))
        if mishap is Mishap.HANGS:
            await asyncio.sleep(PATIENCE)
            raise error(f"{part}: no answer to {verb} {about} for {PATIENCE:g} s")
        self.actions.append(Action(verb, about, _now()))
        doing = asyncio.ensure_future(effect())
        self._daemons.add(doing)
        doing.add_done_callback(self._ended)
        if mishap is Mishap.KILLS_DURING:
            await asyncio.sleep(0)  # begun
            self.kill()
        await asyncio.shield(doing)
        if mishap is Mishap.KILLS_AFTER:
            self.kill()
        await self._wait(verb, 0.0)
        await self._alive()
        if part in self.down or mishap is Mishap.LOSES_REPLY:
            raise error(self.down.get(part, f"{part}: the reply to {verb} {about} was lost"))

    def kill(self) -> None:
        """Let the service be dead from this instant."""
        self.is_dead = True
        self.died.set()

    def _ended(self, doing: asyncio.Future[None]) -> None:
        self._daemons.discard(doing)
        if not doing.cancelled():
            doing.exception()  # the caller was told; a dead caller need not be

    async def _alive(self) -> None:
        if self.is_dead:
            await asyncio.get_running_loop().create_future()

    async def _wait(self, verb: str, takes: float) -> None:
        if (delay := takes + self.late.get(verb, 0.0)) > 0:
            await asyncio.sleep(delay)


def _now() -> float:
    return asyncio.get_running_loop().time()

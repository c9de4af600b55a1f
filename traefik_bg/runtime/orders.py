"""What operators said to one app, until it has been obeyed; and how long the way back took.

Apart from the loop because an order is answered to somebody who waits, whatever becomes of the look
that was to obey it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from traefik_bg.core.actions import Ending
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.errors import CommandRefused, TraefikBgError, Unavailable
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.observation import Observation
from traefik_bg.core.record import Record
from traefik_bg.core.situation import FULL, Situation

_WAYS_BACK = frozenset({Verb.ABORT, Verb.ROLLBACK})

log = structlog.get_logger()

Save = Callable[[Record, Sequence[Ending]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """All traffic is back."""

    revision: RevisionId
    """On which revision."""
    seconds: float
    """From the command to the confirmation."""
    at: float
    """When it was confirmed, on the loop's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    verb: Verb
    to: RevisionId | None
    is_full: bool
    given_at: float
    answer: asyncio.Future[str]

    def say(self, sentence: str | TraefikBgError) -> None:
        """Answer, unless nobody waits for it any more."""
        if self.answer.done():
            return
        if isinstance(sentence, str):
            self.answer.set_result(sentence)
        else:
            self.answer.set_exception(sentence)


class Orders:
    """The orders of one app."""

    def __init__(self, app: AppName, bell: asyncio.Event) -> None:
        self._app = app
        self._bell = bell
        self._waiting: list[_Order] = []
        self._way_back: tuple[RevisionId, float] | None = None
        self._said: list[str] = []

    async def give(self, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False) -> str:
        """Have the loop obey a command; returns the sentence to answer.

        Raises:
            CommandRefused: it makes no sense now.
            Unavailable: it could not be judged or remembered.
        """
        loop = asyncio.get_running_loop()
        order = _Order(
            verb=verb, to=to, is_full=is_full, given_at=loop.time(), answer=loop.create_future()
        )
        self._waiting.append(order)
        self._bell.set()
        return await order.answer

    async def obey(self, seen: Observation, record: Record, save: Save) -> None:
        """Obey what was said since the last look, one order after the other.

        Raises:
            Unavailable: one could not be remembered; it is left to be turned away.
        """
        while self._waiting:
            order = self._waiting[0]
            if not order.answer.done():
                record = await self._obey(order, seen, record, save)
            self._waiting.remove(order)

    async def _obey(self, order: _Order, seen: Observation, record: Record, save: Save) -> Record:
        situation = Situation(seen=seen, record=record)
        try:
            obeyed = obey(order.verb, situation, to=order.to, is_full=order.is_full)
        except CommandRefused as error:
            order.say(error)
            return record
        await save(obeyed.record, obeyed.endings)
        order.say(obeyed.sentence)
        log.info("command.obeyed", app=self._app, verb=order.verb, sentence=obeyed.sentence)
        self._said.append(f"{order.verb}: {obeyed.sentence}")
        if order.verb in _WAYS_BACK and obeyed.record.good is not None:
            self._way_back = (obeyed.record.good.revision, order.given_at)
        return obeyed.record

    def turn_away(self, reason: str) -> None:
        """Answer everybody who waits that there will be no answer."""
        waiting, self._waiting = self._waiting, []
        for order in waiting:
            order.say(Unavailable(reason))

    def undone(self, seen: Observation, at: float) -> Undone | None:
        """Return how long the way back took, once, when it is seen to be confirmed.

        `at`: the loop's time of the look.
        """
        if self._way_back is None or seen.confirmed_for is None or seen.published is None:
            return None
        revision, given_at = self._way_back
        if seen.published.weights != {revision: FULL}:
            return None
        self._way_back = None
        confirmed_at = at - seen.confirmed_for
        seconds = confirmed_at - given_at
        if seconds <= 0:
            return None  # it had all traffic anyway
        log.info("traffic.back", app=self._app, revision=revision, seconds=round(seconds, 4))
        self._said.append(
            f"all traffic is back on {revision}, {seconds * 1000:.0f} ms after the command"
        )
        return Undone(revision=revision, seconds=seconds, at=confirmed_at)

    def news(self) -> list[str]:
        """Return what is worth a line in the history, once."""
        said, self._said = self._said, []
        return said

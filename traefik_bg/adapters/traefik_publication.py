"""What is published now, and who has fetched it.

The router releases an edition when it is written; the HTTP provider gives it to whoever asks and
holds those who have it already. Kept apart from both so that the web layer needs nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from traefik_bg.core import markers, traffic
from traefik_bg.core.model import AppName, Routing

POLLER_FORGOTTEN_AFTER = 60.0  # a Traefik asks every few seconds; one that does not is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One document, and the routings in it."""

    number: int
    """Grows with every document that is written."""
    marker: str
    """What a Traefik shows that runs it."""
    parts: Mapping[AppName, Routing]
    body: bytes

    @classmethod
    def of(cls, document: traffic.Document, body: bytes) -> Edition:
        """Return the edition of a document of ours.

        Raises:
            ValueError: it is none.
        """
        marker = traffic.marker(document)
        parts = traffic.routings(document)
        return cls(number=markers.serial(marker), marker=marker, parts=parts, body=body)


class Publication:
    """The current edition; lets callers wait for the next."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.edition: Edition | None = None
        """None: nothing is known yet, or nothing was ever published."""
        self.noted = asyncio.Event()
        """Set when an edition is released, or fetched for the first time; cleared by who waits."""
        self._clock = clock
        self._next = asyncio.Event()
        self._is_closed = False
        self._pollers: dict[str, tuple[int, float]] = {}

    def release(self, edition: Edition) -> None:
        """Make an edition the current one."""
        self.edition = edition
        self._wake()

    def close(self) -> None:
        """Let all waiting callers go, and no one wait any more: the service ends."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()
        self.noted.set()

    async def other_than(self, number: int | None, timeout: float) -> Edition | None:
        """Return the current edition as soon as it has another number, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self._is_closed and (
                    self.edition is None or self.edition.number == number
                ):
                    await self._next.wait()
        return self.edition

    def fetched(self, poller: str, number: int) -> None:
        """Note that somebody has got an edition."""
        before = self._pollers.get(poller)
        self._pollers[poller] = (number, self._clock())
        if before is None or before[0] != number:
            self.noted.set()

    def fetched_by_all(self) -> int | None:
        """Return the newest edition that everybody who still asks has got; None: nobody asks."""
        oldest = self._clock() - POLLER_FORGOTTEN_AFTER
        self._pollers = {
            poller: (number, at) for poller, (number, at) in self._pollers.items() if at > oldest
        }
        return min((number for number, _ in self._pollers.values()), default=None)

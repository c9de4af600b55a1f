"""Reasons to look again, one bell for each app.

Adapters ring; reconcilers wait. A bell carries no message: what happened is found by looking. A
missed ring is a late look, never a missing decision, since every app also looks from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from traefik_bg.core.model import AppName


class Triggers:
    """Wakes the loops."""

    def __init__(self) -> None:
        self._bells: dict[AppName, asyncio.Event] = {}
        self._ears: dict[asyncio.Event, AppName] = {}
        self.roster = asyncio.Event()
        """Rung when the set of apps may have changed."""

    def wake(self, app: AppName | None) -> None:
        """Say "look again" for one app, or for all (None)."""
        for ear, about in self._ears.items():
            if app is None or app == about:
                ear.set()
        if app is not None and app in self._bells:
            self._bells[app].set()
            return
        self.roster.set()
        if app is None:
            for bell in self._bells.values():
                bell.set()

    def bell(self, app: AppName) -> asyncio.Event:
        """Return the app's bell."""
        return self._bells.setdefault(app, asyncio.Event())

    @contextmanager
    def listening(self, app: AppName) -> Iterator[asyncio.Event]:
        """Lend a bell that rings with the app's; for those who look on and decide nothing."""
        ear = asyncio.Event()
        self._ears[ear] = app
        try:
            yield ear
        finally:
            del self._ears[ear]

    def dismiss(self, app: AppName) -> None:
        """Forget the bell of an app that is gone."""
        self._bells.pop(app, None)


async def wait(bell: asyncio.Event, seconds: float) -> None:
    """Wait until the bell rings or the time is over, whichever is first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()

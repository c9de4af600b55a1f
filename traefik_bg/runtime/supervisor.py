"""Keeps one reconciler for every app there is: wanted, running, routed or remembered.

Separate from the reconcilers because an app that is no longer wanted still needs one, until nothing
of it is left. It decides nothing about an app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused, Unavailable
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.ports import Checker, ConnectionCounter, Meter, Prober
from traefik_bg.runtime.inquiry import Inquiry
from traefik_bg.runtime.observer import Observer
from traefik_bg.runtime.operations import Operations
from traefik_bg.runtime.reconciler import AppStatus, Parts, Reconciler
from traefik_bg.runtime.triggers import Triggers, wait
from traefik_bg.runtime.vitals import Vitals
from traefik_bg.runtime.witness import Witness

AGAIN = 1.0  # seconds after a roll call that could not be made

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """Whom to ask how the replicas are."""

    prober: Prober
    counter: ConnectionCounter
    meter: Meter
    checker: Checker


class Supervisor:
    """Starts a loop for every app."""

    def __init__(
        self,
        *,
        parts: Parts,
        senses: Senses,
        triggers: Triggers,
        resync: float,
        addresses_are_names: bool,
        changed: Callable[[AppStatus], None] = lambda _status: None,
    ) -> None:
        self._parts = parts
        self._senses = senses
        self._triggers = triggers
        self._resync = resync
        self._addresses_are_names = addresses_are_names
        self._changed = changed
        self._reconcilers: dict[AppName, Reconciler] = {}
        self.trouble: str | None = "starting"
        """Why the apps are not all known; None when they are."""
        self._has_seen = False

    @property
    def statuses(self) -> Mapping[AppName, AppStatus]:
        """What is known of every app."""
        return {app: self._reconcilers[app].status for app in sorted(self._reconcilers)}

    async def command(
        self, app: AppName, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False
    ) -> str:
        """Have an app's loop obey a command; returns the sentence to answer.

        Raises:
            CommandRefused: there is no such app, or it makes no sense now.
            Unavailable: it could not be judged or remembered, or not all apps are known.
        """
        reconciler = self._reconcilers.get(app)
        if reconciler is None and self.trouble is not None:
            raise Unavailable(f"not all apps are known: {self.trouble}")
        if reconciler is None:
            known = ", ".join(sorted(self._reconcilers)) or "none"
            raise CommandRefused(f"there is no app {app}; there is: {known}")
        return await reconciler.command(verb, to, is_full=is_full)

    async def run(self) -> None:
        """Call the roll whenever it may have changed, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._triggers.roster.clear()
                delay = self._resync
                try:
                    apps = await self._roll_call()
                except Unavailable as error:
                    self._say_trouble(str(error))
                    delay = AGAIN
                else:
                    self._say_trouble(None)
                    for app in sorted(apps - self._reconcilers.keys()):
                        self._begin(app, group)
                await wait(self._triggers.roster, delay)

    def _say_trouble(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        if trouble is None:
            self._has_seen = True
            log.info("service.sees")
        elif self._has_seen:
            log.warning("service.blind", reason=trouble)
        else:
            log.info("service.blind", reason=trouble)  # nobody sees at once when starting
        self.trouble = trouble

    async def _roll_call(self) -> frozenset[AppName]:
        """Return every app that is wanted, running, routed or remembered.

        Raises:
            Unavailable: one of them cannot be known.
        """
        wanted = self._parts.source.current()
        if not wanted.is_known:
            raise Unavailable(wanted.error or "the desired state has not been read yet")
        running = await self._parts.engine.apps()
        routed = self._parts.router.apps()
        remembered = await self._parts.store.apps()
        return frozenset(wanted.apps) | running | routed | remembered

    def _begin(self, app: AppName, group: asyncio.TaskGroup) -> None:
        senses, wake = self._senses, self._triggers.wake
        operations = Operations(app, wake)
        observer = Observer(
            app,
            engine=self._parts.engine,
            images=self._parts.images,
            router=self._parts.router,
            counter=senses.counter,
            vitals=Vitals(app, senses.prober, wake),
            witness=Witness(app, senses.meter, wake),
            inquiry=Inquiry(app, senses.checker, wake),
            operations=operations,
            addresses_are_names=self._addresses_are_names,
        )
        reconciler = Reconciler(
            app,
            parts=self._parts,
            observer=observer,
            operations=operations,
            bell=self._triggers.bell(app),
            resync=self._resync,
            changed=self._changed,
        )
        self._reconcilers[app] = reconciler
        group.create_task(self._attend(app, reconciler), name=f"app {app}")

    async def _attend(self, app: AppName, reconciler: Reconciler) -> None:
        await reconciler.run()
        del self._reconcilers[app]
        self._triggers.dismiss(app)
        self._triggers.wake(None)
        log.info("app.gone", app=app)

"""The loop of one app: look, decide, remember, act, wait.

One task an app, so a slow app delays no other and nothing needs a lock. It keeps nothing the next
look would not find again, apart from the record, which is saved before anything is done.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from traefik_bg.core.actions import Ending, Outcome, Phase, Plan
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import Conflict, LawBroken, TraefikBgError, Unavailable
from traefik_bg.core.image_ports import Images
from traefik_bg.core.model import AppName, AppSpec, RevisionId
from traefik_bg.core.observation import Observation
from traefik_bg.core.planner import plan
from traefik_bg.core.ports import (
    DesiredSource,
    Engine,
    Router,
    RoutingState,
    Store,
)
from traefik_bg.core.record import Record
from traefik_bg.runtime.executor import Executor
from traefik_bg.runtime.observer import LAST_LINES, Observer
from traefik_bg.runtime.operations import Operations
from traefik_bg.runtime.orders import Orders, Undone
from traefik_bg.runtime.triggers import wait

FIRST_BACKOFF = 0.25  # seconds after a look that could not be made
LONGEST_BACKOFF = 5.0
AFTER_CONFLICT = 0.05
AFTER_BROKEN_LAW = 30.0

log = structlog.get_logger()


@dataclass(kw_only=True, slots=True)
class AppStatus:
    """What people may know of an app now."""

    app: AppName
    phase: Phase = Phase.BLIND
    reason: str = "not looked at yet"
    left: float | None = None
    """The seconds the reason ended with, at `said_at`; see `counted_down`."""
    said_at: float | None = None
    """The loop's time of the look that the reason was given after; the newest may be under way."""
    trouble: str | None = None
    """Why the last look or action did not succeed; None when it did."""
    since: float = 0.0
    """The loop's time at which the phase began."""
    desired_error: str | None = None
    looked_at: float | None = None
    """The loop's time of the last look: durations in what was seen are as old as that."""
    record: Record = field(default_factory=Record)
    seen: Observation | None = None
    routing: RoutingState = field(default_factory=RoutingState)
    undone: Undone | None = None
    """The last way back that was confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a reconciler is made of."""

    engine: Engine
    images: Images
    router: Router
    store: Store
    source: DesiredSource


class Reconciler:
    """Brings one app to its desired state, and keeps it there."""

    def __init__(
        self,
        app: AppName,
        *,
        parts: Parts,
        observer: Observer,
        operations: Operations,
        bell: asyncio.Event,
        resync: float,
        changed: Callable[[AppStatus], None],
    ) -> None:
        self._app = app
        self._parts = parts
        self._observer = observer
        self._operations = operations
        self._bell = bell
        self._resync = resync
        self._changed = changed
        self._record: Record | None = None
        self._wish: AppSpec | None = None
        self._orders = Orders(app, bell)
        self._noted = ""
        self._backoff = FIRST_BACKOFF
        self._executor = Executor(
            engine=parts.engine,
            images=parts.images,
            router=parts.router,
            operations=operations,
            look=self._look_again,
            desired=self._desired,
            remembered=lambda: self._record or Record(),
        )
        self.status = AppStatus(app=app)

    async def run(self) -> None:
        """Work until the app is neither desired nor there any more."""
        try:
            while True:
                self._bell.clear()
                delay = await self._tick_safely()
                if delay is None:
                    return
                await wait(self._bell, delay)
        finally:
            await self._operations.close()
            await self._observer.close()
            self._orders.turn_away(f"{self._app} is not looked after any more")

    async def command(
        self, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False
    ) -> str:
        """Have the loop obey a command; returns the sentence to answer.

        Raises:
            CommandRefused: it makes no sense now.
            Unavailable: it could not be judged or remembered.
        """
        return await self._orders.give(verb, to, is_full=is_full)

    async def _tick_safely(self) -> float | None:
        """Return the seconds until the next look, or None when there will be none."""
        try:
            delay = await self._tick()
        except Unavailable as error:
            self._say_trouble(str(error), Phase.BLIND)
            self._orders.turn_away(str(error))
            delay, self._backoff = self._backoff, min(self._backoff * 2, LONGEST_BACKOFF)
        except Conflict as error:
            log.info("look.outdated", app=self._app, reason=str(error))
            delay = AFTER_CONFLICT
        except LawBroken as error:
            log.exception("law.broken", app=self._app, law=error.law, detail=error.detail)
            self._say_trouble(f"held, please report this: {error}", Phase.PAUSED)
            delay = AFTER_BROKEN_LAW
        except TraefikBgError as error:
            self._say_trouble(str(error), self.status.phase)
            self._orders.turn_away(str(error))
            delay, self._backoff = self._backoff, min(self._backoff * 2, LONGEST_BACKOFF)
        except Exception as error:
            # One app's trouble must not become everybody's: say it loudly and look again.
            log.exception("look.failed", app=self._app)
            trouble = f"internal error, please report this: {error!r}"
            self._say_trouble(trouble, Phase.BLIND)
            self._orders.turn_away(trouble)
            delay = LONGEST_BACKOFF
        else:
            self._backoff = FIRST_BACKOFF
        return delay

    async def _tick(self) -> float | None:
        """Look, decide, remember, act; return the seconds until the next look."""
        desired = self._desired()
        if desired != self._wish:
            self._operations.forget(
                lambda _about: True
            )  # a new wish: what was refused may work now
            self._wish = desired
        if self._record is None:
            self._record = await self._parts.store.record(self._app)
        sight = await self._observer.look(desired, self._record)
        self.status.seen, self.status.routing = sight.seen, sight.routing
        self.status.looked_at = sight.at
        self.status.undone = self._orders.undone(sight.seen, sight.at) or self.status.undone
        await self._orders.obey(sight.seen, self._record, self._save)
        if (broken := self._operations.broken_law) is not None:
            self._operations.broken_law = None
            raise broken
        made = await self._with_last_lines(plan(sight.seen, self._record), sight.seen)
        await self._remember(made)
        self._tell(made)
        if self._is_over(made, sight.seen):
            await self._parts.store.forget(self._app)
            return None
        await self._note(made.notes)  # what they are about is gone in a moment
        await self._executor.execute(made.actions, sight.seen)
        await self._note(self._orders.news())  # not before: who goes back is in a hurry
        self._clear_trouble()
        if made.recheck_after is None:
            return self._resync
        return min(made.recheck_after, self._resync)

    def _desired(self) -> AppSpec | None:
        """Return what is wanted of this app.

        Raises:
            Unavailable: no desired state has been read yet, or it is not known yet what it means.
        """
        state = self._parts.source.current()
        self.status.desired_error = state.error
        if not state.is_known:
            raise Unavailable(state.error or "the desired state has not been read yet")
        if (asking := state.unknown.get(self._app)) is not None:
            raise Unavailable(asking)
        return state.apps.get(self._app)

    async def _look_again(self) -> Observation:
        desired = self._desired()
        return (await self._observer.look(desired, self._record or Record())).seen

    async def _note(self, sentences: Sequence[str]) -> None:
        """Write down what was said, once; that it cannot be written holds nothing up."""
        for sentence in sentences:
            if sentence == self._noted:
                continue  # what it is about could not be done, and is tried again
            try:
                await self._parts.store.note(self._app, sentence)
                self._noted = sentence
            except Unavailable as error:
                log.warning("news.not_noted", app=self._app, reason=str(error))

    async def _with_last_lines(self, made: Plan, seen: Observation) -> Plan:
        """Return the plan with the log of a green that is rejected although it runs.

        What failed by itself has been read already; what answers badly is about to be stopped.
        """
        rejection = made.record.rejection
        is_new = any(ending.outcome is Outcome.REJECTED for ending in made.endings)
        if rejection is None or not is_new or rejection.log:
            return made
        name = next((r.name for r in seen.replicas if r.revision == rejection.revision), None)
        if name is None:
            return made
        try:
            lines = await self._parts.engine.tail(name, LAST_LINES)
        except Unavailable as error:
            log.warning("log.not_kept", app=self._app, replica=name, reason=str(error))
            return made
        return replace(
            made,
            record=replace(made.record, rejection=replace(rejection, log=lines)),
            endings=tuple(
                replace(ending, log=(*ending.log, *lines))
                if ending.outcome is Outcome.REJECTED
                else ending
                for ending in made.endings
            ),
        )

    async def _remember(self, made: Plan) -> None:
        """Save the record before anything is done, and forget the refusals that were judged."""
        if made.record != self._record or made.endings:
            await self._save(made.record, made.endings)
        self.status.record = made.record
        for ending in made.endings:
            level = log.info if ending.outcome is Outcome.SUCCEEDED else log.warning
            level(
                f"deployment.{ending.outcome}",
                app=self._app,
                revision=ending.revision,
                reason=ending.reason,
            )
            if ending.outcome is not Outcome.SUCCEEDED:
                self._operations.forget(_is_about(self._app, ending.revision))

    async def _save(self, record: Record, endings: Sequence[Ending]) -> None:
        try:
            await self._parts.store.save(self._app, record, endings)
        except Unavailable:
            self._record = None  # it may have been saved: what is remembered has to be read again
            raise
        self._record = record

    def _tell(self, made: Plan) -> None:
        """Log a decision when it is a new one, and a wait when its kind is new."""
        before = self.status.reason
        self._enter(made.phase)
        self.status.reason, self.status.left = made.reason, made.left
        self.status.said_at = self.status.looked_at
        if _kind(made.reason) != _kind(before) or made.actions:
            actions = [str(action) for action in made.actions]
            log.info("app.decided", app=self._app, phase=made.phase, reason=made.reason, do=actions)
        if made.reason != before:
            self._announce()

    def _enter(self, phase: Phase) -> None:
        if phase is not self.status.phase:
            self.status.phase, self.status.since = phase, asyncio.get_running_loop().time()

    def _is_over(self, made: Plan, seen: Observation) -> bool:
        return (
            seen.desired is None
            and not seen.replicas
            and not seen.hooks
            and seen.published is None
            and not seen.busy
            and not made.actions
        )

    def _say_trouble(self, trouble: str, phase: Phase) -> None:
        self._enter(phase)
        if self.status.trouble != trouble:
            log.warning("app.in_trouble", app=self._app, reason=trouble)
            self.status.trouble = trouble
            self._announce()

    def _clear_trouble(self) -> None:
        if self.status.trouble is not None:
            log.info("app.out_of_trouble", app=self._app, was=self.status.trouble)
            self.status.trouble = None
            self._announce()

    def _announce(self) -> None:
        try:
            self._changed(self.status)
        except Exception:
            log.exception("status.not_announced", app=self._app)  # nobody's app should suffer


def _kind(reason: str) -> str:
    """Return a reason without its numbers: "in 3 s" and "in 2 s" are the same news."""
    return re.sub(r"\d+", "#", reason)


def _is_about(app: AppName, revision: RevisionId) -> Callable[[str], bool]:
    """Tell what concerns a revision: its replicas and all images, not the replicas of others."""
    prefix, replica = f"{app}-{revision}-", re.compile(rf"{re.escape(app)}-[0-9a-f]{{8}}-\d+")
    return lambda about: about.startswith(prefix) or replica.fullmatch(about) is None

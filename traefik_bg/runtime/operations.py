"""Runs what takes long beside the loop: pulls, creations, starts, stops.

Nothing slow may blind an app's loop, so it is started here and seen by the next look as something
under way. Failures are kept as facts: a refusal for the planner to judge, or a time to leave the
subject alone. One chain of actions a subject at a time; different subjects run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from traefik_bg.core.errors import Conflict, LawBroken, Refused, TraefikBgError
from traefik_bg.core.model import AppName
from traefik_bg.core.ports import Wake

FIRST_PAUSE = 0.5  # seconds after a first failure; doubles with each further one
LONGEST_PAUSE = 30.0
FORGIVEN_AFTER = 120.0  # seconds without trouble after which a subject starts afresh

Step = Callable[[], Awaitable[None]]

log = structlog.get_logger()


@dataclass(slots=True)
class _Trouble:
    """How often a subject was in trouble, and until when it is left alone."""

    count: int
    until: float


class Operations:
    """What is under way for one app."""

    def __init__(self, app: AppName, wake: Wake) -> None:
        self._app = app
        self._wake = wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._refusals: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self.meant: dict[str, bool] = {}
        """Whether we last told a replica to run, or to end; absent: neither, in this life."""
        self.broken_law: LawBroken | None = None

    @property
    def busy(self) -> frozenset[str]:
        """The subjects something is under way for."""
        return frozenset(self._tasks)

    @property
    def refusals(self) -> Mapping[str, str]:
        """Answers of no, by subject."""
        return dict(self._refusals)

    @property
    def failures(self) -> Mapping[str, str]:
        """What went wrong last, by subject, while it is being tried again."""
        tried = self._tasks.keys() | self.cooling.keys()
        return {about: said for about, said in self._failures.items() if about in tried}

    @property
    def cooling(self) -> Mapping[str, float]:
        """The subjects to leave alone, and for how many seconds."""
        now = self._now()
        return {
            about: trouble.until - now
            for about, trouble in self._troubles.items()
            if trouble.until > now
        }

    def begin(self, about: str, steps: Sequence[Step], *, is_risky: bool = False) -> None:
        """Run steps one after the other in the background, unless the subject is busy.

        A risky operation (a start, which may have to be repeated for ever) leaves its subject alone
        for a while even when it succeeds, longer each time.
        """
        if about in self._tasks:
            return
        self._refusals.pop(about, None)
        task = asyncio.create_task(self._run(about, steps, is_risky), name=f"{self._app}: {about}")
        self._tasks[about] = task

    async def _run(self, about: str, steps: Sequence[Step], is_risky: bool) -> None:
        try:
            for step in steps:
                await step()
            self._failures.pop(about, None)
            if is_risky:
                self._note_start(about)
        except Refused as error:
            self._refusals[about] = str(error)
            self._cool(about)
            log.warning("operation.refused", app=self._app, about=about, reason=str(error))
        except Conflict as error:
            self._failures[about] = str(error)
            self._cool(about)  # looked at again at once, but not tried a thousand times a second
            log.info("operation.outdated", app=self._app, about=about, reason=str(error))
        except LawBroken as error:
            self.broken_law = error
        except TraefikBgError as error:
            if self._failures.get(about) != str(error):  # an outage is told once
                log.warning("operation.failed", app=self._app, about=about, reason=str(error))
            self._failures[about] = str(error)
            self._cool(about)
        except Exception as error:
            self._failures[about] = f"internal error, please report this: {error!r}"
            self._cool(about)
            log.exception("operation.crashed", app=self._app, about=about)
        finally:
            self._tasks.pop(about, None)
            self._wake(self._app)

    def _note_start(self, about: str) -> None:
        """A first start is free; a second one within minutes means it did not stay up."""
        if about in self._troubles:
            self._cool(about)
        else:
            self._troubles[about] = _Trouble(count=0, until=self._now())

    def _cool(self, about: str) -> None:
        now = self._now()
        trouble = self._troubles.get(about)
        if trouble is None or now > trouble.until + FORGIVEN_AFTER:
            trouble = self._troubles[about] = _Trouble(count=0, until=now)
        trouble.until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2**trouble.count)
        trouble.count += 1

    def forget(self, about: Callable[[str], bool]) -> None:
        """Forget refusals that have been judged, and troubles with the same subjects."""
        for known in (self._refusals, self._failures, self._troubles):
            for key in [key for key in known if about(key)]:
                del known[key]

    def forget_meant(self, but: Collection[str]) -> None:
        """Forget what was meant with replicas that are gone."""
        for name in self.meant.keys() - but:
            del self.meant[name]

    async def close(self) -> None:
        """Give up waiting for what is under way; Docker finishes or not, the next look will see."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

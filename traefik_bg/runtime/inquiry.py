"""Has the checks of an app asked while green is judged, and keeps their last answers.

Separate from the witness because checks are asked at their own pace, each by itself, and a look
never waits for them. Like the samples, the answers are those of one split: another one begins anew,
and an answer that comes too late is never heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from traefik_bg.core.evidence import CheckResult, CheckVerdict
from traefik_bg.core.model import AppName
from traefik_bg.core.ports import Checker, Subject, Wake
from traefik_bg.core.rollout import Check
from traefik_bg.runtime.exposure import Exposure

log = structlog.get_logger()


class Inquiry:
    """The checks of one app since the present split."""

    def __init__(self, app: AppName, checker: Checker, wake: Wake) -> None:
        self._app = app
        self._checker = checker
        self._wake = wake
        self._key: tuple[object, ...] = ()
        self._tasks: dict[Check, asyncio.Task[None]] = {}
        self._results: dict[Check, CheckResult] = {}

    def read(self, exposure: Exposure | None) -> Mapping[str, CheckResult]:
        """Return the last answer of each check, and see to it that they are asked."""
        key = exposure.key if exposure is not None else ()
        if key != self._key:
            self._drop(set(self._tasks))
            self._key = key
        checks = exposure.checks if exposure is not None else ()
        self._drop(self._tasks.keys() - set(checks))
        if exposure is not None:
            for check in checks:
                if check not in self._tasks:
                    self._tasks[check] = asyncio.create_task(
                        self._ask(check, exposure.subject), name=f"{self._app}: check {check.name}"
                    )
        return {check.name: result for check, result in self._results.items()}

    async def _ask(self, check: Check, subject: Subject) -> None:
        while True:
            try:
                result = await self._checker.ask(check, subject)
            except Exception as error:
                # Our own mistake says nothing about green.
                log.exception("check.failed", app=self._app, check=check.name)
                detail = f"internal error, please report this: {error!r}"
                result = CheckResult(verdict=CheckVerdict.UNKNOWN, detail=detail)
            before, self._results[check] = self._results.get(check), result
            if result != before:
                log.info("check.answered", app=self._app, check=check.name, verdict=result.verdict)
                self._wake(self._app)
            await asyncio.sleep(check.interval)

    def _drop(self, checks: set[Check]) -> None:
        for check in checks:
            self._tasks.pop(check).cancel()
            self._results.pop(check, None)

    async def close(self) -> None:
        """End all asking."""
        tasks = list(self._tasks.values())
        self._drop(set(self._tasks))
        await asyncio.gather(*tasks, return_exceptions=True)

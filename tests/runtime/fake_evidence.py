"""Traefik's counters and the checks in memory: they say what tests say they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf

from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Tally
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.ports import Subject
from traefik_bg.core.rollout import Check
from traefik_bg.core.tally import added


class FakeMeter:
    """What all Traefiks have counted so far; implements `ports.Meter`.

    What was counted by hand stays; besides, revisions may answer at a steady pace.
    """

    def __init__(self) -> None:
        self.counted: dict[RevisionId, Tally] = {}
        self.pace: dict[RevisionId, float] = {}
        """Requests a second, since time began."""
        self.error: str = ""
        """Why it cannot be asked."""
        self.breaks_with: Exception | None = None
        """A bug of the adapter: it raises what it never should."""
        self.takes = 0.01
        self.asked: list[float] = []

    def count(
        self, revision: RevisionId, requests: int, errors: int = 0, seconds: float = 0.05
    ) -> None:
        """Let a revision have answered some more requests, all as fast."""
        more = Tally(
            requests=requests,
            reads=requests,
            errors=errors,
            buckets=tuple(
                (bound, requests if seconds <= bound else 0) for bound in (0.1, 1.0, inf)
            ),
        )
        self.counted[revision] = added(self.counted.get(revision, Tally()), more)

    async def tallies(self, app: AppName) -> Mapping[RevisionId, Tally]:
        """Return what was counted."""
        del app
        self.asked.append(now := asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        if self.breaks_with is not None:
            raise self.breaks_with
        if self.error:
            raise RouterUnavailable(self.error)
        steady = {
            revision: Tally(requests=int(pace * now), reads=int(pace * now))
            for revision, pace in self.pace.items()
        }
        return {
            revision: added(steady.get(revision, Tally()), self.counted.get(revision, Tally()))
            for revision in steady.keys() | self.counted.keys()
        }


class FakeChecker:
    """Answers what tests want; implements `ports.Checker`."""

    def __init__(self) -> None:
        self.answers: dict[str, CheckResult] = {}
        """By the name of the check; any other is good."""
        self.takes = 0.1
        self.breaks_with: Exception | None = None
        self.asked: list[tuple[float, str, Subject]] = []

    def say(self, name: str, verdict: str, detail: str = "") -> None:
        """Let a check answer something from now on."""
        self.answers[name] = CheckResult(verdict=CheckVerdict(verdict), detail=detail)

    async def ask(self, check: Check, subject: Subject) -> CheckResult:
        """Ask once."""
        self.asked.append((asyncio.get_running_loop().time(), check.name, subject))
        await asyncio.sleep(self.takes)
        if self.breaks_with is not None:
            raise self.breaks_with
        return self.answers.get(check.name, CheckResult(verdict=CheckVerdict.GOOD))

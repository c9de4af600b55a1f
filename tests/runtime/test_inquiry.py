"""Checks are asked beside the looks, while the split they are asked about stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, routing
from tests.runtime.fake_evidence import FakeChecker
from traefik_bg.core.evidence import CheckResult, CheckVerdict
from traefik_bg.core.model import AppName, Routing
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.record import Deployment, Record
from traefik_bg.core.rollout import Analysis, Check, CheckKind, Rollout, Step
from traefik_bg.runtime.exposure import exposure
from traefik_bg.runtime.inquiry import Inquiry

SMOKE = Check(name="smoke", kind=CheckKind.COMMAND, interval=10.0)
STOCK = Check(name="stock", kind=CheckKind.QUERY, interval=3.0)
GOOD = CheckResult(verdict=CheckVerdict.GOOD)
BLUE = app("web:1")


class Office:
    """An inquiry, and whom it wakes."""

    def __init__(self) -> None:
        self.checker = FakeChecker()
        self.wakes: list[AppName | None] = []
        self.inquiry = Inquiry(WEB, self.checker, self.wakes.append)

    def read(self, *checks: Check, weight: int = 5) -> Mapping[str, CheckResult]:
        rollout = Rollout(steps=(Step(weight=5),), analysis=Analysis(checks=checks))
        green = app("web:2", rollout=rollout)
        split: Routing = routing((BLUE, 100 - weight), (green, weight))
        deployment = Deployment(number=2, revision=green.revision, image=green.image)
        record = Record(good=BLUE, deployment=deployment)
        state = RoutingState(published=split, weights_for=0.0)
        return self.inquiry.read(exposure(green, record, state))

    def asked(self, name: str) -> int:
        return sum(found == name for _, found, _ in self.checker.asked)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """Return an inquiry, and close it in the end."""
    found = Office()
    yield found
    await found.inquiry.close()


async def test_each_check_is_asked_at_its_own_pace(office: Office) -> None:
    """At once, and then every interval."""
    assert office.read(SMOKE, STOCK) == {}
    await asyncio.sleep(0.2)
    assert office.read(SMOKE, STOCK) == {"smoke": GOOD, "stock": GOOD}
    await asyncio.sleep(30)
    assert (office.asked("smoke"), office.asked("stock")) == (3, 10)


async def test_a_check_knows_what_it_is_asked_about(office: Office) -> None:
    """Green and its weight, and whom it is to replace."""
    office.read(SMOKE)
    await asyncio.sleep(0.2)
    subject = office.checker.asked[0][2]
    assert (subject.image, subject.weight, subject.blue) == ("web:2", 5, BLUE.revision)


async def test_a_new_answer_wakes_the_app_and_the_same_one_does_not(office: Office) -> None:
    """A look is for news."""
    office.read(SMOKE)
    await asyncio.sleep(60)
    assert office.wakes == [WEB]
    office.checker.say("smoke", "bad", "the basket is empty")
    await asyncio.sleep(60)
    assert office.wakes == [WEB, WEB]
    assert office.read(SMOKE)["smoke"].detail == "the basket is empty"


async def test_another_split_is_asked_about_anew(office: Office) -> None:
    """What was said of 5 % is forgotten, and an answer under way is never heard."""
    office.read(SMOKE, STOCK)
    await asyncio.sleep(0.2)
    office.checker.takes, office.checker.answers = 5.0, {}
    await asyncio.sleep(3.5)
    office.checker.say("stock", "bad")
    assert office.read(SMOKE, STOCK, weight=50) == {}
    office.checker.takes = 0.1
    await asyncio.sleep(4)
    assert office.checker.asked[-1][2].weight == 50
    assert set(office.read(SMOKE, STOCK, weight=50)) <= {"smoke", "stock"}


async def test_nothing_is_asked_when_nothing_is_judged_any_more(office: Office) -> None:
    """The deployment is over, and so are its answers."""
    office.read(SMOKE)
    await asyncio.sleep(1)
    assert office.inquiry.read(None) == {}
    asked = len(office.checker.asked)
    await asyncio.sleep(60)
    assert len(office.checker.asked) == asked
    assert office.read(SMOKE) == {}


async def test_a_check_that_was_changed_is_asked_anew(office: Office) -> None:
    """The desired state was edited: the old question's answer is none to the new one."""
    office.read(SMOKE, STOCK)
    await asyncio.sleep(1)
    changed = replace(SMOKE, query="another")
    assert office.read(changed, STOCK) == {"stock": GOOD}
    await asyncio.sleep(1)
    assert office.read(changed) == {"smoke": GOOD}


async def test_a_checker_with_a_bug_is_unknown_and_told_loudly(
    office: Office, logs: list[MutableMapping[str, Any]]
) -> None:
    """Green cannot help it; it is asked again."""
    office.checker.breaks_with = RuntimeError("oops")
    office.read(SMOKE)
    await asyncio.sleep(1)
    result = office.read(SMOKE)["smoke"]
    assert result.verdict is CheckVerdict.UNKNOWN
    assert "internal error" in result.detail
    assert logs[0]["event"] == "check.failed"
    office.checker.breaks_with = None
    await asyncio.sleep(10)
    assert office.read(SMOKE) == {"smoke": GOOD}

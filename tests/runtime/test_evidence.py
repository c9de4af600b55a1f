"""The whole service gathers evidence while green is judged, and only then."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import WEB
from tests.runtime.stage import SHORT, Stage, web
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Evidence
from traefik_bg.core.observation import Observation
from traefik_bg.core.rollout import Analysis, Check, CheckKind, Step

SMOKE = Check(name="smoke", kind=CheckKind.COMMAND, interval=1.0)
V1 = web("web:1")
CANARY = web(
    "web:2",
    rollout=replace(
        SHORT,
        steps=(Step(weight=10, pause=20.0),),
        analysis=Analysis(max_error_ratio=0.5, min_requests=1, checks=(SMOKE,)),
    ),
)


def seen(stage: Stage) -> Observation:
    """Return what the service saw last."""
    found = stage.status().seen
    assert found is not None
    return found


def evidence(stage: Stage) -> Evidence:
    """Return what it knows of green."""
    found = seen(stage).evidence
    assert found is not None
    return found


async def test_evidence_is_gathered_while_green_is_judged_and_only_then() -> None:
    """Nobody is asked before the first share, nor after green is good."""
    async with Stage() as stage:
        stage.meter.pace = {V1.revision: 90.0, CANARY.revision: 10.0}
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.running(CANARY) == 2)
        assert not stage.meter.asked
        await stage.until(lambda: stage.weights().get(CANARY.revision) == 10)
        await stage.until(lambda: stage.meter.asked[10:])
        found = evidence(stage)
        assert found.figures[CANARY.revision].requests >= 80
        assert found.fed_for > 8
        assert found.share is not None
        assert 9 < found.share < 11
        assert seen(stage).checks == {"smoke": CheckResult(verdict=CheckVerdict.GOOD)}
        assert stage.checker.asked[0][2].blue == V1.revision
        await stage.until(lambda: stage.record().good == CANARY)
        await stage.settle()
        asked = len(stage.meter.asked), len(stage.checker.asked)
        await stage.settle()
        assert (len(stage.meter.asked), len(stage.checker.asked)) == asked
        assert (seen(stage).evidence, seen(stage).checks) == (None, {})


async def test_a_slow_traefik_and_a_slow_check_delay_no_look() -> None:
    """They are asked beside the loop: blue's replacement is noticed at once."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.meter.takes = stage.checker.takes = 1000.0
        stage.want(CANARY)
        await stage.until(lambda: stage.weights().get(CANARY.revision) == 10)
        stage.engine.crash(stage.boxes(V1)[0].name)
        await stage.until(lambda: len(stage.router.part(WEB).shares[0].servers) == 1, within=1.0)  # type: ignore[union-attr]


async def test_why_there_is_no_evidence_is_part_of_what_is_seen() -> None:
    """The status can say it."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.meter.error = "it has no metrics"
        stage.want(CANARY)
        await stage.until(lambda: stage.meter.asked)
        await stage.until(lambda: seen(stage).evidence_trouble == "it has no metrics", within=8)
        assert seen(stage).evidence is None


async def test_a_restart_of_the_service_begins_anew() -> None:
    """What was counted is not remembered: that costs time, never safety (L4)."""
    async with Stage() as stage:
        stage.meter.pace = {V1.revision: 90.0, CANARY.revision: 10.0}
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.meter.asked[5:])
        assert evidence(stage).fed_for > 4
        await stage.restart()
        await stage.until(lambda: WEB in stage.supervisor.statuses and stage.status().seen)
        await stage.until(lambda: seen(stage).evidence is not None)
        assert evidence(stage).fed_for < 1

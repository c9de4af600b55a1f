"""What must not run twice: stopped before it is started, while requests wait and none is lost.

Docker's own events say whether two versions ever ran at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from integration.lives import Lives
from integration.meter import Loss
from integration.stage import QUICK, Stage
from integration.test_canary import until_answered, until_caught_up
from integration.test_zero_loss import assert_nothing_lost

RECREATE = {"strategy": "recreate", "hold_requests": "20s", "bake": "1s", "drain": "4s"}
# Clients more patient than Traefik, so that only its limit counts. A websocket would be cut, and
# slow requests prolong the drain before the stop.
PATIENT = {"slow": 2, "slow_seconds": 1.0, "websockets": 0, "timeout": 30.0}


def want(scene: Stage, version: str, *, deadline: str = "15s", **rollout: Any) -> None:
    """Wish for a version of an app that must not run twice."""
    scene.want(
        version,
        replicas=1,
        environment=QUICK,
        health={"deadline": deadline},
        rollout={**RECREATE, **rollout},
    )


async def start(scene: Stage) -> None:
    """Have v1 serve, and the service run."""
    want(scene, "v1")
    scene.start_service()
    await scene.until_settled("v1")


@pytest.mark.timeout(120)
async def test_two_versions_never_run_at_once_and_requests_wait(scene: Stage) -> None:
    """Two deployments under load: a pause each, not one request lost."""
    await start(scene)
    async with Lives(scene.name) as lives, scene.load(seconds=110, **PATIENT) as meter:
        for version in ("v2", "v1"):
            meter.mark(f"edit to {version}")
            want(scene, version)
            await scene.until_settled(version)
            meter.mark(f"settled on {version}")
            await until_caught_up(meter, f"settled on {version}")
        report = await meter.stop()
    print(f"the longest pause: {report.latency(1.0):.2f} s")
    assert_nothing_lost(report)
    assert len(lives.starts()) == 2
    assert not lives.overlaps()


@pytest.mark.timeout(120)
async def test_blue_comes_back_for_a_version_that_never_gets_healthy(scene: Stage) -> None:
    """v3 is rejected, v1 is started again, and answers all who waited meanwhile."""
    await start(scene)
    async with Lives(scene.name) as lives, scene.load(seconds=110, **PATIENT) as meter:
        want(scene, "v3", deadline="3s")
        rejected = await scene.until(
            lambda app: app["rejection"] is not None and app["routing"]["is_confirmed"]
        )
        await scene.until_serving("v1")
        meter.mark("back")
        await scene.until(lambda app: app["phase"] == "rejected" and len(app["replicas"]) == 1)
        report = await meter.stop()
    print(f"the longest pause: {report.latency(1.0):.2f} s")
    assert_nothing_lost(report)
    assert "was not healthy within 3 s" in rejected["rejection"]["reason"]
    assert set(report.versions_between(report.began, report.until)) == {"v1"}
    assert len(lives.starts()) == 2
    assert not lives.overlaps()


@pytest.mark.timeout(120)
async def test_who_waits_longer_than_they_may_is_told_so(scene: Stage) -> None:
    """With 2 s of patience and a green that takes 5: a 503 after 2 s, nothing lost afterwards."""
    await start(scene)
    async with scene.load(seconds=110, **{**PATIENT, "slow": 0}) as meter:
        want(scene, "v3", deadline="5s", hold_requests="2s")
        await scene.until(lambda app: app["rejection"] is not None)
        await scene.until_serving("v1")
        meter.mark("back")
        await until_answered(meter, "back")
        report = await meter.stop()
    print(report.table())
    assert not report.faults(), report.table()
    assert not [x for x in report.lost() if x.started > report.marks["back"]], report.table()
    waited = report.lost()
    assert waited
    assert {(x.loss, x.status) for x in waited} == {(Loss.STATUS, 503)}, report.table()
    assert min(x.ended - x.started for x in waited) > 1.9
    print(f"{len(waited)} requests were told 503")


KILLS = ["save:1", "create:1", "publish:1", "stop:1", "start:1", "publish:2", "remove:1"]


@pytest.mark.timeout(300)
async def test_a_service_killed_while_requests_wait_goes_on_when_started_again(
    scene: Stage,
) -> None:
    """Kill -9 after each kind of action, also in the middle of the wait: none is lost."""
    await start(scene)
    version = "v1"
    async with Lives(scene.name) as lives, scene.load(seconds=290, **PATIENT) as meter:
        for kill in KILLS:
            version = "v2" if version == "v1" else "v1"
            await scene.stop_service()
            scene.start_service(module=("integration.dying_service", kill))
            want(scene, version)
            assert scene.process is not None
            code = await asyncio.to_thread(scene.process.wait, 60)
            assert code == -9, f"{kill}: the service ended with {code}: {scene.tail()}"
            meter.mark(f"killed after {kill}")
            scene.start_service()
            await scene.until_settled(version)
            meter.mark(f"settled after {kill}")
            await until_caught_up(meter, f"settled after {kill}")
        report = await meter.stop()
    print(f"the longest pause: {report.latency(1.0):.2f} s")
    assert_nothing_lost(report)
    assert not lives.overlaps()

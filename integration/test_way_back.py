"""The way back, and the other words of an operator, said on the command line under load.

How long a way back takes is printed, never judged: the machine decides that. What is judged is that
nobody lost a request by it, and that what was rolled back to is what ran before, to the byte.
"""

from __future__ import annotations

from typing import Any

import pytest

from integration.meter import Report
from integration.stage import APP, QUICK, SAMPLE, Stage, docker
from integration.test_canary import FEW, start, until_answered, until_rejected
from integration.test_zero_loss import assert_nothing_lost

LONG_BAKE = {"bake": "60s", "drain": "3s"}
IN_STEPS = {
    "strategy": "canary",
    "steps": [{"weight": 10, "until": "approval"}, {"weight": 50, "pause": "60s"}],
    "bake": "1s",
    "drain": "3s",
}


def seen_by_clients(report: Report, command: str, version: str) -> float:
    """Return the seconds from a command until nothing more was sent to a version."""
    last = report.last_sent_to(version)
    assert last is not None
    return max(0.0, last.started - report.marks[command])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("verb", ["abort", "rollback"])
async def test_the_way_back_during_the_bake_loses_nothing(scene: Stage, verb: str) -> None:
    """All traffic returns to blue, and the status says how long it took."""
    await start(scene)
    async with scene.load(seconds=110, **FEW) as meter:
        scene.want("v2", environment=QUICK, rollout=LONG_BAKE)
        await scene.until(lambda app: app["phase"] == "baking")
        meter.mark("baking")
        await until_answered(meter, "baking")
        meter.mark("command")
        answer = await scene.command(verb)
        app = await scene.until(lambda app: app["undone"] is not None)
        meter.mark("back")
        await until_answered(meter, "back")
        await until_rejected(scene)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert answer["status"] == 200, answer
    assert app["undone"]["revision"] == app["good"]["revision"]
    assert set(report.versions_between("baking", "command")) == {"v2"}
    assert set(report.versions_between("back", report.until)) == {"v1"}
    took = 1000 * app["undone"]["seconds"]
    clients = 1000 * seen_by_clients(report, "command", "v2")
    print(f"{verb}: confirmed {took:.1f} ms after the command; clients: {clients:.1f} ms")


@pytest.mark.timeout(120)
async def test_steps_obey_the_command_line(scene: Stage) -> None:
    """Pause, resume, promote, promote --full and abort, in the middle of the steps."""
    await start(scene)
    async with scene.load(seconds=110, **FEW) as meter:
        scene.want("v2", environment=QUICK, rollout=IN_STEPS)
        await scene.until(lambda app: app["phase"] == "waiting for approval" and weight(app) == 10)
        await scene.say("pause", APP)
        await scene.until(lambda app: app["is_paused"])
        await scene.say("promote", APP)
        meter.mark("promoted while paused")
        await until_answered(meter, "promoted while paused", 100)
        paused = await scene.status()
        await scene.say("resume", APP)
        await scene.until_weight("v2", 50)
        assert "60 s" in (await scene.until(lambda app: "next step in" in app["reason"]))["reason"]
        await scene.say("promote", "--full", APP)
        await scene.until_settled("v2")
        meter.mark("settled")
        scene.want("v1", environment=QUICK, rollout=IN_STEPS)
        await scene.until(lambda app: app["phase"] == "waiting for approval")
        said = await scene.say("abort", APP)
        meter.mark("aborted")
        await until_answered(meter, "aborted")
        await until_rejected(scene)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert paused is not None
    assert paused["phase"] == "paused"
    assert weight(paused) == 10
    assert said["undone"]["seconds"] > 0
    assert set(report.versions_between("aborted", report.until)) == {"v2"}


def weight(app: dict[str, Any]) -> int:
    """Return the weight of v2."""
    weights = {share["image"]: share["weight"] for share in app["weights"]}
    return int(weights.get(f"{SAMPLE}:v2", 0))


@pytest.mark.timeout(120)
async def test_a_rollback_after_blue_is_gone_runs_the_very_image_it_ran(scene: Stage) -> None:
    """Its tag means another image by now; the rollback does not care."""
    tag = f"{SAMPLE}:of-{scene.name}"
    docker("tag", f"{SAMPLE}:v1", tag)
    was = docker("image", "inspect", "-f", "{{.Id}}", tag)
    short = {"bake": "1s", "drain": "2s"}
    try:
        scene.want("v1", image=tag, environment=QUICK, rollout=short)
        scene.start_service()
        app = await scene.until(lambda app: app["phase"] == "settled")
        old = app["good"]["revision"]
        async with scene.load(seconds=110, slow=0, websockets=0) as meter:
            scene.want("v2", environment=QUICK, rollout=short)
            await scene.until_settled("v2")
            docker("tag", f"{SAMPLE}:v3", tag)
            meter.mark("command")
            await scene.say("rollback", APP)
            app = await scene.until(
                lambda app: (
                    [share["revision"] for share in app["weights"]] == [old]
                    and {replica["revision"] for replica in app["replicas"]} == {old}
                )
            )
            meter.mark("back")
            await until_answered(meter, "back")
            report = await meter.stop()
        names = [replica["name"] for replica in app["replicas"]]
        images = docker("inspect", "-f", "{{.Image}}", *names).split()
    finally:
        docker("rmi", tag, check=False)
    assert_nothing_lost(report)
    assert images == [was, was]
    assert set(report.versions_between("back", report.until)) == {"v1"}
    print(f"redeployed: confirmed {app['undone']['seconds']:.2f} s after the command")

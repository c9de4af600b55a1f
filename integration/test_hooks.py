"""Migrations under load: run once, waited for, and never again for the same deployment.

What ran is counted by the hook itself, in a folder that outlives every container.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from integration.stage import APP, QUICK, Stage, docker
from integration.test_canary import FEW, until_answered, until_rejected
from integration.test_recreate import PATIENT, RECREATE
from integration.test_zero_loss import assert_nothing_lost

RAN = "import os, sys, time; open('/ran/' + os.environ['HOSTNAME'], 'w').close(); "


def wish(scene: Stage, version: str, then: str, **changes: Any) -> None:
    """Wish for a version whose migration writes down that it ran, and does something then."""
    migration = {"command": ["python", "-c", f"{RAN}{then}"], "timeout": "20s"}
    (scene.root / "ran").mkdir(exist_ok=True)
    settings = {
        "environment": QUICK,
        "volumes": [f"{scene.root}/ran:/ran"],
        "hooks": {"before": migration},
    }
    scene.want(version, **settings | changes)


def runs(scene: Stage) -> int:
    """Return how many containers have ever run a migration."""
    return len(list(Path(scene.root, "ran").iterdir()))


def containers_of(scene: Stage, revision: str) -> list[str]:
    """Return what Docker has of a revision, whatever its state."""
    ours = f"label=traefik-bg.instance={scene.name}"
    found = docker("ps", "-a", "--filter", ours, "--format", "{{.Names}}").split()
    return sorted(name for name in found if name.startswith(f"{APP}-{revision}"))


async def serve_v1(scene: Stage) -> None:
    """Have v1 serve, its own migration behind it."""
    wish(scene, "v1", "print('ready')")
    scene.start_service()
    await scene.until_settled("v1")
    assert runs(scene) == 1


@pytest.mark.timeout(150)
async def test_a_migration_runs_once_before_green_starts(scene: Stage) -> None:
    """And what it wrote is in the history."""
    await serve_v1(scene)
    async with scene.load(seconds=100, **FEW) as meter:
        wish(scene, "v2", "time.sleep(1); print('2 tables changed')")
        seen = await scene.until(lambda app: "before runs" in app["reason"])
        green = seen["deployment"]["revision"]
        assert containers_of(scene, green) == [f"{APP}-{green}-before-2"]
        await scene.until_settled("v2")
        meter.mark("settled")
        await until_answered(meter, "settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert runs(scene) == 2
    assert len(containers_of(scene, green)) == 2
    assert (await scene.history())[0]["log"] == ["before: 2 tables changed"]


@pytest.mark.timeout(150)
async def test_a_migration_that_fails_rejects_green_and_leaves_blue_alone(scene: Stage) -> None:
    """Nothing of green is ever made; `retry` tries the migration once more."""
    await serve_v1(scene)
    before = docker("ps", "-q", "--no-trunc", "--filter", f"label=traefik-bg.app={APP}").split()
    async with scene.load(seconds=100, **FEW) as meter:
        wish(scene, "v2", "print('no such table'); sys.exit(3)")
        rejected = await until_rejected(scene)
        meter.mark("rejected")
        await until_answered(meter, "rejected")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert rejected["rejection"]["reason"] == "before ended with code 3: no such table"
    green = rejected["rejection"]["revision"]
    await scene.until(lambda _app: not containers_of(scene, green))
    after = docker("ps", "-q", "--no-trunc", "--filter", f"label=traefik-bg.app={APP}").split()
    assert sorted(after) == sorted(before)
    assert runs(scene) == 2
    await scene.command("retry")
    await scene.until(lambda app: app["phase"] == "rejected" and runs(scene) == 3)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("kill", ["create_hook:1", "save:2", "start_once:1", "save:3"])
async def test_a_service_killed_in_the_middle_runs_no_migration_twice(
    scene: Stage, kill: str
) -> None:
    """Made, remembered that it may begin, begun, remembered that it is done: killed after each."""
    await serve_v1(scene)
    async with scene.load(seconds=150, **FEW) as meter:
        await scene.stop_service()
        scene.start_service(module=("integration.dying_service", kill))
        wish(scene, "v2", "time.sleep(2)")
        assert scene.process is not None
        code = await asyncio.to_thread(scene.process.wait, 60)
        assert code == -9, f"{kill}: the service ended with {code}: {scene.tail()}"
        meter.mark(f"killed after {kill}")
        scene.start_service()
        await scene.until_settled("v2")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert runs(scene) == 2


@pytest.mark.timeout(150)
async def test_a_migration_that_is_killed_is_failed_and_not_run_again_by_itself(
    scene: Stage,
) -> None:
    """The machine ran out of memory, say."""
    await serve_v1(scene)
    wish(scene, "v2", "time.sleep(15)")
    green = (await scene.until(lambda app: "before runs" in app["reason"]))["deployment"]
    docker("kill", f"{APP}-{green['revision']}-before-{green['number']}")
    rejected = await until_rejected(scene)
    assert rejected["rejection"]["reason"] == "before ended with code 137"
    assert runs(scene) == 2


async def until_migrating(scene: Stage) -> str:
    """Wait until the migration of the deployment under way runs; return its container's name."""
    seen = (await scene.until(lambda app: "before runs" in app["reason"]))["deployment"]
    return f"{APP}-{seen['revision']}-before-{seen['number']}"


@pytest.mark.timeout(150)
async def test_a_migration_killed_together_with_the_service_is_failed_and_not_run_again(
    scene: Stage,
) -> None:
    """The machine lost its power, say: blue serves on, and only `retry` runs it once more."""
    await serve_v1(scene)
    async with scene.load(seconds=100, **FEW) as meter:
        wish(scene, "v2", "time.sleep(4); print('done')")
        hook = await until_migrating(scene)
        scene.kill_service()
        docker("kill", hook)
        meter.mark("killed")
        scene.start_service()
        rejected = await until_rejected(scene)
        assert rejected["rejection"]["reason"] == "before ended with code 137"
        await scene.until(lambda _app: not containers_of(scene, hook))
        assert runs(scene) == 2
        await scene.command("retry")
        await scene.until_settled("v2")
        meter.mark("settled")
        await until_answered(meter, "settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert runs(scene) == 3


@pytest.mark.timeout(150)
@pytest.mark.parametrize("is_dead", [False, True], ids=["the service sees it", "it is down"])
async def test_a_migration_removed_by_hand_is_failed_and_not_run_again(
    scene: Stage, *, is_dead: bool
) -> None:
    """By force while it runs, or pruned while nobody looked."""
    await serve_v1(scene)
    wish(scene, "v2", "time.sleep(15)")
    hook = await until_migrating(scene)
    if is_dead:
        scene.kill_service()
    docker("rm", "-f", hook)
    if is_dead:
        scene.start_service()
    reason = (await until_rejected(scene))["rejection"]["reason"]
    assert reason == "before was removed before it had ended: nobody knows how far it got"
    assert runs(scene) == 2


@pytest.mark.timeout(150)
async def test_a_migration_that_was_stopped_has_failed_whatever_it_says(scene: Stage) -> None:
    """It took too long, answers SIGTERM with 0, and the service dies before it has seen that."""
    await serve_v1(scene)
    await scene.stop_service()
    scene.start_service(module=("integration.dying_service", "stop:1"))
    stubborn = "import signal; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(60)"
    hooks = {"before": {"command": ["python", "-c", f"{RAN}{stubborn}"], "timeout": "2s"}}
    wish(scene, "v2", "", hooks=hooks)
    hook = await until_migrating(scene)
    assert scene.process is not None
    assert await asyncio.to_thread(scene.process.wait, 60) == -9
    assert docker("inspect", "--format", "{{.State.ExitCode}}", hook).strip() == "0"
    scene.start_service()
    reason = (await until_rejected(scene))["rejection"]["reason"]
    assert reason == "before did not end within 2 s, and was stopped"
    assert runs(scene) == 2


@pytest.mark.timeout(150)
async def test_edits_in_quick_succession_never_make_two_migrations_run_at_once(
    scene: Stage,
) -> None:
    """Each writes down when it begins and when it ends."""
    await serve_v1(scene)
    log = "out = open('/ran/log', 'a'); out.write('<'); out.flush()"
    then = f"{log}; time.sleep(0.7); out.write('>'); out.close()"
    for number in range(12):
        wish(scene, "v2" if number % 2 else "v1", then, environment={**QUICK, "ROUND": str(number)})
        await asyncio.sleep(0.13 * (number % 5))
    await scene.until_settled("v2")
    begun_and_ended = await asyncio.to_thread(Path(scene.root, "ran", "log").read_text)
    assert "<<" not in begun_and_ended
    assert begun_and_ended.endswith("<>")


@pytest.mark.timeout(150)
async def test_with_recreate_an_edit_cuts_short_what_only_warms_up(scene: Stage) -> None:
    """What serves is not stopped before that has ended: the pause is as short as without it."""
    slow = {"after_cutover": {"command": ["sleep", "60"], "timeout": "90s"}}
    lasting = {**RECREATE, "bake": "5s"}
    wish(scene, "v1", "", replicas=1, rollout=lasting, hooks={})
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=100, **PATIENT) as meter:
        wish(scene, "v2", "", replicas=1, rollout=lasting, hooks=slow)
        await scene.until(lambda app: "after_cutover runs" in app["reason"])
        meter.mark("edit")
        wish(scene, "v1", "", replicas=1, rollout=lasting, hooks={})
        await scene.until_settled("v1")
        meter.mark("settled")
        await until_answered(meter, "settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert report.latency(1.0) < 20.0


@pytest.mark.timeout(150)
async def test_with_recreate_the_migration_has_the_volume_to_itself(scene: Stage) -> None:
    """Blue has been stopped, green is not started yet, and requests wait."""
    wish(scene, "v1", "print('ready')", replicas=1, rollout=RECREATE)
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=100, **PATIENT) as meter:
        wish(scene, "v2", "time.sleep(2)", replicas=1, rollout=RECREATE)
        seen = await scene.until(lambda app: "before runs" in app["reason"])
        green = seen["deployment"]["revision"]
        running = docker(
            "ps", "--filter", f"label=traefik-bg.app={APP}", "--format", "{{.Names}}"
        ).split()
        assert running == [f"{APP}-{green}-before-{seen['deployment']['number']}"]
        await scene.until_settled("v2")
        meter.mark("settled")
        await until_answered(meter, "settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert runs(scene) == 2

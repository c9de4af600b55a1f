"""The same load while things go wrong: none of it may reach a user.

Every test runs 200 requests a second, slow requests and websockets throughout, and counts.
"""

from __future__ import annotations

import asyncio
import os
import subprocess

import aiohttp
import pytest

from integration.meter import Kind
from integration.stage import APP, SAMPLE, Stage, docker
from integration.test_zero_loss import (
    assert_nothing_lost,
    assert_only_what_was_under_way_is_lost,
)

CANARY = {"strategy": "canary", "steps": [{"weight": 50, "pause": "20s"}], "bake": "1s"}


async def replicas_of(scene: Stage, version: str) -> list[str]:
    """Return the names of the running containers of a version."""
    return docker(
        "ps", "--format", "{{.Names}}", "--filter", f"label=traefik-bg.instance={scene.name}",
        "--filter", f"ancestor={SAMPLE}:{version}",
    ).split()  # fmt: skip


async def make_sick(scene: Stage, replica: str) -> None:
    """Tell a replica to answer its health checks with 503; everything else still works."""
    address = docker(
        "inspect", "-f",
        '{{(index .NetworkSettings.Networks "' + scene.name + '").IPAddress}}', replica,
    )  # fmt: skip
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{address}:8000/admin/sick") as answer,
    ):
        assert answer.status == 200


@pytest.mark.timeout(180)
async def test_green_that_falls_sick_at_half_the_traffic_is_rolled_back(scene: Stage) -> None:
    """Green turns unhealthy at a 50 % step: all traffic goes back to blue, nothing is lost."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=150) as meter:
        scene.want("v2", rollout=CANARY)
        await scene.until(lambda app: 50 in [w["weight"] for w in app["weights"]])
        for replica in await replicas_of(scene, "v2"):
            await make_sick(scene, replica)
        meter.mark("sick")
        rejected = await scene.until(lambda app: app["phase"] == "rejected")
        meter.mark("rejected")
        await asyncio.sleep(1)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert "became unhealthy: HTTP 503" in rejected["rejection"]["reason"]
    assert set(report.versions_between("rejected", report.until)) == {"v1"}


@pytest.mark.timeout(180)
async def test_green_that_dies_at_half_the_traffic_costs_no_idempotent_request(
    scene: Stage,
) -> None:
    """Green is killed at a 50 % step: blue answers for it; only what green had begun may be lost.

    A POST that green had accepted is not sent twice, so the two containers can take at most the
    POSTs and the streams with them that were under way in them.
    """
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=150, slow=0, websockets=0) as meter:
        scene.want("v2", rollout=CANARY)
        await scene.until(lambda app: 50 in [w["weight"] for w in app["weights"]])
        docker("kill", *await replicas_of(scene, "v2"))
        meter.mark("killed")
        await scene.until(lambda app: app["phase"] == "rejected")
        await asyncio.sleep(1)
        report = await meter.stop()
    assert_only_what_was_under_way_is_lost(report, "killed")
    lost = [exchange for exchange in report.lost() if exchange.kind is not Kind.POST]
    assert not lost, report.table()


KILLS = ["save:1", "create:1", "create:2", "start:1", "start:2", "publish:1", "publish:2"]
KILLS += ["save:2", "stop:1", "stop:2", "remove:1", "remove:2"]


@pytest.mark.timeout(600)
async def test_a_service_killed_after_any_kind_of_action_goes_on_when_started_again(
    scene: Stage,
) -> None:
    """Kill -9 after each kind of action, one deployment each: it ends as if nothing had been."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    version = "v1"
    async with scene.load(seconds=590) as meter:
        for kill in KILLS:
            version = "v2" if version == "v1" else "v1"
            await scene.stop_service()
            scene.start_service(module=("integration.dying_service", kill))
            scene.want(version)
            assert scene.process is not None
            code = await asyncio.to_thread(scene.process.wait, 60)
            assert code == -9, f"{kill}: the service ended with {code}: {scene.tail()}"
            meter.mark(f"killed after {kill}")
            scene.start_service()
            await scene.until_settled(version)
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(180)
async def test_dockerd_restarted_in_the_middle_of_a_deployment_is_only_a_delay(
    scene: Stage,
) -> None:
    """With live-restore nothing stops: the deployment waits for Docker and goes on."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=150) as meter:
        scene.want("v2")
        await scene.until(lambda app: app["phase"] == "starting" and len(app["replicas"]) > 2)
        meter.mark("dockerd restarts")
        await asyncio.to_thread(
            subprocess.run, [os.environ["TESTBED_DOCKERD"], "restart"], check=True
        )
        meter.mark("dockerd is back")
        await scene.until_settled("v2")
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(180)
async def test_traefik_restarted_in_the_middle_costs_only_its_own_gap(scene: Stage) -> None:
    """Traefik restarts while green starts: nothing is lost outside its own absence."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=150, slow=0, websockets=0) as meter:
        scene.want("v2")
        await scene.until(lambda app: app["phase"] == "starting")
        meter.mark("traefik stops")
        await asyncio.to_thread(docker, "restart", f"{scene.name}-traefik")
        await until_answering(scene)
        meter.mark("traefik is back")
        await scene.until_settled("v2")
        report = await meter.stop()
    print(report.table())
    assert not report.lost(before="traefik stops"), report.table()
    assert not report.lost(after="traefik is back"), report.table()
    assert not report.faults(), report.table()


async def until_answering(scene: Stage, within: float = 30) -> None:
    """Wait until Traefik routes to the app again."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(within):
        while True:
            try:
                async with session.get(scene.url, headers={"Host": "sample.localhost"}) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_a_replica_removed_by_hand_is_replaced(scene: Stage) -> None:
    """`docker rm -f` of a serving replica: routed around at once, and replaced."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    victim = (await replicas_of(scene, "v1"))[0]
    was = docker("inspect", "-f", "{{.Id}}", victim)
    async with scene.load(seconds=100, slow=0, websockets=0) as meter:
        await asyncio.sleep(1)
        docker("rm", "-f", victim)
        meter.mark("removed")
        await scene.until(lambda app: app["healthy"] == 1)
        await scene.until_settled("v1")
        report = await meter.stop()
    assert was not in docker("ps", "-aq", "--no-trunc")
    assert len(await replicas_of(scene, "v1")) == 2
    assert_only_what_was_under_way_is_lost(report, "removed")


@pytest.mark.timeout(60)
async def test_a_second_service_refuses_and_says_who_holds_the_lock(scene: Stage) -> None:
    """Two services on one state folder would fight: the second names the first, and ends."""
    scene.want("v1")
    scene.start_service()
    await scene.until_serving("v1")
    first = scene.process
    assert first is not None
    scene.port += 1
    scene.start_service()
    assert scene.process is not None
    code = await asyncio.to_thread(scene.process.wait, 20)
    scene.process, scene.port = first, scene.port - 1
    assert code != 0
    assert str(first.pid) in scene.tail(5)
    assert (await scene.status() or {})["name"] == APP

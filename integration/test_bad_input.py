"""What people get wrong, on the real thing: a clear sentence, and nothing is lost."""

from __future__ import annotations

import json
import shutil

import pytest

from integration.stage import APP, HOST, Stage, docker
from integration.test_zero_loss import (
    assert_nothing_lost,
    assert_only_what_was_under_way_is_lost,
)


async def serving(scene: Stage) -> None:
    """Have v1 serve."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")


@pytest.mark.timeout(120)
async def test_a_container_that_exits_at_once_is_rejected_with_its_last_lines(
    scene: Stage,
) -> None:
    """Its exit code and the end of its log are in the status; blue serves on."""
    await serving(scene)
    async with scene.load(seconds=60) as meter:
        scene.want("v2", environment={"EXIT_AT_START": "1"})
        app = await scene.until(lambda app: app["phase"] == "rejected", within=20)
        report = await meter.stop()
    assert_nothing_lost(report)
    reason = app["rejection"]["reason"]
    assert "exited with code 1" in reason or "exited and was started again" in reason
    assert "EXIT_AT_START is set" in reason
    assert app["rejection"]["log"], app


@pytest.mark.timeout(120)
async def test_an_image_that_cannot_be_had_says_so(scene: Stage) -> None:
    """There is no such image, or its registry does not answer: the sentence names it."""
    await serving(scene)
    scene.want("v0-does-not-exist")
    app = await scene.until(
        lambda app: "v0-does-not-exist" in app["reason"] and app["phase"] != "starting"
    )
    assert [share["weight"] for share in app["weights"]] == [100]
    assert app["healthy"] == 2 or app["phase"] == "pulling"


@pytest.mark.timeout(120)
async def test_a_route_that_traefik_refuses_never_takes_effect(scene: Stage) -> None:
    """A rule with a mistake, or a middleware that is not there, would answer 404 to everybody."""
    await serving(scene)
    async with scene.load(seconds=60) as meter:
        for route in (
            {"rule": f"Host(`{HOST}`) && Pfad(`/`)"},
            {"host": HOST, "middlewares": ["not-there@file"]},
        ):
            scene.want("v1", route=route)
            app = await scene.until(lambda app: app["phase"] == "rejected", within=20)
            assert "Traefik refuses" in app["rejection"]["reason"], app
            scene.want("v1")
            await scene.until_settled("v1")
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(120)
async def test_a_route_is_changed_without_a_new_container_or_a_lost_request(
    scene: Stage,
) -> None:
    """Routing is not part of the revision: the containers stay, both hosts answer at last."""
    await serving(scene)
    before = docker("ps", "-q", "--filter", f"label=traefik-bg.instance={scene.name}").split()
    rules = [f"Host(`{HOST}`)", "Host(`other.localhost`)"]
    async with scene.load(seconds=60) as meter:
        scene.want("v1", route={"rule": " || ".join(rules)})
        await scene.until(
            lambda app: (
                "other.localhost" in app["routing"]["rules"][0] and app["phase"] == "settled"
            )
        )
        report = await meter.stop()
    assert_nothing_lost(report)
    after = docker("ps", "-q", "--filter", f"label=traefik-bg.instance={scene.name}").split()
    assert set(before) == set(after)


@pytest.mark.timeout(120)
async def test_a_broken_file_keeps_the_last_good_one_in_force(scene: Stage) -> None:
    """Half a file, an unknown key, two apps with one host: said with file and line."""
    await serving(scene)
    good = scene.desired.read_text()
    app = json.loads(good)["apps"][APP]
    async with scene.load(seconds=60, slow=0, websockets=0) as meter:
        for text, said in (
            (good[: len(good) // 2], "desired.yaml:"),
            (json.dumps({"apps": {APP: {**app, "replica": 2}}}), "replicas"),
            (json.dumps({"apps": {APP: app, "twin": app}}), HOST),
        ):
            scene.desired.write_text(text)
            await scene.until(lambda app, said=said: said in (app["desired_error"] or ""))  # type: ignore[misc]
        scene.desired.write_text(good)
        await scene.until(lambda app: app["desired_error"] is None)
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(120)
async def test_scaling_up_and_down_and_away_loses_nothing(scene: Stage) -> None:
    """1 → 3 → 1 replicas under load; then the app is removed, and nothing is left of it."""
    scene.want("v1", replicas=1)
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=100, websockets=0) as meter:
        scene.want("v1", replicas=3)
        await scene.until(lambda app: app["healthy"] == 3 and app["phase"] == "settled")
        scene.want("v1", replicas=1)
        await scene.until(lambda app: len(app["replicas"]) == 1 and app["phase"] == "settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    scene.write({"apps": {}})
    await scene.until_gone()
    assert not docker("ps", "-aq", "--filter", f"label=traefik-bg.instance={scene.name}")


@pytest.mark.timeout(120)
async def test_a_lost_memory_costs_time_and_no_request(scene: Stage) -> None:
    """state.db deleted while running, then the whole state folder while stopped."""
    await serving(scene)
    async with scene.load(seconds=100) as meter:
        (scene.root / "state/state.db").unlink()
        scene.want("v2")
        await scene.until_settled("v2")
        await scene.stop_service()
        shutil.rmtree(scene.root / "state")
        scene.start_service()
        await scene.until_settled("v2")
        scene.want("v1")
        await scene.until_settled("v1")
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(120)
async def test_blue_that_dies_while_green_starts_is_routed_around(scene: Stage) -> None:
    """One of blue's replicas is killed: it leaves the routing at once, green takes over."""
    await serving(scene)
    blue = docker(
        "ps", "--format", "{{.Names}}", "--filter", f"label=traefik-bg.instance={scene.name}"
    ).split()
    async with scene.load(seconds=60, slow=0, websockets=0) as meter:
        scene.want("v2")
        await scene.until(lambda app: app["phase"] == "starting" and len(app["replicas"]) > 2)
        docker("kill", blue[0])
        meter.mark("killed")
        await scene.until_serving("v2")
        report = await meter.stop()
    assert_only_what_was_under_way_is_lost(report, "killed")

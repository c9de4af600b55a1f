"""Deployments from the edit to the end, told in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from traefik_bg.core.actions import Outcome, Phase, seconds_left
from traefik_bg.core.commands import Verb
from traefik_bg.core.model import AppSpec, Route
from traefik_bg.core.rollout import Approval, Step
from traefik_bg.web.view import app_view

V1, V2, V3 = web("web:1"), web("web:2"), web("web:3")
CANARY = web(
    "web:2", rollout=replace(SHORT, steps=(Step(weight=10, pause=2.0), Step(weight=50, pause=3.0)))
)


async def test_the_first_deployment_is_routed_once_all_replicas_are_healthy() -> None:
    """Nothing is routed while one of two replicas is not healthy yet; then both are, at once."""
    async with Stage() as stage:
        stage.want(V1)
        await stage.until(lambda: stage.running(V1) == 2, within=1)
        assert stage.router.part(WEB) is None
        await stage.until(lambda: stage.serves(V1))
        assert stage.tape.said("publish") == [f"publish web {V1.revision}=100%x2"]
        assert stage.record().good is None
        await stage.settle()
        assert stage.record().good == V1
        assert stage.reason == f"{V1.revision} serves with 2 replicas"
        assert stage.phase is Phase.SETTLED


async def test_what_people_see_counts_down_without_more_looks() -> None:
    """A bake is looked at seldom; who asks in between is told what is left by then."""
    baking = replace(V2, rollout=replace(V2.rollout, bake=60.0))
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(baking)
        await stage.until(lambda: stage.phase is Phase.BAKING)
        await asyncio.sleep(1.0)
        status = stage.status()
        assert status.left is not None
        assert status.said_at is not None
        now = asyncio.get_running_loop().time()
        seen, later = app_view(status, now), app_view(status, now + 7.0)
        assert seen["reason"].endswith(f"good in {seconds_left(seen['left'] or 0.0)}")
        assert later["reason"].endswith(f"good in {seconds_left((seen['left'] or 0.0) - 7.0)}")


async def test_a_deployment_adds_routes_drains_and_removes_in_this_order() -> None:
    """Green is created, then routed; blue leaves after the bake, is drained, stopped, removed."""
    async with Stage() as stage:
        await stage.deployed(V1)
        begun = len(stage.tape.actions)
        stage.want(V2)
        await stage.settle()
        blue, green = f"web-{V1.revision}", f"web-{V2.revision}"
        assert stage.tape.said()[begun:] == [
            "save web",
            f"create {green}-0",
            f"create {green}-1",
            f"start {green}-0",
            f"start {green}-1",
            "save web",  # what exactly it runs
            f"publish web {V2.revision}=100%x2",
            "save web",
            f"publish web {V2.revision}=100%x2",  # the fallback to blue ends with the bake
            f"stop {blue}-0",
            f"stop {blue}-1",
            f"remove {blue}-0",
            f"remove {blue}-1",
        ]
        assert stage.record().good == V2
        assert stage.record().previous == (V1,)


async def test_blue_stays_warm_until_green_has_baked() -> None:
    """For the whole bake blue runs on, behind green as its fallback."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        part = stage.router.part(WEB)
        assert part is not None
        assert part.fallback is not None
        assert part.fallback.revision == V1.revision
        await stage.stays(lambda: stage.running(V1) == 2, during=4.9)
        assert stage.phase is Phase.BAKING
        await stage.settle()
        assert not stage.boxes(V1)


async def test_a_canary_stands_at_each_step_for_its_pause() -> None:
    """10 % for 2 s, 50 % for 3 s, then everything; each pause begins when Traefik runs it."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.weights() == {V1.revision: 90, V2.revision: 10})
        await stage.stays(lambda: stage.weights()[V2.revision] == 10, during=1.9)
        await stage.until(lambda: stage.weights()[V2.revision] == 50, within=0.3)
        await stage.stays(lambda: stage.weights()[V2.revision] == 50, during=2.9)
        await stage.until(lambda: stage.serves(CANARY), within=0.3)
        await stage.settle()
        assert stage.record().good == CANARY


async def test_the_record_is_saved_before_anything_is_done() -> None:
    """Each deployment, rejection and promotion is remembered before the action it allows."""
    async with Stage() as stage:
        await stage.deployed(V1)
        begun = len(stage.tape.actions)
        stage.tape.late["save"] = 3.0
        stage.want(V2)
        await stage.until(lambda: "save" in [a.verb for a in stage.tape.actions[begun:]])
        await stage.stays(lambda: not stage.boxes(V2), during=2.8)
        stage.tape.late.clear()
        await stage.settle()
        assert stage.tape.said()[begun] == "save web"
        assert stage.record().good == V2


async def test_with_manual_approval_green_waits_for_promote() -> None:
    """A healthy green gets nothing until the operator says so."""
    v2 = web("web:2", rollout=replace(SHORT, approval=Approval.MANUAL))
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(v2)
        await stage.until(lambda: stage.phase is Phase.WAITING)
        assert stage.reason == f"{V2.revision} is healthy and waits for approval: promote or abort"
        await stage.stays(lambda: stage.serves(V1), during=60)
        assert "goes on from 0 %" in await stage.command(Verb.PROMOTE)
        await stage.settle()
        assert stage.serves(v2)
        assert stage.record().good == v2


async def test_an_image_that_is_not_here_is_pulled_first() -> None:
    """The image is brought here, then the deployment goes on."""
    far = web("web:far")
    async with Stage() as stage:
        stage.engine.registry["web:far"] = Behaviour(pull_takes=5)
        stage.want(far)
        await stage.until(lambda: stage.phase is Phase.PULLING)
        assert stage.reason == "pulling web:far"
        await stage.settle()
        assert stage.tape.said("pull") == ["pull web:far"]
        assert stage.serves(far)


async def test_a_pull_says_how_much_has_come_and_is_logged_once(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """The status counts; the log has one line for the pull, and one for its counting."""
    async with Stage() as stage:
        stage.engine.registry["web:far"] = Behaviour(pull_takes=10, size=120_000_000)
        stage.want(web("web:far"))
        await stage.until(lambda: stage.phase is Phase.PULLING)
        await stage.until(lambda: stage.reason == "pulling web:far: 36 of 120 MB")
        await stage.until(lambda: stage.reason == "pulling web:far: 96 of 120 MB")
        await stage.settle()
        said = [line["reason"] for line in logs if line["event"] == "app.decided"]
        assert len([reason for reason in said if reason.startswith("pulling")]) == 2


async def test_a_change_of_routes_creates_no_container() -> None:
    """Routing is not part of the revision: it is published, and nothing else is done."""
    moved = replace(V1, routes=(Route(rule="Host(`new.example`)"),))
    async with Stage() as stage:
        await stage.deployed(V1)
        begun = len(stage.tape.actions)
        stage.want(moved)
        await stage.settle()
        assert [a.verb for a in stage.tape.actions[begun:]] == ["publish", "publish", "save"]
        part = stage.router.part(WEB)
        assert part is not None
        assert part.routes == moved.routes
        assert stage.record().good == moved


async def test_scaling_up_adds_replicas_to_the_routing_once_they_are_healthy() -> None:
    """A third replica is created, proven, then routed; the two others are not touched."""
    async with Stage() as stage:
        await stage.deployed(V1)
        lives = [box.id for box in stage.boxes(V1)]
        stage.want(replace(V1, replicas=3))
        await stage.settle()
        assert [box.id for box in stage.boxes(V1)][:2] == lives
        assert stage.tape.said("publish")[-1] == f"publish web {V1.revision}=100%x3"
        assert stage.tape.count("create") == 3
        assert stage.record().deployment is None


async def test_scaling_down_takes_the_surplus_out_of_the_routing_before_it_is_stopped() -> None:
    """The last replica leaves the routing, is drained, stopped and removed."""
    async with Stage() as stage:
        await stage.deployed(V1)
        begun = len(stage.tape.actions)
        stage.want(replace(V1, replicas=1))
        await stage.settle()
        last = f"web-{V1.revision}-1"
        said = [a for a in stage.tape.said()[begun:] if not a.startswith("save")]
        assert said == [f"publish web {V1.revision}=100%x1", f"stop {last}", f"remove {last}"]


async def test_an_app_that_is_not_desired_any_more_is_removed_and_forgotten() -> None:
    """It leaves the routing, is drained, stopped, removed and forgotten; its loop ends."""
    async with Stage() as stage:
        await stage.deployed(V1)
        begun = len(stage.tape.actions)
        stage.drop()
        await stage.settle()
        said = [a for a in stage.tape.said()[begun:] if not a.startswith("save")]
        first, second = (f"web-{V1.revision}-{n}" for n in (0, 1))
        assert said == [
            "publish web nowhere",
            f"stop {first}",
            f"stop {second}",
            f"remove {first}",
            f"remove {second}",
            "forget web",
        ]
        assert not stage.engine.boxes
        assert not stage.store.records
        assert not stage.supervisor.statuses


async def test_an_app_that_comes_back_while_it_is_removed_serves_again() -> None:
    """Removed and wanted again while its replicas stop: it is simply deployed."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(stop_takes=8)
        await stage.deployed(V1)
        stage.drop()
        await stage.until(lambda: any(box.is_stopping for box in stage.boxes(V1)))
        stage.want(V1)
        await stage.settle()
        assert stage.serves(V1)
        assert stage.running(V1) == 2


async def test_an_app_that_is_dropped_while_it_is_created_is_forgotten_once() -> None:
    """A creation that is under way is waited for, so that nothing of it is left over."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(create_takes=3)
        stage.want(V1)
        await stage.until(lambda: len(stage.tape.said("create")) == 2)
        stage.drop()
        await stage.settle()
        assert stage.tape.said("forget") == ["forget web"]
        assert not stage.engine.boxes


async def test_an_app_that_comes_back_while_it_is_forgotten_is_deployed_at_once() -> None:
    """The edit came while its loop was ending: the next one begins without waiting."""
    async with Stage(resync=1000) as stage:
        await stage.deployed(V1)
        stage.drop()
        stage.tape.late["forget"] = 1.0
        await stage.until(lambda: stage.tape.said("forget"))
        stage.want(V1)
        await stage.until(lambda: stage.serves(V1) and stage.running(V1) == 2, within=5)
        await stage.settle()


async def test_an_app_that_comes_back_right_after_it_is_gone_is_deployed() -> None:
    """Its loop has ended; a new one begins."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.drop()
        await stage.until(lambda: stage.tape.said("forget"))
        stage.want(V1)
        await stage.settle()
        assert stage.serves(V1)


# --- newer edits ----------------------------------------------------------------------------------

PHASES = ["pulling", "creating", "starting", "cutover", "step", "baking", "draining", "stopping"]


@pytest.mark.parametrize("newest", [V3, V1], ids=["a third", "the first again"])
@pytest.mark.parametrize("phase", PHASES)
async def test_a_newer_edit_supersedes_a_deployment_in_any_phase(
    phase: str, newest: AppSpec
) -> None:
    """Whatever is under way, the newest wish is what serves in the end, and nothing else runs."""
    second = replace(CANARY, image="web:second")
    async with Stage(traefiks=2) as stage:
        stage.router.traefiks[1].lag = 0.3
        slow = Behaviour(create_takes=0.5, start_takes=0.5, stop_takes=2)
        stage.engine.images["web:1"] = slow
        stage.engine.registry["web:second"] = slow
        await stage.deployed(V1)
        stage.want(second)
        weight = stage.router.weights
        is_it = {
            "pulling": lambda: stage.phase is Phase.PULLING,
            "creating": lambda: stage.tape.said("create")[2:],
            "starting": lambda: stage.running(second) == 2,
            "cutover": lambda: weight(WEB).get(second.revision) == 10,
            "step": lambda: stage.weights().get(second.revision) == 50,
            "baking": lambda: stage.serves(second),
            "draining": lambda: stage.record().good == second,
            "stopping": lambda: any(box.is_stopping for box in stage.boxes(V1)),
        }[phase]
        await stage.until(is_it)
        stage.want(newest)
        await stage.settle()
        assert stage.serves(newest)
        assert stage.running(newest) == len(stage.engine.boxes) == 2
        assert stage.record().good == newest
        assert stage.record().deployment is None
        outcomes = [ending.outcome for ending in stage.store.endings]
        late = phase in {"draining", "stopping"}
        assert outcomes[1] is (Outcome.SUCCEEDED if late else Outcome.SUPERSEDED)

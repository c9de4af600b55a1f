"""Many apps at once, and what a settled world costs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from traefik_bg.core.actions import Phase
from traefik_bg.core.model import AppName, AppSpec


def apps(count: int, image: str = "web:1") -> list[AppSpec]:
    """Return specs of many apps."""
    return [replace(web(image, replicas=1), name=AppName(f"app-{n:02}")) for n in range(count)]


async def test_fifty_apps_settle_and_are_deployed_anew() -> None:
    """All of them at once, without getting in each other's way."""
    async with Stage(traefiks=2) as stage:
        stage.want(*apps(50))
        await stage.settle()
        assert {s.phase for s in stage.supervisor.statuses.values()} == {Phase.SETTLED}
        newer = apps(50, "web:2")
        stage.want(*newer)
        await stage.settle()
        assert all(stage.serves(spec) for spec in newer)
        assert len(stage.engine.boxes) == 50


async def test_a_slow_app_delays_no_other() -> None:
    """One app's image takes ten minutes; the others are deployed meanwhile."""
    slow = replace(web("web:far"), name=AppName("slow"))
    async with Stage() as stage:
        stage.engine.registry["web:far"] = Behaviour(pull_takes=600)
        stage.want(slow, *apps(5))
        await stage.until(lambda: all(stage.serves(spec) for spec in apps(5)), within=2)
        await stage.until(lambda: stage.serves(slow), within=700)
        await stage.settle()


async def test_an_app_that_is_removed_leaves_the_others_alone() -> None:
    """Its loop ends, its neighbours do nothing."""
    async with Stage() as stage:
        stage.want(*apps(3))
        await stage.settle()
        begun = len(stage.tape.actions)
        stage.drop(AppName("app-01"))
        await stage.settle()
        assert sorted(stage.supervisor.statuses) == ["app-00", "app-02"]
        assert all("app-01" in said for said in stage.tape.said()[begun:])


@pytest.mark.parametrize("left", ["running", "routed", "remembered"])
async def test_whatever_is_left_of_an_app_nobody_wants_is_cleaned_up(left: str) -> None:
    """It vanished from the file while the service was down, and most of it from the world."""
    async with Stage() as stage:
        await stage.deployed(web())
        await stage.kill()
        stage.drop()
        if left != "running":
            for box in stage.boxes(web()):
                stage.engine.remove_by_hand(box.name)
        if left != "routed":
            stage.router.lose()
        if left != "remembered":
            stage.store.lose()
        stage.start()
        await stage.settle()
        assert not stage.engine.boxes
        assert not stage.router.apps()
        assert not stage.store.records
        assert not stage.supervisor.statuses


async def test_a_settled_app_costs_no_action_and_few_looks() -> None:
    """Two looks a minute at Docker, and a probe of each replica every five seconds (L2)."""
    async with Stage(resync=30) as stage:
        await stage.deployed(web())
        await stage.settle()
        done, looks = len(stage.tape.actions), stage.tape.count("containers")
        probes = stage.tape.count("probe")
        await asyncio.sleep(600)
        assert len(stage.tape.actions) == done
        assert stage.tape.count("containers") - looks <= 20 + 1
        assert stage.tape.count("probe") - probes <= 2 * 120 + 2
        assert stage.tape.count("has") < 10


async def test_a_rejected_app_costs_no_action_and_few_looks() -> None:
    """The same for one whose newest version is bad (L3)."""
    async with Stage(resync=30) as stage:
        await stage.deployed(web())
        stage.engine.images["web:bad"] = Behaviour(crashes_after=0.0)
        stage.want(web("web:bad"))
        await stage.settle()
        done, looks = len(stage.tape.actions), stage.tape.count("containers")
        await asyncio.sleep(600)
        assert len(stage.tape.actions) == done
        assert stage.tape.count("containers") - looks <= 20 + 1


async def test_a_deployment_under_way_costs_few_looks() -> None:
    """One look for each thing that happened, a few while draining: no loop runs hot."""
    async with Stage() as stage:
        await stage.deployed(web())
        looks = stage.tape.count("containers")
        await stage.deployed(web("web:2"))
        assert stage.tape.count("containers") - looks < 45


async def test_the_service_leaves_no_task_behind_when_it_is_stopped_at_work() -> None:
    """Cancelled in the middle of pulls, stops and probes: everything ends with it."""
    far = replace(web("web:far"), name=AppName("far"))
    async with Stage() as stage:
        stage.engine.registry["web:far"] = Behaviour(pull_takes=60)
        stage.engine.images["web:1"] = Behaviour(stop_takes=30)
        await stage.deployed(web())
        stage.want(web("web:2"), far)
        await stage.until(lambda: any(box.is_stopping for box in stage.boxes(web())))
        await stage.kill()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not {name for name in names if name.startswith(("probe", "app", "web", "far"))}

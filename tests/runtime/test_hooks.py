"""Hooks by the whole service: in what moment whatever happens, once, alone, and told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour, Box
from tests.runtime.stage import SHORT, Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppSpec, ReplicaName
from traefik_bg.core.rollout import Strategy

MIGRATION = Hook(moment=Moment.BEFORE, command=("migrate",), timeout=20.0)
WARMING = Hook(moment=Moment.AFTER_CUTOVER, command=("warm",), timeout=300.0)
BLUE = web("web:1")
GREEN = web("web:2", hooks=(MIGRATION,))
THIRD = web("web:3", hooks=(MIGRATION,))
RECREATE = replace(SHORT, strategy=Strategy.RECREATE, hold_requests=9.0)


def alone(image: str, **changes: Any) -> AppSpec:
    """Return a spec that must not run beside another, with one replica."""
    return web(image, **{"rollout": RECREATE, "replicas": 1} | changes)


A, B, C = alone("web:1"), alone("web:2", hooks=(MIGRATION,)), alone("web:3")


def hooks(stage: Stage) -> list[Box]:
    """Return the containers of hooks."""
    return [box for box in stage.engine.boxes.values() if box.hook is not None]


def running(stage: Stage) -> list[ReplicaName]:
    """Return the hooks that run."""
    return [box.name for box in hooks(stage) if box.is_running]


def up(stage: Stage, spec: AppSpec) -> int:
    """Return how many replicas of a spec run."""
    return sum(box.is_running and box.hook is None for box in stage.boxes(spec))


def broken_laws(logs: list[Any]) -> list[Any]:
    """Return what the service itself found to break a law."""
    return [entry for entry in logs if entry["event"] == "law.broken"]


async def given(stage: Stage, spec: AppSpec, *, takes: float = 10.0, made_in: float = 0.02) -> None:
    """Let a spec serve; hooks take so long, and containers of green so long to be made."""
    stage.given(spec)
    stage.engine.hook_takes = takes
    stage.engine.images["web:2"] = Behaviour(create_takes=made_in)
    await stage.settle()


async def until_made(stage: Stage) -> None:
    """Wait until a hook's container is being made, and cannot be seen yet."""
    await stage.until(lambda: stage.tape.count("create_hook"), within=300)
    await asyncio.sleep(0.1)
    assert not hooks(stage)


async def until_runs(stage: Stage) -> ReplicaName:
    """Wait until a hook runs, and return its name."""
    await stage.until(lambda: running(stage), within=300)
    return running(stage)[0]


# --- never two at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("made_in", [0.3, 1.5])
async def test_two_migrations_never_run_at_once(made_in: float) -> None:
    """Another version is wanted while the container of the first one's hook is being made."""
    async with Stage() as stage:
        await given(stage, BLUE, made_in=made_in)
        stage.want(GREEN)
        await until_made(stage)
        stage.want(THIRD)
        await stage.stays(lambda: len(running(stage)) < 2, during=15)
        await stage.until(lambda: stage.record().good == THIRD)
        assert [name for name in stage.engine.hooks_run if GREEN.revision in name] == []


@pytest.mark.parametrize("how", ["abort", "drop", "edit"])
async def test_a_hook_that_is_not_wanted_any_more_is_not_started(how: str) -> None:
    """It was made, and is looked at again just before it would begin."""
    async with Stage() as stage:
        await given(stage, BLUE, made_in=1.5)
        stage.want(GREEN)
        await until_made(stage)
        if how == "abort":
            await stage.command(Verb.ABORT)
        elif how == "drop":
            stage.drop()
        else:
            stage.want(BLUE)
        await asyncio.sleep(60)
        assert not stage.engine.hooks_run
        assert not hooks(stage)


async def test_just_before_a_hook_begins_it_is_asked_whether_it_is_still_wanted() -> None:
    """Remembering that it begins took long, and there was an edit meanwhile."""
    async with Stage() as stage:
        await given(stage, BLUE)
        stage.tape.late["save"] = 2.0
        stage.want(GREEN)
        await stage.until(lambda: hooks(stage))
        await stage.until(lambda: '"begun": ["before"]' in json.dumps(asdict(stage.record())))
        stage.want(BLUE)
        await asyncio.sleep(60)
        assert not stage.engine.hooks_run
        assert not hooks(stage)


async def test_an_aborted_hook_runs_on_and_retry_waits_for_it() -> None:
    """Half a migration is worse than a late one."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=5.0)
        stage.want(GREEN)
        await until_runs(stage)
        await stage.command(Verb.ABORT)
        await stage.command(Verb.RETRY)
        await stage.stays(lambda: len(running(stage)) < 2, during=5)
        await stage.until(lambda: stage.record().good == GREEN)
        assert [name[-1] for name in stage.engine.hooks_run] == ["2", "3"]


async def test_a_record_lost_in_the_middle_makes_no_two_at_once() -> None:
    """It may run once more, but after the other."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=5.0)
        stage.want(GREEN)
        await until_runs(stage)
        await stage.restart(lose_record=True)
        await stage.stays(lambda: len(running(stage)) < 2, during=5)
        await stage.until(lambda: stage.record().good == GREEN)


@pytest.mark.parametrize("spec", [GREEN, B], ids=["side by side", "recreate"])
async def test_green_does_not_start_beside_its_migration_when_that_leaves_the_file(
    spec: AppSpec,
) -> None:
    """It has begun: it is waited for."""
    async with Stage() as stage:
        await given(stage, A if spec is B else BLUE, takes=8.0)
        stage.want(spec)
        await until_runs(stage)
        stage.want(replace(spec, hooks=()))
        await stage.stays(lambda: not (running(stage) and up(stage, spec)), during=10)
        await stage.until(lambda: stage.serves(spec))


async def test_a_hook_added_late_does_not_run_beside_green_and_that_is_told() -> None:
    """Green has been started already."""
    async with Stage() as stage:
        await given(stage, BLUE)
        stage.engine.images["web:2"] = Behaviour(ready_after=3.0)
        stage.want(replace(GREEN, hooks=()))
        await stage.until(lambda: up(stage, GREEN) == 2)
        stage.want(GREEN)
        await stage.until(lambda: stage.record().good == GREEN)
        assert not stage.engine.hooks_run
        assert "before was not run" in stage.store.endings[-1].reason


# --- once, whatever becomes of it -----------------------------------------------------------------


@pytest.mark.parametrize("is_dead", [False, True], ids=["the service sees it", "it is down"])
async def test_a_hook_removed_by_hand_is_failed_and_not_run_again(*, is_dead: bool) -> None:
    """Removed with force, or pruned while nobody looked."""
    async with Stage() as stage:
        await given(stage, BLUE)
        stage.want(GREEN)
        name = await until_runs(stage)
        if is_dead:
            await stage.kill()
        stage.engine.remove_by_hand(name)
        if is_dead:
            stage.start()
        await stage.until(lambda: stage.record().rejection)
        rejection = stage.record().rejection
        assert rejection is not None
        assert "removed before it had ended" in rejection.reason
        await stage.settle()
        assert stage.engine.hooks_run == [name]
        assert stage.serves(BLUE)


@pytest.mark.parametrize("service_dies", [False, True])
async def test_a_hook_that_was_told_to_end_has_not_succeeded(*, service_dies: bool) -> None:
    """It takes too long and answers SIGTERM with 0; the service may die before it has seen that."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=1000.0)
        stage.engine.hook_obeys = True
        if service_dies:
            stage.tape.next("stop", Mishap.KILLS_DURING)
        stage.want(GREEN)
        if service_dies:
            await stage.tape.died.wait()
            await stage.restart(down_for=2.0)
        await stage.until(lambda: stage.record().rejection)
        rejection = stage.record().rejection
        assert rejection is not None
        assert rejection.reason.startswith("before did not end within 20 s, and was stopped")
        assert not up(stage, GREEN)


async def test_a_reboot_in_the_middle_with_recreate_is_a_failed_migration() -> None:
    """Blue is started again."""
    async with Stage() as stage:
        await given(stage, A)
        stage.want(B)
        await until_runs(stage)
        await stage.kill()
        stage.engine.reboot()
        stage.start()
        await stage.until(lambda: stage.serves(A))
        assert len(stage.engine.hooks_run) == 1
        assert stage.record().rejection is not None


async def test_docker_may_be_away_while_a_hook_ends() -> None:
    """What became of it is seen later."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=5.0)
        stage.want(GREEN)
        await until_runs(stage)
        stage.tape.down["docker"] = "gone"
        await asyncio.sleep(60)
        del stage.tape.down["docker"]
        await stage.until(lambda: stage.record().good == GREEN)
        assert len(stage.engine.hooks_run) == 1


async def test_a_pause_does_not_let_a_hook_hang_for_ever() -> None:
    """Its time is up when it is up."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=1000.0)
        stage.want(GREEN)
        await until_runs(stage)
        await stage.command(Verb.PAUSE)
        await stage.until(lambda: not running(stage), within=30)


async def test_that_a_hook_cannot_be_stopped_is_said() -> None:
    """Docker does not answer to that."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=1000.0)
        stage.tape.next("stop", Mishap.FAILS, times=1000)
        stage.want(GREEN)
        await asyncio.sleep(120)
        assert "its time is up; docker: no answer to stop" in stage.reason


# --- what it runs in ------------------------------------------------------------------------------


async def test_green_is_made_of_the_image_that_has_migrated() -> None:
    """Its tag moves while the migration runs."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=5.0)
        stage.want(GREEN)
        await until_runs(stage)
        migrated = hooks(stage)[0].behaves
        stage.engine.images["web:2"] = Behaviour(ready_after=0.4)
        await stage.until(lambda: up(stage, GREEN))
        assert stage.boxes(GREEN)[0].behaves is migrated


async def test_a_hook_after_the_cutover_needs_no_tag() -> None:
    """It has been taken away; the image that green runs is there."""
    async with Stage() as stage:
        green = web("web:2", hooks=(WARMING,))
        await given(stage, BLUE, takes=1.0)
        stage.want(green)
        await stage.until(lambda: up(stage, green) == 2)
        del stage.engine.images["web:2"]
        await stage.until(lambda: stage.record().good == green)
        assert len(stage.engine.hooks_run) == 1


async def test_with_recreate_a_tag_that_goes_holds_requests_no_longer() -> None:
    """Green's container has been made before blue was stopped."""
    async with Stage() as stage:
        stage.given(A)
        stage.boxes(A)[0].connections = 1
        await stage.settle()
        stage.want(B)
        await stage.until(lambda: [box for box in stage.boxes(B) if box.hook is None], within=300)
        del stage.engine.images["web:2"]
        await stage.until(lambda: stage.serves(B))


# --- where only one version may run ---------------------------------------------------------------


async def test_with_recreate_nothing_is_started_beside_a_hook_that_is_being_made() -> None:
    """Aborted just then."""
    async with Stage() as stage:
        await given(stage, A, made_in=1.5)
        stage.want(B)
        await until_made(stage)
        await stage.command(Verb.ABORT)
        await stage.stays(lambda: not (running(stage) and up(stage, A)), during=15)
        await stage.until(lambda: stage.serves(A))


@pytest.mark.parametrize("is_first", [False, True], ids=["a lost record", "a first version"])
async def test_with_recreate_blue_comes_back_without_a_broken_law(
    logs: list[Any], *, is_first: bool
) -> None:
    """Nothing good is known when the migration is aborted: it ends first."""
    async with Stage() as stage:
        a, b = A, B
        stage.engine.hook_takes = 15.0
        if is_first:
            slow = replace(RECREATE, bake=60.0)
            a, b = replace(A, rollout=slow), replace(B, rollout=slow)
            stage.want(a)
            await stage.until(lambda: stage.serves(a), within=300)
        else:
            stage.given(a)
            stage.store.lose()
        stage.want(b)
        await until_runs(stage)
        await stage.command(Verb.ABORT)
        await stage.until(lambda: up(stage, a), within=25)
        assert not broken_laws(logs)


async def test_with_recreate_an_edit_does_not_stop_what_serves_for_a_warming_hook() -> None:
    """It is cut short, for it decides nothing; the gap is as short as without it."""
    async with Stage() as stage:
        warmed = alone("web:2", hooks=(WARMING,))
        await given(stage, A, takes=200.0)
        stage.want(warmed)
        await until_runs(stage)
        stage.want(C)
        loop = asyncio.get_running_loop()
        await stage.until(lambda: not stage.serves(warmed), within=300)
        began = loop.time()
        await stage.until(lambda: stage.serves(C), within=300)
        assert loop.time() - began < RECREATE.hold_requests


async def test_with_recreate_a_migration_does_not_run_beside_green_that_comes_back() -> None:
    """Green serves, another is wanted, green again before it was stopped."""
    async with Stage() as stage:
        await given(stage, A, takes=3.0)
        stage.want(B)
        await stage.until(lambda: stage.serves(B), within=300)
        stage.boxes(B)[0].connections = 1
        stage.want(C)
        await stage.until(lambda: not stage.weights())
        assert up(stage, B)
        stage.want(B)
        await stage.stays(lambda: not (running(stage) and up(stage, B)), during=14)
        await stage.until(lambda: stage.serves(B))


async def test_the_planner_asks_for_nothing_that_the_guard_refuses(logs: list[Any]) -> None:
    """Blue, which must run alone, loses a replica while green's migration runs."""
    async with Stage() as stage:
        blue = alone("web:1", replicas=2)
        await given(stage, blue, takes=30.0)
        stage.want(web("web:2", hooks=(replace(MIGRATION, timeout=200.0),)))
        await until_runs(stage)
        stage.want(blue)
        await asyncio.sleep(2)
        stage.engine.crash(stage.boxes(blue)[0].name, comes_back=False)
        stage.triggers.wake(WEB)
        await stage.until(lambda: up(stage, blue) == 2)
        assert not broken_laws(logs)


# --- meanwhile ------------------------------------------------------------------------------------


async def test_blue_is_started_again_while_a_hook_runs() -> None:
    """Nothing would serve until it has ended."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=200.0)
        stage.want(replace(GREEN, hooks=(replace(MIGRATION, timeout=300.0),)))
        await until_runs(stage)
        for box in stage.boxes(BLUE):
            stage.engine.crash(box.name, comes_back=False)
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.running(BLUE) == 2, within=10)


async def test_a_held_app_runs_no_hook() -> None:
    """It runs when the hold is over."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=1.0)
        stage.want(replace(GREEN, hold=True))
        await asyncio.sleep(60)
        assert not stage.engine.hooks_run
        stage.want(GREEN)
        await stage.until(lambda: stage.record().good == GREEN)
        assert len(stage.engine.hooks_run) == 1


async def test_a_first_version_whose_migration_fails_leaves_nothing_behind() -> None:
    """There is nothing to go back to."""
    async with Stage() as stage:
        stage.engine.hook_code = 3
        stage.want(GREEN)
        await stage.until(lambda: stage.phase is Phase.REJECTED)
        assert "before ended with code 3" in stage.reason
        await stage.settle()
        assert not stage.boxes(GREEN)


# --- what is told ---------------------------------------------------------------------------------


async def test_what_an_aborted_hook_wrote_is_noted_when_it_ends() -> None:
    """Once, though its container is hard to remove."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=5.0)
        stage.engine.hook_code = 1
        stage.want(GREEN)
        name = await until_runs(stage)
        await stage.command(Verb.ABORT)
        stage.tape.next("remove", Mishap.FAILS, times=3)
        await stage.until(lambda: not hooks(stage))
        notes = [note for note in stage.store.notes if name in note]
        over = f"{name}, whose deployment was over before it was"
        assert notes == [f"{over}: before ended with code 1: it broke; it wrote: it broke"]


async def test_what_a_hook_wrote_stands_before_what_green_wrote() -> None:
    """Green is rejected for something else."""
    async with Stage() as stage:
        await given(stage, BLUE, takes=1.0)
        stage.engine.images["web:2"] = Behaviour(status=503, last_words=("no table", "503"))
        stage.want(GREEN)
        await stage.until(lambda: stage.record().rejection)
        (ending,) = stage.store.endings
        assert ending.outcome is Outcome.REJECTED
        assert ending.log == ("before: no table", "before: 503", "no table", "503")


async def test_that_the_image_of_a_hook_is_gone_is_said() -> None:
    """Between the look and the creation, again and again."""
    async with Stage() as stage:
        await given(stage, BLUE)
        stage.engine.lies_about_images = True
        stage.want(web("web:far", hooks=(MIGRATION,)))
        await stage.until(lambda: "no such image: web:far; trying again" in stage.reason)
        assert not stage.engine.hooks_run

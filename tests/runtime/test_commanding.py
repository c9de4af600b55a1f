"""What an operator says, through the supervisor."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused, Unavailable
from traefik_bg.core.model import AppName
from traefik_bg.core.rollout import Step

V1, V2, V3 = web("web:1"), web("web:2"), web("web:3")
CANARY = replace(V2, rollout=replace(SHORT, steps=(Step(weight=10, pause=20.0),)))


async def test_pause_stops_everything_but_repairs_until_resume() -> None:
    """A paused deployment goes no further; a dead replica still leaves the routing."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.weights().get(V2.revision) == 10)
        sentence = await stage.command(Verb.PAUSE)
        assert sentence == "web is paused: nothing but repairs until resume"
        await stage.stays(lambda: stage.weights().get(V2.revision) == 10, during=60)
        assert stage.phase is Phase.PAUSED
        first = stage.boxes(V1)[0].name
        stage.engine.remove_by_hand(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=0.2)
        assert await stage.command(Verb.RESUME) == "web goes on"
        await stage.settle()
        assert stage.serves(V2)


async def test_a_pause_survives_a_restart_of_the_service() -> None:
    """It is remembered like everything an operator says."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.command(Verb.PAUSE)
        stage.want(V2)
        await stage.restart()
        await stage.stays(lambda: stage.serves(V1) and not stage.boxes(V2), during=60)
        await stage.command(Verb.RESUME)
        await stage.settle()
        assert stage.serves(V2)


async def test_hold_in_the_desired_state_keeps_an_app_as_it_is() -> None:
    """An edit with `hold` changes nothing until the hold is taken away."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(replace(V2, hold=True))
        await stage.stays(lambda: stage.serves(V1) and not stage.boxes(V2), during=60)
        assert stage.reason == "held: the desired state says hold"
        stage.want(V2)
        await stage.settle()
        assert stage.serves(V2)


async def test_promote_skips_the_pause_of_a_step_and_the_bake() -> None:
    """At 10 % the operator has seen enough; and in the bake again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.weights().get(V2.revision) == 10)
        assert "goes on from 10 %" in await stage.command(Verb.PROMOTE)
        await stage.until(lambda: stage.serves(V2), within=0.5)
        assert "becomes the good revision" in await stage.command(Verb.PROMOTE)
        await stage.until(lambda: stage.record().good == CANARY, within=0.5)
        await stage.settle()
        assert not stage.boxes(V1)


async def test_promote_is_refused_while_green_is_not_healthy() -> None:
    """Nobody can promote what is not proven (S1)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.engine.images["web:2"] = Behaviour(ready_after=2)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2)
        with pytest.raises(CommandRefused, match=r"not healthy yet \(0 of 2 replicas\)"):
            await stage.command(Verb.PROMOTE)
        await stage.settle()


async def test_abort_gives_all_traffic_back_to_blue() -> None:
    """The operator ends a canary: blue serves, green goes, nothing is tried again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(CANARY)
        await stage.until(lambda: stage.weights().get(V2.revision) == 10)
        assert await stage.command(Verb.ABORT) == (
            f"{V2.revision} aborted by the operator; back to {V1.revision} (web:1)"
        )
        await stage.settle()
        assert stage.serves(V1)
        assert not stage.boxes(V2)
        assert stage.store.endings[-1].outcome is Outcome.ABORTED
        assert stage.phase is Phase.REJECTED


async def test_rollback_goes_to_the_good_revision_before() -> None:
    """Two versions on: rollback brings the earlier one, and keeps it until the next edit."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.deployed(V2)
        assert f"going back to {V1.revision}" in await stage.command(Verb.ROLLBACK)
        await stage.settle()
        assert stage.serves(V1)
        assert not stage.boxes(V2)
        await stage.restart()
        await stage.settle()
        assert stage.serves(V1)
        stage.want(V3)
        await stage.settle()
        assert stage.serves(V3)


async def test_a_rollback_from_a_settled_app_is_no_deployment() -> None:
    """It stands in the journal, with how long it took; the deployments stay as they ended."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.deployed(V2)
        before = list(stage.store.endings)
        await stage.command(Verb.ROLLBACK)
        await stage.settle()
        assert stage.store.endings == before
        assert stage.record().deployment is None


async def test_rollback_can_name_a_revision() -> None:
    """Three versions on, the first one is still known."""
    async with Stage() as stage:
        for spec in (V1, V2, V3):
            await stage.deployed(spec)
        with pytest.raises(
            CommandRefused, match=f"rollback can go to {V2.revision} .web:2., {V1.revision}"
        ):
            await stage.command(Verb.ROLLBACK, to=V3.revision)
        await stage.command(Verb.ROLLBACK, to=V1.revision)
        await stage.settle()
        assert stage.serves(V1)


async def test_rollback_in_the_bake_aborts_the_deployment() -> None:
    """There is a way back that is warm: take it."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.phase is Phase.BAKING)
        assert "rolled back by the operator" in await stage.command(Verb.ROLLBACK)
        await stage.until(lambda: stage.serves(V1), within=0.5)
        await stage.settle()
        assert stage.record().good == V1


async def test_a_rollback_needs_its_image_and_pulls_it_when_it_is_gone() -> None:
    """Somebody pruned the images: the earlier one is pulled before anything moves."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.deployed(V2)
        stage.engine.registry["web:1"] = stage.engine.images.pop("web:1")
        await stage.command(Verb.ROLLBACK)
        await stage.settle()
        assert stage.serves(V1)


async def test_commands_that_make_no_sense_are_refused_with_what_would() -> None:
    """A settled app: nothing to promote, abort, resume or retry."""
    async with Stage() as stage:
        await stage.deployed(V1)
        for verb in (Verb.PROMOTE, Verb.ABORT, Verb.RESUME, Verb.RETRY, Verb.ROLLBACK):
            with pytest.raises(CommandRefused, match="web"):
                await stage.command(verb)
        with pytest.raises(CommandRefused, match="there is no app blog; there is: web"):
            await stage.command(Verb.PAUSE, AppName("blog"))


async def test_two_commands_at_once_are_both_answered_in_order() -> None:
    """Pause and resume arrive together: both are obeyed."""
    async with Stage() as stage:
        await stage.deployed(V1)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stage.command(Verb.PAUSE))
            second = group.create_task(stage.command(Verb.RESUME))
        assert "paused" in first.result()
        assert second.result() == "web goes on"
        await stage.until(lambda: len(stage.store.notes) == 2)
        assert stage.store.notes == [
            "pause: web is paused: nothing but repairs until resume",
            "resume: web goes on",
        ]


async def test_a_caller_that_went_away_is_not_obeyed() -> None:
    """Whoever hung up before the look gets nothing, and breaks nothing."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.late["containers"] = 1.0
        caller = asyncio.create_task(stage.command(Verb.PAUSE))
        await asyncio.sleep(0.5)
        caller.cancel()
        stage.tape.late.clear()
        await stage.settle()
        assert not stage.record().paused


async def test_a_command_to_an_app_that_ends_meanwhile_is_answered() -> None:
    """The last replica is gone and so is the app: the operator hears so."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.drop()
        await stage.until(lambda: not stage.engine.boxes)
        stage.tape.late["forget"] = 1.0
        await stage.until(lambda: stage.tape.said("forget"))
        with pytest.raises(Unavailable, match="web"):
            await stage.command(Verb.PAUSE)
        await stage.settle()


async def test_a_command_is_answered_when_the_service_ends() -> None:
    """The service is stopped while it looks: the caller is told, not cancelled."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.late["containers"] = 1.0
        caller = asyncio.create_task(stage.supervisor.command(WEB, Verb.PAUSE))
        await asyncio.sleep(0.5)
        await stage.kill()
        with pytest.raises(Unavailable, match="web"):
            await caller

"""Progressive delivery as a whole: the loop, the figures and the operator, on virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from tests.runtime.test_interrupted import KEEPS, SHOWN, alone
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.rollout import Analysis, Step

WEB = AppName("web")
V1 = web("web:1")
STEPS = (Step(weight=10, pause=4.0), Step(weight=50, pause=4.0))
JUDGED = web(
    "web:2",
    rollout=replace(
        SHORT, steps=STEPS, analysis=Analysis(max_error_ratio=0.01, min_requests=20, max_wait=20.0)
    ),
)
ASKS = web("web:2", rollout=replace(SHORT, steps=(Step(weight=10, needs_approval=True), STEPS[1])))


async def reached(stage: Stage, spec: AppSpec, weight: int) -> None:
    """Wait until a spec has a weight."""
    await stage.until(lambda: stage.weights().get(spec.revision) == weight)


async def test_a_version_with_good_answers_goes_through_all_steps() -> None:
    """Each of them waits for its pause and its evidence."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.meter.pace = {V1.revision: 90.0, JUDGED.revision: 10.0}
        stage.want(JUDGED)
        await reached(stage, JUDGED, 10)
        await reached(stage, JUDGED, 50)
        await stage.settle()
        assert stage.serves(JUDGED)
        assert stage.record().good == JUDGED


async def test_a_version_with_bad_answers_is_rejected_with_numbers_and_its_log() -> None:
    """Although its replicas run and are healthy to every probe; what its hook wrote comes first."""
    async with Stage() as stage:
        stage.engine.images["web:2"] = Behaviour(last_words=("GET /cart", "KeyError: 'price'"))
        await stage.deployed(V1)
        stage.meter.pace = {V1.revision: 90.0}
        stage.want(replace(JUDGED, hooks=(Hook(moment=Moment.BEFORE, command=("migrate",)),)))
        await reached(stage, JUDGED, 10)
        await stage.until(lambda: stage.phase is Phase.SHIFTING)
        while stage.record().rejection is None:
            stage.meter.count(JUDGED.revision, 20, errors=5)
            await stage.until(lambda: bool(stage.meter.asked), within=5)
            await stage.stays(lambda: True, during=1.0)
        rejection = stage.record().rejection
        assert rejection is not None
        assert "failed" in rejection.reason
        assert "more than 1 %" in rejection.reason
        assert rejection.log == ("GET /cart", "KeyError: 'price'")
        migrated = tuple(f"before: {line}" for line in rejection.log)
        assert stage.store.endings[-1].log == (*migrated, *rejection.log)
        await stage.settle()
        assert stage.serves(V1)


async def test_without_visitors_a_step_waits_for_as_long_as_it_may() -> None:
    """Then it goes on: an app that nobody visits at night is deployed too."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(JUDGED)
        await reached(stage, JUDGED, 10)
        await stage.stays(lambda: stage.weights().get(JUDGED.revision) == 10, during=20.0)
        assert "0 of 20 requests so far" in stage.status().reason
        await reached(stage, JUDGED, 50)


async def test_a_step_waits_for_the_operator() -> None:
    """And goes on at a word."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(ASKS)
        await reached(stage, ASKS, 10)
        await stage.until(lambda: stage.phase is Phase.WAITING)
        await stage.stays(lambda: stage.weights().get(ASKS.revision) == 10, during=30.0)
        await stage.command(Verb.PROMOTE)
        await reached(stage, ASKS, 50)
        await stage.command(Verb.PROMOTE, is_full=True)
        await stage.settle()
        assert stage.record().good == ASKS


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.ROLLBACK])
async def test_the_way_back_is_measured(verb: Verb) -> None:
    """From the command to the confirmation, in the status and in the history."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(ASKS)
        await stage.until(lambda: stage.phase is Phase.WAITING)
        await stage.command(verb)
        await stage.until(lambda: stage.status().undone is not None)
        undone = stage.status().undone
        assert undone is not None
        assert undone.revision == V1.revision
        assert 0 < undone.seconds < 1
        await stage.until(lambda: len(stage.store.notes) == 2)
        assert stage.store.notes[-1] == (
            f"all traffic is back on {V1.revision}, {undone.seconds * 1000:.0f} ms after the command"
        )


async def test_the_way_back_ends_with_the_confirmation_and_not_with_the_look() -> None:
    """Counting connections takes the kernel a while: by then traffic is long back."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(ASKS)
        await stage.until(lambda: stage.phase is Phase.WAITING)
        stage.counter.takes = 3.0
        await stage.command(Verb.ABORT)
        await stage.until(lambda: stage.status().undone is not None)
        undone = stage.status().undone
        assert undone is not None
        assert undone.seconds < 1


async def test_a_breach_while_the_app_is_paused_goes_back_all_the_same() -> None:
    """A repair is no progress."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(JUDGED)
        await reached(stage, JUDGED, 10)
        await stage.command(Verb.PAUSE)
        for box in stage.engine.of(JUDGED.revision):
            stage.engine.sicken(box.name)
        await reached(stage, V1, 100)


async def test_a_rollback_gets_the_very_image_that_ran() -> None:
    """Although its tag says something else by now."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first = stage.engine.of(V1.revision)[0].behaves
        await stage.deployed(web("web:2"))
        await stage.settle()
        stage.engine.images["web:1"] = Behaviour(status=503)
        assert "the very image it ran: sha256:" in await stage.command(Verb.ROLLBACK)
        await stage.settle()
        assert stage.serves(V1)
        assert [box.behaves for box in stage.engine.of(V1.revision)] == [first, first]


async def test_green_is_shown_and_gets_copies_before_it_has_traffic() -> None:
    """And neither when it is good."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(SHOWN)
        await stage.until(lambda: (part := stage.router.part(WEB)) and part.mirror)
        part = stage.router.part(WEB)
        assert part is not None
        assert part.preview is not None
        assert part.weights == {V1.revision: 100}
        await stage.settle()
        part = stage.router.part(WEB)
        assert part is not None
        assert (part.preview, part.mirror, part.kept) == (None, None, None)
        assert stage.serves(SHOWN)


async def test_blue_runs_on_for_its_clients_until_the_drain_is_over() -> None:
    """Green is good by then, or not: that is another matter."""
    patient = replace(KEEPS, rollout=replace(KEEPS.rollout, bake=1.0, drain=9.0))
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(patient)
        await stage.until(lambda: stage.record().good == patient)
        await stage.until(lambda: "clients that began on" in stage.status().reason)
        await stage.stays(lambda: stage.running(V1) == 2, during=6.0)
        await stage.settle()
        assert stage.running(V1) == 0


async def test_requests_are_held_while_one_version_makes_way_for_the_other() -> None:
    """In both directions, and never do two run at once (the ledger sees to that)."""
    async with Stage() as stage:
        stage.engine.images["web:never-healthy"] = Behaviour(status=503)
        await stage.deployed(V1)
        held: list[bool] = []
        stage.changed = lambda _: held.append(
            (part := stage.router.part(WEB)) is not None and part.holds_for is not None
        )
        stage.want(alone("web:2"))
        await stage.settle()
        assert stage.serves(alone("web:2"))
        assert True in held
        stage.want(alone("web:never-healthy"))
        await stage.settle()
        assert stage.serves(alone("web:2"))
        assert stage.store.endings[-1].outcome is Outcome.REJECTED

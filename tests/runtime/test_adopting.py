"""What others started is taken over by a whole service: seen, routed, replaced, left."""

from __future__ import annotations

from dataclasses import replace

from tests.runtime.fakes import Behaviour, Box
from tests.runtime.stage import Stage, web
from traefik_bg.core.commands import Verb
from traefik_bg.core.model import ADOPTED, Adoption, AppSpec
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.rollout import Rollout, Step, Strategy

ADOPT = Adoption(project="shop", service="web")
ALONE = Rollout(strategy=Strategy.RECREATE, bake=5.0, drain=3.0)
BAD = Behaviour(status=503)
STEP = Rollout(steps=(Step(weight=50, pause=30.0),), bake=5.0, drain=3.0)


async def test_it_serves_until_a_new_version_has_taken_over() -> None:
    """Its route comes first, green after it; in the end it is stopped and still there."""
    async with Stage() as stage:
        theirs = stage.engine.given_theirs(web("web:1"), "shop-web-1", "shop-web-2")
        stage.want(web("web:2", adopt=ADOPT))

        await stage.settle()

        reasons = [reason for _, reason in stage.told]
        first = next(n for n, reason in enumerate(reasons) if "routed first" in reason)
        starting = next(n for n, reason in enumerate(reasons) if reason.startswith("starting"))
        assert first < starting
        assert [box.state for box in theirs] == [ContainerState.EXITED] * 2
        assert {"shop-web-1", "shop-web-2"} <= stage.engine.boxes.keys()


async def test_without_adopt_what_serves_is_left_alone() -> None:
    """Nobody said that it is to go."""
    async with Stage() as stage:
        (box,) = stage.engine.given_theirs(web("web:1"), "shop-web-1")
        stage.want(web("web:2"))

        await stage.settle()

        assert box.is_running


async def test_adopt_may_leave_the_file_in_the_middle() -> None:
    """What has traffic keeps it until green has all, and is not stopped then."""
    async with Stage() as stage:
        (box,) = stage.engine.given_theirs(web("web:1"), "shop-web-1")
        wanted = web("web:2", adopt=ADOPT, rollout=STEP)
        stage.want(wanted)
        await stage.until(lambda: stage.weights() == {ADOPTED: 50, wanted.revision: 50})

        stage.want(replace(wanted, adopt=None))
        await stage.settle()

        assert stage.weights() == {wanted.revision: 100}
        assert box.is_running


async def test_a_service_that_is_killed_in_the_middle_goes_on() -> None:
    """A new one finds it as it was, and finishes."""
    async with Stage() as stage:
        (box,) = stage.engine.given_theirs(web("web:1"), "shop-web-1")
        wanted = web("web:2", adopt=ADOPT, rollout=STEP)
        stage.want(wanted)
        await stage.until(lambda: stage.weights().get(ADOPTED) == 50)

        await stage.kill()
        stage.start()
        await stage.settle()

        assert stage.weights() == {wanted.revision: 100}
        assert box.state is ContainerState.EXITED


async def stopped_for(stage: Stage, spec: AppSpec) -> Box:
    """Have the container of others stopped for a version that must not run beside it."""
    (box,) = stage.engine.given_theirs(web("web:1"), "shop-web-1")
    stage.want(spec)
    await stage.until(lambda: box.state is ContainerState.EXITED)
    return box


async def test_abort_starts_it_again_where_only_one_may_run() -> None:
    """It is the way back, although nobody knows its settings."""
    async with Stage() as stage:
        box = await stopped_for(stage, web("web:2", adopt=ADOPT, rollout=ALONE, replicas=1))
        said = await stage.command(Verb.ABORT)
        await stage.settle()

        assert box.is_running
        assert "back to shop-web-1" in said
        assert stage.weights() == {ADOPTED: 100}


async def test_two_bad_versions_in_a_row_end_with_it() -> None:
    """An edit in the middle does not make anybody forget who ran before."""
    async with Stage() as stage:
        stage.engine.images["web:2"] = stage.engine.images["web:3"] = BAD
        box = await stopped_for(stage, web("web:2", adopt=ADOPT, rollout=ALONE, replicas=1))
        stage.want(web("web:3", adopt=ADOPT, rollout=ALONE, replicas=1))
        await stage.settle()

        assert box.is_running


async def test_it_comes_back_though_all_is_forgotten() -> None:
    """What is published tells that we had taken over, and so that we may have stopped it (L4)."""
    async with Stage() as stage:
        stage.engine.images["web:2"] = BAD
        box = await stopped_for(stage, web("web:2", adopt=ADOPT, rollout=ALONE, replicas=1))
        await stage.restart(lose_record=True)
        await stage.settle()

        assert box.is_running


async def test_an_edit_goes_back_to_it_and_not_to_what_never_was_good() -> None:
    """Whoever had the most traffic: what has not baked is no home (S4)."""
    rollout = Rollout(steps=(Step(weight=90, pause=30.0),), bake=5.0, drain=3.0)
    async with Stage() as stage:
        stage.engine.images["web:3"] = BAD
        stage.engine.given_theirs(web("web:1"), "shop-web-1")
        stage.want(web("web:2", adopt=ADOPT, rollout=rollout))
        await stage.until(lambda: stage.weights().get(ADOPTED) == 10)

        stage.want(web("web:3", adopt=ADOPT, rollout=rollout))
        await stage.settle()

        assert stage.weights() == {ADOPTED: 100}


async def test_a_mistake_in_adopt_takes_nothing_from_what_serves() -> None:
    """What has requests is seen, whatever the file says by then."""
    async with Stage() as stage:
        (box,) = stage.engine.given_theirs(web("web:1"), "shop-web-1")
        wanted = web("web:2", adopt=ADOPT, rollout=STEP)
        stage.want(wanted)
        await stage.until(lambda: stage.weights().get(ADOPTED) == 50)
        stage.want(replace(wanted, adopt=Adoption(containers=("mistyped",))))
        await stage.stays(lambda: stage.weights().get(ADOPTED) == 50, during=5.0)

        assert box.is_running

"""What others started is taken over by a whole service: seen, routed, replaced, left."""

from __future__ import annotations

from dataclasses import replace

from tests.runtime.stage import Stage, web
from traefik_bg.core.model import ADOPTED, Adoption
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.rollout import Rollout, Step

ADOPT = Adoption(project="shop", service="web")
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

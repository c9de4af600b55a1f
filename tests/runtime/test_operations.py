"""What takes long runs beside the loop: one chain a subject, and failures become facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.core.build import WEB
from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageNotFound,
    LawBroken,
    TraefikBgError,
)
from traefik_bg.core.model import AppName
from traefik_bg.runtime.operations import Operations, Step


class Work:
    """Operations, and steps that write down what they did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.wakes: list[AppName | None] = []
        self.operations = Operations(WEB, self.wakes.append)

    def step(self, name: str, takes: float = 1.0, error: Exception | None = None) -> Step:
        async def step() -> None:
            await asyncio.sleep(takes)
            if error is not None:
                raise error
            self.done.append(name)

        return step

    async def fail(self, error: Exception, about: str = "web-1") -> float:
        """Let an operation fail; return for how long its subject is left alone."""
        self.operations.begin(about, [self.step("nothing", 0.0, error)])
        await asyncio.sleep(0.001)
        return round(self.operations.cooling.get(about, 0.0), 2)


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    """Return operations, and end them."""
    found = Work()
    yield found
    await found.operations.close()


async def test_steps_of_one_subject_run_in_order_and_subjects_side_by_side(work: Work) -> None:
    """Create, then start; the other replica meanwhile."""
    work.operations.begin("web-1", [work.step("create 1"), work.step("start 1")])
    work.operations.begin("web-2", [work.step("create 2", 1.5)])
    assert work.operations.busy == {"web-1", "web-2"}
    await asyncio.sleep(2.1)
    assert work.done == ["create 1", "create 2", "start 1"]
    assert work.operations.busy == frozenset()
    assert work.wakes == [WEB, WEB]


async def test_a_busy_subject_is_not_begun_again(work: Work) -> None:
    """Whoever asked twice gets it once."""
    work.operations.begin("web-1", [work.step("create")])
    work.operations.begin("web-1", [work.step("create")])
    await asyncio.sleep(3)
    assert work.done == ["create"]


async def test_a_failure_ends_the_chain_and_leaves_the_subject_alone_for_a_while(
    work: Work,
) -> None:
    """What was not created is not started, and people can see why."""
    work.operations.begin(
        "web-1", [work.step("create", 0.0, EngineUnavailable("no")), work.step("start", 0.0)]
    )
    await asyncio.sleep(0.001)
    assert work.done == []
    assert work.operations.failures == {"web-1": "no"}
    assert round(work.operations.cooling["web-1"], 2) == 0.5
    await asyncio.sleep(0.5)
    assert not work.operations.cooling
    assert not work.operations.failures


async def test_each_further_failure_is_followed_by_a_longer_pause(work: Work) -> None:
    """Half a second, doubled each time, half a minute at most; calm for two minutes forgives."""
    pauses = []
    for _ in range(9):
        pauses.append(await work.fail(EngineUnavailable("no")))
        await asyncio.sleep(pauses[-1])
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    await asyncio.sleep(121)
    assert await work.fail(EngineUnavailable("no")) == 0.5


@pytest.mark.parametrize(
    "error",
    [
        ImageNotFound("no"),
        Conflict("no"),
        EngineUnavailable("no"),
        TraefikBgError("no"),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_goes_wrong_is_not_tried_again_at_once(work: Work, error: Exception) -> None:
    """And the loop is woken to look."""
    assert await work.fail(error) == 0.5
    assert work.wakes == [WEB]
    assert not work.operations.busy


async def test_an_answer_of_no_is_a_refusal_until_it_is_tried_again_or_forgotten(
    work: Work,
) -> None:
    """The planner judges it."""
    await work.fail(ImageNotFound("no such image"), "web:2")
    assert work.operations.refusals == {"web:2": "no such image"}
    work.operations.begin("web:2", [work.step("pull")])
    assert not work.operations.refusals
    await work.fail(ImageNotFound("no such image"), "web:3")
    work.operations.forget(lambda about: about == "web:3")
    assert not work.operations.refusals
    assert "web:3" not in work.operations.cooling


async def test_a_broken_law_is_kept_for_the_loop(work: Work) -> None:
    """It is nobody's trouble but ours."""
    error = LawBroken("S2", "routed")
    assert await work.fail(error) == 0.0
    assert work.operations.broken_law is error


async def test_a_first_start_is_free_and_the_next_one_is_not(work: Work) -> None:
    """What has to be started again did not stay up."""
    pauses = []
    for _ in range(4):
        work.operations.begin("web-1", [work.step("start", 0.0)], is_risky=True)
        await asyncio.sleep(0.001)
        pauses.append(round(work.operations.cooling.get("web-1", 0.0), 2))
        await asyncio.sleep(pauses[-1])
    assert pauses == [0.0, 0.5, 1.0, 2.0]


async def test_what_was_meant_is_forgotten_with_the_replica(work: Work) -> None:
    """But not of those that are still there."""
    work.operations.meant |= {"web-1": True, "web-2": False}
    work.operations.forget_meant({"web-2", "web-3"})
    assert work.operations.meant == {"web-2": False}


async def test_closing_gives_up_what_is_under_way(work: Work) -> None:
    """Docker finishes it or not; the next look will see."""
    work.operations.begin("web-1", [work.step("create", 60.0)])
    await asyncio.sleep(0.001)
    await work.operations.close()
    assert not work.operations.busy
    assert not work.done

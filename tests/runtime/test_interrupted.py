"""Interrupt everything: whatever happens to whichever action, the end is the same.

Each story is told once to its end, and every action is counted. Then it is told again and again:
the service is killed during or after the k-th action, with its record kept or lost, or the action
is not done, or it is done and nobody hears of it. The ledger watches the laws all the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.actions import Phase
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppSpec, RevisionId, Route
from traefik_bg.core.rollout import Mirror, Preview, Sessions, Step, Strategy

V1, V2, V3 = web("web:1"), web("web:2"), web("web:3")
CANARY = web(
    "web:2", rollout=replace(SHORT, steps=(Step(weight=10, pause=2.0), Step(weight=50, pause=2.0)))
)
SHOWN = web(
    "web:2",
    rollout=replace(
        SHORT,
        preview=Preview(header=("X-Preview", "green")),
        mirror=Mirror(percent=20, pause=2.0),
    ),
)
KEEPS = web("web:2", rollout=replace(SHORT, sessions=Sessions.KEEP))


def alone(image: str) -> AppSpec:
    """Return a spec that must not run beside another."""
    return web(image, rollout=replace(SHORT, strategy=Strategy.RECREATE, hold_requests=9.0))


MIGRATION = Hook(moment=Moment.BEFORE, command=("migrate",), timeout=20.0)
WARM_UP = Hook(moment=Moment.AFTER_CUTOVER, command=("warm",), timeout=20.0)

NEVER_HEALTHY, CRASHING = web("web:never-healthy"), web("web:crashing")
FADING = web("web:fading")
"""Healthy at first, and sick while it bakes."""
FAR, MISSING = web("web:far"), web("web:missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is there at first, and what happens then."""

    name: str
    first: AppSpec | None
    play: Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What is there when all is over."""

    weights: dict[RevisionId, int]
    replicas: tuple[tuple[str, str], ...]
    routes: tuple[Route, ...]
    good: str | None
    rejected: RevisionId | None
    is_over: bool
    further: tuple[RevisionId, ...] = ()
    """Who gets requests without a weight: nobody, when all is over."""


def end_of(stage: Stage) -> End:
    """Return how a story has ended."""
    part, record = stage.router.part(WEB), stage.record()
    boxes = sorted(stage.engine.boxes.values(), key=lambda box: box.name)
    return End(
        weights=dict(stage.weights()),
        replicas=tuple((box.revision, box.state.value) for box in boxes),
        routes=part.routes if part is not None else (),
        good=record.good.image if record.good else None,
        rejected=record.rejection.revision if record.rejection else None,
        is_over=record.deployment is None,
        further=tuple(s.revision for s in part.all_shares if not s.weight) if part else (),
    )


async def deploy(stage: Stage) -> None:
    stage.want(V2)


async def shift_in_steps(stage: Stage) -> None:
    stage.want(CANARY)


async def be_rejected(stage: Stage) -> None:
    stage.want(NEVER_HEALTHY)


async def crash(stage: Stage) -> None:
    stage.want(CRASHING)


async def pull(stage: Stage) -> None:
    stage.want(FAR)


async def miss(stage: Stage) -> None:
    stage.want(MISSING)


async def fade(stage: Stage) -> None:
    stage.want(FADING)


async def preview_and_copy(stage: Stage) -> None:
    stage.want(SHOWN)


async def keep_sessions(stage: Stage) -> None:
    stage.want(KEEPS)


async def recreate(stage: Stage) -> None:
    stage.want(alone("web:2"))


async def recreate_and_fail(stage: Stage) -> None:
    stage.want(alone("web:never-healthy"))


async def recreate_and_fade(stage: Stage) -> None:
    stage.want(alone("web:fading"))


async def migrate(stage: Stage) -> None:
    stage.want(replace(V2, hooks=(MIGRATION, WARM_UP)))


async def migrate_alone(stage: Stage) -> None:
    stage.want(replace(alone("web:2"), hooks=(MIGRATION,)))


async def migrate_and_fail(stage: Stage) -> None:
    stage.engine.hook_code = 1
    stage.want(replace(V2, hooks=(MIGRATION,)))


async def migrate_alone_and_hang(stage: Stage) -> None:
    stage.engine.hook_takes = 1000.0
    stage.want(replace(alone("web:2"), hooks=(MIGRATION,)))


async def scale_down_and_up(stage: Stage) -> None:
    stage.want(web("web:1", replicas=1))
    await stage.until(lambda: stage.running(V1) == 1)
    stage.want(web("web:1", replicas=3))


async def remove(stage: Stage) -> None:
    stage.drop()


async def supersede(stage: Stage) -> None:
    stage.want(V2)
    await stage.until(lambda: stage.serves(V2))
    stage.want(V3)


async def change_routes(stage: Stage) -> None:
    stage.want(replace(V1, routes=(Route(rule="Host(`new.example`)"),)))


STORIES = [
    Story(name="first deployment", first=None, play=deploy),
    Story(name="deployment", first=V1, play=deploy),
    Story(name="canary", first=V1, play=shift_in_steps),
    Story(name="never healthy", first=V1, play=be_rejected),
    Story(name="crashing", first=V1, play=crash),
    Story(name="pull", first=V1, play=pull),
    Story(name="missing image", first=V1, play=miss),
    Story(name="rollback in the bake", first=V1, play=fade),
    Story(name="preview and copies", first=V1, play=preview_and_copy),
    Story(name="sessions", first=V1, play=keep_sessions),
    Story(name="recreation", first=V1, play=recreate),
    Story(name="recreation that fails", first=V1, play=recreate_and_fail),
    Story(name="recreation that fades", first=V1, play=recreate_and_fade),
    Story(name="migration", first=V1, play=migrate),
    Story(name="migration that fails", first=V1, play=migrate_and_fail),
    Story(name="recreation with a migration", first=V1, play=migrate_alone),
    Story(name="recreation with a migration that hangs", first=V1, play=migrate_alone_and_hang),
    Story(name="scaling", first=V1, play=scale_down_and_up),
    Story(name="removal", first=V1, play=remove),
    Story(name="supersession", first=V1, play=supersede),
    Story(name="routes", first=V1, play=change_routes),
]


async def told(
    story: Story, *, at: int | None = None, mishap: Mishap = Mishap.FAILS, lose_record: bool = False
) -> tuple[End, int, str]:
    """Tell a story with something happening to its n-th action; return its end and its length."""
    stage = Stage(traefiks=2, addresses_are_names=False)
    stage.router.traefiks[1].lag = 0.4
    if story.first is not None:
        stage.given(story.first)
    async with stage:
        stage.engine.images["web:never-healthy"] = Behaviour(status=503)
        stage.engine.images["web:crashing"] = Behaviour(crashes_after=0.0)
        stage.engine.images["web:fading"] = Behaviour(fades_after=3.0)
        stage.engine.registry["web:far"] = Behaviour()
        if story.first is not None:
            await stage.until(lambda: stage.phase is Phase.SETTLED)
        assert not stage.tape.actions
        stage.keep_alive(lose_record=lose_record)
        if at is not None:
            stage.tape.at[at] = mishap
        await story.play(stage)
        await stage.settle(quiet=15)
        said = stage.tape.said()
        return end_of(stage), len(said), said[at] if at is not None and at < len(said) else ""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
@pytest.mark.parametrize(
    ("mishap", "lose_record"),
    [
        pytest.param(Mishap.FAILS, False, id="an action fails"),
        pytest.param(Mishap.LOSES_REPLY, False, id="a reply is lost"),
        pytest.param(Mishap.KILLS_DURING, False, id="killed during an action"),
        pytest.param(Mishap.KILLS_AFTER, False, id="killed after an action"),
        pytest.param(Mishap.KILLS_AFTER, True, id="killed and the record lost"),
    ],
)
async def test_the_end_is_the_same_whatever_happens_to_any_action(
    story: Story, mishap: Mishap, lose_record: bool
) -> None:
    """A fault at any one action changes neither the end nor a law."""
    expected, length, _ = await told(story)
    assert length
    wrong = []
    for at in range(length):
        try:
            end, _, what = await told(story, at=at, mishap=mishap, lose_record=lose_record)
        except AssertionError as error:
            wrong.append(f"{at}: {error}")
            continue
        if lose_record:
            end = replace(end, good=expected.good, rejected=expected.rejected)
        if end != expected:
            wrong.append(f"{at} ({what}): {end}")
    assert not wrong, f"{len(wrong)} of {length}:\n" + "\n".join([*wrong, f"expected {expected}"])

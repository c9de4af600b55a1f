"""Whatever happens in whatever order: no law is broken, and in the end the wish is fulfilled.

Where `test_interrupted` lets one thing go wrong at every place, this lets many things go wrong at
places nobody has thought of. Each walk is made of a seed; a seed that finds something becomes a
story of its own.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from tests.runtime.tape import PATIENCE, Mishap
from tests.runtime.test_interrupted import alone
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused, Unavailable
from traefik_bg.core.model import Route
from traefik_bg.core.rollout import Approval, Mirror, Preview, Sessions, Step

STEPS = (Step(weight=10, pause=2.0), Step(weight=50, pause=2.0))
SPECS = [
    web("web:1"),
    web("web:1", replicas=1),
    web("web:1", replicas=3),
    web("web:1", routes=(Route(rule="Host(`new.example`)"),)),
    web("web:2"),
    web("web:2", rollout=replace(SHORT, steps=STEPS)),
    web("web:3", rollout=replace(SHORT, bake=0.0)),
    web("web:far"),
    web("web:4", rollout=replace(SHORT, approval=Approval.MANUAL)),
    web("web:never-healthy"),
    web("web:crashing"),
    web("web:fading"),
    web("web:missing"),
    web("web:2", rollout=replace(SHORT, sessions=Sessions.KEEP)),
    web(
        "web:3",
        rollout=replace(
            SHORT, preview=Preview(host="preview.example"), mirror=Mirror(percent=20, pause=2.0)
        ),
    ),
    alone("web:2"),
    alone("web:4"),
    alone("web:fading"),
    alone("web:never-healthy"),
]
ACTIONS = ["create", "start", "publish", "stop", "remove", "save", "pull", "containers"]
WALKS = 40


class Chaos:
    """Does something at random."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._random = random.Random(seed)  # noqa: S311 - a walk must be repeatable
        self.story: list[str] = []

    async def walk(self, steps: int) -> None:
        """Do something, let time pass, and again."""
        doings = [
            self._edit, self._edit, self._edit, self._drop, self._crash, self._remove, self._sicken,
            self._heal, self._restart, self._outage, self._traefik, self._mishap, self._mishap,
            self._command, self._connect, self._reboot,
        ]  # fmt: skip
        for _ in range(steps):
            doing = self._random.choice(doings)
            await doing()
            pause = self._random.choice([0.0, 0.01, 0.05, 0.2, 0.7, 2.0, 6.0, 15.0])
            await asyncio.sleep(pause)
        await self._be_quiet()

    def _tell(self, what: str) -> None:
        self.story.append(f"{asyncio.get_running_loop().time():.3f} {what}")

    async def _edit(self) -> None:
        spec = self._random.choice(SPECS)
        self._tell(f"want {spec.image} x{spec.replicas}")
        self._stage.want(spec)

    async def _drop(self) -> None:
        if self._random.random() < 0.3:
            self._tell("drop")
            self._stage.drop()

    def _any_box(self) -> str | None:
        names = sorted(self._stage.engine.boxes)
        return self._random.choice(names) if names else None

    async def _crash(self) -> None:
        engine = self._stage.engine
        for box in list(engine.boxes.values()):
            if box.name == self._any_box():
                self._tell(f"crash {box.name}")
                engine.crash(box.name, comes_back=self._random.random() < 0.5)

    async def _remove(self) -> None:
        for box in list(self._stage.engine.boxes.values()):
            if box.name == self._any_box():
                self._tell(f"docker rm -f {box.name}")
                self._stage.engine.remove_by_hand(box.name)

    async def _sicken(self) -> None:
        for box in list(self._stage.engine.boxes.values()):
            if box.name == self._any_box():
                self._tell(f"sicken {box.name}")
                self._stage.engine.sicken(box.name)

    async def _heal(self) -> None:
        for box in list(self._stage.engine.boxes.values()):
            self._stage.engine.heal(box.name)

    async def _reboot(self) -> None:
        if self._random.random() < 0.3:
            self._tell("reboot")
            self._stage.engine.reboot()

    async def _restart(self) -> None:
        lose, down = self._random.random() < 0.2, self._random.choice([0.0, 0.3, 5.0])
        self._tell(f"restart, down for {down}{', record lost' if lose else ''}")
        await self._stage.restart(lose_record=lose, down_for=down)

    async def _outage(self) -> None:
        part = self._random.choice(["docker", "store"])
        self._tell(f"{part} down or up")
        if self._stage.tape.down.pop(part, None) is None:
            self._stage.tape.down[part] = f"{part} is down"

    async def _traefik(self) -> None:
        which = self._random.randrange(len(self._stage.router.traefiks))
        router = self._stage.router
        doing = self._random.choice(
            [
                router.stick,
                router.unstick,
                router.stop_answering,
                router.answer_again,
                router.restart,
            ]
        )
        self._tell(f"{doing.__name__} {which}")
        doing(which)

    async def _mishap(self) -> None:
        verb = self._random.choice(ACTIONS)
        mishap = self._random.choice([Mishap.FAILS, Mishap.LOSES_REPLY, Mishap.HANGS])
        self._tell(f"next {verb} {mishap.name}")
        self._stage.tape.next(verb, mishap)

    async def _connect(self) -> None:
        for box in list(self._stage.engine.boxes.values()):
            if box.is_running and box.name == self._any_box():
                box.connections = self._random.choice([0, 2])

    async def _command(self) -> None:
        verb = self._random.choice(list(Verb))
        with suppress(CommandRefused, Unavailable):
            await self._stage.command(verb)
            self._tell(f"{verb} obeyed")

    async def _be_quiet(self) -> None:
        """End every fault."""
        stage = self._stage
        self._tell("quiet")
        stage.tape.down.clear()
        stage.tape.forget()
        for which in range(len(stage.router.traefiks)):
            stage.router.unstick(which)
            stage.router.answer_again(which)
        for box in stage.engine.boxes.values():
            stage.engine.heal(box.name)
            box.connections = 0
        stage.triggers.wake(None)
        await asyncio.sleep(PATIENCE + 5)
        with suppress(CommandRefused):
            await stage.command(Verb.RESUME)


def unfulfilled(stage: Stage) -> str:
    """Return what is wrong in the end; nothing, when the wish is fulfilled or rejected."""
    desired, record = stage.source.state.apps.get(WEB), stage.record()
    boxes = {(box.revision, box.state.value) for box in stage.engine.boxes.values()}
    if desired is None:
        left = [*stage.engine.boxes, *stage.router.apps(), *stage.store.records]
        return f"left: {left}" if left else ""
    wanted = desired
    if record.rejects(desired):
        if record.good is None:
            return ""
        wanted = record.good
        if wanted.image == "web:fading":
            return ""  # promoted by the operator, sick since: there is nothing better to want
    elif record.deployment is not None:
        if record.good is None and desired.image == "web:fading" and stage.serves(desired):
            return ""  # sick for ever, but nothing was ever known to be good: it stays
        waits = desired.rollout.approval is Approval.MANUAL and "approval" in stage.reason
        return "" if waits else f"still deploying: {stage.reason}"
    if not stage.serves(wanted):
        return f"traffic is at {dict(stage.weights())}, wanted {wanted.revision}: {stage.reason}"
    if boxes != {(wanted.revision, "running")} or len(stage.engine.boxes) != wanted.replicas:
        return f"there is {sorted(stage.engine.boxes)}: {stage.reason}"
    return ""


async def walked(seed: int, steps: int = 25) -> tuple[str, list[str], list[str]]:
    """Walk; return what is wrong in the end, the laws that were broken, and the story."""
    stage = Stage(traefiks=2, addresses_are_names=bool(seed % 2))
    stage.laws_may_break = True
    stage.router.traefiks[1].lag = 0.4
    if seed % 3:
        stage.given(SPECS[0])
    async with stage:
        images = stage.engine.images
        images["web:never-healthy"] = Behaviour(status=503)
        images["web:crashing"] = Behaviour(crashes_after=0.0)
        images["web:fading"] = Behaviour(fades_after=3.0)
        images["web:2"] = Behaviour(stop_takes=4.0, comes_back=False)
        images["web:3"] = Behaviour(create_takes=1.0, start_takes=1.0)
        stage.engine.registry["web:far"] = Behaviour(pull_takes=8.0)
        chaos = Chaos(stage, seed)
        await chaos.walk(steps)
        try:
            await stage.settle(quiet=65)
        except AssertionError as error:
            return str(error), stage.ledger.broken, chaos.story
        return unfulfilled(stage), stage.ledger.broken, chaos.story


@pytest.mark.parametrize("seed", range(WALKS))
async def test_no_walk_breaks_a_law_or_leaves_a_wish_unfulfilled(seed: int) -> None:
    """25 things happen at random; then the world is quiet."""
    wrong, broken, story = await walked(seed)
    assert not wrong, "\n".join([wrong, *story])
    assert not broken, "\n".join([*broken, *story])

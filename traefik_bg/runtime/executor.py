"""Acts: carries out the actions of a plan, and decides nothing.

Publishing is done at once, for the next look depends on it; everything that takes longer runs
beside the loop. Just before a publish, a stop or the start of a hook it looks once more and refuses
what would break S1, S2, S3, S7 or S9: `Conflict` when the world has moved since the plan was made,
`LawBroken` when it has not, for then the plan was wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby
from typing import assert_never

from traefik_bg.core.actions import (
    Action,
    CreateHook,
    CreateReplica,
    PublishRouting,
    PullImage,
    RemoveReplica,
    RunHook,
    StartReplica,
    StopReplica,
    subject,
)
from traefik_bg.core.errors import Conflict, ImageNotFound, LawBroken
from traefik_bg.core.guard import (
    broken_by_publishing,
    broken_by_running,
    broken_by_starting,
    broken_by_stopping,
    is_exclusive,
)
from traefik_bg.core.image_ports import Images
from traefik_bg.core.model import AppSpec, ReplicaName
from traefik_bg.core.observation import Observation
from traefik_bg.core.ports import Engine, Router
from traefik_bg.core.record import Record
from traefik_bg.runtime.operations import Operations, Step

Look = Callable[[], Awaitable[Observation]]
Desired = Callable[[], AppSpec | None]
Remembered = Callable[[], Record]


class Executor:
    """Carries out what was planned for one app."""

    def __init__(
        self,
        *,
        engine: Engine,
        images: Images,
        router: Router,
        operations: Operations,
        look: Look,
        desired: Desired,
        remembered: Remembered,
    ) -> None:
        self._engine = engine
        self._images = images
        self._router = router
        self._operations = operations
        self._look = look
        self._desired = desired
        self._remembered = remembered

    async def execute(self, actions: tuple[Action, ...], planned_on: Observation) -> None:
        """Carry out the actions: publish now, begin the rest.

        Raises:
            Conflict: the world has moved; nothing further was done.
            LawBroken: the plan would have broken a law; nothing further was done.
            RouterUnavailable: the routing could not be written.
        """
        for about, chain in groupby(actions, key=subject):
            steps: list[Step] = []
            is_risky = False
            for action in chain:
                if isinstance(action, PublishRouting):
                    await self._publish(action, planned_on)
                    continue
                is_risky = is_risky or isinstance(action, StartReplica)
                steps.append(partial(self._do, action, planned_on, self._remembered()))
            if steps:
                self._operations.begin(about, steps, is_risky=is_risky)

    async def _publish(self, action: PublishRouting, planned_on: Observation) -> None:
        now = await self._look()
        if (broken := broken_by_publishing(now, action.routing)) is not None:
            raise _verdict(broken, broken_by_publishing(planned_on, action.routing))
        await self._router.publish(action.app, action.routing)

    async def _do(self, action: Action, planned_on: Observation, planned_with: Record) -> None:
        match action:
            case PullImage(image=image):
                await self._images.pull(image)
            case CreateReplica() | CreateHook():
                await self._create(action)
            case RunHook():
                await self._run_hook(action, planned_on, planned_with)
            case StartReplica(name=name):
                await self._start(name, planned_on)
            case StopReplica(name=name):
                now = await self._look()
                if (broken := broken_by_stopping(now, name)) is not None:
                    raise _verdict(broken, broken_by_stopping(planned_on, name))
                self._operations.meant[name] = False
                await self._engine.stop(name)
            case RemoveReplica(name=name):
                await self._engine.remove(name)
            case PublishRouting():
                raise LawBroken("S2", "routing must be published before anything else goes on")
            case _:
                assert_never(action)

    async def _start(self, name: ReplicaName, planned_on: Observation) -> None:
        # The wish may be newer than the plan; to others a look more would only cost time.
        now = await self._look() if is_exclusive(self._desired()) else planned_on
        if (broken := broken_by_starting(now, name)) is not None:
            raise _verdict(broken, broken_by_starting(planned_on, name))
        self._operations.meant[name] = True
        await self._engine.start(name)

    async def _create(self, wanted: CreateReplica | CreateHook) -> None:
        name, spec, image = wanted.name, wanted.spec, wanted.image or wanted.spec.image
        try:
            match wanted:
                case CreateReplica(number=number):
                    await self._engine.create(name, number, spec, image)
                case CreateHook(hook=hook, deployment=deployment):
                    await self._engine.create_hook(name, hook, deployment, spec, image)
        except ImageNotFound as error:
            # It was here a moment ago, or it would have been pulled: look again.
            raise Conflict(str(error)) from error

    async def _run_hook(
        self, action: RunHook, planned_on: Observation, planned_with: Record
    ) -> None:
        """Start a hook, if its deployment is under way still and nothing is beside it."""
        now = await self._look()
        if (broken := broken_by_running(now, self._remembered(), action)) is not None:
            raise _verdict(broken, broken_by_running(planned_on, planned_with, action))
        await self._engine.start_once(action.name)


def _verdict(broken_now: str, broken_then: str | None) -> Conflict | LawBroken:
    if broken_then is None:
        return Conflict(f"the world has moved: {broken_now}")
    law, _, detail = broken_now.partition(": ")
    return LawBroken(law, detail)

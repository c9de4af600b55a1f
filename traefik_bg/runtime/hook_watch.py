"""Sees what becomes of hooks: how long each has run, and its last lines once it has ended.

Apart from the vitals of replicas because nobody asks a hook how it is. Durations are on the event
loop's clock, from when it was first seen running; a restart of the service begins anew, which gives
a hook more time, never less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from traefik_bg.core.observation import ContainerState, HookRun
from traefik_bg.core.ports import Container, Engine, HookLabel

LAST_LINES = 20


@dataclass(slots=True)
class _Watched:
    """One container of a hook."""

    since: float | None = None
    """When it was first seen running."""
    took: float = 0.0
    log: tuple[str, ...] | None = None
    """None: not read yet."""


class HookWatch:
    """The hooks of one app."""

    def __init__(self, engine: Engine, digest: Callable[[str], Awaitable[str]]) -> None:
        self._engine = engine
        self._digest = digest
        self._watched: dict[str, _Watched] = {}

    async def read(self, containers: Iterable[Container]) -> tuple[HookRun, ...]:
        """Return the hooks among the containers.

        Raises:
            EngineUnavailable: the log of one that has ended cannot be read now.
        """
        hooks = [(found, found.hook) for found in containers if found.hook is not None]
        ids = {container.id for container, _ in hooks}
        self._watched = {key: seen for key, seen in self._watched.items() if key in ids}
        return tuple([await self._seen(container, label) for container, label in hooks])

    async def _seen(self, container: Container, label: HookLabel) -> HookRun:
        watched = self._watched.setdefault(container.id, _Watched())
        now = asyncio.get_running_loop().time()
        if container.state in {ContainerState.RUNNING, ContainerState.PAUSED}:
            watched.since = now if watched.since is None else watched.since
            watched.took = now - watched.since
        has_ended = container.state is ContainerState.EXITED
        if has_ended and watched.log is None:
            watched.log = await self._engine.tail(container.name, LAST_LINES)
        return HookRun(
            name=container.name,
            moment=label.moment,
            revision=container.revision,
            deployment=label.deployment,
            timeout=label.timeout,
            state=container.state,
            age=watched.took,
            image_id=container.image_id,
            image_digest=await self._digest(container.image_id),
            exit_code=container.exit_code,
            log=watched.log or (),
        )

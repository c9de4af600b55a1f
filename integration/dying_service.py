"""Runs the service and kills it (SIGKILL) right after its nth action of a kind.

    python -m integration.dying_service publish:2 run --desired …

Kinds: save, pull, create, create_hook, start_once, start, publish, stop, remove. The action has
been done when the process dies, its answer has not been used: the worst moment. Whoever starts it
without dying wants `python -m traefik_bg`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.state_db import StateDb
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.cli import main

KINDS: dict[str, type] = {
    "save": StateDb,
    "pull": DockerEngine,
    "create": DockerEngine,
    "create_hook": DockerEngine,
    "start_once": DockerEngine,
    "start": DockerEngine,
    "publish": TraefikRouter,
    "stop": DockerEngine,
    "remove": DockerEngine,
}


def die_after(kind: str, count: int) -> None:
    """Arrange that the process is killed after the action was done that many times."""
    owner = KINDS[kind]
    method: Callable[..., Awaitable[Any]] = getattr(owner, kind)
    left = count

    async def deadly(self: object, *arguments: object, **named: object) -> Any:
        nonlocal left
        result = await method(self, *arguments, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, kind, deadly)


if __name__ == "__main__":
    what, _, times = sys.argv.pop(1).partition(":")
    die_after(what, int(times or "1"))
    main()

"""Builders for tests of the watching: a desired file being watched, and what came of it."""
# ruff: noqa: ASYNC110 - conditions are asked for

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from traefik_bg.adapters.desired_file import DesiredFile
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.model import AppName
from traefik_bg.core.ports import DesiredSource, DesiredState

PATIENCE = 10.0  # seconds until a test gives up; everything here takes a fraction of one


def text(**images: str) -> str:
    """Return a file with these apps and images."""
    apps = "".join(
        f"  {name}: {{image: '{image}', port: 80, route: []}}\n" for name, image in images.items()
    )
    return f"apps:\n{apps}" if apps else "apps: {}\n"


class Watching:
    """A desired file being watched, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.wakes: list[AppName | None] = []
        self.states: list[DesiredState] = []
        self.vault = Vault()
        self.source = DesiredFile(path, self._wake, environ={}, vault=self.vault)
        self.port: DesiredSource = self.source

    def _wake(self, app: AppName | None) -> None:
        self.wakes.append(app)
        self.states.append(self.source.current())

    @property
    def images(self) -> dict[str, str]:
        return {name: spec.image for name, spec in self.source.current().apps.items()}

    @property
    def error(self) -> str | None:
        return self.source.current().error

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Watching]:
    """Watch a path; what is running at the end is stopped."""
    found = Watching(path)
    task = asyncio.create_task(found.source.run())
    try:
        yield found
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)

"""Tells when one of a few files may have changed, whichever way an editor saves.

Apart from the desired file because it knows nothing of what is in them. Editors write in place,
rename over, or delete and create; configuration mounts swap a symbolic link. So the folders are
watched, on the way to each file, and the files too: of a file mounted alone into a container,
only the file itself tells of its changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchfiles import Change, awatch

from traefik_bg.adapters.desired_files import SUFFIXES, steps_to

STEP = 10  # milliseconds between looks at what inotify said; half of it is added to each save
BURST = 50  # milliseconds for which events of one burst are gathered at most
POLL = 2.0  # seconds; some file systems (network, virtual machines) tell of nothing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched, and which events matter."""

    identities: frozenset[tuple[str, int, int]]
    """Every folder and file, with device and inode: one that was replaced must be watched anew."""
    names: frozenset[str]
    folders: frozenset[str]
    """Folders in which any YAML file matters."""

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Watched:
        """Return what to watch to learn of changes of these paths."""
        steps = {step for path in paths for step in steps_to(path)}
        folders = {step for step in steps if step.is_dir()}
        watched = steps | {step.parent for step in steps}
        return cls(
            identities=frozenset(_identities(watched)),
            names=frozenset(str(path) for path in watched),
            folders=frozenset(str(folder) for folder in folders),
        )

    @property
    def paths(self) -> list[str]:
        """What exists of it."""
        return sorted({path for path, _, _ in self.identities})

    def concerns(self, _change: Change, path: str) -> bool:
        """Tell whether an event matters."""
        folder, _, _ = path.rpartition("/")
        return path in self.names or (folder in self.folders and path.endswith(SUFFIXES))


def _identities(paths: Iterable[Path]) -> Iterable[tuple[str, int, int]]:
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(path)  # noqa: PTH116 - a link counts as what it leads to
            yield str(path), found.st_dev, found.st_ino


async def changes(paths: Callable[[], Iterable[Path]]) -> AsyncGenerator[None, None]:
    """Yield at once, then whenever one of the paths may have changed, and every few seconds.

    `paths` is asked again after each yield: what is to be watched depends on what was read.
    """
    while True:
        watched = await asyncio.to_thread(Watched.of, paths())
        try:
            async with contextlib.aclosing(_changes(watched)) as events:
                async for _ in events:
                    yield
                    if await asyncio.to_thread(Watched.of, paths()) != watched:
                        break
        except (OSError, RuntimeError) as error:  # a folder just went away, or no watch is left
            log.warning("desired.unwatched", error=str(error), poll=POLL)
            yield
            await asyncio.sleep(POLL)


async def _changes(watched: Watched) -> AsyncGenerator[None, None]:
    events = awatch(
        *watched.paths,
        watch_filter=watched.concerns,
        debounce=BURST,
        step=STEP,
        rust_timeout=int(POLL * 1000),
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
    upcoming = asyncio.ensure_future(anext(events))
    try:
        await asyncio.sleep(0)  # the watch begins here, so that nothing is lost after the yield
        yield
        while True:
            await upcoming
            upcoming = asyncio.ensure_future(anext(events))
            yield
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await events.aclose()

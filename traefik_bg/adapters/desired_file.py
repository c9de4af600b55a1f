"""The desired state in force: what the newest good file says.

Implements `ports.DesiredSource`; run as a task by `app`. It upholds three rules. A file that is
broken, half written or gone changes nothing: the last good state stays in force, and the error
says so. An app is unwanted only when good files say so, and say so for a while. And nothing is
taken over before its content has been still for a moment, because a file cut short can look good.

In a folder, deleting an app's file removes the app, once all the other files are good.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from traefik_bg.adapters.desired_edit import edit_image
from traefik_bg.adapters.desired_files import Contents, Files, Unreadable, read_again
from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.adapters.desired_watch import changes
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.errors import DesiredStateErrors
from traefik_bg.core.ports import DesiredState, Wake

__all__ = ["DesiredFile", "edit_image", "read_desired"]

QUIET = 0.025  # seconds without a change before a file is read; a program writes in one go
REMOVAL_QUIET = 1.0  # the same before an app goes; nobody needs that at once, and it is for good
RESTLESS = 3.0  # seconds of change after which the error says why nothing is taken over

log = structlog.get_logger(__name__)


class DesiredFile:
    """The desired state of a file, or of a folder of files, kept up to date."""

    def __init__(
        self,
        path: Path | str,
        wake: Wake,
        *,
        environ: Mapping[str, str] | None = None,
        vault: Vault | None = None,
    ) -> None:
        self._path = Path(path)
        self._wake = wake
        self._environ = os.environ if environ is None else environ
        self._vault = vault or Vault()
        self._state = DesiredState(is_known=False)
        self._contents: Contents = {}
        self.warnings: tuple[str, ...] = ()
        """What is odd about the state in force, but no mistake."""

    def current(self) -> DesiredState:
        """Return the desired state in force; not known before `run` has read it."""
        return self._state

    async def run(self) -> None:
        """Keep the state up to date until cancelled."""
        async with contextlib.aclosing(changes(self._watched)) as looks:
            async for _ in looks:
                await self._look()

    def _watched(self) -> Iterable[Path]:
        return (self._path, *self._contents)

    # --- reading ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Take over what the files say, if they say anything new."""
        if await self._read_again() == self._contents:
            return
        while True:
            contents = await self._rested()
            files = Files()
            desired, error = await asyncio.to_thread(self._read, files)
            if any(files.contents.get(path, was) != was for path, was in contents.items()):
                continue
            if desired is None:
                self._contents = files.contents
                self._reject(error)
                return
            if not self._removes(desired) or await self._rests(contents, REMOVAL_QUIET):
                self._contents = files.contents
                self._accept(desired)
                return

    async def _rested(self) -> Contents:
        """Return what the files hold once that has not changed for a moment."""
        clock = asyncio.get_running_loop().time
        since = clock()
        contents = await self._read_again()
        while not await self._rests(
            contents, REMOVAL_QUIET if self._has_lost_files(contents) else QUIET
        ):
            if clock() - since > RESTLESS:
                self._reject(f"{self._path}: keeps changing; it is read when it is quiet")
            contents = await self._read_again()
        return contents

    async def _rests(self, contents: Contents, duration: float) -> bool:
        """Tell whether the files go on holding this for so many seconds."""
        for _ in range(round(duration / QUIET) or 1):
            await asyncio.sleep(QUIET)
            if await self._read_again() != contents:
                return False
        return True

    async def _read_again(self) -> Contents:
        return await asyncio.to_thread(read_again, tuple(self._watched()))

    def _read(self, files: Files) -> tuple[Desired | None, str]:
        try:
            return read_desired(self._path, files, self._environ), ""
        except DesiredStateErrors as error:
            content = files.content(self._path)
            is_gone = isinstance(content, Unreadable) and content.is_missing
            has_vanished = is_gone and self._state.is_known
            return None, f"{self._path}: has vanished" if has_vanished else str(error)
        except Exception as error:  # a bug of ours must not stop a service that serves
            log.exception("desired.unread", path=str(self._path))
            return None, f"{self._path}: cannot be read because of a bug: {type(error).__name__}"

    def _has_lost_files(self, contents: Contents) -> bool:
        return any(
            isinstance(contents.get(path, _GONE), Unreadable) and not isinstance(was, Unreadable)
            for path, was in self._contents.items()
        )

    def _removes(self, desired: Desired) -> bool:
        return bool(self._state.apps.keys() - desired.apps.keys())

    # --- taking over ------------------------------------------------------------------------------

    def _accept(self, desired: Desired) -> None:
        self._vault.keep(desired.contents)  # first: who is woken may need them
        before = self._state
        self._state = DesiredState(apps=desired.apps, polls=desired.polls)
        self.warnings = desired.warnings
        names = before.apps.keys() | desired.apps.keys()
        changed = [
            name
            for name in names
            if before.apps.get(name) != desired.apps.get(name)
            or before.polls.get(name) != desired.polls.get(name)
        ]
        if changed or before.error is not None or not before.is_known:
            log.info("desired.accepted", apps=len(desired.apps), changed=sorted(changed))
        for warning in desired.warnings:
            log.warning("desired.odd", what=warning)
        is_same_for_all = before.is_known and before.apps.keys() == desired.apps.keys()
        if not is_same_for_all or before.error is not None:
            self._wake(None)
            return
        for name in sorted(changed):
            self._wake(name)

    def _reject(self, error: str) -> None:
        if error != self._state.error:
            log.error("desired.rejected", error=error, is_known=self._state.is_known)
            self._state = replace(self._state, error=error)
            self._wake(None)  # nothing is to be done, but every app's status tells of it


_GONE = Unreadable("is not there", is_missing=True)

"""Keeps a second service away from the same state.

Apart from the database because it guards more than that: two services with one instance name would
undo each other's work. The kernel gives the lock back when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from traefik_bg.core.errors import SettingsError

NAME = "lock"


class Lock:
    """The right to be the one service of a state folder."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._instance = instance
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or take it again where its file has been deleted.

        Raises:
            SettingsError: another service has it, or it cannot be had here.
        """
        if self.is_held:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = self._locked()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SettingsError(f"{self._path} cannot be locked: {reason}") from error
        self.release()
        self._descriptor = descriptor
        self._introduce(descriptor)

    @property
    def is_held(self) -> bool:
        """Tell whether we have the lock, and the file we have it on is still in place."""
        if self._descriptor is None:
            return False
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Give the lock back; the file stays, for deleting it would let two services in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _locked(self) -> int:
        """Return a descriptor of the file in place, locked."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise SettingsError(
                    f"{self._folder} is in use by {holder}; stop that service, or give this one "
                    "another --state-dir and --instance"
                ) from error
            except OSError:
                os.close(descriptor)
                raise
            ours = os.fstat(descriptor)
            if self._path.exists() and self._path.stat().st_ino == ours.st_ino:
                return descriptor
            os.close(descriptor)  # deleted between opening and locking

    def _introduce(self, descriptor: int) -> None:
        introduction = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "instance": self._instance,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(introduction).encode(), 0)


def _holder(descriptor: int) -> str:
    """Return who has the lock, as far as it says."""
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return (
            f'the service "{said["instance"]}" (process {said["pid"]} on {said["host"]}, '
            f"since {said['since']})"
        )
    except (ValueError, TypeError, KeyError):
        return "another service"

"""The routing file: what Traefik reads, and all we remember of what we told it.

The router reads it once at start and replaces it for every publish, always whole: written beside
the watched folder, flushed to the disk, renamed. A copy in the state folder outlives the loss of
the file. Everything here blocks for a moment, so the router calls it in a thread.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import structlog

from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable

FILE_NAME = "traefik-bg.yml"
COPY_NAME = "traefik-bg.copy.json"  # not .yml: should Traefik watch this folder too, it ignores it

# A folder that cannot be staged in: another mount of the same disk, or none of our business.
_NO_STAGE = {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}

log = structlog.get_logger()


class RoutingFile:
    """One file in the folder Traefik watches, or in the state folder when it is fetched by HTTP."""

    def __init__(self, state_dir: Path, dynamic_dir: Path | None) -> None:
        self.path = (dynamic_dir or state_dir) / FILE_NAME
        self._copy = state_dir / COPY_NAME if dynamic_dir is not None else None
        self._stages = _stages(state_dir, dynamic_dir)
        self._written: os.stat_result | None = None
        self._has_copy = True

    def read(self) -> bytes | None:
        """Return the published document, from the copy when the file is lost; None: there is none.

        Raises:
            RouterUnavailable: there is one, but it cannot be read.
        """
        problems = []
        for path in filter(None, (self.path, self._copy)):
            try:
                data = path.read_bytes()
                traffic.parse(data)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problems.append(f"{path} cannot be read ({error})")
                continue
            if path == self.path:
                self._written = path.stat()
            if problems:
                log.warning("routing.damaged", problem=problems[0], used=str(path))
            return data
        if problems:
            raise RouterUnavailable(
                " and ".join(problems) + "; Traefik keeps what it runs. Bring back the file, or "
                "remove it to publish everything anew"
            )
        return None

    def write(self, data: bytes) -> None:
        """Replace the file.

        Raises:
            RouterUnavailable: it could not be written; the old one is still there.
        """
        try:
            self._written = self._replace(data)
        except OSError as error:
            raise RouterUnavailable(
                f"{self.path} could not be written ({error.strerror or error}); Traefik keeps "
                "what it runs, and it will be tried again"
            ) from error
        self._keep_copy(data)

    def is_intact(self) -> bool:
        """Tell whether the file is the one we wrote or read."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return self._written is not None and _identity(found) == _identity(self._written)

    def _replace(self, data: bytes) -> os.stat_result:
        while len(self._stages) > 1:
            try:
                return _staged(data, self._stages[0], self.path, is_durable=True)
            except OSError as error:
                if error.errno not in _NO_STAGE:
                    raise
                self._stages.pop(0)
        return _staged(data, self._stages[0], self.path, is_durable=True)

    def _keep_copy(self, data: bytes) -> None:
        if self._copy is None:
            return
        try:
            _staged(data, self._copy.with_suffix(".tmp"), self._copy, is_durable=False)
            self._has_copy = True
        except OSError as error:
            with suppress(OSError):
                self._copy.unlink()  # an old copy would be worse than none
            if self._has_copy:
                log.warning("routing.not_copied", path=str(self._copy), problem=str(error))
            self._has_copy = False


def _stages(state_dir: Path, dynamic_dir: Path | None) -> list[Path]:
    """Return where to write before renaming, best first; the first that can be renamed is kept.

    A temporary file inside the watched folder costs Traefik three more rebuilds, and with its
    default throttle two seconds (measured); so that is the last resort.
    """
    if dynamic_dir is None:
        return [state_dir / f"{FILE_NAME}.tmp"]
    name = f".{dynamic_dir.name}.traefik-bg.{os.getpid()}.tmp"
    return [dynamic_dir.resolve().parent / name, state_dir / name, dynamic_dir / name]


def _staged(data: bytes, stage: Path, path: Path, *, is_durable: bool) -> os.stat_result:
    try:
        with stage.open("wb") as file:
            os.fchmod(file.fileno(), 0o644)  # Traefik may be another user
            file.write(data)
            file.flush()
            if is_durable:  # else a power cut could leave an empty file: Traefik drops all routes
                os.fsync(file.fileno())
            written = os.fstat(file.fileno())
        stage.rename(path)
    except OSError:
        with suppress(OSError):
            stage.unlink()
        raise
    return written


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

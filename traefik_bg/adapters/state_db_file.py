"""The file state.db: opened, checked, written in whole transactions, and made anew when it is lost.

Apart from the store because this half is about a file that may be full, damaged, deleted or
replaced, and knows nothing of apps. Everything here runs in the store's one thread. Whatever is
found in the way is moved aside, never deleted: forgetting costs time, never safety (law L4).

The journal is a rollback journal, not a write-ahead log: a WAL needs memory shared between
processes, which network and virtual-machine mounts do not give, and leaves two files to copy.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from traefik_bg.adapters import state_db_schema as schema
from traefik_bg.core.errors import StoreUnavailable

BUSY = 5.0  # seconds to wait for somebody who copies the file; longer is no copy
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_MOVED = {sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_IOERR}
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SENTENCES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room and it goes on",
    sqlite3.SQLITE_READONLY: "it is read-only; check the owner and the mount of the state folder",
    sqlite3.SQLITE_BUSY: "another program keeps it locked",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner of the state folder",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the owner of the state folder",
}

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]


class StateFile:
    """A database file that survives what happens to files."""

    def __init__(self, path: Path, refill: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._refill = refill
        """Writes what memory knows into a database that was just opened, if it knows anything."""
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def read(self, work: Work[Result]) -> Result:
        """Return what the work finds in the database.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        return self._worked(work, is_writing=False)

    def write(self, work: Work[Result]) -> Result:
        """Do the work in one transaction, which is durable on return.

        Raises:
            StoreUnavailable: it cannot be written; nothing of it has happened.
        """
        return self._worked(work, is_writing=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _worked(self, work: Work[Result], *, is_writing: bool) -> Result:
        for is_last in (False, True):
            try:
                connection = self._open()
                return _transaction(connection, work) if is_writing else work(connection)
            except (sqlite3.Error, OSError) as error:
                code = getattr(error, "sqlite_errorcode", 0)
                if not is_last and code & 0xFF in _DAMAGED:
                    self._set_aside("corrupt")
                elif not is_last and (code in _MOVED or code & 0xFF in _MOVED):
                    self.close()
                else:
                    if isinstance(error, sqlite3.Error) and code & 0xFF not in _PASSING:
                        self.close()
                    raise StoreUnavailable(self._sentence(error)) from error
        raise StoreUnavailable(f"{self._path}: cannot be used")  # pragma: no cover

    def _sentence(self, error: Exception) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        reason = _SENTENCES.get(code) or getattr(error, "strerror", None) or str(error)
        return f"{self._path}: {reason}"

    # --- opening ----------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Return a connection to the file that is in place now."""
        if self._connection is not None:
            if self._identity == _identity(self._path):
                return self._connection
            return self._restore(self._connection)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists():
            self._check()
        return self._adopt(_connected(self._path))

    def _check(self) -> None:
        """Move a file aside that is damaged or of a newer version."""
        with contextlib.closing(_connected(self._path)) as connection:
            is_sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            is_newer = schema.version(connection) > schema.VERSION
        if not is_sound or is_newer:
            self._set_aside("newer" if is_newer else "corrupt")

    def _adopt(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            schema.migrate(connection)
            _transaction(connection, self._refill)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection, self._identity = connection, _identity(self._path)
        return connection

    # --- losing and finding it again --------------------------------------------------------------

    def _set_aside(self, why: str) -> None:
        """Move the file out of the way, loudly, so that an empty one can take its place."""
        self.close()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        aside = self._path.with_name(f"{self._path.name}.{why}-{stamp}")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside)
            journal = self._path.with_name(f"{self._path.name}-journal")
            if journal.exists() and journal.stat().st_size:  # it must not be played into the next
                journal.rename(aside.with_name(f"{aside.name}-journal"))
            log.error(
                "state.set_aside",
                why=why,
                aside=str(aside),
                meaning="history starts anew; what serves goes on serving and bakes again",
            )

    def _restore(self, lost: sqlite3.Connection) -> sqlite3.Connection:
        """Write the database anew where its file was deleted or replaced while it was open.

        The deleted file lives on as long as it is open, so that nothing of it is lost.
        """
        self._connection = None
        log.error("state.vanished", path=str(self._path), meaning="it is written anew")
        try:
            if self._path.exists():
                self._set_aside("replaced")
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = self._copied(lost)
        except (sqlite3.Error, OSError):
            self._connection = lost  # for the next try
            raise
        lost.close()
        return self._adopt(made)

    def _copied(self, lost: sqlite3.Connection) -> sqlite3.Connection:
        """Return a new database with all that the lost one held, if that can still be read."""
        made = _connected(self._path)
        try:
            lost.backup(made)
        except sqlite3.Error as error:
            made.close()
            self._path.unlink(missing_ok=True)
            if error.sqlite_errorcode & 0xFF in _PASSING:
                raise
            return _connected(self._path)  # then memory has to do
        return made


def _connected(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = TRUNCATE")  # DELETE needs its folder synced too
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _transaction(connection: sqlite3.Connection, work: Work[Result]) -> Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
    return result

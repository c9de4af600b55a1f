"""The memory of the service: one record an app, and a history for people.

Implements `ports.Store` on SQLite. All of it happens in one thread of its own, so that a slow disk
never holds up the event loop, and in order, so that the last save is the last one on disk. Records
are kept in memory as well: a database that is lost while the service runs is written anew.

Times are wall-clock times for people; nothing is ever decided by them.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from traefik_bg.adapters import state_db_history as history
from traefik_bg.adapters.state_db_file import StateFile
from traefik_bg.adapters.state_db_history import JournalEntry, PastDeployment
from traefik_bg.core.actions import Ending
from traefik_bg.core.model import AppName
from traefik_bg.core.record import Record
from traefik_bg.core.tags import KnownTag

NAME = "state.db"

_RECORD = TypeAdapter(Record)
_TAG = TypeAdapter(KnownTag)

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class StateDb:
    """The memory of one instance, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file = StateFile(self._path, self._refill)
        self._records: dict[AppName, Record] | None = None
        """None until they have been read."""
        self._tags: dict[AppName, KnownTag] | None = None
        """The same."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state-db")

    @property
    def exists(self) -> bool:
        """Whether there is a database; reading makes one where there is none."""
        return self._path.exists()

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        await self._in_thread(self._file.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- records ----------------------------------------------------------------------------------

    async def record(self, app: AppName) -> Record:
        """Return what is remembered of an app; an empty record when nothing is."""
        return await self._in_thread(lambda: self._known().get(app, Record()))

    async def apps(self) -> frozenset[AppName]:
        """Return the apps that have a record."""
        return await self._in_thread(lambda: frozenset(self._known()))

    async def save(self, app: AppName, record: Record, endings: Sequence[Ending] = ()) -> None:
        """Remember the record, durably, and how deployments ended."""
        await self._in_thread(lambda: self._save(app, record, tuple(endings)))

    async def forget(self, app: AppName) -> None:
        """Forget the record of an app that is gone; its history stays."""
        await self._in_thread(lambda: self._forget(app))

    def _known(self) -> dict[AppName, Record]:
        if self._records is None:
            self._records = self._file.read(_records)
        return self._records

    def _save(self, app: AppName, record: Record, endings: tuple[Ending, ...]) -> None:
        known = self._known()
        before = known.get(app)
        if record == before and not endings:
            return

        def work(connection: sqlite3.Connection) -> None:
            _write_record(connection, app, record)
            history.keep(
                connection,
                app,
                before=before or Record(),
                after=record,
                endings=endings,
                now=_now(),
            )

        self._file.write(work)
        known[app] = record

    def _forget(self, app: AppName) -> None:
        known = self._known()
        if app in known:
            self._file.write(
                lambda connection: connection.execute("DELETE FROM records WHERE app = ?", (app,))
            )
            del known[app]

    def _refill(self, connection: sqlite3.Connection) -> None:
        """Write what memory knows into a database that was just opened."""
        if self._records is not None:
            connection.execute("DELETE FROM records")
            for app, record in self._records.items():
                _write_record(connection, app, record)
        if self._tags is not None:
            connection.execute("DELETE FROM tags")
            for app, tag in self._tags.items():
                _write_tag(connection, app, tag)

    # --- tags -------------------------------------------------------------------------------------

    async def tags(self) -> Mapping[AppName, KnownTag]:
        """Return what the tags of apps were last known to mean."""
        return await self._in_thread(lambda: dict(self._known_tags()))

    async def save_tag(self, app: AppName, tag: KnownTag | None) -> None:
        """Remember, durably, what the tag of an app means; None: forget it."""

        def written() -> None:
            known = self._known_tags()
            if known.get(app) == tag:
                return
            self._file.write(lambda connection: _write_tag(connection, app, tag))
            if tag is None:
                del known[app]
            else:
                known[app] = tag

        await self._in_thread(written)

    # --- images -----------------------------------------------------------------------------------

    async def pulled(self) -> Mapping[str, frozenset[str]]:
        """Return the images that we brought here, by Docker's IDs, and the names they came by."""
        return await self._in_thread(lambda: self._file.read(_read_pulled))

    async def save_pulled(self, image_id: str, name: str) -> None:
        """Remember, durably, that we brought an image here."""
        statement = "INSERT OR REPLACE INTO pulled VALUES (?, ?)"
        await self._write(lambda connection: connection.execute(statement, (image_id, name)))

    async def forget_pulled(self, image_id: str) -> None:
        """Forget an image that is gone."""
        statement = "DELETE FROM pulled WHERE image_id = ?"
        await self._write(lambda connection: connection.execute(statement, (image_id,)))

    async def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        def written() -> None:
            self._known()
            self._file.write(work)

        await self._in_thread(written)

    def _known_tags(self) -> dict[AppName, KnownTag]:
        if self._tags is None:
            self._tags = self._file.read(_read_tags)
        return self._tags

    # --- history ----------------------------------------------------------------------------------

    async def note(self, app: AppName, sentence: str) -> None:
        """Add a sentence to the app's history."""
        await self._write(lambda connection: history.note(connection, app, sentence, _now()))

    async def history(self, app: AppName, limit: int = 20) -> tuple[PastDeployment, ...]:
        """Return the app's deployments, the newest first.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        return await self._in_thread(
            lambda: self._file.read(lambda connection: history.deployments(connection, app, limit))
        )

    async def journal(self, app: AppName, limit: int = 100) -> tuple[JournalEntry, ...]:
        """Return what was noted of the app, the newest first.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        return await self._in_thread(
            lambda: self._file.read(lambda connection: history.sentences(connection, app, limit))
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _write_record(connection: sqlite3.Connection, app: AppName, record: Record) -> None:
    text = json.dumps(asdict(record), ensure_ascii=False)
    # A container may log half a character; SQLite keeps only whole ones.
    clean = text.encode("utf-8", "replace").decode()
    connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (app, clean))


def _records(connection: sqlite3.Connection) -> dict[AppName, Record]:
    found: dict[AppName, Record] = {}
    for app, text in connection.execute("SELECT app, record FROM records"):
        try:
            found[AppName(app)] = _RECORD.validate_json(text)
        except ValidationError:
            log.exception(
                "state.record_lost", app=app, meaning="what serves goes on serving and bakes again"
            )
    return found


def _write_tag(connection: sqlite3.Connection, app: AppName, tag: KnownTag | None) -> None:
    if tag is None:
        connection.execute("DELETE FROM tags WHERE app = ?", (app,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO tags VALUES (?, ?)", (app, json.dumps(asdict(tag)))
        )


def _read_tags(connection: sqlite3.Connection) -> dict[AppName, KnownTag]:
    found: dict[AppName, KnownTag] = {}
    for app, text in connection.execute("SELECT app, tag FROM tags"):
        try:
            found[AppName(app)] = _TAG.validate_json(text)
        except ValidationError:
            log.exception("state.tag_lost", app=app, meaning="its registry is asked again")
    return found


def _read_pulled(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for image_id, name in connection.execute("SELECT image_id, name FROM pulled"):
        found[image_id] = found.get(image_id, frozenset()) | {name}
    return found

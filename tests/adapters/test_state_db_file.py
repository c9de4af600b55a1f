"""The memory survives what happens to files, and says so when it cannot."""
# ruff: noqa: ASYNC240 - the files are tiny

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.records import API, FULL, GREEN, WEB, deploying, opened
from traefik_bg.adapters.state_db import NAME, StateDb
from traefik_bg.core.errors import StoreUnavailable
from traefik_bg.core.record import Record, Rejection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "state"


WRITER = """
import asyncio, sys
from pathlib import Path
from traefik_bg.adapters.state_db import StateDb
from traefik_bg.core.record import (Deployment, Record)

WEB = "web"

def deploying(number):
    return Record(deployment=Deployment(number=number, revision="9e", image="a"), deployments=number)

async def main():
    db = StateDb(Path(sys.argv[1]))
    number = (await db.record(WEB)).deployments
    while True:
        number += 1
        await db.save(WEB, deploying(number))
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_saved_survives_kill_9(folder: Path) -> None:
    """After a kill at any moment, the last save that returned is there, or the one after it."""
    saved = 0
    for lines in (1, 3, 7):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                saved = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            saved = int(rest[-1]) if rest else saved

        async def remembered() -> int:
            async with opened(folder) as db:
                history = await db.history(WEB, limit=1)
                record = await db.record(WEB)
                assert history[0].number == record.deployments
                return record.deployments

        assert asyncio.run(remembered()) in {saved, saved + 1}


async def test_a_deleted_database_is_written_anew_with_all_it_held(folder: Path) -> None:
    """Whoever deletes the file, or the whole folder, under the running service loses nothing."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await db.note(WEB, "before")
        (folder / NAME).unlink()
        await db.note(WEB, "between")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        await db.save(API, Record(paused=True))

        assert await db.record(WEB) == FULL
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL
        assert await db.record(API) == Record(paused=True)
        assert [said.sentence for said in await db.journal(WEB)] == ["between", "before"]


async def test_a_state_folder_that_is_gone_for_a_while_costs_nothing(folder: Path) -> None:
    """While nothing can be written that is said; then all is written, history included."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await db.note(WEB, "before")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.write_text("in the way")
        with pytest.raises(StoreUnavailable, match="exists"):
            await db.save(API, FULL)

        folder.unlink()
        await db.save(API, FULL)
    async with opened(folder) as db:
        assert await db.apps() == {WEB, API}
        assert [said.sentence for said in await db.journal(WEB)] == ["before"]


async def test_of_a_deleted_and_damaged_database_memory_remains(folder: Path) -> None:
    """Where even the deleted file cannot be read any more, records come from memory."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        with (folder / NAME).open("r+b") as file:
            (folder / NAME).unlink()
            file.write(b"\xaa" * 100_000)
        await db.save(API, Record(paused=True))
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL
        assert await db.record(API) == Record(paused=True)


async def test_a_database_put_in_our_place_is_moved_aside(folder: Path) -> None:
    """What the running service remembers wins over a file somebody copied over it."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        stranger = folder / "stranger"
        stranger.write_text("something else")
        stranger.rename(folder / NAME)
        await db.save(API, Record(paused=True))

    (aside,) = folder.glob(f"{NAME}.replaced-*")
    assert aside.read_text() == "something else"
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL


@pytest.mark.parametrize("content", [b"", b"rubbish", b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_damaged_database_is_moved_aside(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs the history, never the service: loudly, and nothing is deleted."""
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(content)

    async with opened(folder) as db:
        assert await db.record(WEB) == Record()
        await db.save(WEB, FULL)
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL

    aside = [path.read_bytes() for path in folder.glob(f"{NAME}.corrupt-*")]
    assert aside == ([content] if content else [])
    assert ("state.set_aside" in capsys.readouterr().out) == bool(content)


async def test_a_database_damaged_while_it_is_open_is_written_anew(folder: Path) -> None:
    """Records are in memory too, so that they survive a damaged disk."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        for number in range(1, 60):
            await db.save(API, deploying(number, image="x" * 500))
        size = (folder / NAME).stat().st_size
        with (folder / NAME).open("r+b") as file:
            file.write(b"\xaa" * size)
            file.flush()
            os.fsync(file.fileno())
        await db.save(API, Record(paused=True))

    assert list(folder.glob(f"{NAME}.corrupt-*"))
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL
        assert await db.record(API) == Record(paused=True)


async def test_a_database_of_a_newer_version_is_moved_aside(folder: Path) -> None:
    """Going back to an older traefik-bg starts with an empty memory, and keeps the newer one."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")

    async with opened(folder) as db:
        assert await db.record(WEB) == Record()

    assert len(list(folder.glob(f"{NAME}.newer-*"))) == 1


async def test_one_record_that_cannot_be_read_costs_only_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreadable record is as good as none, and is told of."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await db.save(API, FULL)
    with closing(sqlite3.connect(folder / NAME)) as connection, connection:
        connection.execute("UPDATE records SET record = '{\"paused\": []}' WHERE app = 'web'")

    async with opened(folder) as db:
        assert await db.record(WEB) == Record()
        assert await db.record(API) == FULL
    assert "state.record_lost" in capsys.readouterr().out


async def test_a_record_with_facts_of_a_newer_version_is_read(folder: Path) -> None:
    """A fact we do not know yet does not spoil those we know."""
    async with opened(folder) as db:
        await db.save(WEB, Record(paused=True))
    with closing(sqlite3.connect(folder / NAME)) as connection, connection:
        connection.execute(
            "UPDATE records SET record = json_set(record, '$.later', 1), app = app WHERE app = 'web'"
        )

    async with opened(folder) as db:
        assert await db.record(WEB) == Record(paused=True)


async def in_thread(db: StateDb, work: Callable[[sqlite3.Connection], object]) -> None:
    """Do something to the database behind the memory's back."""
    connection = db._file._connection
    assert connection is not None
    await db._in_thread(lambda: work(connection))


async def test_a_full_disk_is_told_of_and_recovered_from(folder: Path) -> None:
    """What cannot be written has not happened; when there is room again it is written."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await in_thread(db, lambda sql: sql.execute("PRAGMA max_page_count = 1"))
        big = Record(rejection=Rejection(spec="a", revision=GREEN, reason="x" * 100_000))
        with pytest.raises(StoreUnavailable) as caught:
            await db.save(WEB, big)

        said = str(caught.value)
        assert said == f"{folder / NAME}: the disk is full; make room and it goes on"
        assert await db.record(WEB) == FULL
        assert await db.apps() == {WEB}

        await in_thread(db, lambda sql: sql.execute("PRAGMA max_page_count = 100000"))
        await db.save(WEB, big)
        assert await db.record(WEB) == big


async def test_a_database_locked_by_another_program_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies the file may hold it for a while; then it is unavailable, not lost."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await in_thread(db, lambda sql: sql.execute("PRAGMA busy_timeout = 10"))
        with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreUnavailable, match="another program keeps it locked"):
                await db.save(WEB, Record())
            other.execute("ROLLBACK")

        await db.save(WEB, Record(paused=True))
        assert await db.record(WEB) == Record(paused=True)


async def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    """A state folder that is a file makes the memory unavailable, in words."""
    (tmp_path / "state").write_text("a file")

    async with opened(tmp_path / "state") as db:
        for attempt in (db.record(WEB), db.save(WEB, FULL), db.note(WEB, "a"), db.history(WEB)):
            with pytest.raises(StoreUnavailable, match=r"state.db: .*(exists|Not a directory)"):
                await attempt

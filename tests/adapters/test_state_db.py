"""The memory keeps records exactly, and tells people what happened."""
# ruff: noqa: ASYNC240 - the files are tiny

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adapters.records import API, BLUE, FULL, GREEN, SPEC, WEB, deploying, ending, opened
from traefik_bg.adapters import state_db_history
from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, Json, Protocol, RevisionId, Route
from traefik_bg.core.record import Deployment, Pin, Record, Rejection, Waiver
from traefik_bg.core.rollout import (
    Analysis,
    Check,
    CheckKind,
    Mirror,
    Preview,
    Rollout,
    Sessions,
    Step,
    Strategy,
)
from traefik_bg.core.tags import KnownTag


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "state"


# --- records --------------------------------------------------------------------------------------


async def test_what_is_not_remembered_is_an_empty_record(folder: Path) -> None:
    """An app nobody has heard of has a record without facts."""
    async with opened(folder) as db:
        assert await db.record(WEB) == Record()
        assert await db.apps() == frozenset()


async def test_a_record_outlives_the_service_exactly(folder: Path) -> None:
    """Every fact of a record is the same in the next life."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)
        await db.save(API, Record())
    async with opened(folder) as db:
        assert await db.record(WEB) == FULL
        assert (await db.record(WEB)).good == SPEC
        assert await db.apps() == {WEB, API}


texts = st.text(max_size=8)
times = st.floats(min_value=0, max_value=1e9)
revisions = texts.map(RevisionId)
pairs = st.none() | st.tuples(texts, texts)
checks = st.builds(
    Check,
    name=texts,
    kind=st.sampled_from(CheckKind),
    command=st.lists(texts, max_size=2).map(tuple),
    at_most=st.none() | times,
)
rollouts = st.builds(
    Rollout,
    strategy=st.sampled_from(Strategy),
    bake=times,
    steps=st.lists(
        st.builds(Step, weight=st.integers(), pause=times, needs_approval=st.booleans())
    ).map(tuple),
    analysis=st.none()
    | st.builds(
        Analysis, max_p95=st.none() | times, checks=st.lists(checks, max_size=2).map(tuple)
    ),
    preview=st.none() | st.builds(Preview, header=pairs, cookie=pairs, host=st.none() | texts),
    sessions=st.sampled_from(Sessions),
    mirror=st.none() | st.builds(Mirror, percent=st.integers(1, 100), pause=times),
)
specs = st.builds(
    AppSpec,
    name=texts.map(AppName),
    image=texts,
    port=st.integers(1, 65535),
    container=texts.map(Json),
    routes=st.lists(
        st.builds(
            Route, rule=texts, tls=st.none() | texts.map(Json), protocol=st.sampled_from(Protocol)
        )
    ).map(tuple),
    health=st.builds(HealthPolicy, path=st.none() | texts, interval=times, rise=st.integers(1, 9)),
    rollout=rollouts,
)
records = st.builds(
    Record,
    good=st.none() | specs,
    previous=st.lists(specs, max_size=2).map(tuple),
    rejection=st.none()
    | st.builds(
        Rejection, spec=texts, revision=revisions, reason=texts, log=st.lists(texts).map(tuple)
    ),
    deployment=st.none()
    | st.builds(Deployment, number=st.integers(0, 10**9), revision=revisions, image=texts),
    deployments=st.integers(0, 10**9),
    waiver=st.none() | st.builds(Waiver, revision=revisions, weight=st.integers(0, 100)),
    paused=st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(record=records)
def test_any_record_comes_back_as_it_was(tmp_path: Path, record: Record) -> None:
    """Nothing a record can hold is lost or changed on disk."""

    async def there_and_back() -> Record:
        async with opened(tmp_path) as db:
            await db.save(WEB, record)
        async with opened(tmp_path) as db:
            return await db.record(WEB)

    assert asyncio.run(there_and_back()) == record


async def test_half_a_character_in_a_log_is_no_obstacle(folder: Path) -> None:
    """What a container wrote is kept as far as it is text."""
    rejection = Rejection(spec="a", revision=GREEN, reason="bad \udcff", log=("\ud83d",))
    async with opened(folder) as db:
        await db.save(
            WEB,
            Record(rejection=rejection),
            [
                Ending(
                    outcome=Outcome.REJECTED, revision=GREEN, reason="bad \udcff", log=("\ud83d",)
                )
            ],
        )
        await db.note(WEB, "half \ud83d")
    async with opened(folder) as db:
        kept = (await db.record(WEB)).rejection
        assert kept is not None
        assert (kept.reason, kept.log) == ("bad ?", ("?",))
        assert (await db.history(WEB))[0].reason == "bad ?"
        assert (await db.journal(WEB))[0].sentence == "half ?"


async def test_what_is_forgotten_is_gone_but_its_history_stays(folder: Path) -> None:
    """A removed app leaves its history behind, and forgetting twice is fine."""
    async with opened(folder) as db:
        await db.save(WEB, deploying(1))
        await db.forget(WEB)
        await db.forget(WEB)

        assert await db.apps() == frozenset()
        assert await db.record(WEB) == Record()
        assert len(await db.history(WEB)) == 1


async def test_only_we_may_read_the_memory(folder: Path) -> None:
    """Records hold environments, and those hold secrets."""
    async with opened(folder) as db:
        await db.save(WEB, FULL)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}


async def test_the_event_loop_is_not_held_up(folder: Path) -> None:
    """Everything that touches the disk happens in one other thread."""
    threads: set[str] = set()
    async with opened(folder) as db:
        known = db._known

        def noted() -> dict[AppName, Record]:
            threads.add(threading.current_thread().name)
            return known()

        db._known = noted  # type: ignore[method-assign]
        await asyncio.gather(*(db.save(WEB, deploying(number)) for number in range(1, 9)))
        assert (await db.record(WEB)).deployments == 8

    assert len(threads) == 1
    assert threads.pop().startswith("state-db")


# --- history --------------------------------------------------------------------------------------


async def test_a_deployment_begins_with_its_record_and_ends_with_its_ending(folder: Path) -> None:
    """The history tells of each attempt when it began, when and how it ended, and why."""
    async with opened(folder) as db:
        await db.save(WEB, deploying(1))
        (begun,) = await db.history(WEB)
        assert (begun.number, begun.revision, begun.image) == (1, GREEN, "web:2")
        assert (begun.ended, begun.outcome) == (None, None)
        assert begun.started is not None

        await db.save(WEB, Record(deployments=1), [ending()])
        (ended,) = await db.history(WEB)
        assert ended.outcome is Outcome.SUCCEEDED
        assert (ended.reason, ended.log) == ("it succeeded", ("last words",))
        assert ended.ended is not None
        assert ended.started == begun.started
        assert ended.ended >= begun.started


async def test_one_deployment_supersedes_another_in_one_save(folder: Path) -> None:
    """The old one's end and the new one's beginning are both written."""
    async with opened(folder) as db:
        await db.save(WEB, deploying(1, BLUE, "web:1"))
        await db.save(WEB, deploying(2), [ending(Outcome.SUPERSEDED, BLUE)])

        newer, older = await db.history(WEB)
        assert (newer.number, newer.outcome) == (2, None)
        assert (older.number, older.outcome) == (1, Outcome.SUPERSEDED)


async def test_saving_the_same_again_says_nothing_twice(folder: Path) -> None:
    """A save whose answer was lost is repeated without another line in the history."""
    async with opened(folder) as db:
        for _ in range(2):
            await db.save(WEB, deploying(1))
        for _ in range(2):
            await db.save(WEB, Record(deployments=1), [ending(Outcome.REJECTED)])

        assert [past.outcome for past in await db.history(WEB)] == [Outcome.REJECTED]


async def test_a_deployment_that_is_already_told_of_is_not_told_again(folder: Path) -> None:
    """A lost record does not double the history."""
    async with opened(folder) as db:
        await db.save(WEB, deploying(1))
        await db.forget(WEB)
        await db.save(WEB, deploying(1))

        assert len(await db.history(WEB)) == 1


async def test_an_ending_without_a_beginning_is_still_told(folder: Path) -> None:
    """A deployment that was rejected as soon as it was wanted is in the history too."""
    async with opened(folder) as db:
        await db.save(WEB, Record(deployments=3), [ending(Outcome.REJECTED)])

        (past,) = await db.history(WEB)
        assert (past.number, past.image, past.started) == (3, "", None)
        assert past.outcome is Outcome.REJECTED


async def test_a_deployment_whose_end_nobody_saw_does_not_stay_open(folder: Path) -> None:
    """When the next one begins, the one before is over."""
    async with opened(folder) as db:
        await db.save(WEB, deploying(1, BLUE))
        await db.save(WEB, deploying(2))

        _, older = await db.history(WEB)
        assert older.ended is not None
        assert (older.outcome, older.reason) == (None, "how it ended was not recorded")


async def test_history_and_journal_are_bounded_for_each_app(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are kept, and another app's are not counted."""
    monkeypatch.setattr(state_db_history, "KEPT_SENTENCES", 3)
    monkeypatch.setattr(state_db_history, "KEPT_DEPLOYMENTS", 2)
    async with opened(folder) as db:
        await db.note(API, "hello")
        await db.save(API, deploying(1))
        for number in range(1, 6):
            await db.note(WEB, f"sentence {number}")
            await db.save(WEB, deploying(number))

        assert [said.sentence for said in await db.journal(WEB)] == [
            "sentence 5",
            "sentence 4",
            "sentence 3",
        ]
        assert [past.number for past in await db.history(WEB)] == [5, 4]
        assert len(await db.journal(API)) == len(await db.history(API)) == 1
        assert len(await db.journal(WEB, limit=1)) == len(await db.history(WEB, limit=1)) == 1


# --- what exactly ran -----------------------------------------------------------------------------


async def test_the_history_names_what_exactly_ran(folder: Path) -> None:
    """From when it was seen; a deployment that was rejected before has none."""
    pin = Pin(revision=GREEN, image_id="sha256:2", digest="acme/web@sha256:d2")
    async with opened(folder) as db:
        await db.save(WEB, deploying(1))
        assert [past.digest for past in await db.history(WEB)] == [""]
        await db.save(WEB, replace(deploying(1), pins=(pin,)))
        await db.save(WEB, Record(deployments=1), [ending(Outcome.REJECTED)])
        await db.save(WEB, deploying(2, BLUE))
        found = [(past.number, past.digest) for past in await db.history(WEB)]
    assert found == [(2, ""), (1, "acme/web@sha256:d2")]


async def test_the_history_names_the_id_of_what_was_never_in_a_registry(folder: Path) -> None:
    """Better than nothing; and what is noted once stays."""
    async with opened(folder) as db:
        await db.save(WEB, replace(deploying(1), pins=(Pin(revision=GREEN, image_id="sha256:2"),)))
        await db.save(WEB, deploying(1))
        await db.save(WEB, replace(deploying(1), pins=(Pin(revision=GREEN, image_id="sha256:3"),)))
        assert [past.digest for past in await db.history(WEB)] == ["sha256:2"]


# --- tags -----------------------------------------------------------------------------------------

TAG = KnownTag(image="acme/web:latest", digest="sha256:d1", is_pinned=True)


async def test_what_a_tag_meant_outlives_the_service(folder: Path) -> None:
    """It is what is deployed: without it a restart could deploy something else."""
    async with opened(folder) as db:
        assert await db.tags() == {}
        await db.save_tag(WEB, TAG)
        await db.save_tag(API, replace(TAG, is_pinned=False))
        await db.save_tag(WEB, replace(TAG, digest="sha256:d2"))
    async with opened(folder) as db:
        known = {WEB: replace(TAG, digest="sha256:d2"), API: replace(TAG, is_pinned=False)}
        assert await db.tags() == known
        await db.save_tag(API, None)
    async with opened(folder) as db:
        assert set(await db.tags()) == {WEB}


async def test_what_a_tag_meant_outlives_a_deleted_database(folder: Path) -> None:
    """What the service knows is written anew, as the records are."""
    async with opened(folder) as db:
        await db.save_tag(WEB, TAG)
        (folder / "state.db").write_bytes(b"not a database at all, but long enough to be one" * 99)
        await db.save_tag(API, TAG)
    async with opened(folder) as db:
        assert await db.tags() == {WEB: TAG, API: TAG}


async def test_what_cannot_be_read_of_a_tag_is_asked_again(folder: Path) -> None:
    """Forgetting costs time (L4), and says so."""
    async with opened(folder) as db:
        await db.save_tag(WEB, TAG)
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as connection:
        connection.execute("UPDATE tags SET tag = '{}'")
        connection.commit()
    with structlog.testing.capture_logs() as said:
        async with opened(folder) as db:
            assert await db.tags() == {}
    assert [line["event"] for line in said] == ["state.tag_lost"]


# --- images ---------------------------------------------------------------------------------------


async def test_what_was_pulled_outlives_the_service(folder: Path) -> None:
    """By its ID, with all names it came by; forgotten when it is gone."""
    async with opened(folder) as db:
        assert await db.pulled() == {}
        await db.save_pulled("sha256:1", "web:1")
        await db.save_pulled("sha256:1", "web@sha256:d1")
        await db.save_pulled("sha256:1", "web:1")
        await db.save_pulled("sha256:2", "web:2")
    async with opened(folder) as db:
        assert await db.pulled() == {
            "sha256:1": {"web:1", "web@sha256:d1"},
            "sha256:2": {"web:2"},
        }
        await db.forget_pulled("sha256:1")
        await db.forget_pulled("sha256:9")
        assert set(await db.pulled()) == {"sha256:2"}

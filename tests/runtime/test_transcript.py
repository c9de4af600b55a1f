"""Transcripts: what all replicas of an app print, in one, for as long as somebody wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB
from tests.runtime.fake_logs import FakeLogs, moment
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.logs import LogLine, Stream
from traefik_bg.core.model import ReplicaName
from traefik_bg.runtime.replica_log import Entry
from traefik_bg.runtime.transcript import ENOUGH, Scribe, Transcript, Wanted, in_order

V1, V2 = web("web:1"), web("web:2")
FOLLOW = Wanted(follows=True)


class Theatre(Stage):
    """A stage whose actors can be heard."""

    def __init__(self) -> None:
        super().__init__()
        self.logs = FakeLogs(self.engine, self.tape)

    def transcript(self, wanted: Wanted) -> Transcript:
        scribe = Scribe(roster=self.engine, logs=self.logs, triggers=self.triggers)
        return scribe.transcript(WEB, wanted)

    async def read(self, **wanted: Any) -> list[str]:
        """Return a transcript that does not follow."""
        async with self.transcript(Wanted(**wanted)) as transcript:
            told = []
            while entries := await transcript.more():
                told += [_text(entry) for entry in entries]
        assert not self.logs.is_at_work
        return told

    @asynccontextmanager
    async def following(self, wanted: Wanted = FOLLOW) -> AsyncIterator[list[str]]:
        """Yield what is told, while it goes on."""
        told: list[str] = []

        async def read(transcript: Transcript) -> None:
            while entries := await transcript.more():
                told.extend(_text(entry) for entry in entries)

        async with self.transcript(wanted) as transcript:
            reading = asyncio.create_task(read(transcript), name="reader")
            yield told
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert not self.logs.is_at_work


def _text(entry: Entry) -> str:
    """Return an entry in short: the number of the replica and its words, or the note."""
    if entry.line is None:
        return entry.note
    assert entry.replica is not None
    return f"{entry.replica.rpartition('-')[2]}: {entry.line.text}"


async def settled() -> None:
    """Let everybody read who can."""
    await asyncio.sleep(0.5)


# --- the past -------------------------------------------------------------------------------------


async def test_the_past_of_all_replicas_is_in_the_order_of_time() -> None:
    """Whoever printed it, the older line is first, however much there is of either."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        one, two = stage.boxes(V1)
        for number in range(50):
            stage.logs.say(one, str(2 * number), at=2.0 * number)
            stage.logs.say(two, str(2 * number + 1), at=2.0 * number + 1)
        assert await stage.read() == [f"{n % 2}: {n}" for n in range(100)]


async def test_of_each_replica_the_last_lines_are_told() -> None:
    """The number of lines is that of each, and what is too old is left out."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        one, two = stage.boxes(V1)
        for number in range(5):
            stage.logs.say(one, str(number), at=number)
        stage.logs.say(two, "once", at=2.5)
        assert await stage.read(lines=2) == ["1: once", "0: 3", "0: 4"]
        assert await stage.read(after=moment(2)) == ["1: once", "0: 3", "0: 4"]
        assert await stage.read(lines=0) == []


async def test_a_revision_or_a_replica_can_be_read_alone() -> None:
    """By the revision, by the replica's name, and by that without the app's."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        for box in stage.boxes(V1):
            stage.logs.say(box, "hello")
        name = f"web-{V1.revision}-1"
        assert len(await stage.read(revision=V1.revision)) == 2
        assert await stage.read(revision=V2.revision) == []
        assert await stage.read(replica=name) == ["1: hello"]
        assert await stage.read(replica=name.removeprefix("web-")) == ["1: hello"]


async def test_what_cannot_be_read_is_said_and_spoils_nothing() -> None:
    """Each replica stands for itself: a driver that keeps nothing, an error that may pass."""
    async with Theatre() as stage:
        await stage.deployed(replace(V1, replicas=3))
        one, two, three = stage.boxes(V1)
        stage.logs.unreadable.add(one.id)
        stage.logs.trouble[two.id] = "Docker could not read it"
        stage.logs.say(three, "hello")
        assert await stage.read() == [
            f"the log of {one.name} cannot be read: its driver cannot be read",
            f"the log of {two.name} cannot be read now: Docker could not read it",
            "2: hello",
        ]


async def test_nobody_reads_what_docker_does_not_list() -> None:
    """Where Docker does not answer at all, it is said before anything is told."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        stage.tape.down["docker"] = "Docker is away"
        with pytest.raises(EngineUnavailable, match="is away"):
            await stage.read()


# --- what comes -----------------------------------------------------------------------------------


async def test_a_deployment_can_be_followed_from_blue_to_green() -> None:
    """Green is heard from its first line, blue to its last, and then how it ended."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        blue = stage.boxes(V1)[0]
        stage.logs.say(blue, "old")
        async with stage.following(Wanted(lines=1, follows=True)) as told:
            await settled()
            stage.logs.say(blue, "still here")
            stage.want(V2)
            await stage.until(lambda: stage.running(V2) == 2)
            green = stage.boxes(V2)[0]
            stage.logs.say(green, "hello")
            await stage.until(lambda: blue.is_stopping)
            stage.logs.say(blue, "goodbye")
            await stage.settle()
            stage.logs.say(green, "alone")
            await settled()
        ended = f"{blue.name} ended with code 143"
        assert [t for t in told if t.startswith("0: ") or t == ended] == [
            "0: old", "0: still here", "0: hello", "0: goodbye", ended, "0: alone",
        ]  # fmt: skip
        assert told.count(f"web-{V1.revision}-1 ended with code 143") == 1


async def test_a_replica_that_appears_later_is_read_from_its_beginning() -> None:
    """Also where no old lines are wanted: of this one, none is old."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        blue = stage.boxes(V1)[0]
        stage.logs.say(blue, "old")
        async with stage.following(Wanted(lines=0, follows=True)) as told:
            await settled()
            stage.engine.tells = False  # so that it is found late
            stage.want(V2)
            await stage.until(lambda: stage.running(V2))
            stage.logs.say(stage.boxes(V2)[0], "first", "second")
            stage.logs.say(blue, "new")
            await asyncio.sleep(11)
        assert [t for t in told if "ended" not in t] == ["0: new", "0: first", "0: second"]


async def test_the_last_words_of_what_is_removed_at_once_are_heard() -> None:
    """A green that dies is read to its end, and how it ended is known though it is gone."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        async with stage.following() as told:
            stage.engine.images["web:2"] = Behaviour(crashes_after=0.3, comes_back=False)
            stage.want(V2)
            await stage.until(lambda: stage.running(V2) == 2)
            dying = stage.boxes(V2)[0]
            stage.logs.say(dying, "KeyError")
            await stage.settle()
            assert dying.name not in stage.engine.boxes
        assert [t for t in told if t.startswith("0: ") or dying.name in t] == [
            "0: KeyError",
            f"{dying.name} ended with code 1",
        ]


async def test_what_somebody_removes_is_said_to_be_gone() -> None:
    """Where nobody saw how it ended, that it did is said."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        name = stage.boxes(V1)[0].name
        async with stage.following() as told:
            await settled()
            stage.engine.remove_by_hand(name)
            await settled()
        assert told[0] == f"{name} ended and is gone"


async def test_every_life_of_a_replica_is_told() -> None:
    """It ends, Docker starts it again, and it is read on; no line is missed or told twice."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        async with stage.following() as told:
            await settled()
            stage.logs.say(box, "one")
            stage.engine.crash(box.name, 3)
            await stage.until(lambda: box.is_running)
            stage.logs.say(box, "two")
            await asyncio.sleep(3)
        assert told == [
            "0: one",
            f"{box.name} ended with code 3",
            f"{box.name} was started again",
            "0: two",
        ]


async def test_a_life_whose_end_nobody_saw_is_told_to_have_ended() -> None:
    """Docker was quicker than we: it runs again by the time we look, and with what code is lost."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        async with stage.following() as told:
            await settled()
            stage.tape.late["containers"] = 1.0
            stage.logs.say(box, "one")
            stage.engine.crash(box.name)
            await stage.until(lambda: box.is_running)
            stage.logs.say(box, "two")
            await asyncio.sleep(5)
        assert told == ["0: one", f"{box.name} ended and was started again", "0: two"]


async def test_an_end_is_told_with_its_code_as_soon_as_that_is_known() -> None:
    """Docker may take a moment to say with what code a container has ended."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        box.behaves = replace(box.behaves, start_refusal="not any more")
        async with stage.following() as told:
            await settled()
            stage.engine.crash(box.name, 3, comes_back=False)
            box.exit_code = None
            await settled()
            assert told == []
            box.exit_code = 3
            await asyncio.sleep(2)
        assert told == [f"{box.name} ended with code 3"]


async def test_what_had_ended_before_is_no_news() -> None:
    """Its lines are told, its end is not; when it is started again, that is."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        stage.logs.say(box, "one")
        box.behaves = replace(box.behaves, start_takes=5.0)
        stage.engine.crash(box.name, 3, comes_back=False)
        async with stage.following() as told:
            await settled()
            assert told == ["0: one"]
            await stage.until(lambda: box.is_running)
            await settled()
        assert told == ["0: one", f"{box.name} was started again"]


async def test_a_log_that_cannot_be_read_is_said_once_and_its_end_is_told() -> None:
    """Following goes on without it, through all its lives."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        stage.logs.unreadable.add(box.id)
        async with stage.following() as told:
            await asyncio.sleep(5)
            stage.engine.crash(box.name)
            await asyncio.sleep(5)
        assert told == [
            f"the log of {box.name} cannot be read: its driver cannot be read",
            f"{box.name} ended with code 1",
            f"{box.name} was started again",
        ]


async def test_an_outage_of_docker_is_told_once_and_waited_for() -> None:
    """Nothing that was printed meanwhile is missed, and nothing is told twice."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        stage.logs.say(box, "before")
        async with stage.following() as told:
            await settled()
            stage.tape.down["docker"] = "Docker is away"
            await asyncio.sleep(20)
            stage.logs.say(box, "meanwhile")
            stage.tape.down.clear()
            await asyncio.sleep(5)
        assert told == [
            "0: before",
            "Docker is away; waiting for it",
            "Docker answers again",
            "0: meanwhile",
        ]


async def test_one_log_that_fails_again_and_again_is_said_once() -> None:
    """Docker answers, but not to this: it is tried each second and not told each second."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        async with stage.following() as told:
            await settled()
            stage.logs.trouble[box.id] = "Docker could not read it"
            await asyncio.sleep(30)
            stage.logs.trouble.clear()
            stage.logs.say(box, "there it is")
            await asyncio.sleep(3)
        sentence = f"the log of {box.name} cannot be read now: Docker could not read it"
        assert told == [sentence, "0: there it is"]


async def test_a_log_that_ends_though_its_container_runs_is_read_on() -> None:
    """As when the driver breaks off: no end is told, because there is none."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        async with stage.following() as told:
            await settled()
            stage.logs.broken_off.add(box.id)
            await asyncio.sleep(5)
            stage.logs.broken_off.clear()
            stage.logs.say(box, "on and on")
            await asyncio.sleep(3)
        assert told == ["0: on and on"]


# --- what it costs --------------------------------------------------------------------------------


async def test_it_reads_no_faster_than_it_is_read() -> None:
    """While nobody takes anything, reading stops; later nothing is missing."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        stage.logs.say(box, *("x" * 1000 for _ in range(500)))
        async with stage.transcript(FOLLOW) as transcript:
            await asyncio.sleep(60)
            most = ENOUGH // 1000 + 30
            assert 60 < stage.logs.taken < most
            count = 0
            while count < 500:
                count += len(await transcript.more())
        assert not stage.logs.is_at_work


async def test_waiting_can_be_given_up_and_taken_up_again() -> None:
    """A reader that looks at something else in between misses nothing."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        async with stage.transcript(FOLLOW) as transcript:
            for number in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await transcript.more()
                stage.logs.say(stage.boxes(V1)[0], str(number))
                assert [_text(entry) for entry in await transcript.more()] == [f"0: {number}"]


async def test_a_mistake_of_ours_ends_one_log_and_is_logged(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """The others go on; our own log tells of it, and has no line of anybody."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        one, two = stage.boxes(V1)
        async with stage.following() as told:
            await settled()
            stage.logs.bugs.add(one.id)
            stage.logs.say(one, "never told")
            stage.logs.say(two, "password: hunter2")
            await asyncio.sleep(5)
        bug = "internal error, please report this: ZeroDivisionError('a bug')"
        assert sorted(told) == ["1: password: hunter2", bug]
        assert [entry["replica"] for entry in logs if entry["event"] == "transcript.failed"] == [
            one.name
        ]
        assert "hunter2" not in str(logs)


async def test_a_mistake_while_the_past_is_told_ends_it(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """The reader is told, instead of waiting for ever."""
    async with Theatre() as stage:
        await stage.deployed(V1)
        stage.logs.bugs.add(stage.boxes(V1)[0].id)
        assert await stage.read() == [
            "internal error, please report this: ZeroDivisionError('a bug')"
        ]
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
            "transcript.failed"
        ]


def test_notes_stay_where_they_are() -> None:
    """Lines that came together are put in order, but none leaps over a note."""

    def said(at: str) -> Entry:
        line = LogLine(at=at, stream=Stream.STDOUT, text=at)
        return Entry(replica=ReplicaName("web-1-0"), line=line)

    b, a, d, c, note = said("b"), said("a"), said("d"), said("c"), Entry(note="ended")
    assert in_order([b, d, note, c, a]) == [b, d, note, a, c]

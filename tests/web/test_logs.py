"""Logs over HTTP: what is answered, to how many, and what is left when nobody reads any more."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.cli.fake_service import SECRET, FakeService
from tests.cli.played_logs import moment
from tests.core.build import WEB
from tests.web.conversation import SPEC, TOKEN, Client, problem, talking
from traefik_bg.core.logs import Stream
from traefik_bg.runtime.transcript import Wanted
from traefik_bg.web import logs
from traefik_bg.web.logs import wanted_of
from traefik_bg.web.server import application

URL = "/api/apps/web/logs"
ONE, TWO = f"web-{SPEC.revision}-0", f"web-{SPEC.revision}-1"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def service() -> FakeService:
    """Return a service with one settled app of two replicas, which have printed a little."""
    made = FakeService.of(SPEC).settle()
    made.logs.say(ONE, "one")
    made.logs.say(TWO, "oh", stream=Stream.STDERR)
    made.logs.say(ONE, "two")
    return made


async def read(client: Client, **query: str) -> list[dict[str, Any]]:
    """Return the objects of an answer that has an end."""
    async with client.get(URL, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return [json.loads(line) for line in (await answer.text()).splitlines()]


@asynccontextmanager
async def following(client: Client) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield an answer that goes on, of which the lines of the fixture have been read."""
    async with client.get(URL, params={"follow": "true"}) as answer:
        assert answer.status == 200
        left = 3
        while left:
            left -= await answer.content.readline() != b"\n"
        yield answer


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what others do."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.001)


# --- what is answered -----------------------------------------------------------------------------


async def test_every_line_is_an_object_with_all_there_is_to_know(service: FakeService) -> None:
    """Time, replica, revision, role, stream and line; in the order of time."""
    async with talking(service) as client:
        answer = await client.get(URL)
        assert answer.content_type == "application/x-ndjson"
        assert answer.headers["Cache-Control"] == "no-store"
        first, *_ = found = await read(client)
    assert first == {
        "time": moment(0),
        "replica": ONE,
        "revision": SPEC.revision,
        "role": "serving",
        "stream": "stdout",
        "line": "one",
    }
    assert [each["line"] for each in found] == ["one", "oh", "two"]
    assert [each["stream"] for each in found] == ["stdout", "stderr", "stdout"]


async def test_no_more_is_answered_than_is_asked_for(service: FakeService) -> None:
    """Lines, a time, a revision and a replica can be asked for."""
    async with talking(service) as client:

        async def lines(**query: str) -> list[str]:
            return [each["line"] for each in await read(client, **query)]

        assert await lines(lines="1") == ["oh", "two"]
        assert await lines(since="2026-01-02T03:00:01Z") == ["two"]
        assert await lines(replica=TWO) == ["oh"]
        assert await lines(replica=f"{SPEC.revision}-0") == ["one", "two"]
        assert await lines(revision=SPEC.revision) == ["one", "oh", "two"]


async def test_what_follows_is_sent_as_it_is_printed(service: FakeService) -> None:
    """A deployment is heard: blue and green by their roles, and blue's end."""
    green = replace(SPEC, image="web:2")
    async with talking(service) as client, following(client) as answer:
        await service.deploy(WEB, "web:2")
        service.until("baking")
        service.logs.say(f"web-{green.revision}-0", "hello")
        service.logs.say(ONE, "kept warm")
        service.triggers.wake(WEB)
        found = {}
        for _ in range(2):
            each = json.loads(await answer.content.readline())
            found[each["line"]] = each["role"]
        assert found == {"hello": "green", "kept warm": "blue"}
        service.settle()
        service.triggers.wake(WEB)
        ended = [json.loads(await answer.content.readline()) for _ in range(2)]
    assert sorted(each["line"] for each in ended) == [
        f"{name} ended and is gone" for name in (ONE, TWO)
    ]
    assert [(each["stream"], each["role"]) for each in ended] == [("note", "leaving")] * 2
    assert all(each["time"] > moment(0) and each["time"].endswith("Z") for each in ended)


async def test_what_cannot_be_read_is_a_note(service: FakeService) -> None:
    """One replica whose log is elsewhere does not keep the others from being read."""
    service.logs.unreadable.add(ONE)
    async with talking(service) as client:
        note, line = await read(client)
    assert note["line"] == f"the log of {ONE} cannot be read: its driver cannot be read"
    assert (note["stream"], note["replica"], line["line"]) == ("note", ONE, "oh")


async def test_an_unknown_app_or_replica_is_not_found(service: FakeService) -> None:
    """Who mistypes a name is told which there are; who follows may wait for one to come."""
    async with talking(service) as client:
        await problem(await client.get("/api/apps/wbe/logs"), 404, "not-found", "there is: web")
        answer = await client.get(URL, params={"replica": "web-0"})
        await problem(answer, 404, "not-found", f"no replica web-0; there is: {ONE}, {TWO}")
        answer = await client.get(URL, params={"revision": "12345678"})
        await problem(answer, 404, "not-found", "no replica of revision 12345678; there is")
        async with client.get(URL, params={"revision": "12345678", "follow": "1"}) as answer:
            assert answer.status == 200


async def test_while_docker_does_not_answer_there_is_a_problem(service: FakeService) -> None:
    """Nothing has been sent yet, so that can be said."""
    service.logs.is_away = True
    async with talking(service) as client:
        await problem(await client.get(URL), 503, "unavailable", "Docker is away")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"lines": "-1"}, "lines=-1 must be a number up to 1000000, or all"),
        ({"lines": "²"}, "must be a number"),
        ({"lines": "1000001"}, "must be a number"),
        ({"follow": "yes"}, "follow=yes must be true or false"),
        ({"since": "yesterday"}, "since=yesterday must be a duration"),
        ({"since": "2026-13-01T00:00:00Z"}, "or a time such as 2026-01-02T15:04:05Z"),
        ({"since": "9" * 30}, "must be a duration"),
    ],
)
async def test_what_makes_no_sense_is_a_bad_request(query: dict[str, str], words: str) -> None:
    """The answer says what would."""
    async with talking(FakeService.of(SPEC)) as client:
        await problem(await client.get(URL, params=query), 400, "bad-request", words)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, Wanted(lines=100)),
        ({"lines": "7", "follow": "1"}, Wanted(lines=7, follows=True)),
        ({"lines": "all", "follow": "false"}, Wanted(lines=None)),
        ({"since": "10m"}, Wanted(lines=None, after="2026-01-02T02:54:05.678901000Z")),
        ({"since": "1 h", "lines": "5"}, Wanted(lines=5, after="2026-01-02T02:04:05.678901000Z")),
        ({"since": "999999h"}, Wanted(lines=None, after="1970-01-01T00:00:00.000000000Z")),
        (
            {"since": "2026-01-02T04:00:00+01:00"},
            Wanted(lines=None, after="2026-01-02T03:00:00.000000000Z"),
        ),
    ],
)
def test_what_is_wanted_is_understood(query: dict[str, str], wanted: Wanted) -> None:
    """By default the last hundred lines of each; since a time, all of them."""
    assert wanted_of(query, NOW) == wanted


async def test_reading_needs_no_token_and_tells_no_secret(service: FakeService) -> None:
    """As all reads: and what the containers were given is in no line but their own."""
    async with talking(service, token=TOKEN, is_loopback=False) as client:
        assert (await client.post(URL)).status == 401
        assert SECRET not in str(await read(client))


# --- who reads ------------------------------------------------------------------------------------


async def test_when_the_reader_goes_everything_ends(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a moment, though not a line is printed: tasks, and the reading itself."""
    monkeypatch.setattr(logs, "WATCH", 0.01)
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    async with talking(service) as client:
        async with following(client):
            assert len(service.logs.at_work) == 2
        await until(lambda: not service.logs.at_work)
        async with following(client) as answer:
            answer.close()
            await until(lambda: not service.logs.at_work)
    await until(lambda: asyncio.all_tasks() <= tasks)
    assert threading.active_count() == threads


async def test_a_reader_that_reads_nothing_is_let_go(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent fits into no buffer, and nobody takes it: after its patience the service ends it."""
    monkeypatch.setattr(logs, "PATIENCE", 0.1)
    service.logs.say(ONE, *("x" * 10_000 for _ in range(5000)))
    served = application(service, token=None, is_loopback=True)
    async with TestServer(served) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(f"GET {URL}?lines=all HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: service.logs.at_work)
        await until(lambda: not service.logs.at_work)
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(50_000_000)
        writer.close()


async def test_there_is_a_bound_to_those_who_read_at_once(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is told so; when one has ended there is room again."""
    monkeypatch.setattr(logs, "WATCH", 0.01)
    monkeypatch.setattr(logs, "READERS_AT_ONCE", 2)
    async with talking(service) as client:
        async with following(client), following(client):
            answer = await client.get(URL)
            await problem(answer, 503, "unavailable", "2 logs are being read", "end one of them")
        async with asyncio.timeout(10):
            while (await client.get(URL)).status != 200:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.001)
        assert len(await read(client)) == 3


async def test_a_quiet_log_has_a_heartbeat(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty line now and then says that the service is there."""
    monkeypatch.setattr(logs, "WATCH", 0.01)
    monkeypatch.setattr(logs, "HEARTBEAT", 0.01)
    async with talking(service) as client, following(client) as answer:
        assert await answer.content.readline() == b"\n"
        assert await answer.content.readline() == b"\n"
        service.logs.say(ONE, "three")
        while (line := await answer.content.readline()) == b"\n":
            pass
        assert json.loads(line)["line"] == "three"


async def test_following_ends_with_the_app(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing of it is left, that is the last thing said."""
    monkeypatch.setattr(logs, "WATCH", 0.01)
    async with talking(service) as client, following(client) as answer:
        service.worlds.clear()
        service.triggers.wake(WEB)
        *_, last = (await answer.text()).splitlines()
    assert {**json.loads(last), "time": ""} == {
        "time": "", "replica": None, "revision": None, "role": None, "stream": "note",
        "line": "web is gone",
    }  # fmt: skip


async def test_following_goes_on_while_the_apps_are_not_known(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that cannot be seen is not one that is gone (S5)."""
    monkeypatch.setattr(logs, "WATCH", 0.01)
    monkeypatch.setattr(logs, "HEARTBEAT", 0.05)
    async with talking(service) as client, following(client) as answer:
        service.worlds.clear()
        service.trouble = "Docker does not answer"
        while (line := await answer.content.readline()) != b"\n":
            assert b"web is gone" not in line


async def test_readers_are_let_go_when_the_service_stops(service: FakeService) -> None:
    """It waits for none of them, and they see that the answer was cut off."""
    async with talking(service) as client, following(client) as answer:
        began = asyncio.get_running_loop().time()
        await client.server.close()
        assert asyncio.get_running_loop().time() - began < 5
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert not service.logs.at_work

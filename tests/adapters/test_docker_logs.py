"""Reading logs, from a daemon that is made to misbehave and for readers that are slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog.testing

from tests.adapters.fake_docker import FakeDocker, Wakes, fake_docker
from tests.adapters.fake_docker_logs import ERR, Printed, moment
from traefik_bg.adapters import docker_logs
from traefik_bg.adapters.docker_connection import ASK_TIMEOUT
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.docker_log_lines import LONGEST_LINE
from traefik_bg.adapters.docker_logs import BUFFER, Reading
from traefik_bg.core.errors import Conflict, EngineUnavailable, LogUnreadable
from traefik_bg.core.logs import Excerpt, LogLine, Stream

ID = "id-of-web-1"
FOLLOW = Excerpt(follows=True)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
async def docker(socket: Path) -> AsyncIterator[FakeDocker]:
    async with fake_docker(socket) as fake:
        yield fake


@pytest.fixture
def printed(docker: FakeDocker) -> Printed:
    """Return what a container of ours prints."""
    docker.add()["Config"]["Tty"] = False
    made = docker.printed[ID] = Printed()
    return made


@pytest.fixture
async def engine(docker: FakeDocker, socket: Path) -> AsyncIterator[DockerEngine]:
    """Return an engine; when it is closed, no thread may be left that reads."""
    wakes = Wakes()
    async with DockerEngine("mine", "edge", wakes, f"unix://{socket}") as engine:
        assert await wakes.next() is None
        yield engine
    assert not readers()


def readers() -> list[threading.Thread]:
    """Return the threads that read a log."""
    return [thread for thread in threading.enumerate() if thread.name == "docker-log"]


async def all_of(reading: Reading) -> list[LogLine]:
    """Return all lines of a log that has an end."""
    found: list[LogLine] = []
    async with asyncio.timeout(10):
        while lines := await reading.more():
            found += lines
    return found


async def some(reading: Reading) -> list[str]:
    """Return the texts of the lines that come next."""
    async with asyncio.timeout(10):
        return [line.text for line in await reading.more()]


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.001)


# --- what is read ---------------------------------------------------------------------------------


async def test_a_log_is_read_line_by_line(printed: Printed, engine: DockerEngine) -> None:
    """Each line comes with its time and its stream, and the end is told."""
    printed.say("hello")
    printed.say("oh no", ERR)
    assert await all_of(engine.logs.open(ID, Excerpt())) == [
        LogLine(at=moment(0), stream=Stream.STDOUT, text="hello"),
        LogLine(at=moment(1), stream=Stream.STDERR, text="oh no"),
    ]


async def test_a_container_with_a_terminal_is_read_too(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    """Its log comes as it is, without frames."""
    docker.add()
    docker.printed[ID] = Printed(is_tty=True)
    docker.printed[ID].say("hello\r")
    assert [line.text for line in await all_of(engine.logs.open(ID, Excerpt()))] == ["hello"]


async def test_only_what_is_wanted_is_asked_for(
    docker: FakeDocker, printed: Printed, engine: DockerEngine
) -> None:
    """Docker leaves out what is old; a line of that very moment is left out here."""
    for number in range(5):
        printed.say(f"line {number}")
    newest = await all_of(engine.logs.open(ID, Excerpt(lines=2)))
    after = await all_of(engine.logs.open(ID, Excerpt(after=moment(2))))
    assert [line.text for line in newest] == [line.text for line in after] == ["line 3", "line 4"]
    asked = [dict(r.query) for r in docker.requests if r.path.endswith("/logs")]
    given = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "0"}
    assert asked == [
        {**given, "tail": "2"},
        {**given, "tail": "all", "since": "1767323045.002000000"},
    ]


async def test_following_goes_on_until_the_container_ends(
    printed: Printed, engine: DockerEngine
) -> None:
    """What is printed later comes when it is printed."""
    printed.say("old")
    reading = engine.logs.open(ID, FOLLOW)
    assert await some(reading) == ["old"]
    printed.say("new")
    assert await some(reading) == ["new"]
    printed.say("last words")
    printed.end()
    assert [line.text for line in await all_of(reading)] == ["last words"]


async def test_following_can_begin_with_what_comes(printed: Printed, engine: DockerEngine) -> None:
    """Zero old lines are none."""
    printed.say("old")
    reading = engine.logs.open(ID, Excerpt(lines=0, follows=True))
    await until(lambda: reading._response)
    printed.say("new")
    assert await some(reading) == ["new"]


async def test_a_log_that_was_quiet_is_asked_for_anew(
    docker: FakeDocker, printed: Printed, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent peer may be a dead one; nothing is told twice, and nothing is missed."""
    monkeypatch.setattr(docker_logs, "QUIET_TIMEOUT", 0.02)
    printed.say("one")
    reading = engine.logs.open(ID, Excerpt(lines=10, follows=True))
    assert await some(reading) == ["one"]
    await docker.until("logs", 3)
    printed.say("two")
    assert await some(reading) == ["two"]


# --- what cannot be read --------------------------------------------------------------------------


async def test_a_strangers_log_is_not_read(docker: FakeDocker, engine: DockerEngine) -> None:
    """What does not carry our instance's label is left alone (S6)."""
    docker.add(owner="theirs")
    with pytest.raises(Conflict, match="none of ours"):
        await all_of(engine.logs.open(ID, FOLLOW))
    assert docker.asked["logs"] == 0


@pytest.mark.parametrize("status", [500, 501])
async def test_a_driver_that_cannot_be_read_is_named(
    docker: FakeDocker, engine: DockerEngine, status: int
) -> None:
    """Where logs go elsewhere, the reader is told where."""
    docker.add()["HostConfig"]["LogConfig"]["Type"] = "none"
    docker.answers["logs"] = (status, "configured logging driver does not support reading")
    with pytest.raises(LogUnreadable, match="cannot read back what its logging driver, none, is"):
        await all_of(engine.logs.open(ID, Excerpt()))


async def test_what_is_gone_is_told_from_what_does_not_answer(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    """Gone before, gone or going meanwhile; any other error may pass."""
    with pytest.raises(Conflict):
        await all_of(engine.logs.open(ID, Excerpt()))
    docker.add()
    for status, words in ((404, "No such container: x"), (409, "dead or marked for removal")):
        docker.answers["logs"] = (status, words)
        with pytest.raises(Conflict):
            await all_of(engine.logs.open(ID, Excerpt()))
    docker.answers["logs"] = (500, "disk on fire")
    with pytest.raises(EngineUnavailable, match=r"could not read the log of .*: disk on fire"):
        await all_of(engine.logs.open(ID, Excerpt()))


async def test_lines_come_before_the_trouble_that_follows_them(
    printed: Printed, engine: DockerEngine
) -> None:
    """What Docker sent before it went away is read; then it is said that it did."""
    printed.say("one")
    reading = engine.logs.open(ID, FOLLOW)
    assert await some(reading) == ["one"]
    printed.break_off()
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await some(reading)


async def test_a_docker_that_says_nothing_is_not_waited_for(
    docker: FakeDocker, printed: Printed, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not follow gets an answer soon, or none."""
    monkeypatch.setattr(docker_logs, "READ_TIMEOUT", 0.02)
    docker.gates["logs"] = asyncio.Event()
    with pytest.raises(EngineUnavailable, match="no answer in time"):
        await all_of(engine.logs.open(ID, Excerpt()))
    assert printed.sent == 0


async def test_a_mistake_of_ours_is_not_hidden(
    engine: DockerEngine, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the thread is raised where somebody hears of it."""
    monkeypatch.setattr(docker_logs, "LogParser", lambda **_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await all_of(engine.logs.open(ID, Excerpt()))
    assert printed.sent == 0


# --- what it costs --------------------------------------------------------------------------------


async def test_a_slow_reader_costs_a_buffer_and_no_more(
    printed: Printed, engine: DockerEngine
) -> None:
    """However much there is: it waits in Docker, and all of it comes in the end, in order."""
    with structlog.testing.capture_logs() as logs:
        for number in range(2000):
            printed.say(f"{number} " + "x" * 4000)
        reading = engine.logs.open(ID, Excerpt())
        await until(lambda: reading._size >= BUFFER)
        before = printed.sent
        assert reading._size < BUFFER + LONGEST_LINE
        assert before < 8_000_000
        lines = await all_of(reading)
        assert [int(line.text.split()[0]) for line in lines] == list(range(2000))
    assert logs == []  # above all, none of the lines


async def test_a_reading_that_is_closed_leaves_nothing_behind(
    printed: Printed, engine: DockerEngine
) -> None:
    """Be it quiet, or full, or over: its thread ends, and its connection."""
    for number in range(100):
        printed.say(f"{number} " + "x" * 4000)
    full, quiet = engine.logs.open(ID, FOLLOW), engine.logs.open(ID, Excerpt(lines=1, follows=True))
    over = engine.logs.open(ID, Excerpt(lines=1))
    await until(lambda: full._size >= BUFFER)
    await all_of(over)
    assert (await some(quiet))[0].startswith("99 ")
    for reading in (full, quiet, over):
        await reading.close()
        await reading.close()
    assert not readers()


async def test_a_reading_can_be_closed_before_docker_answers(
    docker: FakeDocker, printed: Printed, engine: DockerEngine
) -> None:
    """Nobody waits for an answer nobody wants; it is thrown away when it comes."""
    docker.gates["logs"] = asyncio.Event()
    reading = engine.logs.open(ID, FOLLOW)
    await docker.until("logs")
    began = asyncio.get_running_loop().time()
    await reading.close()
    assert asyncio.get_running_loop().time() - began < ASK_TIMEOUT
    docker.gates["logs"].set()
    await until(lambda: not readers())
    assert not reading._lines
    printed.end()


async def test_the_engine_ends_all_reading_when_it_is_closed(
    printed: Printed, docker: FakeDocker, socket: Path
) -> None:
    """Who still waits for lines is told that there are none."""
    async with DockerEngine("mine", "edge", Wakes(), f"unix://{socket}") as engine:
        printed.say("one")
        reading = engine.logs.open(ID, FOLLOW)
        assert await some(reading) == ["one"]
        waiting = asyncio.create_task(some(reading))
        await asyncio.sleep(0)
    assert not readers()
    assert await waiting == []
    assert docker.asked["logs"] == 1


async def test_there_is_a_bound_to_all_reading(
    printed: Printed, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One log too many is refused; as soon as another one ends there is room."""
    monkeypatch.setattr(docker_logs, "READINGS_AT_ONCE", 1)
    printed.say("one")
    first = engine.logs.open(ID, FOLLOW)
    with pytest.raises(LogUnreadable, match="1 logs are being read already"):
        await some(engine.logs.open(ID, FOLLOW))
    await first.close()
    assert await some(engine.logs.open(ID, FOLLOW)) == ["one"]

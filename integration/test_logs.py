"""Logs from a real Docker Engine, and a deployment followed on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.corner import Corner, Wakes, corner_of_docker, eventually, only
from integration.stage import APP, QUICK, Stage
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.docker_log_lines import LONGEST_LINE
from traefik_bg.adapters.docker_logs import BUFFER, Reading
from traefik_bg.core.errors import Conflict, LogUnreadable
from traefik_bg.core.logs import Excerpt, LogLine, Stream

FOLLOW = Excerpt(follows=True)
PATIENCE = 60.0


@pytest.fixture
def corner() -> Iterator[Corner]:
    with corner_of_docker() as corner:
        yield corner


@pytest.fixture
async def engine(corner: Corner) -> AsyncIterator[DockerEngine]:
    """Return an engine; when it is closed, no thread may be left that reads."""
    async with DockerEngine(corner.instance, corner.network, Wakes()) as engine:
        yield engine
    assert not [thread for thread in threading.enumerate() if thread.name == "docker-log"]


async def printing(corner: Corner, engine: DockerEngine, script: str, **more: Any) -> str:
    """Start a container that runs this once; returns its id."""
    spec = corner.spec(command=["sh", "-c", script], **{"restart": "no"} | more)
    name = corner.name(spec)
    await engine.create(name, 1, spec, spec.image)
    await engine.start(name)
    return (await only(engine, corner.app)).id


async def all_of(reading: Reading) -> list[LogLine]:
    """Return all lines of a log that has an end."""
    found: list[LogLine] = []
    async with asyncio.timeout(PATIENCE):
        while lines := await reading.more():
            found += lines
    return found


@pytest.mark.parametrize("tty", [False, True], ids=["without a terminal", "with one"])
async def test_a_log_is_read_and_followed_to_its_end(
    corner: Corner, engine: DockerEngine, tty: bool
) -> None:
    """Both streams, the time of each line, and again from any of them."""
    script = "echo out; sleep 0.3; echo err >&2; sleep 0.3; printf unfinished"
    container = await printing(corner, engine, script, tty=tty)
    lines = await all_of(engine.logs.open(container, FOLLOW))
    assert [line.text for line in lines] == ["out", "err", "unfinished"]
    error = Stream.STDOUT if tty else Stream.STDERR
    assert [line.stream for line in lines] == [Stream.STDOUT, error, Stream.STDOUT]
    assert [line.at for line in lines] == sorted({line.at for line in lines})
    assert all(len(line.at) == len("2026-01-02T03:04:05.123456789Z") for line in lines)
    again = await all_of(engine.logs.open(container, Excerpt(after=lines[0].at)))
    assert again == lines[1:]
    assert await all_of(engine.logs.open(container, Excerpt(lines=1))) == lines[2:]


async def test_an_endless_line_is_one_line(corner: Corner, engine: DockerEngine) -> None:
    """Docker splits it, with a time before each part: none of them is left in what is shown."""
    script = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short"
    container = await printing(corner, engine, script)
    long, short = await all_of(engine.logs.open(container, FOLLOW))
    assert (long.text, short.text) == ("x" * LONGEST_LINE + "…", "short")


async def test_a_driver_that_keeps_nothing_is_named(corner: Corner, engine: DockerEngine) -> None:
    """Docker says that it cannot, and that is said in a sentence."""
    container = await printing(corner, engine, "echo out", logging={"driver": "none"})
    with pytest.raises(LogUnreadable, match="its logging driver, none, is given"):
        await all_of(engine.logs.open(container, FOLLOW))


async def test_only_our_own_containers_are_read(corner: Corner, engine: DockerEngine) -> None:
    """Another's container is left alone, and one that is not there is gone."""
    for container in (corner.stranger(f"stranger-{corner.id}"), "0" * 64):
        with pytest.raises(Conflict):
            await all_of(engine.logs.open(container, Excerpt()))


async def test_who_reads_slowly_keeps_docker_waiting_and_nobody_else(
    corner: Corner, engine: DockerEngine
) -> None:
    """The buffer fills, the container goes on, and closing ends the thread at once."""
    container = await printing(corner, engine, "seq 1 200000; echo over; sleep 60")
    slow = engine.logs.open(container, FOLLOW)

    async def is_full() -> bool:
        return slow._size >= BUFFER  # noqa: SLF001 - what is to be bounded

    await eventually(is_full)
    quick = engine.logs.open(container, FOLLOW)
    seen: list[LogLine] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1].text != "over":
            seen += await quick.more()
    assert [line.text for line in seen[:-1]] == [str(n) for n in range(1, 200_001)]
    assert slow._size < BUFFER + LONGEST_LINE  # noqa: SLF001
    await slow.close()
    await quick.close()


# --- on the command line --------------------------------------------------------------------------


class Reader:
    """`traefik-bg logs`, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[dict[str, Any]] = []

    async def until(self, line: str, times: int = 1) -> list[dict[str, Any]]:
        """Read on until so many lines match; returns them."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [each for each in self.told if re.search(line, each["line"])]
                if len(found) >= times:
                    return found
                raw = await self.process.stdout.readline()
                assert raw, f"it ended without {line!r}: {self.told}"
                self.told.append(json.loads(raw))


@contextlib.asynccontextmanager
async def reading(scene: Stage, *arguments: str) -> AsyncIterator[Reader]:
    """Run `traefik-bg logs` while in the context; Ctrl-C ends it well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "traefik_bg", "logs", APP, "--json", *arguments,
        "--listen", f"127.0.0.1:{scene.port}", cwd=Path(__file__).parents[1],
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Reader(process)
        process.send_signal(2)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(180)
async def test_a_deployment_is_followed_from_blue_to_green(scene: Stage) -> None:
    """Blue's lines, then green's from the first on, and the end of each of blue's replicas."""
    scene.want("v1", environment=QUICK)
    scene.start_service()
    blue = (await scene.until_settled("v1"))["good"]["revision"]
    async with reading(scene, "-f") as reader:
        old = await reader.until("v1 is ready", 2)
        assert {each["replica"] for each in old} == {f"{APP}-{blue}-0", f"{APP}-{blue}-1"}
        assert {(each["revision"], each["role"]) for each in old} == {(blue, "serving")}
        scene.want("v2", environment=QUICK)
        new = await reader.until("v2 is ready", 2)
        green = new[0]["revision"]
        assert {(each["revision"], each["role"]) for each in new} == {(green, "green")}
        ends = await reader.until(rf"^{APP}-{blue}-\d ended (with code 0|and is gone)$", 2)
        assert {each["stream"] for each in ends} == {"note"}
    lines = [each["line"] for each in reader.told if each["revision"] == green]
    assert sorted(lines) == sorted(
        ["v2 listens on port 8000, not ready yet", "v2 is ready"] * 2
    )  # nothing is missed, nothing is told twice


@pytest.mark.timeout(180)
async def test_the_last_words_of_what_was_rejected_outlive_it(scene: Stage) -> None:
    """A version that dies is followed to its end; status and history have its last lines."""
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    async with reading(scene, "-f", "-n", "0") as reader:
        scene.want("v2", environment={**QUICK, "EXIT_AT_START": "1"}, restart="no")
        (told, *_) = await reader.until("^RuntimeError: EXIT_AT_START is set")
        bad = told["revision"]
        await reader.until(f"^{told['replica']} ended")
    app = await scene.until(
        lambda app: (
            app["phase"] == "rejected"
            and all(replica["revision"] != bad for replica in app["replicas"])
        )
    )
    assert "EXIT_AT_START is set" in app["rejection"]["log"][-1]
    assert "EXIT_AT_START is set" in (await scene.history())[0]["log"][-1]

"""Steers the generator from a test: start, mark, look, stop.

A thin hand on another process: it starts the generator, follows the file it writes, and makes a
`Report` of it at any moment. A mark is only an instant of the shared monotonic clock, so it costs
nothing and disturbs nobody.

Its rule: no end without an account. If the generator dies, or does not end in the time its load can
take, that is an error with its last words, never a report that looks like success.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from integration.meter.exchange import Ended, Exchange, Started, WebsocketLife, decode
from integration.meter.load import Load
from integration.meter.report import Report

START_TIMEOUT = 30.0  # a Python start takes 0.5 s, on a machine that builds images a few
END_MARGIN = 5.0  # beyond what the load's own timeouts allow
LOOK_EVERY = 0.02

_ROOT = Path(__file__).resolve().parents[2]

Found = TypeVar("Found")


class MeterFailed(RuntimeError):
    """The meter itself broke; whatever was measured before proves nothing about the rest."""


class Meter:
    """A load on one entry point for as long as the `async with` block lasts.

    async with Meter(Load(url="http://127.0.0.1:8080", host="sample.localhost")) as meter:
        meter.mark("cutover")
        ...
        await meter.until(lambda seen: seen.first_answer_from("v2", after="cutover"), within=30)
    assert meter.report().proves_no_loss(), meter.report().table()
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self._marks: dict[str, float] = {}
        self._exchanges: list[Exchange] = []
        self._lives: list[WebsocketLife] = []
        self._started: Started | None = None
        self._ended: Ended | None = None
        self._stopped_late = False
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._offset = 0
        self._is_used = False

    # ---- start and stop ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.stop()
        else:
            self.kill()  # the test has failed already; its error is the one to see

    async def start(self) -> None:
        """Start the generator; return when the load is running.

        Raises:
            MeterFailed: it did not start.
        """
        if self._is_used:
            raise MeterFailed("a meter runs once; make a new one")
        self._is_used = True
        self._folder = tempfile.TemporaryDirectory(prefix="traefik-bg-meter-")
        with self._path("words").open("wb") as words:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork; waiting is polled below
                (
                    sys.executable,
                    "-m",
                    "integration.meter.generator",
                    self.load.as_json(),
                    str(self._path("lines")),
                ),
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                start_new_session=True,  # Ctrl-C is for the test; the generator sees its end
            )
        deadline = time.monotonic() + START_TIMEOUT
        while self._started is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._failure("the generator did not start")
            await asyncio.sleep(LOOK_EVERY)
            self._look()

    async def stop(self) -> Report:
        """Schedule no more, wait for what is under way, and return the whole report.

        Raises:
            MeterFailed: the generator died, or did not end in time.
        """
        if self._process is not None:
            self._look()
            self._stopped_late = self._ended is not None
            await self._end()
        return self.report()

    async def finished(self) -> Report:
        """Wait until the load has reached its own bound, and return the whole report.

        Raises:
            MeterFailed: the generator died, or did not end in time.
        """
        if self._process is not None:
            await self._await_end(self.load.seconds + START_TIMEOUT)
            await self._end()
        return self.report()

    def kill(self) -> None:
        """End the generator at once; what it had written can still be read."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._look()
            self._close()

    # ---- look ----------------------------------------------------------------------------------

    def mark(self, name: str) -> float:
        """Name this instant, and return it.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._marks:
            raise ValueError(f"the mark {name!r} is set already")
        self._marks[name] = time.monotonic()
        return self._marks[name]

    def report(self) -> Report:
        """Judge all that has ended by now (a running generator writes every 50 ms)."""
        self._look()
        now = time.monotonic()
        return Report(
            load=self.load,
            began=self._started.at if self._started else now,
            until=self._ended.stopped if self._ended else now,
            exchanges=tuple(self._exchanges),
            lives=tuple(self._lives),
            marks=dict(self._marks),
            ended=self._ended,
            stopped_late=self._stopped_late,
        )

    async def until(self, seen: Callable[[Report], Found | None], *, within: float) -> Found:
        """Wait until a report shows something (neither None nor false), and return it.

        Raises:
            TimeoutError: it was not seen in time; says what was.
            MeterFailed: the generator died.
        """
        deadline = time.monotonic() + within
        while True:
            report = self.report()
            if found := seen(report):
                return found
            if self._process is None or (self._process.poll() is not None and not self._ended):
                raise self._failure("the generator is not running")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {within:g} s: {report.sentence()}")
            await asyncio.sleep(LOOK_EVERY)

    # ---- within --------------------------------------------------------------------------------

    async def _end(self) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        await self._await_end(self.load.timeout + self.load.slow_seconds)
        if process.returncode != 0 or self._ended is None:
            raise self._failure(f"the generator ended with code {process.returncode}")
        self._close()

    async def _await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds + END_MARGIN
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() > deadline:
                raise self._failure("the generator did not end in time")
            await asyncio.sleep(LOOK_EVERY)
        self._look()

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise MeterFailed("the meter was not started")
        return Path(self._folder.name) / name

    def _look(self) -> None:
        """Take in the whole lines written since the last look."""
        if self._folder is None or not self._path("lines").exists():
            return
        with self._path("lines").open("rb") as file:
            file.seek(self._offset)
            text = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = text.split(b"\n")
        for line in map(decode, lines):
            match line:
                case Exchange():
                    self._exchanges.append(line)
                case WebsocketLife():
                    self._lives.append(line)
                case Started():
                    self._started = line
                case Ended():
                    self._ended = line

    def _failure(self, what: str) -> MeterFailed:
        words = self._path("words").read_text(errors="replace")[-2_000:] if self._folder else ""
        self.kill()
        return MeterFailed(f"{what}{': ' if words else ''}{words.strip()}")

    def _close(self) -> None:
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

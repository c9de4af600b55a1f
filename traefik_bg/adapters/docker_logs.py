"""Reads what containers print, as long as somebody wants to know it.

docker-py blocks, so each log that is read has a thread of its own, which ends with the reading. It
hands lines over through a small buffer and waits when that is full: who reads slowly makes neither
our memory grow nor anybody wait but the own thread. A container is read by its id, after Docker's
description of that very id has shown our instance's label (law S6). No line gets into our own log.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, create_api_error_from_http_exception

from traefik_bg.adapters.docker_connection import (
    ASK_TIMEOUT,
    NO_ANSWER,
    Connection,
    ended,
    hang_up,
)
from traefik_bg.adapters.docker_errors import is_gone, spoken, unanswered, unexpected
from traefik_bg.adapters.docker_log_lines import LogParser
from traefik_bg.adapters.docker_settings import INSTANCE_LABEL
from traefik_bg.core.errors import Conflict, LogUnreadable, TraefikBgError
from traefik_bg.core.logs import Excerpt, LogLine

READINGS_AT_ONCE = 200  # each costs a thread and a connection to Docker
BUFFER = 64 * 1024  # characters read ahead; what is behind them waits in Docker
PIECE = 16 * 1024  # bytes read at once
READ_TIMEOUT = 60.0  # before its first line, Docker looks through all of a large log
QUIET_TIMEOUT = 120.0  # a dead TCP peer looks like a quiet one: ask anew now and then

# The latter before the first line: Docker 25.0.0 to 25.0.3 do not even send the headers earlier.
_QUIET = (urllib3.exceptions.ReadTimeoutError, requests.exceptions.ReadTimeout)


class DockerLogs:
    """Implements the port `Logs`."""

    def __init__(self, connection: Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._readings: set[Reading] = set()

    def open(self, container_id: str, excerpt: Excerpt) -> Reading:
        """Begin to read; whatever is wrong is said when lines are asked for."""
        self._readings = {reading for reading in self._readings if reading.is_alive}
        is_too_much = len(self._readings) >= READINGS_AT_ONCE
        reading = Reading(self._connection, self._instance, container_id, excerpt)
        if is_too_much:
            reading.fail(LogUnreadable(f"{READINGS_AT_ONCE} logs are being read already"))
        else:
            self._readings.add(reading)
            reading.start()
        return reading

    async def close(self) -> None:
        """End all reading."""
        await asyncio.gather(*(reading.close() for reading in self._readings))


class Reading:
    """One log that is being read; implements the port `LogReading`."""

    def __init__(
        self, connection: Connection, instance: str, container_id: str, excerpt: Excerpt
    ) -> None:
        self._connection = connection
        self._instance = instance
        self._id = container_id
        self._excerpt = excerpt
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._room = threading.Condition()
        self._lines: list[LogLine] = []
        self._size = 0
        self._error: BaseException | None = None
        self._is_over = self._is_closed = False
        self._response: requests.Response | None = None
        self._driver = ""
        self._last_at = ""
        self._thread = threading.Thread(target=self._run, name="docker-log", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Tell whether it still costs anything."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def fail(self, error: TraefikBgError) -> None:
        """Be over before it has begun."""
        self._error, self._is_over = error, True
        self._arrived.set()

    async def more(self) -> tuple[LogLine, ...]:
        """Wait for lines, and return those that have come; none: that was all.

        Raises:
            EngineUnavailable: Docker did not answer, or went away.
            LogUnreadable: this log cannot be read; trying again will not help.
            Conflict: the container is gone.
        """
        await self._arrived.wait()
        with self._room:
            lines, self._lines, self._size = tuple(self._lines), [], 0
            if not self._is_over:
                self._arrived.clear()
            self._room.notify()
        if not lines and self._error is not None:
            raise self._error
        return lines

    async def close(self) -> None:
        """Read no further, and let go of the thread and its connection."""
        with self._room:
            self._is_closed = True
            self._room.notify()
        if (response := self._response) is not None:
            hang_up(response)
        await ended(self._thread)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_closed:
                try:
                    self._read_on()
                    break
                except _QUIET:
                    if not self._excerpt.follows:
                        raise
        except BaseException as error:  # noqa: BLE001 - it is raised where lines are awaited
            if not self._is_closed:
                self._error = self._translated(error)
        with self._room:
            self._is_over = True
            self._tell()

    def _read_on(self) -> None:
        """Read from where we are to the end of the log, or until it has been quiet for long."""
        client = self._connection.client()
        found = client.inspect_container(self._id)
        if (found["Config"].get("Labels") or {}).get(INSTANCE_LABEL) != self._instance:
            raise Conflict(f"container {self._id} is none of ours")
        self._driver = found["HostConfig"]["LogConfig"]["Type"]
        parser = LogParser(is_multiplexed=not found["Config"]["Tty"])
        with closing(self._asked(client)) as response:
            self._response = response
            try:
                if not self._is_closed:  # close() may have come too early to see the response
                    self._receive(response, parser)
            finally:
                self._response = None

    def _asked(self, client: APIClient) -> requests.Response:
        if self._last_at:  # not the first time
            self._excerpt = replace(self._excerpt, after=self._last_at, lines=None)
        excerpt = self._excerpt
        params: dict[str, Any] = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(excerpt.follows),
            "tail": "all" if excerpt.lines is None else excerpt.lines,
        }
        if excerpt.after:
            params["since"] = _unix(excerpt.after)
        url = f"{client.base_url}/v{client.api_version}/containers/{self._id}/logs"
        timeouts = (ASK_TIMEOUT, QUIET_TIMEOUT if excerpt.follows else READ_TIMEOUT)
        response = client.get(url, params=params, stream=True, timeout=timeouts)
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            with closing(response):
                create_api_error_from_http_exception(error)
        return response

    def _receive(self, response: requests.Response, parser: LogParser) -> None:
        for piece in response.raw.stream(PIECE, decode_content=False):
            self._hand_over(parser.feed(piece))
            if self._is_closed:
                return
        self._hand_over(parser.end())

    def _hand_over(self, lines: Iterator[LogLine]) -> None:
        """Put lines into the buffer, waiting for room."""
        for line in lines:
            if line.at and line.at <= self._excerpt.after:
                continue  # for Docker, since includes that very moment
            self._last_at = max(line.at, self._last_at)
            with self._room:
                self._room.wait_for(lambda: self._size < BUFFER or self._is_closed)
                if self._is_closed:
                    return
                self._lines.append(line)
                self._size += len(line.text) + len(line.at)
                if len(self._lines) == 1:
                    self._tell()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _translated(self, error: BaseException) -> BaseException:
        """Return in our words why the log cannot be read; a bug of ours stays what it is."""
        if isinstance(error, TraefikBgError):
            return error
        if isinstance(error, APIError):
            if is_gone(error) or error.status_code == requests.codes.conflict:
                return Conflict(f"container {self._id} is gone")
            if "does not support reading" in spoken(error):
                return LogUnreadable(
                    f"Docker cannot read back what its logging driver, {self._driver}, is given"
                )
            return unexpected(error, f"read the log of {self._id}")
        return unanswered(error, self._connection.url) if isinstance(error, NO_ANSWER) else error


def _unix(at: str) -> str:
    """Return a time of a line as Docker takes it: seconds since 1970, with all digits."""
    seconds, _, fraction = at.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return f"{whole}.{fraction:0<9}"

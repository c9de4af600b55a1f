"""Listens to Docker: a thread that says that something happened, and when it could not hear.

An event says look, never what: it carries a container's id and what Docker knows it by. Those of
all containers come, for what others started may be adopted; whoever listens knows its own.

The stream of Docker's API ends normally when the connection is lost, so the thread reconnects for
ever; whoever listens must look at everything each time it is opened, because what happened in
between is unknown.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import structlog
import urllib3
from docker import APIClient

from traefik_bg.adapters.docker_connection import ASK_TIMEOUT, Connection, ended, hang_up
from traefik_bg.core.errors import EngineUnavailable

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
QUIET_TIMEOUT = 120.0  # a dead TCP peer looks like a quiet one: subscribe anew now and then

# HEALTHCHECKs alone cause three exec events per look, so only what changes a container's state.
_EVENTS = ["create", "start", "restart", "die", "oom", "stop", "pause", "unpause", "destroy"]
_EVENTS += ["health_status", "rename", "update"]

log = structlog.get_logger()


class EventStream:
    """Calls back in the event loop: `opened` and `lost` for the stream, `seen` for each event."""

    def __init__(
        self,
        connection: Connection,
        *,
        opened: Callable[[], None],
        seen: Callable[[str, Mapping[str, str]], None],
        lost: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._opened, self._seen, self._lost = opened, seen, lost
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._response: requests.Response | None = None
        self._is_lost = False
        self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)

    def start(self) -> None:
        """Subscribe, and keep at it until closed."""
        self._thread.start()

    async def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if (response := self._response) is not None:
            hang_up(response)
        await ended(self._thread)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - a thread that died would never be noticed
                self._report_lost(error)
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE  # it had worked for a while
            if self._is_lost and not self._closing.wait(pause):
                pause = min(pause * 2, LONGEST_PAUSE)

    def _listen(self) -> None:
        """Subscribe and report until the stream ends; returns when it was only quiet."""
        with closing(self._subscribe()) as response:
            self._response = response
            if self._closing.is_set():
                return  # close() may have come too early to see the response
            response.raise_for_status()
            self._report_opened()
            try:
                for event in _events(response):
                    attributes = event.get("Actor", {}).get("Attributes") or {}
                    self._post(self._seen, event["Actor"]["ID"], attributes)
            except requests.exceptions.ConnectionError as error:
                if any(
                    isinstance(item, urllib3.exceptions.ReadTimeoutError) for item in error.args
                ):
                    return
                raise
            finally:
                self._response = None
        raise EngineUnavailable("the event stream ended")

    def _subscribe(self) -> requests.Response:
        client = self._connection.client()
        filters = {"type": ["container"], "event": _EVENTS}
        params: dict[str, Any] = {"filters": json.dumps(filters)}
        if (now := _clock(client)) is not None:
            params["since"] = now
        url = f"{client.base_url}/v{client.api_version}/events"
        timeouts = (ASK_TIMEOUT, QUIET_TIMEOUT)
        return client.get(url, params=params, stream=True, timeout=timeouts)

    def _report_opened(self) -> None:
        if self._is_lost:
            self._is_lost = False
            log.info("engine.back", url=self._connection.url)
        self._post(self._opened)

    def _report_lost(self, error: Exception) -> None:
        self._connection.forget()
        if self._is_lost or self._closing.is_set():
            return
        self._is_lost = True
        log.warning("engine.lost", url=self._connection.url, error=str(error))
        self._post(self._lost)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(callback, *args)


def _events(response: requests.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in response.iter_lines() if line)


def _clock(client: APIClient) -> int | None:
    """Return Docker's own time, in whole seconds.

    Docker sends the headers of a stream just before it subscribes; asking for the events since a
    moment before leaves no gap, whatever our own clock says.
    """
    response = client.get(f"{client.base_url}/_ping", timeout=ASK_TIMEOUT)
    date = response.headers.get("Date")
    return int(parsedate_to_datetime(date).timestamp()) if date else None

"""The way to Docker: one negotiated client, and calls that never block the event loop.

docker-py blocks, so every call runs in a thread of its own, a few at a time. The threads are
daemons on purpose: an executor's would hold up the end of the process until the longest grace
period is over. What brings no answer becomes `EngineUnavailable` here; what Docker answers is the
caller's to read.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.types import CancellableStream
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from traefik_bg.adapters.docker_errors import unanswered
from traefik_bg.adapters.docker_units import ApiVersion

T = TypeVar("T")

CALLS_AT_ONCE = 8  # more would only queue inside Docker
ASK_TIMEOUT = 10.0  # a listing takes milliseconds; a daemon this slow tells us nothing
ACT_TIMEOUT = 60.0  # a start on a machine under load takes many seconds
CLOSE_TIMEOUT = 0.5  # for calls that are just ending; the others are abandoned
POOLED_CONNECTIONS = 32  # idle ones kept; urllib3 complains about each one it has to drop

NO_ANSWER = (DockerException, RequestException, urllib3.exceptions.HTTPError, OSError, KeyError)
"""What libraries raise when there was no answer, or none that makes sense."""


class Connection:
    """Calls Docker at one address; connects at the first call and again after an outage."""

    def __init__(self, base_url: str | None = None) -> None:
        self.url = base_url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self._base_url = base_url
        self._client: APIClient | None = None
        self._lock = threading.Lock()
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._threads: set[threading.Thread] = set()

    def client(self) -> APIClient:
        """Return the client; blocks to negotiate the API version when there is none yet.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        try:
            _knock(self.url)
            if (client := self._client) is not None:
                return client
            made = _connect(self._base_url)
        except NO_ANSWER as error:
            raise unanswered(error, self.url) from error
        with self._lock:  # not while connecting: a silent Docker would hold up one after another
            if (client := self._client) is None:
                self._client = client = made
        if client is not made:
            made.close()
        return client

    def forget(self) -> None:
        """Negotiate anew at the next call: Docker may come back as another version."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()  # only what is idle; calls under way end on their own

    async def call(
        self, ask: Callable[[APIClient], T], *, within: float | None, is_slow: bool = False
    ) -> T:
        """Return what `ask` makes of the client; slow calls do not count against the others.

        Raises:
            EngineUnavailable: there was no answer, or not in time; it may have been done.
            APIError: Docker answered with an error.
        """
        try:
            async with asyncio.timeout(within), nullcontext() if is_slow else self._slots:
                return await self._in_thread(lambda: ask(self.client()))
        except APIError:
            raise
        except NO_ANSWER as error:  # TimeoutError is an OSError
            raise unanswered(error, self.url) from error

    async def api_version(self) -> ApiVersion:
        """Return the version of the API that is spoken.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        version = await self.call(lambda client: client.api_version, within=ASK_TIMEOUT)
        major, minor = version.split(".")
        return int(major), int(minor)

    async def close(self) -> None:
        """Let go of everything; calls that are still under way then are left to themselves."""
        await ended(*self._threads)
        self.forget()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if answer.done():
                return  # nobody waits any more
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # T may itself be None

        def run() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as caught:  # noqa: BLE001 - it is raised where it is awaited
                error = caught
            with suppress(RuntimeError):  # the loop is closed: the process is ending
                loop.call_soon_threadsafe(settle, result, error)

        thread = threading.Thread(target=run, name="docker-call", daemon=True)
        self._threads = {thread, *(other for other in self._threads if other.is_alive())}
        thread.start()
        return await answer


async def ended(*threads: threading.Thread) -> None:
    """Wait for threads to end, but not for long; `join` would block the event loop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            while any(thread.is_alive() for thread in threads):  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.002)


def hang_up(response: requests.Response) -> None:
    """Wake the thread that reads an answer out of it; the answer may be over already."""
    with suppress(OSError, AttributeError, DockerException):
        CancellableStream(iter(()), response).close()  # has the socket shut down


def _knock(url: str) -> None:
    """Raise if nobody listens on a socket: docker-py would leak its own each time it finds out."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(ASK_TIMEOUT)
            knock.connect(url.removeprefix("unix://"))


def _connect(base_url: str | None) -> APIClient:
    """Return a client that speaks the newest API both sides know, or the one that was asked for."""
    arguments: dict[str, Any] = {**kwargs_from_env()}
    if base_url is not None:
        arguments["base_url"] = base_url
    client = APIClient(
        version=os.environ.get("DOCKER_API_VERSION") or "auto",
        timeout=int(ASK_TIMEOUT),
        max_pool_size=POOLED_CONNECTIONS,
        **arguments,
    )
    client.timeout = int(ACT_TIMEOUT)
    if client.base_url.startswith("http+docker:"):
        client.trust_env = False  # no proxy and no .netrc to look up for a socket on this machine
    return client

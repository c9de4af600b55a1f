"""Keeps aiohttp honest about connections: no hidden retry, no connection already closed.

Left alone, aiohttp (3.14, `ClientSession._request`) sends a GET a second time, silently, when a
kept-alive connection ends before the answer: just the loss we look for. `Wire.watch` is a client
middleware; aiohttp calls it once for each sending, so it can count them and can turn the error
into one that aiohttp does not retry. POSTs are never retried by aiohttp.

The honest other half: a connection that the server closed *before* the request was written lost
nothing. `WatchedConnector` asks the kernel just before use and takes another one then, as curl and
Go do. What is left is a server that closes within the microseconds between; as `idle_limit` is far
below the server's own, it would have to do so without any cause, and it is counted as a loss.
"""

from __future__ import annotations

import select
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

_ENDED = select.POLLIN | select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Dropped(aiohttp.ClientError):
    """The connection ended without an answer; a class that aiohttp does not retry on."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        self.error = error
        super().__init__(str(error))


class Wire:
    """What happened underneath one request: each request's task sets its own."""

    __slots__ = ("fresh", "idle_for", "replica", "sendings", "status", "version")

    current: ContextVar[Wire] = ContextVar("wire")

    def __init__(self) -> None:
        self.sendings = 0
        self.fresh = True
        self.idle_for = 0.0
        self.status: int | None = None
        self.version = ""
        self.replica = ""

    @staticmethod
    async def watch(
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Count a sending, note who answers, and keep aiohttp from sending again."""
        wire = Wire.current.get()
        wire.sendings += 1
        try:
            response = await send(request)
        except aiohttp.ClientConnectorError:
            raise  # no connection was made; aiohttp does not retry these
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise Dropped(error) from error
        wire.status = response.status
        wire.version = response.headers.get("X-Version", "")
        wire.replica = response.headers.get("X-Replica", "")
        return response


class WatchedConnector(aiohttp.TCPConnector):
    """A pool without limits (a full pool would be a hidden queue) that never uses a dead one."""

    def __init__(self, *, idle_limit: float | None) -> None:
        if idle_limit is None:
            super().__init__(limit=0, force_close=True)
        else:
            super().__init__(limit=0, keepalive_timeout=idle_limit)
        self.idle_closed = 0
        self._rested_since: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        """Take a kept-alive connection that is still open, or make a new one."""
        wire = Wire.current.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None:  # closed by the loop in between; take another
                continue
            since = self._rested_since.get(protocol)
            if since is not None and _has_ended(connection):
                self.idle_closed += 1
                connection.close()
                continue
            wire.fresh = since is None
            wire.idle_for = 0.0 if since is None else time.monotonic() - since
            connection.add_callback(partial(self._note_rest, protocol))
            return connection

    def _note_rest(self, protocol: ResponseHandler) -> None:
        self._rested_since[protocol] = time.monotonic()


def _has_ended(connection: Connection) -> bool:
    """Ask the kernel: on a resting connection anything to read is its end."""
    transport = connection.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _ENDED)
    return bool(poll.poll(0))

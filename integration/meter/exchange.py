"""One request and what came of it; the same for one websocket's life.

The generator writes these as lines into a file, the controller reads them from there: a pipe
that nobody reads would slow the generator, and a file outlives its death. All instants are
`time.monotonic()`, which on one machine means the same in every process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a request was for."""

    GET = "get"
    POST = "post"
    SLOW = "slow"
    WEBSOCKET = "websocket"  # the handshake; what follows is a `WebsocketLife`


class Loss(StrEnum):
    """How a request was lost."""

    REFUSED = "refused"  # no connection could be made
    CUT = "cut"  # the connection ended before any answer
    TIMEOUT = "timeout"  # no whole answer in time
    STATUS = "status"  # an answer, but not the one asked for (200; 101 for a websocket)
    TRUNCATED = "truncated"  # the answer began and did not end
    WRONG_BODY = "wrong body"  # the answer is not about the body that was sent


class Cut(StrEnum):
    """How a websocket ended that the meter had not closed."""

    CLOSE_FRAME = "close frame"  # politely; `code` says why
    CONNECTION_LOST = "connection lost"  # without a word
    SILENCE = "silence"  # open, but echoing no more


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: when it was due, sent and over, who answered, and whether it was lost."""

    kind: Kind
    scheduled: float
    started: float
    ended: float
    status: int | None
    version: str
    replica: str
    fresh: bool  # on a connection of its own making
    idle_for: float  # how long the kept-alive connection had rested before
    loss: Loss | None
    detail: str
    own_fault: str  # a failing of the meter: this request proves nothing, either way

    @property
    def is_lost(self) -> bool:
        """The system under test owed an answer and did not give it."""
        return self.loss is not None and not self.own_fault

    @property
    def latency(self) -> float:
        """From when it was due, not from when it was sent: a stalled meter flatters nobody."""
        return self.ended - self.scheduled

    @property
    def slip(self) -> float:
        """How late the meter itself was."""
        return self.started - self.scheduled

    def sentence(self) -> str:
        """Say what came of it."""
        where = "a fresh" if self.fresh else f"a kept-alive (idle {self.idle_for * 1000:.0f} ms)"
        outcome = self.own_fault or (f"{self.loss}: {self.detail}" if self.loss else "answered")
        by = f" by {self.version or '?'} {self.replica}".rstrip() if self.status else ""
        took = f"{self.latency * 1000:.0f} ms"
        return f"{self.kind} on {where} connection, {outcome}{by}, after {took}"


@dataclass(frozen=True, slots=True)
class WebsocketLife:
    """One websocket from its handshake to its end."""

    opened: float
    ended: float
    version: str
    replica: str
    echoes: int
    slowest_echo: float
    cut: Cut | None  # None: the meter closed it at the end of the load
    code: int | None
    detail: str

    def sentence(self) -> str:
        """Say what ended it."""
        code = "" if self.code is None else f" {self.code}"
        by = f"{self.cut}{code} ({self.detail})" if self.cut else "not cut"
        return f"websocket to {self.version or '?'} {self.replica}: {by}".replace(" :", ":")


@dataclass(frozen=True, slots=True)
class Started:
    """The load is running."""

    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The generator's own account, written last: what is missing above it was not measured."""

    at: float
    began: float
    stopped: float  # no request was sent from here on; only answers were awaited
    sent: Mapping[str, int]  # by kind
    idle_closed: int  # kept-alive connections found closed before use: no request was on them
    cpu_seconds: float


Line = Exchange | WebsocketLife | Started | Ended

_TAGS: dict[str, type[Line]] = {"x": Exchange, "w": WebsocketLife, "s": Started, "e": Ended}


def encode(line: Line) -> bytes:
    """Render one line of the generator's file."""
    match line:
        case Exchange():
            values: tuple[object, ...] = (
                "x",
                line.kind,
                line.scheduled,
                line.started,
                line.ended,
                line.status,
                line.version,
                line.replica,
                line.fresh,
                line.idle_for,
                line.loss,
                line.detail,
                line.own_fault,
            )
        case WebsocketLife():
            values = (
                "w",
                line.opened,
                line.ended,
                line.version,
                line.replica,
                line.echoes,
                line.slowest_echo,
                line.cut,
                line.code,
                line.detail,
            )
        case Started():
            values = ("s", line.at)
        case Ended():
            values = (
                "e",
                line.at,
                line.began,
                line.stopped,
                line.sent,
                line.idle_closed,
                line.cpu_seconds,
            )
    return json.dumps(values).encode() + b"\n"


def decode(text: bytes) -> Line:
    """Read back what `encode` wrote."""
    tag, *values = json.loads(text)
    if tag == "x":
        values[0] = Kind(values[0])
        values[9] = Loss(values[9]) if values[9] else None
    elif tag == "w":
        values[6] = Cut(values[6]) if values[6] else None
    return _TAGS[tag](*values)

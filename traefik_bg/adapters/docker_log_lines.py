"""Makes lines of the bytes in which Docker sends a log.

Without a terminal, a container's two streams come as frames, each with a header of eight bytes;
with one, as bytes alone. Docker puts a time before each line, and before each further part of a
line that was too long for it. Pure: bytes in, lines out, however they were chopped on the way; it
never keeps more than a frame and a line of each stream.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from traefik_bg.core.errors import EngineUnavailable, LogUnreadable
from traefik_bg.core.logs import LogLine, Stream

LONGEST_LINE = 16 * 1024  # bytes; Docker itself splits what is longer
LARGEST_FRAME = 1024 * 1024  # bytes; Docker's own are a line and its time
CUT = "…"  # ends a line that was longer

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {0: Stream.STDOUT, 1: Stream.STDOUT, 2: Stream.STDERR}
_TROUBLE = 3  # the stream of what Docker itself has to say
_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |(?=\r?$))"
)
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


def printable(raw: bytes) -> str:
    """Return text without colours and control characters; what is no UTF-8 is replaced."""
    return _UNPRINTABLE.sub("", raw.decode("utf-8", "replace"))


@dataclass(slots=True)
class _Line:
    """A line whose end has not been seen yet."""

    at: str
    text: bytearray = field(default_factory=bytearray)
    is_cut: bool = False

    def add(self, part: bytes) -> None:
        room = LONGEST_LINE - len(self.text)
        self.is_cut = self.is_cut or len(part) > room
        self.text += part[:room]


class LogParser:
    """Takes a log as it comes."""

    def __init__(self, *, is_multiplexed: bool) -> None:
        self._is_multiplexed = is_multiplexed
        self._rest = bytearray()
        self._open: dict[Stream, _Line] = {}
        self._last_at = ""

    def feed(self, data: bytes) -> Iterator[LogLine]:
        """Return the lines that end in these bytes.

        Raises:
            EngineUnavailable: this is no log of Docker's.
            LogUnreadable: Docker says, in the middle of it, that it cannot read on.
        """
        self._rest += data
        if not self._is_multiplexed:
            yield from self._raw()
            return
        for stream, payload in self._frames():
            yield from self._take(stream, payload, is_frame=True)

    def end(self) -> Iterator[LogLine]:
        """Return the last lines, which nothing has ended."""
        if not self._is_multiplexed and self._rest:
            yield from self._take(Stream.STDOUT, bytes(self._rest), is_frame=False)
        for stream in tuple(self._open):
            yield self._finished(stream)

    def _raw(self) -> Iterator[LogLine]:
        """Take all whole lines; part of one only when it is too long anyway."""
        end = self._rest.rfind(b"\n") + 1
        if not end and len(self._rest) > LONGEST_LINE:
            end = len(self._rest)
        if end:
            taken = bytes(self._rest[:end])
            del self._rest[:end]
            yield from self._take(Stream.STDOUT, taken, is_frame=False)

    def _frames(self) -> Iterator[tuple[Stream, bytes]]:
        while len(self._rest) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._rest)
            if size > LARGEST_FRAME or kind not in {*_STREAMS, _TROUBLE}:
                raise EngineUnavailable("Docker sends a log that makes no sense")
            end = _HEADER.size + size
            if len(self._rest) < end:
                return
            payload = bytes(self._rest[_HEADER.size : end])
            del self._rest[:end]
            if kind == _TROUBLE:
                raise LogUnreadable(" ".join(printable(payload[:LONGEST_LINE]).split()))
            yield _STREAMS[kind], payload

    def _take(self, stream: Stream, piece: bytes, *, is_frame: bool) -> Iterator[LogLine]:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._add(stream, part, is_frame=is_frame)
            yield self._finished(stream)
            is_frame = False
        if rest:
            self._add(stream, rest, is_frame=is_frame)

    def _add(self, stream: Stream, part: bytes, *, is_frame: bool) -> None:
        """Add to the stream's line; the time is before the line, and before each frame of it."""
        line = self._open.get(stream)
        if line is None or is_frame:
            at, part = _stamped(part)
            self._last_at = at or self._last_at
        if line is None:
            line = self._open[stream] = _Line(self._last_at)
        line.add(part)

    def _finished(self, stream: Stream) -> LogLine:
        line = self._open.pop(stream)
        text = printable(bytes(line.text)).rstrip() + (CUT if line.is_cut else "")
        return LogLine(at=line.at, stream=stream, text=text)


def _stamped(part: bytes) -> tuple[str, bytes]:
    """Return the time before a part of a log, and the part without it."""
    match = _STAMP.match(part)
    if match is None:
        return "", part
    second, fraction, zone = (group.decode() if group else "" for group in match.groups())
    if zone != "Z":
        try:
            moment = datetime.fromisoformat(second + zone)
        except ValueError:
            return "", part  # the container's own words
        second = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{second}.{fraction:0<9}Z", part[match.end() :]

"""Lines out of the bytes of a log: framed or not, chopped anywhere, whatever is in them."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traefik_bg.adapters.docker_log_lines import LARGEST_FRAME, LONGEST_LINE, LogParser
from traefik_bg.core.errors import EngineUnavailable, LogUnreadable
from traefik_bg.core.logs import LogLine, Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
AT = "2026-01-02T03:04:05.123456789Z"


def frame(payload: bytes, kind: int = 1) -> bytes:
    """Return a frame of Docker's."""
    return struct.pack(">BxxxL", kind, len(payload)) + payload


def line(text: str, stream: Stream = OUT, at: str = AT) -> LogLine:
    return LogLine(at=at, stream=stream, text=text)


def parsed(*pieces: bytes, is_multiplexed: bool = True) -> list[LogLine]:
    parser = LogParser(is_multiplexed=is_multiplexed)
    return [found for piece in pieces for found in parser.feed(piece)] + list(parser.end())


def test_the_two_streams_are_told_apart() -> None:
    """Each line has its stream, its time and its text."""
    data = frame(f"{AT} hello\n".encode()) + frame(f"{AT} oh\n".encode(), kind=2)
    assert parsed(data) == [line("hello"), line("oh", ERR)]


def test_a_terminal_has_no_frames() -> None:
    """What comes from a container with a terminal are the bytes alone, with its line ends."""
    data = f"{AT} one\r\n{AT} \r\n{AT} two".encode()
    assert parsed(data, is_multiplexed=False) == [line("one"), line(""), line("two")]


@given(
    texts=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])), st.booleans()
        )
    ),
    cuts=st.lists(st.integers(0, 2000)),
    is_multiplexed=st.booleans(),
)
def test_however_it_is_chopped_the_lines_are_the_same(
    texts: list[tuple[str, bool]], cuts: list[int], is_multiplexed: bool
) -> None:
    """No border between two pieces, be it in a header, a time or a letter, changes a line."""
    sent = b""
    for text, is_error in texts:
        raw = f"{AT} {text}\n".encode()
        sent += frame(raw, 2 if is_error else 1) if is_multiplexed else raw
    edges = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    pieces = [sent[a:b] for a, b in itertools.pairwise(edges)]
    wanted = [line(text, ERR if is_error and is_multiplexed else OUT) for text, is_error in texts]
    assert parsed(*pieces, is_multiplexed=is_multiplexed) == wanted


def test_a_line_in_several_frames_is_one_line() -> None:
    """Docker splits long lines, and puts the time before each part: it is taken out again."""
    data = frame(f"{AT} one ".encode()) + frame(f"{AT} line\n".encode())
    assert parsed(data) == [line("one line")]


def test_lines_of_the_two_streams_do_not_mix() -> None:
    """What interrupts a line of one stream is a line of the other."""
    data = frame(f"{AT} a".encode()) + frame(f"{AT} x\n".encode(), 2) + frame(f"{AT} b\n".encode())
    assert parsed(data) == [line("x", ERR), line("ab")]


@pytest.mark.parametrize("is_multiplexed", [True, False], ids=["framed", "terminal"])
def test_an_endless_line_is_cut_and_says_so(is_multiplexed: bool) -> None:
    """A dump does not fill our memory, and the next line is whole again."""
    parser = LogParser(is_multiplexed=is_multiplexed)
    part = b"x" * 10_000
    found: list[LogLine] = []
    for number in range(200):
        piece = f"{AT} ".encode() + part if is_multiplexed or number == 0 else part
        found += parser.feed(frame(piece) if is_multiplexed else piece)
        assert len(parser._rest) + sum(len(o.text) for o in parser._open.values()) < 100_000
    ends = [f"{AT} \n".encode(), f"{AT} short\n".encode()]
    for end in ends:
        found += parser.feed(frame(end) if is_multiplexed else end)
    assert [len(seen.text) for seen in found] == [LONGEST_LINE + 1, 5]
    assert found[0].text.endswith("x…")


def test_what_a_terminal_would_obey_is_left_out() -> None:
    """Colours and control characters go, what is no UTF-8 is replaced."""
    data = frame(AT.encode() + b" \x1b[31mred\x1b[0m\x07 \xff\tend \r\n")
    assert parsed(data) == [line("red \N{REPLACEMENT CHARACTER}\tend")]


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"),
        ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120000000Z"),
        ("2026-01-02T00:04:05.1+01:00", "2026-01-01T23:04:05.100000000Z"),
    ],
)
def test_times_are_written_in_one_way(written: str, at: str) -> None:
    """In UTC with nine digits, so that they sort as texts."""
    assert parsed(frame(f"{written} x\n".encode())) == [line("x", at=at)]


def test_what_has_no_time_has_the_one_before() -> None:
    """A line that an engine sends without a time stays where it is."""
    data = frame(f"{AT} one\ntwo\n".encode()) + frame(b"2026-99-99T00:00:00+01:00 three\n")
    assert parsed(data) == [line("one"), line("two"), line("2026-99-99T00:00:00+01:00 three")]


def test_what_docker_says_itself_is_no_line_of_the_container() -> None:
    """An error that Docker meets while it reads is told as what it is."""
    with pytest.raises(LogUnreadable, match="error from daemon in stream: invalid character"):
        parsed(frame(b"error from daemon in stream: invalid\n character\n", kind=3))


@pytest.mark.parametrize("kind", [1, 9], ids=["an endless frame", "an unknown stream"])
def test_what_is_no_log_is_not_read_on(kind: int) -> None:
    """A header that makes no sense would have us wait for gigabytes."""
    with pytest.raises(EngineUnavailable, match="makes no sense"):
        parsed(struct.pack(">BxxxL", kind, LARGEST_FRAME + 1))

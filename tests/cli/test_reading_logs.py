"""`logs`: what the replicas of an app print, for people and for programs."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Serve, on_a_terminal
from tests.cli.fake_service import V1, FakeService, Served
from tests.cli.played_logs import moment
from tests.core.build import WEB
from traefik_bg.cli.logs import STYLES, _Pen
from traefik_bg.core.logs import Stream

V2 = replace(V1, image="ghcr.io/acme/web:2")
ONE, TWO = f"web-{V1.revision}-0", f"web-{V1.revision}-1"


@pytest.fixture
def chatty(serve: Serve) -> Served:
    """Return a service with one app that has printed a little."""
    service = FakeService.of(V1).settle()
    service.logs.say(ONE, "one")
    service.logs.say(TWO, "oh", stream=Stream.STDERR)
    service.logs.say(ONE, "two \x1b[31mred\x1b]0;title\x07 \u202eevil")
    return serve(service)


# --- once -----------------------------------------------------------------------------------------


def test_each_line_says_who_printed_it(cli: Cli, chatty: Served) -> None:
    """Revision, number and role before the text, in the order of time, and nothing to obey."""
    result = cli("logs", "web", at=chatty)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{V1.revision}-0 serving  │ one",
        f"{V1.revision}-1 serving  │ oh",
        f"{V1.revision}-0 serving  │ two red evil",
    ]


def test_programs_get_one_object_a_line(cli: Cli, chatty: Served) -> None:
    """All that is known of each line, and nothing else on standard output."""
    result = cli("logs", "web", "--json", at=chatty)
    first, *others = map(json.loads, result.stdout.splitlines())
    assert first == {
        "time": moment(0),
        "replica": ONE,
        "revision": V1.revision,
        "role": "serving",
        "stream": "stdout",
        "line": "one",
    }
    assert [other["stream"] for other in others] == ["stderr", "stdout"]


def test_less_can_be_shown(cli: Cli, chatty: Served) -> None:
    """A number of lines, a time, a revision, or a replica as the prefix names it."""
    for arguments, count in (
        (["-n", "1"], 2),
        (["--lines", "all"], 3),
        (["--since", "2026-01-02T03:00:01Z"], 1),
        (["--since", "10m"], 0),
        (["--revision", V1.revision], 3),
        (["--replica", f"{V1.revision}-1"], 1),
    ):
        result = cli("logs", "web", *arguments, at=chatty)
        assert (result.exit_code, len(result.stdout.splitlines())) == (0, count), arguments


def test_nothing_is_told_in_words(cli: Cli, settled: Served) -> None:
    """An empty log is no silence, but no line either."""
    result = cli("logs", "web", at=settled)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "web has printed nothing of the kind\n"
    assert cli("logs", "web", "--json", at=settled).stderr == ""


def test_what_cannot_be_read_is_told(cli: Cli, chatty: Served) -> None:
    """A replica whose log is elsewhere is named among the lines of the others."""
    chatty.service.logs.unreadable.add(ONE)
    result = cli("logs", "web", at=chatty)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"the log of {ONE} cannot be read: its driver cannot be read",
        f"{V1.revision}-1 serving  │ oh",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wbe"], "there is no app wbe; there is: web"),
        (["web", "--replica", "web-0"], f"no replica web-0; there is: {ONE}, {TWO}"),
        (["web", "-n", "few"], "lines=few must be a number"),
        (["web", "--since", "noon"], "since=noon must be a duration"),
    ],
)
def test_what_makes_no_sense_is_bad_input(
    cli: Cli, chatty: Served, arguments: list[str], words: str
) -> None:
    """What is mistyped exits with 2, and says what would do."""
    result = cli("logs", *arguments, at=chatty)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_service_that_cannot_be_reached_or_cannot_read_exits_with_3(
    cli: Cli, chatty: Served
) -> None:
    """Nobody listens, or Docker does not answer the service."""
    chatty.service.logs.is_away = True
    result = cli("logs", "web", at=chatty)
    assert (result.exit_code, "Docker is away" in result.stderr) == (3, True)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        result = cli("logs", "web", at=Served(service=FakeService(), port=nobody.getsockname()[1]))
    assert (result.exit_code, "cannot reach the service" in result.stderr) == (3, True)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[Served]:
    """Serve one answer, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, name="answering")
        thread.start()
        yield Served(service=FakeService(), port=server.getsockname()[1])
        thread.join(10)


def test_an_answer_that_breaks_off_exits_with_3(cli: Cli) -> None:
    """What came is shown; that the service has ended is not taken for the end of the log."""
    told = {"time": "", "replica": "web-1-0", "revision": "1", "role": None, "stream": "stdout"}
    line = json.dumps({**told, "line": "one"}).encode() + b"\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
    chunk = f"{len(line):x}\r\n".encode() + line + b"\r\n"
    with answering(head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n" + chunk) as at:
        result = cli("logs", "web", "-f", at=at)
    assert result.exit_code == 3
    assert result.stdout == "1-0          │ one\n"
    assert "broke off: it was stopped" in result.stderr


def test_something_else_at_the_address_is_not_taken_for_the_service(cli: Cli) -> None:
    """A web server that answers anything is named as what it is."""
    with answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    ) as at:
        result = cli("logs", "web", at=at)
    assert (result.exit_code, "is not the API of traefik-bg" in result.stderr) == (3, True)


# --- on and on ------------------------------------------------------------------------------------


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "traefik_bg", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def test_following_goes_through_a_deployment_until_ctrl_c(serve: Serve) -> None:
    """Lines come as they are printed, green's too; an end is told; Ctrl-C ends it well."""
    service = FakeService.of(V1).settle()
    service.logs.say(ONE, "old")
    at = serve(service)
    watching = _start("logs", "web", "-f", "--listen", at.listen)
    assert watching.stdout is not None
    assert watching.stdout.readline() == f"{V1.revision}-0 serving  │ old\n"
    service.worlds[WEB].desired = V2
    at.play(lambda: service.until("baking"))
    at.play(lambda: service.logs.say(f"web-{V2.revision}-0", "hello"))
    assert watching.stdout.readline() == f"{V2.revision}-0 green    │ hello\n"
    at.play(lambda: service.logs.say(ONE, "kept warm"))
    assert watching.stdout.readline() == f"{V1.revision}-0 blue     │ kept warm\n"
    at.play(service.settle)
    ends = sorted(watching.stdout.readline() for _ in range(2))
    assert ends == [f"{name} ended and is gone\n" for name in (ONE, TWO)]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    assert watching.stdout.read() == ""
    watching.stdout.close()


def test_programs_can_follow_too(serve: Serve) -> None:
    """Each object is there as soon as its line is."""
    service = FakeService.of(V1).settle()
    service.logs.say(ONE, "old")
    at = serve(service)
    watching = _start("logs", "web", "--follow", "--json", "--listen", at.listen)
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["line"] == "old"
    at.play(lambda: service.logs.say(ONE, "new"))
    assert json.loads(watching.stdout.readline())["line"] == "new"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    watching.stdout.close()


def test_a_reader_that_has_seen_enough_is_no_error_of_ours(serve: Serve) -> None:
    """As with `| head`: no traceback when the pipe is closed."""
    service = FakeService.of(V1).settle()
    service.logs.say(ONE, *(f"line {n} " + "x" * 1000 for n in range(1000)))
    watching = _start("logs", "web", "-n", "all", "--listen", serve(service).listen)
    assert watching.stdout is not None
    assert "line 0" in watching.stdout.readline()
    watching.stdout.close()
    assert watching.wait(10) in {0, 1}


def test_on_a_terminal_revisions_have_colours(chatty: Served, tmp_path: Path) -> None:
    """The prefix is coloured, the line is as it is, and Ctrl-C ends it without a word."""
    text = on_a_terminal("logs", "web", "-f", "--listen", chatty.listen, until="two")
    assert f"\x1b[34m{V1.revision}-0 serving  │ \x1b[0mone\r\n" in text
    assert text.endswith("[exit 0]")
    assert "Traceback" not in text
    plain = on_a_terminal("logs", "web", "--listen", chatty.listen, NO_COLOR="1")
    assert "\x1b[34m" not in plain


def test_a_revision_keeps_its_colour() -> None:
    """Green stays green when it serves; the next green gets another one, as long as there are."""
    pen = _Pen("web")

    def style(revision: str, role: str) -> str:
        return pen._style(
            {
                "time": "",
                "replica": None,
                "revision": revision,
                "role": role,
                "stream": "",
                "line": "",
            }
        )

    assert style("1", "serving") == "blue"
    assert style("2", "green") == "green"
    assert (style("1", "blue"), style("2", "serving")) == ("blue", "green")
    assert style("3", "green") == "magenta"
    for number in range(4, 30):
        before = [*pen._styles.values()][1 - len(STYLES) :]
        assert style(str(number), "green") not in before
    assert style("2", "leaving") == "green"

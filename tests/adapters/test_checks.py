"""Who is asked about green says good, bad or nothing; what he says is one short line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.adapters.traefik_process import LONG_ENOUGH, free_port, serve, until
from traefik_bg.adapters import checks as checks_module
from traefik_bg.adapters.checks import LONGEST_DETAIL, OutsideChecker, line
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.ports import Subject
from traefik_bg.core.rollout import Check, CheckKind

SUBJECT = Subject(
    app=AppName("web"),
    revision=RevisionId("93ee7000"),
    image="web:2",
    weight=5,
    blue=RevisionId("0b1ee000"),
)


class Other:
    """Whoever is asked over HTTP; answers what a test wants."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: Any = {}
        self.text: str | None = None
        self.is_silent = False
        self.asked: list[tuple[str, str, Any]] = []
        self.authorization = ""
        self.url = ""

    async def __call__(self, request: web.Request) -> web.Response:
        given = await request.json() if request.can_read_body else dict(request.query)
        self.asked.append((request.method, request.path, given))
        self.authorization = request.headers.get("Authorization", "")
        if self.is_silent:
            await asyncio.sleep(LONG_ENOUGH)
        if self.text is not None:
            return web.Response(status=self.status, text=self.text)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    """Return who is asked."""
    found = Other()

    async def answer(request: web.Request) -> web.Response:
        return await found(request)

    server, port = await serve(answer)
    found.url = f"http://127.0.0.1:{port}"
    yield found
    await server.cleanup()


async def ask(check: Check, subject: Subject = SUBJECT) -> tuple[str, str]:
    """Ask once, and return the verdict and its detail."""
    async with OutsideChecker("file") as checker:
        result = await checker.ask(check, subject)
    return result.verdict.value, result.detail


# --- Prometheus -----------------------------------------------------------------------------------


def query(url: str, text: str = "up", **limits: Any) -> Check:
    """Return a check that asks a Prometheus."""
    return Check(name="stock", kind=CheckKind.QUERY, target=url, query=text, **limits)


def gives(kind: str, *values: str) -> dict[str, Any]:
    """Return Prometheus' answer."""
    result: Any = [{"metric": {}, "value": [1.0, value]} for value in values]
    if kind == "scalar":
        result = [1.0, values[0]]
    return {"status": "success", "data": {"resultType": kind, "result": result}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (gives("vector", "2.5"), ("good", "2.5")),
        (gives("scalar", "1"), ("good", "1")),
        (gives("vector", "3.25"), ("bad", "3.25 is more than 3")),
        (gives("vector", "0.5"), ("bad", "0.5 is less than 1")),
        (gives("vector", "+Inf"), ("bad", "inf is more than 3")),
        (gives("vector", "NaN"), ("unknown", "the query gave NaN")),
        (gives("vector"), ("unknown", "the query gave no value")),
        (gives("vector", "1", "2"), ("unknown", "the query gave 2 values")),
        (gives("matrix"), ("unknown", "the query gave a matrix, not a value")),
        ({"data": 1}, ("unknown", "HTTP 200, which is not Prometheus' answer")),
        ([], ("unknown", "HTTP 200, which is not Prometheus' answer")),
    ],
)
async def test_the_one_value_of_a_query_must_lie_within_its_limits(
    other: Other, answer: Any, expected: tuple[str, str]
) -> None:
    """Nothing, several values and NaN say nothing."""
    other.answer = answer
    assert await ask(query(other.url, at_least=1.0, at_most=3.0)) == expected


async def test_a_query_may_name_what_is_judged(other: Other) -> None:
    """The app, the revision, and its service as Traefik's metrics name it; PromQL has braces too."""
    other.answer = gives("vector", "1")
    text = 'sum(x{app="{app}",revision="{revision}",service="{service}"})'
    target = other.url.replace("http://", "http://me:secret@") + "/prometheus/?tenant=a"
    assert (await ask(query(target, text)))[0] == "good"
    assert other.asked == [
        (
            "GET",
            "/prometheus/api/v1/query",
            {
                "tenant": "a",
                "query": 'sum(x{app="web",revision="93ee7000",service="web-93ee7000@file"})',
            },
        )
    ]
    assert other.authorization.startswith("Basic ")


async def test_a_prometheus_that_refuses_is_unknown_in_its_words(other: Other) -> None:
    """A mistake in the query says nothing of green."""
    other.status, other.answer = 400, {"status": "error", "error": "parse error\nat char 3"}
    assert await ask(query(other.url)) == ("unknown", "HTTP 400: parse error")
    other.status, other.text = 502, "<html>"
    assert await ask(query(other.url)) == ("unknown", "HTTP 502, which is not Prometheus' answer")


# --- webhook --------------------------------------------------------------------------------------


def hook(url: str, **more: Any) -> Check:
    """Return a check that calls a webhook."""
    return Check(name="smoke", kind=CheckKind.WEBHOOK, target=url, **more)


async def test_a_webhook_is_told_what_it_is_asked_about(other: Other) -> None:
    """By POST, as JSON."""
    assert await ask(hook(f"{other.url}/smoke?token=secret")) == ("good", "{}")
    assert other.asked == [
        (
            "POST",
            "/smoke",
            {
                "check": "smoke",
                "app": "web",
                "revision": "93ee7000",
                "blue": "0b1ee000",
                "image": "web:2",
                "weight": 5,
            },
        )
    ]


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (204, "", ("good", "")),
        (201, "fine\nreally", ("good", "fine")),
        (422, "\n\x1b[31mthe basket\x1b[0m\tis\x00empty\nmore", ("bad", "the basket is empty")),
        (400, "", ("bad", "HTTP 400")),
        (429, "later", ("unknown", "HTTP 429")),
        (500, "oops", ("unknown", "HTTP 500")),
        (302, "", ("unknown", "HTTP 302")),
    ],
)
async def test_a_webhook_says_no_with_a_status_of_its_own(
    other: Other, status: int, text: str, expected: tuple[str, str]
) -> None:
    """2xx and 4xx are answers; all else is trouble of its own."""
    other.status, other.text = status, text
    assert await ask(hook(other.url)) == expected


async def test_a_long_answer_is_cut(other: Other) -> None:
    """Who sends a book is not kept."""
    other.status, other.text = 400, "x" * 3_000_000
    verdict, detail = await ask(hook(other.url))
    assert (verdict, len(detail), detail[-1]) == ("bad", LONGEST_DETAIL, "…")


async def test_who_is_silent_or_away_is_unknown(other: Other) -> None:
    """And neither password nor token is told."""
    other.is_silent = True
    url = other.url.replace("http://", "http://me:secret@") + "/?token=secret"
    assert await ask(hook(url, timeout=0.1)) == ("unknown", "no answer within 0.1 s")
    gone = f"http://me:secret@127.0.0.1:{free_port()}/?token=secret"
    verdict, detail = await ask(hook(gone))
    assert verdict == "unknown"
    assert detail.startswith("it cannot be reached: ")
    assert "secret" not in detail


@pytest.mark.parametrize("url", ["me:secret@nowhere", "ftp://me:secret@nowhere", "http://[secret"])
@pytest.mark.parametrize("kind", [CheckKind.QUERY, CheckKind.WEBHOOK])
async def test_what_is_no_url_is_unknown(url: str, kind: CheckKind) -> None:
    """It is not repeated, for it may hold a password."""
    verdict, detail = await ask(Check(name="smoke", kind=kind, target=url))
    assert (verdict, "secret" in detail) == ("unknown", False)


async def test_who_does_not_speak_http_is_unknown() -> None:
    """Something listens there that is no webhook."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await ask(hook(f"http://127.0.0.1:{port}")) == ("unknown", "no HTTP answer")
    finally:
        server.close()


async def test_a_mistake_of_ours_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Green cannot help it."""

    def broken(*_: object) -> dict[str, str]:
        raise RuntimeError

    monkeypatch.setattr(checks_module, "environment", broken)
    verdict, detail = await ask(command("exit 0"))
    assert (verdict, "internal error" in detail) == ("unknown", True)


# --- command --------------------------------------------------------------------------------------


def command(script: str, **more: Any) -> Check:
    """Return a check that runs a script."""
    return Check(name="smoke", kind=CheckKind.COMMAND, command=("/bin/sh", "-c", script), **more)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo first; echo all is well", ("good", "all is well")),
        ("exit 0", ("good", "")),
        ("echo out; echo the basket is empty >&2; exit 1", ("bad", "the basket is empty")),
        ("exit 1", ("bad", "exit code 1")),
        ("echo what; exit 2", ("unknown", "exit code 2: what")),
        ("kill -9 $$", ("unknown", "killed by signal 9")),
        ("echo no >&2; cat; exit 1", ("bad", "no")),
    ],
)
async def test_a_command_says_it_by_its_exit_code(script: str, expected: tuple[str, str]) -> None:
    """With the last line of what it wrote, wherever it wrote it; it has nothing to read."""
    assert await ask(command(script)) == expected


async def test_a_command_knows_what_it_is_asked_about_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service's own environment may hold secrets."""
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    verdict, detail = await ask(command("env | sort | tr '\\n' ' '"))
    names = {"PATH", "HOME", "LANG"} & set(os.environ)
    told = {word.partition("=")[0] for word in detail.split()} - {"PWD", "_", "SHLVL", "OLDPWD"}
    assert verdict == "good"
    assert names <= told
    assert all(name in names or name.startswith("TRAEFIK_BG_") for name in told)
    asked = "echo $TRAEFIK_BG_APP $TRAEFIK_BG_REVISION $TRAEFIK_BG_BLUE $TRAEFIK_BG_IMAGE $TRAEFIK_BG_WEIGHT"
    assert await ask(command(asked)) == ("good", "web 93ee7000 0b1ee000 web:2 5")
    first = replace(SUBJECT, blue=None)
    assert await ask(command("echo [$TRAEFIK_BG_BLUE]"), first) == ("good", "[]")


async def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    """Nothing of it is left."""
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; wait"
    assert await ask(command(script, timeout=0.5)) == ("unknown", "no answer within 0.5 s")
    for pid in pids.read_text().split():
        await until(partial(is_gone, pid), what=f"{pid} is gone")


def is_gone(pid: str) -> bool:
    """Tell whether a process is not there, or only its entry is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


async def test_who_gives_up_asking_ends_the_command(tmp_path: Path) -> None:
    """The split has changed: nobody waits for the answer."""
    pid = tmp_path / "pid"
    asked = asyncio.create_task(ask(command(f"echo $$ > {pid}; exec sleep 60")))
    await until(lambda: pid.exists() and pid.read_text().strip(), what="it runs")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: is_gone(pid.read_text().strip()), what="it is gone")


async def test_what_a_command_leaves_running_is_not_waited_for() -> None:
    """A child that holds its output open is its own affair."""
    script = (
        "import subprocess; left = subprocess.Popen(['sleep', '60'], start_new_session=True); "
        "print(left.pid)"
    )
    check = Check(
        name="smoke",
        kind=CheckKind.COMMAND,
        command=(sys.executable, "-c", script),
        timeout=50.0,
    )
    verdict, pid = await ask(check)
    assert verdict == "good"
    os.kill(int(pid), signal.SIGKILL)  # it is there still


async def test_a_command_that_writes_without_end_is_not_kept() -> None:
    """The end of it is all that counts."""
    assert await ask(command("yes 2>/dev/null | head -c 5000000; echo done")) == ("good", "done")


@pytest.mark.parametrize("path", ["/nowhere/check", "/etc/passwd", "nul\0"])
async def test_a_command_that_cannot_be_run_is_unknown(path: str) -> None:
    """It is not there, or no program, or not even a name."""
    verdict, detail = await ask(Check(name="x", kind=CheckKind.COMMAND, command=(path,)))
    assert verdict == "unknown"
    assert detail.startswith("it cannot be asked")


def test_a_line_is_what_people_can_read() -> None:
    """The first or the last one that says something."""
    assert line("") == line("\n\t\n") == ""
    assert line("a\n\nb\n\n", last=True) == "b"
    assert line("x" * LONGEST_DETAIL) == "x" * LONGEST_DETAIL

"""A service to talk to, and a command line that knows nothing but what a test tells it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fake_service import V1, FakeService, Served
from tests.core.build import WEB
from traefik_bg.cli.verbs import verbs

Serve = Callable[..., Served]
Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep settings, colours and folders of the developer out."""
    for name in os.environ:
        if name.startswith("TRAEFIK_BG_") or name in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a service until the test is over."""
    with ExitStack() as stack:

        def served(service: FakeService, **how: object) -> Served:
            return stack.enter_context(Served(service=service, **how).running())  # type: ignore[arg-type]

        yield served


@pytest.fixture
def cli() -> Cli:
    """Return a function that runs the command line, against a service if there is one."""

    def run(*arguments: str, at: Served | None = None) -> Result:
        where = ["--listen", at.listen] if at is not None else []
        return CliRunner().invoke(verbs, [*arguments, *where])

    return run


@pytest.fixture
def settled(serve: Serve) -> Served:
    """Return a service with one settled app."""
    return serve(FakeService.of(V1).settle())


@pytest.fixture
def rejected(serve: Serve) -> Served:
    """Return a service that has just rejected what is desired."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:bad")
    return serve(service.settle())


def on_a_terminal(*arguments: str, until: str = "", **environ: str) -> str:
    """Return what the command line writes to a terminal; after these words it gets a Ctrl-C."""
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environ}
    command = [sys.executable, "-m", "traefik_bg", *arguments]
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=env) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux says EIO at a terminal's end
                break
            if not part:
                break
            written += part
            if until and until in written.decode(errors="replace"):
                process.send_signal(signal.SIGINT)
                until = ""
    os.close(master)
    return f"{written.decode()}[exit {process.returncode}]"

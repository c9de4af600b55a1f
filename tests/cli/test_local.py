"""The verbs that need no service: check, plan, run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.forecast import World
from traefik_bg.core.observation import Observation
from traefik_bg.core.ports import DesiredState
from traefik_bg.core.record import Record
from traefik_bg.settings import Settings

GOOD = """\
apps:
  web:
    image: ghcr.io/acme/web:1
    port: 8000
    replicas: 3
    environment: {PASSWORD: hunter2}
    route: {host: web.example.com}
    health: {path: /health}
"""


def test_check_says_what_is_in_a_good_file(cli: Cli, tmp_path: Path) -> None:
    """Apps, revisions and routes are listed, secrets are not."""
    (tmp_path / "desired.yaml").write_text(GOOD)
    result = cli("check", "desired.yaml")
    assert result.exit_code == 0
    for words in ("web", "ghcr.io/acme/web:1", "3", "8000", "Host(`web.example.com`)"):
        assert words in result.stdout
    assert "desired.yaml is fine: 1 app" in result.stderr
    assert "hunter2" not in result.output


def test_check_tells_every_mistake_with_its_line(cli: Cli, tmp_path: Path) -> None:
    """All mistakes come at once, each with file and line, and exit with 2."""
    bad = GOOD.replace("replicas: 3", "replica: 3").replace("port: 8000", "port: no")
    (tmp_path / "desired.yaml").write_text(bad)
    result = cli("check", "desired.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "desired.yaml:4: " in result.stderr
    assert "desired.yaml:5: " in result.stderr
    assert "2 mistakes" in result.stderr


def test_check_as_json(cli: Cli, tmp_path: Path) -> None:
    """Editors and pipelines get the mistakes as data."""
    file = tmp_path / "desired.yaml"
    file.write_text(GOOD)
    assert json.loads(cli("check", "desired.yaml", "--json").stdout)["apps"][0]["replicas"] == 3
    file.write_text(GOOD.replace("replicas: 3", "replica: 3"))
    result = cli("check", "desired.yaml", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["is_valid"]) == (2, False)
    assert [(error["path"], error["line"]) for error in answer["errors"]] == [("desired.yaml", 5)]


def test_check_takes_the_file_that_is_set(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a path, the service's own desired state is checked."""
    (tmp_path / "other.yaml").write_text(GOOD)
    monkeypatch.setenv("TRAEFIK_BG_DESIRED", "other.yaml")
    assert cli("check").exit_code == 0
    assert cli("check", "--desired", "nowhere.yaml").exit_code == 2


# --- plan -----------------------------------------------------------------------------------------


def test_plan_of_a_wrong_file_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    """A forecast needs a good desired state."""
    (tmp_path / "desired.yaml").write_text("apps: {web: {imag: x}}")
    result = cli("plan", "--desired", "desired.yaml")
    assert result.exit_code == 2
    assert "desired.yaml:1" in result.stderr


def test_plan_of_an_unknown_app_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    """Only what is desired can be forecast."""
    (tmp_path / "desired.yaml").write_text(GOOD)
    result = cli("plan", "wbe", "--desired", "desired.yaml")
    assert (result.exit_code, "has no app wbe; its apps: web" in result.stderr) == (2, True)


def test_plan_without_docker_is_out_of_reach(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Docker does not answer, nothing can be forecast: exit code 3."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    (tmp_path / "desired.yaml").write_text(GOOD)
    result = cli("plan", "--desired", "desired.yaml", "--state-dir", str(tmp_path / "state"))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr


def test_plan_prints_the_forecast(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be done is told for each app, for people or for programs."""

    async def look(_: Settings, desired: DesiredState) -> list[tuple[Observation, Record]]:
        return [(World(app=n, desired=s).observe(), Record()) for n, s in desired.apps.items()]

    monkeypatch.setattr("traefik_bg.app.observe_once", look)
    (tmp_path / "desired.yaml").write_text(GOOD)
    result = cli("plan", "--desired", "desired.yaml")
    assert result.exit_code == 0
    for words in ("+ pull ghcr.io/acme/web:1", "+ create web-", "~ shift web: 100 %"):
        assert words in result.stdout
    (made,) = json.loads(cli("plan", "web", "--json", "--desired", "desired.yaml").stdout)
    assert made["stages"][0]["actions"] == [{"mark": "+", "text": "pull ghcr.io/acme/web:1"}]
    (tmp_path / "desired.yaml").write_text("apps: {}")
    assert "nothing to do" in cli("plan", "--desired", "desired.yaml").stdout


# --- run ------------------------------------------------------------------------------------------


def test_run_with_a_wrong_setting_does_not_start(cli: Cli) -> None:
    """Every wrong setting is named at once."""
    result = cli("run", "--listen", "nonsense", "--settle", "soon")
    assert result.exit_code == 2
    assert "--listen" in result.stderr
    assert "--settle" in result.stderr


def test_run_without_its_token_does_not_start(cli: Cli, tmp_path: Path) -> None:
    """A service that was to have a token does not run without one."""
    result = cli("run", "--token-file", "nowhere", "--state-dir", str(tmp_path / "state"))
    assert result.exit_code == 2
    assert "the token file nowhere cannot be read" in result.stderr


def test_run_serves_until_it_is_told_to_stop(tmp_path: Path, unused_tcp_port: int) -> None:
    """The service answers even without Docker, and ends well on SIGTERM."""
    (tmp_path / "desired.yaml").write_text(GOOD)
    listen = f"127.0.0.1:{unused_tcp_port}"
    running = subprocess.Popen(
        [sys.executable, "-m", "traefik_bg", "run", "--desired", "desired.yaml",
         "--state-dir", "state", "--listen", listen],
        env={"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock", "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    lines = []
    for line in running.stderr:
        lines.append(line)
        if json.loads(line)["event"] == "service.started":
            break
    socket.create_connection(("127.0.0.1", unused_tcp_port)).close()
    running.terminate()
    lines += running.stderr
    running.stderr.close()
    assert running.wait(10) == 0
    events = [json.loads(line)["event"] for line in lines]
    assert "service.started" in events


def test_run_that_loses_docker_says_so_without_a_traceback(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends the service's tasks is told in a sentence, with the exit code it has elsewhere."""

    async def serve(_: Settings) -> None:
        lost = EngineUnavailable("Docker did not answer")
        raise ExceptionGroup("tasks", [ExceptionGroup("more tasks", [lost])])

    monkeypatch.setattr("traefik_bg.app.serve", serve)
    monkeypatch.setattr("traefik_bg.logs.set_up", lambda *_: None)
    result = cli("run")
    assert (result.exit_code, result.stderr) == (3, "Docker did not answer\n")

"""The command line as a whole: help, status, and a service that cannot be reached."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.cli.conftest import Cli, Serve, on_a_terminal
from tests.cli.fake_service import V1, FakeService, Served
from tests.core.build import WEB
from traefik_bg import __version__
from traefik_bg.core.model import AppName
from traefik_bg.core.rollout import Rollout, Step

VERBS = (
    "run", "check", "plan", "status", "deploy", "promote", "pause", "resume", "abort", "retry",
    "rollback", "history",
)  # fmt: skip


# --- help -----------------------------------------------------------------------------------------


def test_help_names_every_verb_and_the_exit_codes(cli: Cli) -> None:
    """Whoever asks for help finds every verb in the order of its use."""
    result = cli("--help")
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines()[1:]]
    assert [word for word in listed if word in VERBS] == list(VERBS)
    assert "3 the service" in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    """Each verb says what it does in a sentence, and explains each of its options."""
    result = cli(verb, "--help")
    assert result.exit_code == 0
    assert f"{verb} [OPTIONS]" in result.stdout
    sentence = result.stdout.splitlines()[2].strip()
    assert sentence[0].isupper()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "run"])
def test_every_answer_can_be_had_as_json(cli: Cli, verb: str) -> None:
    """Programs need not read tables."""
    assert "--json" in cli(verb, "--help").stdout


def test_run_has_a_flag_for_every_setting(cli: Cli) -> None:
    """All settings can be given as flags, and the help names their variables."""
    from traefik_bg.settings import SETTINGS

    text = cli("run", "--help").stdout
    for setting in SETTINGS:
        assert f"{setting.flag} " in text
        assert setting.variable in text


def test_the_version_is_told(cli: Cli) -> None:
    """Which version is installed can be asked."""
    assert cli("--version").stdout == f"traefik-bg {__version__}\n"


@pytest.mark.parametrize("arguments", [("explode",), ("status", "--nope"), ("promote",), ()])
def test_a_command_line_that_is_not_understood_is_bad_input(
    cli: Cli, arguments: tuple[str, ...]
) -> None:
    """Typing mistakes exit with 2."""
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_the_command_line_starts_without_what_only_the_service_needs() -> None:
    """A status is shown at once: Docker's, the web's and the store's libraries are not loaded."""
    heavy = ["aiohttp", "docker", "sqlite3", "structlog", "traefik_bg.app", "watchfiles"]
    code = f"import sys, traefik_bg.cli.verbs; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- status ---------------------------------------------------------------------------------------


def test_status_shows_every_app_in_a_line(cli: Cli, serve: Serve) -> None:
    """A settled world exits with 0 and shows version, traffic, replicas and the sentence."""
    at = serve(FakeService.of(V1, replace(V1, name=AppName("api"))).settle())
    result = cli("status", at=at)
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split()[:5] == ["APP", "PHASE", "VERSION", "TRAFFIC", "REPLICAS"]
    assert [row.split()[0] for row in rows] == ["api", "web"]
    for words in ("settled", "ghcr.io/acme/web:1", "██████████ 100 %", "2/2", "serves with 2"):
        assert words in rows[1]


def test_status_of_a_canary_shows_both_versions_and_their_shares(cli: Cli, serve: Serve) -> None:
    """While traffic is shared, the bar and the numbers say how."""
    service = FakeService.of(V1).settle()
    steps = Rollout(steps=(Step(weight=30, pause=100.0),))
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2", rollout=steps)
    service.until("shifting").step(1.0)
    at = serve(service)
    result = cli("status", at=at)
    assert result.exit_code == 0
    assert "ghcr.io/acme/web:1 → :2" in result.stdout
    assert "███████▒▒▒ 70/30 %" in result.stdout


def test_status_exits_with_1_if_an_app_is_rejected(cli: Cli, rejected: Served) -> None:
    """A script sees from the exit code that something is not well, and a person why."""
    result = cli("status", at=rejected)
    assert result.exit_code == 1
    assert "exited with code 1" in result.stdout


def test_status_exits_with_1_if_an_app_is_in_trouble(cli: Cli, serve: Serve) -> None:
    """What is wrong now is shown instead of what was thought before."""
    service = FakeService.of(V1).settle()
    service.app_trouble = "Docker did not answer within 5 s"
    result = cli("status", at=serve(service))
    assert result.exit_code == 1
    assert "Docker did not answer within 5 s" in result.stdout


def test_status_tells_that_the_desired_state_is_wrong(cli: Cli, serve: Serve) -> None:
    """A mistake in the file is told on standard error, with its line, and exits with 1."""
    service = FakeService.of(V1).settle()
    service.desired_error = "desired.yaml:3: replica is no key; did you mean replicas?"
    result = cli("status", at=serve(service))
    assert result.exit_code == 1
    assert "desired.yaml:3: replica is no key" in result.stderr


def test_status_of_a_service_that_sees_nothing_yet(cli: Cli, serve: Serve) -> None:
    """Not to know the apps is not to have none (S5)."""
    result = cli("status", at=serve(FakeService(trouble="Docker does not answer")))
    assert result.exit_code == 1
    assert "does not see everything: Docker does not answer" in result.stderr
    assert "no apps" not in result.stdout


def test_status_without_apps_says_so(cli: Cli, serve: Serve) -> None:
    """An empty world is a fine one."""
    result = cli("status", at=serve(FakeService()))
    assert (result.exit_code, "there are no apps" in result.stdout) == (0, True)


def test_status_of_one_app_explains_it(cli: Cli, rejected: Served) -> None:
    """One app is told in full: why, the last words of what failed, and what to do."""
    result = cli("status", "web", at=rejected)
    assert result.exit_code == 1
    for words in (
        "web: rejected",
        "ghcr.io/acme/web:bad",
        "confirmed by Traefik",
        "Host(`web.example`)",
        "Rejected:",
        "│ KeyError: 'DATABASE_URL'",
        "What to do: change the desired state",
        "traefik-bg retry web",
    ):
        assert words in result.stdout, words


def test_a_containers_log_cannot_command_the_terminal(cli: Cli, rejected: Served) -> None:
    """Escape sequences in a log are not passed on."""
    assert "\x1b" not in cli("status", "web", at=rejected).stdout


def test_status_as_json_is_the_apis_answer(cli: Cli, settled: Served) -> None:
    """Machine output is one JSON document on standard output and nothing else."""
    result = cli("status", "--json", at=settled)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["apps"][0]["name"] == "web"
    assert json.loads(cli("status", "web", "--json", at=settled).stdout)["phase"] == "settled"


def test_status_as_json_has_the_exit_code_of_a_status(cli: Cli, rejected: Served) -> None:
    """The exit code does not depend on the form of the answer."""
    result = cli("status", "--json", at=rejected)
    assert (result.exit_code, json.loads(result.stdout)["apps"][0]["is_well"]) == (1, False)


def test_an_unknown_app_is_bad_input(cli: Cli, settled: Served) -> None:
    """Who mistypes an app is told which there are."""
    result = cli("status", "wbe", at=settled)
    assert result.exit_code == 2
    assert "there is no app wbe; there is: web" in result.stderr


def test_an_app_whose_name_is_a_path_stays_an_app(cli: Cli, settled: Served) -> None:
    """What is typed as an app is never anything else in the address."""
    result = cli("promote", "web/pause?x=", at=settled)
    assert result.exit_code == 2
    assert "there is no app web/pause?x=" in result.stderr
    assert not settled.service.worlds[WEB].record.paused


def test_the_terminal_is_not_needed(cli: Cli, settled: Served) -> None:
    """In a pipe there are no colours, and each app is one line."""
    result = cli("status", at=settled)
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_no_color_is_respected(settled: Served) -> None:
    """On a terminal, NO_COLOR turns the colours off."""
    plain = on_a_terminal("status", "--listen", settled.listen, NO_COLOR="1")
    assert "\x1b[3" not in plain
    assert "\x1b[32m" in on_a_terminal("status", "--listen", settled.listen)


# --- a service that cannot be reached -------------------------------------------------------------


def test_a_service_that_does_not_run_is_told_without_a_traceback(cli: Cli) -> None:
    """Nobody listening is exit code 3, with where we looked and what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for arguments in (["status"], ["status", "--watch"], ["pause", "web"], ["history", "web"]):
        result = cli(*arguments, "--listen", f"127.0.0.1:{port}")
        assert result.exit_code == 3
        assert result.stdout == ""
        assert f"cannot reach the service at http://127.0.0.1:{port}: connection" in result.stderr
        assert "is it running?" in result.stderr


def test_all_addresses_are_reached_by_loopback(
    cli: Cli, settled: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address the service listens at can be given as it is to the command line too."""
    monkeypatch.setenv("TRAEFIK_BG_LISTEN", f"0.0.0.0:{settled.port}")
    assert cli("status").exit_code == 0
    monkeypatch.setenv("TRAEFIK_BG_LISTEN", f":{settled.port}")
    assert cli("status").exit_code == 0


def test_another_server_is_not_taken_for_the_service(cli: Cli) -> None:
    """What answers but is not traefik-bg is told apart, and exits with 3."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        port = other.stdout.readline().split("port ")[1].split()[0]
        result = cli("status", "--listen", f"127.0.0.1:{port}")
        other.terminate()
    assert result.exit_code == 3
    assert "is not the API of traefik-bg (HTTP 404)" in result.stderr


def test_a_service_that_cannot_answer_now_is_out_of_reach(cli: Cli, serve: Serve) -> None:
    """A 503 is exit code 3: trying again later helps."""
    result = cli("pause", "web", at=serve(FakeService(trouble="starting")))
    assert (result.exit_code, "not all known yet: starting" in result.stderr) == (3, True)


def test_a_setting_that_is_wrong_is_bad_input(cli: Cli) -> None:
    """Settings are checked before anything is done."""
    result = cli("status", "--listen", "nonsense")
    assert result.exit_code == 2
    assert "--listen" in result.stderr

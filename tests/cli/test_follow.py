"""Watching, and waiting for a deployment to end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.cli.conftest import Cli, Serve, on_a_terminal
from tests.cli.fake_service import V1, FakeService, Served
from tests.core.build import WEB, exactly
from traefik_bg.core.evidence import Evidence, Figures
from traefik_bg.core.forecast import World
from traefik_bg.core.observation import Observation
from traefik_bg.core.rollout import Analysis, Approval, Rollout, Step

# --- watching -------------------------------------------------------------------------------------


def test_watching_in_a_pipe_prints_a_line_for_each_piece_of_news(serve: Serve) -> None:
    """News come as lines, countdowns are no news, and Ctrl-C ends it well."""
    at = serve(FakeService.of(V1).settle(), speed=0.2)
    watching = _start("status", "--watch", "--listen", at.listen)
    assert watching.stdout is not None
    assert watching.stdout.readline() == f"web: settled: {V1.revision} serves with 2 replicas\n"
    at.service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:bad")
    lines = [watching.stdout.readline()]
    while "rejected" not in lines[-1]:
        lines.append(watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    assert len(set(lines)) == len(lines)
    watching.stdout.close()


def test_watching_as_json_prints_a_document_a_line(serve: Serve) -> None:
    """A program that watches reads one app a line."""
    at = serve(FakeService.of(V1).settle())
    watching = _start("status", "--watch", "--json", "--listen", at.listen)
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["name"] == "web"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    watching.stdout.close()


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "traefik_bg", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_watching_on_a_terminal_redraws_until_ctrl_c(serve: Serve) -> None:
    """On a terminal the table is drawn anew, and Ctrl-C ends it well."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2")
    at = serve(service, speed=1.0)
    text = on_a_terminal("status", "--watch", "--listen", at.listen, until="settled")
    assert text.endswith("[exit 0]")
    assert text.count("VERSION") > 1
    assert "Traceback" not in text


# --- waiting --------------------------------------------------------------------------------------


def test_deploy_and_wait_follows_until_it_is_good(cli: Cli, serve: Serve) -> None:
    """Each new sentence comes with the time since the start; a good end exits with 0."""
    at = serve(FakeService.of(V1).settle(), speed=0.3)
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", at=at)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "web is to run ghcr.io/acme/web:2"
    assert all(line.split()[1] == "s" for line in lines[1:])
    assert any("baking: " in line and "kept warm" in line for line in lines)
    assert "is good: ghcr.io/acme/web:2 serves, 2 of 2 replicas healthy" in lines[-1]


def test_countdowns_are_told_once(cli: Cli, serve: Serve) -> None:
    """A sentence that differs from the last in a number alone is not printed again."""
    at = serve(FakeService.of(V1).settle(), speed=0.3)
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", at=at)
    assert result.stdout.count("kept warm") == 1


def test_deploy_and_wait_exits_with_1_when_it_is_rejected(cli: Cli, serve: Serve) -> None:
    """A rejection tells the reason, the last words, what serves instead, and what to do."""
    at = serve(FakeService.of(V1).settle(), speed=0.3)
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:bad", "--wait", at=at)
    assert result.exit_code == 1
    for words in ("exited with code 1", "ghcr.io/acme/web:1 serves", "│ KeyError", "What to do:"):
        assert words in result.stdout, words


STEPS = Rollout(
    steps=(Step(weight=5, pause=5.0), Step(weight=25, pause=5.0), Step(weight=50, pause=5.0)),
    analysis=Analysis(max_error_ratio=0.01),
    bake=10.0,
)


def test_deploy_and_wait_tells_each_step_once(cli: Cli, serve: Serve) -> None:
    """Steps differ in numbers only, but each of them is news."""
    stepwise = replace(V1, rollout=STEPS)
    service = FakeService.of(stepwise).settle()
    service.worlds[WEB].answers_well = True
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait",
                 at=serve(service, speed=0.1))  # fmt: skip
    assert result.exit_code == 0
    told = ("has 5 %", "has 25 %", "has 50 %", "kept warm")
    assert [result.stdout.count(words) for words in told] == [1, 1, 1, 1]


class Failing(World):
    """A world in which green answers badly as soon as it has traffic."""

    def observe(self) -> Observation:
        seen = super().observe()
        if self.desired is None or seen.published is None:
            return seen
        green = self.desired.revision
        is_bad = seen.published.weights.get(green, 0) in {5, 25} and (seen.weights_for or 0) > 2
        fine = Figures(requests=100, p95=exactly(0.02))
        bad = Figures(requests=80, errors=8, p95=exactly(0.4))
        few = Figures(requests=40, p95=exactly(0.02))
        figures = {V1.revision: fine, green: bad if is_bad else few}
        return replace(seen, evidence=Evidence(figures=figures))


def test_a_rejection_for_its_answers_tells_them(cli: Cli, serve: Serve) -> None:
    """The limit that was broken, and what had been counted of both versions."""
    service = FakeService.of(V1).settle()
    before = service.worlds[WEB]
    stepwise = replace(V1, rollout=STEPS)
    service.worlds[WEB] = Failing(
        app=WEB,
        desired=stepwise,
        record=before.record,
        replicas=before.replicas,
        published=before.published,
    )
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait",
                 at=serve(service, speed=0.02))  # fmt: skip
    assert result.exit_code == 1
    assert "10 % of its requests failed (8 of 80), more than 1 %" in result.stdout
    assert f"{V1.revision} (blue): 100 requests, errors: 0, p95 20 ms" in result.stdout
    assert re.search(r"\(green\): \d+ requests, errors: ", result.stdout)


def test_waiting_ends_in_time_and_the_deployment_goes_on(cli: Cli, serve: Serve) -> None:
    """A pipeline that nobody gives an approval to does not hang."""
    manual = replace(V1, rollout=Rollout(approval=Approval.MANUAL))
    at = serve(FakeService.of(manual).settle(), speed=0.3)
    arguments = ("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--timeout", "1500ms")
    result = cli(*arguments, at=at)
    assert result.exit_code == 1
    assert "not over after 1.5 s, and the deployment goes on (" in result.stdout
    assert "traefik-bg abort web ends it" in result.stdout
    assert at.service.worlds[WEB].record.deployment is not None
    outcome = json.loads(cli(*arguments, "--json", at=at).stdout)
    assert (outcome["is_well"], outcome["is_over"]) == (False, False)


def test_a_service_that_stays_away_is_not_waited_for_longer_either(cli: Cli) -> None:
    """Who cannot even give the command gets the usual answer."""
    away = ("--listen", "127.0.0.1:1")
    result = cli("deploy", "web", "--image", "web:2", "--wait", "--timeout", "1", *away)
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--wait", "--timeout", "soon"], "'soon' must be a duration"),
        (["--wait", "--timeout", "0"], "longer than 0"),
        (["--timeout", "1m"], "--timeout is for --wait"),
    ],
    ids=["no duration", "nothing", "no wait"],
)
def test_a_timeout_that_means_nothing_is_bad_input(
    cli: Cli, settled: Served, arguments: list[str], words: str
) -> None:
    """And nothing is deployed."""
    result = cli("deploy", "web", "--image", "web:2", *arguments, at=settled)
    assert (result.exit_code, words in result.stderr) == (2, True)
    assert settled.posted == []


def test_a_tag_that_is_followed_is_the_image_that_was_asked_for(cli: Cli, serve: Serve) -> None:
    """What is desired has its digest beside; it is the same wish."""
    service = FakeService.of(V1).settle()
    at = serve(service, speed=5.0)
    service.digest = "sha256:d1"
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", at=at)
    assert result.stdout.splitlines()[-1].endswith(
        "is good: ghcr.io/acme/web:2 serves, 2 of 2 replicas healthy"
    )


def test_deploy_and_wait_for_what_serves_already_ends_at_once(cli: Cli, settled: Served) -> None:
    """Deploying twice is deploying once."""
    result = cli("deploy", "web", "--image", V1.image, "--wait", at=settled)
    assert (result.exit_code, "is good" in result.stdout) == (0, True)


def test_deploy_and_wait_for_what_is_rejected_already_says_so(cli: Cli, rejected: Served) -> None:
    """A rejected image is not tried again by saying it again (L3), and the way out is named."""
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:bad", "--wait", at=rejected)
    assert result.exit_code == 1
    assert "traefik-bg retry web" in result.stdout


def test_deploy_and_wait_ends_when_something_else_is_desired(cli: Cli, serve: Serve) -> None:
    """Who waits for a deployment that was superseded is told, and gets a 1."""
    manual = replace(V1, rollout=Rollout(approval=Approval.MANUAL))
    service = FakeService.of(manual).settle()
    at = serve(service, speed=0.1)
    waiting = _start(
        "deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--listen", at.listen
    )
    assert waiting.stdout is not None
    for line in waiting.stdout:
        if "waits for approval" in line:
            break
    service.worlds[WEB].desired = replace(manual, image="ghcr.io/acme/web:3")
    rest = waiting.stdout.read()
    assert waiting.wait(10) == 1
    assert "superseded: web is to run ghcr.io/acme/web:3 now" in rest
    waiting.stdout.close()


def test_ctrl_c_ends_the_watching_and_not_the_deployment(serve: Serve) -> None:
    """Who stops waiting is told that the deployment goes on, and how to end it."""
    manual = replace(V1, rollout=Rollout(approval=Approval.MANUAL))
    at = serve(FakeService.of(manual).settle(), speed=0.1)
    waiting = _start(
        "deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--listen", at.listen
    )
    assert waiting.stdout is not None
    for line in waiting.stdout:
        if "waits for approval" in line:
            break
    waiting.send_signal(signal.SIGINT)
    rest = waiting.stdout.read()
    assert waiting.wait(10) == 130
    assert "the deployment goes on" in rest
    assert "traefik-bg abort web" in rest
    assert "Traceback" not in rest
    waiting.stdout.close()


def test_waiting_outlives_a_restart_of_the_service(serve: Serve) -> None:
    """A service that is away for a moment is waited for."""
    manual = replace(V1, rollout=Rollout(approval=Approval.MANUAL))
    service = FakeService.of(manual).settle()
    first = Served(service=service, speed=0.1)
    with first.running():
        waiting = _start(
            "deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--listen", first.listen
        )
        assert waiting.stdout is not None
        for line in waiting.stdout:
            if "waits for approval" in line:
                break
    assert "cannot reach the service" in waiting.stdout.readline()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2")
    serve(service, speed=0.3, port=first.port)
    assert "is good" in waiting.stdout.read()
    assert waiting.wait(10) == 0
    waiting.stdout.close()


def test_deploy_and_wait_as_json_keeps_standard_output_clean(cli: Cli, serve: Serve) -> None:
    """The sentences go to standard error, the outcome is the one document on standard output."""
    at = serve(FakeService.of(V1).settle(), speed=0.3)
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--json", at=at)
    outcome = json.loads(result.stdout)
    assert (result.exit_code, outcome["is_well"], outcome["status"]["name"]) == (0, True, "web")
    assert "kept warm" in result.stderr


def test_waiting_on_a_terminal_has_live_progress(serve: Serve) -> None:
    """On a terminal the present sentence counts on below those that were told."""
    at = serve(FakeService.of(V1).settle(), speed=0.3)
    text = on_a_terminal(
        "deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--listen", at.listen
    )
    assert text.endswith("[exit 0]")
    assert text.count("kept warm") > 1
    assert "is good: ghcr.io/acme/web:2 serves" in text


def test_waiting_says_how_to_go_on_when_the_app_is_paused(serve: Serve) -> None:
    """Who waits for a paused app is told that it is paused, and what lets it go on."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].record = replace(service.worlds[WEB].record, paused=True)
    at = serve(service, speed=0.3)
    text = on_a_terminal(
        "deploy", "web", "--image", "ghcr.io/acme/web:2", "--wait", "--listen", at.listen,
        until="traefik-bg resume web",
    )  # fmt: skip
    assert "paused by the operator; traefik-bg resume web lets it go on" in text
    assert text.endswith("[exit 130]")

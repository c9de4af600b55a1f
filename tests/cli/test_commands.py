"""Commands and history: what is sent, and what is said to the answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Serve
from tests.cli.fake_service import EPOCH, V1, FakeService, Said, Served
from tests.core.build import WEB, app

# --- commands -------------------------------------------------------------------------------------


def test_deploy_says_what_it_did(cli: Cli, settled: Served) -> None:
    """Without waiting, deploy is over when the image is desired."""
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", at=settled)
    assert (result.exit_code, result.stdout) == (0, "web is to run ghcr.io/acme/web:2\n")
    desired = settled.service.worlds[WEB].desired
    assert desired is not None
    assert desired.image == "ghcr.io/acme/web:2"


def test_deploy_as_json_answers_what_the_api_answers(cli: Cli, settled: Served) -> None:
    """Without waiting there is just the answer."""
    result = cli("deploy", "web", "--image", "ghcr.io/acme/web:2", "--json", at=settled)
    assert json.loads(result.stdout)["sentence"] == "web is to run ghcr.io/acme/web:2"
    assert result.stderr == ""


def test_deploy_that_cannot_edit_the_file_is_bad_input(cli: Cli, serve: Serve) -> None:
    """What the service refuses is told in its words."""
    at = serve(FakeService.of(app("web:${TAG}")))
    result = cli("deploy", "web", "--image", "web:2", at=at)
    assert (result.exit_code, "made of a variable" in result.stderr) == (2, True)


def test_commands_print_the_answer(cli: Cli, settled: Served) -> None:
    """What was done is one sentence."""
    result = cli("pause", "web", at=settled)
    assert result.stdout == "web is paused: nothing but repairs until resume\n"
    assert cli("resume", "web", at=settled).stdout == "web goes on\n"
    assert settled.posted == ["/api/apps/web/pause", "/api/apps/web/resume"]


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort", "retry", "rollback"])
def test_each_command_goes_to_its_own_address(cli: Cli, settled: Served, verb: str) -> None:
    """The verb that is typed is the verb that arrives."""
    cli(verb, "web", at=settled)
    assert settled.posted == [f"/api/apps/web/{verb}"]


def test_commands_answer_in_json(cli: Cli, settled: Served) -> None:
    """The answer of a command can be read by programs."""
    answer = json.loads(cli("pause", "web", "--json", at=settled).stdout)
    assert answer == {
        "app": "web",
        "sentence": "web is paused: nothing but repairs until resume",
    }


def test_a_command_that_makes_no_sense_is_bad_input(cli: Cli, settled: Served) -> None:
    """A refusal is told on standard error and exits with 2."""
    result = cli("promote", "web", at=settled)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no deployment is under way" in result.stderr


def test_rollback_can_be_told_where_to_go(cli: Cli, serve: Serve) -> None:
    """A revision that is known is gone back to; for another one the known ones are named."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2")
    at = serve(service.settle())
    wrong = cli("rollback", "web", "--to", "12345678", at=at)
    assert wrong.exit_code == 2
    assert f"rollback can go to {V1.revision} ({V1.image})" in wrong.stderr
    right = cli("rollback", "web", "--to", V1.revision, at=at)
    assert (right.exit_code, f"going back to {V1.revision}" in right.stdout) == (0, True)


def test_the_token_of_the_token_file_is_sent(cli: Cli, serve: Serve, tmp_path: Path) -> None:
    """With the file that the service has, commands are obeyed."""
    at = serve(FakeService.of(V1).settle(), token="s3cret")
    (tmp_path / "token").write_text("s3cret\n")
    result = cli("pause", "web", "--token-file", "token", at=at)
    assert result.exit_code == 0


def test_without_the_token_a_command_says_how_to_give_it(
    cli: Cli, serve: Serve, tmp_path: Path
) -> None:
    """A missing, unreadable or wrong token is bad input, and the way out is named."""
    at = serve(FakeService.of(V1).settle(), token="s3cret")
    without = cli("pause", "web", at=at)
    assert (without.exit_code, "--token-file" in without.stderr) == (2, True)
    missing = cli("pause", "web", "--token-file", "nowhere", at=at)
    assert "nowhere cannot be read: no such file" in missing.stderr
    (tmp_path / "token").write_text("wrong")
    wrong = cli("pause", "web", "--token-file", "token", at=at)
    assert (wrong.exit_code, "is not the one" in wrong.stderr) == (2, True)
    assert "wrong" not in wrong.stderr.replace("wrong setting", "")


def test_questions_work_without_the_token(cli: Cli, serve: Serve) -> None:
    """A token file that cannot be read keeps nobody from looking."""
    at = serve(FakeService.of(V1).settle(), token="s3cret")
    assert cli("status", "--token-file", "nowhere", at=at).exit_code == 0


# --- history --------------------------------------------------------------------------------------


def test_history_tells_outcome_duration_and_reason(cli: Cli, rejected: Served) -> None:
    """The past of an app is a table, the newest first."""
    result = cli("history", "web", at=rejected)
    assert result.exit_code == 0
    head, newest, oldest, *_ = result.stdout.splitlines()
    assert head.split() == ["#", "OUTCOME", "VERSION", "REVISION", "STARTED", "TOOK", "WHY"]
    assert "rejected" in newest
    assert "exited with code 1" in newest
    assert "succeeded" in oldest
    assert "1 min 15 s" in oldest


def test_the_reason_in_the_history_says_what_the_columns_do_not(cli: Cli, serve: Serve) -> None:
    """Outcome, version and revision have columns of their own."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2")
    at = serve(service.until("baking"))
    cli("abort", "web", at=at)
    lines = cli("history", "web", at=at).stdout.splitlines()
    assert re.search(r"aborted .* by the operator$", lines[1])
    assert not re.search(r"aborted .* aborted by", lines[1])
    assert lines[2].endswith("serves with 2 replicas")
    assert "is good" not in lines[2]


def test_a_rollback_from_a_settled_app_stands_in_the_history(cli: Cli, serve: Serve) -> None:
    """It ends no deployment; what was said, and how long the way back took, stands below."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = replace(V1, image="ghcr.io/acme/web:2")
    at = serve(service.settle())
    cli("rollback", "web", at=at)
    service.said.insert(0, Said(at=EPOCH, sentence=f"all traffic is back on {V1.revision}"))
    lines = cli("history", "web", at=at).stdout.splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["succeeded", "succeeded"]
    assert lines[3:5] == ["", "What was said:"]
    assert lines[5].endswith(f"  all traffic is back on {V1.revision}")
    assert f"  rollback: going back to {V1.revision} ({V1.image})" in lines[6]


def test_the_history_has_the_last_lines_of_what_failed(cli: Cli, rejected: Served) -> None:
    """They are told by deployment, though the replica is long gone; fine ones have none."""
    assert not any(
        replica.log for world in rejected.service.worlds.values()
        for replica in world.observe().replicas
    )  # fmt: skip
    lines = cli("history", "web", at=rejected).stdout.splitlines()
    bad = rejected.service.past[0].revision
    assert lines[3:] == [
        "",
        f"Last lines of 2, {bad}:",
        "  │ Traceback (most recent call last):",
        "  │ KeyError: 'DATABASE_URL'",
    ]


def test_the_history_keeps_last_lines_short(cli: Cli, serve: Serve) -> None:
    """Of each deployment the end is enough; all that was kept is in the JSON."""
    service = FakeService.of(V1).settle()
    service.past[0] = replace(service.past[0], log=tuple(f"line {n}" for n in range(20)))
    at = serve(service)
    lines = cli("history", "web", at=at).stdout.splitlines()
    assert lines[-5:] == [f"  │ line {n}" for n in range(15, 20)]
    assert "line 14" not in "".join(lines)
    answer = json.loads(cli("history", "web", "--json", at=at).stdout)
    assert len(answer["deployments"][0]["log"]) == 20


def test_history_of_an_app_that_was_never_deployed(cli: Cli, serve: Serve) -> None:
    """No past is told in words."""
    result = cli("history", "web", at=serve(FakeService.of(V1)))
    assert (result.exit_code, result.stdout) == (0, "web has not been deployed yet\n")


def test_history_as_json(cli: Cli, rejected: Served) -> None:
    """Programs get the API's answer."""
    answer = json.loads(cli("history", "web", "--json", at=rejected).stdout)
    assert [past["outcome"] for past in answer["deployments"]] == ["rejected", "succeeded"]

"""The API as its callers meet it: questions and commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cli.fake_service import LAST_WORDS, SECRET, FakeService
from tests.core.build import WEB, app
from tests.web.conversation import CONTAINER, SPEC, problem, talking
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.model import AppName
from traefik_bg.core.rollout import Approval, Rollout
from traefik_bg.core.tags import TagStatus
from traefik_bg.web import api

# --- questions ------------------------------------------------------------------------------------


async def test_all_apps_are_listed_by_name() -> None:
    """The list has every app with all there is to know, and the trouble of the whole."""
    api_spec = replace(SPEC, name=AppName("api"))
    async with talking(FakeService.of(SPEC, api_spec).settle()) as client:
        content = await (await client.get("/api/apps")).json()
    assert [seen["name"] for seen in content["apps"]] == ["api", "web"]
    assert [seen["phase"] for seen in content["apps"]] == ["settled", "settled"]
    assert (content["trouble"], content["desired_error"]) == (None, None)


async def test_one_app_is_told_of() -> None:
    """An app can be asked for by its name."""
    async with talking(FakeService.of(SPEC).settle()) as client:
        answer = await client.get("/api/apps/web")
        content = await answer.json()
    assert answer.status == 200
    assert content["reason"] == f"{SPEC.revision} serves with 2 replicas"


async def test_an_unknown_app_is_not_found() -> None:
    """Who asks for an app that is not there is told which are."""
    async with talking(FakeService.of(SPEC)) as client:
        await problem(await client.get("/api/apps/wbe"), 404, "not-found", "no app wbe", "web")


async def test_before_the_roll_is_called_no_app_is_denied() -> None:
    """While the apps are not known, an app that is not there is not a missing one (S5)."""
    async with talking(FakeService(trouble="starting")) as client:
        answer = await client.get("/api/apps/web")
        await problem(answer, 503, "unavailable", "not all known yet: starting")
        assert answer.headers["Retry-After"] == "1"


async def test_the_history_tells_deployments_and_sentences() -> None:
    """The past of an app comes with outcomes, durations, reasons and what operators said."""
    service = FakeService.of(SPEC).settle()
    await service.deploy(WEB, "web:bad")
    service.settle()
    async with talking(service) as client:
        await client.post("/api/apps/web/pause")
        content = await (await client.get("/api/apps/web/history")).json()
    rejected, succeeded = content["deployments"]
    assert (rejected["outcome"], succeeded["outcome"]) == ("rejected", "succeeded")
    assert rejected["log"] == list(LAST_WORDS)
    assert (succeeded["duration"], succeeded["started"]) == (75.0, "2026-01-02T03:04:05+00:00")
    assert content["journal"][0]["sentence"].startswith("pause: web is paused")


async def test_the_history_of_an_app_that_is_gone_can_be_read() -> None:
    """History outlives the app; only of an app that never was there is none."""
    service = FakeService.of(SPEC).settle()
    async with talking(service) as client:
        assert (await client.get("/api/apps/gone/history")).status == 200
        await problem(await client.get("/api/apps/never/history"), 404, "not-found", "never")


@pytest.mark.parametrize("limit", ["0", "201", "x", "-1", "²"])
async def test_a_limit_out_of_bounds_is_a_bad_request(limit: str) -> None:
    """The history has a length that can be asked for."""
    async with talking(FakeService.of(SPEC)) as client:
        answer = await client.get("/api/apps/web/history", params={"limit": limit})
        await problem(answer, 400, "bad-request", "from 1 to 200")


async def test_no_answer_has_a_secret_in_it() -> None:
    """Whatever is asked, the values of environment variables are in no answer."""
    service = FakeService.of(SPEC).settle()
    await service.deploy(WEB, "web:bad")
    service.settle()
    async with talking(service) as client:
        for path in ("/api/apps", "/api/apps/web", "/api/apps/web/history", "/readyz", "/x"):
            text = await (await client.get(path)).text()
            assert SECRET not in text
            assert CONTAINER not in text


# --- commands -------------------------------------------------------------------------------------


async def test_deploy_desires_another_image() -> None:
    """The image is changed where it is desired, and the answer says so."""
    service = FakeService.of(SPEC).settle()
    async with talking(service) as client:
        answer = await client.post("/api/apps/web/deploy", json={"image": "web:2"})
        content = await answer.json()
    assert content == {"app": "web", "image": "web:2", "sentence": "web is to run web:2"}
    desired = service.worlds[WEB].desired
    assert desired is not None
    assert desired.image == "web:2"


async def test_update_has_the_registry_asked_whatever_the_body_says() -> None:
    """A registry's webhook sends what it likes; the answer is what was found."""
    service = FakeService.of(SPEC).settle()
    async with talking(service) as client:
        answer = await client.post("/api/apps/web/update", data=b"{not json")
        content = await answer.json()
        assert content == {"app": "web", "sentence": f"{SPEC.image} is still sha256:1"}
        service.worlds[WEB].desired = replace(SPEC, image="acme/web@sha256:1")
        refused = await client.post("/api/apps/web/update")
        assert refused.status == 409
        assert "no tag to follow" in (await refused.json())["detail"]
        assert (await client.post("/api/apps/shop/update")).status == 404


async def test_the_status_has_the_tag_that_is_followed() -> None:
    """And the age of the last answer, on the reader's clock."""
    service = FakeService.of(SPEC).settle()
    service.tags[WEB] = TagStatus(
        image=SPEC.image, digest="sha256:1", every=300.0, asked_at=0.0, trouble="no route"
    )
    async with talking(service) as client:
        content = await (await client.get("/api/apps/web")).json()
    asked = content["tag"].pop("asked")
    assert asked > 0
    assert content["tag"] == {
        "image": SPEC.image, "digest": "sha256:1", "poll": 300.0, "trouble": "no route",
    }  # fmt: skip


async def test_each_command_is_obeyed() -> None:
    """Every verb of the contract does what it says, and answers with a sentence."""
    manual = replace(SPEC, rollout=Rollout(approval=Approval.MANUAL))
    service = FakeService.of(manual).settle()
    async with talking(service) as client:

        async def said(verb: str, **body: str) -> str:
            answer = await client.post(f"/api/apps/web/{verb}", json=body)
            content = await answer.json()
            assert answer.status == 200, content
            return str(content["sentence"])

        assert "is paused" in await said("pause")
        assert "goes on" in await said("resume")
        await said("deploy", image="web:2")
        service.until("waiting for approval")
        assert "aborted by the operator" in await said("abort")
        assert "tried once more" in await said("retry")
        service.until("waiting for approval")
        assert "goes on from 0 %" in await said("promote")
        service.settle()
        assert f"going back to {manual.revision}" in await said("rollback", to=manual.revision)


async def test_a_command_that_makes_no_sense_is_refused() -> None:
    """A refusal says what would work, and changes nothing."""
    async with talking(FakeService.of(SPEC).settle()) as client:
        answer = await client.post("/api/apps/web/promote")
        await problem(answer, 409, "refused", "nothing to promote")


async def test_a_desired_state_that_cannot_be_edited_is_a_refusal() -> None:
    """Deploy tells why the file was not changed."""
    async with talking(FakeService.of(app("web:${TAG}"))) as client:
        answer = await client.post("/api/apps/web/deploy", json={"image": "web:2"})
        await problem(answer, 409, "refused", "made of a variable")


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        ("deploy", b"", "image: Field required"),
        ("deploy", b"{", "Invalid JSON"),
        ("deploy", b'{"image": 5}', "image"),
        ("deploy", b'{"image": ""}', "image"),
        ("deploy", b'{"image": "web:2", "tag": "x"}', "tag"),
        ("rollback", b'{"To": "x"}', "To"),
        ("pause", b'{"for": "1h"}', "must be empty"),
        ("pause", b"[]", "must be empty"),
    ],
)
async def test_a_body_that_cannot_be_used_is_a_bad_request(
    verb: str, body: bytes, words: str
) -> None:
    """What is wrong with a body is told, with an example of a right one."""
    service = FakeService.of(SPEC).settle()
    async with talking(service) as client:
        answer = await client.post(f"/api/apps/web/{verb}", data=body)
        await problem(answer, 400, "bad-request", words, "it must be")
    assert not service.worlds[WEB].record.paused


async def test_a_body_is_not_repeated() -> None:
    """What was sent by mistake (a password, say) does not come back."""
    async with talking(FakeService.of(SPEC)) as client:
        body = {"image": [SECRET], "x": SECRET}
        answer = await client.post("/api/apps/web/deploy", json=body)
        assert SECRET not in await problem(answer, 400, "bad-request")


async def test_a_command_to_an_unknown_app_is_not_found() -> None:
    """Commands need an app."""
    async with talking(FakeService.of(SPEC)) as client:
        await problem(await client.post("/api/apps/wbe/pause"), 404, "not-found", "there is: web")


async def test_an_unknown_command_is_not_found() -> None:
    """Only the verbs of the contract exist."""
    async with talking(FakeService.of(SPEC)) as client:
        await problem(await client.post("/api/apps/web/explode"), 404, "not-found")


async def test_a_command_is_not_taken_as_a_question() -> None:
    """A link cannot deploy anything."""
    async with talking(FakeService.of(SPEC)) as client:
        answer = await client.get("/api/apps/web/deploy")
        await problem(answer, 405, "method-not-allowed", "takes POST")
        assert answer.headers["Allow"] == "POST"


async def test_a_command_nobody_can_judge_is_not_kept_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the app cannot be looked at, the command is given up and the answer says why."""
    monkeypatch.setattr(api, "COMMAND_TIMEOUT", 0.02)
    service = FakeService.of(SPEC).settle()
    service.is_deaf, service.app_trouble = True, "Docker does not answer"
    async with talking(service) as client:
        answer = await client.post("/api/apps/web/pause")
        await problem(answer, 503, "unavailable", "Docker does not answer", "was not obeyed")


async def test_a_command_to_an_app_that_vanishes_is_answered() -> None:
    """The caller is not left waiting by an app that is removed meanwhile."""
    service = FakeService.of(SPEC).settle()
    service.vanishes = True
    async with talking(service) as client:
        answer = await client.post("/api/apps/web/pause")
        await problem(answer, 503, "unavailable", "went away")


async def test_what_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of Docker is a 503 in its own words."""

    async def deaf(*_: object, **__: object) -> str:
        raise EngineUnavailable("Docker did not answer within 5 s")

    monkeypatch.setattr(FakeService, "command", deaf)
    async with talking(FakeService.of(SPEC)) as client:
        answer = await client.post("/api/apps/web/pause")
        await problem(answer, 503, "unavailable", "did not answer within 5 s")


async def test_a_bug_is_said_to_be_one_and_keeps_its_details(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug answers 500 without the message, which could have anything in it."""

    async def broken(*_: object, **__: object) -> str:
        raise ValueError(SECRET)

    monkeypatch.setattr(FakeService, "command", broken)
    async with talking(FakeService.of(SPEC)) as client:
        detail = await problem(await client.post("/api/apps/web/pause"), 500, "bug", "ValueError")
        assert SECRET not in detail

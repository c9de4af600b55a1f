"""Bad versions: the old one keeps serving, the record remembers why, nothing is tried in vain."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import SHORT, Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.model import AppSpec, HealthPolicy, Route
from traefik_bg.core.rollout import Step

V1, V2 = web("web:1"), web("web:2")
BAD = web("web:bad")


async def rejected(stage: Stage, spec: AppSpec = BAD) -> str:
    """Deploy a spec on top of v1, wait for its rejection, and return the reason."""
    await stage.deployed(V1)
    stage.want(spec)
    await stage.until(lambda: stage.record().rejection)
    rejection = stage.record().rejection
    assert rejection is not None
    assert rejection.revision == spec.revision
    await stage.settle()
    assert stage.serves(V1)
    assert stage.running(V1) == len(stage.engine.boxes) == 2
    assert stage.record().good == V1
    assert stage.store.endings[-1].outcome is Outcome.REJECTED
    assert stage.phase is Phase.REJECTED
    assert stage.reason == (
        f"{spec.revision} is rejected: {rejection.reason}; {V1.revision} serves with 2 replicas"
    )
    return rejection.reason


async def test_a_version_that_never_becomes_healthy_is_rejected_at_its_deadline() -> None:
    """It gets no request; blue serves on, and nothing is tried again for hours."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(status=503)
        reason = await rejected(stage)
        assert reason == f"web-{BAD.revision}-0 was not healthy within 4 s: HTTP 503"
        assert all(BAD.revision not in said for said in stage.tape.said("publish"))
        done = len(stage.tape.actions)
        await stage.stays(lambda: len(stage.tape.actions) == done, during=600)


async def test_a_rejected_version_is_tried_again_after_retry() -> None:
    """Retry forgets the rejection; this time it is healthy."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(status=503)
        await rejected(stage)
        stage.engine.images["web:bad"] = Behaviour()
        assert await stage.command(Verb.RETRY) == f"{BAD.revision} is tried once more"
        await stage.settle()
        assert stage.serves(BAD)
        assert stage.record().good == BAD


async def test_a_rejected_version_is_tried_again_when_the_spec_changes() -> None:
    """A longer deadline is another spec: the same image is tried again."""
    slow = replace(BAD, health=HealthPolicy(path="/health", deadline=20.0))
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(ready_after=10)
        await rejected(stage)
        stage.want(slow)
        await stage.settle()
        assert stage.serves(slow)


async def test_a_rejection_survives_a_restart_of_the_service() -> None:
    """What is remembered is not tried again by the next service either (L3)."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(crashes_after=0.0)
        await rejected(stage)
        done = len(stage.tape.actions)
        await stage.restart()
        await stage.settle()
        assert stage.tape.said()[done:] == []
        assert stage.serves(V1)


@pytest.mark.parametrize("comes_back", [True, False], ids=["restarted by Docker", "not restarted"])
async def test_a_version_that_crashes_at_once_is_rejected_with_its_last_words(
    comes_back: bool,
) -> None:
    """Its exit code, the last log line in the reason, and more lines in the record."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(
            crashes_after=0.0, comes_back=comes_back, last_words=("starting", "KeyError: 'DB_URL'")
        )
        reason = await rejected(stage)
        assert reason == f"web-{BAD.revision}-0 exited with code 1: KeyError: 'DB_URL'"
        rejection = stage.record().rejection
        assert rejection is not None
        assert rejection.log == ("starting", "KeyError: 'DB_URL'")
        assert stage.store.endings[-1].log == rejection.log


@pytest.mark.parametrize(
    "behaves",
    [
        Behaviour(crashes_after=0.0, comes_back=False),
        Behaviour(crashes_after=0.0),
        Behaviour(status=503),
        Behaviour(fades_after=3.0),
    ],
    ids=["exits", "exits again and again", "never gets healthy", "falls sick"],
)
async def test_the_last_words_outlive_the_replica_and_the_service(behaves: Behaviour) -> None:
    """However it failed: the replica is gone, the service is another, and its log is still told."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = replace(behaves, last_words=("starting", "no database"))
        await rejected(stage)
        await stage.restart()
        await stage.settle()
        assert not stage.boxes(BAD)
        told = stage.status().record.rejection
        assert told is not None
        assert told.log == stage.store.endings[-1].log == ("starting", "no database")


async def test_a_version_that_crashes_later_is_rejected_while_it_bakes() -> None:
    """Green crashes under traffic: blue, still warm, gets everything back."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(crashes_after=3.0)
        assert "exited with code 1" in await rejected(stage)


async def test_a_version_that_falls_sick_in_its_bake_is_rolled_back() -> None:
    """Unhealthy under traffic: the record remembers why, and blue serves again."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(fades_after=3.0)
        assert await rejected(stage) == f"web-{BAD.revision}-0 became unhealthy: HTTP 500"


async def test_one_failed_probe_in_the_bake_is_no_reason_to_go_back() -> None:
    """`fall` failures in a row make a replica unhealthy, not one."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        stage.engine.sicken(stage.boxes(V2)[0].name)
        await stage.until(lambda: "HTTP 500" in str(stage.status().seen))
        stage.engine.heal(stage.boxes(V2)[0].name)
        await stage.settle()
        assert stage.serves(V2)


async def test_an_image_that_does_not_exist_is_rejected() -> None:
    """No such image: nothing is created, and the registry is not asked again."""
    async with Stage() as stage:
        assert await rejected(stage) == "web:bad: there is no such image"
        assert stage.tape.count("pull") == 1
        assert stage.tape.count("create") == 2


async def test_an_image_that_is_denied_is_rejected() -> None:
    """The registry wants a login: the operator must give one."""
    async with Stage() as stage:
        stage.engine.denied.add("web:bad")
        assert await rejected(stage) == "web:bad: the registry wants a login"


async def test_settings_that_docker_refuses_are_rejected() -> None:
    """Docker refuses to create it: its words are the reason."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(refusal="invalid mount config")
        assert await rejected(stage) == "invalid mount config"


async def test_a_container_that_cannot_be_started_is_rejected() -> None:
    """Docker refuses to start it: its words are the reason."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(start_refusal="exec: no such file")
        assert await rejected(stage) == "exec: no such file"


async def test_a_stranger_that_has_the_name_is_left_alone() -> None:
    """A container that is not ours has the replica's name: the deployment is rejected (S6)."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour()
        name = f"web-{BAD.revision}-1"
        stage.engine.strangers.add(name)
        assert await rejected(stage) == f"the name {name} belongs to someone else"


async def test_routes_that_traefik_refuses_are_rejected() -> None:
    """Traefik says that a rule makes no sense: what was routed before is routed again."""
    bad = replace(V1, routes=(Route(rule="Hots(`web.example`)"),))
    async with Stage() as stage:
        stage.router.refuses["Hots(`web.example`)"] = "unsupported function: Hots"
        await rejected(stage, bad)
        part = stage.router.part(WEB)
        assert part is not None
        assert part.routes == V1.routes


async def test_a_first_version_that_is_bad_is_rejected_and_nothing_serves() -> None:
    """There is nothing to go back to: nothing is routed, nothing is left, the reason is said."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(status=500)
        stage.want(BAD)
        await stage.settle()
        assert stage.router.part(WEB) is None
        assert not stage.engine.boxes
        assert stage.reason.endswith("not healthy within 4 s: HTTP 500; nothing serves")


async def test_retry_of_a_version_whose_replicas_are_still_being_stopped() -> None:
    """That we stopped them is no evidence against it: it is started again and deployed."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(ready_after=6, stop_takes=8)
        await stage.deployed(V1)
        stage.want(BAD)
        await stage.until(lambda: any(box.is_stopping for box in stage.boxes(BAD)))
        for box in stage.boxes(BAD):
            box.behaves = Behaviour()
        stage.engine.images["web:bad"] = Behaviour()
        await stage.command(Verb.RETRY)
        await stage.settle()
        assert stage.serves(BAD)
        assert stage.record().good == BAD


async def test_the_way_back_to_a_version_that_was_stopped_while_the_service_was_down() -> None:
    """What had ended before we first looked is started once before it is judged."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2)
        await stage.kill()
        stage.engine.crash(stage.boxes(V2)[0].name, 143, comes_back=False)
        stage.start()
        await stage.settle()
        assert stage.serves(V2)
        assert stage.running(V2) == 2


async def test_what_crashes_whenever_it_is_started_is_rejected_by_a_new_service_too() -> None:
    """It had ended before we first looked, is started once, crashes again, and is rejected."""
    async with Stage() as stage:
        stage.engine.images["web:bad"] = Behaviour(crashes_after=0.0, comes_back=False)
        await stage.deployed(V1)
        stage.tape.next("start", Mishap.KILLS_DURING, 2)
        stage.want(BAD)
        await stage.tape.died.wait()
        await stage.restart(down_for=1.0)
        assert [box.exit_code for box in stage.boxes(BAD)] == [1, 1]
        await stage.settle()
        assert stage.tape.said("start")[4:] == [f"start web-{BAD.revision}-{n}" for n in (0, 1)]
        assert stage.record().rejection
        assert stage.serves(V1)


# --- stale answers --------------------------------------------------------------------------------


async def test_a_refusal_is_forgotten_when_the_wish_changes() -> None:
    """A pull that failed for a superseded wish says nothing about the same wish tomorrow."""
    async with Stage() as stage:
        stage.engine.registry["web:2"] = Behaviour()
        del stage.engine.images["web:2"]
        await stage.deployed(V1)
        stage.engine.denied.add("web:2")
        stage.want(V2)
        await stage.until(lambda: stage.phase is Phase.PULLING)
        stage.want(V1)  # while the pull is still under way
        await stage.settle()
        stage.engine.denied.clear()
        stage.want(V2)
        await stage.settle()
        assert stage.serves(V2)
        assert Outcome.REJECTED not in [ending.outcome for ending in stage.store.endings]


async def test_retry_asks_the_registry_anew() -> None:
    """The operator says that it is there now, whatever the image is called."""
    spec = web("nameless")
    async with Stage() as stage:
        await rejected(stage, spec)
        stage.engine.registry["nameless"] = Behaviour()
        await stage.command(Verb.RETRY)
        await stage.settle()
        assert stage.serves(spec)


async def test_an_image_that_vanishes_before_the_creation_is_pulled_again() -> None:
    """It was here when we looked, and pruned a moment later: nobody's fault."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.engine.registry["web:2"] = stage.engine.images.pop("web:2")
        stage.engine.lies_about_images = True
        stage.want(V2)
        await stage.until(lambda: len(stage.tape.said("create")) == 4)
        stage.engine.lies_about_images = False
        await stage.settle()
        assert stage.serves(V2)
        assert stage.tape.count("pull") == 1


async def test_an_image_without_a_tag_is_pulled_again_when_the_spec_changes() -> None:
    """An edit after a rejection asks the registry anew, whatever the image is called."""
    async with Stage() as stage:
        await rejected(stage, web("nameless"))
        stage.engine.registry["nameless"] = Behaviour()
        again = web("nameless", container='{"environment":{"A":"1"}}')
        stage.want(again)
        await stage.settle()
        assert stage.serves(again)


# --- who is to blame ------------------------------------------------------------------------------


async def test_when_blue_dies_while_green_starts_green_gets_everything() -> None:
    """Fail forward: the first healthy replica of green takes the traffic that blue cannot."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False, refusal="no more")
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2)
        for box in stage.boxes(V1):
            stage.engine.remove_by_hand(box.name)
        await stage.until(lambda: stage.serves(V2), within=5)
        await stage.settle()
        assert stage.record().good == V2


async def test_a_machine_that_goes_down_rejects_nobody() -> None:
    """Blue and green both exit: both are started again, and the deployment goes on."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        stage.engine.reboot()
        await stage.settle()
        assert stage.serves(V2)
        assert stage.running(V2) == len(stage.engine.boxes) == 2
        assert stage.record().good == V2


async def test_a_machine_that_goes_down_with_the_service_rejects_nobody() -> None:
    """The same, when the service was on that machine."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        await stage.kill()
        stage.engine.reboot()
        stage.router.restart()
        stage.start()
        await stage.settle()
        assert stage.serves(V2)
        assert stage.record().good == V2


async def test_when_blue_is_gone_and_only_a_limping_green_is_left_it_keeps_all_traffic() -> None:
    """At 10 % green falls sick and blue dies: sick is better than nothing, and gets everything."""
    canary = web("web:2", rollout=replace(SHORT, steps=(Step(weight=10, pause=60.0),)))
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(start_refusal="", comes_back=False)
        await stage.deployed(V1)
        stage.want(canary)
        await stage.until(lambda: stage.weights().get(V2.revision) == 10)
        stage.tape.down["docker"] = "not now"  # so that all of it is seen in one look
        for box in stage.boxes(V1):
            box.behaves = Behaviour(start_refusal="gone for good")
            stage.engine.crash(box.name, comes_back=False)
        for box in stage.boxes(V2):
            stage.engine.sicken(box.name)
        await asyncio.sleep(3)
        stage.tape.down.clear()
        await stage.until(lambda: stage.serves(canary), within=10)
        for box in stage.boxes(V2):
            stage.engine.heal(box.name)
        await stage.stays(lambda: stage.serves(canary), during=60)

"""Tags that are followed: deployed when they move, and never for anything else."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused, EngineUnavailable, ImageNotFound, Unavailable
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.tags import KnownTag

TAG = web("acme/web:latest")
POLL = 300.0
D1, D2, D3 = (f"sha256:d{n}" for n in (1, 2, 3))


def pinned(digest: str, spec: AppSpec = TAG) -> AppSpec:
    """Return the spec with its tag's content written in."""
    return replace(spec, image=f"{spec.image}@{digest}")


async def following(stage: Stage, digest: str = D1) -> AppSpec:
    """Have an app follow a tag, and its first deployment be over."""
    stage.engine.push(TAG.image, digest, Behaviour())
    stage.want(TAG, poll=POLL)
    spec = pinned(digest)
    await stage.until(lambda: stage.record().good == spec)
    await stage.settle()
    return spec


def asked(stage: Stage) -> int:
    """Return how often the registry was asked what a tag means."""
    return stage.tape.count("tag_digest")


# --- following ------------------------------------------------------------------------------------


async def test_a_first_deployment_is_of_what_the_tag_means_now() -> None:
    """Not of what somebody pulled under that name last month; and it is deployed once."""
    async with Stage() as stage:
        stage.engine.images[TAG.image] = Behaviour()
        await following(stage)
        assert stage.serves(pinned(D1))
        assert stage.tape.said("pull") == [f"pull {pinned(D1).image}"]
        assert [ending.outcome for ending in stage.store.endings] == [Outcome.SUCCEEDED]


async def test_a_tag_that_moves_is_deployed() -> None:
    """Within its interval and a tenth, as an edit would be; the history says why."""
    async with Stage() as stage:
        await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour())
        await stage.until(lambda: stage.record().good == pinned(D2), within=POLL * 1.1 + 30)
        await stage.settle()
        assert stage.serves(pinned(D2))
        assert stage.store.notes[-1] == f"{TAG.image} is {D2} now, it was {D1}: that is deployed"


async def test_a_tag_that_stays_is_asked_about_and_nothing_is_done() -> None:
    """Once an interval, not more often."""
    async with Stage() as stage:
        await following(stage)
        before, done = asked(stage), len(stage.tape.actions)
        await asyncio.sleep(10 * POLL)
        assert 9 <= asked(stage) - before <= 11
        assert stage.tape.said()[done:] == []


async def test_a_restart_deploys_nothing() -> None:
    """What the tag meant is remembered; the registry may be away."""
    async with Stage() as stage:
        spec = await following(stage)
        done = len(stage.tape.actions)
        stage.tape.down["registry"] = "no route to host"
        await stage.restart()
        await stage.until(lambda: stage.phase is Phase.SETTLED)
        await asyncio.sleep(3 * POLL)
        assert stage.tape.said()[done:] == []
        assert stage.serves(spec)


async def test_a_tag_that_moved_while_the_service_was_down_is_deployed() -> None:
    """It is asked about within an interval."""
    async with Stage() as stage:
        await following(stage)
        await stage.kill()
        stage.engine.push(TAG.image, D2, Behaviour())
        stage.start()
        await stage.until(lambda: stage.record().good == pinned(D2), within=POLL + 30)


async def test_following_what_serves_already_deploys_nothing() -> None:
    """Polling is written into the file of an app whose bare tag runs what it means."""
    async with Stage() as stage:
        stage.engine.push(TAG.image, D1, Behaviour())
        await stage.deployed(TAG)
        done = len(stage.tape.said("create"))
        stage.want(TAG, poll=POLL)
        await stage.until(lambda: WEB in stage.store.known_tags)
        await stage.settle()
        assert stage.store.known_tags[WEB] == KnownTag(image=TAG.image, digest=D1, is_pinned=False)
        assert len(stage.tape.said("create")) == done
        assert stage.record().good == TAG


async def test_following_a_tag_that_has_moved_already_deploys_it() -> None:
    """The bare tag runs what it meant at its deployment."""
    async with Stage() as stage:
        stage.engine.push(TAG.image, D1, Behaviour())
        await stage.deployed(TAG)
        stage.engine.push(TAG.image, D2, Behaviour())
        stage.want(TAG, poll=POLL)
        await stage.until(lambda: stage.record().good == pinned(D2))


async def test_a_tag_that_goes_back_to_what_the_bare_tag_ran_is_that() -> None:
    """The earlier revision is deployed again, with its own history."""
    async with Stage() as stage:
        stage.engine.push(TAG.image, D1, first := Behaviour())
        await stage.deployed(TAG)
        stage.want(TAG, poll=POLL)
        await stage.until(lambda: WEB in stage.store.known_tags)
        stage.engine.push(TAG.image, D2, Behaviour())
        await stage.until(lambda: stage.record().good == pinned(D2), within=2 * POLL)
        stage.engine.push(TAG.image, D1, first)
        await stage.until(lambda: stage.record().good == TAG, within=2 * POLL)


async def test_following_no_more_leaves_what_serves() -> None:
    """Without `update` the content stays; nothing is asked and nothing deployed."""
    async with Stage() as stage:
        spec = await following(stage)
        stage.want(TAG)
        before, done = asked(stage), len(stage.tape.actions)
        stage.engine.push(TAG.image, D2, Behaviour())
        await asyncio.sleep(5 * POLL)
        assert (asked(stage), stage.tape.said()[done:]) == (before, [])
        stage.want(replace(TAG, replicas=3))
        await stage.until(lambda: stage.running(spec) == 3)
        await stage.settle()
        assert stage.record().good == replace(spec, replicas=3)


# --- what was turned down -------------------------------------------------------------------------


async def test_a_rejected_content_is_not_tried_again_until_the_tag_moves_once_more() -> None:
    """However often its registry is asked, and over a restart (L3)."""
    async with Stage() as stage:
        good = await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour(crashes_after=0))
        await stage.until(lambda: stage.phase is Phase.REJECTED, within=2 * POLL)
        await stage.settle()
        done = len(stage.tape.said("create"))
        await asyncio.sleep(3 * POLL)
        await stage.restart()
        await asyncio.sleep(3 * POLL)
        assert len(stage.tape.said("create")) == done
        assert stage.serves(good)
        stage.engine.push(TAG.image, D3, Behaviour())
        await stage.until(lambda: stage.record().good == pinned(D3), within=2 * POLL)


async def test_a_rollback_keeps_a_moved_tag_aside_until_it_moves_once_more() -> None:
    """As it keeps aside what was edited."""
    async with Stage() as stage:
        good = await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour())
        await stage.until(lambda: stage.record().good == pinned(D2), within=2 * POLL)
        await stage.settle()
        await stage.command(Verb.ROLLBACK)
        await stage.settle()
        await stage.stays(lambda: stage.serves(good), during=3 * POLL)
        stage.engine.push(TAG.image, D3, Behaviour())
        await stage.until(lambda: stage.record().good == pinned(D3), within=2 * POLL)


async def test_an_edit_tries_a_rejected_content_again() -> None:
    """With the settings as they are now, it may work."""
    async with Stage() as stage:
        await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour(crashes_after=0))
        await stage.until(lambda: stage.phase is Phase.REJECTED, within=2 * POLL)
        await stage.settle()
        done = stage.tape.count("create")
        stage.want(replace(TAG, port=81), poll=POLL)
        await stage.until(lambda: stage.tape.count("create") > done)
        assert stage.status().record.rejection is None


# --- when the registry is no help -----------------------------------------------------------------


async def test_a_registry_that_does_not_answer_changes_nothing_and_is_said_once(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """Unknown is not empty; and it is said when it answers again."""
    async with Stage() as stage:
        spec = await following(stage)
        done = len(stage.tape.actions)
        stage.tape.down["registry"] = "no route to host"
        await asyncio.sleep(5 * POLL)
        assert stage.tape.said()[done:] == []
        assert stage.serves(spec)
        status = stage.tags.status(WEB)
        assert status is not None
        assert status.trouble == "no route to host"
        del stage.tape.down["registry"]
        await asyncio.sleep(2 * POLL)
        said = [line["event"] for line in logs if line["event"].startswith("tag.")]
        assert said.count("tag.unanswered") == said.count("tag.answered") == 1
        status = stage.tags.status(WEB)
        assert status is not None
        assert status.trouble is None


async def test_a_first_deployment_waits_for_the_registry_but_not_for_long() -> None:
    """Then the bare tag has to do, as where none is followed; no blame and no second deployment."""
    async with Stage() as stage:
        stage.engine.push(TAG.image, D1, Behaviour())
        stage.tape.down["registry"] = "no route to host"
        stage.want(TAG, poll=POLL)
        await asyncio.sleep(9)
        assert stage.tape.said("create", "pull") == []
        await stage.until(lambda: stage.record().good == TAG)
        del stage.tape.down["registry"]
        await stage.until(lambda: WEB in stage.store.known_tags, within=2 * POLL)
        await stage.settle()
        assert stage.record().good == TAG
        assert len(stage.store.endings) == 1


async def test_a_new_name_leaves_what_serves_alone_until_its_registry_has_answered() -> None:
    """What serves is repaired meanwhile: what was wanted before is still wanted."""
    other = web("acme/web:next")
    async with Stage() as stage:
        spec = await following(stage)
        stage.engine.push(other.image, D3, Behaviour())
        stage.engine.registry_takes = 8.0
        stage.want(other, poll=POLL)
        await asyncio.sleep(1)
        stage.engine.remove_by_hand(stage.boxes(spec)[0].name)
        await stage.until(lambda: stage.running(spec) == 2, within=4)
        assert stage.record().good == spec
        await stage.until(lambda: stage.record().good == pinned(D3, other))


async def test_an_image_that_is_only_here_is_deployed_and_the_notice_stays() -> None:
    """There is nothing to follow: it runs as it would without, and the status says so."""
    local = web("web:1")
    async with Stage() as stage:
        stage.want(local, poll=POLL)
        await stage.until(lambda: stage.record().good == local, within=9)
        status = stage.tags.status(WEB)
        assert status is not None
        assert status.trouble == "web:1: there is no such image"


async def test_a_tag_that_is_removed_from_the_registry_changes_nothing() -> None:
    """What it meant last serves on."""
    async with Stage() as stage:
        spec = await following(stage)
        del stage.engine.tags[TAG.image]
        await stage.stays(lambda: stage.serves(spec), during=3 * POLL)


# --- bad moments ----------------------------------------------------------------------------------


async def test_a_tag_that_moves_during_a_deployment_supersedes_it() -> None:
    """As an edit does; what was never good is left behind."""
    async with Stage() as stage:
        await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour(ready_after=3.0))
        await stage.until(lambda: stage.phase is Phase.STARTING, within=2 * POLL)
        stage.engine.push(TAG.image, D3, Behaviour())
        assert "it was" in await stage.tags.ask(WEB)
        await stage.until(lambda: stage.record().good == pinned(D3))
        await stage.settle()
        assert stage.running(pinned(D2)) == 0
        assert Outcome.SUPERSEDED in [ending.outcome for ending in stage.store.endings]


async def test_an_edit_while_the_registry_is_asked_wins() -> None:
    """The answer is about a name that nobody uses any more."""
    other = web("web:2")
    async with Stage() as stage:
        await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour())
        stage.engine.registry_takes = 5.0
        asking = asyncio.create_task(stage.tags.ask(WEB))
        await asyncio.sleep(1)
        stage.want(other)
        await asking
        await stage.until(lambda: stage.record().good == other)
        await stage.settle()
        assert stage.boxes(pinned(D2)) == []
        assert stage.store.known_tags == {}


async def test_an_answer_that_cannot_be_remembered_is_not_acted_on() -> None:
    """Without memory we do not act; it is asked again."""
    async with Stage() as stage:
        spec = await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour())
        stage.tape.next("save_tag", Mishap.FAILS)
        with pytest.raises(Unavailable):
            await stage.tags.ask(WEB)
        await stage.stays(lambda: stage.serves(spec), during=20)
        await stage.until(lambda: stage.record().good == pinned(D2), within=2 * POLL)


async def test_a_memory_whose_answer_was_lost_remembers() -> None:
    """It was written, and nobody heard so: the next answer finds it there."""
    async with Stage() as stage:
        await following(stage)
        stage.engine.push(TAG.image, D2, Behaviour())
        stage.tape.next("save_tag", Mishap.LOSES_REPLY)
        with pytest.raises(Unavailable):
            await stage.tags.ask(WEB)
        await stage.restart()
        await stage.until(lambda: stage.record().good == pinned(D2), within=60)


async def test_a_lost_memory_deploys_nothing_anew() -> None:
    """Forgetting costs time, never safety (L4): the registry says again what it said before."""
    async with Stage() as stage:
        spec = await following(stage)
        done = stage.tape.count("create")
        await stage.restart(lose_record=True)
        await stage.until(lambda: stage.record().good == spec)
        await stage.settle()
        assert stage.tape.count("create") == done


async def test_two_apps_of_one_image_follow_it_each_for_itself() -> None:
    """One may reject what the other keeps."""
    api = replace(TAG, name=AppName("api"))
    async with Stage() as stage:
        await following(stage)
        stage.want(api, poll=POLL / 2)
        await stage.until(lambda: stage.record(api.name).good == pinned(D1, api))
        await stage.settle()
        stage.engine.push(TAG.image, D2, Behaviour())
        await stage.until(lambda: stage.record(api.name).good == pinned(D2, api), within=POLL)
        await stage.until(lambda: stage.record().good == pinned(D2), within=2 * POLL)


async def test_an_app_that_is_gone_leaves_nothing_behind() -> None:
    """The next one of its name is asked about as a new one is."""
    async with Stage() as stage:
        await following(stage)
        stage.drop()
        await stage.until(lambda: not stage.supervisor.statuses)
        assert stage.store.known_tags == {}
        assert stage.tags.status(WEB) is None


# --- told to --------------------------------------------------------------------------------------


async def test_who_says_so_has_the_registry_asked_at_once() -> None:
    """Also of an app whose tag is not polled."""
    async with Stage() as stage:
        stage.engine.push(TAG.image, D1, Behaviour())
        await stage.deployed(TAG)
        assert await stage.tags.ask(WEB) == (
            f"{TAG.image} is {D1}, which is what the tag alone runs"
        )
        assert await stage.tags.ask(WEB) == f"{TAG.image} is still {D1}"
        stage.engine.push(TAG.image, D2, Behaviour())
        assert await stage.tags.ask(WEB) == (
            f"{TAG.image} is {D2} now, it was {D1}: that is deployed"
        )
        await stage.until(lambda: stage.record().good == pinned(D2))


async def test_who_says_so_is_told_why_it_cannot_be_done() -> None:
    """The registry is away, has no such image, or there is no tag to follow."""
    fixed = web("acme/web@sha256:d1")
    async with Stage() as stage:
        await following(stage)
        with pytest.raises(CommandRefused, match="shop is not in the desired state"):
            await stage.tags.ask(AppName("shop"))
        del stage.engine.tags[TAG.image]
        with pytest.raises(ImageNotFound):
            await stage.tags.ask(WEB)
        stage.tape.down["registry"] = "no route to host"
        with pytest.raises(EngineUnavailable, match="no route to host"):
            await stage.tags.ask(WEB)
        stage.want(fixed)
        with pytest.raises(CommandRefused, match="web: acme/web@sha256:d1 names a digest"):
            await stage.tags.ask(WEB)

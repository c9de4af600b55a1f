"""Images that go: those we pulled, when nobody needs them; and never any other."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.commands import Verb
from traefik_bg.core.model import AppName

VERSIONS = [web(f"far:{n}") for n in range(6)]
LONG = 700.0  # seconds: longer than retention ever waits


def pushed(stage: Stage) -> None:
    """Have the versions be in a registry, and not here."""
    for spec in VERSIONS:
        stage.engine.registry[spec.image] = Behaviour()


async def deployed(stage: Stage, *numbers: int) -> None:
    """Have versions deployed one after the other."""
    for number in numbers:
        await stage.deployed(VERSIONS[number])
    await asyncio.sleep(LONG)


def here(stage: Stage) -> set[str]:
    """Return the images that are here, of those that had to be pulled."""
    return {name for name in stage.engine.images if name.startswith("far:")}


async def test_images_of_the_last_good_revisions_stay_and_older_ones_go() -> None:
    """Those that we pulled; a rollback has what it needs at once."""
    async with Stage(keep_images=2) as stage:
        pushed(stage)
        await deployed(stage, 0, 1, 2, 3)
        assert here(stage) == {"far:1", "far:2", "far:3"}
        assert stage.tape.said("remove_image") == ["remove_image far:0"]
        pulls = stage.tape.count("pull")
        await stage.command(Verb.ROLLBACK)
        await stage.until(lambda: stage.serves(VERSIONS[2]))
        assert stage.tape.count("pull") == pulls


async def test_all_images_stay_where_none_is_to_be_removed() -> None:
    """0 keeps all."""
    async with Stage(keep_images=0) as stage:
        pushed(stage)
        await deployed(stage, 0, 1, 2, 3)
        assert here(stage) == {"far:0", "far:1", "far:2", "far:3"}


async def test_what_was_here_before_is_never_removed() -> None:
    """Somebody built it, or pulled it; also where we pulled it under another name."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        stage.engine.images["theirs:1"] = stage.engine.registry["far:0"]
        await deployed(stage, 0)
        await stage.deployed(web("web:1"))
        await stage.deployed(web("web:2"))
        await stage.deployed(web("web:3"))
        await asyncio.sleep(LONG)
        assert stage.tape.said("remove_image") == []
        assert {"far:0", "theirs:1", "web:1"} <= stage.engine.images.keys()


async def test_what_somebody_has_come_to_use_stays(logs: list[MutableMapping[str, Any]]) -> None:
    """A name that was given to it, or a container: Docker says no, once is enough to be told."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        await deployed(stage, 0)
        stage.engine.images["theirs:0"] = stage.engine.images["far:0"]
        await deployed(stage, 1, 2, 3, 4)
        assert {"far:0", "theirs:0"} <= stage.engine.images.keys()
        assert "far:1" not in stage.engine.images
        assert [line["event"] for line in logs].count("image.stays") == 1
        del stage.engine.images["theirs:0"]
        await asyncio.sleep(LONG)
        assert "far:0" not in stage.engine.images


async def test_what_a_container_of_somebody_else_runs_is_not_even_tried() -> None:
    """Docker lists all containers, whosever they are."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        await deployed(stage, 0)
        stage.engine.others.append(replace(stage.boxes(VERSIONS[0])[0]))
        await deployed(stage, 1, 2, 3)
        assert here(stage) == {"far:0", "far:2", "far:3"}
        assert stage.tape.said("remove_image") == ["remove_image far:1"]


async def test_nothing_goes_while_a_deployment_is_under_way() -> None:
    """Of any app: what it may have to go back to is not to be guessed."""
    slow = web("web:2", name=AppName("api"), rollout=replace(web().rollout, bake=3 * LONG))
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        stage.want(slow)
        await deployed(stage, 0, 1, 2)
        assert stage.record(AppName("api")).deployment is not None
        assert stage.tape.said("remove_image") == []
        await asyncio.sleep(3 * LONG)
        assert stage.tape.said("remove_image") == ["remove_image far:0"]


async def test_what_is_wanted_stays_although_it_was_rejected() -> None:
    """It may be tried once more."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        stage.engine.registry["far:bad"] = Behaviour(crashes_after=0)
        await deployed(stage, 0, 1)
        stage.want(web("far:bad"))
        await stage.until(lambda: stage.status().record.rejection is not None)
        await asyncio.sleep(LONG)
        assert here(stage) == {"far:0", "far:1", "far:bad"}
        await deployed(stage, 2)
        assert here(stage) == {"far:1", "far:2"}


async def test_what_another_app_needs_stays() -> None:
    """An image belongs to no app."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        await stage.deployed(replace(VERSIONS[0], name=AppName("api")))
        await deployed(stage, 0, 1, 2)
        assert "far:0" in here(stage)


async def test_the_images_of_an_app_that_is_gone_go() -> None:
    """Nothing of it is remembered, so nothing is kept for it."""
    async with Stage(keep_images=3) as stage:
        pushed(stage)
        await stage.deployed(web("web:1", name=AppName("api")))
        await deployed(stage, 0, 1)
        stage.drop()
        await asyncio.sleep(LONG)
        assert here(stage) == set()
        assert stage.store.images_pulled == {}


@pytest.mark.parametrize("verb", ["used", "pulled", "record"])
async def test_what_is_not_known_removes_nothing(verb: str) -> None:
    """Unknown is not empty (S5); the next look will know."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        await deployed(stage, 0, 1)
        stage.want(VERSIONS[2])
        await stage.until(lambda: stage.record().good == VERSIONS[2])
        stage.tape.next(verb, Mishap.FAILS, 2)
        await asyncio.sleep(60)
        assert stage.tape.said("remove_image") == []
        await asyncio.sleep(2 * LONG)
        assert stage.tape.said("remove_image") == ["remove_image far:0"]


@pytest.mark.parametrize("mishap", [Mishap.FAILS, Mishap.LOSES_REPLY])
async def test_a_removal_without_an_answer_is_made_again(mishap: Mishap) -> None:
    """It may have been done; gone is fine."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        stage.tape.next("remove_image", mishap)
        await deployed(stage, 0, 1, 2)
        await asyncio.sleep(LONG)
        assert here(stage) == {"far:1", "far:2"}
        assert len(stage.store.images_pulled) == 2


async def test_a_pull_that_cannot_be_remembered_is_a_pull_all_the_same(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """The image stays for ever, and that does less harm than no deployment."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        stage.tape.next("save_pulled", Mishap.FAILS)
        await deployed(stage, 0, 1, 2)
        assert here(stage) == {"far:0", "far:1", "far:2"}
        assert "image.not_remembered" in [line["event"] for line in logs]


async def test_an_image_that_is_wanted_again_while_it_goes_is_pulled_again() -> None:
    """An edit may come at any moment."""
    async with Stage(keep_images=1) as stage:
        pushed(stage)
        await stage.deployed(VERSIONS[0])
        await stage.deployed(VERSIONS[1])
        stage.want(VERSIONS[2])
        await stage.until(lambda: "remove_image far:0" in stage.tape.said(), within=LONG)
        stage.want(VERSIONS[0])
        await stage.until(lambda: stage.record().good == VERSIONS[0])

"""Images from a real registry that wants a login: pulled, refused, moved and come back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.registry import Registry, registry
from integration.stage import QUICK, Stage, docker

SHORT = {"bake": "300ms", "drain": "500ms"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for all of these tests: what the versions share is pushed once."""
    with registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def config(scene: Stage, tmp_path: Path) -> Path:
    """Where the service of this test looks for logins."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    scene.environment["DOCKER_CONFIG"] = str(folder)
    return folder


def want(scene: Stage, image: str, **changes: Any) -> None:
    """Desire an image."""
    scene.want(image=image, environment=QUICK, rollout=SHORT, **changes)


async def until_good(scene: Stage, image: str, *, replicas: int = 2) -> dict[str, Any]:
    """Wait until an image serves and nothing else is left."""
    return await scene.until(
        lambda app: (
            app["phase"] in {"settled", "rejected"}  # after a rollback, what is desired stays aside
            and app["good"] is not None
            and app["good"]["image"] == image
            and len(app["replicas"]) == app["healthy"] == replicas
            and [weight["image"] for weight in app["weights"]] == [image]
        )
    )


def running(scene: Stage, what: str = "{{.Image}}") -> set[str]:
    """Return what the replicas are, in Docker's words; by default the images they run."""
    ours = f"label=traefik-bg.instance={scene.name}"
    found = docker("ps", "-q", "--filter", ours).split()
    return set(docker("inspect", "-f", what, *found).splitlines())


async def test_a_login_in_dockers_config_file_is_used(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """As `docker login` leaves it; the password is in no output."""
    shop.push("file", "1")
    shop.login(config)
    want(scene, shop.image("file"))
    scene.start_service()
    await until_good(scene, shop.image("file"))
    token = json.loads((config / "config.json").read_text())["auths"][shop.host]["auth"]
    assert token not in scene.log.read_text()


async def test_a_login_from_a_credential_helper_is_used(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """The program is found on the path of the service."""
    shop.push("helper", "1")
    shop.login_by_helper(config)
    scene.environment["PATH"] = f"{config}{os.pathsep}{os.environ['PATH']}"
    want(scene, shop.image("helper"))
    scene.start_service()
    await until_good(scene, shop.image("helper"))


async def test_a_wrong_password_is_said_and_blue_serves_on(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """Asking again would not help: it is rejected, and tried again when somebody says so."""
    shop.push("wrong", "2")
    shop.login(config, "wrong")
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    before = running(scene, "{{.Id}}")
    want(scene, shop.image("wrong"))
    app = await scene.until(lambda app: app["phase"] == "rejected")
    reason = app["rejection"]["reason"]
    assert f"the registry refuses image {shop.image('wrong')}" in reason
    assert f"docker login {shop.host}" in reason
    assert running(scene, "{{.Id}}") == before
    assert [weight["weight"] for weight in app["weights"]] == [100]

    shop.login(config)
    await scene.command("retry")
    await until_good(scene, shop.image("wrong"))


async def test_a_registry_that_is_away_is_waited_for(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """It says nothing about the image: nothing is rejected, and blue serves on."""
    shop.push("away", "2")
    shop.login(config)
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    shop.stop()
    try:
        want(scene, shop.image("away"))
        app = await scene.until(lambda app: "could not be pulled now" in app["reason"])
    finally:
        shop.start()
    assert app["phase"] == "pulling"
    assert app["rejection"] is None
    assert [weight["weight"] for weight in app["weights"]] == [100]
    await until_good(scene, shop.image("away"))


async def test_a_replica_that_is_added_runs_what_its_siblings_run(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """Although the tag has been moved since, in the registry and on this machine."""
    shop.push("moved", "1")
    shop.login(config)
    want(scene, shop.image("moved"), replicas=1)
    scene.start_service()
    await until_good(scene, shop.image("moved"), replicas=1)
    [was] = running(scene)

    shop.push("elsewhere", "2")
    docker("tag", shop.pull("elsewhere"), shop.image("moved"))
    docker("--config", str(shop.root / "docker"), "push", "--quiet", shop.image("moved"))
    want(scene, shop.image("moved"), replicas=3)
    await until_good(scene, shop.image("moved"), replicas=3)
    assert running(scene) == {was}


@pytest.mark.timeout(180)
async def test_a_rollback_pulls_the_very_image_by_its_digest(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """It was removed from this machine, and its tag means something else by now."""
    first = shop.push("first", "1")
    shop.push("second", "2")
    shop.login(config)
    want(scene, shop.image("first"))
    scene.start_service()
    before = await until_good(scene, shop.image("first"))
    exactly = f"{shop.host}/acme/web@{first}"
    assert before["good"]["digest"] == exactly
    assert [past["digest"] for past in await scene.history()] == [exactly]
    [was] = running(scene)
    want(scene, shop.image("second"))
    await until_good(scene, shop.image("second"))

    docker("rmi", "--force", was)
    assert was not in docker("images", "-q", "--no-trunc").split()
    shop.push("first", "3")
    answer = await scene.command("rollback")
    assert f"the very image it ran: {exactly}" in answer["sentence"]
    after = await until_good(scene, shop.image("first"))
    assert running(scene) == {was}
    assert after["good"]["revision"] == before["good"]["revision"]
    assert f"pulling {exactly}" in scene.log.read_text()


@pytest.mark.timeout(180)
async def test_a_pull_says_how_much_has_come(scene: Stage, shop: Registry, config: Path) -> None:
    """While it is under way; blue serves on meanwhile."""
    shop.push("big", "2", padding=400_000_000)
    shop.login(config)
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    want(scene, shop.image("big"))
    app = await scene.until(lambda app: "of 400 MB" in app["reason"])
    assert app["phase"] == "pulling"
    assert app["reason"].startswith(f"pulling {shop.image('big')}: ")
    assert [weight["weight"] for weight in app["weights"]] == [100]
    await until_good(scene, shop.image("big"))


# --- tags that move -------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_a_tag_that_moves_is_deployed_by_its_digest(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """It is asked about every 10 s; a restart deploys nothing, and the way back is to a digest."""
    tag = shop.image("stable")
    first = f"{tag}@{shop.push('stable', '1')}"
    shop.login(config)
    want(scene, tag, update={"poll": "10s"})
    scene.start_service()
    await until_good(scene, first)
    [was] = running(scene)
    second = f"{tag}@{shop.push('stable', '2')}"
    await until_good(scene, second)
    assert running(scene) != {was}
    ids = running(scene, "{{.Id}}")

    scene.kill_service()
    scene.start_service()
    await until_good(scene, second)
    assert running(scene, "{{.Id}}") == ids
    await scene.command("rollback")
    await until_good(scene, first)
    assert running(scene) == {was}
    answer = await scene.command("update")
    assert answer["sentence"] == f"{tag} is still {second.partition('@')[2]}"
    app = await until_good(scene, first)
    assert app["phase"] == "rejected"
    assert app["tag"]["digest"] == second.partition("@")[2]
    third = f"{tag}@{shop.push('stable', '3')}"
    await until_good(scene, third)
    assert [past["image"] for past in reversed(await scene.history())] == [first, second, third]


@pytest.mark.timeout(180)
async def test_a_webhook_deploys_a_tag_that_has_moved(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """Where nothing polls; a bare tag that runs what it means is left alone."""
    tag = shop.image("hooked")
    digest = shop.push("hooked", "1")
    shop.login(config)
    want(scene, tag)
    scene.start_service()
    await until_good(scene, tag)
    answer = await scene.command("update")
    assert answer["sentence"] == f"{tag} is {digest}, which is what the tag alone runs"
    moved = shop.push("hooked", "2")
    answer = await scene.command("update")
    assert answer["sentence"] == f"{tag} is {moved} now, it was {digest}: that is deployed"
    await until_good(scene, f"{tag}@{moved}")

    shop.stop()
    try:
        answer = await scene.command("update")
    finally:
        shop.start()
    assert answer["status"] == 503
    assert f"image {tag} could not be asked about now" in answer["detail"]
    shop.login(config, "wrong")
    answer = await scene.command("update")
    assert answer["status"] == 409
    assert f"the registry refuses image {tag}" in answer["detail"]


# --- what is removed ------------------------------------------------------------------------------


@pytest.mark.timeout(240)
async def test_images_that_nobody_needs_are_removed_and_no_others(
    scene: Stage, shop: Registry, config: Path
) -> None:
    """The last good one stays, for an undo that has to pull nothing; so does what is not ours."""
    tags = [f"kept-{number}" for number in range(4)]
    for number, tag in enumerate(tags):
        shop.push(tag, str(number))
    theirs = shop.pull(tags[0])
    shop.login(config)
    scene.environment["TRAEFIK_BG_KEEP_IMAGES"] = "1"
    scene.start_service()
    ids: list[str] = []
    for tag in tags:
        want(scene, shop.image(tag))
        await until_good(scene, shop.image(tag))
        ids += running(scene)
    await scene.until(lambda _app: "image.removed" in scene.log.read_text())
    assert ids[0] == theirs
    here = set(docker("images", "-q", "--no-trunc").split())
    assert here >= {ids[0], ids[2], ids[3]}
    assert ids[1] not in here
    shop.stop()
    try:
        await scene.command("rollback")
        await until_good(scene, shop.image(tags[2]))
    finally:
        shop.start()
    assert running(scene) == {ids[2]}

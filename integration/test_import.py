"""Compose files of three well-known kinds are imported and deployed without a hand edit."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from integration.stage import SAMPLE, Stage, docker

FILES = Path(__file__).parent / "compose"
PATIENCE = 60.0
RULER = "# " + "-" * 98 + "\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of Compose file, and what of it is looked at."""

    name: str
    service: str
    host: str
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """What Compose would have made already, by the names within the project."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a request must have to be let in."""


READER = {"Authorization": "Basic " + b64encode(b"reader:reader").decode()}
KINDS = [
    Kind("shop", "web", "shop.localhost", ("backend",), ("uploads",)),
    Kind("blog", "blog", "www.blog.localhost", ("default",), ("content",)),
    Kind("api", "api", "api.localhost", ("default",), headers=READER),
]


@pytest.fixture
def project(scene: Stage) -> Iterator[str]:
    """The name of a project of this test alone; what was made for it goes with it."""
    name = scene.name
    yield name
    scene.strike()
    for network in docker("network", "ls", "-q", "--filter", f"name={name}_").split():
        docker("network", "rm", network, check=False)
    for volume in docker("volume", "ls", "-q", "--filter", f"name={name}_").split():
        docker("volume", "rm", volume, check=False)


def imported(scene: Stage, kind: Kind, project: str) -> str:
    """Put the Compose file where the desired state is wanted, and import it; return the text."""
    shutil.copytree(FILES / kind.name, scene.root, dirs_exist_ok=True)
    (scene.root / ".env").write_text(
        f"COMPOSE_PROJECT_NAME={project}\nPROJECT={project}\nEDGE={scene.name}\n"
        f"PLUGINS={project}_plugins\nDB_PASSWORD=secret\nTESTBED_SAMPLE_IMAGE={SAMPLE}\n"
    )
    words = ["import", str(scene.root), "--output", str(scene.desired)]
    subprocess.run(
        [sys.executable, "-m", "traefik_bg", *words],
        check=True,
        cwd=Path(__file__).parents[1],
        env={"PATH": os.environ["PATH"]},
    )
    return scene.desired.read_text()


def prepare(scene: Stage, kind: Kind, project: str, text: str) -> None:
    """Do what the first lines of the file ask for."""
    for network in kind.networks:
        docker("network", "create", f"{project}_{network}")
    for volume in (*kind.volumes, "plugins"):
        docker("volume", "create", f"{project}_{volume}")
    _, block, _ = text.split(RULER)
    plain = "".join(line.removeprefix("#").removeprefix(" ") for line in block.splitlines(True))
    (scene.root / "routing/dynamic/labels.yml").write_text(plain)


async def answer(scene: Stage, kind: Kind) -> aiohttp.ClientResponse:
    """Ask until the app answers."""
    end = time.monotonic() + PATIENCE
    async with aiohttp.ClientSession() as session:
        while True:
            headers = {"Host": kind.host, **kind.headers}
            async with session.get(f"{scene.url}/", headers=headers) as found:
                await found.read()
            if found.status == 200 or time.monotonic() > end:
                return found
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_what_is_imported_is_deployed(scene: Stage, project: str, kind: Kind) -> None:
    """It serves by its host, with its middlewares, and finds what stays Compose's."""
    text = imported(scene, kind, project)
    prepare(scene, kind, project, text)
    scene.start_service()

    found = await answer(scene, kind)

    assert found.status == 200, scene.tail()
    assert found.headers.get("X-Shop") == ("open" if kind.name == "shop" else None)
    (container, *_) = docker(
        "ps", "-q", "--filter", f"label=traefik-bg.instance={scene.name}"
    ).split()
    joined = docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", container)
    assert all(f"{project}_{network}" in joined for network in kind.networks)
    mounted = docker("inspect", "-f", "{{json .Mounts}}", container)
    assert all(f"{project}_{volume}" in mounted for volume in kind.volumes)


async def test_a_request_without_a_password_is_turned_away(scene: Stage, project: str) -> None:
    """The middleware that the labels defined is in force in Traefik's own file."""
    kind = KINDS[2]
    prepare(scene, kind, project, imported(scene, kind, project))
    scene.start_service()
    await answer(scene, kind)

    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{scene.url}/", headers={"Host": kind.host}) as found,
    ):
        assert found.status == 401

"""What others started is taken over: Traefik's labels before, our routing after, nothing lost.

The containers of before are Compose's, or of `docker run`; Traefik routes to them by its Docker
provider, as on the servers of people who come to us.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from integration.lives import Lives
from integration.stage import APP, HOST, QUICK, SAMPLE, Stage, docker, stage
from integration.test_canary import until_rejected
from integration.test_recreate import PATIENT, RECREATE
from integration.test_zero_loss import assert_nothing_lost

FEW = {"slow": 2, "websockets": 2}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose Traefik routes by labels too."""
    async with stage(tmp_path, watches_docker=True) as made:
        yield made
        compose(made, "down", "--timeout", "1")
        docker("rm", "-f", old(made), check=False)


def old(scene: Stage) -> str:
    """Return the name of the container that `docker run` started."""
    return f"{scene.name}-old"


def compose(scene: Stage, *words: str) -> None:
    """Run docker compose as people do."""
    file = scene.root / "compose.yaml"
    if not file.exists():
        return
    subprocess.run(
        ["docker", "compose", "--project-name", scene.name, "--file", file, *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


def labels(scene: Stage, **more: str) -> dict[str, str]:
    """Return the labels by which Traefik routes."""
    return {
        "stage": scene.name,
        "traefik.enable": "true",
        "traefik.http.routers.web.rule": f"Host(`{HOST}`)",
        "traefik.http.services.web.loadbalancer.server.port": "8000",
        "traefik.http.services.web.loadbalancer.healthcheck.path": "/health",
    } | {f"traefik.http.routers.web.{key}": value for key, value in more.items()}


async def start_compose(scene: Stage, *, replicas: int = 2) -> None:
    """Have Compose run the app, and Traefik route to it by its labels."""
    web = {
        "image": f"{SAMPLE}:v1",
        "restart": "unless-stopped",
        "scale": replicas,
        "stop_grace_period": "2s",
        "environment": QUICK,
        "networks": ["edge"],
        "labels": labels(scene),
    }
    networks = {"edge": {"name": scene.name, "external": True}}
    text = json.dumps({"services": {APP: web}, "networks": networks})
    (scene.root / "compose.yaml").write_text(text)
    compose(scene, "up", "--detach")
    await until_answered(scene)


async def until_answered(scene: Stage) -> None:
    """Wait until Traefik routes to what runs."""
    end = time.monotonic() + 30
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end:
            async with session.get(scene.url, headers={"Host": HOST}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("Traefik does not route by the labels")


def adopting(scene: Stage, **changes: Any) -> dict[str, Any]:
    """Return what an app says that takes over from Compose."""
    return {
        "environment": QUICK,
        "adopt": {"project": scene.name, "service": APP},
        **changes,
    }


def states(scene: Stage) -> list[str]:
    """Return the states of Compose's containers."""
    mine = f"label=com.docker.compose.project={scene.name}"
    return docker("ps", "-a", "--filter", mine, "--format", "{{.State}}").split()


@pytest.mark.timeout(150)
async def test_a_service_of_compose_is_taken_over_under_load(scene: Stage) -> None:
    """Its route becomes ours first, then it is replaced, drained and stopped: nothing is lost."""
    await start_compose(scene)
    async with scene.load(seconds=140, **FEW) as meter:
        await asyncio.sleep(1)
        scene.want("v2", **adopting(scene))
        scene.start_service()
        meter.mark("adopting")
        await scene.until_serving("v2")
        meter.mark("cutover")
        await scene.until_settled("v2")
        meter.mark("settled")
        scene.want("v1", **adopting(scene))
        await scene.until_settled("v1")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert set(report.versions_between("cutover", "settled")) == {"v2"}
    assert states(scene) == ["exited", "exited"], "stopped, and not removed"
    reasons = scene.log.read_text()
    assert f"what serves is routed first: {scene.name}-{APP}-1, {scene.name}-{APP}-2" in reasons


@pytest.mark.timeout(150)
async def test_a_compose_file_is_imported_and_taken_over_without_a_hand_edit(scene: Stage) -> None:
    """Compose's project runs and is imported as it is; nothing is lost until it has stopped."""
    await start_compose(scene)
    async with scene.load(seconds=140, **FEW) as meter:
        importing = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "traefik_bg", "import", scene.root, "--output", scene.desired,
            "--project", scene.name,
        )  # fmt: skip
        assert await importing.wait() == 0
        scene.start_service()
        await scene.until_settled("v1", within=110)
        await scene.until(lambda _: states(scene) == ["exited", "exited"])
        report = await meter.stop()
    assert_nothing_lost(report)


@pytest.mark.timeout(150)
async def test_what_was_adopted_serves_on_when_the_new_version_is_rejected(scene: Stage) -> None:
    """Steps between Compose's containers and ours; errors send everything back, nothing is lost."""
    await start_compose(scene)
    rollout = {
        "strategy": "canary",
        "steps": [{"weight": 50, "pause": "20s"}],
        "analysis": {"max_error_ratio": 0.01, "min_requests": 50},
    }
    async with scene.load(seconds=140, **FEW) as meter:
        scene.want("v2", **adopting(scene, rollout=rollout))
        scene.want(
            "v2", **adopting(scene, rollout=rollout) | {"environment": {**QUICK, "ERRORS": "0.2"}}
        )
        scene.start_service()
        rejected = await until_rejected(scene)
        meter.mark("rejected")
        await asyncio.sleep(1)
        report = await meter.stop()
    assert not report.faults(), report.table()
    assert rejected["weights"][0]["revision"] == "adopted", rejected
    assert set(report.versions_between("rejected", report.until)) == {"v1"}
    assert states(scene) == ["running", "running"]


@pytest.mark.timeout(150)
async def test_what_must_not_run_twice_is_taken_over_while_requests_wait(scene: Stage) -> None:
    """With recreate Compose's container is stopped before ours is started."""
    await start_compose(scene, replicas=1)
    recreate = {"replicas": 1, "rollout": RECREATE}
    async with Lives(scene.name) as lives, scene.load(seconds=140, **PATIENT) as meter:
        scene.want("v2", **adopting(scene, **recreate))
        scene.start_service()
        await scene.until_settled("v2")
        await asyncio.sleep(1)
        report = await meter.stop()
    print(f"the longest pause: {report.latency(1.0):.2f} s")
    assert_nothing_lost(report)
    assert not lives.overlaps()
    assert states(scene) == ["exited"]


@pytest.mark.timeout(150)
async def test_a_label_that_would_keep_requests_is_told_before_anything_is_done(
    scene: Stage,
) -> None:
    """A container of docker run whose router has a priority: it says which, and then goes on."""
    options = [part for key, value in QUICK.items() for part in ("-e", f"{key}={value}")]
    for key, value in labels(scene, priority="500").items():
        options += ["--label", f"{key}={value}"]
    docker(
        "run", "-d", "--name", old(scene), "--network", scene.name, *options, f"{SAMPLE}:v1"
    )  # fmt: skip
    await until_answered(scene)
    async with scene.load(seconds=140, **FEW) as meter:
        scene.want("v2", environment=QUICK, adopt=old(scene))
        scene.start_service()
        said = await scene.until(lambda app: app["phase"] == "blocked")
        assert not said["is_well"]
        assert "priority: 501 or more" in said["reason"]
        assert docker("inspect", "-f", "{{.State.Running}}", old(scene)) == "true"
        scene.want("v2", environment=QUICK, adopt=old(scene), route={"host": HOST, "priority": 501})
        await scene.until_settled("v2")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert docker("inspect", "-f", "{{.State.Status}}", old(scene)) == "exited"

"""What the bench measures of rollouts: ways back, real shares, and the pause of a recreation.

Called by `bench`; nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from integration.figure import Figure
from integration.meter import Meter, Report
from integration.stage import QUICK, SAMPLE, Stage, docker

WAYS_BACK = 10
SPANS = {1: 30.0, 5: 12.0, 25: 6.0}  # seconds at each weight: 60 requests of green at the least
RECREATIONS = 3
NOTHING_LONG = {"slow": 0, "websockets": 0}


async def ways_back(scene: Stage) -> list[Figure]:
    """Measure command → confirmed, of an abort during the bake, by the service and by clients."""
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    said, seen = [], []
    async with scene.load(rate=200, **NOTHING_LONG) as meter:
        scene.want("v2", environment=QUICK, rollout={"bake": "60s", "drain": "2s"})
        for number in range(WAYS_BACK):
            await scene.until(lambda app: app["phase"] == "baking")
            before = (await scene.until(lambda _app: True))["undone"]
            command = meter.mark(f"abort {number}")
            await scene.command("abort")
            app = await scene.until(lambda app, before=before: app["undone"] != before)  # type: ignore[misc]
            said.append(1000 * app["undone"]["seconds"])
            await answers(meter, 50)
            seen.append(1000 * _last_sent_to("v2", meter.report(), command))
            await scene.until(lambda app: app["phase"] == "rejected")
            await scene.command("retry")
    return [
        Figure("abort in the bake → confirmed", said, "ms", "goal ≤ 50 median"),
        Figure("abort in the bake → last request to green", seen, "ms"),
    ]


def _last_sent_to(version: str, report: Report, since: float) -> float:
    sent = [x.started for x in report.exchanges if x.version == version and x.started >= since]
    return max(sent, default=since) - since


async def answers(meter: Meter, count: int) -> None:
    """Wait for so many more answers."""
    enough = len(meter.report().exchanges) + count
    await meter.until(lambda report: len(report.exchanges) >= enough, within=count / 100 + 20)


async def shares(scene: Stage) -> list[Figure]:
    """Measure what green really gets at 1, 5 and 25 %, as a part of what was asked for."""
    steps = [{"weight": weight, "until": "approval"} for weight in SPANS]
    scene.want("v1", environment=QUICK)
    scene.start_service()
    await scene.until_settled("v1")
    figures = []
    async with scene.load(rate=200, **NOTHING_LONG) as meter:
        scene.want("v2", environment=QUICK, rollout={"strategy": "canary", "steps": steps})
        for weight, seconds in SPANS.items():
            await scene.until_weight("v2", weight)
            meter.mark(f"{weight} %")
            await answers(meter, round(200 * seconds))
            spread = meter.report().versions_between(f"{weight} %", time.monotonic())
            ratio = 100 * spread["v2"] / spread.total() / weight
            figures.append(
                Figure(f"real share at {weight} %", [100 * ratio], "% of what was asked")
            )
            await scene.command("promote")
    return figures


async def pauses(scene: Stage) -> list[Figure]:
    """Measure the pause of a recreation, beside what stopping and starting the app takes."""
    own = [1000 * await _own_pause(scene, number) for number in range(RECREATIONS)]
    rollout: dict[str, Any] = {"strategy": "recreate", "hold_requests": "25s", "bake": "1s"}
    scene.want("v1", replicas=1, rollout=rollout)
    scene.start_service()
    await scene.until_settled("v1")
    longest, version = [], "v1"
    async with scene.load(rate=50, timeout=30.0, **NOTHING_LONG) as meter:
        for number in range(RECREATIONS):
            version = "v2" if version == "v1" else "v1"
            edit = meter.mark(f"edit {number}")
            scene.want(version, replicas=1, rollout=rollout)
            await scene.until_settled(version)
            await answers(meter, 50)
            longest.append(1000 * meter.report().latency(1.0, edit))
    return [
        Figure("the app's own stop and start", own, "ms", "(the limit)"),
        Figure("recreate: the longest that a request waited", longest, "ms"),
    ]


async def _own_pause(scene: Stage, number: int) -> float:
    """Return the seconds from telling the app to stop until it is ready again."""
    name = f"{scene.name}-own-{number}"
    docker("run", "-d", "--name", name, "--network", scene.name, f"{SAMPLE}:v1")
    form = '{{(index .NetworkSettings.Networks "' + scene.name + '").IPAddress}}'
    try:
        await _ready(docker("inspect", "-f", form, name))
        began = time.monotonic()
        docker("stop", name)
        docker("start", name)
        await _ready(docker("inspect", "-f", form, name))
        return time.monotonic() - began
    finally:
        docker("rm", "-f", name)


async def _ready(address: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            try:
                async with session.get(f"http://{address}:8000/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)

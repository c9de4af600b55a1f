"""The service is killed in the middle of a canary that is judged, while clients keep their cookies.

It comes back and goes on from what it finds: nothing is lost, nobody changes version in
mid-session, and a good version still arrives.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from integration.stage import QUICK, Stage
from integration.test_canary import FEW
from integration.test_zero_loss import assert_nothing_lost
from integration.visitors import Visitors

# The publications: the step, the cutover, and the end of what was kept for the way back.
KILLS = ["save:1", "create:1", "start:1", "publish:1", "publish:2", "publish:3", "stop:1"]
KILLS += ["remove:1"]
ROLLOUT: dict[str, Any] = {
    "strategy": "canary",
    "steps": [{"weight": 50, "pause": "1s"}],
    "bake": "1s",
    "drain": "2s",
    "sessions": "keep",
    "analysis": {"max_error_ratio": 0.01, "min_requests": 30, "window": "10s", "max_wait": "10s"},
}


@pytest.mark.timeout(400)
async def test_a_service_killed_in_a_canary_goes_on_when_started_again(scene: Stage) -> None:
    """Kill -9 after each kind of action: save, create, start, each publication, stop, remove."""
    scene.want("v1", environment=QUICK, rollout=ROLLOUT)
    scene.start_service()
    await scene.until_settled("v1")
    version = "v1"
    kept: list[tuple[str, dict[int, list[str]]]] = []
    async with Visitors(scene=scene) as visitors, scene.load(seconds=390, **FEW) as meter:
        clients = visitors.come(10)
        for kill in KILLS:
            old, version = version, "v2" if version == "v1" else "v1"
            await visitors.until_answered(clients)
            began = time.monotonic()
            await scene.stop_service()
            scene.start_service(module=("integration.dying_service", kill))
            scene.want(version, environment=QUICK, rollout=ROLLOUT)
            assert scene.process is not None
            code = await asyncio.to_thread(scene.process.wait, 60)
            assert code == -9, f"{kill}: the service ended with {code}: {scene.tail()}"
            meter.mark(f"killed after {kill}")
            scene.start_service()
            await scene.until_settled(version)
            await visitors.until_answered(clients)
            met = visitors.versions(clients, after=began)
            kept.append((kill, {n: seen for n, seen in met.items() if seen != [old, version]}))
        report = await meter.stop()
    assert_nothing_lost(report)
    assert not visitors.troubles()
    assert not [(kill, wavered) for kill, wavered in kept if wavered]

"""What goes beside the weights: kept sessions, previews and copies, under load.

Who asked for it gets it, nobody else does, and not one request is lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from integration.meter import Report
from integration.stage import HOST, QUICK, Stage
from integration.test_canary import FEW, start, until_answered, until_rejected
from integration.test_zero_loss import assert_nothing_lost
from integration.visitors import Visitors

PREVIEW_HOST = "preview.localhost"
KEEP = {"sessions": "keep", "drain": "6s", "bake": "1s"}
IN_STEPS = {"strategy": "canary", "steps": [{"weight": 50, "pause": "3s"}]}


async def asked(scene: Stage, host: str = HOST, **headers: str) -> tuple[int, str]:
    """Ask once, without cookies of any kind; return the status, and who answered."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(scene.url, headers={"Host": host, **headers}) as answer,
    ):
        return answer.status, answer.headers.get("X-Version", "")


async def start_with(scene: Stage, rollout: Mapping[str, Any]) -> None:
    """Have v1 serve with these settings already in force."""
    scene.want("v1", environment=QUICK, rollout=rollout)
    scene.start_service()
    await scene.until_settled("v1")


def versions_of(report: Report, after: str) -> set[str]:
    """Return who answered the meter since a mark."""
    return set(report.versions_between(after, report.until))


@pytest.mark.timeout(120)
async def test_sessions_stay_where_they_began_until_the_drain_is_over(scene: Stage) -> None:
    """50 clients stay on blue past the cutover, new ones get green, and all end there unharmed."""
    await start_with(scene, KEEP)
    async with Visitors(scene=scene) as visitors, scene.load(seconds=100, **FEW) as meter:
        old = visitors.come(50)
        await visitors.until_answered(old, times=2)
        scene.want("v2", environment=QUICK, rollout=KEEP)
        await scene.until_serving("v2")
        cutover = time.monotonic()
        new = visitors.come(10)
        await visitors.until_answered([*old, *new], times=3)
        still_kept = time.monotonic()
        kept = await scene.status()
        await scene.until_settled("v2")
        settled = time.monotonic()
        await visitors.until_answered([*old, *new], times=2)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert not visitors.troubles()
    assert kept is not None
    assert kept["phase"] in {"baking", "draining"}, kept["reason"]
    assert list(visitors.versions(old, before=still_kept).values()) == [["v1"]] * 50
    assert list(visitors.versions(new, after=cutover).values()) == [["v2"]] * 10
    assert list(visitors.versions(old).values()) == [["v1", "v2"]] * 50
    assert list(visitors.versions(old, after=settled).values()) == [["v2"]] * 50


@pytest.mark.timeout(120)
async def test_sessions_choose_once_in_a_canary(scene: Stage) -> None:
    """At half and half each client stays with the version it first met, to the end of the drain."""
    await start_with(scene, KEEP)
    async with Visitors(scene=scene) as visitors, scene.load(seconds=100, **FEW) as meter:
        old = visitors.come(25)
        await visitors.until_answered(old, times=2)
        scene.want("v2", environment=QUICK, rollout={**KEEP, **IN_STEPS})
        await scene.until_weight("v2", 50)
        halves = visitors.come(25)
        await visitors.until_answered([*old, *halves], times=3)
        await scene.until_serving("v2")
        await visitors.until_answered([*old, *halves], times=3)
        still_kept = time.monotonic()
        await scene.until_settled("v2")
        settled = time.monotonic()
        await visitors.until_answered([*old, *halves], times=2)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert not visitors.troubles()
    assert list(visitors.versions(old, before=still_kept).values()) == [["v1"]] * 25
    met = visitors.versions(halves, before=still_kept).values()
    assert all(len(versions) == 1 for versions in met), met
    assert {version for (version,) in met} == {"v1", "v2"}
    assert set(map(tuple, visitors.versions(halves, after=settled).values())) == {("v2",)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["promote", "abort"])
async def test_a_preview_is_for_those_who_ask_and_only_until_it_is_over(
    scene: Stage, end: str
) -> None:
    """By header, cookie and host; nobody else sees green before it is approved."""
    preview = {"header": "X-Preview: green", "cookie": "preview=green", "host": PREVIEW_HOST}
    rollout = {"approval": "manual", "preview": preview, "bake": "1s", "drain": "3s"}
    ways: tuple[dict[str, str], ...] = (
        {"X-Preview": "green"},
        {"Cookie": "a=b; preview=green; c=d"},
        {"host": PREVIEW_HOST},
    )
    strangers: tuple[dict[str, str], ...] = (
        {},
        {"X-Preview": "greener"},
        {"Cookie": "preview=greener"},
    )
    await start(scene)
    async with scene.load(seconds=100, **FEW) as meter:
        scene.want("v2", environment=QUICK, rollout=rollout)
        await scene.until(
            lambda app: app["phase"] == "waiting for approval" and app["routing"]["is_confirmed"]
        )
        meter.mark("waiting")
        assert [await asked(scene, **way) for way in ways] == [(200, "v2")] * 3
        assert [await asked(scene, **way) for way in strangers] == [(200, "v1")] * 3
        await until_answered(meter, "waiting")
        meter.mark("decided")
        await scene.say(end, "sample")
        version = "v2" if end == "promote" else "v1"
        if end == "promote":
            await scene.until_settled("v2")
        else:
            await until_rejected(scene)
        meter.mark("over")
        assert [await asked(scene, **way) for way in ways[:2]] == [(200, version)] * 2
        assert (await asked(scene, PREVIEW_HOST))[0] == 404
        await until_answered(meter, "over")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert set(report.versions_between("waiting", "decided")) == {"v1"}
    assert versions_of(report, "over") == {version}


@pytest.mark.timeout(120)
async def test_copies_find_a_bad_version_before_it_has_traffic(scene: Stage) -> None:
    """20 % of the GETs are copied to a green that errs: it is rejected, and nobody saw it."""
    await start(scene)
    rollout = {
        "mirror": {"percent": 20, "pause": "20s"},
        "analysis": {"max_error_ratio": 0.01, "min_requests": 100, "window": "10s"},
    }
    async with scene.load(seconds=100, **FEW) as meter:
        scene.want("v2", environment={**QUICK, "ERRORS": "0.05"}, rollout=rollout)
        green = (await scene.until(lambda app: app["deployment"] is not None))["deployment"]
        rejected = await until_rejected(scene)
        figures = await scene.figures(green["revision"])
        report = await meter.stop()
    assert_nothing_lost(report)
    print(f"green answered {dict(figures)}: {rejected['rejection']['reason']}")
    assert figures["500"] > 0
    assert "of its requests failed" in rejected["rejection"]["reason"]
    assert set(report.versions_between(report.began, report.until)) == {"v1"}

"""A canary in steps, judged by its answers to real requests: good ones arrive, bad ones do not.

Every test runs 200 requests a second, slow requests and websockets throughout, and counts. A
request may be lost only where the bad version itself answered it with an error and nobody else
could be asked: a POST.
"""

from __future__ import annotations

from typing import Any

import pytest

from integration.meter import Exchange, Kind, Loss, Meter, Report
from integration.stage import QUICK, Provider, Stage
from integration.test_zero_loss import assert_nothing_lost

STEPS = [
    {"weight": 5, "pause": "3s"},
    {"weight": 25, "pause": "2s"},
    {"weight": 50, "pause": "2s"},
]
ANALYSIS: dict[str, Any] = {
    "max_error_ratio": 0.01,
    "min_requests": 30,
    "window": "10s",
    "max_wait": "10s",
}
CANARY: dict[str, Any] = {
    "strategy": "canary",
    "steps": STEPS,
    "bake": "2s",
    "drain": "4s",
    "analysis": ANALYSIS,
}
FEW = {"slow": 2, "websockets": 2}  # a slow request is no evidence, and four would be too many


async def start(scene: Stage, **blue: str) -> None:
    """Have v1 serve, and the service run."""
    scene.want("v1", environment={**QUICK, **blue})
    scene.start_service()
    await scene.until_settled("v1")


def canary(scene: Stage, analysis: dict[str, Any] | None = None, **green: str) -> None:
    """Wish for v2, in steps, with the bad manners given."""
    rollout = {**CANARY, "analysis": {**ANALYSIS, **(analysis or {})}}
    scene.want("v2", environment={**QUICK, **green}, rollout=rollout)


async def until_rejected(scene: Stage, *, within: float = 60) -> dict[str, Any]:
    """Wait until green is rejected, and blue has everything back."""
    return await scene.until(
        lambda app: (
            app["phase"] == "rejected"
            and app["routing"]["is_confirmed"]
            and [share["weight"] for share in app["weights"]] == [100]
        ),
        within=within,
    )


async def until_answered(meter: Meter, mark: str, times: int = 50) -> None:
    """Wait until so many requests that were sent after a mark have been answered."""
    await meter.until(lambda seen: len(seen.answers_between(mark, seen.until)) >= times, within=20)


async def until_caught_up(meter: Meter, mark: str) -> None:
    """Wait until every request that was due before a mark has ended, those that were held too."""

    def is_caught_up(report: Report) -> bool:
        instant = report.at(mark)
        due = sum(
            x.scheduled < instant for x in report.exchanges if x.kind in {Kind.GET, Kind.POST}
        )
        return due >= int((instant - report.began) * report.load.rate)

    await meter.until(is_caught_up, within=40)


def seen_by_users(report: Report) -> tuple[Exchange, ...]:
    """Return the errors of green that users saw."""
    return tuple(x for x in report.lost() if x.loss is Loss.STATUS and x.version == "v2")


def assert_only_errors_of_green(report: Report) -> None:
    """Require that nothing is lost but POSTs that green itself answered with an error."""
    print(report.table())
    assert not report.faults(), report.table()
    seen = seen_by_users(report)
    assert set(report.lost()) == set(seen), report.table()
    assert all(exchange.kind is Kind.POST and exchange.status == 500 for exchange in seen)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scene", list(Provider), indirect=True)
async def test_a_good_version_goes_through_its_steps_and_is_promoted(scene: Stage) -> None:
    """5, 25, 50, 100: each share is really given, nothing is lost, and it ends as the good one."""
    await start(scene)
    async with scene.load(seconds=150, **FEW) as meter:
        canary(scene)
        for weight in (5, 25, 50, 100):
            await scene.until_weight("v2", weight)
            meter.mark(f"{weight} %")
        await scene.until_settled("v2")
        meter.mark("settled")
        report = await meter.stop()
    assert_nothing_lost(report)
    for weight, after, before in ((5, "5 %", "25 %"), (25, "25 %", "50 %"), (50, "50 %", "100 %")):
        spread = report.versions_between(after, before)
        share = 100 * spread["v2"] / spread.total()
        print(f"asked for {weight} %, got {share:.2f} % of {spread.total()} requests")
        assert weight / 2 < share < weight * 1.5
    assert set(report.versions_between("100 %", "settled")) == {"v2"}
    (last, *_) = await scene.history()
    assert last["outcome"] == "succeeded"


@pytest.mark.timeout(180)
async def test_a_version_that_errs_is_rejected_with_the_numbers(scene: Stage) -> None:
    """2 of 100 answers are errors, 1 is allowed: it does not get through, and hardly anyone saw."""
    await start(scene)
    async with scene.load(seconds=150, **FEW) as meter:
        canary(scene, ERRORS="0.02")
        green = (await scene.until(lambda app: app["deployment"] is not None))["deployment"]
        rejected = await until_rejected(scene)
        meter.mark("rejected")
        await until_answered(meter, "rejected")
        report = await meter.stop()
        figures = await scene.figures(green["revision"])
    assert_only_errors_of_green(report)
    seen, given = len(seen_by_users(report)), figures["500"]
    print(f"green gave {given} errors, users saw {seen}: {rejected['rejection']['reason']}")
    assert "of its requests failed" in rejected["rejection"]["reason"]
    assert "more than 1 %" in rejected["rejection"]["reason"]
    assert given > 0
    assert seen <= given
    assert set(report.versions_between("rejected", report.until)) == {"v1"}
    assert any("v2 is ready" in line for line in rejected["rejection"]["log"])
    (last, *_) = await scene.history()
    assert last["outcome"] == "rejected"
    assert any("v2 is ready" in line for line in last["log"])


@pytest.mark.timeout(180)
async def test_a_version_that_is_three_times_slower_is_rejected(scene: Stage) -> None:
    """Blue takes 20 ms and green 60: nothing is wrong with its answers, but it is not let in."""
    await start(scene, SLOWER="0.02")
    async with scene.load(seconds=150, **FEW) as meter:
        canary(scene, {"worse_than_blue": "1.5x"}, SLOWER="0.06")
        rejected = await until_rejected(scene)
        meter.mark("rejected")
        report = await meter.stop()
    assert_nothing_lost(report)
    print(rejected["rejection"]["reason"])
    assert "blue's" in rejected["rejection"]["reason"]
    assert "more than 1.5 times" in rejected["rejection"]["reason"]


@pytest.mark.timeout(180)
async def test_a_version_that_dies_at_half_the_traffic_takes_only_what_it_had_begun(
    scene: Stage,
) -> None:
    """It leaks, and is killed at 50 %: GETs are answered by blue, POSTs under way are lost.

    Docker starts it again at once, at its old address: where that is noticed late, a POST that
    waits for it may find it before it is ready.
    """
    await start(scene)
    async with scene.load(seconds=150, slow=0, websockets=0) as meter:
        canary(scene, DIES_AFTER="120")
        await scene.until_weight("v2", 50)
        meter.mark("50 %")
        rejected = await until_rejected(scene)
        meter.mark("rejected")
        await until_answered(meter, "rejected")
        report = await meter.stop()
        print(report.table())
    assert "exited" in rejected["rejection"]["reason"]
    assert not report.faults(), report.table()
    assert not report.lost(before="50 %"), report.table()
    lost = report.lost()
    print(f"{len(lost)} POSTs lost with the processes that died")
    assert all(exchange.kind is Kind.POST for exchange in lost), report.table()
    assert all(exchange.started < report.marks["rejected"] for exchange in lost), report.table()
    assert set(report.versions_between("rejected", report.until)) == {"v1"}

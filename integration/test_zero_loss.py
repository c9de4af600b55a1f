"""Not one lost request, ever: real Docker, real Traefik, 200 requests a second.

The sample app needs 1.5 s until its port is bound, 1.5 s more until it is ready, and ends at once
when told to: whoever forgets to wait, to confirm or to drain loses requests here.
"""

from __future__ import annotations

import asyncio

import pytest

from integration.meter import Report
from integration.stage import Provider, Stage

DRAIN = 8.0  # seconds, as Stage.want says


def assert_nothing_lost(report: Report) -> None:
    """Require that no request was lost, no long one cut, and each answer was whole."""
    print(report.table())
    assert report.proves_no_loss(), report.table()
    assert not report.slow_cuts(), report.table()
    nameless = [exchange for exchange in report.exchanges if not exchange.version]
    assert not nameless, f"answers without the headers of the app: {nameless[:5]}"


def assert_only_what_was_under_way_is_lost(report: Report, killed: str) -> None:
    """Require that nothing is lost that was sent after a container had been killed.

    What the killed process was answering is gone with it, and nobody can help that.
    """
    print(report.table())
    assert not report.faults(), report.table()
    late = [exchange for exchange in report.lost() if exchange.started > report.marks[killed]]
    assert not late, report.table()


def assert_websockets_drained(report: Report, cutovers: dict[str, str]) -> None:
    """Require that no websocket was cut before the drain limit after its version's cutover."""
    for life in report.websocket_cuts():
        assert life.version in {"v1", "v2", "v3"}, life
    for mark, old in cutovers.items():
        early = [
            life
            for life in report.websocket_cuts(after=mark)
            if life.version == old and life.ended < report.marks[mark] + DRAIN - 0.5
        ]
        assert not early, f"cut before the drain was over: {early}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scene", list(Provider), indirect=True)
async def test_twenty_deployments_in_a_row_lose_nothing(scene: Stage) -> None:
    """20 deployments under load: 0 lost, 0 cut, one version at a time after each cutover."""
    scene.want("v1")
    scene.start_service()
    await scene.until_serving("v1")
    version, cutovers = "v1", {}
    async with scene.load(seconds=900) as meter:
        for number in range(20):
            old, version = version, "v2" if version == "v1" else "v1"
            meter.mark(f"edit {number}")
            scene.want(version)
            await scene.until_serving(version)
            meter.mark(f"cutover {number}")
            cutovers[f"cutover {number}"] = old
            await scene.until_settled(version)
            meter.mark(f"settled {number}")
        report = await meter.stop()
    assert_nothing_lost(report)
    assert_websockets_drained(report, cutovers)
    for number in range(20):
        span = report.versions_between(f"cutover {number}", f"settled {number}")
        assert len(span) == 1, f"both versions answered after cutover {number}: {span}"


@pytest.mark.timeout(180)
async def test_a_version_that_never_gets_healthy_is_never_noticed(scene: Stage) -> None:
    """v3 is rejected under load: it never answers, and v1 serves on."""
    scene.want("v1", health={"deadline": "6s"})
    scene.start_service()
    await scene.until_settled("v1")
    async with scene.load(seconds=150) as meter:
        scene.want("v3", health={"deadline": "6s"})
        rejected = await scene.until(lambda app: app["phase"] == "rejected")
        await asyncio.sleep(1)
        report = await meter.stop()
    assert_nothing_lost(report)
    assert set(report.versions_between(report.began, report.until)) == {"v1"}
    assert "was not healthy within 6 s" in rejected["reason"]
    assert "HTTP 503" in rejected["rejection"]["reason"]
    assert not report.websocket_cuts()

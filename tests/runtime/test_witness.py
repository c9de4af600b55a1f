"""What Traefik counts of green is watched from the moment its share is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, between, routing
from tests.runtime.fake_evidence import FakeMeter
from traefik_bg.core.evidence import Evidence, Figures
from traefik_bg.core.model import AppName, MirrorShare, Routing
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.record import Deployment, Record
from traefik_bg.core.rollout import Analysis, Mirror, Rollout, Step
from traefik_bg.runtime.exposure import Exposure, exposure
from traefik_bg.runtime.witness import MOST_SAMPLES, PATIENCE, Witness

ROLLOUT = Rollout(steps=(Step(weight=5, pause=30.0),), analysis=Analysis(max_p95=0.5, window=20.0))
BLUE, GREEN = app("web:1"), app("web:2", rollout=ROLLOUT)
UNDER_WAY = Record(
    good=BLUE,
    deployment=Deployment(number=2, revision=GREEN.revision, image=GREEN.image, blue=BLUE.revision),
)
FIVE = routing((BLUE, 95), (GREEN, 5), fallback=BLUE)


def exposed(to: Routing = FIVE, **changes: Any) -> Exposure | None:
    """Return what is judged under a split."""
    state = replace(RoutingState(published=to, weights_for=0.0), **changes)
    return exposure(GREEN, UNDER_WAY, state)


class Court:
    """A witness, and whom it wakes."""

    def __init__(self) -> None:
        self.meter = FakeMeter()
        self.wakes: list[AppName | None] = []
        self.witness = Witness(WEB, self.meter, self.wakes.append)

    def hear(self, about: Exposure | None = None, **changes: Any) -> Evidence:
        found = self.witness.read(about or exposed(**changes))
        assert found is not None
        return found


@pytest.fixture
async def court() -> AsyncIterator[Court]:
    """Return a witness, and dismiss it in the end."""
    found = Court()
    yield found
    await found.witness.close()


def after(begun: float) -> float:
    """Return the seconds since a moment."""
    return asyncio.get_running_loop().time() - begun


async def test_nothing_is_asked_while_nothing_is_judged(court: Court) -> None:
    """No deployment, no questions."""
    assert court.witness.read(None) is None
    await asyncio.sleep(60)
    assert court.meter.asked == []
    assert court.witness.trouble == ""


async def test_a_sample_is_taken_about_every_second_and_wakes_the_app(court: Court) -> None:
    """And reading does not wait for it."""
    court.meter.takes = 0.5
    court.hear()
    await asyncio.sleep(9.2)
    assert len(court.meter.asked) == 6
    assert court.wakes == [WEB] * 6


async def test_the_figures_are_those_since_the_split(court: Court) -> None:
    """What was counted before says nothing; at first there is nothing."""
    court.meter.count(GREEN.revision, 500, 500)
    assert court.hear() == Evidence(
        figures={GREEN.revision: Figures(), BLUE.revision: Figures()}, fed_for=0.0
    )
    await asyncio.sleep(1.5)
    court.meter.count(GREEN.revision, 10, 1)
    court.meter.count(BLUE.revision, 190)
    await asyncio.sleep(1.0)
    found = court.hear()
    assert (found.figures[GREEN.revision].requests, found.figures[GREEN.revision].errors) == (10, 1)
    assert found.figures[GREEN.revision].p95 == between(0.0, 0.1, 0.95 * 0.1)
    assert found.figures[BLUE.revision].requests == 190


async def test_requests_older_than_the_window_do_not_count(court: Court) -> None:
    """Of an hour only the last 20 s are judged, but the share is that of all."""
    court.hear()
    await asyncio.sleep(1.5)
    court.meter.count(GREEN.revision, 100, 100)
    court.meter.count(BLUE.revision, 1900)
    await asyncio.sleep(10)
    assert court.hear().figures[GREEN.revision].errors == 100
    await asyncio.sleep(15)
    found = court.hear()
    assert found.figures[GREEN.revision].requests == 0
    assert found.share == pytest.approx(100 * 100 / 1900)  # what failed was asked of blue again


async def test_few_samples_are_kept_of_a_long_window(court: Court) -> None:
    """A day at one a second would be 86,400 of them."""
    target = replace(GREEN, rollout=replace(ROLLOUT, analysis=Analysis(window=3600.0)))
    state = RoutingState(published=FIVE, weights_for=0.0)
    about = exposure(target, UNDER_WAY, state)
    court.hear(about)
    court.meter.pace = {GREEN.revision: 1.0, BLUE.revision: 19.0}
    await asyncio.sleep(7200)
    found = court.hear(about).figures[GREEN.revision]
    assert found.requests == pytest.approx(3600, rel=0.02)
    case = court.witness._case
    assert case is not None
    assert len(case.samples) <= MOST_SAMPLES + 2


async def test_time_in_which_green_starves_does_not_count(court: Court) -> None:
    """A configuration that is reloaded all the time gives green nothing."""
    begun = asyncio.get_running_loop().time()
    court.meter.pace = {BLUE.revision: 100.0}
    court.hear()
    await asyncio.sleep(20.5)
    starved = court.hear()
    assert starved.share == 0.0
    assert starved.fed_for <= 1.1
    court.meter.count(GREEN.revision, 1)
    court.meter.pace = {BLUE.revision: 95.0, GREEN.revision: 5.0}
    await asyncio.sleep(20)
    fed = court.hear()
    assert 17.0 < fed.fed_for < after(begun) - 18.0


async def test_time_counts_between_samples_too(court: Court) -> None:
    """A pause need not wait for the next sample."""
    court.meter.pace = {BLUE.revision: 95.0, GREEN.revision: 5.0}
    court.hear()
    for moment in (0.5, 0.9, 5.3, 10.0):
        await asyncio.sleep(moment - asyncio.get_running_loop().time())
        assert court.hear().fed_for == pytest.approx(moment)


async def test_an_app_without_visitors_is_fed(court: Court) -> None:
    """Nobody can tell."""
    court.hear()
    await asyncio.sleep(30)
    found = court.hear()
    assert found.fed_for == pytest.approx(30)
    assert found.share is None


async def test_another_split_begins_anew(court: Court) -> None:
    """What was seen at 5 % says nothing of 50 %."""
    court.meter.pace = {BLUE.revision: 95.0, GREEN.revision: 5.0}
    court.hear()
    await asyncio.sleep(30.2)
    assert court.hear().figures[GREEN.revision].requests >= 90
    found = court.hear(to=routing((BLUE, 50), (GREEN, 50)))
    assert (found.figures[GREEN.revision], found.fed_for) == (Figures(), 0.0)


async def test_other_replicas_behind_the_same_split_change_nothing(court: Court) -> None:
    """A replica that joins or leaves is no other step."""
    court.hear()
    await asyncio.sleep(10)
    assert court.hear(to=routing((BLUE, 95), (GREEN, 5), count=1)).fed_for == pytest.approx(10)


async def test_a_split_that_is_not_confirmed_any_more_ends_it(court: Court) -> None:
    """A Traefik was started anew: nobody knows what it runs."""
    court.hear()
    await asyncio.sleep(10)
    assert court.witness.read(exposed(weights_for=None)) is None
    asked = len(court.meter.asked)
    await asyncio.sleep(10)
    assert len(court.meter.asked) == asked
    assert court.hear().fed_for == 0.0


# --- what is exposed ------------------------------------------------------------------------------


async def test_what_is_mirrored_is_judged_by_its_copies(court: Court) -> None:
    """Due is the percentage of what blue was read."""
    share = routing((GREEN, 0)).shares[0]
    mirrored = replace(
        routing((BLUE, 100)), mirror=MirrorShare(share=share, percent=10, all_methods=False)
    )
    court.meter.pace = {BLUE.revision: 100.0, GREEN.revision: 10.0}
    court.hear(to=mirrored)
    await asyncio.sleep(10.2)
    found = court.hear(to=mirrored)
    assert found.share == pytest.approx(10, abs=0.2)
    assert found.fed_for == pytest.approx(10.2)
    court.meter.pace = {BLUE.revision: 100.0}
    everything = replace(mirrored, mirror=MirrorShare(share=share, percent=20, all_methods=True))
    court.hear(to=everything)
    await asyncio.sleep(10.2)
    assert court.hear(to=everything).fed_for <= 1.2


@pytest.mark.parametrize("how", [{"sticky": True}, {"keeps_sessions": True}])
async def test_where_clients_stick_weights_are_no_shares_of_requests(
    court: Court, how: Any
) -> None:
    """Old clients stay with blue: that is not starving."""
    court.meter.pace = {BLUE.revision: 100.0}
    split = replace(FIVE, **how)
    court.hear(to=split)
    await asyncio.sleep(20)
    found = court.hear(to=split)
    assert found.fed_for == pytest.approx(20)
    assert found.share is None


@pytest.mark.parametrize(
    ("spec", "record", "state"),
    [
        (None, UNDER_WAY, RoutingState(published=FIVE, weights_for=0.0)),
        (BLUE, UNDER_WAY, RoutingState(published=FIVE, weights_for=0.0)),
        (GREEN, Record(good=BLUE), RoutingState(published=FIVE, weights_for=0.0)),
        (GREEN, UNDER_WAY, RoutingState(published=FIVE)),
        (GREEN, UNDER_WAY, RoutingState(weights_for=0.0)),
        (GREEN, UNDER_WAY, RoutingState(published=routing((BLUE, 100)), weights_for=0.0)),
        (
            replace(GREEN, rollout=Rollout()),
            UNDER_WAY,
            RoutingState(published=FIVE, weights_for=0.0),
        ),
    ],
    ids=[
        "unwanted",
        "another",
        "no deployment",
        "unconfirmed",
        "unrouted",
        "no traffic",
        "no need",
    ],
)
def test_what_is_not_judged(spec: Any, record: Record, state: RoutingState) -> None:
    """No evidence is gathered that nobody asks for."""
    assert exposure(spec, record, state) is None


def test_who_is_judged_and_against_whom() -> None:
    """In its bake blue has no weight, but it is known who it was."""
    found = exposed(to=routing((GREEN, 100), fallback=BLUE))
    assert found is not None
    assert (found.subject.weight, found.subject.blue) == (100, BLUE.revision)
    assert found.revisions == {GREEN.revision, BLUE.revision}
    mirrored = replace(ROLLOUT, mirror=Mirror(percent=10), steps=(), analysis=None)
    state = RoutingState(published=FIVE, weights_for=0.0)
    bare = exposure(replace(GREEN, rollout=mirrored), UNDER_WAY, state)
    assert bare is not None
    assert (bare.window, bare.checks) == (60.0, ())


# --- trouble --------------------------------------------------------------------------------------


async def test_a_meter_that_fails_for_a_moment_is_forgiven(court: Court) -> None:
    """What was counted meanwhile is in the next sample."""
    court.meter.pace = {BLUE.revision: 95.0, GREEN.revision: 5.0}
    court.hear()
    await asyncio.sleep(10)
    court.meter.error = "Traefik does not answer"
    await asyncio.sleep(PATIENCE - 2)
    assert court.witness.read(exposed()) is not None
    assert court.witness.trouble == ""
    court.meter.error = ""
    await asyncio.sleep(2)
    assert court.hear().figures[GREEN.revision].requests >= 60


async def test_a_meter_that_fails_for_longer_leaves_no_evidence_and_is_told_once(
    court: Court, logs: list[MutableMapping[str, Any]]
) -> None:
    """Whatever the splits it lasts for; it wakes the app, which must say so."""
    court.meter.error = "Traefik does not answer"
    court.hear()
    await asyncio.sleep(PATIENCE + 2)
    assert court.wakes == [WEB]
    assert court.witness.read(exposed()) is None
    assert court.witness.trouble == "Traefik does not answer"
    court.hear(to=routing((BLUE, 50), (GREEN, 50)))
    await asyncio.sleep(PATIENCE + 2)
    assert [entry["event"] for entry in logs] == ["evidence.lost"]
    court.meter.error = ""
    await asyncio.sleep(2)
    assert [entry["event"] for entry in logs] == ["evidence.lost", "evidence.found"]
    assert court.hear(to=routing((BLUE, 50), (GREEN, 50))).fed_for > 0


async def test_a_meter_that_hangs_is_no_evidence_either(court: Court) -> None:
    """Old figures are not given out as new ones."""
    court.meter.takes = 1e6
    court.hear()
    await asyncio.sleep(PATIENCE + 1)
    assert court.witness.read(exposed()) is None
    assert court.witness.trouble == "nothing was heard for 6 s"


async def test_a_meter_with_a_bug_is_told_loudly_and_once(
    court: Court, logs: list[MutableMapping[str, Any]]
) -> None:
    """Green cannot help it."""
    court.meter.breaks_with = RuntimeError("oops")
    court.hear()
    await asyncio.sleep(60)
    assert court.witness.read(exposed()) is None
    assert "internal error" in court.witness.trouble
    assert [entry["event"] for entry in logs] == ["evidence.failed", "evidence.lost"]

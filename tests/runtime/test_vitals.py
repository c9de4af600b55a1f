"""A finger on every replica: what is learnt of one life is not carried to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.core.build import WEB
from traefik_bg.core.model import AppName, HealthPolicy, ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.ports import Container, ProbeResult
from traefik_bg.runtime.vitals import Checkup, Vital, Vitals

NAME = ReplicaName("web-cafe0000-0")
POLICY = HealthPolicy(path="/health", interval=0.5, serving_interval=5.0, fall=3)
CHECKUP = Checkup(
    policy=POLICY, port=8000, is_urgent=True, is_serving=False, is_meant=True, is_busy=False
)
BOX = Container(
    name=NAME,
    app=WEB,
    revision=RevisionId("cafe0000"),
    number=0,
    id="c1",
    state=ContainerState.RUNNING,
    life="1",
    ip="10.0.0.2",
)
EXITED = replace(BOX, state=ContainerState.EXITED, ip="")


class Patient:
    """One container and what we ask of it."""

    def __init__(self) -> None:
        self.answer = ProbeResult(ok=False, detail="connection refused", is_bound=False)
        self.probes: list[float] = []
        self.wakes: list[AppName | None] = []
        self.takes = 0.0
        self.vitals = Vitals(WEB, self, self.wakes.append)

    async def probe(self, *_asked: object) -> ProbeResult:
        self.probes.append(asyncio.get_running_loop().time())
        answer = self.answer
        await asyncio.sleep(self.takes)
        return answer

    def read(self, box: Container = BOX, **changes: object) -> Vital:
        checkup = replace(CHECKUP, **changes)  # type: ignore[arg-type]
        return self.vitals.read([box], lambda _container: checkup)[box.name]

    def be(self, status: int) -> None:
        self.answer = ProbeResult(ok=status == 200, detail=f"HTTP {status}")


@pytest.fixture
async def patient() -> AsyncIterator[Patient]:
    """Return a container, and let go of it in the end."""
    found = Patient()
    yield found
    await found.vitals.close()


async def test_a_port_that_is_not_bound_is_asked_often(patient: Patient) -> None:
    """A refused connection costs the app nothing; an answer is waited for at the interval."""
    patient.read()
    await asyncio.sleep(0.48)
    assert len(patient.probes) == 10
    patient.be(503)
    await asyncio.sleep(0.5)
    probes = len(patient.probes)
    await asyncio.sleep(1.9)
    assert len(patient.probes) - probes in {3, 4}


async def test_a_replica_that_serves_is_asked_seldom_unless_a_deployment_depends_on_it(
    patient: Patient,
) -> None:
    """Every 5 s at rest, every half second while it matters; a failure makes it matter."""
    patient.be(200)
    patient.read(is_urgent=False)
    await asyncio.sleep(20.1)
    assert len(patient.probes) == 5
    patient.read(is_urgent=True)
    await asyncio.sleep(2.1)
    assert len(patient.probes) == 5 + 5
    patient.read(is_urgent=False)
    patient.be(500)
    await asyncio.sleep(5.0 + 1.1)
    assert patient.read(is_urgent=False).health is Health.UNHEALTHY


async def test_a_change_of_health_or_of_its_reason_wakes_the_app_and_nothing_else(
    patient: Patient,
) -> None:
    """A minute of the same answers is no news."""
    patient.read()
    await asyncio.sleep(0.1)
    assert patient.wakes == [WEB]
    patient.be(200)
    await asyncio.sleep(60)
    assert patient.wakes == [WEB, WEB]


async def test_a_restarted_container_is_unproven(patient: Patient) -> None:
    """Docker started it anew: its health begins anew, and it is known that it died."""
    patient.be(200)
    patient.read()
    await asyncio.sleep(0.1)
    assert patient.read().health is Health.HEALTHY
    vital = patient.read(replace(BOX, life="2"))
    assert (vital.health, vital.reason, vital.restarts) == (
        Health.STARTING,
        "it was restarted",
        1,
    )


async def test_an_answer_of_an_earlier_life_is_not_believed(patient: Patient) -> None:
    """It was asked before the restart, and answered after it."""
    patient.be(200)
    patient.takes = 1.0
    patient.read()
    await asyncio.sleep(0.5)
    patient.be(503)
    patient.read(replace(BOX, life="2"))
    await asyncio.sleep(0.6)
    assert patient.read(replace(BOX, life="2")).health is Health.STARTING


async def test_another_container_of_the_same_name_is_another_patient(patient: Patient) -> None:
    """Removed and created again between two looks: nothing is carried over."""
    patient.be(200)
    patient.read()
    await asyncio.sleep(1.0)
    vital = patient.read(replace(BOX, id="c2"))
    assert (vital.health, vital.restarts, vital.age) == (Health.UNKNOWN, 0, 0.0)


async def test_what_is_gone_is_not_asked_any_more(patient: Patient) -> None:
    """Its task ends with it."""
    patient.read()
    await asyncio.sleep(0.1)
    patient.vitals.read([], lambda _container: CHECKUP)
    probes = len(patient.probes)
    await asyncio.sleep(10)
    assert len(patient.probes) == probes


async def test_what_does_not_run_is_not_asked(patient: Patient) -> None:
    """Created, then running, then exited."""
    patient.read(replace(BOX, state=ContainerState.CREATED))
    await asyncio.sleep(1)
    assert not patient.probes
    patient.read()
    await asyncio.sleep(1)
    patient.read(EXITED)
    probes = len(patient.probes)
    await asyncio.sleep(10)
    assert len(patient.probes) == probes


@pytest.mark.parametrize(
    ("is_meant", "is_busy", "is_blameless"),
    [(None, False, True), (False, False, True), (True, True, True), (True, False, False)],
    ids=["never touched", "stopped by us", "being started", "started by us"],
)
async def test_who_ended_unseen_is_to_blame_only_if_we_had_started_it(
    patient: Patient, is_meant: bool | None, is_busy: bool, is_blameless: bool
) -> None:
    """What had ended before we came may have been stopped by somebody."""
    assert patient.read(EXITED, is_meant=is_meant, is_busy=is_busy).is_blameless is is_blameless


async def test_who_was_seen_to_run_is_to_blame_for_its_end(patient: Patient) -> None:
    """Unless we stopped it; then it starts afresh."""
    patient.read(is_meant=None)
    assert not patient.read(EXITED, is_meant=None).is_blameless
    assert patient.read(EXITED, is_meant=False).is_blameless
    again = patient.read(replace(BOX, life="2"))
    assert (again.restarts, again.age) == (0, 0.0)


async def test_the_deadline_of_a_crash_counts_from_when_it_was_last_well(patient: Patient) -> None:
    """It served for an hour, then crashed: it has its whole deadline to come back."""
    patient.be(200)
    patient.read()
    await asyncio.sleep(3600)
    assert patient.read().age == 3600
    assert patient.read(EXITED).age == 0
    await asyncio.sleep(2)
    assert patient.read(replace(BOX, life="2")).age == 2


async def test_the_deadline_of_what_never_was_well_counts_from_its_first_start(
    patient: Patient,
) -> None:
    """Crashing again and again is not starting afresh."""
    patient.read()
    for life in range(2, 6):
        await asyncio.sleep(1)
        patient.read(EXITED)
        vital = patient.read(replace(BOX, life=str(life)))
    assert (vital.age, vital.restarts) == (4, 4)


async def test_what_serves_when_we_come_is_presumed_well(patient: Patient) -> None:
    """Unknown until it has answered, or failed often enough."""
    patient.be(503)
    assert patient.read(is_serving=True).health is Health.UNKNOWN
    await asyncio.sleep(0.9)
    assert patient.read(is_serving=True).health is Health.UNKNOWN
    await asyncio.sleep(0.2)
    assert patient.read(is_serving=True).health is Health.UNHEALTHY


async def test_whose_port_nobody_knows_is_not_asked_and_what_was_known_is_not_believed(
    patient: Patient,
) -> None:
    """The app is not desired and nothing is remembered of it; later it is wanted again."""
    patient.be(200)
    patient.read()
    await asyncio.sleep(0.1)
    assert patient.read().health is Health.HEALTHY
    patient.read(port=0)
    patient.be(500)
    probes = len(patient.probes)
    await asyncio.sleep(60)
    assert len(patient.probes) == probes
    assert patient.read().health is Health.UNKNOWN
    await asyncio.sleep(0.1)
    assert patient.read().health is Health.STARTING

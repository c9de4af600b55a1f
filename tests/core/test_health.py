"""Rise and fall: how many answers it takes to be healthy, and to be it no more."""

from __future__ import annotations

import pytest

from traefik_bg.core.health import Pulse
from traefik_bg.core.model import HealthPolicy
from traefik_bg.core.observation import Health
from traefik_bg.core.ports import ProbeResult

POLICY = HealthPolicy(rise=2, fall=3)


def after(pulse: Pulse, answers: str, policy: HealthPolicy = POLICY) -> Pulse:
    """Return the pulse after some answers: + is well, - is not."""
    for answer in answers:
        ok = answer == "+"
        pulse = pulse.after(ProbeResult(ok=ok, detail="HTTP 200" if ok else "HTTP 503"), policy)
    return pulse


@pytest.mark.parametrize(
    ("answers", "health"),
    [
        ("", Health.UNKNOWN),
        ("-", Health.STARTING),
        ("----------", Health.STARTING),
        ("+", Health.STARTING),
        ("+-+-+", Health.STARTING),
        ("++", Health.HEALTHY),
        ("--++", Health.HEALTHY),
        ("++-", Health.HEALTHY),
        ("++--+--+", Health.HEALTHY),
        ("++---", Health.UNHEALTHY),
        ("++---+", Health.UNHEALTHY),
        ("++---++", Health.HEALTHY),
        ("++---+-", Health.UNHEALTHY),
    ],
)
def test_a_new_replica_rises_once_and_falls_only_after_it_has_risen(
    answers: str, health: Health
) -> None:
    """Two good answers in a row make it healthy, three bad ones in a row unhealthy."""
    assert after(Pulse(), answers).health is health


@pytest.mark.parametrize(
    ("answers", "health"),
    [
        ("", Health.UNKNOWN),
        ("--", Health.UNKNOWN),
        ("+", Health.UNKNOWN),
        ("++", Health.HEALTHY),
        ("---", Health.UNHEALTHY),
        ("--+--", Health.UNKNOWN),
    ],
)
def test_a_replica_that_served_when_we_came_is_presumed_well_until_it_falls(
    answers: str, health: Health
) -> None:
    """One bad answer after a restart of the service is no outage."""
    assert after(Pulse(is_presumed=True), answers).health is health


def test_the_last_answer_is_the_reason() -> None:
    """People are told what the replica said."""
    assert after(Pulse(), "+-").reason == "HTTP 503"
    assert after(Pulse(), "-+").reason == "HTTP 200"


def test_one_good_answer_is_enough_by_default() -> None:
    """Rise is 1 unless the user wants more."""
    assert after(Pulse(), "+", HealthPolicy()).health is Health.HEALTHY


@pytest.mark.parametrize(
    ("pulse", "has_been"),
    [
        (Pulse(), False),
        (after(Pulse(), "-"), False),
        (after(Pulse(), "++"), True),
        (after(Pulse(), "++---"), True),
        (Pulse(is_presumed=True), True),
    ],
)
def test_what_was_healthy_once_has_been_well(pulse: Pulse, has_been: bool) -> None:
    """A life that was healthy once, or is presumed so, is told from one that never was."""
    assert pulse.has_been_well is has_been

"""What a deployment will look like, and the small world it is played on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, canary, good, replica, replicas, routing
from traefik_bg.core import forecast as module
from traefik_bg.core.actions import (
    Action,
    CreateReplica,
    Phase,
    PublishRouting,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
    counted_down,
    seconds_left,
)
from traefik_bg.core.forecast import World, forecast
from traefik_bg.core.model import ReplicaName
from traefik_bg.core.observation import ContainerState, Health, Observation
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Check,
    CheckKind,
    Inconclusive,
    Mirror,
    Rollout,
    Sessions,
    Step,
    Strategy,
)

BLUE, GREEN = app("web:1"), app("web:2")
B, G = BLUE.revision, GREEN.revision
ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
SERVING = Observation(
    app=WEB,
    desired=GREEN,
    replicas=replicas(BLUE, **ROUTED),
    published=routing((BLUE, 100)),
    confirmed_for=100.0,
    weights_for=100.0,
    images={"web:2": True},
)


def told(seen: Observation, record: Record) -> list[tuple[float, str]]:
    """Return a forecast as times and sentences."""
    return [(round(stage.after, 2), stage.plan.reason) for stage in forecast(seen, record)]


# --- the forecast ---------------------------------------------------------------------------------


def test_a_deployment_is_foretold_to_its_end() -> None:
    """Each thing that will be done, when, and why."""
    seen = replace(SERVING, images={"web:2": False})
    assert told(seen, good(BLUE)) == [
        (0.0, "pulling web:2"),
        (0.0, f"starting web-{G}-0, web-{G}-1 (web:2)"),
        (0.0, f"0 of 2 replicas of {G} healthy"),
        (2.0, f"cutover: all traffic to {G}"),
        (2.0, f"{G} has all traffic, {B} kept warm; good in 30 s"),
        (32.0, f"{G} is good: web:2 serves with 2 replicas"),
        (32.0, f"retiring web-{B}-0, web-{B}-1"),
        (32.0, f"retiring web-{B}-0, web-{B}-1"),
        (32.0, f"{G} serves with 2 replicas"),
    ]


def test_a_canary_is_foretold_step_by_step() -> None:
    """With the pause of each step."""
    wanted = canary("web:2", 10, 50)
    weights = [
        stage.plan.actions[0].routing.weights.get(G)
        for stage in forecast(replace(SERVING, desired=wanted), good(BLUE))
        if stage.plan.actions
        and isinstance(stage.plan.actions[0], PublishRouting)
        and stage.plan.actions[0].routing is not None
    ]
    assert weights[:3] == [10, 50, 100]


def test_what_waits_for_an_operator_is_foretold_as_if_they_said_so() -> None:
    """Nobody can know when they will; what follows is told all the same, and what it is after."""
    steps = (Step(weight=10, pause=30.0, needs_approval=True),)
    wanted = replace(GREEN, rollout=Rollout(approval=Approval.MANUAL, steps=steps))
    stages = list(forecast(replace(SERVING, desired=wanted), good(BLUE)))
    waits = [(stage.after, stage.plan.reason) for stage in stages if stage.awaits_approval]
    assert waits == [
        (2.0, f"{G} is healthy and waits for approval: promote or abort"),
        (32.0, f"{G} has 10 %, next step when it is promoted"),
    ]
    assert [stages[0].approvals, stages[-1].approvals] == [0, 2]
    assert stages[-1].plan.phase is Phase.SETTLED


def test_a_forecast_takes_the_answers_to_be_good() -> None:
    """Unknown answers would have it wait, or be rejected; where they decide, it says so."""
    check = Check(name="gate", kind=CheckKind.WEBHOOK)
    strict = Analysis(
        max_error_ratio=0.01,
        max_p95=0.5,
        worse_than_blue=1.5,
        inconclusive=Inconclusive.REJECT,
        checks=(check,),
    )
    rollout = Rollout(
        steps=(Step(weight=10, pause=30.0),), mirror=Mirror(percent=5), analysis=strict
    )
    wanted = replace(GREEN, rollout=rollout)
    stages = list(forecast(replace(SERVING, desired=wanted), good(BLUE)))
    assert [(stage.after, stage.plan.reason) for stage in stages if stage.is_judged] == [
        (2.0, f"{G} gets copies of 5 % of the requests, goes on in 30 s"),
        (32.0, f"{G} has 10 %, next step in 30 s"),
        (62.0, f"{G} has all traffic, {B} kept warm; good in 30 s"),
    ]
    assert stages[-1].plan.phase is Phase.SETTLED


def test_holding_is_foretold() -> None:
    """What must not run twice: requests wait, blue is stopped, green is started."""
    wanted = replace(GREEN, rollout=Rollout(strategy=Strategy.RECREATE))
    seen = replace(SERVING, desired=wanted, hold_available=True)
    lines = [line for _, line in told(seen, good(BLUE))]
    assert f"holding requests, until {G} has taken over" in lines
    assert lines.index(f"starting web-{G}-0, web-{G}-1 (web:2)") > lines.index(
        f"stopping web-{B}-0, web-{B}-1; requests are held"
    )
    assert lines[-1] == f"{G} serves with 2 replicas"


ROLLOUTS = {
    "canary": Rollout(steps=(Step(weight=10, pause=30.0),)),
    "copies": Rollout(mirror=Mirror(percent=5)),
    "sessions": Rollout(sessions=Sessions.KEEP, drain=600.0),
    "recreate": Rollout(strategy=Strategy.RECREATE),
}


@pytest.mark.parametrize("rollout", ROLLOUTS.values(), ids=ROLLOUTS)
def test_who_counts_down_says_how_much_is_left(rollout: Rollout) -> None:
    """A countdown is in the sentence itself, and reads on without another look."""
    wanted = replace(GREEN, rollout=rollout)
    stages = list(forecast(replace(SERVING, desired=wanted, hold_available=True), good(BLUE)))
    counting = [stage.plan for stage in stages if stage.plan.left is not None]
    assert counting
    for made in counting:
        assert made.left is not None
        assert seconds_left(made.left) in made.reason
        later = counted_down(made.reason, made.left, 1.0)
        assert later == made.reason.replace(seconds_left(made.left), seconds_left(made.left - 1))


def test_a_countdown_is_foretold_once() -> None:
    """A long drain is one line, not one a look."""
    wanted = replace(GREEN, rollout=Rollout(drain=600.0))
    lines = [line for _, line in told(replace(SERVING, desired=wanted), good(BLUE))]
    assert sum(line.startswith("draining") for line in lines) <= 1


def test_a_settled_app_has_nothing_to_foretell_but_itself() -> None:
    """One line: what serves."""
    seen = replace(SERVING, desired=BLUE)
    assert told(seen, good(BLUE)) == [(0.0, f"{B} serves with 2 replicas")]


def test_the_removal_of_an_app_is_foretold() -> None:
    """Unrouted, drained, stopped, removed."""
    lines = told(replace(SERVING, desired=None), good(BLUE))
    assert lines[0] == (0.0, "not desired any more: taking it out of the routing")
    assert lines[-1][1] == "not desired, nothing left"
    assert 1.0 <= lines[-1][0] <= 2.0


def test_a_sick_replica_is_not_foretold_to_recover() -> None:
    """The forecast ends where only a miracle would help."""
    sick = (replica(BLUE, 0, **ROUTED), replica(BLUE, 1, health=Health.UNHEALTHY))
    seen = replace(SERVING, desired=BLUE, replicas=sick, published=routing((BLUE, 100), count=1))
    assert told(seen, good(BLUE))[-1][1] == f"1 of 2 replicas of {B} healthy"


def test_a_forecast_that_never_settles_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours must not make `plan` hang."""
    monkeypatch.setattr(module, "MAX_LOOKS", 3)
    assert len(told(SERVING, good(BLUE))) == 3


# --- the world ------------------------------------------------------------------------------------


def world() -> World:
    """Return a world in which blue serves."""
    return World.of(SERVING, good(BLUE))


def test_a_world_starts_where_an_observation_found_things() -> None:
    """Observing it again shows the same."""
    seen = world().observe()
    assert seen.replicas == SERVING.replicas
    assert seen.published == SERVING.published
    assert seen.images == {"web:1": False, "web:2": True}


def test_every_action_may_be_found_already_done() -> None:
    """Doing it twice is doing it once."""
    name = ReplicaName(f"web-{G}-0")
    actions: list[Action] = [
        PullImage(image="web:2"),
        CreateReplica(name=name, number=0, spec=GREEN),
        StartReplica(name=name),
        PublishRouting(app=WEB, routing=routing((BLUE, 100))),
        StopReplica(name=name),
        RemoveReplica(name=name),
    ]
    once, twice = world(), world()
    for action in actions:
        once.apply(action)
        twice.apply(action)
        twice.apply(action)
        assert once == twice


def test_a_started_replica_becomes_healthy_after_a_while() -> None:
    """Two seconds, as nobody can know; a created one never does."""
    there = world()
    first, second = (ReplicaName(f"web-{G}-{number}") for number in (0, 1))
    for number, name in enumerate((first, second)):
        there.apply(CreateReplica(name=name, number=number, spec=GREEN))
    there.apply(StartReplica(name=first))
    there.advance(1.0)
    assert there.replicas[first].health is Health.STARTING
    there.advance(1.0)
    assert there.replicas[first].health is Health.HEALTHY
    assert there.replicas[second].age == 0.0


def test_what_leaves_the_routing_counts_from_then() -> None:
    """Unrouted and idle since that instant; what is routed counts nothing."""
    there = world()
    (name, *_) = there.replicas
    there.apply(PublishRouting(app=WEB, routing=None))
    assert there.replicas[name].unrouted_for == 0.0
    there.advance(3.0)
    assert there.replicas[name].unrouted_for == there.replicas[name].idle_for == 3.0
    there.apply(PublishRouting(app=WEB, routing=routing((BLUE, 100))))
    there.advance(1.0)
    assert there.replicas[name].unrouted_for is None


def test_the_timer_of_the_weights_runs_on_when_only_replicas_change() -> None:
    """A replica more or less is no new step."""
    there = world()
    there.apply(PublishRouting(app=WEB, routing=routing((BLUE, 100), count=1)))
    assert (there.confirmed_for, there.weights_for) == (0.0, 100.0)
    there.apply(PublishRouting(app=WEB, routing=None))
    assert there.weights_for == 0.0


def test_a_replica_that_was_stopped_is_no_evidence() -> None:
    """It ended by our hand, and may be started again."""
    there = world()
    (name, *_) = there.replicas
    there.apply(StopReplica(name=name))
    assert there.replicas[name].state is ContainerState.EXITED
    assert there.replicas[name].is_blameless
    there.apply(StartReplica(name=name))
    assert not there.replicas[name].is_blameless


def test_stopping_what_is_gone_does_nothing() -> None:
    """Somebody was faster."""
    there = world()
    there.apply(StopReplica(name=ReplicaName("web-gone-0")))
    there.apply(StartReplica(name=ReplicaName("web-gone-0")))
    assert there == world()

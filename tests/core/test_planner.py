"""What is decided, example by example: each rule, and the order between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, canary, good, replica, replicas, routing, server
from traefik_bg.core.actions import (
    CreateReplica,
    Outcome,
    Phase,
    Plan,
    PublishRouting,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
)
from traefik_bg.core.model import AppSpec, ReplicaName, Route, Routing, Share
from traefik_bg.core.observation import ContainerState, Health, Observation, Replica
from traefik_bg.core.planner import plan
from traefik_bg.core.record import Deployment, Record, Rejection, Waiver
from traefik_bg.core.replica_rules import is_drained
from traefik_bg.core.rollout import Approval, Rollout
from traefik_bg.core.situation import Situation

BLUE, GREEN, OLD = app("web:1"), app("web:2"), app("web:0")
B, G = BLUE.revision, GREEN.revision
NOW: Any = object()

DEAD: dict[str, Any] = {
    "state": ContainerState.EXITED,
    "address": "",
    "health": Health.UNKNOWN,
    "exit_code": 1,
}
SICK: dict[str, Any] = {"health": Health.UNHEALTHY, "health_reason": "HTTP 500"}
STARTING: dict[str, Any] = {"health": Health.STARTING, "age": 1.0}
ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}


def under_way(spec: AppSpec = GREEN, *previous: AppSpec, **changes: Any) -> Record:
    """Return a record in which blue is good and a deployment of green is under way."""
    deployment = Deployment(number=2, revision=spec.revision, image=spec.image, blue=B)
    return good(BLUE, *previous, **{"deployments": 2, "deployment": deployment} | changes)


def rejected(spec: AppSpec = GREEN, **changes: Any) -> Record:
    """Return a record in which blue is good and green has been rejected."""
    rejection = Rejection(spec=spec.digest, revision=spec.revision, reason="HTTP 503")
    return good(BLUE, **{"rejection": rejection} | changes)


def decided(
    *found: tuple[Replica, ...],
    wanted: AppSpec | None = GREEN,
    record: Record = NOW,
    published: Routing | None = None,
    stands_for: float | None = 100.0,
    **changes: Any,
) -> Plan:
    """Return what is decided about some replicas, once Traefik runs what is published."""
    seen = Observation(
        app=WEB,
        desired=wanted,
        replicas=tuple(replica for group in found for replica in group),
        published=published,
        confirmed_for=stands_for,
        weights_for=stands_for,
        **changes,
    )
    return plan(seen, under_way() if record is NOW else record)


def published_by(made: Plan) -> Routing:
    """Return the routing of a plan that does nothing but publish one."""
    (action,) = made.actions
    assert isinstance(action, PublishRouting)
    assert action.routing is not None
    return action.routing


# --- opening and closing deployments --------------------------------------------------------------


def test_a_first_deployment_is_opened_and_its_replicas_created() -> None:
    """It is number 1, and nobody served before it."""
    made = decided(record=Record(), images={"web:2": True})
    assert made.record.deployment == Deployment(number=1, revision=G, image="web:2", blue=None)
    names = [ReplicaName(f"web-{G}-{number}") for number in (0, 1)]
    assert made.actions == (
        CreateReplica(name=names[0], number=0, spec=GREEN),
        StartReplica(name=names[0]),
        CreateReplica(name=names[1], number=1, spec=GREEN),
        StartReplica(name=names[1]),
    )
    assert made.reason == f"starting web-{G}-0, web-{G}-1 (web:2)"
    assert made.phase is Phase.STARTING


def test_a_deployment_remembers_who_served_when_it_was_opened() -> None:
    """Blue is whoever has the most weight."""
    made = decided(
        replicas(BLUE), replicas(OLD), record=good(BLUE), published=routing((OLD, 10), (BLUE, 90))
    )
    assert made.record.deployment is not None
    assert made.record.deployment.blue == B


def test_a_newer_wish_supersedes_the_deployment_under_way() -> None:
    """The old one ends as superseded, the new one has the next number."""
    newest = app("web:3")
    made = decided(replicas(BLUE), wanted=newest, published=routing((BLUE, 100)))
    (ending,) = made.endings
    assert (ending.outcome, ending.revision) == (Outcome.SUPERSEDED, G)
    assert ending.reason == f"{newest.revision} is wanted now"
    assert made.record.deployment is not None
    assert made.record.deployment.number == 3


def test_an_app_that_is_not_wanted_any_more_ends_its_deployment() -> None:
    """Superseded by nothing."""
    made = decided(replicas(BLUE), wanted=None, published=routing((BLUE, 100)))
    assert made.endings[0].reason == "the app is not wanted any more"
    assert made.record.deployment is None


def test_going_back_to_the_good_revision_ends_the_deployment() -> None:
    """What is good needs no deployment."""
    made = decided(replicas(BLUE), wanted=BLUE, published=routing((BLUE, 100)))
    assert made.endings[0].outcome is Outcome.SUPERSEDED
    assert made.record.deployment is None


def test_a_rejection_is_forgotten_once_something_else_is_wanted() -> None:
    """Coming back to it later is a new wish (L3)."""
    made = decided(replicas(BLUE), wanted=BLUE, record=rejected(), published=routing((BLUE, 100)))
    assert made.record.rejection is None


# --- S1, S7: what is routed is true ---------------------------------------------------------------


def test_a_dead_replica_leaves_the_routing_at_once() -> None:
    """Before anything else is done (S7)."""
    made = decided(
        (replica(BLUE, 0), replica(BLUE, 1, **DEAD)), wanted=BLUE, record=good(BLUE),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.reason == f"taking web-{B}-1 out of the routing"
    assert made.phase is Phase.REPAIRING
    assert published_by(made).servers.__next__() == server(replica(BLUE, 0))
    assert not published_by(made).has(replica(BLUE, 1).name)


def test_a_replica_that_has_another_address_now_is_moved() -> None:
    """The old address may be a stranger's by now (S7)."""
    moved = replica(BLUE, 1, address="10.0.0.9")
    made = decided(
        (replica(BLUE, 0), moved), wanted=BLUE, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert made.reason == "updating the routing"
    assert server(moved) in list(published_by(made).servers)


def test_a_restarted_replica_is_unproven_and_leaves_the_routing() -> None:
    """What was healthy in an earlier life is not healthy now (S1)."""
    made = decided(
        (replica(BLUE, 0), replica(BLUE, 1, **STARTING)), wanted=BLUE, record=good(BLUE),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.reason == f"taking web-{B}-1 out of the routing"


def test_a_newly_healthy_replica_of_what_serves_joins() -> None:
    """Scaling up is nothing else."""
    made = decided(
        replicas(BLUE), wanted=BLUE, record=good(BLUE), published=routing((BLUE, 100), count=1)
    )
    assert made.reason == f"adding web-{B}-1 to the routing"


def test_one_that_comes_and_one_that_goes_are_one_publication() -> None:
    """Every write makes every Traefik start anew: one is better than two."""
    made = decided(
        (replica(BLUE, 0), replica(BLUE, 1, **SICK), replica(BLUE, 2)),
        wanted=replace(BLUE, replicas=3), record=good(BLUE), published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.reason == f"moving traffic from web-{B}-1 to web-{B}-2"


def test_what_serves_when_we_come_is_presumed_well() -> None:
    """Unknown health takes nobody out of the routing (S5)."""
    made = decided(
        replicas(BLUE, health=Health.UNKNOWN, **ROUTED), wanted=BLUE, record=good(BLUE),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert not made.actions
    assert made.reason == f"0 of 2 replicas of {B} healthy"


def test_when_all_are_sick_they_keep_their_traffic() -> None:
    """Sick is better than nothing (S3)."""
    made = decided(
        replicas(BLUE, **SICK), wanted=BLUE, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert not made.actions
    assert made.reason == f"0 of 2 replicas of {B} healthy (HTTP 500)"


def test_of_the_sick_and_the_dead_the_dead_leave() -> None:
    """The last one that runs keeps everything."""
    made = decided(
        (replica(BLUE, 0, **SICK), replica(BLUE, 1, **DEAD)), wanted=BLUE, record=good(BLUE),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert published_by(made).weights == {B: 100}
    assert [x.replica for x in published_by(made).servers] == [replica(BLUE, 0).name]


def test_a_limping_green_gets_what_a_dead_blue_had() -> None:
    """Weights always add up: what blue had goes to the one that still runs."""
    made = decided(
        replicas(BLUE, **DEAD), replicas(GREEN, age=5.0, **SICK),
        published=routing((BLUE, 90), (GREEN, 10)),
    )  # fmt: skip
    assert published_by(made).weights == {G: 100}


def test_when_nothing_lives_nothing_is_routed() -> None:
    """Dead addresses are worse than none (S7)."""
    made = decided(
        replicas(BLUE, **DEAD), wanted=BLUE, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert published_by(made).shares == ()
    assert str(made.actions[0]) == "route web to nothing"


def test_when_blue_dies_in_the_middle_of_a_shift_green_gets_everything() -> None:
    """Fail forward: the rest has nowhere else to go (S1)."""
    made = decided(
        replicas(BLUE, **DEAD), replicas(GREEN), published=routing((BLUE, 90), (GREEN, 10))
    )
    assert published_by(made).weights == {G: 100}


def test_when_blue_dies_before_the_shift_a_healthy_green_gets_everything() -> None:
    """One healthy replica of green is better than none of blue."""
    made = decided(
        replicas(BLUE, **DEAD), (replica(GREEN, 0), replica(GREEN, 1, **STARTING)),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert published_by(made).weights == {G: 100}


def test_the_port_of_a_revision_nobody_remembers_is_the_published_one() -> None:
    """A record was lost: what serves goes on serving at its own port."""
    old = app("web:0", port=7000)
    made = decided(
        (replica(old, 0), replica(old, 1, **DEAD)), record=Record(),
        published=routing((old, 100)),
    )  # fmt: skip
    assert [x.port for x in published_by(made).servers] == [7000]


def test_the_port_of_an_unpublished_revision_nobody_remembers_is_guessed() -> None:
    """It listens, most likely, where the app listens now."""
    made = decided(replicas(OLD), replicas(BLUE, **DEAD), published=routing((BLUE, 100)))
    assert [x.port for x in published_by(made).servers] == [8000, 8000]


# --- the end of an app ----------------------------------------------------------------------------


def test_an_unwanted_app_is_unrouted_first() -> None:
    """Its replicas run on until nobody routes to them (S2)."""
    made = decided(
        replicas(BLUE, **ROUTED), wanted=None, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert made.actions == (PublishRouting(app=WEB, routing=None),)
    assert made.reason == "not desired any more: taking it out of the routing"
    assert made.phase is Phase.REMOVING


def test_an_unwanted_app_is_stopped_then_removed() -> None:
    """One step after the other, each once the one before is seen to be done."""
    made = decided(replicas(BLUE), wanted=None, record=good(BLUE))
    assert made.actions == tuple(StopReplica(name=r.name) for r in replicas(BLUE))
    assert made.phase is Phase.REMOVING
    made = decided(replicas(BLUE, **DEAD), wanted=None, record=good(BLUE))
    assert made.actions == tuple(RemoveReplica(name=r.name) for r in replicas(BLUE))


def test_an_unwanted_app_is_waited_for_while_something_is_under_way() -> None:
    """What is being removed is not removed twice."""
    names = frozenset(r.name for r in replicas(BLUE))
    made = decided(replicas(BLUE, **DEAD), wanted=None, record=good(BLUE), busy=names)
    assert not made.actions
    assert made.reason == f"not desired any more: waiting for web-{B}-0, web-{B}-1"


def test_an_unwanted_app_is_forgotten_when_nothing_is_left() -> None:
    """The record is emptied; the reconciler then lets go of the app."""
    made = decided(wanted=None, record=good(BLUE))
    assert made.record == Record()
    assert made.reason == "not desired, nothing left"


# --- holding still --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "held"])
def test_an_app_that_is_held_still_is_not_scaled_down(is_paused: bool) -> None:
    """Nothing but repairs: a healthy replica keeps its traffic until the hold is over."""
    fewer = replace(BLUE, replicas=1, hold=not is_paused)
    made = decided(
        replicas(BLUE, **ROUTED), wanted=fewer, record=good(BLUE, paused=is_paused),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert not made.actions
    assert made.phase is Phase.PAUSED


def test_sick_green_with_all_traffic_and_no_blue_left_brings_the_good_one_back() -> None:
    """Somebody removed blue by hand: green limps on until what was good is there again."""
    made = decided(
        replicas(GREEN, health=Health.UNHEALTHY, **ROUTED), record=under_way(),
        published=routing((GREEN, 100)),
    )  # fmt: skip
    assert refusal(made).startswith(f"web-{G}-0 became unhealthy")
    assert {action.spec for action in made.actions if isinstance(action, CreateReplica)} == {BLUE}
    assert not any(isinstance(action, PublishRouting | StopReplica) for action in made.actions)


def test_a_paused_app_is_only_kept_true() -> None:
    """No replica is created, stopped or shifted to; but the dead leave the routing."""
    record = under_way(paused=True)
    made = decided(replicas(BLUE), record=record, published=routing((BLUE, 100)))
    assert not made.actions
    assert (made.reason, made.phase) == ("paused by the operator", Phase.PAUSED)
    made = decided(
        (replica(BLUE, 0), replica(BLUE, 1, **DEAD)), record=record, published=routing((BLUE, 100))
    )
    assert made.reason == f"taking web-{B}-1 out of the routing"


def test_a_held_app_stays_as_it_is() -> None:
    """The desired state itself says so."""
    made = decided(replicas(BLUE), wanted=replace(GREEN, hold=True), published=routing((BLUE, 100)))
    assert not made.actions
    assert made.reason == "held: the desired state says hold"


# --- providing ------------------------------------------------------------------------------------


def test_an_image_that_is_not_here_is_pulled_before_anything_is_created() -> None:
    """And while it comes, it is waited for."""
    known: dict[str, Any] = {"published": routing((BLUE, 100)), "images": {"web:2": False}}
    made = decided(replicas(BLUE), **known)
    assert made.actions == (PullImage(image="web:2"),)
    assert (made.reason, made.phase) == ("pulling web:2", Phase.PULLING)
    made = decided(replicas(BLUE), busy=frozenset({"web:2"}), **known)
    assert not made.actions
    assert made.phase is Phase.PULLING


def test_a_pull_that_failed_is_repeated_after_a_while() -> None:
    """The wait is part of the plan."""
    made = decided(
        replicas(BLUE), published=routing((BLUE, 100)), images={"web:2": False},
        cooling={"web:2": 2.0},
    )  # fmt: skip
    assert not made.actions
    assert made.reason == "web:2 could not be pulled; trying again"
    assert made.recheck_after == 2.0


def test_blue_is_started_again_before_the_image_of_green_is_pulled() -> None:
    """A pull may take minutes, and blue is what serves."""
    made = decided(
        (replica(BLUE, 0), replica(BLUE, 1, **DEAD)), published=routing((BLUE, 100), count=1),
        images={"web:2": False},
    )  # fmt: skip
    assert made.actions == (StartReplica(name=replica(BLUE, 1).name),)


def test_what_was_created_but_not_started_is_started() -> None:
    """A crash between the two is just another situation."""
    made = decided(
        replicas(BLUE), (replica(GREEN, 0, state=ContainerState.CREATED), replica(GREEN, 1)),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.actions == (StartReplica(name=replica(GREEN, 0).name),)


@pytest.mark.parametrize("how", ["busy", "cooling"])
def test_what_is_under_way_or_was_in_trouble_is_left_alone(how: str) -> None:
    """A creation under way is not begun twice, a failed one not at once."""
    name = ReplicaName(f"web-{G}-1")
    known: dict[str, Any] = (
        {"busy": frozenset({name})} if how == "busy" else {"cooling": {name: 3.0}}
    )
    made = decided(replicas(BLUE), (replica(GREEN, 0),), published=routing((BLUE, 100)), **known)
    assert not made.actions
    assert made.reason == f"1 of 2 replicas of {G} healthy"
    assert made.recheck_after == (None if how == "busy" else 3.0)


def test_no_replica_gets_a_name_that_some_traefik_may_still_route_to() -> None:
    """It would get requests before it is proven (S7)."""
    ghost, other = ReplicaName(f"web-{G}-0"), ReplicaName(f"web-{G}-canary")
    made = decided(
        replicas(BLUE), published=routing((BLUE, 100)), routable=frozenset({ghost, other})
    )
    assert [a.name for a in made.actions if isinstance(a, CreateReplica)] == [
        f"web-{G}-1",
        f"web-{G}-2",
    ]


def test_green_is_waited_for_until_all_of_it_is_healthy() -> None:
    """With what the probes say, and until the first deadline."""
    made = decided(
        replicas(BLUE),
        (replica(GREEN, 0), replica(GREEN, 1, health_reason="connection refused", **STARTING)),
        published=routing((BLUE, 100)),
    )
    assert made.reason == f"1 of 2 replicas of {G} healthy (connection refused)"
    assert made.recheck_after == 59.0


# --- rejecting ------------------------------------------------------------------------------------


def refusal(made: Plan) -> str:
    """Return why green was rejected."""
    assert made.record.rejection is not None
    assert made.record.rejection.spec == GREEN.digest
    assert made.record.deployment is None
    assert [ending.outcome for ending in made.endings] == [Outcome.REJECTED]
    why = made.record.rejection.reason
    assert made.reason.startswith((f"rejected {G}: {why}; ", f"{G} is rejected: {why}; "))
    return made.record.rejection.reason


def test_green_that_is_not_healthy_in_time_is_rejected() -> None:
    """Blue keeps serving."""
    made = decided(
        replicas(BLUE), replicas(GREEN, health=Health.STARTING, age=60.0, health_reason="HTTP 503"),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert refusal(made) == f"web-{G}-0 was not healthy within 60 s: HTTP 503"


def test_green_of_which_nothing_is_known_but_the_time_is_rejected_without_words() -> None:
    """No probe has said anything."""
    made = decided(
        replicas(BLUE), replicas(GREEN, health=Health.STARTING, age=60.0),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert refusal(made) == f"web-{G}-0 was not healthy within 60 s"


def test_unknown_health_rejects_nobody() -> None:
    """Not even after hours (S5)."""
    made = decided(
        replicas(BLUE), replicas(GREEN, health=Health.UNKNOWN, age=9999.0),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.record.rejection is None


def test_green_that_exits_is_rejected_with_its_code_and_last_words() -> None:
    """The whole tail of the log is in the record."""
    dead = replica(GREEN, 0, log=("starting", "KeyError"), **DEAD)
    made = decided(replicas(BLUE), (dead, replica(GREEN, 1)), published=routing((BLUE, 100)))
    assert refusal(made) == f"web-{G}-0 exited with code 1: KeyError"
    assert made.record.rejection is not None
    assert made.record.rejection.log == ("starting", "KeyError")
    assert made.endings[0].log == ("starting", "KeyError")


def test_a_green_whose_end_docker_has_not_explained_yet_is_only_unrouted() -> None:
    """Its code is part of the reason, and comes in a moment."""
    ended = replica(GREEN, 1, **{**DEAD, "exit_code": None, "age": 0.1})
    made = decided(replicas(BLUE, **ROUTED), (replica(GREEN, 0), ended),
                   published=routing((BLUE, 50), (GREEN, 50)))  # fmt: skip
    assert not made.endings
    assert made.reason == f"taking web-{G}-1 out of the routing"


def test_green_that_was_restarted_is_rejected() -> None:
    """It runs again, but it did exit; nobody knows its code any more."""
    made = decided(
        replicas(BLUE), (replica(GREEN, 0, restarts=1), replica(GREEN, 1)),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert refusal(made) == f"web-{G}-0 exited and was started again by Docker"


def test_green_that_we_stopped_ourselves_is_not_rejected_for_it() -> None:
    """It is started again."""
    stopped = replica(GREEN, 0, is_blameless=True, **DEAD)
    made = decided(replicas(BLUE), (stopped, replica(GREEN, 1)), published=routing((BLUE, 100)))
    assert made.record.rejection is None
    assert made.actions == (StartReplica(name=stopped.name),)


def test_when_blue_exits_as_well_nobody_is_rejected() -> None:
    """Trouble that hit blue just as much is no evidence against green; blue is started first."""
    young: dict[str, Any] = DEAD | {"age": 1.0}
    blue, green = replicas(BLUE, **young), replicas(GREEN, **young)
    made = decided(blue, green, published=Routing())
    assert made.record.rejection is None
    assert made.actions == tuple(StartReplica(name=seen.name) for seen in blue)
    coming = frozenset(seen.name for seen in blue)
    made = decided(blue, green, published=Routing(), busy=coming)
    assert made.actions == tuple(StartReplica(name=seen.name) for seen in green)


def test_healthy_green_is_not_rejected_for_a_crash_that_hit_blue_too() -> None:
    """Both were restarted long ago; green is well, whatever its age."""
    made = decided(
        replicas(BLUE, restarts=1), replicas(GREEN, restarts=1, age=999.0),
        published=routing((GREEN, 100)), stands_for=5.0,
    )  # fmt: skip
    assert made.record.rejection is None
    assert made.phase is Phase.BAKING


def test_green_that_falls_sick_is_rejected_and_blue_gets_everything() -> None:
    """In the bake: back at once, in one step."""
    made = decided(
        replicas(BLUE), replicas(GREEN, **SICK), published=routing((GREEN, 100)), stands_for=3.0
    )
    assert refusal(made) == f"web-{G}-0 became unhealthy: HTTP 500"
    assert published_by(made).weights == {B: 100}


def test_green_is_not_rejected_when_only_a_dead_blue_is_left() -> None:
    """Never roll back to a grave."""
    made = decided(
        replicas(BLUE, **DEAD), (replica(GREEN, 0), replica(GREEN, 1, **SICK)),
        published=routing((GREEN, 100)),
    )  # fmt: skip
    assert made.record.rejection is None


def test_an_image_that_cannot_be_had_rejects() -> None:
    """The registry's words are the reason."""
    made = decided(
        replicas(BLUE), published=routing((BLUE, 100)), images={"web:2": False},
        refusals={"web:2": "no such image", "web:9": "not ours"},
    )  # fmt: skip
    assert refusal(made) == "no such image"


def test_settings_that_docker_refuses_reject() -> None:
    """Docker's words are the reason."""
    made = decided(
        replicas(BLUE), published=routing((BLUE, 100)), refusals={f"web-{G}-0": "no such network"}
    )
    assert refusal(made) == "no such network"


def test_a_refusal_about_another_revision_rejects_nobody() -> None:
    """It is about something else."""
    made = decided(
        replicas(BLUE), published=routing((BLUE, 100)), refusals={f"web-{B}-0": "no such network"}
    )
    assert made.record.rejection is None


def test_routes_that_traefik_refuses_reject_even_a_proven_revision() -> None:
    """Only its routes are bad: they were tried, they are dropped, the replicas serve on."""
    moved = replace(BLUE, routes=(Route(rule="Hots(`x`)"),))
    made = decided(
        replicas(BLUE), wanted=moved, record=good(BLUE),
        published=replace(routing((BLUE, 100)), trial=moved.routes),
        refusals={WEB: "unknown function Hots"},
    )  # fmt: skip
    assert made.record.rejection is not None
    assert made.record.rejection.reason == "Traefik refuses the routes: unknown function Hots"
    assert made.record.rejection.is_about_routes
    assert published_by(made) == routing((BLUE, 100))


def test_a_rejected_version_is_retired_while_blue_serves() -> None:
    """It is of no use any more."""
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN), record=rejected(), published=routing((BLUE, 100))
    )
    assert made.actions == tuple(StopReplica(name=r.name) for r in replicas(GREEN))


def test_a_rejected_version_is_not_tried_again() -> None:
    """What serves is said together with why the newest does not (L3)."""
    made = decided(replicas(BLUE, **ROUTED), record=rejected(), published=routing((BLUE, 100)))
    assert not made.actions
    assert made.reason == f"{G} is rejected: HTTP 503; {B} serves with 2 replicas"
    assert made.phase is Phase.REJECTED
    assert made.recheck_after is None


def test_a_first_version_that_was_rejected_leaves_nothing_serving() -> None:
    """There is nothing to go back to."""
    record = replace(rejected(), good=None)
    made = decided(record=record)
    assert made.reason == f"{G} is rejected: HTTP 503; nothing serves"


def test_a_green_that_is_all_there_is_after_a_lost_record_is_rejected_by_time_only() -> None:
    """It may be what served: a crash is no reason to give it up at once."""
    known: dict[str, Any] = {"record": Record(), "published": routing((GREEN, 100), count=1)}
    made = decided((replica(GREEN, 0, **ROUTED), replica(GREEN, 1, **DEAD)), **known)
    assert made.record.rejection is None
    known["published"] = Routing()
    made = decided(replicas(GREEN, **DEAD), **known)
    assert made.record.rejection is not None


# --- shifting -------------------------------------------------------------------------------------


def test_nothing_is_shifted_before_traefik_runs_what_is_published() -> None:
    """One change at a time, each seen to be loaded."""
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN), published=routing((BLUE, 100)), stands_for=None
    )
    assert not made.actions
    assert made.reason == "waiting for Traefik to load the routing"
    assert made.phase is Phase.CONFIRMING


def test_the_cutover_comes_once_all_of_green_is_healthy() -> None:
    """All traffic at once; it is remembered who blue was."""
    made = decided(replicas(BLUE, **ROUTED), replicas(GREEN), published=routing((BLUE, 100)))
    assert published_by(made).weights == {G: 100}
    assert made.reason == f"cutover: all traffic to {G}"
    assert made.record.deployment is not None
    assert made.record.deployment.blue == B


def test_a_first_cutover_needs_nobody_to_have_served() -> None:
    """The app was not routed at all before."""
    made = decided(replicas(GREEN), record=Record())
    assert published_by(made) == routing((GREEN, 100))


def test_a_cutover_keeps_blue_as_the_fallback_where_traefik_can() -> None:
    """What green fails to answer blue does, while green is in doubt."""
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN), published=routing((BLUE, 100)),
        guard_available=True,
    )  # fmt: skip
    assert published_by(made) == routing((GREEN, 100), fallback=BLUE)


def test_changed_routes_are_tried_before_they_matter() -> None:
    """Loaded where no request reaches them; the weights stay as they are."""
    moved = replace(BLUE, routes=(Route(rule="Host(`new.example`)"),))
    made = decided(
        replicas(BLUE, **ROUTED), wanted=moved, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert made.reason == f"trying the routes of {B}"
    assert published_by(made) == replace(routing((BLUE, 100)), trial=moved.routes)


def test_routes_that_were_tried_take_effect_once_traefik_has_loaded_them() -> None:
    """Not before: until it has, it cannot have refused them."""
    moved = replace(BLUE, routes=(Route(rule="Host(`new.example`)"),))
    known: dict[str, Any] = {
        "wanted": moved,
        "record": good(BLUE),
        "published": replace(routing((BLUE, 100)), trial=moved.routes),
    }
    assert not decided(replicas(BLUE, **ROUTED), stands_for=None, **known).actions
    made = decided(replicas(BLUE, **ROUTED), **known)
    assert published_by(made) == replace(routing((BLUE, 100)), routes=moved.routes)


def test_new_routes_take_effect_when_green_has_everything_and_not_before() -> None:
    """At 10 % the old routes still hold."""
    wanted = replace(canary("web:2", 10), routes=(Route(rule="Host(`new.example`)"),))
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN), wanted=wanted, record=under_way(wanted),
        published=replace(routing((BLUE, 100)), trial=wanted.routes),
    )  # fmt: skip
    assert published_by(made).weights == {B: 90, G: 10}
    assert published_by(made).routes == BLUE.routes


@pytest.mark.parametrize(
    ("weight", "stood", "then"),
    [(0, 0.0, 10), (10, 30.0, 50), (50, 29.999, 100)],
)
def test_a_canary_goes_from_step_to_step(weight: int, stood: float, then: int) -> None:
    """Each when the pause of the one before is over; a few milliseconds are no time."""
    wanted = canary("web:2", 10, 50)
    parts = ((BLUE, 100 - weight), (GREEN, weight)) if weight else ((BLUE, 100),)
    made = decided(
        replicas(BLUE), replicas(GREEN), wanted=wanted, record=under_way(wanted),
        published=routing(*parts), stands_for=stood,
    )  # fmt: skip
    assert published_by(made).weights[G] == then
    what = "cutover: all traffic" if then == 100 else f"{then} % of the traffic"
    assert made.reason == f"{what} to {G}"


def test_a_step_stands_for_its_pause() -> None:
    """The rest of it is the time of the next look."""
    wanted = canary("web:2", 10, 50)
    made = decided(
        replicas(BLUE), replicas(GREEN), wanted=wanted, record=under_way(wanted),
        published=routing((BLUE, 90), (GREEN, 10)), stands_for=12.0,
    )  # fmt: skip
    assert not made.actions
    assert made.reason == f"{G} has 10 %, next step in 18 s"
    assert made.recheck_after == 18.0


def test_promote_skips_the_pause_of_a_step() -> None:
    """The operator has seen enough at 10 %."""
    wanted = canary("web:2", 10, 50)
    record = under_way(wanted, waiver=Waiver(revision=G, weight=10))
    made = decided(
        replicas(BLUE), replicas(GREEN), wanted=wanted, record=record,
        published=routing((BLUE, 90), (GREEN, 10)), stands_for=1.0,
    )  # fmt: skip
    assert published_by(made).weights == {B: 50, G: 50}


def test_what_was_promoted_once_has_to_be_promoted_again() -> None:
    """An approval is of one attempt, not of all that follow."""
    wanted = app("web:2", rollout=Rollout(approval=Approval.MANUAL))
    record = under_way(OLD, waiver=Waiver(revision=G, weight=50))
    made = decided(replicas(BLUE, **ROUTED), replicas(wanted), wanted=wanted, record=record,
                   published=routing((BLUE, 100)))  # fmt: skip
    assert made.record.waiver is None
    assert made.phase is Phase.WAITING


def test_a_waiver_for_another_revision_skips_nothing() -> None:
    """It was said of something else."""
    wanted = canary("web:2", 10, 50)
    record = under_way(wanted, waiver=Waiver(revision=B, weight=100))
    made = decided(
        replicas(BLUE), replicas(GREEN), wanted=wanted, record=record,
        published=routing((BLUE, 90), (GREEN, 10)), stands_for=1.0,
    )  # fmt: skip
    assert not made.actions


def test_a_canary_without_blue_goes_to_everything_at_once() -> None:
    """There is nobody to share with."""
    wanted = canary("web:2", 10)
    made = decided(replicas(GREEN), wanted=wanted, record=Record())
    assert published_by(made).weights == {G: 100}


def test_a_manual_approval_is_waited_for() -> None:
    """Green is proven, and gets nothing."""
    wanted = replace(GREEN, rollout=Rollout(approval=Approval.MANUAL))
    known: dict[str, Any] = {"wanted": wanted, "published": routing((BLUE, 100))}
    made = decided(replicas(BLUE), replicas(GREEN), record=under_way(wanted), **known)
    assert not made.actions
    assert made.reason == f"{G} is healthy and waits for approval: promote or abort"
    assert made.phase is Phase.WAITING
    waived = under_way(wanted, waiver=Waiver(revision=G, weight=0))
    assert decided(replicas(BLUE), replicas(GREEN), record=waived, **known).actions


def test_the_way_home_is_one_step_and_needs_no_approval() -> None:
    """Going back to the good revision is no risk worth stepping through."""
    wanted = replace(canary("web:1", 10), rollout=Rollout(approval=Approval.MANUAL))
    made = decided(
        replicas(BLUE), replicas(GREEN, **ROUTED), wanted=wanted, record=good(BLUE),
        published=routing((GREEN, 100)),
    )  # fmt: skip
    assert published_by(made).weights == {B: 100}


# --- baking ---------------------------------------------------------------------------------------


def test_green_bakes_with_blue_kept_warm() -> None:
    """Until it has stood alone long enough, counted from when Traefik runs it."""
    made = decided(
        replicas(BLUE), replicas(GREEN, **ROUTED), published=routing((GREEN, 100)), stands_for=10.0
    )
    assert not made.actions
    assert made.reason == f"{G} has all traffic, {B} kept warm; good in 20 s"
    assert made.phase is Phase.BAKING
    assert made.recheck_after == 20.0


def test_a_first_deployment_bakes_alone() -> None:
    """Nobody is kept warm."""
    made = decided(
        replicas(GREEN, **ROUTED), record=Record(), published=routing((GREEN, 100)), stands_for=0.0
    )
    assert made.reason == f"{G} has all traffic; good in 30 s"


@pytest.mark.parametrize(
    ("stood", "waiver"),
    [(30.0, None), (29.999, None), (1.0, Waiver(revision=G, weight=100))],
    ids=["baked", "all but", "promoted"],
)
def test_green_is_good_after_its_bake_or_when_promoted(stood: float, waiver: Waiver | None) -> None:
    """It is remembered before anything happens to blue, and looked at again at once."""
    made = decided(
        replicas(BLUE), replicas(GREEN, **ROUTED), record=under_way(GREEN, OLD, waiver=waiver),
        published=routing((GREEN, 100)), stands_for=stood,
    )  # fmt: skip
    assert made.record == replace(good(GREEN, BLUE, OLD), deployments=2)
    assert made.reason == f"{G} is good: web:2 serves with 2 replicas"
    assert [ending.outcome for ending in made.endings] == [Outcome.SUCCEEDED]
    assert not made.actions
    assert made.recheck_after == 0.0


def test_a_waiver_of_a_step_does_not_end_the_bake() -> None:
    """Promote at 10 % is not promote at 100 %."""
    record = under_way(waiver=Waiver(revision=G, weight=10))
    made = decided(
        replicas(BLUE), replicas(GREEN, **ROUTED), record=record, published=routing((GREEN, 100)),
        stands_for=1.0,
    )  # fmt: skip
    assert made.phase is Phase.BAKING


def test_only_so_many_good_revisions_are_remembered() -> None:
    """Five to go back to."""
    older = tuple(app(f"web:old-{number}") for number in range(9))
    made = decided(
        replicas(GREEN, **ROUTED), record=under_way(GREEN, *older), published=routing((GREEN, 100))
    )
    assert made.record.previous == (BLUE, *older[:4])


def test_one_replica_is_one_replica() -> None:
    """Words agree with numbers."""
    alone = replace(GREEN, replicas=1)
    made = decided(
        (replica(GREEN, **ROUTED),), wanted=alone, record=good(alone),
        published=routing((GREEN, 100), count=1),
    )  # fmt: skip
    assert made.reason == f"{G} serves with 1 replica"


def test_a_change_that_needs_no_new_containers_is_good_at_once() -> None:
    """The revision is proven: only the record is brought up to date."""
    longer = replace(BLUE, rollout=Rollout(bake=99.0))
    made = decided(
        replicas(BLUE, **ROUTED), wanted=longer, record=good(BLUE), published=routing((BLUE, 100))
    )
    assert made.record.good == longer
    assert made.reason == f"{B} runs as now desired"
    assert not made.endings


# --- draining and retiring ------------------------------------------------------------------------


def test_blue_stays_until_traefik_has_confirmed_green() -> None:
    """Baked and good, but one Traefik may still route to blue (S2)."""
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN, **ROUTED), record=good(GREEN, BLUE),
        published=routing((GREEN, 100)), stands_for=None,
    )  # fmt: skip
    assert not made.actions
    assert made.phase is Phase.CONFIRMING


def test_blue_stays_until_green_has_baked() -> None:
    """Unrouted for long, idle, and still kept (S4)."""
    made = decided(
        replicas(BLUE), replicas(GREEN, **ROUTED), published=routing((GREEN, 100)), stands_for=29.0
    )
    assert not made.actions


@pytest.mark.parametrize(
    ("unrouted_for", "idle_for", "is_stopped"),
    [
        (0.9, 0.9, False),
        (0.9, 5.0, False),
        (5.0, 0.9, False),
        (1.0, 1.0, True),
        (29.0, None, False),
        (30.0, None, True),
    ],
    ids=["too soon", "just unrouted", "just idle", "quiet", "answering", "time is up"],
)
def test_blue_is_stopped_when_it_is_quiet_or_its_time_is_up(
    unrouted_for: float, idle_for: float | None, is_stopped: bool
) -> None:
    """Unrouted and without a connection for a second, or unrouted for the whole drain."""
    made = decided(
        replicas(BLUE, 1, unrouted_for=unrouted_for, idle_for=idle_for),
        replicas(GREEN, **ROUTED), record=good(GREEN, BLUE), published=routing((GREEN, 100)),
    )  # fmt: skip
    stopped = (StopReplica(name=replica(BLUE).name),)
    assert made.actions == (stopped if is_stopped else ())


def test_draining_says_how_many_connections_are_open() -> None:
    """And for how long they are waited for at most."""
    made = decided(
        replicas(BLUE, unrouted_for=10.0, idle_for=None, open_connections=3),
        replicas(GREEN, **ROUTED), record=good(GREEN, BLUE), published=routing((GREEN, 100)),
    )  # fmt: skip
    assert made.reason == (
        f"draining web-{B}-0, web-{B}-1: waiting for 6 open connections, at most 20 s"
    )
    assert made.phase is Phase.DRAINING
    assert made.recheck_after == 0.25


@pytest.mark.parametrize(
    ("open_connections", "said"),
    [(0, "no connection is open any more"), (1, "waiting for 1 open connection")],
)
def test_draining_counts_as_people_do(open_connections: int, said: str) -> None:
    """None, one, many."""
    made = decided(
        replicas(BLUE, 1, unrouted_for=0.5, idle_for=None, open_connections=open_connections),
        replicas(GREEN, **ROUTED), record=good(GREEN, BLUE), published=routing((GREEN, 100)),
    )  # fmt: skip
    assert said in made.reason


def test_draining_what_cannot_be_counted_says_so() -> None:
    """Only its time can be waited for."""
    made = decided(
        replicas(BLUE, 1, unrouted_for=10.0, idle_for=None), replicas(GREEN, **ROUTED),
        record=good(GREEN, BLUE), published=routing((GREEN, 100)),
    )  # fmt: skip
    assert made.reason == f"draining web-{B}-0: open connections cannot be counted, at most 20 s"


def test_what_is_being_stopped_is_waited_for_without_looking_all_the_time() -> None:
    """Its end wakes the loop."""
    made = decided(
        replicas(BLUE, 1), replicas(GREEN, **ROUTED), record=good(GREEN, BLUE),
        published=routing((GREEN, 100)), busy=frozenset({replica(BLUE).name}),
    )  # fmt: skip
    assert made.reason == f"stopping web-{B}-0"
    assert made.recheck_after is None


def test_a_stop_that_failed_is_repeated_when_it_may_be() -> None:
    """Docker did not answer: it is left alone for a while."""
    made = decided(
        replicas(BLUE, 1), replicas(GREEN, **ROUTED), record=good(GREEN, BLUE),
        published=routing((GREEN, 100)), cooling={replica(BLUE).name: 0.1},
    )  # fmt: skip
    assert not made.actions
    assert made.recheck_after == 0.1


def test_what_docker_is_removing_is_left_to_it() -> None:
    """It is neither counted nor touched."""
    made = decided(
        replicas(BLUE, 1, state=ContainerState.REMOVING), replicas(GREEN, **ROUTED),
        record=good(GREEN, BLUE), published=routing((GREEN, 100)),
    )  # fmt: skip
    assert not made.actions
    assert made.phase is Phase.SETTLED


def test_scaling_down_takes_the_least_useful_out_of_the_routing_first() -> None:
    """The sick before the healthy, then the higher number."""
    wanted = replace(BLUE, replicas=1)
    found = (replica(BLUE, 0, **SICK), replica(BLUE, 1), replica(BLUE, 2))
    made = decided(found, wanted=wanted, record=good(BLUE), published=routing((BLUE, 100), count=3))
    assert [x.replica for x in published_by(made).servers] == [replica(BLUE, 1).name]


def test_surplus_keeps_its_traffic_until_what_stays_is_proven() -> None:
    """After a restart nobody knows yet which replicas are well: none is taken out (S3)."""
    wanted = replace(BLUE, replicas=1)
    known: dict[str, Any] = {
        "wanted": wanted,
        "record": good(BLUE),
        "published": routing((BLUE, 100)),
    }
    unknown = replica(BLUE, 0, health=Health.UNKNOWN, **ROUTED)
    made = decided((unknown, replica(BLUE, 1, health=Health.UNKNOWN, **ROUTED)), **known)
    assert not made.actions
    made = decided((unknown, replica(BLUE, 1, **ROUTED)), **known)
    assert [x.replica for x in published_by(made).servers] == [replica(BLUE, 1).name]


def test_surplus_is_retired_once_it_is_unrouted() -> None:
    """Stopped like any other (S2)."""
    wanted = replace(BLUE, replicas=1)
    found = (replica(BLUE, 0, **ROUTED), replica(BLUE, 1))
    made = decided(found, wanted=wanted, record=good(BLUE), published=routing((BLUE, 100), count=1))
    assert made.actions == (StopReplica(name=replica(BLUE, 1).name),)


def test_after_a_lost_record_whatever_may_live_is_kept() -> None:
    """Nobody knows who was good: a healthy one is kept, a dead one is not (S4, L4)."""
    made = decided(
        replicas(OLD), replicas(BLUE, **DEAD), replicas(GREEN, **STARTING), record=Record(),
        published=routing((OLD, 100)),
    )  # fmt: skip
    assert made.actions == tuple(RemoveReplica(name=r.name) for r in replicas(BLUE))


def test_after_a_lost_record_what_never_becomes_healthy_is_not_kept_for_ever() -> None:
    """A leftover that has been starting for a minute will not save anybody."""
    made = decided(
        replicas(OLD), replicas(BLUE, health=Health.STARTING, age=61.0),
        replicas(GREEN, **STARTING), record=Record(), published=routing((OLD, 100)),
    )  # fmt: skip
    assert made.actions == tuple(StopReplica(name=r.name) for r in replicas(BLUE))


def test_what_serves_is_kept_when_the_wish_is_rejected_and_nobody_was_good() -> None:
    """A lost record and a bad image: nobody knows what serves, but it serves."""
    made = decided(
        replicas(OLD, **ROUTED), (replica(OLD, 2, **STARTING),),
        record=replace(rejected(), good=None), published=routing((OLD, 100)),
    )  # fmt: skip
    assert not made.actions
    assert made.phase is Phase.REJECTED


def test_a_superseded_version_that_never_served_is_retired() -> None:
    """Newest wanted, blue good: what was between is of no use."""
    newest = app("web:3")
    made = decided(
        replicas(BLUE, **ROUTED), replicas(GREEN), wanted=newest, record=under_way(newest),
        published=routing((BLUE, 100)),
    )  # fmt: skip
    assert made.actions == tuple(StopReplica(name=r.name) for r in replicas(GREEN))


# --- settled --------------------------------------------------------------------------------------


def test_a_settled_app_is_left_alone() -> None:
    """No action, no next look (L2)."""
    made = decided(replicas(GREEN, **ROUTED), record=good(GREEN), published=routing((GREEN, 100)))
    assert not made.actions
    assert (made.reason, made.phase) == (f"{G} serves with 2 replicas", Phase.SETTLED)
    assert made.recheck_after is None
    assert made.record == good(GREEN)


def test_two_shares_are_said_as_two() -> None:
    """A canary that was aborted half-way, held by its rejection and an unproven blue."""
    part = routing((BLUE, 90), (OLD, 10))
    made = decided(
        replicas(BLUE, **ROUTED), replicas(OLD, **ROUTED), wanted=GREEN,
        record=replace(rejected(), good=None), published=part,
    )  # fmt: skip
    assert published_by(made).weights == {B: 100}


def test_a_share_without_servers_is_never_made() -> None:
    """Whatever the weights, only what can serve is in them."""
    part = Routing(
        shares=(Share(revision=OLD.revision, weight=100, servers=()),), routes=BLUE.routes
    )
    made = decided(replicas(BLUE), wanted=BLUE, record=good(BLUE), published=part)
    assert all(share.servers for share in published_by(made).shares)


def test_what_may_be_routed_to_is_never_drained() -> None:
    """Not confirmed to be unrouted is not unrouted, whatever else is said (S2)."""
    seen = Observation(app=WEB, desired=GREEN)
    routed = replica(BLUE, unrouted_for=None, idle_for=999.0)
    assert not is_drained(Situation(seen=seen, record=good(GREEN)), routed)

"""What must not run twice: hold, stop, start; and the way back when that does not work out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.build import WEB, app, good, replica, replicas, routing
from tests.core.test_planner import decided, published_by
from traefik_bg.core.actions import (
    CreateReplica,
    Outcome,
    Phase,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
)
from traefik_bg.core.evidence import Evidence, Figures
from traefik_bg.core.guard import broken_by_publishing, broken_by_starting
from traefik_bg.core.model import Routing
from traefik_bg.core.observation import ContainerState, Health, Observation
from traefik_bg.core.record import Deployment, Record, Rejection, Waiver
from traefik_bg.core.rollout import Analysis, Approval, Rollout, Strategy

ALONE = Rollout(strategy=Strategy.RECREATE, bake=20.0, drain=30.0, hold_requests=30.0)
BLUE, GREEN = app("web:1", replicas=1, rollout=ALONE), app("web:2", replicas=1, rollout=ALONE)
B, G = BLUE.revision, GREEN.revision
ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
REST: dict[str, Any] = {
    "state": ContainerState.EXITED, "address": "", "health": Health.UNKNOWN, "is_blameless": True,
}  # fmt: skip
READY: dict[str, Any] = {"state": ContainerState.CREATED, "address": "", "health": Health.UNKNOWN}
HELD = Routing(routes=GREEN.routes, holds_for=30.0, loops=True)
SERVING = replace(routing((BLUE, 100), count=1), loops=True)


def under_way(**changes: Any) -> Record:
    """Return a record in which blue is good and green is on its way."""
    deployment = Deployment(number=2, revision=G, image="web:2", blue=B)
    return good(BLUE, **{"deployments": 2, "deployment": deployment} | changes)


def rejected() -> Record:
    """Return a record in which green has been rejected."""
    return good(BLUE, rejection=Rejection(spec=GREEN.digest, revision=G, reason="HTTP 503"))


def test_the_image_is_pulled_before_anything_is_stopped() -> None:
    """What can go wrong goes wrong while blue serves."""
    made = decided((replica(BLUE, **ROUTED),), wanted=GREEN, record=under_way(),
                   published=SERVING, images={"web:2": False})  # fmt: skip
    assert made.actions == (PullImage(image="web:2"),)


def test_green_is_created_but_not_started_while_blue_runs() -> None:
    """Settings that Docker refuses are found out, and nothing runs twice (S8)."""
    made = decided((replica(BLUE, **ROUTED),), wanted=GREEN, record=under_way(),
                   published=SERVING)  # fmt: skip
    (action,) = made.actions
    assert isinstance(action, CreateReplica)
    assert made.reason == f"creating web-{G}-0 (web:2)"


def test_what_is_being_created_is_waited_for() -> None:
    """Nothing is held or stopped before."""
    made = decided((replica(BLUE, **ROUTED),), wanted=GREEN, record=under_way(),
                   published=SERVING, busy=frozenset({f"web-{G}-0"}))  # fmt: skip
    assert not made.actions
    assert made.reason == f"creating the replicas of {G}"


def test_requests_are_held_before_blue_is_stopped() -> None:
    """As long as the app allows."""
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=SERVING, hold_available=True)  # fmt: skip
    assert published_by(made) == HELD
    assert made.reason == f"holding requests, until {G} has taken over"


def test_where_requests_cannot_be_held_people_are_told() -> None:
    """The gap is there then, and nobody should be surprised by it."""
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=SERVING, hold_available=False)  # fmt: skip
    assert made.reason == f"requests cannot be held here and fail, until {G} has taken over"


def test_the_way_by_which_requests_wait_is_known_to_traefik_before_they_do() -> None:
    """A request that begins to wait must find it there when the wait is over."""
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=replace(SERVING, loops=False))  # fmt: skip
    assert published_by(made) == SERVING
    assert made.reason == "telling Traefik how requests are to wait"
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=SERVING, stands_for=None)  # fmt: skip
    assert made.reason == "waiting for Traefik to load the routing"


def test_an_operator_is_asked_before_requests_are_held() -> None:
    """Afterwards there is no time to ask."""
    spec = replace(GREEN, rollout=replace(ALONE, approval=Approval.MANUAL))
    found = ((replica(BLUE, **ROUTED), replica(spec, **READY)),)
    made = decided(*found, wanted=spec, record=under_way(), published=SERVING)
    assert made.phase is Phase.WAITING
    waiver = Waiver(revision=G, weight=0)
    made = decided(*found, wanted=spec, record=under_way(waiver=waiver), published=SERVING)
    assert published_by(made).holds_for == 30.0


def test_blue_is_not_stopped_before_requests_are_known_to_be_held() -> None:
    """Traefik may still send it some (S2)."""
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=HELD, stands_for=None)  # fmt: skip
    assert made.reason == "waiting for Traefik to hold requests"
    assert not made.actions


def test_blue_answers_what_it_has_begun_before_it_is_stopped() -> None:
    """For a third of the time requests are held, at most."""
    busy = replica(BLUE, unrouted_for=4.0, idle_for=None, open_connections=2)
    made = decided((busy, replica(GREEN, **READY)), wanted=GREEN, record=under_way(),
                   published=HELD)  # fmt: skip
    assert made.reason == (
        f"requests are held; draining web-{B}-0: waiting for 2 open connections, at most 6 s"
    )
    assert made.recheck_after is not None
    late = replace(busy, unrouted_for=10.0)
    made = decided((late, replica(GREEN, **READY)), wanted=GREEN, record=under_way(),
                   published=HELD)  # fmt: skip
    assert made.actions == (StopReplica(name=late.name),)


def test_a_stop_under_way_is_waited_for() -> None:
    """Green is not started beside it (S8)."""
    made = decided((replica(BLUE), replica(GREEN, **READY)), wanted=GREEN, record=under_way(),
                   published=HELD, busy=frozenset({f"web-{B}-0"}))  # fmt: skip
    assert made.reason == f"stopping web-{B}-0; requests are held"
    assert not made.actions


def test_green_is_started_once_blue_has_ended() -> None:
    """Blue's container stays (S4)."""
    made = decided((replica(BLUE, **REST), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(), published=HELD)  # fmt: skip
    assert made.actions == (StartReplica(name=replica(GREEN).name),)


def test_requests_go_to_green_once_it_is_healthy() -> None:
    """Those that were held first of all."""
    made = decided((replica(BLUE, **REST), replica(GREEN)), wanted=GREEN, record=under_way(),
                   published=HELD)  # fmt: skip
    assert published_by(made) == replace(routing((GREEN, 100), count=1), loops=True)


def test_blue_is_kept_until_green_is_good() -> None:
    """Stopped: it can be started again."""
    made = decided((replica(BLUE, **REST), replica(GREEN, **ROUTED)), wanted=GREEN,
                   record=under_way(), published=replace(routing((GREEN, 100), count=1), loops=True),
                   stands_for=5.0)  # fmt: skip
    assert made.phase is Phase.BAKING
    assert not made.actions


def test_blue_is_removed_when_green_is_good() -> None:
    """Nobody needs it any more."""
    made = decided((replica(BLUE, **REST), replica(GREEN, **ROUTED)), wanted=GREEN,
                   record=good(GREEN, BLUE),
                   published=replace(routing((GREEN, 100), count=1), loops=True))  # fmt: skip
    assert made.actions == (RemoveReplica(name=replica(BLUE).name),)


def test_green_that_does_not_become_healthy_makes_way_for_blue() -> None:
    """It is stopped before blue is started (S8)."""
    late = replica(GREEN, health=Health.STARTING, age=60.0)
    made = decided((replica(BLUE, **REST), late), wanted=GREEN, record=under_way(),
                   published=HELD)  # fmt: skip
    assert made.endings[0].outcome is Outcome.REJECTED
    assert made.actions == (StopReplica(name=late.name),)
    made = decided((replica(BLUE, **REST), replica(GREEN, **REST)), wanted=GREEN,
                   record=rejected(), published=HELD)  # fmt: skip
    assert RemoveReplica(name=late.name) in made.actions
    made = decided((replica(BLUE, **REST),), wanted=GREEN, record=rejected(),
                   published=HELD)  # fmt: skip
    assert made.actions == (StartReplica(name=replica(BLUE).name),)


def test_blue_gets_the_requests_back_when_it_is_healthy_again() -> None:
    """The held ones too."""
    made = decided((replica(BLUE),), wanted=GREEN, record=rejected(), published=HELD)
    assert published_by(made).weights == {B: 100}


def test_green_that_falls_sick_in_its_bake_makes_way_for_blue() -> None:
    """Although blue does not run."""
    sick = replica(GREEN, health=Health.UNHEALTHY, health_reason="HTTP 500", **ROUTED)
    made = decided((replica(BLUE, **REST), sick), wanted=GREEN, record=under_way(),
                   published=replace(routing((GREEN, 100), count=1), loops=True), stands_for=5.0)  # fmt: skip
    assert made.endings[0].outcome is Outcome.REJECTED
    assert published_by(made).holds_for == 30.0


def test_bad_answers_in_its_bake_make_green_make_way() -> None:
    """The analysis judges what must not run twice as well."""
    analysis = Analysis(max_error_ratio=0.01, min_requests=10)
    spec = replace(GREEN, rollout=replace(ALONE, analysis=analysis))
    made = decided((replica(BLUE, **REST), replica(spec, **ROUTED)), wanted=spec,
                   record=under_way(), published=replace(routing((spec, 100), count=1), loops=True),
                   stands_for=5.0,
                   evidence=Evidence(figures={G: Figures(requests=50, errors=5)}))  # fmt: skip
    assert "5 of 50" in made.endings[0].reason
    assert published_by(made).holds_for == 30.0


def test_no_app_is_left_with_its_requests_held() -> None:
    """A pause has to wait until something serves."""
    made = decided((replica(BLUE, **REST), replica(GREEN, **READY)), wanted=GREEN,
                   record=under_way(paused=True), published=HELD)  # fmt: skip
    assert made.actions == (StartReplica(name=replica(GREEN).name),)


def test_scaling_what_must_not_run_twice_holds_nothing() -> None:
    """Replicas of one revision are not two of it."""
    made = decided((replica(BLUE, **ROUTED),), wanted=replace(BLUE, replicas=2),
                   record=good(BLUE), published=SERVING)  # fmt: skip
    assert isinstance(made.actions[0], CreateReplica)
    assert isinstance(made.actions[1], StartReplica)


def test_what_nobody_is_routed_to_is_stopped_without_holding() -> None:
    """There are no requests to hold."""
    stuck = replica(BLUE, health=Health.STARTING, age=5.0)
    made = decided((stuck, replica(GREEN, **READY)), wanted=GREEN, record=Record(deployments=1))
    assert made.actions == (StopReplica(name=stuck.name),)


def test_what_serves_already_is_not_interrupted_to_be_alone() -> None:
    """What drains, or what Docker has started again, is stopped; no request has to wait for it."""
    serving = replace(routing((GREEN, 100), count=1), loops=True)
    draining = replica(BLUE, unrouted_for=5.0, idle_for=None, open_connections=1)
    found = ((draining, replica(GREEN, **ROUTED)),)
    for record in (good(GREEN, BLUE), under_way()):
        made = decided(*found, wanted=GREEN, record=record, published=serving)
        assert not made.actions
        assert made.reason == f"draining web-{B}-0: waiting for 1 open connection, at most 25 s"
    done = replica(BLUE, unrouted_for=30.0)
    made = decided((done, replica(GREEN, **ROUTED)), wanted=GREEN, record=under_way(),
                   published=serving)  # fmt: skip
    assert made.actions == (StopReplica(name=done.name),)
    assert made.reason == f"stopping web-{B}-0"


def test_what_is_to_be_alone_has_no_way_back_beside_it() -> None:
    """While blue may be asked it could never be stopped."""
    serving = replace(routing((GREEN, 100), count=1, fallback=BLUE), loops=True)
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **ROUTED)), wanted=GREEN,
                   record=under_way(), published=serving, guard_available=True)  # fmt: skip
    assert published_by(made) == replace(serving, fallback=None)


def test_requests_that_wait_are_not_sent_away_when_the_strategy_changes() -> None:
    """Green or blue, whoever is healthy first, answers them."""
    spec = replace(GREEN, rollout=Rollout(bake=20.0, drain=30.0))
    starting = replica(spec, health=Health.STARTING, age=1.0)
    found = (replica(BLUE, **REST), starting)
    made = decided(found, wanted=spec, record=under_way(), published=HELD)
    assert made.actions == (StartReplica(name=replica(BLUE).name),)
    back = (replica(BLUE), starting)
    made = decided(back, wanted=spec, record=under_way(), published=HELD)
    assert published_by(made).weights == {B: 100}
    assert published_by(made).holds_for is None


def test_what_serves_is_what_runs_again_where_nobody_knows_a_good_one() -> None:
    """Nothing is started beside it (S8)."""
    newest = app("web:3", replicas=1, rollout=ALONE)
    rejection = Rejection(spec=newest.digest, revision=newest.revision, reason="no such image")
    first, second = sorted((BLUE, GREEN), key=lambda spec: spec.revision)
    serving = replace(routing((second, 100), count=1), loops=True)
    leaving = (replica(first, 0, **REST), replica(first, 1), replica(second, **ROUTED))
    made = decided(leaving, wanted=newest, record=Record(rejection=rejection), published=serving)
    assert not made.actions


def test_nothing_is_held_for_a_way_back_that_serves() -> None:
    """It would be held and let go again, without end."""
    newest = app("web:3", replicas=1, rollout=ALONE)
    rejection = Rejection(spec=newest.digest, revision=newest.revision, reason="aborted")
    found = (
        replica(BLUE, **ROUTED),
        replica(newest, unrouted_for=5.0, idle_for=None),
        replica(GREEN, **REST),
    )
    made = decided(found, wanted=newest, record=Record(rejection=rejection), published=SERVING)
    assert not made.actions


def test_what_failed_before_is_no_reason_to_give_up_what_serves() -> None:
    """After Docker was restarted: nothing else is known to be good, and nothing was stopped."""
    ended = {**REST, "is_blameless": False, "exit_code": 1, "age": 1.0}
    deployment = Deployment(number=2, revision=G, image="web:2")
    record = Record(deployments=2, deployment=deployment)
    made = decided((replica(BLUE, **ended), replica(GREEN, **ended)), wanted=GREEN, record=record,
                   published=replace(Routing(routes=GREEN.routes), loops=True))  # fmt: skip
    assert not made.endings
    serving = replace(routing((GREEN, 100), count=1), loops=True)
    made = decided((replica(BLUE, **ended), replica(GREEN, **ended)), wanted=GREEN, record=record,
                   published=serving)  # fmt: skip
    assert not made.endings


# --- the guard ------------------------------------------------------------------------------------


def seen(*found: Any, wanted: Any = GREEN) -> Observation:
    """Return a look at these replicas."""
    return Observation(app=WEB, desired=wanted, replicas=found, published=SERVING)


def test_the_guard_lets_requests_be_held() -> None:
    """It is the one way in which nothing has traffic by our hand (S3)."""
    assert broken_by_publishing(seen(replica(BLUE, **ROUTED)), HELD) is None
    nothing = replace(HELD, holds_for=None)
    assert broken_by_publishing(seen(replica(BLUE, **ROUTED)), nothing) is not None


def test_the_guard_lets_nothing_be_started_twice() -> None:
    """Whatever the plan was."""
    ready = replica(GREEN, **READY)
    assert broken_by_starting(seen(replica(BLUE), ready), ready.name) == (
        f"S8: web-{B}-0 still runs"
    )
    paused = replica(BLUE, state=ContainerState.PAUSED)
    assert broken_by_starting(seen(paused, ready), ready.name) is not None
    assert broken_by_starting(seen(replica(BLUE, **REST), ready), ready.name) is None


def test_the_guard_lets_others_run_side_by_side() -> None:
    """Blue and green do nothing else."""
    spec = app("web:2")
    ready = replica(spec, **READY)
    found = seen(*replicas(app("web:1")), ready, wanted=spec)
    assert broken_by_starting(found, ready.name) is None
    assert broken_by_starting(found, replica(BLUE, 7).name) is None


def test_requests_wait_for_half_of_what_comes_back() -> None:
    """The others join: nobody has to wait for the last of them."""
    two = replace(BLUE, replicas=2)
    record = replace(rejected(), good=two)
    late = replica(two, 1, health=Health.STARTING)
    made = decided((replica(two), late, replica(GREEN, **REST)), wanted=GREEN, record=record,
                   published=HELD)  # fmt: skip
    back = published_by(made)
    assert back.weights == {B: 100}
    assert [server.replica for server in back.servers] == [replica(two).name]


def test_a_pause_does_not_keep_traffic_on_what_was_turned_down() -> None:
    """The way back is a repair, though containers have to be stopped and started for it."""
    paused = replace(rejected(), paused=True)
    published = replace(routing((GREEN, 100), count=1), loops=True)
    made = decided((replica(BLUE, **REST), replica(GREEN, **ROUTED)), wanted=GREEN, record=paused,
                   published=published, hold_available=True)  # fmt: skip
    assert published_by(made).holds_for == 30.0
    made = decided((replica(BLUE, **ROUTED), replica(GREEN, **REST)), wanted=GREEN, record=paused,
                   published=SERVING)  # fmt: skip
    assert made.phase is Phase.PAUSED

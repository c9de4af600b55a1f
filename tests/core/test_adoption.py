"""What others started: routed first, replaced like any blue, stopped and never removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import app, canary, good, replicas, routing
from tests.core.test_planner import decided, published_by
from traefik_bg.core.actions import CreateReplica, Phase, PublishRouting, StopReplica
from traefik_bg.core.adoption import concerns
from traefik_bg.core.claims import unmet_claims
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.guard import broken_by_publishing
from traefik_bg.core.model import (
    ADOPTED,
    Adoption,
    AppSpec,
    ReplicaName,
    Route,
    Routing,
    Server,
    Share,
)
from traefik_bg.core.observation import Claim, ContainerState, Health, Observation, Replica
from traefik_bg.core.record import Deployment, Record, Rejection
from traefik_bg.core.rollout import Rollout, Strategy
from traefik_bg.core.situation import Situation

GREEN = app("web:2", adopt=Adoption(project="shop", service="web"))
G = GREEN.revision
ROUTE = GREEN.routes[0]
CLAIM = Claim(router="web", rule=ROUTE.rule, priority=5)
WINS = Claim(router="web", rule=ROUTE.rule, priority=900)
ALONE = Rollout(strategy=Strategy.RECREATE, bake=5.0, drain=10.0)


def theirs(number: int = 1, **changes: Any) -> Replica:
    """Return a container that Compose started, healthy and routed by its labels."""
    name = ReplicaName(f"shop-web-{number}")
    seen = Replica(
        name=name, revision=ADOPTED, number=number, state=ContainerState.RUNNING, address=name,
        health=Health.HEALTHY, age=100.0, unrouted_for=100.0, idle_for=100.0, claims=(CLAIM,),
    )  # fmt: skip
    return replace(seen, **changes)


def routed(*numbers: int, weight: int = 100) -> Share:
    """Return the share of what was adopted."""
    names = [ReplicaName(f"shop-web-{number}") for number in numbers]
    return Share(
        revision=ADOPTED, weight=weight,
        servers=tuple(Server(replica=name, address=name, port=8000) for name in names),
    )  # fmt: skip


FIRST = Routing(shares=(routed(1, 2),), routes=GREEN.routes)
BOTH = (theirs(1), theirs(2))


def under_way(spec: AppSpec = GREEN) -> Record:
    """Return the record of a first deployment, with what was adopted as blue."""
    opened = Deployment(number=1, revision=spec.revision, image=spec.image, blue=ADOPTED)
    return Record(deployment=opened, deployments=1)


# --- the route moves first ------------------------------------------------------------------------


def test_what_serves_is_routed_before_anything_is_created() -> None:
    """The first thing is the move to our own configuration, and green comes after it."""
    made = decided(BOTH, record=Record(), wanted=GREEN)
    assert published_by(made) == FIRST
    assert made.reason == "what serves is routed first: shop-web-1, shop-web-2"
    assert made.record.deployment is not None
    assert made.record.deployment.blue == ADOPTED


def test_then_green_is_created_beside_it() -> None:
    """It is a deployment like any other from then on."""
    made = decided(BOTH, record=under_way(), wanted=GREEN, published=FIRST)
    created = [action for action in made.actions if isinstance(action, CreateReplica)]
    assert len(created) == 2


def test_it_is_reached_where_it_listens() -> None:
    """Its port may be another one than green's."""
    spec = replace(GREEN, adopt=Adoption(containers=("old",), port=80))
    routing = published_by(decided(BOTH, record=Record(), wanted=spec))
    assert {server.port for server in routing.servers} == {80}


def test_only_what_is_healthy_is_routed() -> None:
    """Who does not answer gets no requests from us (S1)."""
    sick = theirs(2, health=Health.UNHEALTHY)
    assert published_by(decided((theirs(1), sick), record=Record(), wanted=GREEN)) == replace(
        FIRST, shares=(routed(1),)
    )


def test_a_lost_routing_is_found_again_while_a_new_version_starts() -> None:
    """The same rule has what serves of ours routed at once, not only with the next version."""
    blue = app("web:1")
    names = [ReplicaName(f"web-{blue.revision}-{n}") for n in (0, 1)]
    found = tuple(
        theirs(n, name=name, address=name, revision=blue.revision, claims=())
        for n, name in enumerate(names)
    )
    made = decided(found, record=good(blue), wanted=app("web:2"))
    assert published_by(made).weights == {blue.revision: 100}


def test_edited_routes_are_tried_and_hold_for_it_too() -> None:
    """It never had other routes here than the desired ones."""
    edited = replace(GREEN, routes=(replace(ROUTE, priority=7),))
    made = decided(BOTH, record=under_way(edited), wanted=edited, published=FIRST)
    tried = published_by(made)
    assert (tried.trial, tried.routes) == (edited.routes, GREEN.routes)
    made = decided(BOTH, record=under_way(edited), wanted=edited, published=tried)
    assert published_by(made).routes == edited.routes


# --- what labels claim ----------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [GREEN, replace(GREEN, rollout=ALONE)], ids=["beside", "recreate"])
def test_nothing_is_begun_while_a_label_would_keep_its_requests(spec: AppSpec) -> None:
    """The reason names the router, and what would help."""
    made = decided((theirs(claims=(WINS,)),), record=Record(), wanted=spec)
    assert (made.actions, made.phase) == ((), Phase.BLOCKED)
    assert made.reason == (
        "shop-web-1 cannot be replaced without loss: its label's router web "
        "(Host(`web.example`)) has requests that no route of the app takes; write a route with "
        "this rule, priority: 901 or more, entry points as there (none named), and without tls"
    )


def test_one_that_others_start_again_later_stops_nothing() -> None:
    """Once there is a good version, deployments go on beside it, and it is left alone."""
    blue = app("web:1")
    record = good(blue)
    made = decided((theirs(claims=(WINS,)),), record=record, wanted=app("web:2"),
                   published=routing((blue, 100)))  # fmt: skip
    assert made.phase is not Phase.BLOCKED
    assert not [action for action in made.actions if isinstance(action, StopReplica)]


def test_with_recreate_it_is_not_stopped_while_the_routes_in_force_would_lose_requests() -> None:
    """Nor is anything started beside it (S8): somebody has to stop it."""
    spec = replace(GREEN, rollout=ALONE, routes=(replace(ROUTE, priority=901),))
    before = app("web:1", rollout=ALONE)
    held = Routing(routes=before.routes, holds_for=30.0, loops=True)
    made = decided((theirs(claims=(WINS,), health=Health.UNHEALTHY),), record=good(before),
                   wanted=spec, published=held, images={"web:2": True})  # fmt: skip
    assert not [action for action in made.actions if isinstance(action, StopReplica)]


def test_a_middleware_that_ends_with_it_is_told() -> None:
    """A router whose middleware is gone answers 404 to everybody."""
    spec = replace(GREEN, routes=(replace(ROUTE, middlewares=("ours@file", "gz@docker")),))
    made = decided((theirs(defines=("gz@docker", "x@docker")),), record=Record(), wanted=spec)
    assert (made.actions, made.phase) == ((), Phase.BLOCKED)
    assert "its labels define gz@docker, which the app's routes use" in made.reason


@pytest.mark.parametrize(
    ("claim", "route", "is_met"),
    [
        (CLAIM, ROUTE, True),
        (replace(CLAIM, rule='Host( "web.example" )'), ROUTE, True),
        (replace(CLAIM, rule="Host(`other.example`)"), ROUTE, False),
        (replace(CLAIM, priority=len(ROUTE.rule)), ROUTE, False),
        (replace(CLAIM, priority=len(ROUTE.rule)), replace(ROUTE, priority=900), True),
        (replace(CLAIM, entrypoints=("a", "b")), ROUTE, True),
        (replace(CLAIM, entrypoints=("a", "b")), replace(ROUTE, entrypoints=("b", "a")), True),
        (replace(CLAIM, entrypoints=("a", "b")), replace(ROUTE, entrypoints=("a",)), False),
        (CLAIM, replace(ROUTE, entrypoints=("a",)), False),
        (replace(CLAIM, has_tls=True), ROUTE, False),
    ],
)
def test_a_claim_is_met_by_a_route_that_takes_all_its_requests(
    claim: Claim, route: Route, is_met: bool
) -> None:
    """The same rule, on all its entry points, with TLS where it has it, and a higher priority."""
    assert (not list(unmet_claims(theirs(claims=(claim,)), (route,)))) is is_met


# --- the end of it --------------------------------------------------------------------------------


def test_it_is_stopped_after_the_deployment_and_stays() -> None:
    """It is drained like any blue; what has stopped is not removed (S6)."""
    green = tuple(
        theirs(n, name=name, address=name, revision=G, claims=(), unrouted_for=None)
        for n, name in enumerate(ReplicaName(f"web-{G}-{n}") for n in (0, 1))
    )
    published = routing((GREEN, 100))
    record = good(GREEN, adopted=("shop-web-1", "shop-web-2"))
    stopped = decided(green, BOTH, record=record, wanted=GREEN, published=published)
    assert [a for a in stopped.actions if isinstance(a, StopReplica)] == [
        StopReplica(name=ReplicaName("shop-web-1")),
        StopReplica(name=ReplicaName("shop-web-2")),
    ]
    rest = tuple(replace(r, state=ContainerState.EXITED, address="") for r in BOTH)
    later = decided(green, BOTH, record=good(GREEN), wanted=GREEN, published=published)
    assert later.actions == (), "what others start again when it is over is theirs"
    loading = decided(green, BOTH, record=record, wanted=GREEN, published=published,
                      stands_for=None)  # fmt: skip
    assert loading.actions == (), "Traefik may still route by the labels"
    young = decided(green, BOTH, record=record, wanted=GREEN, published=published, stands_for=0.5)
    assert young.actions == (), "it had requests until a moment ago"
    settled = decided(green, rest, record=good(GREEN), wanted=GREEN, published=published)
    assert (settled.actions, settled.phase) == ((), Phase.SETTLED)


def test_what_others_stopped_before_or_start_later_is_theirs() -> None:
    """Seen is what runs while no version is good, and what ran then, to its end."""
    ended, runs, name = ContainerState.EXITED, ContainerState.RUNNING, ReplicaName("shop-web-1")
    found = Record(adopted=(name,))
    assert concerns(name, runs, Record())
    assert concerns(name, ContainerState.RESTARTING, Record())
    assert not concerns(name, ended, Record())
    assert concerns(name, ended, found)
    assert concerns(name, runs, good(GREEN, adopted=(name,)))
    assert not concerns(name, runs, good(GREEN))


def test_a_rejected_green_gives_everything_back_to_it() -> None:
    """Nobody knows of a good version, and what was adopted serves on."""
    spec = canary("web:2", 50)
    published = Routing(
        shares=(routed(1, 2, weight=50), *routing((spec, 50)).shares), routes=spec.routes
    )
    sick = tuple(
        theirs(n, name=name, address=name, revision=spec.revision, claims=(),
               health=Health.UNHEALTHY, health_reason="HTTP 500", unrouted_for=None)
        for n, name in enumerate(ReplicaName(f"web-{spec.revision}-{n}") for n in (0, 1))
    )  # fmt: skip
    made = decided(BOTH, sick, record=under_way(spec), wanted=spec, published=published)
    (action,) = [a for a in made.actions if isinstance(a, PublishRouting)]
    assert action.routing is not None
    assert action.routing.weights == {ADOPTED: 100}
    assert made.record.rejection is not None


def test_nothing_is_begun_until_it_is_known_whether_it_answers() -> None:
    """The first look knows nothing yet; who has no address, or is late, is not waited for."""
    new = theirs(health=Health.UNKNOWN, age=0.0)
    made = decided((new,), record=Record(), wanted=GREEN)
    assert (made.actions, made.reason) == ((), "waiting for the first answer of shop-web-1")
    for other in (replace(new, address=""), replace(new, age=60.0)):
        assert decided((other,), record=Record(), wanted=GREEN).actions


def test_what_we_cannot_reach_serves_on_by_its_labels() -> None:
    """Our probe fails for long, green is not there yet, and it is not stopped (S2)."""
    sick = theirs(health=Health.UNHEALTHY, age=500.0, claims=())
    made = decided((sick,), record=under_way(), wanted=GREEN, images={"web:2": False})
    assert not [a for a in made.actions if isinstance(a, StopReplica)]


def test_without_an_address_nothing_is_routed() -> None:
    """Docker calls it healthy in a network that is not ours (S1)."""
    made = decided((theirs(address=""),), record=Record(), wanted=GREEN)
    assert not [a for a in made.actions if isinstance(a, PublishRouting)]


def test_it_listens_where_its_labels_say_and_stays_there_when_the_app_moves() -> None:
    """An edit of the app's port is about the next version."""
    spec = replace(GREEN, port=9000)
    said = decided((theirs(port=8080),), record=Record(), wanted=spec)
    assert {server.port for server in published_by(said).servers} == {8080}
    kept = decided(BOTH, record=under_way(spec), wanted=spec, published=FIRST)
    assert not [a for a in kept.actions if isinstance(a, PublishRouting)]


def test_held_apps_are_not_taken_over() -> None:
    """Hold means hold, for the routes of others too."""
    made = decided(BOTH, record=Record(), wanted=replace(GREEN, hold=True))
    assert (made.actions, made.phase) == ((), Phase.PAUSED)


def test_a_router_that_leads_elsewhere_ends_with_it_unless_it_has_been_moved() -> None:
    """The way from http to https is the usual one."""
    claim = Claim(router="plain", rule="Host(`a`)", priority=9, leads_elsewhere=True)
    made = decided((theirs(claims=(CLAIM, claim)),), record=Record(), wanted=GREEN)
    assert made.phase is Phase.BLOCKED
    assert "moved: [plain]" in made.reason


def ours(spec: AppSpec, count: int = 2, **changes: Any) -> tuple[Replica, ...]:
    """Return healthy replicas of our own that are routed."""
    routed: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
    return replicas(spec, count, **(routed | changes))


def test_it_is_not_stopped_before_the_routes_are_loaded_even_without_a_drain() -> None:
    """Traefik goes by the labels until it has loaded the routes that win over them (S2)."""
    spec = replace(GREEN, rollout=Rollout(drain=0.0))
    record = good(spec, adopted=("shop-web-1",))
    made = decided(ours(spec), (theirs(),), record=record, wanted=spec,
                   published=routing((spec, 100)), stands_for=None)  # fmt: skip
    assert not [a for a in made.actions if isinstance(a, StopReplica)]


def test_with_recreate_it_is_not_stopped_before_the_routes_are_loaded() -> None:
    """Also where what is wanted has all traffic already."""
    spec = replace(GREEN, replicas=1, rollout=replace(ALONE, drain=0.0))
    published = replace(routing((spec, 100), count=1), loops=True)
    made = decided(ours(spec, 1), (theirs(),), record=under_way(spec), wanted=spec,
                   published=published, stands_for=None)  # fmt: skip
    assert (made.actions, made.phase) == ((), Phase.CONFIRMING)


def test_requests_that_wait_are_not_left_waiting_for_a_label() -> None:
    """What has begun goes on: nobody is served while it stands still."""
    spec = replace(GREEN, replicas=1, rollout=ALONE)
    held = Routing(routes=spec.routes, holds_for=30.0, loops=True)
    sick = theirs(claims=(WINS,), state=ContainerState.RESTARTING, address="")
    wins = theirs(2, claims=(WINS,), health=Health.UNHEALTHY)
    made = decided((sick, wins), record=under_way(spec), wanted=spec, published=held)
    assert "cannot be replaced" not in made.reason


def test_what_never_was_good_is_no_home_after_a_rejection_either() -> None:
    """Whatever weight it has: what was adopted is the only one known to have served well."""
    middle, bad = app("web:2"), app("web:3")
    rejection = Rejection(spec=bad.digest, revision=bad.revision, reason="HTTP 503")
    published = Routing(
        shares=(routed(1, weight=10), replace(routing((middle, 90)).shares[0], weight=90)),
        routes=bad.routes,
    )
    record = Record(rejection=rejection, deployments=3, adopted=("shop-web-1",))
    made = decided((theirs(unrouted_for=None),), ours(middle), record=record, wanted=bad,
                   published=published)  # fmt: skip
    assert published_by(made).weights == {ADOPTED: 100}


def test_abort_remembers_who_served_before() -> None:
    """Where several rest, that one is started again."""
    seen = Observation(app=GREEN.name, desired=GREEN, replicas=BOTH, published=FIRST)
    obeyed = obey(Verb.ABORT, Situation(seen=seen, record=under_way()))
    assert obeyed.record.rejection is not None
    assert obeyed.record.rejection.blue == ADOPTED


def test_the_guard_lets_nothing_be_published_without_an_address() -> None:
    """Traefik would ask itself (S1)."""
    nowhere = Server(replica=ReplicaName("shop-web-1"), address="", port=8000)
    share = Share(revision=ADOPTED, weight=100, servers=(nowhere,))
    seen = Observation(app=GREEN.name, desired=GREEN, replicas=(theirs(address=""),))
    said = broken_by_publishing(seen, Routing(shares=(share,), routes=GREEN.routes))
    assert said is not None
    assert said.startswith("S7")

"""The last look: what would break a law is refused, whoever planned it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.build import WEB, app, replica, replicas, routing, server
from traefik_bg.core.guard import broken_by_publishing, broken_by_stopping
from traefik_bg.core.model import MirrorShare, PreviewShare, ReplicaName, Routing, Share
from traefik_bg.core.observation import ContainerState, Health, Observation, Replica
from traefik_bg.core.rollout import Preview

BLUE, GREEN = app("web:1"), app("web:2")


def seen(*found: Replica, published: Routing | None = None, wanted: bool = True) -> Observation:
    """Return a look at some replicas."""
    return Observation(
        app=WEB, desired=GREEN if wanted else None, replicas=found, published=published
    )


# --- publishing -----------------------------------------------------------------------------------


def test_a_routing_to_healthy_replicas_may_be_published() -> None:
    """Nothing is broken by routing to the proven."""
    look = seen(*replicas(BLUE), *replicas(GREEN), published=routing((BLUE, 100)))
    assert broken_by_publishing(look, routing((BLUE, 90), (GREEN, 10), fallback=BLUE)) is None


def test_a_desired_app_may_not_be_taken_out_of_the_routing() -> None:
    """S3: only what nobody wants is unrouted."""
    look = seen(*replicas(BLUE), published=routing((BLUE, 100)))
    assert broken_by_publishing(look, None) == "S3: the app is desired"


def test_an_unwanted_app_may_be_taken_out_of_the_routing() -> None:
    """Its removal begins so."""
    look = seen(*replicas(BLUE), published=routing((BLUE, 100)), wanted=False)
    assert broken_by_publishing(look, None) is None


@pytest.mark.parametrize("weights", [(10,), (90, 20)])
def test_weights_must_add_up(weights: tuple[int, ...]) -> None:
    """S1: a share of nothing is traffic lost."""
    parts = tuple(zip((BLUE, GREEN), weights, strict=False))
    look = seen(*replicas(BLUE), *replicas(GREEN))
    assert (
        broken_by_publishing(look, routing(*parts)) == f"S1: the weights add up to {sum(weights)}"
    )


@pytest.mark.parametrize(
    "now",
    [
        replica(BLUE, 0, state=ContainerState.EXITED, address=""),
        replica(BLUE, 0, address="10.0.0.9"),
        replica(GREEN, 0),
    ],
    ids=["dead", "elsewhere", "gone"],
)
def test_no_address_may_be_published_that_is_not_its_replicas_now(now: Replica) -> None:
    """S7: dead, started anew at another address, or gone."""
    name = replica(BLUE, 0).name
    wanted = routing((BLUE, 100), count=1)
    assert broken_by_publishing(seen(now), wanted) == (
        f"S7: nothing of that name runs at {name} ({name})"
    )


def test_the_fallback_must_be_there_too() -> None:
    """S7: the fallback gets requests like every other."""
    look = seen(*replicas(GREEN))
    broken = broken_by_publishing(look, routing((GREEN, 100), fallback=BLUE))
    assert broken is not None
    assert broken.startswith("S7")


@pytest.mark.parametrize("health", [Health.STARTING, Health.UNHEALTHY, Health.UNKNOWN])
def test_no_weight_for_a_revision_without_a_healthy_replica(health: Health) -> None:
    """S1: route only to the proven."""
    look = seen(*replicas(BLUE), *replicas(GREEN, health=health), published=routing((BLUE, 100)))
    broken = broken_by_publishing(look, routing((BLUE, 90), (GREEN, 10)))
    assert broken == f"S1: no replica of {GREEN.revision} is healthy"


def test_one_healthy_replica_proves_its_revision() -> None:
    """The other one may be sick; the planner would leave it out, the law does not demand it."""
    look = seen(replica(GREEN, 0), replica(GREEN, 1, health=Health.UNHEALTHY))
    assert broken_by_publishing(look, routing((GREEN, 100))) is None


def test_what_has_traffic_may_keep_it_though_it_is_sick() -> None:
    """Sick is better than nothing: taking out the dead must not be refused for it."""
    look = seen(*replicas(BLUE, health=Health.UNHEALTHY), published=routing((BLUE, 100), count=3))
    assert broken_by_publishing(look, routing((BLUE, 100))) is None


def test_the_sick_may_not_get_traffic_they_did_not_have() -> None:
    """S1: keeping is one thing, adding another."""
    look = seen(*replicas(BLUE, health=Health.UNHEALTHY), published=routing((BLUE, 100), count=1))
    assert broken_by_publishing(look, routing((BLUE, 100))) is not None


def test_what_is_healthy_and_routed_may_not_be_left_with_nothing() -> None:
    """S3: never empty by our hand."""
    look = seen(*replicas(BLUE), published=routing((BLUE, 100)))
    assert broken_by_publishing(look, Routing()) == (
        "S3: what is healthy and routed would get nothing any more"
    )


def test_an_app_of_which_nothing_lives_may_be_routed_to_nothing() -> None:
    """S7 wants the dead out, even when nobody is left."""
    dead = replicas(BLUE, state=ContainerState.EXITED, address="", health=Health.UNKNOWN)
    assert broken_by_publishing(seen(*dead, published=routing((BLUE, 100))), Routing()) is None


def test_an_app_that_was_never_routed_may_be_routed_to_nothing() -> None:
    """Nobody loses anything."""
    assert broken_by_publishing(seen(*replicas(BLUE)), Routing()) is None


@pytest.mark.parametrize("published", [None, routing((BLUE, 100))])
def test_requests_may_be_held_while_something_healthy_is_routed(published: Routing | None) -> None:
    """S3 is about requests that are lost; these wait."""
    look = seen(*replicas(BLUE), published=published)
    assert broken_by_publishing(look, Routing(holds_for=30.0, loops=True)) is None


def test_requests_may_not_be_held_while_something_has_weight() -> None:
    """S3: its requests would wait for nothing."""
    holding = replace(routing((BLUE, 100)), holds_for=30.0)
    assert broken_by_publishing(seen(*replicas(BLUE)), holding) == (
        "S3: requests would be held although something has weight"
    )


@pytest.mark.parametrize("way", ["kept", "preview", "mirror"])
def test_who_gets_requests_without_a_weight_must_be_there_too(way: str) -> None:
    """S7 and S1: an address of nobody, and nobody at all."""
    look = seen(*replicas(BLUE))
    for servers, broken in (
        ((server(replica(BLUE)),), None),
        ((server(replica(GREEN)),), "S7: nothing of that name runs"),
        ((), f"S1: no replica of {GREEN.revision} would answer its requests"),
    ):
        share = Share(revision=GREEN.revision, weight=0, servers=servers)
        before = routing((BLUE, 100))
        ways = {
            "kept": replace(before, kept=share),
            "preview": replace(
                before, preview=PreviewShare(share=share, by=Preview(host="new.example"))
            ),
            "mirror": replace(before, mirror=MirrorShare(share=share, percent=10)),
        }
        found = broken_by_publishing(look, ways[way])
        assert (found or "").startswith(broken or ""), found
        assert (found is None) == (broken is None)


# --- stopping -------------------------------------------------------------------------------------


def test_an_unrouted_replica_may_be_stopped() -> None:
    """Traefik is confirmed not to route to it."""
    look = seen(replica(BLUE), published=routing((GREEN, 100)))
    assert broken_by_stopping(look, replica(BLUE).name) is None


def test_a_published_replica_may_not_be_stopped() -> None:
    """S2: it gets requests."""
    look = seen(replica(BLUE), published=routing((BLUE, 100), count=1))
    name = replica(BLUE).name
    assert broken_by_stopping(look, name) == f"S2: Traefik may still route to {name}"


def test_a_replica_that_some_traefik_may_route_to_may_not_be_stopped() -> None:
    """S2: it is not published any more, but not every Traefik knows."""
    name = replica(BLUE).name
    look = replace(seen(replica(BLUE)), routable=frozenset({name}))
    assert broken_by_stopping(look, name) == f"S2: Traefik may still route to {name}"


def test_a_replica_may_not_be_stopped_while_nobody_knows_who_routes_to_it() -> None:
    """S2: not confirmed is not unrouted."""
    name = replica(BLUE).name
    look = seen(replica(BLUE, unrouted_for=None))
    assert broken_by_stopping(look, name) == (
        f"S2: it is not confirmed that Traefik does not route to {name}"
    )


@pytest.mark.parametrize(
    "found",
    [(), (replica(BLUE, state=ContainerState.EXITED, unrouted_for=None),)],
    ids=["gone", "dead"],
)
def test_what_does_not_run_may_be_stopped(found: tuple[Replica, ...]) -> None:
    """Stopping it does nothing, so it breaks nothing."""
    assert broken_by_stopping(seen(*found), ReplicaName(replica(BLUE).name)) is None


def test_a_server_is_known_by_name_and_address() -> None:
    """The builder's addresses are names; so are the guard's."""
    share = Share(revision=BLUE.revision, weight=100, servers=(server(replica(BLUE)),))
    assert broken_by_publishing(seen(replica(BLUE)), Routing(shares=(share,))) is None

"""The nouns: what a revision is, who is dead, and who gets no request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.build import app, good, replica, routing
from traefik_bg.core.model import AppSpec, HealthPolicy, Json, ReplicaName, Route
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.record import Rejection
from traefik_bg.core.rollout import Rollout

SPEC, OTHER = app("web:1"), app("web:2")


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, replicas=5),
        replace(SPEC, routes=(Route(rule="Host(`new.example`)"),)),
        replace(SPEC, sticky=True),
        replace(SPEC, hold=True),
        replace(SPEC, health=HealthPolicy(path="/up")),
        replace(SPEC, rollout=Rollout(bake=1.0)),
    ],
    ids=["replicas", "routes", "sticky", "hold", "health", "rollout"],
)
def test_what_needs_no_new_containers_is_no_new_revision(changed: AppSpec) -> None:
    """But it is a new wish: a rejection does not hold for it."""
    assert changed.revision == SPEC.revision
    assert changed.digest != SPEC.digest


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, image="web:2"),
        replace(SPEC, port=9000),
        replace(SPEC, container=Json('{"environment":{"A":"1"}}')),
    ],
    ids=["image", "port", "container"],
)
def test_what_needs_new_containers_is_a_new_revision(changed: AppSpec) -> None:
    """And so is another name for its replicas."""
    assert changed.revision != SPEC.revision


def test_a_rejection_is_about_one_spec() -> None:
    """The very same one, not only its revision."""
    rejection = Rejection(spec=SPEC.digest, revision=SPEC.revision, reason="HTTP 503")
    record = good(OTHER, rejection=rejection)
    assert record.rejects(SPEC)
    assert not record.rejects(replace(SPEC, replicas=5))
    assert not good(OTHER).rejects(SPEC)


@pytest.mark.parametrize("state", ContainerState)
def test_a_replica_is_dead_when_its_process_has_ended(state: ContainerState) -> None:
    """Exited, about to be restarted, or being removed; not when it was never started."""
    ended = {ContainerState.EXITED, ContainerState.RESTARTING, ContainerState.REMOVING}
    assert replica(SPEC, state=state).is_dead is (state in ended)


def test_a_replica_in_shares_and_fallback_is_one_server() -> None:
    """Each gets its address written once."""
    both = routing((SPEC, 90), (OTHER, 10), fallback=SPEC)
    assert len(list(both.servers)) == 4
    assert both.has(replica(SPEC).name)
    assert not both.has(ReplicaName("web-gone-0"))


def test_what_may_be_routed_is_not_unrouted() -> None:
    """Whatever was measured before."""
    routed, left, never = (ReplicaName(name) for name in ("routed", "left", "never"))
    state = RoutingState(
        unrouted={left: 3.0, routed: 9.0}, routable=frozenset({routed}), watched_for=60.0
    )
    assert state.unrouted_for(routed) is None
    assert state.unrouted_for(left) == 3.0
    assert state.unrouted_for(never) == 60.0
    assert RoutingState().unrouted_for(never) is None

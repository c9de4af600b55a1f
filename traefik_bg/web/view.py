"""What people may know of an app, as plain data: what the API answers.

Separate from the API so that whatever shows an app (command line, dashboard, events) shows the
same. Pure: a status in, data out.

A spec is never copied: its container settings hold the values of environment variables. Whatever
is given away is named here, one field at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypedDict

from traefik_bg.core.actions import Phase
from traefik_bg.core.model import AppSpec, RevisionId, Routing, Share
from traefik_bg.core.observation import Observation, Replica
from traefik_bg.core.record import Deployment, Rejection
from traefik_bg.core.situation import FULL, Situation
from traefik_bg.runtime.orders import Undone
from traefik_bg.runtime.reconciler import AppStatus


class Role(StrEnum):
    """What a revision, or a replica of it, is for now."""

    SERVING = "serving"
    BLUE = "blue"
    GREEN = "green"
    JOINING = "joining"
    """It belongs to what serves, but has no traffic yet."""
    REJECTED = "rejected"
    LEAVING = "leaving"


class VersionView(TypedDict):
    """A revision and the image it came from; empty when nobody remembers."""

    revision: str
    image: str


class DesiredView(VersionView):
    """What the desired state says of an app."""

    replicas: int


class WeightView(VersionView):
    """A revision that has traffic."""

    role: str
    weight: int
    replicas: int


class ReplicaView(TypedDict):
    """One container."""

    name: str
    revision: str
    role: str
    state: str
    health: str
    health_reason: str
    age: float
    restarts: int
    exit_code: int | None
    is_routed: bool
    open_connections: int | None
    log: list[str]
    """Its last lines, when it failed."""


class RoutingView(TypedDict):
    """What Traefik was told, and what it made of it."""

    is_published: bool
    is_confirmed: bool
    confirmed_for: float | None
    detail: str
    """Why it is not confirmed."""
    refusal: str | None
    rules: list[str]
    fallback: str | None
    """The revision that answers what green fails to."""


class DeploymentView(VersionView):
    """The deployment under way."""

    number: int
    blue: str | None


class RejectionView(VersionView):
    """Why what is desired does not run."""

    reason: str
    log: list[str]


class UndoneView(TypedDict):
    """The last way back that an operator asked for."""

    revision: str
    """Who got all traffic."""
    seconds: float
    """From the command to Traefik's confirmation."""
    at: float
    """The service's own clock, to tell one from another."""


class AppView(TypedDict):
    """Everything about one app."""

    name: str
    image: str
    """Of what is being brought about or kept: the desired one, or the good one when that is
    rejected."""
    revision: str
    phase: str
    reason: str
    is_well: bool
    trouble: str | None
    since: float | None
    """Seconds in this phase."""
    advice: str | None
    """What to do next, when it is the reader's turn."""
    healthy: int
    wanted: int
    weights: list[WeightView]
    replicas: list[ReplicaView]
    routing: RoutingView
    desired: DesiredView | None
    desired_error: str | None
    deployment: DeploymentView | None
    rejection: RejectionView | None
    good: VersionView | None
    previous: list[VersionView]
    is_paused: bool
    undone: UndoneView | None


def app_view(status: AppStatus, now: float) -> AppView:
    """Return what people may know of an app at this time of the loop."""
    s = Situation(
        seen=status.seen or Observation(app=status.app, desired=None), record=status.record
    )
    images = _images(s)
    target = s.target or s.record.good
    return AppView(
        name=status.app,
        image=target.image if target else "",
        revision=target.revision if target else "",
        phase=status.phase,
        reason=status.reason,
        is_well=_is_well(status, s),
        trouble=status.trouble,
        since=round(max(0.0, now - status.since), 3) if status.since else None,
        advice=_advice(status, s),
        healthy=len(s.proven_replicas),
        wanted=s.target.replicas if s.target else 0,
        weights=[_weight(s, share, images) for share in s.routed.shares],
        replicas=[_replica(s, replica) for replica in s.replicas],
        routing=_routing(status),
        desired=_desired(s.seen.desired),
        desired_error=status.desired_error,
        deployment=_deployment(s.record.deployment),
        rejection=_rejection(s.record.rejection, images) if s.is_rejected else None,
        good=_version(s.record.good),
        previous=[VersionView(revision=p.revision, image=p.image) for p in s.record.previous],
        is_paused=s.record.paused,
        undone=_undone(status.undone),
    )


# --- parts ----------------------------------------------------------------------------------------


def _images(s: Situation) -> dict[RevisionId, str]:
    """Return the image of every revision that is remembered."""
    specs: Iterable[AppSpec | None] = (*s.record.previous, s.record.good, s.seen.desired)
    images = {spec.revision: spec.image for spec in specs if spec is not None}
    if (deployment := s.record.deployment) is not None:
        images[deployment.revision] = deployment.image
    return images


def _version(spec: AppSpec | None) -> VersionView | None:
    return None if spec is None else VersionView(revision=spec.revision, image=spec.image)


def _desired(spec: AppSpec | None) -> DesiredView | None:
    if spec is None:
        return None
    return DesiredView(revision=spec.revision, image=spec.image, replicas=spec.replicas)


def _weight(s: Situation, share: Share, images: dict[RevisionId, str]) -> WeightView:
    return WeightView(
        revision=share.revision,
        image=images.get(share.revision, ""),
        role=_role(s, share.revision, is_routed=True),
        weight=share.weight,
        replicas=len(share.servers),
    )


def _replica(s: Situation, replica: Replica) -> ReplicaView:
    is_routed = s.is_published(replica.name)
    return ReplicaView(
        name=replica.name,
        revision=replica.revision,
        role=_role(s, replica.revision, is_routed=is_routed),
        state=replica.state,
        health=replica.health,
        health_reason=replica.health_reason,
        age=round(replica.age, 3),
        restarts=replica.restarts,
        exit_code=replica.exit_code,
        is_routed=is_routed,
        open_connections=replica.open_connections,
        log=list(replica.log),
    )


def _role(s: Situation, revision: RevisionId, *, is_routed: bool) -> Role:
    deployment = s.record.deployment
    if deployment is not None and revision == deployment.revision:
        return Role.GREEN
    if deployment is not None and revision == (s.blue or deployment.blue):
        return Role.BLUE
    if s.is_rejected and s.record.rejection and revision == s.record.rejection.revision:
        return Role.REJECTED
    if is_routed:
        return Role.SERVING
    return Role.JOINING if s.target and revision == s.target.revision else Role.LEAVING


def _routing(status: AppStatus) -> RoutingView:
    state = status.routing
    published = state.published or Routing()
    confirmed_for = state.confirmed_for
    return RoutingView(
        is_published=state.published is not None,
        is_confirmed=confirmed_for is not None,
        confirmed_for=None if confirmed_for is None else round(confirmed_for, 3),
        detail=state.detail,
        refusal=state.refusal,
        rules=[route.rule for route in published.routes],
        fallback=published.fallback.revision if published.fallback else None,
    )


def _deployment(deployment: Deployment | None) -> DeploymentView | None:
    if deployment is None:
        return None
    return DeploymentView(
        number=deployment.number,
        revision=deployment.revision,
        image=deployment.image,
        blue=deployment.blue,
    )


def _undone(undone: Undone | None) -> UndoneView | None:
    if undone is None:
        return None
    return UndoneView(
        revision=undone.revision, seconds=round(undone.seconds, 4), at=round(undone.at, 3)
    )


def _rejection(rejection: Rejection | None, images: dict[RevisionId, str]) -> RejectionView | None:
    if rejection is None:
        return None
    return RejectionView(
        revision=rejection.revision,
        image=images.get(rejection.revision, ""),
        reason=rejection.reason,
        log=list(rejection.log),
    )


# --- judgement ------------------------------------------------------------------------------------


def _is_well(status: AppStatus, s: Situation) -> bool:
    """Tell whether nobody need do anything: it runs as desired, or is on its way there."""
    if status.trouble is not None or status.desired_error is not None or s.is_rejected:
        return False
    if status.routing.refusal is not None or s.seen.failures:
        return False
    target = s.target
    return target is None or not s.is_proven or target.replicas == 0 or s.is_alive(target.revision)


def _advice(status: AppStatus, s: Situation) -> str | None:
    """Return what the reader can do now, as commands, or None when it is not their turn."""
    app, record = status.app, s.record
    if status.desired_error is not None:
        return "mend the desired state: its newest version is not in force, the last good one is"
    if record.paused:
        return f"traefik-bg resume {app} lets it go on"
    if s.seen.desired is not None and s.seen.desired.hold:
        return "take hold out of the desired state to let it go on"
    if s.is_rejected and record.rejection is not None:
        return (
            f"change the desired state, or try {record.rejection.revision} once more: "
            f"traefik-bg retry {app}"
        )
    if status.phase is Phase.WAITING:
        return f"traefik-bg promote {app} gives it traffic, traefik-bg abort {app} turns it down"
    if record.deployment is not None and s.weight > 0:
        further = "ends the wait" if s.weight == FULL else "goes on without the pause"
        return f"traefik-bg promote {app} {further}, traefik-bg abort {app} goes back"
    return None

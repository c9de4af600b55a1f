"""What people may know of an app, as plain data: what the API answers.

Separate from the API so that whatever shows an app (command line, dashboard, events) shows the
same. Pure: a status in, data out. A status is as old as the last look, so what counts up or down by
itself is shown as it is by now.

A spec is never copied: its container settings hold the values of environment variables. Whatever
is given away is named here, one field at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypedDict

from traefik_bg.core.actions import Phase, counted_down
from traefik_bg.core.model import AppSpec, RevisionId, Routing, Share
from traefik_bg.core.observation import Observation, Replica
from traefik_bg.core.pins import contents
from traefik_bg.core.record import Deployment, Rejection
from traefik_bg.core.situation import Situation
from traefik_bg.core.tags import TagStatus
from traefik_bg.runtime.orders import Undone
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.advice import advice
from traefik_bg.web.progress import ProgressView, progress_view


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
    digest: str
    """What exactly it ran, such as `ghcr.io/acme/web@sha256:…`; the image's ID where it was never
    in a registry; empty when nobody has seen it."""


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


class TagView(TypedDict):
    """A tag that is followed."""

    image: str
    digest: str
    """What it meant when its registry last said so; empty: nobody has said yet."""
    poll: float | None
    """Seconds between two questions; None: it is asked only when somebody says so."""
    asked: float | None
    """Seconds since the last answer; None: there has been none since the service was started."""
    trouble: str | None
    """Why the last question had no answer."""


class AppView(TypedDict):
    """Everything about one app."""

    name: str
    image: str
    """Of what is being brought about or kept: the desired one, or the good one when that is
    rejected."""
    revision: str
    phase: str
    reason: str
    left: float | None
    """The seconds that the reason ends with, where they run down by themselves."""
    is_well: bool
    trouble: str | None
    since: float | None
    """Seconds in this phase."""
    advice: str | None
    """What to do next, when it is the reader's turn."""
    healthy: int
    wanted: int
    """Replicas: the wanted ones, and in a deployment those of blue too."""
    weights: list[WeightView]
    replicas: list[ReplicaView]
    routing: RoutingView
    desired: DesiredView | None
    desired_error: str | None
    deployment: DeploymentView | None
    progress: ProgressView | None
    """How far it is; None: nothing is under way."""
    rejection: RejectionView | None
    good: VersionView | None
    previous: list[VersionView]
    is_paused: bool
    undone: UndoneView | None
    tag: TagView | None
    """None: it is not followed."""


def app_view(status: AppStatus, now: float, tag: TagStatus | None = None) -> AppView:
    """Return what people may know of an app at this time of the loop."""
    age = _since(status.looked_at, now)
    left = None if status.left is None else max(0.0, status.left - _since(status.said_at, now))
    seen = status.seen or Observation(app=status.app, desired=None)
    fed = 0.0 if left is None else age
    s = Situation(seen=_aged(seen, age, fed=fed), record=status.record)
    images, ran = _images(s), contents(s.seen, s.record)
    replicas = _counted_replicas(s)
    target = s.target or s.record.good
    return AppView(
        name=status.app,
        image=target.image if target else "",
        revision=target.revision if target else "",
        phase=status.phase,
        reason=counted_down(status.reason, status.left, _since(status.said_at, now)),
        left=None if left is None else round(left, 3),
        is_well=_is_well(status, s),
        trouble=status.trouble,
        since=round(max(0.0, now - status.since), 3) if status.since else None,
        advice=advice(status, s),
        healthy=sum(replica.is_healthy for replica in replicas),
        wanted=_wanted(s, replicas),
        weights=[_weight(s, share, images, ran) for share in s.routed.shares],
        replicas=[_replica(s, replica) for replica in s.replicas],
        routing=_routing(status, age),
        desired=_desired(s.seen.desired, ran),
        desired_error=status.desired_error,
        deployment=_deployment(s.record.deployment, ran),
        progress=progress_view(s, status.phase, _roles(s)),
        rejection=_rejection(s.record.rejection, images, ran) if s.is_rejected else None,
        good=None if s.record.good is None else _version(s.record.good, ran),
        previous=[_version(spec, ran) for spec in s.record.previous],
        is_paused=s.record.paused,
        undone=_undone(status.undone),
        tag=None if tag is None else _tag(tag, now),
    )


def role_of(status: AppStatus, revision: RevisionId) -> str:
    """Return what a revision is for now, in the words of the view."""
    seen = status.seen or Observation(app=status.app, desired=None)
    s = Situation(seen=seen, record=status.record)
    return _role(s, revision, is_routed=revision in s.routed.weights)


# --- the present --------------------------------------------------------------------------------


def _since(at: float | None, now: float) -> float:
    return 0.0 if at is None else max(0.0, now - at)


def _aged(seen: Observation, seconds: float, *, fed: float) -> Observation:
    """Return what was seen with its clocks as they are by now; green got its share for `fed`."""

    def later(timer: float | None) -> float | None:
        return None if timer is None else timer + seconds

    evidence = seen.evidence
    if evidence is not None:
        evidence = replace(evidence, fed_for=evidence.fed_for + fed)
    return replace(
        seen,
        evidence=evidence,
        confirmed_for=later(seen.confirmed_for),
        weights_for=later(seen.weights_for),
        replicas=tuple(
            replace(
                replica,
                age=replica.age + (seconds if replica.is_running else 0.0),
                unrouted_for=later(replica.unrouted_for),
            )
            for replica in seen.replicas
        ),
    )


def _counted_replicas(s: Situation) -> tuple[Replica, ...]:
    """Return the replicas that are to be there: the target's, and blue's while it is needed.

    Where only one version may run, what was stopped for the other is not to be there now.
    """
    blue = s.blue if s.record.deployment is not None else None
    return (*s.green, *(r for r in s.of(blue) if r.is_running or not s.is_exclusive))


def _wanted(s: Situation, counted: tuple[Replica, ...]) -> int:
    green = len(s.green)
    return (s.target.replicas if s.target else 0) + len(counted) - green


# --- parts ----------------------------------------------------------------------------------------


def _images(s: Situation) -> dict[RevisionId, str]:
    """Return the image of every revision that is remembered."""
    specs: Iterable[AppSpec | None] = (*s.record.previous, s.record.good, s.seen.desired)
    images = {spec.revision: spec.image for spec in specs if spec is not None}
    if (deployment := s.record.deployment) is not None:
        images[deployment.revision] = deployment.image
    return images


_Texts = Mapping[RevisionId, str]


def _version(spec: AppSpec, ran: _Texts) -> VersionView:
    digest = ran.get(spec.revision, "")
    return VersionView(revision=spec.revision, image=spec.image, digest=digest)


def _desired(spec: AppSpec | None, ran: _Texts) -> DesiredView | None:
    if spec is None:
        return None
    return DesiredView(**_version(spec, ran), replicas=spec.replicas)


def _weight(s: Situation, share: Share, images: _Texts, ran: _Texts) -> WeightView:
    return WeightView(
        revision=share.revision,
        image=images.get(share.revision, ""),
        digest=ran.get(share.revision, ""),
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


def _roles(s: Situation) -> dict[RevisionId, str]:
    """Return the role of every revision that there is, or that Traefik has counted."""
    evidence = s.seen.evidence
    counted = evidence.figures.keys() if evidence is not None else ()
    revisions = {replica.revision for replica in s.replicas} | {*counted}
    weights = s.routed.weights
    return {r: _role(s, r, is_routed=r in weights) for r in sorted(revisions)}


def _routing(status: AppStatus, age: float) -> RoutingView:
    state = status.routing
    published = state.published or Routing()
    confirmed_for = None if state.confirmed_for is None else state.confirmed_for + age
    return RoutingView(
        is_published=state.published is not None,
        is_confirmed=confirmed_for is not None,
        confirmed_for=None if confirmed_for is None else round(confirmed_for, 3),
        detail=state.detail,
        refusal=state.refusal,
        rules=[route.rule for route in published.routes],
        fallback=published.fallback.revision if published.fallback else None,
    )


def _deployment(deployment: Deployment | None, ran: _Texts) -> DeploymentView | None:
    if deployment is None:
        return None
    return DeploymentView(
        number=deployment.number,
        revision=deployment.revision,
        image=deployment.image,
        digest=ran.get(deployment.revision, ""),
        blue=deployment.blue,
    )


def _undone(undone: Undone | None) -> UndoneView | None:
    if undone is None:
        return None
    return UndoneView(
        revision=undone.revision, seconds=round(undone.seconds, 4), at=round(undone.at, 3)
    )


def _tag(tag: TagStatus, now: float) -> TagView:
    return TagView(
        image=tag.image,
        digest=tag.digest,
        poll=tag.every,
        asked=None if tag.asked_at is None else round(_since(tag.asked_at, now), 3),
        trouble=tag.trouble,
    )


def _rejection(rejection: Rejection | None, images: _Texts, ran: _Texts) -> RejectionView | None:
    if rejection is None:
        return None
    return RejectionView(
        revision=rejection.revision,
        image=images.get(rejection.revision, ""),
        digest=ran.get(rejection.revision, ""),
        reason=rejection.reason,
        log=list(rejection.log),
    )


# --- judgement ------------------------------------------------------------------------------------


def _is_well(status: AppStatus, s: Situation) -> bool:
    """Tell whether nobody need do anything: it runs as desired, or is on its way there."""
    if status.trouble is not None or status.desired_error is not None or s.is_rejected:
        return False
    if status.phase is Phase.BLOCKED or status.routing.refusal is not None or s.seen.failures:
        return False
    target = s.target
    return target is None or not s.is_proven or target.replicas == 0 or s.is_alive(target.revision)

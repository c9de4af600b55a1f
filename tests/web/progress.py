"""Deployments in their stages, as statuses: for the view of them and for their pictures."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from tests.core.build import WEB, app, between, exactly, good, replica, replicas, routing
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Evidence, Figures
from traefik_bg.core.model import AppSpec, MirrorShare, PreviewShare, Route, Routing, Server, Share
from traefik_bg.core.observation import ContainerState, Observation
from traefik_bg.core.planner import plan
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.record import Deployment, Record
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Check,
    CheckKind,
    Mirror,
    Preview,
    Rollout,
    Step,
    Strategy,
)
from traefik_bg.runtime.reconciler import AppStatus

HIDDEN = "hunter2"
BLUE = app("web:1")
ANALYSIS = Analysis(
    max_error_ratio=0.01,
    max_p95=0.5,
    checks=(
        Check(name="gate", kind=CheckKind.WEBHOOK, target=f"https://ci.example.com/{HIDDEN}"),
        Check(name="script", kind=CheckKind.COMMAND, command=("./check.sh", HIDDEN)),
    ),
)
ROLLOUT = Rollout(
    approval=Approval.MANUAL,
    steps=(
        Step(weight=5, pause=30.0),
        Step(weight=25, pause=30.0, needs_approval=True),
        Step(weight=50, needs_approval=True),
    ),
    mirror=Mirror(percent=10, pause=60.0),
    analysis=ANALYSIS,
    preview=Preview(header=("X-Preview", "it's green"), cookie=("preview", "green")),
    bake=60.0,
)
GREEN = replace(app("web:2"), rollout=ROLLOUT)
B, G = BLUE.revision, GREEN.revision
GOOD_ANSWERS = {
    B: Figures(requests=4210, errors=3, p50=exactly(0.012), p95=exactly(0.08), p99=exactly(0.21)),
    G: Figures(
        requests=980, p50=exactly(0.011), p95=between(0.075, 0.1, 0.0755), p99=between(5.0, inf)
    ),
}
PASSED = {
    "gate": CheckResult(verdict=CheckVerdict.GOOD, detail="open until 5 pm"),
    "script": CheckResult(verdict=CheckVerdict.GOOD),
}
GOOD_FEW = Figures(
    requests=212, p50=exactly(0.011), p95=between(0.075, 0.1, 0.0755), p99=exactly(0.19)
)
FEW = {**GOOD_ANSWERS, G: Figures(requests=12)}


def share(spec: AppSpec, weight: int = 0) -> Share:
    """Return both replicas of a revision, with a weight."""
    servers = tuple(
        Server(replica=seen.name, address=seen.address, port=spec.port) for seen in replicas(spec)
    )
    return Share(revision=spec.revision, weight=weight, servers=servers)


def at(
    weight: int,
    *,
    green: AppSpec = GREEN,
    stood_for: float = 12.0,
    record: Record | None = None,
    published: Routing | None = None,
    replicas_seen: Any = None,
    looked_at: float = 100.0,
    previewed: bool = True,
    **seen: Any,
) -> AppStatus:
    """Return the status of a deployment in which green has this weight, as the planner says it."""
    deployment = Deployment(number=7, revision=green.revision, image=green.image, blue=B)
    shares = [(BLUE, 100 - weight), (green, weight)]
    made = published or replace(
        routing(
            *((spec, part) for spec, part in shares if part), fallback=BLUE if weight else None
        ),
        preview=preview_of(green) if previewed else None,
    )
    observed = Observation(
        app=WEB,
        desired=green,
        replicas=replicas_seen
        or (*replicas(BLUE, unrouted_for=None), *replicas(green, unrouted_for=None)),
        published=made,
        confirmed_for=stood_for,
        weights_for=stood_for,
        guard_available=True,
        **{"hold_available": True, **seen},
    )
    decided = plan(observed, record or good(BLUE, deployment=deployment, deployments=7))
    return AppStatus(
        app=WEB,
        phase=decided.phase,
        reason=decided.reason,
        left=decided.left,
        since=100.0 - stood_for,
        looked_at=looked_at,
        said_at=looked_at,
        record=decided.record,
        seen=observed,
        routing=RoutingState(published=made, confirmed_for=stood_for),
    )


def preview_of(green: AppSpec) -> PreviewShare | None:
    """Return who is shown to those who ask, as the rollout says."""
    by = green.rollout.preview
    return PreviewShare(share=share(green), by=by) if by is not None else None


def evidence(
    figures: Any = None, *, got: float | None = None, fed_for: float = 12.0
) -> dict[str, Any]:
    """Return what Traefik counted, and good answers of the checks."""
    known = Evidence(
        figures=GOOD_ANSWERS if figures is None else figures, share=got, fed_for=fed_for
    )
    return {"evidence": known, "checks": PASSED}


def copying(green: AppSpec = GREEN, **seen: Any) -> AppStatus:
    """Return the status while green gets copies."""
    made = replace(
        routing((BLUE, 100)),
        preview=preview_of(green),
        mirror=MirrorShare(share=share(green), percent=10),
    )
    return at(0, green=green, published=made, **seen)


def held(*, is_possible: bool = True) -> AppStatus:
    """Return the status while nothing serves, because only one version may run."""
    wanted = replace(GREEN, rollout=Rollout(strategy=Strategy.RECREATE))
    stopped = replicas(BLUE, state=ContainerState.EXITED, is_blameless=True)
    coming = replica(wanted, 0, state=ContainerState.CREATED)
    nothing = Routing(routes=BLUE.routes, holds_for=30.0, loops=True)
    return at(
        0,
        green=wanted,
        published=nothing,
        replicas_seen=(*stopped, coming),
        stood_for=4.0,
        hold_available=is_possible,
    )


def shown() -> AppStatus:
    """Return the status that the documents show."""
    route = Route(rule="Host(`web.example.com`)")
    blue = replace(BLUE, image="acme/web:1.4.1", routes=(route,))
    rollout = Rollout(
        steps=(
            Step(weight=5, pause=30.0),
            Step(weight=25, needs_approval=True),
            Step(weight=50, pause=60.0, needs_approval=True),
        ),
        analysis=Analysis(max_error_ratio=0.01, checks=(Check(name="cart", kind=CheckKind.QUERY),)),
        preview=Preview(header=("X-Preview", "green")),
    )
    green = replace(blue, image="acme/web:1.4.2", rollout=rollout)
    split = routing((blue, 95), (green, 5), fallback=blue)
    published = replace(split, preview=preview_of(green))
    figures = {blue.revision: GOOD_ANSWERS[B], green.revision: GOOD_FEW}
    passed = {"cart": CheckResult(verdict=CheckVerdict.GOOD, detail="0.0021")}
    deployment = Deployment(
        number=7, revision=green.revision, image=green.image, blue=blue.revision
    )
    return at(
        5,
        green=green,
        record=good(blue, deployment=deployment, deployments=7),
        published=published,
        replicas_seen=(
            *replicas(blue, unrouted_for=None, health_reason="HTTP 200"),
            *replicas(green, unrouted_for=None, health_reason="HTTP 200"),
        ),
        evidence=Evidence(figures=figures, share=4.8, fed_for=12.0),
        checks=passed,
    )


def keeping() -> AppStatus:
    """Return the status while clients finish on blue, when the deployment itself is over."""
    kept = replace(routing((GREEN, 100)), kept=share(BLUE), keeps_sessions=True)
    return at(100, record=good(GREEN, BLUE), published=kept, stood_for=12.0)


def tls(spec: AppSpec) -> AppSpec:
    """Return the spec with encrypted routes."""
    route = Route(rule="PathPrefix(`/x`) && Host(`web.example`)", tls="{}")  # type: ignore[arg-type]
    return replace(spec, routes=(route,))

"""Builders with good defaults, so that a test names only what it is about."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from traefik_bg.core.evidence import Latency
from traefik_bg.core.model import (
    AppName,
    AppSpec,
    HealthPolicy,
    ReplicaName,
    RevisionId,
    Route,
    Routing,
    Server,
    Share,
)
from traefik_bg.core.observation import ContainerState, Health, Replica
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Rollout, Step

WEB = AppName("web")


def app(image: str = "web:1", **changes: Any) -> AppSpec:
    """Return a spec of two replicas behind one host."""
    spec = AppSpec(
        name=WEB,
        image=image,
        port=8000,
        replicas=2,
        routes=(Route(rule="Host(`web.example`)"),),
        health=HealthPolicy(path="/health", deadline=60.0),
        rollout=Rollout(bake=30.0, drain=30.0),
    )
    return replace(spec, **changes)


def canary(image: str, *weights: int, pause: float = 30.0) -> AppSpec:
    """Return a spec that shifts in steps."""
    steps = tuple(Step(weight=weight, pause=pause) for weight in weights)
    return app(image, rollout=Rollout(steps=steps, bake=30.0, drain=30.0))


def replica(spec: AppSpec, number: int = 0, **changes: Any) -> Replica:
    """Return a healthy, running, unrouted replica."""
    name = ReplicaName(f"{spec.name}-{spec.revision}-{number}")
    seen = Replica(
        name=name,
        revision=spec.revision,
        number=number,
        state=ContainerState.RUNNING,
        address=name,
        health=Health.HEALTHY,
        age=100.0,
        unrouted_for=100.0,
        idle_for=100.0,
    )
    return replace(seen, **changes)


def replicas(spec: AppSpec, count: int = 2, **changes: Any) -> tuple[Replica, ...]:
    """Return some replicas alike."""
    return tuple(replica(spec, number, **changes) for number in range(count))


def server(seen: Replica, port: int = 8000) -> Server:
    """Return the address of a replica."""
    return Server(replica=seen.name, address=seen.address, port=port)


def routing(
    *parts: tuple[AppSpec, int], count: int = 2, fallback: AppSpec | None = None
) -> Routing:
    """Return a routing with weights, each revision with its replicas."""

    def share(spec: AppSpec, weight: int) -> Share:
        return Share(
            revision=spec.revision,
            weight=weight,
            servers=tuple(server(seen, spec.port) for seen in replicas(spec, count)),
        )

    return Routing(
        shares=tuple(share(spec, weight) for spec, weight in parts),
        routes=parts[0][0].routes if parts else (),
        fallback=share(fallback, 0) if fallback else None,
    )


def good(spec: AppSpec, *previous: AppSpec, **changes: Any) -> Record:
    """Return a record in which a spec has passed its bake."""
    return replace(Record(good=spec, previous=previous, deployments=1), **changes)


def revision(text: str) -> RevisionId:
    """Return a revision by its text."""
    return RevisionId(text)


def exactly(seconds: float) -> Latency:
    """Return a latency that is known for sure."""
    return Latency(about=seconds, at_least=seconds, at_most=seconds)


def between(low: float, high: float, about: float | None = None) -> Latency:
    """Return a latency in a bucket, in its middle if nothing else is said; below an infinite edge."""
    middle = low if high == inf else (low + high) / 2
    return Latency(about=middle if about is None else about, at_least=low, at_most=high)

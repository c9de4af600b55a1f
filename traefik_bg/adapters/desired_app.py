"""Makes an app's checked settings the core's own `AppSpec`.

Apart from the schema because this is where strangers' data ends: nothing beyond this module knows
pydantic, lines or files. Equal meaning must give equal specs here, or an app would be replaced for
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traefik_bg.adapters.desired_schema import (
    CONTAINER_KEYS,
    AppSettings,
    HealthSettings,
    RolloutSettings,
    RouteSettings,
)
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, Route, canonical_json
from traefik_bg.core.rollout import Approval, Rollout, Step

_OFF_ANYWAY = ("privileged", "read_only", "tty")  # saying false to these says nothing
_MEANS_SOMETHING_EMPTY = frozenset({"command", "entrypoint"})


def spec_of(name: str, settings: AppSettings, environment: Mapping[str, str]) -> AppSpec:
    """Return the spec of an app; `environment` is what its container is to see."""
    return AppSpec(
        name=AppName(name),
        image=settings.image,
        port=settings.port,
        container=canonical_json(_container(settings, environment)),
        replicas=settings.replicas,
        routes=tuple(_route(route) for route in settings.route),
        health=_health(settings.health),
        rollout=_rollout(settings.rollout),
        sticky=any(route.sticky for route in settings.route),
        hold=settings.hold,
    )


def _container(settings: AppSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    found = settings.model_dump(include=set(CONTAINER_KEYS), exclude_none=True)
    found["environment"] = dict(environment)
    for key in _OFF_ANYWAY:
        if found.get(key) is False:
            del found[key]
    if isinstance(deploy := found.get("deploy"), dict):
        found["deploy"] = _pruned(deploy)
    return {
        key: value
        for key, value in found.items()
        if key in _MEANS_SOMETHING_EMPTY or value not in ({}, [])
    }


def _pruned(value: Any) -> Any:
    """Return nested mappings without those that hold nothing."""
    if not isinstance(value, dict):
        return value
    inner = {key: _pruned(item) for key, item in value.items()}
    return {key: item for key, item in inner.items() if item != {}}


def _route(route: RouteSettings) -> Route:
    tls = None
    if route.tls is not None:
        tls = canonical_json(route.tls.model_dump(exclude_none=True, exclude_defaults=True))
    return Route(
        rule=route.traefik_rule,
        entrypoints=tuple(sorted(set(route.entrypoints))),
        middlewares=tuple(route.middlewares),
        priority=route.priority,
        tls=tls,
    )


def _health(health: HealthSettings) -> HealthPolicy:
    return HealthPolicy(
        path=health.path,
        interval=health.interval,
        timeout=health.timeout,
        rise=health.rise,
        fall=health.fall,
        deadline=health.deadline,
    )


def _rollout(rollout: RolloutSettings) -> Rollout:
    return Rollout(
        steps=tuple(Step(weight=step.weight, pause=step.pause) for step in rollout.steps),
        bake=rollout.bake,
        drain=rollout.drain,
        approval=Approval(rollout.approval),
    )

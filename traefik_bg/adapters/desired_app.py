"""Makes an app's checked settings the core's own `AppSpec`.

Apart from the schema because this is where strangers' data ends: nothing beyond this module knows
pydantic, lines or files. Equal meaning must give equal specs here, or an app would be replaced for
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traefik_bg.adapters.desired_adopt import AdoptSettings
from traefik_bg.adapters.desired_analysis import AnalysisSettings, CheckSettings
from traefik_bg.adapters.desired_declared import Declared
from traefik_bg.adapters.desired_hooks import HookSettings, HooksSettings
from traefik_bg.adapters.desired_rollout import (
    RECREATE,
    MirrorSettings,
    PreviewSettings,
    RolloutSettings,
    StepSettings,
)
from traefik_bg.adapters.desired_route import EVERY_CONNECTION, RouteSettings
from traefik_bg.adapters.desired_schema import CONTAINER_KEYS, AppSettings, HealthSettings
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.matchers import default_priority
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, Route, canonical_json
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Check,
    CheckKind,
    Inconclusive,
    Mirror,
    Preview,
    Rollout,
    Sessions,
    Step,
    Strategy,
)

_OFF_ANYWAY = (
    "oom_kill_disable",
    "privileged",
    "read_only",
    "stdin_open",
    "tty",
)  # saying false to these says nothing
_MEANS_SOMETHING_EMPTY = frozenset({"command", "entrypoint"})


def spec_of(name: str, settings: AppSettings, declared: Declared) -> AppSpec:
    """Return the spec of an app; `declared` says what its names mean."""
    return AppSpec(
        name=AppName(name),
        image=settings.image,
        port=settings.port,
        container=canonical_json(declared.put_in(settings, _container(settings))),
        replicas=settings.replicas,
        routes=tuple(_route(route, settings.adopt) for route in settings.route),
        health=_health(settings.health),
        rollout=_rollout(settings.rollout),
        hooks=tuple(_hooks(settings.hooks)),
        sticky=any(route.sticky for route in settings.route),
        hold=settings.hold,
        adopt=settings.adopt.adoption if settings.adopt is not None else None,
    )


def _container(settings: AppSettings) -> dict[str, Any]:
    found = settings.model_dump(include=set(CONTAINER_KEYS), exclude_none=True)
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


def _route(route: RouteSettings, adopt: AdoptSettings | None) -> Route:
    """Return a route; where it takes over from a container's own label, it wins over that one."""
    tls, priority = None, route.priority
    if priority is None and adopt is not None:
        rule = route.traefik_rule
        priority = 1 if rule == EVERY_CONNECTION else default_priority(rule) + 1
    if route.tls is not None:
        tls = canonical_json(route.tls.model_dump(exclude_none=True, exclude_defaults=True))
    return Route(
        rule=route.traefik_rule,
        entrypoints=tuple(sorted(set(route.entrypoints))),
        middlewares=tuple(route.middlewares),
        priority=priority,
        tls=tls,
        protocol=route.protocol,
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


def _hooks(hooks: HooksSettings) -> Iterator[Hook]:
    for moment in Moment:
        hook: HookSettings | None = getattr(hooks, moment)
        if hook is not None:
            yield Hook(moment=moment, command=tuple(hook.command), timeout=hook.timeout)


def _rollout(rollout: RolloutSettings) -> Rollout:
    is_recreate = rollout.strategy == RECREATE
    return Rollout(
        strategy=Strategy.RECREATE if is_recreate else Strategy.SIDE_BY_SIDE,
        steps=tuple(map(_step, rollout.steps)),
        bake=rollout.bake,
        drain=rollout.drain,
        approval=Approval(rollout.approval),
        analysis=_analysis(rollout.analysis) if rollout.analysis is not None else None,
        preview=_preview(rollout.preview) if rollout.preview is not None else None,
        sessions=Sessions(rollout.sessions),
        mirror=_mirror(rollout.mirror) if rollout.mirror is not None else None,
        hold_requests=rollout.hold_requests or Rollout().hold_requests,
    )


def _step(step: StepSettings) -> Step:
    return Step(
        weight=step.weight, pause=step.pause or 0.0, needs_approval=step.until == "approval"
    )


def _preview(preview: PreviewSettings) -> Preview:
    return Preview(
        header=_halves(preview.header, ": "), cookie=_halves(preview.cookie, "="), host=preview.host
    )


def _halves(text: str | None, mark: str) -> tuple[str, str] | None:
    if text is None:
        return None
    name, _, value = text.partition(mark)
    return name, value


def _mirror(mirror: MirrorSettings) -> Mirror:
    return Mirror(percent=mirror.percent, pause=mirror.pause, all_methods=mirror.methods == "all")


def _analysis(analysis: AnalysisSettings) -> Analysis:
    return Analysis(
        max_error_ratio=analysis.max_error_ratio,
        max_p50=analysis.max_p50,
        max_p95=analysis.max_p95,
        max_p99=analysis.max_p99,
        worse_than_blue=analysis.worse_than_blue,
        min_requests=analysis.min_requests,
        window=analysis.window,
        max_wait=analysis.max_wait,
        inconclusive=Inconclusive(analysis.inconclusive),
        checks=tuple(map(_check, analysis.checks)),
    )


def _check(check: CheckSettings) -> Check:
    kind = CheckKind.COMMAND
    if check.query is not None:
        kind = CheckKind.QUERY
    elif check.webhook is not None:
        kind = CheckKind.WEBHOOK
    return Check(
        name=check.name,
        kind=kind,
        target=check.prometheus or check.webhook or "",
        query=(check.query or "").strip(),
        command=tuple(check.command or ()),
        at_least=check.min,
        at_most=check.max,
        interval=check.interval,
        timeout=check.timeout,
    )

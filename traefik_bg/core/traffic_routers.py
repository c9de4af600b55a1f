"""Which requests are whose: the routers of an app.

Besides the router of each route there may be others for some of its requests. They have its
priority, and no request that two of them match, so that nobody else's rule is leapfrogged. Called
by `traffic`; `excluded` also by `traffic_reading`, which must take off what is put on here. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from traefik_bg.core import matchers
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, Protocol, Route, Routing, Share
from traefik_bg.core.names import (
    BACK,
    OURS,
    RETRY,
    WAIT,
    balancer_name,
    copied_name,
    guard_name,
    held_name,
    kept_name,
    mirrored_name,
    preview_name,
    router_name,
    trial_name,
)
from traefik_bg.core.traffic_document import Document

TRIAL_HOST = "trial.traefik-bg.internal"
TRIAL_CLIENT = "192.0.2.1"
"""No client has this address: it is for documents (RFC 5737)."""
HELD = "X-Traefik-Bg-Held"
"""The header of a request that comes back; believed on our own entry point only."""

_HELD_PRIORITY = 1_000_000  # beats every rule: their default priority is their length


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Where those requests of a route go that meet a condition."""

    condition: str
    service: str
    named: Callable[[str, int], str]


def protocols(routing: Routing) -> list[Protocol]:
    """Return what an app's routes carry, those that are tried included; HTTP when there is none."""
    found = {route.protocol for route in (*routing.routes, *routing.trial)}
    return sorted(found) or [Protocol.HTTP]


def fallback(routing: Routing, features: Features) -> Share | None:
    """Return who answers what the shares fail to, if that can be."""
    found = routing.fallback
    return found if features.guard and found is not None and found.servers else None


def is_held(routing: Routing, features: Features) -> bool:
    """Tell whether requests are held; where they cannot be, they are answered 503."""
    return routing.holds_for is not None and bool(features.hold)


def loops(routing: Routing, features: Features) -> bool:
    """Tell whether requests that were held can come back."""
    is_asked = routing.loops or routing.holds_for is not None
    return is_asked and bool(features.hold) and Protocol.HTTP in protocols(routing)


def _ways(app: AppName, routing: Routing, features: Features) -> Iterator[_Way]:
    preview, kept, mirror = routing.preview, routing.kept, routing.mirror
    if preview is not None and (asking := matchers.asks_for(preview.by)):
        service = balancer_name(app, preview.share.revision)
        yield _Way(condition=asking, service=service, named=preview_name)
    if kept is not None:
        began = matchers.began_on(app, kept.revision)
        service = balancer_name(app, kept.revision)
        yield _Way(condition=began, service=service, named=kept_name)
    if routing.holds_for is not None:
        return
    if mirror is not None:
        plain, safe = matchers.PLAIN, f"({matchers.SAFE}) && {matchers.PLAIN}"
        condition = plain if mirror.all_methods else safe
        yield _Way(condition=condition, service=mirrored_name(app), named=copied_name)
    if fallback(routing, features) is not None:
        yield _Way(condition=matchers.SAFE, service=guard_name(app), named=_guard_router_name)


def _guard_router_name(app: str, number: int) -> str:
    return guard_name(router_name(app, number))


def excluded(app: AppName, routing: Routing, features: Features) -> tuple[str, ...]:
    """Return the conditions of those requests that the router of a route must leave to others."""
    return (*_elsewhere_only(routing), *(way.condition for way in _ways(app, routing, features)))


def _elsewhere_only(routing: Routing) -> tuple[str, ...]:
    """Return the condition that a request is for the host of the preview, if there is one."""
    host = routing.preview.by.host if routing.preview is not None else None
    return (matchers.on_one_host(host),) if host else ()


def routers(
    app: AppName, routing: Routing, features: Features, protocol: Protocol
) -> Iterator[tuple[str, Document]]:
    """Return the routers of an app for one protocol, by their names.

    Raises:
        ValueError: Traefik cannot be told of its preview.
    """
    preview = routing.preview if protocol is Protocol.HTTP else None
    if preview is not None and (reason := matchers.objection(preview.by)):
        raise ValueError(reason)
    for number, route in enumerate(routing.trial, start=1):
        if route.protocol is protocol:
            yield trial_name(app, number), _trial_router(app, route, features)
    for number, route in enumerate(routing.routes, start=1):
        if route.protocol is not protocol:
            continue
        if protocol is Protocol.TCP:
            yield router_name(app, number), _router(app, route, features)
        else:
            yield from _routers_of(app, number, routing, features)
    if protocol is Protocol.HTTP and loops(routing, features):
        yield held_name(app), _way_back(app, routing, features)


def _routers_of(
    app: AppName, number: int, routing: Routing, features: Features
) -> Iterator[tuple[str, Document]]:
    route = routing.routes[number - 1]
    router = _router(app, route, features)
    rule = router["rule"]
    if is_held(routing, features):
        router["service"] = held_name(app)
    if not (conditions := excluded(app, routing, features)):
        yield router_name(app, number), router
        return
    router.setdefault("priority", matchers.default_priority(rule))
    yield router_name(app, number), {**router, "rule": matchers.within(rule, "", conditions)}
    earlier = _elsewhere_only(routing)
    for way in _ways(app, routing, features):
        own = matchers.within(rule, way.condition, earlier)
        yield way.named(app, number), {**router, "rule": own, "service": way.service}
        earlier = (*earlier, way.condition)
    if (preview := routing.preview) is not None and preview.by.host:
        service = balancer_name(app, preview.share.revision)
        name = preview_name(app, len(routing.routes) + number)
        yield name, _elsewhere(_router(app, route, features), preview.by.host, service)


def _elsewhere(router: Document, host: str, service: str) -> Document:
    """Return the router on another host, to another service."""
    made = {**router, "rule": matchers.moved(router["rule"], host), "service": service}
    if made.get("tls"):
        # The domains of a certificate are those of the route; without them the host is taken.
        made["tls"] = {key: value for key, value in made["tls"].items() if key != "domains"}
    return made


def _router(app: AppName, route: Route, features: Features) -> Document:
    router: Document = {"rule": route.rule.strip(), "service": app}
    if route.entrypoints:
        router["entryPoints"] = list(route.entrypoints)
    retried = features.retry and route.protocol is Protocol.HTTP
    middlewares = [*route.middlewares, *([RETRY] if retried else [])]
    if middlewares:
        router["middlewares"] = middlewares
    if (priority := _priority(route)) is not None:
        router["priority"] = priority
    if route.tls is not None:
        router["tls"] = json.loads(route.tls)
    return router


def _trial_router(app: AppName, route: Route, features: Features) -> Document:
    """Return the route as a router that no request reaches; it asks for no certificate."""
    router = _router(app, route, features)
    is_tcp = route.protocol is Protocol.TCP
    never = f"ClientIP(`{TRIAL_CLIENT}`)" if is_tcp else matchers.on_host(TRIAL_HOST)
    router["rule"] = f"({router['rule']}) && {never}"
    if router.get("tls"):
        unwanted = {"certResolver", "domains"}
        router["tls"] = {k: v for k, v in router["tls"].items() if k not in unwanted}
    return router


def _priority(route: Route) -> int | None:
    """Return the priority to set; the one Traefik would choose anyway is left to it."""
    default = matchers.default_priority(route.rule.strip())
    if route.protocol is Protocol.TCP:
        return route.priority or None  # its defaults are not all the length of the rule
    return None if route.priority in {None, 0, default} else route.priority


def _way_back(app: AppName, routing: Routing, features: Features) -> Document:
    """Return the router by which held requests come back: to wait on, or to what serves now.

    A request is bound to the configuration it came with, and a retry does not get out of that; but
    when the retry leads into Traefik from outside, it meets the configuration of that moment.
    """
    router: Document = {
        "rule": f"Header(`{HELD}`, `{app}`)",
        "entryPoints": [OURS],
        "priority": _HELD_PRIORITY,
    }
    if is_held(routing, features):
        return router | {"service": "noop@internal", "middlewares": [WAIT]}
    return router | {"service": app, "middlewares": [BACK, *([RETRY] if features.retry else [])]}

"""Says to Traefik who answers what, and reads it back: routings ⇄ dynamic configuration.

The router adapter calls `render` and `encode` for every publish and `parse` once at start, when the
published document is the only memory of what was routed: `parse(encode(render(x))) == x`. Pure.

Built from facts measured in Traefik 3.7: what has no weight is absent; no health check of Traefik's
own; one `serversTransport` that never changes, because a change throws away its connections; and a
marker that names the document, so that one request tells which one a Traefik runs, and so that it
is never empty, because an empty one would wipe every route.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import count, takewhile
from typing import Any

from traefik_bg.core import markers
from traefik_bg.core.features import Features
from traefik_bg.core.model import (
    AppName,
    ReplicaName,
    RevisionId,
    Route,
    Routing,
    Server,
    Share,
    canonical_json,
    digest,
)
from traefik_bg.core.names import (
    CATCH,
    OURS,
    RETRY,
    balancer_name,
    catcher_name,
    guard_name,
    replicas_name,
    router_name,
    router_names,
    trial_name,
)

TRIAL_HOST = "trial.traefik-bg.internal"

_TRANSPORT = {
    # Without it Traefik keeps 2 idle connections a replica: a third of the throughput (measured).
    "maxIdleConnsPerHost": 200,
    # A vanished address may swallow packets; and one second after a switch the open connections
    # to blue are its requests in flight.
    "forwardingTimeouts": {"dialTimeout": "2s", "idleConnTimeout": "1s"},
}
_CAUGHT = ["500", "502-504"]
_SAFE = "Method(`GET`) || Method(`HEAD`)"  # these have no body to keep and may be asked twice

# YAML reads these inside quotes as line breaks or not at all, JSON writes them as they are; and a
# file provider's template engine acts on every "{{".
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|{{")

Document = dict[str, Any]
"""A Traefik dynamic configuration as plain data."""


def features(document: Document) -> Features:
    """Return the features a document was rendered with."""
    middlewares = _section(document, "middlewares")
    return Features(retry=RETRY in middlewares, guard=CATCH in middlewares)


# --- writing --------------------------------------------------------------------------------------


def render(
    apps: Mapping[AppName, Routing], *, features: Features | None = None, serial: int = 0
) -> Document:
    """Return the dynamic configuration for these routings.

    `serial` goes into the marker: it tells documents of the same content apart that were
    published one after the other.

    Raises:
        ValueError: two parts would have one name (see `names.collisions`).
    """
    features = features or Features()
    http: Document = {"routers": {}, "services": {}, "middlewares": {}, "serversTransports": {}}
    http["serversTransports"][OURS] = _TRANSPORT
    if features.retry:
        http["middlewares"][RETRY] = {"retry": _retry(apps.values())}
    if features.guard:
        http["middlewares"][CATCH] = _catching()
    for app, routing in sorted(apps.items()):
        _add(http["routers"], _routers(app, routing, features))
        _add(http["services"], _services(app, routing, features))
        _add(http["middlewares"], _names(app, routing, features))
    content = digest(http)
    _add(http["routers"], {OURS: markers.router()})
    _add(http["middlewares"], {OURS: markers.middleware(markers.text(content, serial))})
    # Traefik refuses a document with an empty section.
    return {"http": {kind: section for kind, section in http.items() if section}}


def _retry(routings: Iterable[Routing]) -> Document:
    """Return how to try again while no byte was sent to a replica, which is safe for every method.

    Names are resolved by dockerd, so while it restarts (2 to 3 s, measured) no new connection can
    be made although the replicas live on: a request waits for it instead of failing. Addresses need
    nobody: another replica is tried at once.
    """
    servers = (server for routing in routings for server in routing.servers)
    if any(server.address == server.replica for server in servers):
        return {"attempts": 30, "initialInterval": "100ms"}
    return {"attempts": 2}


def encode(document: Document) -> bytes:
    """Return the document as JSON that is also YAML and free of anything a template acts on.

    Raises:
        ValueError: a text cannot be written as UTF-8.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(_escaped, text).encode()


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in match.group())


def _add(section: Document, parts: Document) -> None:
    for name, part in parts.items():
        if name in section:
            raise ValueError(f"two parts of Traefik's configuration would be called {name}")
        section[name] = part


def _routers(app: AppName, routing: Routing, features: Features) -> Document:
    guarded = _fallback(routing, features) is not None
    routers: Document = {
        trial_name(app, number): _trial_router(app, route, features)
        for number, route in enumerate(routing.trial, start=1)
    }
    for name, route in zip(router_names(app, routing), routing.routes, strict=True):
        rule, priority = route.rule.strip(), _priority(route)
        router = routers[name] = _router(app, route, features)
        if guarded:
            # Equal priorities and no request that both match: nobody else's rule is leapfrogged.
            router["priority"] = priority or _default_priority(rule)
            routers[guard_name(name)] = {
                **router,
                "rule": f"({rule}) && ({_SAFE})",
                "service": guard_name(app),
            }
            router["rule"] = f"({rule}) && !({_SAFE})"
    return routers


def _router(app: AppName, route: Route, features: Features) -> Document:
    router: Document = {"rule": route.rule.strip(), "service": app}
    if route.entrypoints:
        router["entryPoints"] = list(route.entrypoints)
    middlewares = [*route.middlewares, *([RETRY] if features.retry else [])]
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
    router["rule"] = f"({router['rule']}) && Host(`{TRIAL_HOST}`)"
    if router.get("tls"):
        unwanted = {"certResolver", "domains"}
        router["tls"] = {k: v for k, v in router["tls"].items() if k not in unwanted}
    return router


def _default_priority(rule: str) -> int:
    return len(rule.encode())


def _priority(route: Route) -> int | None:
    """Return the priority to set; the one Traefik would choose anyway is left to it."""
    default = _default_priority(route.rule.strip())
    return None if route.priority in {None, 0, default} else route.priority


def _services(app: AppName, routing: Routing, features: Features) -> Document:
    shares = [share for share in routing.shares if share.weight > 0]
    weighted: Document = {
        "services": [{"name": balancer_name(app, s.revision), "weight": s.weight} for s in shares]
    }
    if routing.sticky:
        weighted["sticky"] = _cookie()
    services: Document = {app: {"weighted": weighted}}
    balancers = {balancer_name(app, s.revision): _balancer(s, routing.sticky) for s in shares}
    if len(balancers) < len(shares):
        raise ValueError(f"a revision of {app} has two shares")
    fallback = _fallback(routing, features)
    if fallback is not None:
        name = balancer_name(app, fallback.revision)
        balancers.setdefault(name, _balancer(fallback, routing.sticky))
        services |= _guard(app, name)
    _add(services, balancers)
    return services


def _fallback(routing: Routing, features: Features) -> Share | None:
    fallback = routing.fallback
    return fallback if features.guard and fallback is not None and fallback.servers else None


def _guard(app: AppName, fallback: str) -> Document:
    """Return what asks the app and, when that fails, the fallback.

    Failing answers are caught below the failover: a failing answer without a length is flushed
    piece by piece, and a failover lets the flush through, so that the client would get "200" and
    no headers with the fallback's body (measured, 3.7.0 to 3.7.15).
    """
    caught = catcher_name(app)
    return {
        guard_name(app): {
            "failover": {"service": caught, "fallback": fallback, "errors": {"status": _CAUGHT}}
        },
        caught: {"weighted": {"services": [{"name": app, "weight": 1}]}, "middlewares": [CATCH]},
    }


def _catching() -> Document:
    # Whatever this answers is thrown away: the failover above sees the status and asks elsewhere.
    return {"errors": {"status": _CAUGHT, "service": "noop@internal", "query": "/"}}


def _balancer(share: Share, sticky: bool) -> Document:
    balancer: Document = {
        "serversTransport": OURS,
        "servers": [{"url": _url(server)} for server in share.servers],
    }
    if sticky:
        balancer["sticky"] = _cookie()
    return {"loadBalancer": balancer}


def _cookie() -> Document:
    return {"cookie": {"httpOnly": True, "sameSite": "lax"}}


def _url(server: Server) -> str:
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"http://{host}:{server.port}"


def _names(app: AppName, routing: Routing, features: Features) -> Document:
    """Return the names of replicas that are addressed otherwise, in a middleware nobody uses."""
    fallback = _fallback(routing, features)
    shares = routing.shares if fallback is None else (fallback, *routing.shares)
    names = {
        str(share.revision): " ".join(server.replica for server in share.servers)
        for share in shares
        if any(server.replica != server.address for server in share.servers)
    }
    return {replicas_name(app): _headers(names)} if names else {}


def _headers(headers: Mapping[str, str]) -> Document:
    return {"headers": {"customResponseHeaders": dict(headers)}}


# --- reading --------------------------------------------------------------------------------------


def decode(data: bytes) -> Document:
    """Return the document in these bytes.

    Raises:
        ValueError: it is not one of ours.
    """
    document = json.loads(data)
    if not isinstance(document, dict) or OURS not in _section(document, "middlewares"):
        raise ValueError("it was not written by traefik-bg")
    return document


def parse(data: bytes) -> dict[AppName, Routing]:
    """Return the routings in an encoded document.

    A priority that is Traefik's default anyway, and blanks around a rule, are not in it any more.

    Raises:
        ValueError: it is not one of ours.
    """
    return routings(decode(data))


def routings(document: Document) -> dict[AppName, Routing]:
    """Return the routings in a document.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        services = _section(document, "services")
        return {
            AppName(name): _routing(AppName(name), document)
            for name, service in services.items()
            if "weighted" in service and "middlewares" not in service
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it was not written by traefik-bg: {error!r} is missing") from error


def marker(document: Document) -> str:
    """Return the marker of a document, or of what Traefik's API tells of the marker middleware."""
    return markers.found_in(_section(document, "middlewares")[OURS])


def _section(document: Document, name: str) -> Document:
    section = (document.get("http") or {}).get(name) or {}
    if not isinstance(section, dict):
        raise ValueError(f"its {name} are not a mapping")  # noqa: TRY004 - to callers it is a value
    return section


def _routing(app: AppName, document: Document) -> Routing:
    services = _section(document, "services")
    weighted = services[app]["weighted"]
    failover = services.get(guard_name(app), {}).get("failover")
    return Routing(
        shares=tuple(
            _share(app, child["name"], child["weight"], document)
            for child in weighted.get("services") or ()
        ),
        routes=tuple(_routes(app, document, is_guarded=failover is not None)),
        sticky="sticky" in weighted,
        fallback=_share(app, failover["fallback"], 0, document) if failover else None,
    )


def _share(app: AppName, name: str, weight: int, document: Document) -> Share:
    revision = RevisionId(name.removeprefix(balancer_name(app, "")))
    urls = [
        server["url"]
        for server in _section(document, "services")[name]["loadBalancer"].get("servers") or ()
    ]
    middleware = _section(document, "middlewares").get(replicas_name(app), _headers({}))
    names = middleware["headers"]["customResponseHeaders"].get(revision)
    replicas = names.split(" ") if names is not None else [_address(url)[0] for url in urls]
    servers = tuple(
        Server(replica=ReplicaName(replica), address=_address(url)[0], port=_address(url)[1])
        for replica, url in zip(replicas, urls, strict=True)
    )
    return Share(revision=revision, weight=weight, servers=servers)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _routes(app: AppName, document: Document, *, is_guarded: bool) -> Iterable[Route]:
    routers = _section(document, "routers")
    candidates = (routers.get(router_name(app, number), {}) for number in count(1))
    for router in takewhile(lambda router: router.get("service") == app, candidates):
        yield _route(router, document, is_guarded=is_guarded)


def _route(router: Document, document: Document, *, is_guarded: bool) -> Route:
    rule, priority = router["rule"], router.get("priority")
    if is_guarded:
        rule = rule.removeprefix("(").removesuffix(f") && !({_SAFE})")
        priority = None if priority == _default_priority(rule) else priority
    middlewares = tuple(router.get("middlewares") or ())
    if RETRY in _section(document, "middlewares") and middlewares[-1:] == (RETRY,):
        middlewares = middlewares[:-1]
    return Route(
        rule=rule,
        entrypoints=tuple(router.get("entryPoints") or ()),
        middlewares=middlewares,
        priority=priority,
        tls=canonical_json(router["tls"]) if "tls" in router else None,
    )

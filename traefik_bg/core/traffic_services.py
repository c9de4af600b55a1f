"""Who answers: the services of an app, and the middlewares that go with them.

What gets no request is absent: a member of weight 0 can hang Traefik for good. Called by `traffic`.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, Protocol, Routing, Server, Share, canonical_json
from traefik_bg.core.names import (
    CATCH,
    LATE,
    LOOP,
    OURS,
    balancer_name,
    catcher_name,
    cookie_name,
    guard_name,
    held_name,
    mirrored_name,
    notes_name,
    waiting_name,
)
from traefik_bg.core.traffic_document import NOTES, Document, headers
from traefik_bg.core.traffic_routers import HELD, fallback, is_held

CAUGHT = ["500", "502-504"]
NOT_YET = 510
"""What a held request is answered inside Traefik. No app answers so, we trust: "not extended" is
obsolete (RFC 2774); and Traefik takes registered statuses only."""

_LOOKS_AGAIN = 0.25
# Seconds until a held request looks again, at first; twice as long at the end. A thousand of them
# (200 a second for 5 s) took 37 % of a core and 80 MB; with 0.1 s 61 %, 220 MB, and a reload took a
# second. They were answered 0.1 s (median) to 0.35 s after the reload.
_COPIED_BODY = 256 * 1024
# Bytes; larger ones are not copied. Traefik allocates as much for each copied request.


def services(app: AppName, routing: Routing, features: Features, protocol: Protocol) -> Document:
    """Return the services of an app for one protocol.

    Raises:
        ValueError: a revision has two shares.
    """
    by_weight = _weighted(app, routing, protocol)
    if protocol is Protocol.TCP:
        return by_weight
    return by_weight | {
        name: service
        for name, service in _further(app, routing, features).items()
        if name not in by_weight  # blue may have a weight and be the fallback
    }


def _weighted(app: AppName, routing: Routing, protocol: Protocol) -> Document:
    """Return the app's own service, and a load balancer for every revision that has weight."""
    shares = _weighing(routing)
    parent: Document = {
        "services": [{"name": balancer_name(app, s.revision), "weight": s.weight} for s in shares]
    }
    is_http = protocol is Protocol.HTTP
    if is_http and (routing.sticky or routing.keeps_sessions):
        parent["sticky"] = _cookie(cookie_name(app))
    made = _balancers(app, routing, shares, protocol)
    if len(made) < len(shares):
        raise ValueError(f"a revision of {app} has two shares")
    return {app: {"weighted": parent}} | made


def _further(app: AppName, routing: Routing, features: Features) -> Document:
    """Return what else answers requests, for those that do not go by weight."""
    shares = _warm(routing, features)
    made = _balancers(app, routing, shares, Protocol.HTTP)
    if (spare := fallback(routing, features)) is not None:
        made |= _guard(app, balancer_name(app, spare.revision))
    if (mirror := routing.mirror) is not None:
        green = balancer_name(app, mirror.share.revision)
        mirrors = [{"name": green, "percent": mirror.percent}]
        # A body is kept for the copy; of a GET there is none, so that needs no bound, and with a
        # bound Traefik would allocate as much for each.
        bound = _COPIED_BODY if mirror.all_methods else -1
        made[mirrored_name(app)] = {
            "mirroring": {"service": app, "mirrors": mirrors, "maxBodySize": bound}
        }
    if is_held(routing, features):
        made[held_name(app)] = {
            "weighted": {"services": [{"name": LOOP, "weight": 1}]},
            "middlewares": [LATE, waiting_name(app), held_name(app)],
        }
    return made


def loop(url: str) -> Document:
    """Return the service that leads back into the same Traefik.

    It flushes nothing half-way. Traefik's retry lets a flush through even from an answer that it
    throws away, so on a busy machine some "not yet" became a "200" to the client, and the answer
    that came later lost its status and headers (1 of 200 while 1,500 waited, 3.7.15). What streams
    is flushed all the same.
    """
    return {
        "loadBalancer": {
            "serversTransport": OURS,
            "servers": [{"url": url}],
            "responseForwarding": {"flushInterval": "0s"},
        }
    }


def middlewares(
    app: AppName, routing: Routing, features: Features, protocols: Iterable[Protocol]
) -> Document:
    """Return the middlewares of an app: how its requests wait, and the notes."""
    made: Document = {}
    is_http = Protocol.HTTP in protocols
    if is_http and is_held(routing, features):
        back = {"customRequestHeaders": {HELD: app}}
        made[held_name(app)] = {"headers": back}
        made[waiting_name(app)] = {"retry": _waiting(routing.holds_for or 0.0)}
    notes = _notes(routing, features) if is_http else {}
    shares = [*_weighing(routing), *(_warm(routing, features) if is_http else ())]
    replicas = {
        share.revision: [server.replica for server in share.servers]
        for share in shares
        if any(server.replica != server.address for server in share.servers)
    }
    notes = {"replicas": replicas or None, **notes}
    if known := {
        key: value for key, value in notes.items() if value is not None and value is not False
    }:
        made[notes_name(app)] = headers({NOTES: canonical_json(known)})
    return made


def _weighing(routing: Routing) -> list[Share]:
    return [share for share in routing.shares if share.weight > 0]


def _warm(routing: Routing, features: Features) -> list[Share]:
    """Return the shares that get requests without a weight."""
    preview, mirror = routing.preview, routing.mirror
    found = (
        fallback(routing, features),
        routing.kept,
        preview.share if preview is not None else None,
        mirror.share if mirror is not None else None,
    )
    return [share for share in found if share is not None]


def _notes(routing: Routing, features: Features) -> dict[str, Any]:
    spare, kept = fallback(routing, features), routing.kept
    preview, mirror = routing.preview, routing.mirror
    return {
        "sticky": routing.sticky,
        "keeps_sessions": routing.keeps_sessions,
        "fallback": spare.revision if spare is not None else None,
        "kept": kept.revision if kept is not None else None,
        "preview": preview and {"revision": preview.share.revision, "by": asdict(preview.by)},
        "mirror": mirror
        and {
            "revision": mirror.share.revision,
            "percent": mirror.percent,
            "all_methods": mirror.all_methods,
        },
        "loops": routing.loops,
        "holds_for": None if routing.holds_for is None else {"seconds": routing.holds_for},
    }


def _waiting(seconds: float) -> Document:
    """Return how long, and how often, a request looks for somebody who serves.

    Its body is kept meanwhile, whatever its size: with a bound, Traefik allocates as much for every
    request, also for those without a body.
    """
    return {
        "attempts": math.ceil(seconds / _LOOKS_AGAIN) + 2,  # more than fit into the time
        "initialInterval": f"{_LOOKS_AGAIN * 1000:.0f}ms",
        "timeout": f"{seconds * 1000:.0f}ms",
        "status": [str(NOT_YET)],
        "retryNonIdempotentMethod": True,  # no replica has seen it
        "maxRequestBodyBytes": -1,
    }


def _guard(app: AppName, spare: str) -> Document:
    """Return what asks the app and, when that fails, the fallback.

    Failing answers are caught below the failover: a failing answer without a length is flushed
    piece by piece, and a failover lets the flush through, so that the client would get "200" and
    no headers with the fallback's body (measured, 3.7.0 to 3.7.15).
    """
    caught = catcher_name(app)
    return {
        guard_name(app): {
            "failover": {"service": caught, "fallback": spare, "errors": {"status": CAUGHT}}
        },
        caught: {"weighted": {"services": [{"name": app, "weight": 1}]}, "middlewares": [CATCH]},
    }


def _balancers(
    app: AppName, routing: Routing, shares: Iterable[Share], protocol: Protocol
) -> Document:
    return {
        balancer_name(app, share.revision): _balancer(share, routing.sticky, protocol)
        for share in shares
    }


def _balancer(share: Share, sticky: bool, protocol: Protocol) -> Document:
    is_http = protocol is Protocol.HTTP
    servers = [
        {"url": f"http://{_address(server)}"} if is_http else {"address": _address(server)}
        for server in share.servers
    ]
    balancer: Document = {"serversTransport": OURS, "servers": servers}
    if sticky and is_http:
        balancer["sticky"] = _cookie()
    return {"loadBalancer": balancer}


def _cookie(name: str = "") -> Document:
    named = {"name": name} if name else {}
    return {"cookie": {**named, "httpOnly": True, "sameSite": "lax"}}


def _address(server: Server) -> str:
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{host}:{server.port}"

"""Says to Traefik who answers what, and reads it back: routings ⇄ dynamic configuration.

The router adapter calls `render` and `encode` for every publish and `parse` once at start, when the
published document is the only memory of what was routed: `parse(encode(render(x))) == x`. Whose a
request is stands in `traffic_routers`, who answers in `traffic_services`. Pure.

Built from facts measured in Traefik 3.7: what has no weight is absent; no health check of Traefik's
own; one `serversTransport` that never changes, because a change throws away its connections; and a
marker that names the document, so that one request tells which one a Traefik runs, and so that it
is never empty, because an empty one would wipe every route.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from traefik_bg.core import markers
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, Routing, digest
from traefik_bg.core.names import BACK, CATCH, LATE, LOOP, OURS, RETRY, WAIT
from traefik_bg.core.traffic_document import Document, section
from traefik_bg.core.traffic_reading import features, routings
from traefik_bg.core.traffic_routers import (
    HELD,
    TRIAL_CLIENT,
    TRIAL_HOST,
    loops,
    protocols,
    routers,
)
from traefik_bg.core.traffic_services import CAUGHT, NOT_YET, loop, middlewares, services

__all__ = [
    "HELD",
    "TRIAL_CLIENT",
    "TRIAL_HOST",
    "Document",
    "decode",
    "encode",
    "features",
    "marker",
    "parse",
    "render",
    "routings",
]

_TRANSPORT = {
    # Without it Traefik keeps 2 idle connections a replica: a third of the throughput (measured).
    "maxIdleConnsPerHost": 200,
    # A vanished address may swallow packets; and one second after a switch the open connections
    # to blue are its requests in flight.
    "forwardingTimeouts": {"dialTimeout": "2s", "idleConnTimeout": "1s"},
}
_TCP_TRANSPORT = {
    "dialTimeout": "2s",
    # Who has said all it has to say may wait for an answer: Traefik's own 0.1 s cuts it off.
    "terminationDelay": "30s",
}

# YAML reads these inside quotes as line breaks or not at all, JSON writes them as they are; and a
# file provider's template engine acts on every "{{".
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|{{")


def render(
    apps: Mapping[AppName, Routing], *, features: Features | None = None, serial: int = 0
) -> Document:
    """Return the dynamic configuration for these routings.

    `serial` goes into the marker: it tells documents of the same content apart that were
    published one after the other. What a protocol or a feature does not allow is left out.

    Raises:
        ValueError: two parts would have one name (see `names.collisions`), or Traefik cannot be
            told of a preview (see `matchers.objection`).
    """
    features = features or Features()
    document: Document = {
        "http": {"routers": {}, "services": {}, "middlewares": {}},
        "tcp": {"routers": {}, "services": {}},
    }
    http, tcp = document["http"], document["tcp"]
    http["serversTransports"] = {OURS: _TRANSPORT}
    http["middlewares"] |= _shared(apps.values(), features)
    if any(loops(routing, features) for routing in apps.values()):
        http["services"][LOOP] = loop(features.hold)
        http["middlewares"] |= _waiting()
    for app, routing in sorted(apps.items()):
        carried = protocols(routing)
        for protocol in carried:
            part = document[protocol]
            _add(part["routers"], routers(app, routing, features, protocol))
            _add(part["services"], services(app, routing, features, protocol).items())
        _add(http["middlewares"], middlewares(app, routing, features, carried).items())
    if tcp["services"]:
        tcp["serversTransports"] = {OURS: _TCP_TRANSPORT}
    content = digest(document)
    _add(http["routers"], [(OURS, markers.router())])
    _add(http["middlewares"], [(OURS, markers.middleware(markers.text(content, serial)))])
    return _filled({kind: _filled(part) for kind, part in document.items()})


def _filled(sections: Document) -> Document:
    # Traefik refuses a document with an empty section.
    return {kind: section for kind, section in sections.items() if section}


def _shared(routings: Iterable[Routing], features: Features) -> Document:
    """Return the middlewares that are the same for all apps."""
    made: Document = {}
    if features.retry:
        made[RETRY] = {"retry": _retry(routings)}
    if features.guard:
        # Whatever this answers is thrown away: the failover above sees the status, and asks
        # elsewhere.
        made[CATCH] = {"errors": {"status": CAUGHT, "service": "noop@internal", "query": "/"}}
    return made


def _waiting() -> Document:
    """Return the middlewares by which requests are held, and come back."""
    not_yet = str(NOT_YET)
    rewritten = {"status": [not_yet], "statusRewrites": {not_yet: 503}}
    return {
        WAIT: {
            "ipAllowList": {
                "sourceRange": [f"{TRIAL_CLIENT}/32"],
                "rejectStatusCode": NOT_YET,
            }
        },
        BACK: {"headers": {"customRequestHeaders": {HELD: ""}}},
        LATE: {"errors": {**rewritten, "service": "noop@internal", "query": "/"}},
    }


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


def _add(section: Document, parts: Iterable[tuple[str, Document]]) -> None:
    for name, part in parts:
        if name in section:
            raise ValueError(f"two parts of Traefik's configuration would be called {name}")
        section[name] = part


def encode(document: Document) -> bytes:
    """Return the document as JSON that is also YAML and free of anything a template acts on.

    Raises:
        ValueError: a text cannot be written as UTF-8.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(_escaped, text).encode()


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in match.group())


def decode(data: bytes) -> Document:
    """Return the document in these bytes.

    Raises:
        ValueError: it is not one of ours.
    """
    document = json.loads(data)
    if not isinstance(document, dict) or OURS not in section(document, "middlewares"):
        raise ValueError("it was not written by traefik-bg")
    return document


def parse(data: bytes) -> dict[AppName, Routing]:
    """Return the routings in an encoded document.

    A priority that is Traefik's default anyway, and blanks around a rule, are not in it any more.

    Raises:
        ValueError: it is not one of ours.
    """
    return routings(decode(data))


def marker(document: Document) -> str:
    """Return the marker of a document, or of what Traefik's API tells of the marker middleware."""
    return markers.found_in(section(document, "middlewares")[OURS])

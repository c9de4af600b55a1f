"""Reads back from a document what was routed: the other half of `traffic.render`.

Separate because only starts need it, when the published document is the only memory of what was
routed. Weights and replicas are read from what Traefik acts on; what it has no field for, from the
notes. Documents from before there were notes are read as well: an update is no outage. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from traefik_bg.core import matchers
from traefik_bg.core.features import Features
from traefik_bg.core.model import (
    AppName,
    Json,
    MirrorShare,
    PreviewShare,
    Protocol,
    ReplicaName,
    RevisionId,
    Route,
    Routing,
    Server,
    Share,
    canonical_json,
)
from traefik_bg.core.names import (
    CATCH,
    LOOP,
    RETRY,
    balancer_name,
    guard_name,
    held_name,
    notes_name,
    router_name,
)
from traefik_bg.core.rollout import Preview
from traefik_bg.core.traffic_document import NOTES, Document, headers, section
from traefik_bg.core.traffic_routers import excluded


def features(document: Document) -> Features:
    """Return the features a document was rendered with, as far as it uses them."""
    middlewares = section(document, "middlewares")
    loop = section(document, "services").get(LOOP)
    return Features(
        retry=RETRY in middlewares,
        guard=CATCH in middlewares,
        hold=loop["loadBalancer"]["servers"][0]["url"] if loop else "",
    )


def routings(document: Document) -> dict[AppName, Routing]:
    """Return the routings in a document.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        found = {**_apps(document, Protocol.TCP), **_apps(document, Protocol.HTTP)}
        return {app: _routing(app, document, protocol) for app, protocol in sorted(found.items())}
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"it was not written by traefik-bg: {error!r} is missing") from error


def _apps(document: Document, protocol: Protocol) -> dict[AppName, Protocol]:
    return {
        AppName(name): protocol
        for name, service in section(document, "services", protocol).items()
        if "weighted" in service and "middlewares" not in service
    }


def _routing(app: AppName, document: Document, protocol: Protocol) -> Routing:
    weighted = section(document, "services", protocol)[app]["weighted"]
    notes = _notes(app, document)

    def share(revision: str, weight: int = 0) -> Share:
        servers = _servers(app, revision, document, protocol, notes)
        return Share(revision=RevisionId(revision), weight=weight, servers=servers)

    def warm(key: str) -> Share | None:
        return share(notes[key]) if notes.get(key) else None

    preview, mirror, holds_for = notes.get("preview"), notes.get("mirror"), notes.get("holds_for")
    routing = Routing(
        shares=tuple(
            share(child["name"].removeprefix(balancer_name(app, "")), child["weight"])
            for child in weighted.get("services") or ()
        ),
        sticky=notes.get("sticky", False),
        keeps_sessions=notes.get("keeps_sessions", False),
        fallback=warm("fallback"),
        kept=warm("kept"),
        preview=preview
        and PreviewShare(share=share(preview["revision"]), by=_preview(preview["by"])),
        mirror=mirror
        and MirrorShare(
            share=share(mirror["revision"]),
            percent=mirror["percent"],
            all_methods=mirror["all_methods"],
        ),
        loops=notes.get("loops", False),
        holds_for=holds_for and holds_for["seconds"],
    )
    return replace(routing, routes=tuple(_routes(app, routing, document)))


def _notes(app: AppName, document: Document) -> dict[str, Any]:
    middleware = section(document, "middlewares").get(notes_name(app), headers({}))
    notes = json.loads(middleware["headers"]["customResponseHeaders"].get(NOTES, "{}"))
    if not isinstance(notes, dict):
        raise ValueError(f"the notes on {app} are not a mapping")  # noqa: TRY004 - as for sections
    return {**_unnoted(app, document), **notes}


def _unnoted(app: AppName, document: Document) -> dict[str, Any]:
    """Return what stood elsewhere before there were notes."""
    services, middlewares = section(document, "services"), section(document, "middlewares")
    cookie = services.get(app, {}).get("weighted", {}).get("sticky", {}).get("cookie")
    guard = services.get(guard_name(app), {}).get("failover")
    named = middlewares.get(f"{app}-replicas", headers({}))["headers"]["customResponseHeaders"]
    return {
        "sticky": cookie is not None and "name" not in cookie,
        "fallback": guard and guard["fallback"].removeprefix(balancer_name(app, "")),
        "replicas": {revision: names.split(" ") for revision, names in named.items()},
    }


def _preview(by: dict[str, Any]) -> Preview:
    header, cookie = by["header"], by["cookie"]
    return Preview(
        header=(header[0], header[1]) if header else None,
        cookie=(cookie[0], cookie[1]) if cookie else None,
        host=by["host"],
    )


def _servers(
    app: AppName, revision: str, document: Document, protocol: Protocol, notes: dict[str, Any]
) -> tuple[Server, ...]:
    balancer = section(document, "services", protocol)[balancer_name(app, revision)]
    servers = balancer["loadBalancer"].get("servers") or ()
    addresses = [_address(server.get("url") or server["address"]) for server in servers]
    replicas = notes.get("replicas", {}).get(revision) or [host for host, _ in addresses]
    return tuple(
        Server(replica=ReplicaName(replica), address=host, port=port)
        for replica, (host, port) in zip(replicas, addresses, strict=True)
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.removeprefix("http://").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _routes(app: AppName, routing: Routing, document: Document) -> Iterator[Route]:
    known = features(document)
    conditions = excluded(app, routing, known)
    number = 1
    while True:
        name = router_name(app, number)
        for protocol in Protocol:
            router = section(document, "routers", protocol).get(name, {})
            if router.get("service") in {app, held_name(app)}:
                break
        else:
            return
        yield _route(router, protocol, known, conditions)
        number += 1


def _route(
    router: Document, protocol: Protocol, known: Features, conditions: tuple[str, ...]
) -> Route:
    rule, priority = router["rule"], router.get("priority")
    if conditions and protocol is Protocol.HTTP:
        rule = matchers.without(rule, conditions)
        priority = None if priority == matchers.default_priority(rule) else priority
    middlewares = tuple(router.get("middlewares") or ())
    if known.retry and protocol is Protocol.HTTP and middlewares[-1:] == (RETRY,):
        middlewares = middlewares[:-1]
    return Route(
        rule=rule,
        entrypoints=tuple(router.get("entryPoints") or ()),
        middlewares=middlewares,
        priority=priority,
        tls=_json(router["tls"]) if "tls" in router else None,
        protocol=protocol,
    )


def _json(value: object) -> Json:
    return canonical_json(value)

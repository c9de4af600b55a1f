"""Reads back from Traefik's API what it runs of ours, when our own files are lost.

Only for that: what the API tells has been through Traefik, so entry points and middlewares that it
added are in it. The weights and the replicas are exact, and they are what must not be lost; the
planner then publishes every app as it is wanted, and until an app's turn comes nobody loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from traefik_bg.core import traffic
from traefik_bg.core.names import OURS, RETRY, guard_name, router_name

_PROVIDERS = ("file", "http")


def recovered(everything: Mapping[str, Any]) -> traffic.Document | None:
    """Return the document of ours that a Traefik runs, by what its API tells; None: none."""
    for provider in _PROVIDERS:
        suffix = f"@{provider}"
        document = {
            "http": {
                kind: {
                    name.removesuffix(suffix): part
                    for name, part in (everything.get(kind) or {}).items()
                    if name.endswith(suffix)
                }
                for kind in ("routers", "services", "middlewares")
            }
        }
        http = document["http"]
        if OURS in http["middlewares"]:
            http["services"] = _ours(http["services"])
            http["routers"] = _all_routers(http)
            return document
    return None


def _ours(services: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what other files of the same provider define (S6)."""
    leaves = {
        name
        for name, service in services.items()
        if str((service.get("loadBalancer") or {}).get("serversTransport")).startswith(OURS)
    }
    ours = {name: services[name] for name in leaves}
    for name, service in services.items():
        children = (service.get("weighted") or {}).get("services") or ()
        if children and all(child["name"] in leaves for child in children):
            ours[name] = service
            guard = services.get(guard_name(name)) or {}
            if "failover" in guard:
                ours[guard_name(name)] = guard
    return ours


def _all_routers(http: traffic.Document) -> traffic.Document:
    apps = [name for name, service in http["services"].items() if "weighted" in service]
    return {
        router_name(app, number): router
        for app in apps
        for number, router in enumerate(_routers(app, http["routers"].values()), start=1)
    }


def _routers(app: str, found: Iterable[traffic.Document]) -> list[traffic.Document]:
    """Return the routers of an app as they were before Traefik made one for each entry point."""
    routers: dict[str, traffic.Document] = {}
    for router in found:
        if router.get("service") != app:
            continue
        rule = router["rule"]
        merged = routers.setdefault(rule, {"rule": rule, "service": app, "entryPoints": []})
        merged["entryPoints"] += router.get("entryPoints") or ()
        merged["middlewares"] = [
            RETRY if name.startswith(f"{RETRY}@") else name
            for name in router.get("middlewares") or ()
        ]
        if router.get("priority") not in {None, len(rule.encode())}:
            merged["priority"] = router["priority"]
        if "tls" in router:
            merged["tls"] = router["tls"]
    return list(routers.values())

"""Reads back from Traefik's API what it runs of ours, when our own files are lost.

Only for that: what the API tells has been through Traefik, so entry points and middlewares that it
added are in it. The weights and the replicas are exact, and they are what must not be lost; the
planner then publishes every app as it is wanted, and until an app's turn comes nobody loses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from traefik_bg.core import traffic
from traefik_bg.core.model import Protocol
from traefik_bg.core.names import (
    BACK,
    LOOP,
    OURS,
    RETRY,
    held_name,
    notes_name,
    router_name,
)

_PROVIDERS = ("file", "http")


def recovered(everything: Mapping[str, Any]) -> traffic.Document | None:
    """Return the document of ours that a Traefik runs, by what its API tells; None: none."""
    for provider in _PROVIDERS:
        http = _of(provider, everything, {kind: kind for kind in _KINDS})
        if OURS not in http["middlewares"]:
            continue
        tcp = _of(provider, everything, {kind: f"tcp{kind.capitalize()}" for kind in _KINDS[:2]})
        document = {Protocol.HTTP: http, Protocol.TCP: tcp}
        for part in document.values():
            part["services"] = _ours(part["services"], http["middlewares"])
            part["routers"] = _all_routers(part)
        return {str(protocol): part for protocol, part in document.items()}
    return None


_KINDS = ("routers", "services", "middlewares")


def _of(provider: str, everything: Mapping[str, Any], kinds: Mapping[str, str]) -> traffic.Document:
    suffix = f"@{provider}"
    return {
        kind: {
            name.removesuffix(suffix): part
            for name, part in (everything.get(called) or {}).items()
            if name.endswith(suffix)
        }
        for kind, called in kinds.items()
    }


def _ours(services: Mapping[str, Any], middlewares: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what other files of the same provider define (S6)."""
    leaves = {
        name
        for name, service in services.items()
        if str((service.get("loadBalancer") or {}).get("serversTransport")).startswith(OURS)
    }
    ours = {name: services[name] for name in leaves}
    for name, service in services.items():
        if "weighted" not in service or "middlewares" in service:
            continue
        children = (service["weighted"] or {}).get("services") or ()
        is_led_to_ours = children and all(child["name"] in leaves for child in children)
        if is_led_to_ours or notes_name(name) in middlewares:
            ours[name] = {**service, "weighted": service["weighted"] or {}}
    if BACK not in middlewares:
        ours.pop(LOOP, None)
    return ours


def _all_routers(part: traffic.Document) -> traffic.Document:
    apps = [name for name, service in part["services"].items() if "weighted" in service]
    return {
        router_name(app, number): router
        for app in apps
        for number, router in enumerate(_routers(app, _in_order(part["routers"])), start=1)
    }


def _in_order(routers: Mapping[str, Any]) -> list[traffic.Document]:
    """Return the routers by the numbers in their names; the first one of an app has none."""

    def number(name: str) -> int:
        match = re.search(r"-route-(\d+)$", name)
        return int(match.group(1)) if match is not None else 1

    return [routers[name] for name in sorted(routers, key=number)]


def _routers(app: str, found: Iterable[traffic.Document]) -> list[traffic.Document]:
    """Return the routers of an app as they were before Traefik made one for each entry point."""
    routers: dict[str, traffic.Document] = {}
    for router in found:
        rule = router["rule"]
        if router.get("service") not in {app, held_name(app)} or not _is_of_a_route(router):
            continue
        merged = routers.setdefault(rule, {"rule": rule, "service": app, "entryPoints": []})
        merged["entryPoints"] += router.get("entryPoints") or ()
        merged["middlewares"] = [
            RETRY if name.startswith(f"{RETRY}@") else name
            for name in router.get("middlewares") or ()
        ]
        # -1 is what Traefik gives to a TCP router for everything.
        if router.get("priority") not in {None, -1, len(rule.encode())}:
            merged["priority"] = router["priority"]
        if "tls" in router:
            merged["tls"] = router["tls"]
    return list(routers.values())


def _is_of_a_route(router: traffic.Document) -> bool:
    """Tell whether it is neither a trial nor the way back of held requests."""
    never = (traffic.TRIAL_HOST, traffic.TRIAL_CLIENT)
    is_back = str(router["rule"]).startswith(f"Header(`{traffic.HELD}`")
    return not is_back and not any(text in str(router["rule"]) for text in never)

"""What Traefik's labels define beside routes, as a file for Traefik's own file provider.

A desired state has no place for middlewares, nor for routers that lead elsewhere, and when the
container that carried their labels is gone, they would be gone with it. So they are written down
for Traefik. What is unknown about their options does not matter: Traefik reads in a file what it
reads in a label, spelt as there, values with commas for lists, "true" for true. Facts from its
parser (paerser) and tried with a real Traefik. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from traefik_bg.adapters.compose_labels import Option, split
from traefik_bg.adapters.compose_routers import Labelled, Router
from traefik_bg.adapters.compose_rules import modern

_SECTIONS = {"entrypoints": "entryPoints", "certresolver": "certResolver", "rulesyntax": ""}
_TEMPLATE = "{{`{{`}}"  # Traefik takes a file for a Go template, in which {{ begins an action


class Names:
    """What middlewares and services are called once some of them are in Traefik's files."""

    def __init__(self, moved: Mapping[str, Labelled]) -> None:
        self._apps: dict[str, str] = {}
        self._middlewares: dict[tuple[str, str], str] = {}
        for app, labelled in moved.items():
            for protocol in ("http", "tcp"):
                for name in labelled.middlewares(protocol):
                    self._middlewares[protocol, name.lower()] = name
            for router in labelled.routers:
                self._apps[router.service.lower()] = app

    def middleware(self, protocol: str, wanted: str) -> str:
        """Return the name by which a middleware is known outside of Traefik's Docker provider."""
        name, _, provider = wanted.partition("@")
        if provider not in {"", "docker"}:
            return wanted
        moved = self._middlewares.get((protocol, name.lower()))
        return f"{moved}@file" if moved is not None else f"{name}@docker"

    def service(self, wanted: str) -> str:
        """Return the same of a service."""
        name, _, provider = wanted.partition("@")
        if provider not in {"", "docker"}:
            return wanted
        app = self._apps.get(name.lower())
        return f"{app}@file" if app is not None else f"{name}@docker"

    def moved(self, protocol: str, wanted: str) -> str | None:
        """Return the new name of a middleware that Traefik's Docker provider is to lose."""
        found = self.middleware(protocol, wanted)
        return found if found.endswith("@file") and wanted.partition("@")[2] != "file" else None


def definitions(moved: Mapping[str, Labelled], names: Names) -> str:
    """Return the file for Traefik; empty if there is nothing to define."""
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for labelled in moved.values():
        for router in labelled.foreign:
            section = made.setdefault(router.protocol, {}).setdefault("routers", {})
            section[router.option.name] = _router(router, names)
        for protocol in ("http", "tcp"):
            for name, option in labelled.middlewares(protocol).items():
                section = made.setdefault(protocol, {}).setdefault("middlewares", {})
                section[name] = _middleware(protocol, option, names)
    if not made:
        return ""
    text: str = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)
    return text.replace("{{", _TEMPLATE)


def _middleware(protocol: str, option: Option, names: Names) -> Any:
    made: dict[str, Any] = {}
    for kind in option.below.values():
        made[kind.name] = _plain(kind)
    chain = option.at("chain", "middlewares")
    if chain is not None and chain.value is not None:
        chained = [names.middleware(protocol, name) for name in split(chain.value.text)]
        made[option.below["chain"].name] = {"middlewares": chained}
    service = option.at("errors", "service")
    if service is not None and service.value is not None:
        made[option.below["errors"].name][service.name] = names.service(service.value.text.strip())
    return made


def _router(router: Router, names: Names) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, option in router.option.below.items():
        spelled = _SECTIONS.get(key, option.name)
        if not spelled:
            continue
        value = _plain(option)
        match key:
            case "rule":
                value = modern(str(value))
            case "middlewares":
                value = [names.middleware(router.protocol, name) for name in split(str(value))]
            case "entrypoints":
                value = split(str(value))
            case "service":
                value = names.service(str(value).strip())
            case _:
                pass
        made[spelled] = value
    return made


def _plain(option: Option) -> Any:
    """Return what stands below an option, as mappings, lists and texts."""
    if not option.below:
        text = option.value.text if option.value is not None else ""
        is_whole = text.lower() in {"", "true"} and option.label.count(".") <= _OF_A_KIND
        return {} if is_whole else text
    children = list(option.below.values())
    if all(child.is_index for child in children):
        return [_plain(child) for child in children]
    return {child.name: _plain(child) for child in children}


_OF_A_KIND = 4  # dots in traefik.http.middlewares.NAME.KIND: true there means the whole of it

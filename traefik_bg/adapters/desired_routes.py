"""Finds routers that would fight for the same requests.

Apart from the schema because it compares apps with each other. It reads the tree, not the checked
settings, so that a conflict is named even while something else is wrong with one of the apps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from traefik_bg.adapters.desired_schema import host_rule
from traefik_bg.adapters.desired_tree import Items, Kind, Node, Place, Scalar, Table
from traefik_bg.core.errors import DesiredStateError


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one router asks for."""

    app: str
    rule: str
    entrypoints: frozenset[str]
    """None at all means all of them."""
    is_tls: bool
    place: Place

    def meets(self, other: _Claim) -> bool:
        """Tell whether one request could be meant for both."""
        is_apart = (
            self.entrypoints and other.entrypoints and not (self.entrypoints & other.entrypoints)
        )
        return self.rule == other.rule and self.is_tls == other.is_tls and not is_apart


def route_conflicts(apps: Mapping[str, Table]) -> Iterator[DesiredStateError]:
    """Return a mistake for each router that asks for the same requests as one before it."""
    by_rule: dict[str, list[_Claim]] = {}
    for name, table in apps.items():
        for claim in _claims(name, table):
            earlier = by_rule.setdefault(claim.rule, [])
            first = next((other for other in earlier if other.meets(claim)), None)
            if first is not None:
                yield claim.place.mistake(
                    f"{claim.rule} is already the route of {first.app} in "
                    f"{first.place.file}:{first.place.line}; one request cannot go to both"
                )
            earlier.append(claim)


def _claims(app: str, table: Table) -> Iterator[_Claim]:
    route = table.entries.get("route")
    if route is None:
        return
    for item in route.node.items if isinstance(route.node, Items) else (route.node,):
        claim = _claim(app, item)
        if claim is not None:
            yield claim


def _claim(app: str, node: Node) -> _Claim | None:
    host = _scalar(node, "host")
    found = host or _scalar(node, "rule")
    if found is None:
        return None
    text = found.text.strip() if host is None else host_rule(host.text)
    tls = node.entries.get("tls") if isinstance(node, Table) else None
    is_off = tls is None or (isinstance(tls.node, Scalar) and tls.node.text.lower() in _OFF)
    return _Claim(app, text, frozenset(_entrypoints(node)), not is_off, found.place)


_OFF = {"false", "no", "off"}


def _entrypoints(node: Node) -> Iterator[str]:
    entry = node.entries.get("entrypoints") if isinstance(node, Table) else None
    if entry is None:
        return
    for item in entry.node.items if isinstance(entry.node, Items) else (entry.node,):
        if isinstance(item, Scalar):
            yield item.text


def _scalar(node: Node, key: str) -> Scalar | None:
    entry = node.entries.get(key) if isinstance(node, Table) else None
    if entry is None or not isinstance(entry.node, Scalar) or entry.node.kind is not Kind.TEXT:
        return None
    return entry.node

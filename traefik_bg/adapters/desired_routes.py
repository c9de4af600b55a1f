"""Finds routers that would fight for the same requests or connections.

Apart from the schema because it compares apps with each other. It reads the tree, not the checked
settings, so that a conflict is named even while something else is wrong with one of the apps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from traefik_bg.adapters.desired_route import EVERY_CONNECTION, host_rule, hosts_in
from traefik_bg.adapters.desired_tree import Items, Kind, Node, Place, Scalar, Table
from traefik_bg.core.errors import DesiredStateError

_OFF = {"false", "no", "off"}


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one router asks for."""

    app: str
    rule: str
    entrypoints: frozenset[str]
    """None at all means all of them."""
    is_tls: bool
    is_tcp: bool
    place: Place

    def is_as(self, other: _Claim) -> bool:
        """Tell whether one request could be meant for both."""
        is_apart = (
            self.entrypoints and other.entrypoints and not (self.entrypoints & other.entrypoints)
        )
        alike = self.is_tls == other.is_tls and self.is_tcp == other.is_tcp
        return self.rule == other.rule and alike and not is_apart

    def swallows(self, other: _Claim) -> bool:
        """Tell whether it takes the connections in which the other's requests would come.

        Of connections with TLS, Traefik looks for the host first.
        """
        takes_all = self.is_tcp and not self.is_tls and self.rule == EVERY_CONNECTION
        is_plain = not other.is_tcp and not other.is_tls
        return takes_all and is_plain and bool(self.entrypoints & other.entrypoints)

    def __str__(self) -> str:
        return f"of {self.app} in {self.place.file}:{self.place.line}"


def route_conflicts(apps: Mapping[str, Table]) -> Iterator[DesiredStateError]:
    """Return a mistake for each router that asks for the same requests as one before it."""
    claims = [claim for name, table in apps.items() for claim in _claims(name, table)]
    by_rule: dict[str, list[_Claim]] = {}
    for claim in claims:
        earlier = by_rule.setdefault(claim.rule, [])
        first = next((other for other in earlier if other.is_as(claim)), None)
        if first is not None:
            what = "connection" if claim.is_tcp else "request"
            yield claim.place.mistake(
                f"{claim.rule} is already the route {first}; one {what} cannot go to both"
            )
        earlier.append(claim)
    for claim in (claim for claim in claims if claim.is_tcp):
        if other := next((other for other in claims if claim.swallows(other)), None):
            shared = ", ".join(sorted(claim.entrypoints & other.entrypoints))
            yield claim.place.mistake(
                f"takes every connection of the entry point {shared}, also those of the route "
                f"{other}; give it an entry point of its own"
            )
    yield from _preview_conflicts(apps, claims)


def _preview_conflicts(
    apps: Mapping[str, Table], claims: list[_Claim]
) -> Iterator[DesiredStateError]:
    """Return a mistake for each preview on a host that is taken."""
    taken: dict[str, str] = {}
    for claim in claims:
        for host in hosts_in(claim.rule):
            taken.setdefault(host, f"the host of the route {claim}")
    for name, table in apps.items():
        found = _scalar(_below(_below(table, "rollout"), "preview"), "host")
        if found is None:
            continue
        host = found.text.strip().lower().rstrip(".")
        if host in taken:
            yield found.place.mistake(
                f"{host} is already {taken[host]}; a preview needs a host of its own"
            )
        else:
            taken[host] = f"the preview of {name}"


def _claims(app: str, table: Table) -> Iterator[_Claim]:
    route = table.entries.get("route")
    if route is None:
        return
    for item in route.node.items if isinstance(route.node, Items) else (route.node,):
        claim = _claim(app, item)
        if claim is not None:
            yield claim


def _claim(app: str, node: Node) -> _Claim | None:
    host, tcp = _scalar(node, "host"), _below(node, "tcp")
    found = host or _scalar(node, "rule") or (tcp if isinstance(tcp, Scalar) else None)
    if found is None:
        return None
    text = found.text.strip()
    if found is host:
        text = host_rule(text)
    elif found is tcp and found.kind is not Kind.TEXT:
        text = EVERY_CONNECTION
    tls = _below(node, "tls")
    is_off = tls is None or (isinstance(tls, Scalar) and tls.text.lower() in _OFF)
    entrypoints = frozenset(_entrypoints(node))
    return _Claim(app, text, entrypoints, not is_off, found is tcp, found.place)


def _entrypoints(node: Node) -> Iterator[str]:
    found = _below(node, "entrypoints")
    for item in found.items if isinstance(found, Items) else (found,):
        if isinstance(item, Scalar):
            yield item.text


def _below(node: Node | None, key: str) -> Node | None:
    entry = node.entries.get(key) if isinstance(node, Table) else None
    return entry.node if entry is not None else None


def _scalar(node: Node | None, key: str) -> Scalar | None:
    found = _below(node, key)
    return found if isinstance(found, Scalar) and found.kind is Kind.TEXT else None

"""What the labels of a container say that others made: what of it must be taken over, and how.

Apart from the search for such containers because it is about Traefik's labels alone, and from the
import because here nothing is moved: what ends with the container is named, so that it is not lost.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from traefik_bg.adapters.compose_labels import ROOT, Option, is_off, options_of, split
from traefik_bg.adapters.compose_rules import modern
from traefik_bg.adapters.desired_route import EVERY_CONNECTION
from traefik_bg.adapters.desired_tree import Entry, Kind, Place, Scalar, Table
from traefik_bg.core.matchers import default_priority
from traefik_bg.core.observation import Claim

_LABELS = Place("labels", 1)
_PROTOCOLS = ("http", "tcp")
_PLAIN = {"", "http"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What Traefik's Docker provider makes of a container's labels."""

    claims: tuple[Claim, ...]
    """The routers that end with it, but those without a rule: only Traefik knows theirs."""
    defines: tuple[str, ...]
    """Its middlewares, as others name them."""
    oddities: tuple[str, ...]
    """What no route can say, in words."""
    port: int | None
    health_path: str | None

    @classmethod
    def by(cls, labels: Mapping[str, str], *, moved: tuple[str, ...] = ()) -> Self:
        """Return what these labels say; `moved` are routers that stand elsewhere by now."""
        options = _options(labels)
        ports = {text for text in _of_services(options, "server", "port") if text}
        paths = {text for text in _of_services(options, "healthcheck", "path") if text}
        port = next(iter(ports), "") if len(ports) == 1 else ""
        return cls(
            claims=tuple(claim for claim in _claims(options) if claim.router not in moved),
            defines=tuple(
                f"{middleware.name}@docker"
                for protocol in _PROTOCOLS
                for middleware in options.children(protocol, "middlewares")
            ),
            oddities=tuple(_oddities(options, ports)),
            port=int(port) if port.isascii() and port.isdecimal() else None,
            health_path=next(iter(paths)) if len(paths) == 1 else None,
        )


def _options(labels: Mapping[str, str]) -> Option:
    entries = {
        key: Entry(_LABELS, Scalar(value, Kind.TEXT, _LABELS))
        for key, value in sorted(labels.items())
    }
    options = options_of(Table(_LABELS, entries), [])
    enable = options.at("enable")
    is_left_alone = enable is not None and is_off(enable)
    return Option(ROOT, _LABELS) if is_left_alone else options


def _of_services(options: Option, *names: str) -> Iterator[str]:
    for protocol in _PROTOCOLS:
        for service in options.children(protocol, "services"):
            yield service.text("loadbalancer", *names)


def _oddities(options: Option, ports: set[str]) -> Iterator[str]:
    if options.at("udp") is not None:
        yield "its labels route UDP, which would end with it: routes of an app are HTTP or TCP"
    if len(ports) > 1:
        yield f"its labels lead to the ports {', '.join(sorted(ports))}, and an app has one"
    for scheme in _of_services(options, "server", "scheme"):
        if scheme.lower() not in _PLAIN:
            yield f"Traefik speaks {scheme} to it, as its label says, and routes of an app do not"


def _claims(options: Option) -> Iterator[Claim]:
    for protocol in _PROTOCOLS:
        own = {option.name.lower() for option in options.children(protocol, "services")}
        for router in options.children(protocol, "routers"):
            service = router.text("service").removesuffix("@docker").lower()
            is_elsewhere = (bool(service and own) and service not in own) or "@" in service
            if rule := router.text("rule"):
                yield _claim(router, rule, is_elsewhere=is_elsewhere)


def _claim(router: Option, rule: str, *, is_elsewhere: bool) -> Claim:
    said = router.text("priority")
    tls = router.at("tls")
    number = int(said) if said.removeprefix("-").isdecimal() else 0
    is_last = rule.replace(" ", "") == EVERY_CONNECTION  # Traefik asks that one after all others
    return Claim(
        router=router.name,
        rule=rule if router.text("rulesyntax").lower() == "v3" else modern(rule),
        priority=number or (0 if is_last else default_priority(rule)),
        entrypoints=tuple(sorted(split(router.text("entrypoints")))),
        has_tls=tls is not None and not is_off(tls),
        leads_elsewhere=is_elsewhere,
    )

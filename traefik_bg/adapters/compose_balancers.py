"""What Traefik's labels say of the way from Traefik to a container: port, scheme, sticky sessions.

Apart from the routers because traefik-bg makes the load balancers itself: most of what labels can
say of one is settled, some of it cannot be had, and then the service had better stay where it is.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traefik_bg.adapters.compose_labels import Option, is_off
from traefik_bg.adapters.compose_routers import Labelled, Router, Routes

_SETTLED = {
    "healthcheck": "traefik-bg asks for health itself, as often as health says",
    "passhostheader": "the client's Host is always passed on",
    "passivehealthcheck": "a replica that dies leaves the routing at once",
    "responseforwarding": "Traefik's own default holds",
    "serverstransport": "traefik-bg has one of its own, by which it sees when connections end",
    "strategy": "replicas take turns",
    "sticky": "the cookie is traefik-bg's own",
    "terminationdelay": "Traefik's own default holds",
}
"""What traefik-bg decides, by the part of a load balancer."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """One load balancer of the labels."""

    protocol: str
    option: Option

    def impossible(self) -> Iterator[tuple[Option, str]]:
        """Return what it asks for that cannot be had."""
        server = self.option.at("server")
        scheme = server.at("scheme") if server is not None else None
        if scheme is not None and scheme.value is not None and scheme.value.text.lower() != "http":
            yield scheme, f"traefik-bg speaks plain HTTP to replicas, not {scheme.value.text}"
        for key in ("url", "tls"):
            found = server.at(key) if server is not None else None
            if found is not None and not (key == "tls" and is_off(found)):
                yield found, "the address of a replica is traefik-bg's to say, without TLS"
        proxy = self.option.at("proxyprotocol")
        if proxy is not None and not is_off(proxy):
            yield proxy.first(), "traefik-bg speaks no PROXY protocol to replicas"


def used(labelled: Labelled, routers: list[Router]) -> list[Balancer]:
    """Return the load balancers that these routers lead to; of all, if there are no routers."""
    found: dict[tuple[str, str], Balancer] = {}
    protocols = dict.fromkeys(router.protocol for router in routers) or {"http": None}
    for protocol in protocols:
        services = labelled.services(protocol)
        wanted = {router.service for router in routers if router.protocol == protocol}
        for name, service in services.items():
            option = service.at("loadbalancer")
            if option is not None and (not routers or name in wanted):
                found[protocol, name] = Balancer(protocol, option)
    return list(found.values())


def is_sticky(balancers: list[Balancer]) -> bool:
    """Tell whether clients stay with their container."""
    return any(
        balancer.protocol == "http"
        and not is_off(balancer.option.at("sticky"))
        and not _is_cookie_off(balancer.option)
        for balancer in balancers
    )


def _is_cookie_off(option: Option) -> bool:
    cookie = option.at("sticky", "cookie")
    return cookie is not None and is_off(cookie)


def settle(balancers: list[Balancer], routes: Routes) -> None:
    """Take note of all that the labels say of load balancers and that is settled here."""
    for balancer in balancers:
        option = balancer.option
        option.take("server", "port")
        for key, why in _SETTLED.items():
            found = option.at(key)
            if found is not None:
                routes.note(found, why, is_kept=True)
        scheme = option.at("server", "scheme")
        if scheme is not None:
            routes.note(scheme, "it is what traefik-bg speaks to replicas", is_kept=True)
        for key in ("weight", "preservepath"):
            found = option.at("server", key)
            if found is not None:
                routes.note(found, "all replicas count the same")

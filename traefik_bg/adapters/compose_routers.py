"""Traefik's routers, services and middlewares of one Compose service, as routes of an app.

Apart from the notation (`compose_labels`) because this is what the labels mean. A router that
leads to the service is a route; one that leads elsewhere, and every middleware, has no place in a
desired state and is handed over for Traefik's own file provider. Facts from Traefik's Docker
provider: which service a router has when it names none, the default rule, and that a priority is
a rule's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from traefik_bg.adapters.compose_labels import Option, is_off, normal, split
from traefik_bg.adapters.compose_rules import modern
from traefik_bg.adapters.compose_values import Note, changed, switched_on, table, word, written
from traefik_bg.adapters.desired_route import EVERY_CONNECTION
from traefik_bg.adapters.desired_tree import Items, Node, Place, Scalar, Table
from traefik_bg.core.errors import DesiredStateError
from traefik_bg.core.matchers import default_priority

PROTOCOLS = ("http", "tcp", "udp")
AMBIGUOUS = "?"  # no service can be called so

_HOST = re.compile(r"\s*Host\(\s*(?:`([^`]*)`|\"([^\"\\]*)\")\s*\)\s*")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_TLS = {"certresolver": "certResolver", "options": "options", "passthrough": "passthrough"}

Qualify = Callable[[str, str], str]
"""Returns how a middleware is known from outside: of which protocol it is, and how called."""


@dataclass(slots=True)
class Router:
    """One router of the labels."""

    protocol: str
    option: Option
    service: str
    """The service it leads to, as the labels of this container have it; empty: one of elsewhere.
    Where it could be any of several, it is `AMBIGUOUS`."""
    port: str = ""
    """Where that service listens, if a label says so."""


@dataclass(slots=True)
class Labelled:
    """What Traefik's labels say of one Compose service."""

    options: Option
    name: str
    """What Traefik calls the container's own service and router when no label names one."""
    routers: list[Router] = field(default_factory=list)
    """Those that lead to the container."""
    foreign: list[Router] = field(default_factory=list)
    """Those that lead elsewhere."""

    @classmethod
    def of(cls, options: Option, service: str, project: str) -> Labelled:
        """Return what these labels say."""
        made = cls(options, normal(f"{service}_{project}"))
        for protocol in PROTOCOLS:
            for option in options.children(protocol, "routers"):
                router = made._router(protocol, option)
                (made.routers if router.service else made.foreign).append(router)
        return made

    def _router(self, protocol: str, option: Option) -> Router:
        services = self.services(protocol)
        asked = option.at("service")
        wanted = asked.value.text.strip() if asked is not None and asked.value is not None else ""
        bare = wanted.removesuffix("@docker")
        own = {name.lower(): name for name in services} or {self.name.lower(): self.name}
        if not wanted:
            found = next(iter(own.values())) if len(own) == 1 else AMBIGUOUS
        else:
            found = own.get(bare.lower(), "")
        port = services[found].at("loadbalancer", "server", "port") if found in services else None
        value = port.value.text.strip() if port is not None and port.value is not None else ""
        return Router(protocol, option, found, value)

    def services(self, protocol: str) -> Mapping[str, Option]:
        """Return the services that the labels define."""
        return {option.name: option for option in self.options.children(protocol, "services")}

    def middlewares(self, protocol: str) -> Mapping[str, Option]:
        """Return the middlewares that the labels define."""
        return {option.name: option for option in self.options.children(protocol, "middlewares")}

    @property
    def is_off(self) -> bool:
        """Tell whether Traefik is told to leave the container alone."""
        enable = self.options.at("enable")
        return enable is not None and is_off(enable)

    @property
    def is_routed(self) -> bool:
        """Tell whether Traefik routes requests to the container."""
        if self.is_off:
            return False
        if self.routers or self.foreign:
            return bool(self.routers)
        has_services = any(self.services(protocol) for protocol in PROTOCOLS)
        return has_services or self.options.at("enable") is not None

    @property
    def network(self) -> Scalar | None:
        """The network in which Traefik reaches the container, as Docker calls it."""
        return self.options.take("docker", "network")


class Routes:
    """The routes of one app being made."""

    def __init__(
        self, labelled: Labelled, variables: Mapping[str, str], qualify: Qualify, place: Place
    ) -> None:
        self._labelled = labelled
        self._variables = variables
        self._qualify = qualify
        self._place = place
        self.notes: list[Note] = []
        self.mistakes: list[DesiredStateError] = []

    def note(self, option: Option, message: str, *, is_kept: bool = False) -> None:
        """Take a note of a label, and of all that follows on it."""
        for leaf in option.leaves():
            if not leaf.is_used and leaf.value is not None:
                leaf.is_used = True
                shown = written(leaf.value)
                self.notes.append(Note(leaf.place, leaf.label, message, shown, is_kept))

    def of(self, routers: list[Router], *, sticky: bool) -> list[Table]:
        """Return a route for each router."""
        made = [self._route(router, sticky=sticky) for router in routers]
        if not self._labelled.routers and self._labelled.is_routed:
            rule = word(f"Host(`{self._labelled.name}`)", self._place)
            entries: dict[str, Node] = {"host": word(self._labelled.name, self._place)}
            made.append(self._finished(entries, rule, rule, "http", None, sticky=sticky))
        return made

    def _route(self, router: Router, *, sticky: bool) -> Table:
        option = router.option
        given = option.take("rule") or word(f"Host(`{self._labelled.name}`)", option.place)
        is_modern = option.text("rulesyntax").lower() == "v3"
        rule = given if is_modern else changed(given, modern, self._variables)
        if rule.text != given.text:
            said = "it is in the syntax of Traefik 2, and said in that of Traefik 3"
            label = option.below["rule"].label
            self.notes.append(Note(given.place, label, said, written(given), is_kept=True))
        entries: dict[str, Node] = {}
        if router.protocol == "tcp":
            entries["tcp"] = rule
        elif (host := self._host(rule)) is not None:
            entries["host"] = host
        else:
            entries["rule"] = rule
        if names := self._names(option, "entrypoints"):
            entries["entrypoints"] = names
        if names := self._names(option, "middlewares", router.protocol):
            entries["middlewares"] = names
        if (tls := self._tls(option)) is not None:
            entries["tls"] = tls
        option.take("service")
        made = self._finished(
            entries, given, rule, router.protocol, option.take("priority"), sticky=sticky
        )
        self.note(option, "has no place in a route")
        return made

    def _finished(
        self,
        entries: dict[str, Node],
        given: Scalar,
        rule: Scalar,
        protocol: str,
        priority: Scalar | None,
        *,
        sticky: bool,
    ) -> Table:
        wanted = _priority(given, rule, protocol, priority)
        if wanted is not None:
            entries["priority"] = wanted
        if sticky and protocol == "http":
            entries["sticky"] = switched_on(given.place)
        return table(given.place, entries)

    def _host(self, rule: Scalar) -> Scalar | None:
        found = _HOST.fullmatch(rule.text)
        host = (found[1] or found[2] or "") if found is not None else ""
        if not host or not host.isascii() or _NAME.fullmatch(host) is None:
            return None
        return changed(
            rule,
            lambda text: _HOST.sub(lambda match: match[1] or match[2] or "", text),
            self._variables,
        )

    def _names(self, option: Option, key: str, protocol: str = "") -> Node | None:
        given = option.take(key)
        names = split(given.text) if given is not None else []
        if given is None or not names:
            return None
        if protocol:
            made = [word(self._qualify(protocol, name), given.place) for name in names]
            return Items(tuple(made), given.place)
        if len(names) == 1 and given.text == names[0]:
            return Items((given,), given.place)
        return Items(tuple(word(name, given.place) for name in names), given.place)

    # --- TLS --------------------------------------------------------------------------------------

    def _tls(self, option: Option) -> Node | None:
        tls = option.at("tls")
        if tls is None:
            return None
        tls.take()
        if is_off(tls):
            tls.use()
            return None
        made: dict[str, Node] = {}
        for key, ours in _TLS.items():
            found = tls.take(key)
            if found is not None and found.text:
                made[ours] = found
        domains = [self._domain(each) for each in tls.children("domains") if each.is_index]
        if domains:
            made["domains"] = Items(tuple(domains), tls.place)
        return table(tls.place, made) if made else switched_on(tls.place)

    def _domain(self, option: Option) -> Table:
        made: dict[str, Node] = {}
        main, sans = option.take("main"), option.take("sans")
        if main is not None:
            made["main"] = main
        if sans is not None:
            made["sans"] = Items(
                tuple(word(name, sans.place) for name in split(sans.text)), sans.place
            )
        return table(option.place, made)


def _priority(given: Scalar, rule: Scalar, protocol: str, said: Scalar | None) -> Scalar | None:
    """Return a priority one above that of Compose's own router; None: ours has that anyway.

    While a container of Compose still runs, both have the same rule, and Traefik would choose.
    """
    number = said.text.strip() if said is not None else ""
    if said is not None and number not in {"", "0"}:
        bare = number.removeprefix("-")
        is_number = bare.isascii() and bare.isdecimal() and len(bare) < 18
        return word(str(int(number) + 1), said.place) if is_number else said
    if protocol == "tcp" and given.text.replace(" ", "") == EVERY_CONNECTION:
        return word("1", given.place)  # theirs is the least there is
    theirs = default_priority(given.text)
    return word(str(theirs + 1), given.place) if default_priority(rule.text) <= theirs else None

"""The schema of a route: by what rule, and on which entry points, Traefik lets requests in.

Apart from the schema of an app because it follows Traefik, whose rules and words it checks as far
as can be known without one. Called by the schema, and for a preview's host by the rollout's.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from traefik_bg.adapters.desired_mapping import Strict
from traefik_bg.adapters.desired_tree import Kind, Scalar
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    Switch,
    Text,
    TextOrTexts,
    Texts,
    contradiction,
    filled,
    mistake,
    switch,
)
from traefik_bg.core.model import Protocol

MAX_PRIORITY = 2**63 - 1001  # above that Traefik keeps priorities for itself
EVERY_CONNECTION = "HostSNI(`*`)"

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_MATCHER = re.compile(r"([A-Za-z]+)\(")
_QUOTED = re.compile(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"")
_HOST_MATCHER = re.compile(r"(?<![A-Za-z])Host\(([^()]*)\)")
_EVERY_CONNECTION = re.compile(r"HostSNI\(\s*(?:`\*`|\"\*\")\s*\)")
_OF_TCP = frozenset({"HostSNI", "HostSNIRegexp", "ClientIP", "ALPN"})
_ONLY_TCP = frozenset({"HostSNI", "HostSNIRegexp", "ALPN"})


# --- hosts and rules ------------------------------------------------------------------------------


def host_rule(host: str) -> str:
    """Return Traefik's rule for a host name."""
    return f"Host(`{host.lower().rstrip('.')}`)"


def hosts_in(rule: str) -> frozenset[str]:
    """Return the host names that a rule names."""
    return frozenset(
        quoted[1:-1].lower().rstrip(".")
        for found in _HOST_MATCHER.finditer(rule)
        for quoted in _QUOTED.findall(found[1])
    )


def _host(host: str) -> str:
    if "://" in host or "/" in host:
        raise mistake(
            f'"{host}" is more than a host name; for a path write rule: '
            "Host(`a.example`) && PathPrefix(`/path`)"
        )
    if host.startswith("*"):
        pattern = re.escape(host.removeprefix("*"))
        raise mistake(f'"{host}" has a wildcard; write rule: HostRegexp(`^[^.]+{pattern}$$`)')
    if not host.isascii():
        raise mistake(f'"{host}" has letters beyond ASCII; write its xn--… form')
    is_long = len(host) > 253 or any(len(label) > 63 for label in host.split("."))
    if is_long or _HOST.fullmatch(host.lower()) is None:
        raise mistake(f'"{host}" is no host name such as web.example.com')
    return host.lower().rstrip(".")


HostName = Annotated[Text, AfterValidator(_host)]


def _matchers(rule: str, such_as: str) -> set[str]:
    """Return the names of a rule's matchers, of which there is at least one."""
    bare = _QUOTED.sub("", rule)
    if "`" in bare or '"' in bare:
        raise mistake("a ` or a double quote in this rule is never closed")
    found = set(_MATCHER.findall(bare))
    if bare.count("(") != bare.count(")") or not found:
        raise mistake(f"is no rule of Traefik such as {such_as}; check its brackets")
    return found


def _rule(rule: str) -> str:
    if wrong := sorted(_matchers(rule, "Host(`a.example`) && PathPrefix(`/path`)") & _ONLY_TCP):
        raise mistake(f"{wrong[0]} matches connections, not requests; write it under tcp instead")
    return rule.strip()


def _tcp(value: Any) -> str:
    """Return the rule of a TCP route; true stands for every connection."""
    if isinstance(value, Scalar) and value.kind is Kind.SWITCH:
        if switch(value):
            return EVERY_CONNECTION
        raise mistake("must be true or a rule such as HostSNI(`db.example.com`); or remove the key")
    rule = filled(value)
    if wrong := sorted(_matchers(rule, "HostSNI(`db.example.com`)") - _OF_TCP):
        raise mistake(
            f"{wrong[0]} matches requests, and a TCP connection has none; Traefik knows HostSNI, "
            "HostSNIRegexp, ClientIP and ALPN here"
        )
    return rule.strip()


def _names(names: list[str]) -> list[str]:
    for index, name in enumerate(names):
        if any(letter.isspace() for letter in name):
            raise mistake(f'"{name}" is no name: it has a space', index)
    return names


# --- TLS ------------------------------------------------------------------------------------------


class Domain(Strict):
    """A domain a certificate is wanted for."""

    main: Text
    sans: Texts = Field(default_factory=list)


class Tls(Strict):
    """How Traefik serves a route by TLS, in Traefik's own words."""

    certResolver: Text | None = None  # noqa: N815 - Traefik's own word
    options: Text | None = None
    domains: list[Domain] | None = None
    passthrough: Switch = False

    @model_validator(mode="after")
    def _is_ended_in_one_place(self) -> Self:
        further = [key for key in ("certResolver", "options", "domains") if getattr(self, key)]
        if self.passthrough and further:
            raise contradiction(
                "the app answers TLS itself where it is passed through, so there is nothing to "
                f"say of it to Traefik: remove {' and '.join(further)}, or passthrough",
                further[0],
            )
        return self


def _tls(value: Any) -> Any:
    """Return a mapping: true asks for TLS with Traefik's defaults, false for none."""
    if isinstance(value, Scalar) and value.kind is not Kind.EMPTY:
        return {} if switch(value) else None
    return value


# --- the route ------------------------------------------------------------------------------------


class RouteSettings(Strict):
    """One way requests, or connections, reach the app."""

    host: HostName | None = None
    rule: Annotated[Text, AfterValidator(_rule)] | None = None
    tcp: Annotated[str, AlsoAs("boolean"), BeforeValidator(_tcp)] | None = None
    entrypoints: Annotated[TextOrTexts, AfterValidator(_names)] = Field(default_factory=list)
    middlewares: Annotated[TextOrTexts, AfterValidator(_names)] = Field(default_factory=list)
    tls: Annotated[Tls | None, AlsoAs("boolean"), BeforeValidator(_tls)] = None
    priority: Annotated[int, Between(1, MAX_PRIORITY)] | None = None
    sticky: Switch = False

    @model_validator(mode="after")
    def _has_one_rule(self) -> Self:
        rules = [key for key in ("host", "rule", "tcp") if getattr(self, key) is not None]
        if len(rules) > 1:
            raise contradiction(
                f"has both {rules[0]} and {rules[1]}; one of them is enough", rules[1]
            )
        if not rules:
            raise contradiction(
                "needs host: a.example, or rule: a rule of Traefik, or tcp: true for connections "
                "that are not HTTP"
            )
        return self

    @model_validator(mode="after")
    def _is_http_or_tcp(self) -> Self:
        if self.tcp is not None:
            self._can_be_tcp()
        elif self.tls is not None and self.tls.passthrough:
            raise contradiction(
                "Traefik sees no requests in what it passes through, so it cannot route by them: "
                "write tcp: HostSNI(`a.example`) instead of host or rule",
                "tls",
                "passthrough",
            )
        return self

    def _can_be_tcp(self) -> None:
        if not self.entrypoints:
            raise contradiction(
                "tcp needs entrypoints: on all of them, which is Traefik's default, it would take "
                "the connections of every other app",
                "tcp",
            )
        if self.sticky:
            raise contradiction(
                "a TCP connection has no cookie to be recognised by; it stays with its replica as "
                "long as it is open",
                "sticky",
            )
        if self.tls is None and _names_hosts(self.traefik_rule):
            raise contradiction(
                "a connection without TLS does not tell which host it is for: write tls: true, "
                f"tls: {{passthrough: true}}, or {EVERY_CONNECTION} for all connections",
                "tcp",
            )

    @property
    def protocol(self) -> Protocol:
        """What the route carries."""
        return Protocol.HTTP if self.tcp is None else Protocol.TCP

    @property
    def traefik_rule(self) -> str:
        """The rule of the router."""
        return self.tcp or self.rule or host_rule(self.host or "")


def _names_hosts(rule: str) -> bool:
    return "HostSNI" in _EVERY_CONNECTION.sub("", rule)

"""The schema of the desired state: what an app is made of, and what its values may be.

This is one of the two doors where strangers' data enters, so pydantic stands at it; everything is
turned into the core's own types at once (`desired_app`). Container settings are in
`desired_container`, single values in `desired_values`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from traefik_bg.adapters.desired_container import ContainerSettings
from traefik_bg.adapters.desired_mapping import Composed, Strict
from traefik_bg.adapters.desired_tree import Kind, Scalar
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    OneOf,
    OneOrMany,
    PositiveSeconds,
    Seconds,
    Switch,
    Text,
    TextOrTexts,
    Texts,
    as_list,
    contradiction,
    mistake,
    switch,
)

MAX_REPLICAS = 1000  # one Linux bridge, and so one Docker network, takes 1023 containers
MAX_PRIORITY = 2**63 - 1001  # above that Traefik keeps priorities for itself

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_MATCHER = re.compile(r"[A-Za-z]+\(")
_QUOTED = re.compile(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"")
_DOMAIN = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9.+_-]*:[0-9a-fA-F]{32,}")


# --- image ----------------------------------------------------------------------------------------


def image_mistake(image: str) -> str | None:
    """Return why a text cannot name an image; None: it can."""
    name, has_digest, image_digest = image.partition("@")
    if has_digest and _IMAGE_DIGEST.fullmatch(image_digest) is None:
        return "what follows the @ is no digest such as sha256:…"
    head, slash, last = name.rpartition("/")
    repository, has_tag, tag = last.partition(":")
    if has_tag and not tag:
        return "the tag after the colon is empty"
    if has_tag and _TAG.fullmatch(tag) is None:
        return "the tag may hold letters, digits, dots, dashes and underscores only"
    parts = (head + slash + repository).split("/")
    if len(parts) > 1 and _is_registry(parts[0]):
        parts = parts[1:]
    if any(_DOMAIN.fullmatch(part) is None for part in parts):
        return "an image's name is lower case, such as ghcr.io/acme/web:1.4.2"
    return None


def _is_registry(part: str) -> bool:
    looks_so = "." in part or ":" in part or part == "localhost" or part != part.lower()
    return looks_so and _REGISTRY.fullmatch(part) is not None


def _image(image: str) -> str:
    if (wrong := image_mistake(image)) is not None:
        raise mistake(f'"{image}" names no image: {wrong}')
    return image


# --- route ----------------------------------------------------------------------------------------


def host_rule(host: str) -> str:
    """Return Traefik's rule for a host name."""
    return f"Host(`{host.lower().rstrip('.')}`)"


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
    if len(host) > 253 or _HOST.fullmatch(host.lower()) is None:
        raise mistake(f'"{host}" is no host name such as web.example.com')
    return host.lower()


def _rule(rule: str) -> str:
    bare = _QUOTED.sub("", rule)
    if "`" in bare or '"' in bare:
        raise mistake("a ` or a double quote in this rule is never closed")
    if bare.count("(") != bare.count(")") or _MATCHER.search(bare) is None:
        raise mistake(
            "is no rule of Traefik such as Host(`a.example`) && PathPrefix(`/path`); check its "
            "brackets"
        )
    return rule.strip()


def _names(names: list[str]) -> list[str]:
    for index, name in enumerate(names):
        if any(letter.isspace() for letter in name):
            raise mistake(f'"{name}" is no name: it has a space', index)
    return names


class Domain(Strict):
    """A domain a certificate is wanted for."""

    main: Text
    sans: Texts = Field(default_factory=list)


class Tls(Strict):
    """How Traefik serves a route by HTTPS, in Traefik's own words."""

    certResolver: Text | None = None  # noqa: N815 - Traefik's own word
    options: Text | None = None
    domains: list[Domain] | None = None


def _tls(value: Any) -> Any:
    """Return a mapping: true asks for HTTPS with Traefik's defaults, false for none."""
    if isinstance(value, Scalar) and value.kind is not Kind.EMPTY:
        return {} if switch(value) else None
    return value


class RouteSettings(Strict):
    """One way requests reach the app."""

    host: Annotated[Text, AfterValidator(_host)] | None = None
    rule: Annotated[Text, AfterValidator(_rule)] | None = None
    entrypoints: Annotated[TextOrTexts, AfterValidator(_names)] = Field(default_factory=list)
    middlewares: Annotated[TextOrTexts, AfterValidator(_names)] = Field(default_factory=list)
    tls: Annotated[Tls | None, AlsoAs("boolean"), BeforeValidator(_tls)] = None
    priority: Annotated[int, Between(1, MAX_PRIORITY)] | None = None
    sticky: Switch = False

    @model_validator(mode="after")
    def _has_host_or_rule(self) -> Self:
        if self.host is not None and self.rule is not None:
            raise contradiction("has both host and rule; one of them is enough", "rule")
        if self.host is None and self.rule is None:
            raise contradiction("needs host: a.example, or rule: a rule of Traefik")
        return self

    @property
    def traefik_rule(self) -> str:
        """The rule of the router."""
        return self.rule if self.rule is not None else host_rule(self.host or "")


# --- health and rollout ---------------------------------------------------------------------------


def _path(path: str) -> str:
    if not path.startswith("/") or any(letter.isspace() for letter in path):
        raise mistake(f'"{path}" is no path; it begins with / and has no spaces')
    return path


class HealthSettings(Strict):
    """When a replica counts as healthy."""

    path: Annotated[Text, AfterValidator(_path)] | None = None
    interval: PositiveSeconds = 0.25
    timeout: PositiveSeconds = 2.0
    rise: Annotated[int, Between(1, 1000)] = 1
    fall: Annotated[int, Between(1, 1000)] = 3
    deadline: PositiveSeconds = 60.0

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if (self.rise - 1) * self.interval >= self.deadline:
            raise contradiction(
                f"rise: {self.rise} successes, one every {self.interval:g}s, take longer than the "
                f"deadline of {self.deadline:g}s: no replica could ever become healthy",
                "rise",
            )
        return self


class StepSettings(Strict):
    """One shift of a canary."""

    weight: Annotated[int, Between(1, 99, "a whole number of percent from 1 to 99")] = Field(
        description="percent of the requests for the new version"
    )
    pause: Seconds = Field(description="how long to stay there, such as 30s")


def _ascending(steps: list[StepSettings]) -> list[StepSettings]:
    for index, step in enumerate(steps[1:], start=1):
        before = steps[index - 1].weight
        if step.weight <= before:
            raise mistake(
                f"weights must rise from step to step, but {step.weight} follows {before}",
                index,
                "weight",
            )
    return steps


class RolloutSettings(Strict):
    """How traffic moves from the old version to the new one."""

    strategy: Annotated[str, OneOf("blue-green", "canary")] | None = None
    steps: Annotated[list[StepSettings], AfterValidator(_ascending)] = Field(default_factory=list)
    bake: Seconds = 30.0
    drain: Seconds = 30.0
    approval: Annotated[str, OneOf("automatic", "manual")] = "automatic"

    @model_validator(mode="before")
    @classmethod
    def _is_of_this_version(cls, value: Any) -> Any:
        strategy = value.get("strategy") if isinstance(value, Mapping) else None
        if isinstance(strategy, Scalar) and strategy.text == "recreate":
            raise mistake("recreate is not supported by this version of traefik-bg", "strategy")
        return value

    @model_validator(mode="after")
    def _has_steps_if_it_needs_them(self) -> Self:
        if self.strategy == "blue-green" and self.steps:
            raise contradiction(
                "blue-green moves all traffic at once, so steps contradict it: write strategy: "
                "canary, or steps: [] to undo those of the defaults",
                "strategy",
            )
        if self.strategy == "canary" and not self.steps:
            raise contradiction(
                "canary needs steps, such as steps: [{weight: 5, pause: 30s}]", "strategy"
            )
        return self


# --- the app --------------------------------------------------------------------------------------


class EnvFileSettings(Composed):
    """One file of environment variables."""

    path: Text
    required: Switch = True
    format: Annotated[str, OneOf("raw")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"path": value}


def _replicas(value: Any) -> Any:
    if isinstance(value, Scalar) and value.text == "0":
        raise mistake(
            "0 would leave nothing to serve: remove the app to stop it, or write hold: true to "
            "leave it alone"
        )
    return value


class AppSettings(ContainerSettings):
    """One app: what runs, where requests come from, when it is healthy, how it is replaced."""

    own_keys = frozenset({"image", "port", "replicas", "route", "health", "rollout", "hold"})

    image: Annotated[Text, AfterValidator(_image)] = Field(
        description="what to run, such as ghcr.io/acme/web:1.4.2"
    )
    port: Annotated[int, Between(1, 65535, "a port from 1 to 65535")] = Field(
        description="the port the app listens on in its container, such as 8000"
    )
    replicas: Annotated[int, Between(1, MAX_REPLICAS), BeforeValidator(_replicas)] = 1
    route: Annotated[list[RouteSettings], OneOrMany(), BeforeValidator(as_list)] = Field(
        description="host: a.example, or route: [] for an app that gets no requests from outside"
    )
    health: HealthSettings = HealthSettings()
    rollout: RolloutSettings = RolloutSettings()
    hold: Switch = False
    env_file: Annotated[
        list[Annotated[EnvFileSettings, AlsoAs("string")]], OneOrMany(), BeforeValidator(as_list)
    ] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_sticky_or_not(self) -> Self:
        if len({route.sticky for route in self.route}) > 1:
            raise contradiction("sticky must be the same in all routes of an app", "route")
        return self


CONTAINER_KEYS = frozenset(ContainerSettings.model_fields)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a desired file, for editors and for `traefik-bg schema`."""
    app = AppSettings.model_json_schema()
    definitions = app.pop("$defs")
    app.pop("required", None)  # any key may come from the defaults instead
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "traefik-bg: desired state",
        "type": "object",
        "properties": {
            "defaults": {"$ref": "#/$defs/App"},
            "apps": {
                "type": "object",
                "patternProperties": {"^[a-z0-9][a-z0-9-]{0,40}$": {"$ref": "#/$defs/App"}},
                "additionalProperties": False,
            },
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "$defs": {**definitions, "App": app},
    }

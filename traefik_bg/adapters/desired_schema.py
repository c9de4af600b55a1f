"""The schema of the desired state: what an app is made of, and what its values may be.

This is one of the two doors where strangers' data enters, so pydantic stands at it; everything is
turned into the core's own types at once (`desired_app`). Container settings are in
`desired_container`, routes in `desired_route`, how versions take over in `desired_rollout`, single
values in `desired_values`; what of all this does not go together is in `desired_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from traefik_bg.adapters.desired_adopt import AdoptSettings
from traefik_bg.adapters.desired_container import ContainerSettings
from traefik_bg.adapters.desired_declarations import MODELS
from traefik_bg.adapters.desired_hooks import HooksSettings
from traefik_bg.adapters.desired_mapping import Composed, Strict, has_no_effect
from traefik_bg.adapters.desired_rollout import RolloutSettings
from traefik_bg.adapters.desired_route import RouteSettings
from traefik_bg.adapters.desired_tree import Scalar
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    OneOf,
    OneOrMany,
    OrOff,
    PositiveSeconds,
    Switch,
    Text,
    TextOrTexts,
    as_list,
    contradiction,
    mistake,
    text,
)
from traefik_bg.core.model import Protocol
from traefik_bg.core.tags import why_not_followed

SHORTEST_POLL = 10.0  # seconds; registries count questions, and some of them refuse too many
MAX_REPLICAS = 1000  # one Linux bridge, and so one Docker network, takes 1023 containers

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


# --- health ---------------------------------------------------------------------------------------


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


# --- update ---------------------------------------------------------------------------------------


class UpdateSettings(Strict):
    """How the tag of the image is followed."""

    poll: PositiveSeconds = Field(
        description="how often its registry is asked what the tag means, such as 5m"
    )

    @model_validator(mode="after")
    def _is_polite(self) -> Self:
        if self.poll < SHORTEST_POLL:
            raise contradiction(
                f"poll: asks the registry more often than every {SHORTEST_POLL:g}s; to deploy at "
                "once, have whoever pushes say so: POST /api/apps/APP/update",
                "poll",
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


def _pull_policy(value: Any) -> str:
    policy = text(value)
    if policy in {"missing", "if_not_present"}:
        return policy
    if policy == "never":
        raise mistake("never is not supported: an image that is not on this machine is pulled")
    if policy == "build":
        raise mistake("build is not done here: build and tag the image first")
    raise mistake(
        f'"{policy}" is not supported: an image is pulled when it is not on this machine, so that '
        "all replicas of a version are the same; use a new tag for each version, or a digest"
    )


class AppSettings(ContainerSettings):
    """One app: what runs, where requests come from, when it is healthy, how it is replaced."""

    own_keys = frozenset(
        {
            "image",
            "port",
            "replicas",
            "route",
            "health",
            "rollout",
            "hooks",
            "update",
            "hold",
            "adopt",
        }
    )

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
    hooks: HooksSettings = HooksSettings()
    update: Annotated[UpdateSettings | None, OrOff()] = None
    hold: Switch = False
    adopt: Annotated[AdoptSettings | None, OrOff(), AlsoAs("string")] = None
    env_file: Annotated[
        list[Annotated[EnvFileSettings, AlsoAs("string")]], OneOrMany(), BeforeValidator(as_list)
    ] = Field(default_factory=list)
    label_file: TextOrTexts = Field(default_factory=list)
    pull_policy: Annotated[str, BeforeValidator(_pull_policy)] | None = None

    @model_validator(mode="after")
    def _has_a_tag_to_follow(self) -> Self:
        if self.update is not None and (why := why_not_followed(self.image)) is not None:
            raise contradiction(f"{why}, or write update: false", "update")
        return self

    @model_validator(mode="after")
    def _has_like_routes(self) -> Self:
        if len({route.protocol for route in self.route}) > 1:
            raise contradiction(
                "an app is reached by requests or by TCP connections, not by both: its replicas "
                "listen on one port; write another app for the other",
                "route",
            )
        if len({route.sticky for route in self.route}) > 1:
            raise contradiction("sticky must be the same in all routes of an app", "route")
        return self

    @property
    def is_tcp(self) -> bool:
        """Tell whether it is reached by connections that are not HTTP."""
        return any(route.protocol is Protocol.TCP for route in self.route)


CONTAINER_KEYS = frozenset(
    key for key in ContainerSettings.model_fields if not has_no_effect(ContainerSettings, key)
)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a desired file, for editors and for `traefik-bg schema`."""
    app = AppSettings.model_json_schema()
    definitions = app.pop("$defs")
    for mergeable in (app, definitions["MirrorSettings"]):
        mergeable.pop("required", None)  # any key may come from the defaults instead
    app["properties"] |= {"extends": _EXTENDS, "compose": _COMPOSE}
    names = {section: model.__name__ for section, model in MODELS.items()}
    definitions |= {model.__name__: model.model_json_schema() for model in MODELS.values()}
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
            **{section: _named(f"#/$defs/{name}") for section, name in names.items()},
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "$defs": {**definitions, "App": app},
    }


_COMPOSE: Mapping[str, Any] = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in ("file", "folder", "project", "service")},
    "required": ["file", "service"],
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}
_EXTENDS: Mapping[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"file": {"type": "string"}, "service": {"type": "string"}},
            "required": ["service"],
            "patternProperties": {"^x-": {}},
            "additionalProperties": False,
        },
    ]
}


def _named(reference: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"anyOf": [{"$ref": reference}, _NOTHING]}}


_NOTHING = {"type": "null"}

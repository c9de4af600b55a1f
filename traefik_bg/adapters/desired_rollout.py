"""The schema of a rollout: how the new version takes over from the old one.

Apart from the schema of an app because all of it is about one question. What it has in common with
routes and health is in `desired_rules`; its analysis is in `desired_analysis`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from traefik_bg.adapters.desired_analysis import AnalysisSettings
from traefik_bg.adapters.desired_mapping import Strict
from traefik_bg.adapters.desired_route import HostName
from traefik_bg.adapters.desired_tree import Scalar
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    OneOf,
    OrOff,
    PositiveSeconds,
    Seconds,
    contradiction,
    mistake,
    scalar,
)
from traefik_bg.core.rollout import Approval, Sessions

RECREATE = "recreate"

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")  # of RFC 9110, less the backtick
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-_a-~]+")  # of RFC 6265, less the backtick


# --- steps ----------------------------------------------------------------------------------------


class StepSettings(Strict):
    """One shift of a canary."""

    weight: Annotated[int, Between(1, 99, "a whole number of percent from 1 to 99")] = Field(
        description="percent of the requests for the new version"
    )
    pause: Seconds | None = None
    until: Annotated[str, OneOf("approval")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_whole(cls, value: Any) -> Any:
        if isinstance(value, Scalar):
            raise mistake(f"must be a step such as {{weight: 25, pause: 30s}}, not {value.shown}")
        return value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.pause is None and self.until is None:
            raise mistake(
                "pause is missing: write how long to stay there, such as 30s, or until: approval"
            )
        return self


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


# --- preview and mirror ---------------------------------------------------------------------------


def _header(value: Any) -> str:
    """Return a header as NAME: VALUE, its name as Traefik compares it."""
    name, has_value, wanted = scalar(value, 'text such as "X-Preview: green"').text.partition(":")
    name, wanted = name.strip(), wanted.strip()
    if not has_value or _TOKEN.fullmatch(name) is None:
        raise mistake('must be the name of a header and a value, such as "X-Preview: green"')
    if name.lower() == "host":
        raise mistake("the host is no header for Traefik; write host: preview.example.com")
    if name.lower() == "cookie":
        raise mistake('write cookie: "preview=green" instead, which finds it among other cookies')
    if not wanted or "`" in wanted or not wanted.isascii() or not wanted.isprintable():
        raise mistake(
            "the value of the header must be plain ASCII text without backticks; a rule of Traefik "
            "cannot hold anything else"
        )
    return f"{'-'.join(part.capitalize() for part in name.split('-'))}: {wanted}"


def _cookie(value: Any) -> str:
    """Return a cookie as NAME=VALUE."""
    name, has_value, wanted = scalar(value, 'text such as "preview=green"').text.partition("=")
    name, wanted = name.strip(), wanted.strip()
    if not has_value or _TOKEN.fullmatch(name) is None:
        raise mistake('must be the name of a cookie and a value, such as "preview=green"')
    if _COOKIE_VALUE.fullmatch(wanted) is None:
        raise mistake(
            "the value of the cookie must be plain ASCII text without spaces, quotes, backticks, "
            "commas, semicolons and backslashes"
        )
    return f"{name}={wanted}"


_STRING = WithJsonSchema({"type": "string"})


class PreviewSettings(Strict):
    """By what a request says that it wants green."""

    header: Annotated[str, BeforeValidator(_header), _STRING] | None = None
    cookie: Annotated[str, BeforeValidator(_cookie), _STRING] | None = None
    host: HostName | None = None

    @model_validator(mode="after")
    def _can_be_asked_for(self) -> Self:
        if self.header is None and self.cookie is None and self.host is None:
            raise contradiction(
                'needs header: "X-Preview: green", cookie: "preview=green" or '
                "host: preview.example.com"
            )
        return self


class MirrorSettings(Strict):
    """Copies of requests for green before it takes traffic."""

    percent: Annotated[int, Between(1, 100, "a whole number of percent from 1 to 100")] = Field(
        description="percent of the requests to copy, such as 10"
    )
    pause: PositiveSeconds = 30.0
    methods: Annotated[str, OneOf("safe", "all")] = "safe"

    @model_validator(mode="before")
    @classmethod
    def _from_percent(cls, value: Any) -> Any:
        return {"percent": value} if isinstance(value, Scalar) else value


# --- the rollout ----------------------------------------------------------------------------------


class RolloutSettings(Strict):
    """How traffic moves from the old version to the new one."""

    strategy: Annotated[str, OneOf("blue-green", "canary", RECREATE)] | None = None
    steps: Annotated[list[StepSettings], AfterValidator(_ascending)] = Field(default_factory=list)
    bake: Seconds = 30.0
    drain: Seconds = 30.0
    approval: Annotated[str, OneOf(*Approval)] = Approval.AUTOMATIC.value
    analysis: Annotated[AnalysisSettings | None, OrOff()] = None
    preview: Annotated[PreviewSettings | None, OrOff()] = None
    sessions: Annotated[str, OneOf(*Sessions)] = Sessions.MOVE.value
    mirror: Annotated[MirrorSettings | None, OrOff(), AlsoAs("integer")] = None
    hold_requests: PositiveSeconds | None = None

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

    @model_validator(mode="after")
    def _runs_one_or_two_versions(self) -> Self:
        if self.strategy != RECREATE and self.hold_requests is not None:
            raise contradiction(
                "requests are held only where nothing serves for a moment: write strategy: "
                f"{RECREATE}, or remove hold_requests",
                "hold_requests",
            )
        if self.strategy == RECREATE and (together := self._wants_two_versions()):
            raise contradiction(
                f"{RECREATE} runs one version at a time, and there is no second one for "
                f"{' and '.join(together)}: write another strategy, or remove what wants two "
                f"({' and '.join(together.values())} to undo the defaults)",
                "strategy",
            )
        return self

    def _wants_two_versions(self) -> Mapping[str, str]:
        """Return what both versions have to run for, and how it is undone."""
        undone = {
            "steps": ("steps: []", bool(self.steps)),
            "preview": ("preview: false", self.preview is not None),
            "mirror": ("mirror: false", self.mirror is not None),
            "sessions: keep": ("sessions: move", self.sessions == Sessions.KEEP),
        }
        return {key: undo for key, (undo, is_wanted) in undone.items() if is_wanted}

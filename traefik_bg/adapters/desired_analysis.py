"""The schema of an analysis: the limits for green's answers, and the checks that ask elsewhere.

Apart from the rest of the rollout because it is a small language of its own. What stands between
braces, such as {service}, is left as it is: whoever asks fills it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from traefik_bg.adapters.desired_mapping import Strict
from traefik_bg.adapters.desired_values import (
    Between,
    Factor,
    OneOf,
    PositiveSeconds,
    Ratio,
    Seconds,
    Signed,
    Text,
    Words,
    contradiction,
    mistake,
)
from traefik_bg.core.rollout import Analysis, Inconclusive

LIMITS = ("max_error_ratio", "max_p50", "max_p95", "max_p99", "worse_than_blue")
"""What is asked of Traefik's own figures."""

_CHECK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ASKED = ("query", "webhook", "command")
_STANDARD = Analysis()


# --- checks ---------------------------------------------------------------------------------------


def _url(example: str) -> Callable[[str], str]:
    def checked(url: str) -> str:
        if not _is_url(url):
            raise mistake(f"must be a URL such as {example}")
        return url

    return checked


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0  # raises for what is no port
    except ValueError:
        return False
    is_whole = text.isprintable() and not any(letter.isspace() for letter in text)
    return is_whole and has_port and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _check_name(name: str) -> str:
    if _CHECK_NAME.fullmatch(name) is None:
        raise mistake(
            "must be a name such as error-rate: at most 63 letters, digits, dashes, dots and "
            "underscores, and a letter or a digit first"
        )
    return name


def _filled(command: list[str]) -> list[str]:
    if not command or not command[0].strip():
        raise mistake("is empty: write a command such as [./check.sh, --strict]")
    return command


class CheckSettings(Strict):
    """A question that Traefik's figures cannot answer."""

    name: Annotated[Text, AfterValidator(_check_name)] = Field(
        description="what it is called in reasons, such as error-rate"
    )
    query: Text | None = None
    prometheus: (
        Annotated[
            Text, AfterValidator(_url("http://prometheus:9090")), AfterValidator(_without_slash)
        ]
        | None
    ) = None
    min: Signed | None = None
    max: Signed | None = None
    webhook: Annotated[Text, AfterValidator(_url("https://ci.example.com/gate"))] | None = None
    command: Annotated[Words, AfterValidator(_filled)] | None = None
    interval: PositiveSeconds = 10.0
    timeout: PositiveSeconds = 10.0

    @model_validator(mode="after")
    def _asks_one(self) -> Self:
        asked = [key for key in _ASKED if getattr(self, key) is not None]
        if not asked:
            raise mistake("needs query, webhook or command: whom it asks")
        if len(asked) > 1:
            raise mistake(
                f"has both {asked[0]} and {asked[1]}; a check asks one of them, so write two",
                asked[1],
            )
        return self

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if self.query is None:
            for key in ("prometheus", "min", "max"):
                if getattr(self, key) is not None:
                    raise mistake("belongs to query, and this check has none", key)
            return self
        if self.prometheus is None:
            raise mistake(
                "query needs prometheus: whom to ask, such as http://prometheus:9090", "query"
            )
        if self.min is None and self.max is None:
            raise mistake("query needs max or min: between which its result is fine", "query")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise mistake("is above max, so no result could be fine", "min")
        return self


def _named_apart(checks: list[CheckSettings]) -> list[CheckSettings]:
    names: set[str] = set()
    for index, check in enumerate(checks):
        if check.name in names:
            raise mistake("another check of this list has this name", index, "name")
        names.add(check.name)
    return checks


# --- analysis -------------------------------------------------------------------------------------


class AnalysisSettings(Strict):
    """What green must show while it has traffic."""

    max_error_ratio: Ratio | None = None
    max_p50: PositiveSeconds | None = None
    max_p95: PositiveSeconds | None = None
    max_p99: PositiveSeconds | None = None
    worse_than_blue: Factor | None = None
    min_requests: Annotated[int, Between(1, 1_000_000)] = _STANDARD.min_requests
    window: PositiveSeconds = _STANDARD.window
    max_wait: Seconds = _STANDARD.max_wait
    inconclusive: Annotated[str, OneOf(*Inconclusive)] = _STANDARD.inconclusive.value
    checks: Annotated[list[CheckSettings], AfterValidator(_named_apart)] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _judges_by_something(self) -> Self:
        if not self.limits and not self.checks:
            raise contradiction(
                "says nothing to judge by: write a limit, such as max_error_ratio: 1% or max_p95: "
                "500ms, or checks"
            )
        return self

    @property
    def limits(self) -> list[str]:
        """The limits that are set."""
        return [key for key in LIMITS if getattr(self, key) is not None]

"""What a container may use of its machine, in Compose's words: limits, devices, graphics cards.

Apart from the other container settings because each of these is a small section of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from traefik_bg.adapters.desired_mapping import Composed, NoEffect
from traefik_bg.adapters.desired_tree import Scalar
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    Number,
    Pairs,
    Size,
    Text,
    Texts,
    mistake,
    scalar,
    seconds,
    size,
)


class _Limits(Composed):
    cpus: Number | None = None
    memory: Size | None = None
    pids: Annotated[int, Between(-1)] | None = None


def _count(value: Any) -> str | int:
    found = scalar(value, "a number or all")
    return found.text if found.text == "all" else int(Between(1, 10**6).convert(value))


class _Cards(Composed):
    driver: Text | None = None
    count: Annotated[str | int, BeforeValidator(_count)] | None = None
    device_ids: Texts | None = None
    capabilities: Texts | None = None
    options: Pairs | None = None

    @model_validator(mode="after")
    def _has_one_choice(self) -> Self:
        if self.count is not None and self.device_ids:
            raise mistake("count and device_ids say the same in two ways: write one of them")
        return self


class _Reservation(_Cards):
    capabilities: Texts


class _Reserved(Composed):
    cpus: NoEffect = None
    memory: Size | None = None
    devices: list[_Reservation] | None = None


class _Resources(Composed):
    limits: _Limits | None = None
    reservations: _Reserved | None = None


class Deploy(Composed):
    """What of Compose's deploy section one Docker host can do."""

    resources: _Resources | None = None


# --- graphics cards -------------------------------------------------------------------------------


def _gpus(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if scalar(value, "all, or a list").text == "all":
        return [{"count": "all"}]
    raise mistake("must be all, or a list of cards")


Gpus = Annotated[list[_Cards], AlsoAs("string"), BeforeValidator(_gpus)]
"""The graphics cards a container gets."""


# --- block devices --------------------------------------------------------------------------------


class _Rate(Composed):
    path: Text
    rate: Size


class _Weight(Composed):
    path: Text
    weight: Annotated[int, Between(10, 1000)]


class Blkio(Composed):
    """How much of its block devices a container may use."""

    weight: Annotated[int, Between(10, 1000)] | None = None
    weight_device: list[_Weight] | None = None
    device_read_bps: list[_Rate] | None = None
    device_read_iops: list[_Rate] | None = None
    device_write_bps: list[_Rate] | None = None
    device_write_iops: list[_Rate] | None = None


# --- single values --------------------------------------------------------------------------------


def _microseconds(value: Any) -> int:
    """Return a time in microseconds, which a bare number counts."""
    found = scalar(value, "microseconds, or a duration such as 950ms")
    is_bare = found.text.isdecimal()
    return int(found.text) if is_bare else round(seconds(value) * 1e6)


def _swap(value: Any) -> int:
    return -1 if isinstance(value, Scalar) and value.text == "-1" else size(value)


_TEXT_OR_NUMBER = WithJsonSchema({"type": ["string", "number"]})
Microseconds = Annotated[int, BeforeValidator(_microseconds), _TEXT_OR_NUMBER]
Swap = Annotated[int, BeforeValidator(_swap), _TEXT_OR_NUMBER]
"""A size; -1 for as much as there is."""

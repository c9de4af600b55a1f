"""Reads the notations of the Compose specification: durations, sizes, and its either-or lists.

Apart from the settings because each is a small language of its own, with its own tests. Every
function raises `ValueError` or `TypeError` with words that show what would work.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

ApiVersion = tuple[int, int]
"""A version of Docker's API."""

NEWEST: ApiVersion = (1, 999)

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def seconds(value: Any) -> float:
    """Return a duration such as "1m30s" in seconds; a bare number counts as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).replace(" ", "")
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{value!r} is not a duration; write it like 1m30s or 500ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def nanoseconds(value: Any) -> int:
    """Return a duration in Docker's own unit."""
    return round(seconds(value) * 1e9)


def whole_seconds(value: Any) -> int:
    """Return a duration in seconds, rounded up: a grace period is never made shorter."""
    return math.ceil(seconds(value))


def size(value: Any) -> int:
    """Return a size such as "512m" in bytes; a bare number counts as bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size; write it like 512m or 1.5g")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def nano_cpus(value: Any) -> int:
    """Return a number of CPUs in Docker's own unit."""
    try:
        return round(float(value) * 1e9)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number of CPUs; write it like 0.5") from None


def text(value: Any) -> str:
    """Return a YAML scalar as the string Compose makes of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError("expected one value, not a list or a mapping")


def words(value: Any) -> list[str]:
    """Return a command: a list as it is, a string split as a shell would."""
    if isinstance(value, str):
        return shlex.split(value)
    return texts(value, single=False)


def texts(value: Any, *, single: bool = True) -> list[str]:
    """Return a list of strings; one string alone counts as a list of one."""
    if single and isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return [text(item) for item in value]


def pairs(value: Any, separator: str = "=") -> dict[str, str | None]:
    """Return names and values, written as a mapping or as a list of NAME=VALUE."""
    if isinstance(value, Mapping):
        return {str(name): None if item is None else text(item) for name, item in value.items()}
    found: dict[str, str | None] = {}
    for item in texts(value, single=False):
        name, present, rest = item.partition(separator)
        found[name] = rest if present else None
    return found


def strings(value: Any) -> dict[str, str]:
    """Return names and values; a name without a value has an empty one."""
    return {name: item or "" for name, item in pairs(value).items()}

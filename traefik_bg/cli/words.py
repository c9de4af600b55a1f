"""The words and shapes that all that is shown to people shares: numbers, durations, tables."""

from __future__ import annotations

from rich.console import OverflowMethod
from rich.table import Table

NONE = "-"  # stands where there is nothing to say
DIGEST_LENGTH = 12  # hex digits of a digest where it is one column of many, as Docker shows it


def table(*columns: str) -> Table:
    """Return an empty table in the style of all."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        is_last = number == len(columns) - 1
        overflow: OverflowMethod = "fold" if is_last else "ellipsis"
        made.add_column(column.upper(), no_wrap=not is_last, overflow=overflow)
    return made


def shortened(image: str) -> str:
    """Return an image's name with no more of its digest than people compare."""
    name, at, digest = image.partition("@")
    return f"{name}{at}{digest[: len('sha256:') + DIGEST_LENGTH]}"


def duration(seconds: float) -> str:
    """Return a duration in at most two units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def latency(seconds: float | None, slowest: float | None) -> str:
    """Return a latency; one at which Traefik's buckets end may be any higher one."""
    if seconds is None:
        return NONE
    if seconds >= 1:
        text = f"{seconds:.3g} s"
    else:
        text = f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"
    return f"≥ {text}" if slowest is not None and seconds >= slowest else text


def percent(ratio: float) -> str:
    """Return a fraction of 1 as a percentage with two digits that mean something."""
    number = 100 * ratio
    return f"{number:.0f} %" if number >= 9.95 else f"{number:.2g} %"


def replicas(count: int) -> str:
    """Return how many replicas, in words."""
    return "1 replica" if count == 1 else f"{count} replicas"

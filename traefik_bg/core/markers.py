"""The marker: what names the published document, so that one request tells which one Traefik runs.

A middleware carries it, which Traefik's API shows and a router of its own answers with where the
API is off. Written by `traffic`, read back by the router adapter. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traefik_bg.core.names import OURS

HEADER = "X-Traefik-Bg"
HOST = "traefik-bg.internal"
PATH = "/loaded"

_PRIORITY = 1_000_000  # beats every rule: their default priority is their length


def text(content: str, serial: int) -> str:
    """Return the marker of a document: the digest of its content, and which one it was."""
    return f"{content}-{serial}"


def content(marker: str) -> str:
    """Return the part of a marker that is equal for documents of equal content."""
    return marker.rpartition("-")[0]


def serial(marker: str) -> int:
    """Return the serial number in a marker; 0 when there is none."""
    number = marker.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def middleware(marker: str) -> dict[str, Any]:
    """Return the middleware that carries a marker."""
    return {"headers": {"customResponseHeaders": {HEADER: marker}}}


def found_in(middleware: Mapping[str, Any]) -> str:
    """Return the marker a middleware carries; empty when there is none."""
    headers = middleware.get("headers") or {}
    found = (headers.get("customResponseHeaders") or {}).get(HEADER)
    return found if isinstance(found, str) else ""


def router() -> dict[str, Any]:
    """Return the router that answers with the marker."""
    return {
        "rule": f"Host(`{HOST}`) && Path(`{PATH}`)",
        "service": "noop@internal",
        "middlewares": [OURS],
        "priority": _PRIORITY,
    }

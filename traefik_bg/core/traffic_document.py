"""The document that Traefik reads, as plain data.

Apart from who writes it and who reads it, so that both mean the same. Pure.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
"""A Traefik dynamic configuration, or a part of one, as plain data."""

NOTES = "notes"
"""Where a middleware that nobody uses holds what Traefik has no field for."""


def section(document: Document, name: str, protocol: str = "http") -> Document:
    """Return a section of a document; empty when it is not there.

    Raises:
        ValueError: it is something else.
    """
    found = (document.get(protocol) or {}).get(name) or {}
    if not isinstance(found, dict):
        raise ValueError(f"its {name} are not a mapping")  # noqa: TRY004 - to callers it is a value
    return found


def headers(values: dict[str, str]) -> Document:
    """Return a middleware with these headers, which only says something."""
    return {"headers": {"customResponseHeaders": values}}

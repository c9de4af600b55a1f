"""What the Traefiks that read our document can do, by their versions.

A field that an older Traefik does not know makes it refuse the whole document, so what is not
known to be there is not used. The router adapter asks the versions; `traffic.render` obeys. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What every Traefik that reads the document can do; what is not known is off."""

    retry: bool = False
    """Try another replica while no byte was sent: safe for every method."""
    guard: bool = False
    """Fail over by the status of an answer."""


def features_of(versions: Iterable[str]) -> Features:
    """Return what all Traefiks of these versions can do; nothing if one is not known."""
    found = [_version(text) for text in versions]
    if not found or None in found:
        return Features()
    numbers = [version for version in found if version is not None]
    return Features(
        # 3.7.0 to 3.7.7 panic when a websocket meets the retry middleware (traefik#13520).
        retry=all(version < (3, 7, 0) or version >= (3, 7, 8) for version in numbers),
        guard=all(version >= (3, 7, 0) for version in numbers),
    )


def _version(text: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(-.+)?", text)
    if match is None:
        return None
    major, minor, patch, prerelease = match.groups()
    version = (int(major), int(minor), int(patch))
    return None if prerelease and version == (3, 7, 0) else version  # half of 3.7.0, unknown which

"""What the Traefiks that read our document can do, by their versions.

A field that an older Traefik does not know makes it refuse the whole document, so what is not
known to be there is not used. The router adapter asks the versions, and for the entry point by
which requests can be held; `traffic.render` obeys. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What every Traefik that reads the document can do; what is not known is off."""

    retry: bool = False
    """Try another replica while no byte was sent: safe for every method."""
    guard: bool = False
    """Fail over by the status of an answer."""
    hold: str = ""
    """The URL by which each Traefik reaches itself, so that requests can wait; empty: none."""


def features_of(versions: Iterable[str], loops: Iterable[str] = ()) -> Features:
    """Return what all Traefiks of these versions can do; nothing if one is not known.

    `loops` are the URLs by which they reach themselves; they must agree, because all of them read
    one document.
    """
    found = [_version(text) for text in versions]
    if not found or None in found:
        return Features()
    numbers = [version for version in found if version is not None]
    # 3.7.0 to 3.7.7 panic when a websocket meets the retry middleware (traefik#13520).
    retry = all(version < (3, 7, 0) or version >= (3, 7, 8) for version in numbers)
    # Failover and retry by status are of 3.7.0.
    guard = all(version >= (3, 7, 0) for version in numbers)
    urls = set(loops)
    is_agreed = retry and guard and len(urls) == 1
    return Features(retry=retry, guard=guard, hold=urls.pop() if is_agreed else "")


def loop_of(entrypoint: Mapping[str, Any]) -> tuple[str, str]:
    """Return the URL by which a Traefik reaches itself, or why this entry point is not for that.

    Who reaches the entry point goes past the middlewares of the routes, so it must be reachable
    from Traefik's own host alone; and what it says of the client must be believed there.
    """
    host, _, port = str(entrypoint.get("address") or "").partition("/")[0].rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
        is_loopback = address.is_loopback and port.isdigit()
    except ValueError:
        is_loopback = False
    if not is_loopback:
        return "", "its address is not one of 127.0.0.1, which others cannot reach"
    http = entrypoint.get("http") or {}
    if http.get("tls") or http.get("redirections"):
        return "", "it is not for plain HTTP"
    forwarded = entrypoint.get("forwardedHeaders") or {}
    trusted = forwarded.get("trustedIPs") or ()
    if not forwarded.get("insecure") and not any(_holds(text, str(address)) for text in trusted):
        return "", f"its forwardedHeaders.trustedIPs lack {address}"
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"http://{shown}:{port}", ""


def _holds(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _version(text: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(-.+)?", text)
    if match is None:
        return None
    major, minor, patch, prerelease = match.groups()
    version = (int(major), int(minor), int(patch))
    return None if prerelease and version == (3, 7, 0) else version  # half of 3.7.0, unknown which

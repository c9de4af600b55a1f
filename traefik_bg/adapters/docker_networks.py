"""Turns Compose's `networks` into the endpoints Docker is to make.

Apart from the other settings because the network shared with Traefik always comes first, whatever
else is listed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traefik_bg.adapters.docker_resources import only
from traefik_bg.adapters.docker_units import ApiVersion, strings, text, texts

Body = dict[str, Any]

DEFAULT = "default"  # no network of Docker's can have this name; Compose's word for the shared one
WITH_GATEWAY_PRIORITY: ApiVersion = (1, 48)  # Engine 28; older ones ignore the field
WITH_INTERFACE_NAME: ApiVersion = (1, 49)  # Engine 28.1; the same
_INTERFACE_NAME = "com.docker.network.endpoint.ifname"
_KNOWN = {"aliases", "driver_opts", "gw_priority", "interface_name"}


def endpoints(value: Any, shared: str, api: ApiVersion) -> dict[str, Body]:
    """Return all networks of a container, the shared one first, and how it is known there."""
    found: dict[str, Body] = {shared: {}}
    if not isinstance(value, Mapping):
        value = dict.fromkeys(texts(value or []))
    for name, options in value.items():
        network = shared if name == DEFAULT else str(name)
        found[network] = _endpoint(options or {}, api)
    return found


def _endpoint(options: Mapping[str, Any], api: ApiVersion) -> Body:
    if {"ipv4_address", "ipv6_address", "mac_address"} & set(options):
        raise ValueError("blue and green cannot share a fixed address")
    only(options, "networks", _KNOWN)
    endpoint: Body = {}
    if options.get("aliases"):
        endpoint["Aliases"] = texts(options["aliases"])
    if opts := strings(options.get("driver_opts") or {}):
        endpoint["DriverOpts"] = opts
    if name := options.get("interface_name"):
        _need(api, WITH_INTERFACE_NAME, "interface_name", "28.1")
        endpoint["DriverOpts"] = opts | {_INTERFACE_NAME: text(name)}
    if priority := options.get("gw_priority"):
        _need(api, WITH_GATEWAY_PRIORITY, "gw_priority", "28")
        endpoint["GwPriority"] = int(priority)
    return endpoint


def _need(api: ApiVersion, since: ApiVersion, key: str, engine: str) -> None:
    if api < since:
        raise ValueError(f"{key} wants Docker Engine {engine} or newer")

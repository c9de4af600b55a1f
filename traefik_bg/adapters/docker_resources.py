"""Turns what Compose says of resources and devices into Docker's words.

Apart from the other settings because several keys of Compose end in the same field of Docker's,
and one key in several. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traefik_bg.adapters.docker_units import nano_cpus, size, strings, text, texts

Body = dict[str, Any]


def devices(value: Any) -> tuple[list[Body], list[Body]]:
    """Return devices by path, and requests for devices by name."""
    made: list[Body] = []
    by_name: list[str] = []
    for item in value:
        if isinstance(item, Mapping):
            source, target = text(item.get("source")), item.get("target")
            permissions = item.get("permissions")
        else:
            source, _, rest = text(item).partition(":")
            target, _, permissions = rest.partition(":")
        if "=" in source and not source.startswith("/"):
            by_name.append(source)  # the container device interface: vendor.com/class=name
            continue
        made.append(
            {
                "PathOnHost": source,
                "PathInContainer": target or source,
                "CgroupPermissions": permissions or "rwm",
            }
        )
    return made, [{"Driver": "cdi", "DeviceIDs": by_name}] if by_name else []


def deploy(value: Any) -> tuple[Body, list[Body]]:
    """Return the limits of `deploy.resources`, and the devices it reserves."""
    only(value, "deploy", {"resources"})
    resources = value.get("resources") or {}
    only(resources, "deploy.resources", {"limits", "reservations"})
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    only(limits, "deploy.resources.limits", {"cpus", "memory", "pids"})
    only(reserved, "deploy.resources.reservations", {"cpus", "memory", "devices"})
    wanted = (
        ("NanoCpus", limits.get("cpus"), nano_cpus),
        ("Memory", limits.get("memory"), size),
        ("PidsLimit", limits.get("pids"), int),
        ("MemoryReservation", reserved.get("memory"), size),
    )
    made = {name: convert(item) for name, item, convert in wanted if item is not None}
    return made, [reservation(item) for item in reserved.get("devices") or []]


def reservation(item: Mapping[str, Any]) -> Body:
    """Return Docker's request for devices such as GPUs; without a number, for all of them."""
    only(item, "devices", {"driver", "count", "device_ids", "capabilities", "options"})
    request: Body = {
        "Driver": item.get("driver") or "",
        "Capabilities": [texts(item["capabilities"])],
    }
    if item.get("device_ids"):
        request["DeviceIDs"] = texts(item["device_ids"])
    else:
        count = item.get("count", "all")
        request["Count"] = -1 if count == "all" else int(count)
    return request | {"Options": strings(item.get("options") or {})}


def gpus(value: Any) -> list[Body]:
    """Return the requests for graphics cards: all of them, or those of a list."""
    items = [{}] if value == "all" else value
    return [reservation({**item, "capabilities": _with_gpu(item)}) for item in items]


def _with_gpu(item: Mapping[str, Any]) -> list[str]:
    capabilities = texts(item.get("capabilities") or [])
    return capabilities if "gpu" in capabilities else [*capabilities, "gpu"]


def blkio(value: Mapping[str, Any]) -> Body:
    """Return the weights and limits of a container's block devices."""
    only(value, "blkio_config", {"weight", *_BLKIO})
    made: Body = {}
    if value.get("weight") is not None:
        made["BlkioWeight"] = int(value["weight"])
    for key, (name, amount) in _BLKIO.items():
        if value.get(key):
            made[name] = [
                {"Path": text(item["path"]), amount.title(): size(item[amount])}
                for item in value[key]
            ]
    return made


_BLKIO = {
    "weight_device": ("BlkioWeightDevice", "weight"),
    "device_read_bps": ("BlkioDeviceReadBps", "rate"),
    "device_read_iops": ("BlkioDeviceReadIOps", "rate"),
    "device_write_bps": ("BlkioDeviceWriteBps", "rate"),
    "device_write_iops": ("BlkioDeviceWriteIOps", "rate"),
}


def security(value: Any) -> Body:
    """Return the security options; what lays system paths open is no option to Docker's API."""
    options = [_with_equals_sign(item) for item in texts(value)]
    made: Body = {"SecurityOpt": [item for item in options if item != _OPEN_PATHS]}
    if _OPEN_PATHS in options:
        made |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return made


_OPEN_PATHS = "systempaths=unconfined"


def _with_equals_sign(option: str) -> str:
    """Return an option as today's Docker wants it: "seccomp:unconfined" is older."""
    name, colon, rest = option.partition(":")
    is_older = bool(colon) and "=" not in name and name in {"seccomp", "apparmor", "label"}
    return f"{name}={rest}" if is_older else option


def only(value: Mapping[str, Any], where: str, known: set[str]) -> None:
    """Refuse a key that would be without effect."""
    if unknown := sorted(set(value) - known):
        raise ValueError(f"{where}.{unknown[0]} is not supported")

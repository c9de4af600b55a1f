"""Turns Compose's `volumes` and `tmpfs` into Docker's three ways of mounting.

Apart from the other settings because Docker wants them in different places: short forms and
host folders as `Binds`, which makes a missing host folder as Compose does; all else as `Mounts`;
an anonymous volume as a volume of the container's own configuration. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from traefik_bg.adapters.docker_units import NEWEST, ApiVersion, size, strings, text, texts

_TYPES = ("volume", "bind", "tmpfs", "image")
_LONG_KEYS = {"type", "source", "target", "read_only", "external", *_TYPES}
_RECURSIVE = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}
WITH_RECURSIVE: ApiVersion = (1, 44)  # Engine 25; older ones ignore the fields


@dataclass(frozen=True, slots=True)
class Mounting:
    """Everything a container mounts, in Docker's words."""

    binds: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    anonymous: dict[str, dict[str, Any]] = field(default_factory=dict)


def mounting(volumes: Any, api: ApiVersion = NEWEST) -> Mounting:
    """Return what Docker is told to mount for the `volumes` of a Compose service."""
    if not isinstance(volumes, list):
        raise TypeError("expected a list")
    found = Mounting()
    for volume in volumes:
        if isinstance(volume, Mapping):
            _add_long(found, volume, api)
        else:
            _add_short(found, text(volume))
    return found


def external(volumes: Iterable[Any]) -> frozenset[str]:
    """Return the volumes that must be there already, because somebody else makes them."""
    found = (volume for volume in volumes if isinstance(volume, Mapping) and volume.get("external"))
    return frozenset(text(volume.get("source")) for volume in found)


def tmpfs(value: Any) -> dict[str, str]:
    """Return paths and options for the `tmpfs` of a Compose service."""
    found = (item.partition(":") for item in texts(value))
    return {path: options for path, _, options in found}


def _add_short(found: Mounting, volume: str) -> None:
    source, _, rest = volume.partition(":")
    if not rest:
        found.anonymous[source] = {}
        return
    _require_absolute(source)
    found.binds.append(volume)


def _require_absolute(source: str) -> None:
    if source.startswith((".", "~")):
        raise ValueError(f"{source!r} is relative; write the host's absolute path")


def _add_long(found: Mounting, volume: Mapping[str, Any], api: ApiVersion) -> None:
    kind, source, target = volume.get("type"), volume.get("source") or "", volume.get("target")
    if kind not in _TYPES:
        raise ValueError(f"type must be one of {', '.join(_TYPES)}")
    if unknown := sorted(set(volume) - _LONG_KEYS):
        raise ValueError(f"{unknown[0]!r} is not supported in a volume")
    if not target:
        raise ValueError("a volume needs a target")
    _require_absolute(source)
    options = volume.get(kind) or {}
    if options.get("recursive") and api < WITH_RECURSIVE:
        raise ValueError("recursive wants Docker Engine 25 or newer")
    if kind == "bind" and options.get("create_host_path", True) and not options.get("recursive"):
        found.binds.append(_bind(source, target, options, volume))
        return
    mount: dict[str, Any] = {"Type": kind, "Target": target}
    if source:
        mount["Source"] = source
    if volume.get("read_only"):
        mount["ReadOnly"] = True
    mount |= _mount_options(kind, options)
    found.mounts.append(mount)


def _bind(source: str, target: str, bind: Mapping[str, Any], volume: Mapping[str, Any]) -> str:
    options = ["ro"] if volume.get("read_only") else []
    options += [bind[key] for key in ("selinux", "propagation") if bind.get(key)]
    return ":".join([source, target, *([",".join(options)] if options else [])])


def _mount_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    match kind:
        case "bind":
            name, made = "BindOptions", _bind_options(options)
        case "volume":
            name, made = "VolumeOptions", _volume_options(options)
        case "image":
            name = "ImageOptions"
            if options.get("subpath"):
                made["Subpath"] = options["subpath"]
        case _:
            name = "TmpfsOptions"
            if options.get("size") is not None:
                made["SizeBytes"] = size(options["size"])
            if options.get("mode") is not None:
                made["Mode"] = int(options["mode"])
    return {name: made} if made else {}


def _bind_options(options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("selinux"):
        raise ValueError("selinux goes neither with recursive nor with create_host_path: false")
    made: dict[str, Any] = dict(_RECURSIVE[options.get("recursive") or "enabled"])
    if options.get("propagation"):
        made["Propagation"] = options["propagation"]
    if options.get("create_host_path", True):
        made["CreateMountpoint"] = True
    return made


def _volume_options(options: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if options.get("nocopy"):
        made["NoCopy"] = True
    if options.get("subpath"):
        made["Subpath"] = options["subpath"]
    if options.get("labels"):
        made["Labels"] = strings(options["labels"])
    if options.get("driver") or options.get("driver_opts"):
        made["DriverConfig"] = {
            "Name": options.get("driver") or "local",
            "Options": strings(options.get("driver_opts") or {}),
        }
    return made

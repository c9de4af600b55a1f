"""Turns Compose's `volumes` and `tmpfs` into Docker's three ways of mounting.

Apart from the other settings because Docker wants them in different places: short forms and
host folders as `Binds`, which makes a missing host folder as Compose does; all else as `Mounts`;
an anonymous volume as a volume of the container's own configuration. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from traefik_bg.adapters.docker_units import size, text, texts

_LONG_KEYS = {"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"}
_TYPES = ("volume", "bind", "tmpfs")


@dataclass(frozen=True, slots=True)
class Mounting:
    """Everything a container mounts, in Docker's words."""

    binds: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    anonymous: dict[str, dict[str, Any]] = field(default_factory=dict)


def mounting(volumes: Any) -> Mounting:
    """Return what Docker is told to mount for the `volumes` of a Compose service."""
    if not isinstance(volumes, list):
        raise TypeError("expected a list")
    found = Mounting()
    for volume in volumes:
        if isinstance(volume, Mapping):
            _add_long(found, volume)
        else:
            _add_short(found, text(volume))
    return found


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


def _add_long(found: Mounting, volume: Mapping[str, Any]) -> None:
    kind, source, target = volume.get("type"), volume.get("source") or "", volume.get("target")
    if kind not in _TYPES:
        raise ValueError(f"type must be one of {', '.join(_TYPES)}")
    if unknown := sorted(set(volume) - _LONG_KEYS):
        raise ValueError(f"{unknown[0]!r} is not supported in a volume")
    if not target:
        raise ValueError("a volume needs a target")
    _require_absolute(source)
    bind = volume.get("bind") or {}
    if kind == "bind" and bind.get("create_host_path", True):
        options = ["ro"] if volume.get("read_only") else []
        options += [bind[key] for key in ("selinux", "propagation") if bind.get(key)]
        found.binds.append(":".join([source, target, *([",".join(options)] if options else [])]))
        return
    mount: dict[str, Any] = {"Type": kind, "Target": target}
    if source:
        mount["Source"] = source
    if volume.get("read_only"):
        mount["ReadOnly"] = True
    mount |= _mount_options(kind, volume.get(kind) or {})
    found.mounts.append(mount)


def _mount_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    match kind:
        case "bind":
            propagation = options.get("propagation")
            return {"BindOptions": {"Propagation": propagation}} if propagation else {}
        case "volume":
            made: dict[str, Any] = {}
            if options.get("nocopy"):
                made["NoCopy"] = True
            if options.get("subpath"):
                made["Subpath"] = options["subpath"]
            return {"VolumeOptions": made} if made else {}
        case _:
            made = {}
            if options.get("size") is not None:
                made["SizeBytes"] = size(options["size"])
            if options.get("mode") is not None:
                made["Mode"] = int(options["mode"])
            return {"TmpfsOptions": made} if made else {}

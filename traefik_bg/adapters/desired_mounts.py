"""What a container mounts, and the devices it gets, in Compose's words.

Apart from the other container settings because each has a short and a long form, and both must
come out the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import model_validator

from traefik_bg.adapters.desired_mapping import Composed
from traefik_bg.adapters.desired_tree import is_note
from traefik_bg.adapters.desired_values import (
    Between,
    OneOf,
    Size,
    Switch,
    Text,
    mistake,
    text,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ACCESS: dict[str, dict[str, str]] = {
    "ro": {"read_only": "true"},
    "readonly": {"read_only": "true"},
    "rw": {},
}
_PROPAGATION = ("private", "rprivate", "rshared", "rslave", "shared", "slave")


class _BindOptions(Composed):
    propagation: Annotated[str, OneOf(*_PROPAGATION)] | None = None
    create_host_path: Switch | None = None
    selinux: Annotated[str, OneOf("z", "Z")] | None = None


class _VolumeOptions(Composed):
    nocopy: Switch | None = None
    subpath: Text | None = None


class _TmpfsOptions(Composed):
    size: Size | None = None
    mode: Annotated[int, Between(0, 0o7777)] | None = None


class Volume(Composed):
    """One mount, in Compose's long form; the short form becomes one."""

    type: Annotated[str, OneOf("bind", "volume", "tmpfs")]
    source: Text | None = None
    target: Text
    read_only: Switch | None = None
    consistency: Text | None = None
    bind: _BindOptions | None = None
    volume: _VolumeOptions | None = None
    tmpfs: _TmpfsOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else _long_form(text(value))

    @model_validator(mode="after")
    def _has_good_paths(self) -> Self:
        if not self.target.startswith("/"):
            raise mistake(f'the path in the container must be absolute, not "{self.target}"')
        if self.type == "bind" and self.source is None:
            raise mistake("a bind mount needs a source: a path of the Docker host")
        if self.source is not None and self.type != "tmpfs":
            _check_source(self.source, is_bind=self.type == "bind")
        return self


def _check_source(source: str, *, is_bind: bool) -> None:
    if source.startswith((".", "~")) or (is_bind and not source.startswith("/")):
        raise mistake(
            f'"{source}" is relative, and traefik-bg may see other folders than Docker does; '
            "write the absolute path on the Docker host"
        )
    if not is_bind and _NAME.fullmatch(source) is None:
        raise mistake(f'"{source}" can be neither a volume\'s name nor an absolute path')


def _long_form(written: str) -> dict[str, Any]:
    source, *rest = written.split(":")
    if len(rest) > 2 or not all(rest) or not source:
        raise mistake(f'"{written}" is not SOURCE:TARGET, SOURCE:TARGET:OPTIONS or TARGET')
    if not rest:
        return {"type": "volume", "target": source}
    is_path = source.startswith(("/", ".", "~"))
    made: dict[str, Any] = {"type": "bind" if is_path else "volume", "source": source}
    made["target"] = rest[0]
    for option in rest[1].split(",") if len(rest) == 2 else ():
        made |= _short_option(option, made)
    return made


def _short_option(option: str, made: dict[str, Any]) -> dict[str, Any]:
    bind = made.get("bind", {})
    if option in _ACCESS:
        return _ACCESS[option]
    if option in {"z", "Z"} and made["type"] == "bind":
        return {"bind": bind | {"selinux": option}}
    if option in _PROPAGATION and made["type"] == "bind":
        return {"bind": bind | {"propagation": option}}
    if option == "nocopy" and made["type"] == "volume":
        return {"volume": {"nocopy": "true"}}
    raise mistake(f'"{option}" is no option of this mount; ro and rw are the usual ones')


def by_target(volumes: list[Volume]) -> list[Volume]:
    """Return the volumes in order of their targets, each of which may be mounted once."""
    targets = [volume.target for volume in volumes]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise mistake(f'"{target}" is mounted twice', index)
    return sorted(volumes, key=lambda volume: volume.target)


def device(value: Any) -> str:
    """Return a device as SOURCE:TARGET:PERMISSIONS, or a name Docker knows devices by."""
    if isinstance(value, Mapping):
        known = {"source", "target", "permissions"}
        if unknown := sorted(key for key in value if key not in known and not is_note(key)):
            raise mistake(f'"{unknown[0]}" is unknown here; {", ".join(sorted(known))} are known')
        if "source" not in value:
            raise mistake("source is missing: the device on the Docker host")
        found = {key: text(item) for key, item in value.items() if not is_note(key)}
        source = found["source"]
        return f"{source}:{found.get('target', source)}:{found.get('permissions', 'rwm')}"
    written = text(value)
    source, _, rest = written.partition(":")
    target, _, permissions = rest.partition(":")
    if "=" in source and not source.startswith("/"):
        return written
    return f"{source}:{target or source}:{permissions or 'rwm'}"

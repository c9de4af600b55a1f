"""What a container mounts, the devices and the secrets it gets, in Compose's words.

Apart from the other container settings because each has a short and a long form, and both must
come out the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from traefik_bg.adapters.desired_mapping import Composed, NoEffect
from traefik_bg.adapters.desired_tree import is_note
from traefik_bg.adapters.desired_values import (
    Mode,
    OneOf,
    Pairs,
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
    recursive: Annotated[str, OneOf("enabled", "disabled", "writable", "readonly")] | None = None


class _VolumeOptions(Composed):
    labels: Pairs | None = None
    nocopy: Switch | None = None
    subpath: Text | None = None


class _TmpfsOptions(Composed):
    size: Size | None = None
    mode: Mode | None = None


class _ImageOptions(Composed):
    subpath: Text | None = None


class Volume(Composed):
    """One mount, in Compose's long form; the short form becomes one."""

    type: Annotated[str, OneOf("bind", "volume", "tmpfs", "image")]
    source: Text | None = None
    target: Text
    read_only: Switch | None = None
    consistency: NoEffect = None
    bind: _BindOptions | None = None
    volume: _VolumeOptions | None = None
    tmpfs: _TmpfsOptions | None = None
    image: _ImageOptions | None = None

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
        if self.type == "image" and self.source is None:
            raise mistake("an image mount needs a source: the image's name")
        if self.source is not None and self.type in {"bind", "volume"}:
            _check_source(self.source, is_bind=self.type == "bind")
        self._check_options()
        return self

    def _check_options(self) -> None:
        for kind in ("bind", "volume", "tmpfs", "image"):
            if kind != self.type and getattr(self, kind) is not None:
                raise mistake(f"says nothing for a mount of type {self.type}", kind)
        bind = self.bind
        if bind is not None and bind.selinux and (bind.recursive or bind.create_host_path is False):
            raise mistake("goes neither with recursive nor with create_host_path: false", "bind")


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


# --- secrets and configs --------------------------------------------------------------------------


def _owner(value: Any) -> int:
    found = text(value)
    if not found.isdecimal() or int(found) >= 2**31:
        raise mistake(f'must be a number such as 1000, not "{found}"')
    return int(found)


_Owner = Annotated[int, BeforeValidator(_owner), WithJsonSchema({"type": ["string", "integer"]})]


class Grant(Composed):
    """A secret or config that an app gets, in Compose's long form; a name alone becomes one."""

    source: Text
    target: Text | None = None
    uid: _Owner | None = None
    gid: _Owner | None = None
    mode: Mode | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"source": text(value)}

    @model_validator(mode="after")
    def _has_a_good_target(self) -> Self:
        parts = PurePosixPath(self.target or self.source).parts
        if ".." in parts or not parts or parts == ("/",):
            raise mistake(f'"{self.target or self.source}" can be no file in the container')
        return self

    def path(self, folder: str) -> str:
        """Return where it lies in the container; the folder is for targets that are just a name."""
        return str(PurePosixPath(folder) / (self.target or self.source))


def granted_once(grants: list[Grant]) -> list[Grant]:
    """Return the grants in order of their targets, each of which may be filled once."""
    targets = [grant.target or grant.source for grant in grants]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise mistake(f'"{target}" is the target of another one already', index)
    return sorted(grants, key=lambda grant: grant.target or grant.source)

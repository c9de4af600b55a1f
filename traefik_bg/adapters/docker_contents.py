"""The secrets and configs of a container: which it gets, where, and how they are put in.

Apart from the other settings because Docker's creation knows nothing of them: they are copied in
between creation and start. What is known of a content here is its digest; the container carries
in a label what it must hold, so that whoever starts it can see to it. Pure.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from traefik_bg.adapters.docker_units import text
from traefik_bg.core.model import canonical_json

CONTENTS_LABEL = "traefik-bg.contents"
SECRETS = "/run/secrets"
DEFAULT_MODE = 0o444  # as Compose: many images run as a user of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One secret or config in one container."""

    name: str
    target: str
    digest: str
    uid: int = 0
    gid: int = 0
    mode: int = DEFAULT_MODE

    @property
    def folder(self) -> str:
        """Where it lies."""
        return str(PurePosixPath(self.target).parent)


def content_digest(content: bytes) -> str:
    """Return what tells one content from another."""
    return hashlib.sha256(b"traefik-bg content\0" + content).hexdigest()[:32]


def contents(settings: Mapping[str, Any]) -> tuple[Content, ...]:
    """Return all secrets and configs of a container's settings.

    Raises:
        ValueError: one lies where it would be lost, or would be shared with other containers.
    """
    found = tuple(
        Content(
            name=text(item["source"]),
            target=text(item["target"]),
            digest=text(item["digest"]),
            uid=int(item.get("uid", 0)),
            gid=int(item.get("gid", 0)),
            mode=int(item.get("mode", DEFAULT_MODE)),
        )
        for key in ("secrets", "configs")
        for item in settings.get(key) or []
    )
    for index, content in enumerate(found):
        if any(content.target == other.target for other in found[:index]):
            raise ValueError(f"two contents have the target {content.target}")
        _check_place(content, settings)
    return found


def volumes_for(found: Iterable[Content], settings: Mapping[str, Any]) -> dict[str, Body]:
    """Return the volume that has to carry the secrets, where the container's own files cannot.

    Nothing can be copied into a read-only file system, nor below a tmpfs, which is empty again at
    the start. A volume without a name is the container's alone, and goes with it.
    """
    return {SECRETS: {}} if any(_needs_volume(content, settings) for content in found) else {}


Body = dict[str, Any]


def _needs_volume(content: Content, settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("read_only")) or _is_below(content.target, _in_memory(settings))


def _check_place(content: Content, settings: Mapping[str, Any]) -> None:
    mounts = {_target(volume) for volume in settings.get("volumes") or []}
    lasting = mounts - _in_memory(settings)
    if _is_below(content.target, lasting):
        raise ValueError(
            f"{content.target} lies in a volume of the app, which all its replicas share; "
            "give it another target"
        )
    if _needs_volume(content, settings) and content.folder != SECRETS:
        why = "the file system is read-only" if settings.get("read_only") else "a tmpfs is there"
        raise ValueError(
            f"{content.target} cannot be filled, for {why}; write target: "
            f"{SECRETS}/{PurePosixPath(content.target).name}"
        )


def _in_memory(settings: Mapping[str, Any]) -> set[str]:
    found = {text(item).partition(":")[0] for item in settings.get("tmpfs") or []}
    for volume in settings.get("volumes") or []:
        if isinstance(volume, Mapping) and volume.get("type") == "tmpfs":
            found.add(text(volume["target"]))
    return found


def _target(volume: Any) -> str:
    if isinstance(volume, Mapping):
        return text(volume["target"])
    source, _, rest = text(volume).partition(":")
    return rest.partition(":")[0] or source


def _is_below(path: str, folders: Iterable[str]) -> bool:
    above = {PurePosixPath(path), *PurePosixPath(path).parents}
    return any(PurePosixPath(folder) in above for folder in folders)


# --- the label ------------------------------------------------------------------------------------


def label(found: Iterable[Content]) -> dict[str, str]:
    """Return the label that says what a container must hold; none if that is nothing."""
    written = [asdict(content) for content in found]
    return {CONTENTS_LABEL: canonical_json(written)} if written else {}


def labelled(labels: Mapping[str, str]) -> tuple[Content, ...]:
    """Return what a container must hold, by its labels."""
    return tuple(Content(**item) for item in json.loads(labels.get(CONTENTS_LABEL) or "[]"))


# --- archives -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Parcel:
    """What is copied into one folder of a container at once."""

    folder: str
    items: list[tuple[Content, bytes]] = field(default_factory=list)

    @property
    def archive(self) -> bytes:
        """The parcel in the form Docker takes."""
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            for content, held in self.items:
                entry = tarfile.TarInfo(content.target.removeprefix(self.folder).lstrip("/"))
                entry.size, entry.mode = len(held), content.mode
                entry.uid, entry.gid = content.uid, content.gid
                archive.addfile(entry, io.BytesIO(held))
        return written.getvalue()


def parcels(
    found: Iterable[Content], held: Mapping[str, bytes], volumes: Iterable[str]
) -> list[Parcel]:
    """Return what is to be copied where; a volume takes only what is sent to it by its path."""
    made: dict[str, Parcel] = {}
    for content in found:
        folder = content.folder if content.folder in volumes else "/"
        parcel = made.setdefault(folder, Parcel(folder))
        parcel.items.append((content, held[content.digest]))
    return list(made.values())


def unpacked(archive: bytes) -> bytes | None:
    """Return the one file of an archive that Docker made; None if there is none."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            if member.isfile() and (file := opened.extractfile(member)) is not None:
                return file.read()
    return None

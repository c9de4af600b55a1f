"""What a file declares for its apps: volumes, networks, secrets and configs, as Compose has them.

Apart from the apps because a name is declared once and used by many. An app's settings come out
with the names Docker knows, and with the digest of each content; the contents themselves are
handed over by digest, and are in nothing else that is made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from traefik_bg.adapters.desired_declarations import (
    MODELS,
    NetworkDeclaration,
    SecretDeclaration,
    VolumeDeclaration,
)
from traefik_bg.adapters.desired_documents import Document, Documents
from traefik_bg.adapters.desired_expansion import plain
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_mapping import Composed
from traefik_bg.adapters.desired_mistakes import mistakes_of
from traefik_bg.adapters.desired_mounts import Grant
from traefik_bg.adapters.desired_rollout import RECREATE
from traefik_bg.adapters.desired_rules import Finding
from traefik_bg.adapters.desired_schema import AppSettings
from traefik_bg.adapters.desired_tree import Entry, locate
from traefik_bg.adapters.docker_contents import SECRETS, content_digest

T = TypeVar("T", bound=BaseModel)

FOLDERS = {"secrets": SECRETS, "configs": "/"}
"""Where a content lies whose target is just a name."""


class Declared:
    """What all files declare, put into the settings of the apps that use it."""

    def __init__(self, documents: Documents, found: list[Document]) -> None:
        self._documents = documents
        self._entries: dict[str, dict[str, Entry]] = {section: {} for section in MODELS}
        self._models: dict[tuple[str, str], Composed] = {}
        self._digests: dict[tuple[str, str], str | None] = {}
        self.contents: dict[str, bytes] = {}
        """What the secrets and configs hold that are used, by digest."""
        for document in found:
            for section, entries in document.declared.items():
                for name, entry in entries.items():
                    self._declare(section, name, entry)

    def _declare(self, section: str, name: str, entry: Entry) -> None:
        first = self._entries[section].setdefault(name, entry).place
        if first != entry.place:
            said = f"stands already in {first.file}:{first.line}"
            self._documents.mistakes.append(entry.place.mistake(said))
            return
        try:
            self._models[section, name] = MODELS[section].model_validate(plain(entry.node))
        except ValidationError as error:
            for place, message in mistakes_of(error, MODELS[section], entry, where=f"{section}.*"):
                if place not in self._documents.broken:
                    self._documents.mistakes.append(place.mistake(message))

    def _model(self, section: str, name: str, kind: type[T]) -> T | None:
        found = self._models.get((section, name))
        return found if isinstance(found, kind) else None

    # --- what cannot be ---------------------------------------------------------------------------

    def findings(self, app: AppSettings) -> Iterator[Finding]:
        """Return what an app wants of this that cannot be."""
        for section in FOLDERS:
            for index, grant in enumerate(getattr(app, section) or ()):
                if grant.source not in self._entries[section]:
                    yield Finding(
                        (section, index),
                        f"{grant.source} is not declared: write it under {section}, beside apps"
                        f"{self._like(section, grant.source)}",
                    )
        yield from self._exclusive(app)
        names: dict[str, str] = {}
        for name in app.networks or ():
            first = names.setdefault(self._network(name), name)
            if first != name:
                yield Finding(("networks", name), f"is the same Docker network as {first}")

    def _like(self, section: str, name: str) -> str:
        known = self._entries[section]
        return f"; {nearest(name, known)}" if known else ""

    def _exclusive(self, app: AppSettings) -> Iterator[Finding]:
        for index, volume in enumerate(app.volumes or ()):
            found = self._model("volumes", volume.source or "", VolumeDeclaration)
            if volume.type != "volume" or found is None or not found.exclusive:
                continue
            if app.replicas > 1 or app.rollout.strategy != RECREATE:
                yield Finding(
                    ("volumes", index),
                    f"{volume.source} is exclusive, so one container at a time may have it: write "
                    "replicas: 1 and rollout: {strategy: recreate}, which stops the old version "
                    "before it starts the new one",
                )

    # --- putting in -------------------------------------------------------------------------------

    def put_in(self, app: AppSettings, container: dict[str, Any]) -> dict[str, Any]:
        """Return an app's container settings with what its names mean."""
        made = dict(container)
        if volumes := container.get("volumes"):
            made["volumes"] = [self._volume(volume) for volume in volumes]
        if networks := container.get("networks"):
            made["networks"] = {self._network(name): item for name, item in networks.items()}
        for section, folder in FOLDERS.items():
            grants = getattr(app, section) or ()
            placed = [self._content(section, grant, folder) for grant in grants]
            if placed:
                made[section] = placed
        return made

    def _network(self, name: str) -> str:
        found = self._model("networks", name, NetworkDeclaration)
        return found.name if found is not None and found.name is not None else name

    def _volume(self, volume: Mapping[str, Any]) -> Mapping[str, Any]:
        source = volume.get("source")
        found = self._model("volumes", source or "", VolumeDeclaration)
        if volume["type"] != "volume" or found is None:
            return volume
        options = dict(volume.get("volume") or {})
        if found.labels:
            options["labels"] = found.labels | options.get("labels", {})
        for key in ("driver", "driver_opts"):
            if value := getattr(found, key):
                options[key] = value
        made = {**volume, "source": found.name or source}
        if options:
            made["volume"] = options
        if found.external:
            made["external"] = True
        return made

    def _content(self, section: str, grant: Grant, folder: str) -> dict[str, Any]:
        made = grant.model_dump(exclude_none=True, include={"uid", "gid", "mode"})
        key = (section, grant.source)
        if key not in self._digests:
            held = self._held(section, grant.source)
            self._digests[key] = None if held is None else content_digest(held)
            if held is not None:
                self.contents[self._digests[key] or ""] = held
        made |= {"source": grant.source, "target": grant.path(folder)}
        return made | {"digest": self._digests[key] or ""}

    def _held(self, section: str, name: str) -> bytes | None:
        """Return what a secret or config holds, as of now."""
        found = self._model(section, name, SecretDeclaration)
        if found is None:
            return None
        entry = self._entries[section][name]
        if found.file is not None:
            place = locate(entry, ("file",))
            return self._documents.bytes_of(place, self._documents.beside(place, found.file))
        if found.environment is not None:
            value = self._documents.variables.get(found.environment)
            if value is None:
                place = locate(entry, ("environment",))
                said = f"the variable {found.environment} is not set"
                self._documents.mistakes.append(place.mistake(said))
                return None
            return value.encode("utf-8", "surrogateescape")
        return str(getattr(found, "content", "")).encode("utf-8", "surrogateescape")

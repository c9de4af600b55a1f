"""Reads the desired state: one file or a folder of them in, specs or every mistake out.

Called by the watching (`desired_file`), the editing (`desired_edit`) and the commands `check` and
`plan`. A folder is taken as a whole: one broken file leaves all of it out of force, so that no app
is ever concluded to be unwanted from files that could not be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from traefik_bg.adapters.desired_app import spec_of
from traefik_bg.adapters.desired_compose import FromCompose
from traefik_bg.adapters.desired_declared import Declared
from traefik_bg.adapters.desired_documents import Document, Documents
from traefik_bg.adapters.desired_expansion import merged, plain
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_mistakes import mistakes_of, placed
from traefik_bg.adapters.desired_outside import Outside, without_effect
from traefik_bg.adapters.desired_routes import route_conflicts
from traefik_bg.adapters.desired_rules import contradictions, oddities
from traefik_bg.adapters.desired_schema import AppSettings
from traefik_bg.adapters.desired_tree import Entry, Place, Section, Table
from traefik_bg.adapters.docker_settings import check_settings
from traefik_bg.core.errors import DesiredStateError, DesiredStateErrors, SpecRefused
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.names import collisions


@dataclass(frozen=True, slots=True)
class Desired:
    """What a good desired file says."""

    apps: Mapping[AppName, AppSpec]
    warnings: tuple[str, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What the secrets and configs hold, by the digests the specs have."""
    polls: Mapping[AppName, float] = field(default_factory=dict)
    """Seconds between questions what the tag of an app's image means."""


def read_desired(
    path: Path, files: Files | None = None, environ: Mapping[str, str] | None = None
) -> Desired:
    """Return what the file, or the folder of files, says.

    Raises:
        DesiredStateErrors: it cannot be used; every mistake is in it.
    """
    known = os.environ if environ is None else environ
    return desired_of(Documents(path, files or Files(), known))


def desired_of(documents: Documents) -> Desired:
    """Return what documents say, wherever they come from.

    Raises:
        DesiredStateErrors: it cannot be used; every mistake is in it.
    """
    return _Reading(documents).desired()


class _Reading:
    """One reading of the whole desired state."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._found = documents.read()
        FromCompose(documents).put_in(self._found)
        self._mistakes = documents.mistakes
        self._warnings = documents.warnings
        self._declared = Declared(documents, self._found)
        self._outside = Outside(documents)
        self._polls: dict[AppName, float] = {}

    def desired(self) -> Desired:
        defaults = self._defaults(self._found)
        apps = self._apps(self._found, defaults)
        specs = {AppName(name): self._spec(name, app.entry) for name, app in sorted(apps.items())}
        tables = {name: app.table for name, app in apps.items()}
        self._mistakes.extend(route_conflicts(tables))
        for name, reason in collisions(apps).items():
            self._mistakes.append(apps[name].place.mistake(reason))
        if self._mistakes:
            raise DesiredStateErrors(_in_order(self._mistakes))
        return Desired(
            apps={name: spec for name, spec in specs.items() if spec is not None},
            warnings=tuple(dict.fromkeys(self._warnings)),
            contents=self._declared.contents,
            polls=self._polls,
        )

    # --- apps -------------------------------------------------------------------------------------

    def _defaults(self, documents: list[Document]) -> Table:
        found = [document.defaults for document in documents if document.defaults is not None]
        for further in found[1:]:
            first = found[0].place
            self._mistakes.append(
                further.place.mistake(
                    f"stands already in {first.file}:{first.line}; one file of a folder holds the "
                    "defaults of all"
                )
            )
        if not found:
            return Table(Place(str(self._documents.source), 1))
        self._settings(found[0].entry, is_part=True)
        return found[0].table

    def _apps(self, documents: list[Document], defaults: Table) -> dict[str, Section]:
        apps: dict[str, Section] = {}
        for document in documents:
            for name, section in document.apps.items():
                if name in apps:
                    first = apps[name].place
                    self._mistakes.append(
                        section.place.mistake(f"stands already in {first.file}:{first.line}")
                    )
                    continue
                own = Table(section.table.place, dict(section.table.own_entries()))
                apps[name] = Section(section.place, merged(defaults, own))
        return apps

    def _settings(self, entry: Entry, *, is_part: bool = False) -> AppSettings | None:
        try:
            return AppSettings.model_validate(plain(entry.node))
        except ValidationError as error:
            for place, message in mistakes_of(error, AppSettings, entry, is_part=is_part):
                if place not in self._documents.broken:
                    self._mistakes.append(place.mistake(message))
            return None

    def _spec(self, name: str, entry: Entry) -> AppSpec | None:
        settings = self._settings(entry)
        if settings is None:
            return None
        for keys, message in (*contradictions(settings), *self._declared.findings(settings)):
            place, said = placed(entry, keys, message)
            self._mistakes.append(place.mistake(said))
        for keys, message in (*oddities(settings), *without_effect(entry.node)):
            place, said = placed(entry, keys, message)
            self._warnings.append(str(place.mistake(said)))
        settings = self._outside.brought(settings, entry)
        spec = spec_of(name, settings, self._declared)
        if settings.update is not None:
            self._polls[spec.name] = settings.update.poll
        try:
            check_settings(spec)
        except SpecRefused as error:
            self._mistakes.append(entry.place.mistake(str(error)))
        return spec


def _in_order(mistakes: list[DesiredStateError]) -> list[DesiredStateError]:
    once = {str(mistake): mistake for mistake in mistakes}
    return sorted(once.values(), key=lambda mistake: (mistake.path, mistake.line or 0))

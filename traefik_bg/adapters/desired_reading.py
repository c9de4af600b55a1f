"""Reads the desired state: one file or a folder of them in, specs or every mistake out.

Called by the watching (`desired_file`), the editing (`desired_edit`) and the commands `check` and
`plan`. A folder is taken as a whole: one broken file leaves all of it out of force, so that no app
is ever concluded to be unwanted from files that could not be read.
"""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from traefik_bg.adapters.desired_app import spec_of
from traefik_bg.adapters.desired_environment import read_env_file
from traefik_bg.adapters.desired_expansion import Expansion, merged, plain
from traefik_bg.adapters.desired_files import Content, Files, Folder, Unreadable
from traefik_bg.adapters.desired_keys import unknown_key
from traefik_bg.adapters.desired_mistakes import mistakes_of, placed
from traefik_bg.adapters.desired_routes import route_conflicts
from traefik_bg.adapters.desired_rules import contradictions, oddities
from traefik_bg.adapters.desired_schema import AppSettings, EnvFileSettings
from traefik_bg.adapters.desired_tree import Entry, Kind, Place, Scalar, Table, locate, noun
from traefik_bg.adapters.desired_yaml import decoded, parsed
from traefik_bg.adapters.docker_settings import check_settings
from traefik_bg.core.errors import DesiredStateError, DesiredStateErrors, SpecRefused
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.names import collisions

MAX_NAME = 41  # characters; with revision and number it stays within a DNS label

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_TOP = ("apps", "defaults")
_EXPLICIT = "write apps: {} if nothing is to run"


@dataclass(frozen=True, slots=True)
class Desired:
    """What a good desired file says."""

    apps: Mapping[AppName, AppSpec]
    warnings: tuple[str, ...] = ()


def read_desired(
    path: Path, files: Files | None = None, environ: Mapping[str, str] | None = None
) -> Desired:
    """Return what the file, or the folder of files, says.

    Raises:
        DesiredStateErrors: it cannot be used; every mistake is in it.
    """
    reading = _Reading(path, files or Files(), os.environ if environ is None else environ)
    return reading.desired()


@dataclass(frozen=True, slots=True)
class _Section:
    """An app, or the defaults: a table and where its key stands."""

    place: Place
    table: Table

    @property
    def entry(self) -> Entry:
        return Entry(self.place, self.table)


@dataclass(slots=True)
class _Document:
    """One file's part of the desired state."""

    defaults: _Section | None = None
    apps: dict[str, _Section] = field(default_factory=dict)
    has_apps: bool = False


class _Reading:
    """One reading of the whole desired state."""

    def __init__(self, source: Path, files: Files, environ: Mapping[str, str]) -> None:
        self._source = source
        self._files = files
        self._environ = environ
        self._mistakes: list[DesiredStateError] = []
        self._warnings: list[str] = []
        self._broken: set[Place] = set()
        self._variables: Mapping[str, str] = environ

    def desired(self) -> Desired:
        content = self._files.content(self._source)
        self._variables = self._with_dotenv(isinstance(content, Folder))
        documents = list(self._documents(content))
        defaults = self._defaults(documents)
        apps = self._apps(documents, defaults)
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
        )

    # --- files ------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Path:
        is_folder = isinstance(self._files.content(self._source), Folder)
        return self._source if is_folder else self._source.parent

    def _with_dotenv(self, is_folder: bool) -> Mapping[str, str]:
        """Return the variables of the process, and below them those of the `.env` beside."""
        path = (self._source if is_folder else self._source.parent) / ".env"
        content = self._files.content(path)
        if isinstance(content, Unreadable) and content.is_missing:
            return self._environ
        text = self._text(path, content)
        found = read_env_file(text or "", str(path), self._environ, outer_wins=True)
        self._mistakes.extend(found.mistakes)
        self._warnings.extend(found.warnings)
        return ChainMap(dict(self._environ), found.values)

    def _text(self, path: Path, content: Content) -> str | None:
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            self._mistakes.append(DesiredStateError(reason, path=str(path)))
            return None
        try:
            return decoded(content, str(path))
        except DesiredStateError as error:
            self._mistakes.append(error)
            return None

    def _documents(self, content: Content) -> Iterator[_Document]:
        if not isinstance(content, Folder):
            yield from self._document(self._source, content, is_alone=True)
            return
        if not content.names:
            message = "is a folder without any *.yaml or *.yml file"
            self._mistakes.append(DesiredStateError(message, path=str(self._source)))
            return
        documents: list[_Document] = []
        for name in content.names:
            path = self._source / name
            documents += self._document(path, self._files.content(path), is_alone=False)
        if not self._mistakes and not any(document.has_apps for document in documents):
            message = f"none of the files has apps; {_EXPLICIT}"
            self._mistakes.append(DesiredStateError(message, path=str(self._source)))
        yield from documents

    def _document(self, path: Path, content: Content, *, is_alone: bool) -> Iterator[_Document]:
        text = self._text(path, content)
        if text is None:
            return
        try:
            root = parsed(text, str(path), self._mistakes)
            if root is None:
                raise Place(str(path), 1).mistake(f"is empty; {_EXPLICIT}")
            if not isinstance(root, Table):
                raise root.place.mistake(f"must be a mapping with apps, not {noun(root)}")
            yield self._expanded(root, str(path), is_alone=is_alone)
        except DesiredStateError as error:
            self._mistakes.append(error)

    def _expanded(self, root: Table, file: str, *, is_alone: bool) -> _Document:
        entries = dict(root.own_entries())
        for key, entry in entries.items():
            if key not in _TOP:
                reason = unknown_key("", key, _TOP)
                self._mistakes.append(entry.place.mistake(f"{key}: {reason}"))
        if "apps" not in entries and (is_alone or "defaults" not in entries):
            self._mistakes.append(Place(file, 1).mistake(f"apps is missing; {_EXPLICIT}"))
        expansion = Expansion(self._variables, self._mistakes, self._warnings, self._broken)
        known = {key: entry for key, entry in entries.items() if key in _TOP}
        table = expansion.expanded(Table(root.place, known), "")
        document = _Document(has_apps="apps" in known)
        if isinstance(table, Table):
            if "defaults" in table.entries:
                document.defaults = self._table("defaults", table.entries["defaults"], expansion)
            if "apps" in table.entries:
                document.apps = dict(self._named_apps(table.entries["apps"], expansion))
        return document

    def _named_apps(self, apps: Entry, expansion: Expansion) -> Iterator[tuple[str, _Section]]:
        if not isinstance(apps.node, Table):
            is_empty = isinstance(apps.node, Scalar) and apps.node.kind is Kind.EMPTY
            wrong = f"must be a mapping of names to apps, not {noun(apps.node)}"
            self._mistakes.append(
                apps.place.mistake(f"is empty; {_EXPLICIT}" if is_empty else wrong)
            )
            return
        for name, entry in apps.node.own_entries():
            if (wrong_name := name_mistake(name)) is not None:
                self._mistakes.append(entry.place.mistake(wrong_name))
            if (app := self._table("an app", entry, expansion)) is not None:
                yield name, app

    def _table(self, what: str, entry: Entry, expansion: Expansion) -> _Section | None:
        if isinstance(entry.node, Table):
            return _Section(entry.place, expansion.with_named_values(entry.node))
        self._mistakes.append(
            entry.place.mistake(f"{what} must be a mapping, not {noun(entry.node)}")
        )
        return None

    # --- apps -------------------------------------------------------------------------------------

    def _defaults(self, documents: list[_Document]) -> Table:
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
            return Table(Place(str(self._source), 1))
        self._settings(found[0].entry, is_part=True)
        return found[0].table

    def _apps(self, documents: list[_Document], defaults: Table) -> dict[str, _Section]:
        apps: dict[str, _Section] = {}
        for document in documents:
            for name, section in document.apps.items():
                if name in apps:
                    first = apps[name].place
                    self._mistakes.append(
                        section.place.mistake(f"stands already in {first.file}:{first.line}")
                    )
                    continue
                own = Table(section.table.place, dict(section.table.own_entries()))
                apps[name] = _Section(section.place, merged(defaults, own))
        return apps

    def _settings(self, entry: Entry, *, is_part: bool = False) -> AppSettings | None:
        try:
            return AppSettings.model_validate(plain(entry.node))
        except ValidationError as error:
            for place, message in mistakes_of(error, AppSettings, entry, is_part=is_part):
                if place not in self._broken:
                    self._mistakes.append(place.mistake(message))
            return None

    def _spec(self, name: str, entry: Entry) -> AppSpec | None:
        settings = self._settings(entry)
        if settings is None:
            return None
        for keys, message in contradictions(settings):
            place, said = placed(entry, keys, message)
            self._mistakes.append(place.mistake(said))
        for keys, message in oddities(settings):
            place, said = placed(entry, keys, message)
            self._warnings.append(str(place.mistake(said)))
        environment: dict[str, str] = {}
        for index, file in enumerate(settings.env_file):
            environment |= self._env_file(locate(entry, ("env_file", index)), file)
        for variable, value in (settings.environment or {}).items():
            found = self._variables.get(variable) if value is None else value
            if found is None:
                place = locate(entry, ("environment", variable))
                self._warnings.append(
                    f"{place.file}:{place.line}: {place.key}: has no value and is not set outside; "
                    "the container gets no such variable"
                )
            else:
                environment[variable] = found
        spec = spec_of(name, settings, environment)
        try:
            check_settings(spec)
        except SpecRefused as error:
            self._mistakes.append(entry.place.mistake(str(error)))
        return spec

    def _env_file(self, place: Place, settings: EnvFileSettings) -> Mapping[str, str]:
        path = self._folder / settings.path
        content = self._files.content(path)
        if isinstance(content, Unreadable) and content.is_missing and not settings.required:
            return {}
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            self._mistakes.append(place.mistake(f"{path} {reason}"))
            return {}
        text = self._text(path, content)
        is_raw = settings.format == "raw"
        found = read_env_file(text or "", str(path), self._variables, is_raw=is_raw)
        self._mistakes.extend(found.mistakes)
        self._warnings.extend(found.warnings)
        return found.values


def name_mistake(name: str) -> str | None:
    """Return why an app cannot have this name; None: it can."""
    if _NAME.fullmatch(name) is None:
        return (
            f'"{name[: MAX_NAME + 1]}" cannot be an app\'s name: it becomes part of names of '
            f"containers and routers, so it has at most {MAX_NAME} lower-case letters, digits and "
            "dashes, and begins with a letter or a digit"
        )
    return None


def _in_order(mistakes: list[DesiredStateError]) -> list[DesiredStateError]:
    once = {str(mistake): mistake for mistake in mistakes}
    return sorted(once.values(), key=lambda mistake: (mistake.path, mistake.line or 0))

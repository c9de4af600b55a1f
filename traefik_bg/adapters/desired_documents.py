"""Reads the files of a desired state into sections: apps, defaults, and what is declared for them.

Apart from the reading of apps because this is about files: which there are, whether they are text,
what stands in which, and which variables they may use. Whatever is wrong is noted, not raised, so
that all mistakes can be told at once.
"""

from __future__ import annotations

import contextlib
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from traefik_bg.adapters.compose_keys import DECLARED
from traefik_bg.adapters.desired_environment import read_env_file
from traefik_bg.adapters.desired_expansion import Expansion
from traefik_bg.adapters.desired_extends import Apps, Extends, Ready
from traefik_bg.adapters.desired_files import Content, Files, Folder, Unreadable
from traefik_bg.adapters.desired_keys import unknown_key
from traefik_bg.adapters.desired_tree import Entry, Kind, Place, Scalar, Section, Table, noun
from traefik_bg.adapters.desired_yaml import decoded, parsed
from traefik_bg.core.errors import DesiredStateError

MAX_NAME = 41  # characters; with revision and number it stays within a DNS label

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_TOP = ("apps", "defaults", *DECLARED)
_EXPLICIT = "write apps: {} if nothing is to run"


@dataclass(slots=True)
class Document:
    """One file's part of the desired state."""

    defaults: Section | None = None
    apps: dict[str, Section] = field(default_factory=dict)
    declared: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """What stands in volumes, networks, secrets and configs."""
    has_apps: bool = False


class Documents:
    """One reading of all files of a desired state."""

    def __init__(self, source: Path, files: Files, environ: Mapping[str, str]) -> None:
        self.source = source
        self.files = files
        self.mistakes: list[DesiredStateError] = []
        self.warnings: list[str] = []
        self.broken: set[Place] = set()
        """Values that could not be had; nothing more is to be said of them."""
        self.environ = environ
        self.variables: Mapping[str, str] = environ
        self._extended_files: dict[Path, Apps] = {}

    def read(self) -> list[Document]:
        """Return what all files say."""
        content = self.files.content(self.source)
        self.variables = self._with_dotenv(isinstance(content, Folder))
        return list(self._documents(content))

    def _with_dotenv(self, is_folder: bool) -> Mapping[str, str]:
        """Return the variables of the process, and below them those of the `.env` beside."""
        beside = self.dotenv(self.source if is_folder else self.source.parent)
        return ChainMap(dict(self.environ), beside)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Forget the mistakes and warnings of what is read meanwhile."""
        mistakes, warnings, broken = list(self.mistakes), list(self.warnings), set(self.broken)
        try:
            yield
        finally:
            self.mistakes[:], self.warnings[:] = mistakes, warnings
            self.broken.clear()
            self.broken.update(broken)

    def dotenv(self, folder: Path) -> dict[str, str]:
        """Return what the `.env` of a folder says, if there is one."""
        path = folder / ".env"
        content = self.files.content(path)
        if isinstance(content, Unreadable) and content.is_missing:
            return {}
        text = self.text(path, content)
        found = read_env_file(text or "", str(path), self.environ, outer_wins=True)
        self.mistakes.extend(found.mistakes)
        self.warnings.extend(found.warnings)
        return found.values

    def text(self, path: Path, content: Content) -> str | None:
        """Return the text of a file, if it is one."""
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            self.mistakes.append(DesiredStateError(reason, path=str(path)))
            return None
        try:
            return decoded(content, str(path))
        except DesiredStateError as error:
            self.mistakes.append(error)
            return None

    def _documents(self, content: Content) -> Iterator[Document]:
        if not isinstance(content, Folder):
            yield from self._document(self.source, content, is_alone=True)
            return
        if not content.names:
            message = "is a folder without any *.yaml or *.yml file"
            self.mistakes.append(DesiredStateError(message, path=str(self.source)))
            return
        documents: list[Document] = []
        for name in content.names:
            path = self.source / name
            documents += self._document(path, self.files.content(path), is_alone=False)
        if not self.mistakes and not any(document.has_apps for document in documents):
            message = f"none of the files has apps; {_EXPLICIT}"
            self.mistakes.append(DesiredStateError(message, path=str(self.source)))
        yield from documents

    def _document(self, path: Path, content: Content, *, is_alone: bool) -> Iterator[Document]:
        text = self.text(path, content)
        if text is None:
            return
        try:
            root = parsed(text, str(path), self.mistakes)
            if root is None:
                raise Place(str(path), 1).mistake(f"is empty; {_EXPLICIT}")
            if not isinstance(root, Table):
                raise root.place.mistake(f"must be a mapping with apps, not {noun(root)}")
            yield self._expanded(root, str(path), is_alone=is_alone)
        except DesiredStateError as error:
            self.mistakes.append(error)

    def _expanded(self, root: Table, file: str, *, is_alone: bool) -> Document:
        entries = dict(root.own_entries())
        for key, entry in entries.items():
            if key not in _TOP:
                reason = unknown_key("", key, _TOP)
                self.mistakes.append(entry.place.mistake(f"{key}: {reason}"))
        if "apps" not in entries and (is_alone or "defaults" not in entries):
            self.mistakes.append(Place(file, 1).mistake(f"apps is missing; {_EXPLICIT}"))
        expansion = Expansion(self.variables, self.mistakes, self.warnings, self.broken)
        known = {key: entry for key, entry in entries.items() if key in _TOP}
        table = expansion.expanded(Table(root.place, known), "")
        document = Document(has_apps="apps" in known)
        if isinstance(table, Table):
            if "defaults" in table.entries:
                document.defaults = self._table("defaults", table.entries["defaults"], expansion)
            if "apps" in table.entries:
                document.apps = self._extended(
                    file, dict(self._named_apps(table.entries["apps"], expansion))
                )
            for section in DECLARED:
                if section in table.entries:
                    document.declared[section] = self._declared(table.entries[section])
        return document

    def _declared(self, section: Entry) -> dict[str, Entry]:
        """Return what a section declares; a name without more is enough."""
        match section.node:
            case Table() as table:
                return {
                    name: replace(entry, node=Table(entry.place))
                    if isinstance(entry.node, Scalar) and entry.node.kind is Kind.EMPTY
                    else entry
                    for name, entry in table.own_entries()
                }
            case Scalar(kind=Kind.EMPTY):
                return {}
            case node:
                self.mistakes.append(section.place.mistake(f"must be a mapping, not {noun(node)}"))
                return {}

    # --- apps that extend others ------------------------------------------------------------------

    def _extended(self, file: str, apps: dict[str, Section]) -> dict[str, Section]:
        tables = {name: app.table for name, app in apps.items()}
        extends = Extends(file, tables, self._apps_of)
        made: dict[str, Section] = {}
        for name, app in apps.items():
            try:
                made[name] = Section(app.place, extends.extended(name))
            except DesiredStateError as error:
                self.mistakes.append(error)
        return made

    def _apps_of(self, place: Place, path: Path) -> tuple[Apps, Ready]:
        """Return the apps, or the services, of another file."""

        def ready(name: str, app: Table) -> Table:
            expansion = Expansion(self.variables, self.mistakes, self.warnings, self.broken)
            table = expansion.expanded(app, f"services.{name}")
            return expansion.with_named_values(table) if isinstance(table, Table) else app

        return self.services_in(place, path), ready

    def services_in(self, place: Place, path: Path) -> Apps:
        """Return the apps, or the services, of a file named at a place, as they are written.

        Raises:
            DesiredStateError: it cannot be read, or has none.
        """
        if path not in self._extended_files:
            self._extended_files[path] = self._services(place, path)
        return self._extended_files[path]

    def _services(self, place: Place, path: Path) -> Apps:
        content = self.files.content(path)
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            raise place.mistake(f"{path} {reason}")
        root = parsed(decoded(content, str(path)), str(path), self.mistakes)
        if not isinstance(root, Table):
            raise place.mistake(f"{path} has neither apps nor services")
        found: dict[str, Table] = {}
        for section in ("services", "apps"):
            entry = root.entries.get(section)
            if entry is not None and isinstance(entry.node, Table):
                own = entry.node.own_entries()
                found |= {name: app.node for name, app in own if isinstance(app.node, Table)}
        return found

    def _named_apps(self, apps: Entry, expansion: Expansion) -> Iterator[tuple[str, Section]]:
        if not isinstance(apps.node, Table):
            is_empty = isinstance(apps.node, Scalar) and apps.node.kind is Kind.EMPTY
            wrong = f"must be a mapping of names to apps, not {noun(apps.node)}"
            self.mistakes.append(
                apps.place.mistake(f"is empty; {_EXPLICIT}" if is_empty else wrong)
            )
            return
        for name, entry in apps.node.own_entries():
            if (wrong_name := name_mistake(name)) is not None:
                self.mistakes.append(entry.place.mistake(wrong_name))
            if (app := self._table("an app", entry, expansion)) is not None:
                yield name, app

    def _table(self, what: str, entry: Entry, expansion: Expansion) -> Section | None:
        if isinstance(entry.node, Table):
            return Section(entry.place, expansion.with_named_values(entry.node))
        self.mistakes.append(
            entry.place.mistake(f"{what} must be a mapping, not {noun(entry.node)}")
        )
        return None

    # --- files that files name ------------------------------------------------------------------

    def beside(self, place: Place, path: str) -> Path:
        """Return the path that is meant where it is written."""
        return Path(place.file).parent / path

    def bytes_of(self, place: Place, path: Path) -> bytes | None:
        """Return what a file holds that is named at a place."""
        content = self.files.content(path)
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            self.mistakes.append(place.mistake(f"{path} {reason}"))
            return None
        return content

    def values_of(
        self, place: Place, path: Path, *, is_raw: bool = False, is_required: bool = True
    ) -> Mapping[str, str]:
        """Return the names and values of a file that is named at a place."""
        content = self.files.content(path)
        if isinstance(content, Unreadable) and content.is_missing and not is_required:
            return {}
        if self.bytes_of(place, path) is None:
            return {}
        found = read_env_file(
            self.text(path, content) or "", str(path), self.variables, is_raw=is_raw
        )
        self.mistakes.extend(found.mistakes)
        self.warnings.extend(found.warnings)
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

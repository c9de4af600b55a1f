"""A Compose file as Compose reads it: its project, its services, and what Docker calls the rest.

Apart from what is made of a service because this is about files, variables and names. Facts from
the Compose specification and its loader (compose-go): where a project's name comes from, which
`.env` counts, and that what has no name of its own is called after the project.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from traefik_bg.adapters.compose_keys import FILE
from traefik_bg.adapters.compose_values import below, is_blank, switched_on, table, text_of
from traefik_bg.adapters.desired_documents import Documents
from traefik_bg.adapters.desired_expansion import Expansion
from traefik_bg.adapters.desired_extends import Apps, Extends, Ready
from traefik_bg.adapters.desired_files import Folder, Unreadable
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_tree import Entry, Place, Table, noun
from traefik_bg.adapters.desired_yaml import decoded, parsed
from traefik_bg.core.errors import DesiredStateError

PROJECT = "COMPOSE_PROJECT_NAME"
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""What Compose looks for in a folder, in this order."""
OVERRIDES = tuple(
    f"{name}.override.{suffix}"
    for name in ("compose", "docker-compose")
    for suffix in ("yml", "yaml")
)
"""What Compose puts over that, if it lies beside."""

_TRUE = {"true", "1", "t", "yes", "on"}
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")


def found_in(path: Path) -> Path:
    """Return the Compose file that is meant: of a folder, the one that Compose would take."""
    if not os.path.isdir(path):  # noqa: PTH112 - which never raises
        return path
    return next(there(path, NAMES), path / NAMES[0])


def there(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Return the files of these names that a folder has."""
    for name in names:
        if os.path.isfile(folder / name):  # noqa: PTH113 - which never raises
            yield folder / name


class ComposeFile:
    """One Compose file; `folder` is the project's own, as Docker's host knows it."""

    def __init__(
        self,
        documents: Documents,
        path: Path,
        *,
        project: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Read the file.

        Raises:
            DesiredStateError: it is no Compose file.
        """
        self.path = path
        self.documents = documents
        self.folder = folder
        """None: nobody has said where Docker's host has it."""
        self._root = self._read()
        own = documents.dotenv(path.parent)
        self.variables: Mapping[str, str] = {**documents.variables, **own, **documents.environ}
        self.project = self._project(project)
        self.variables = {**self.variables, PROJECT: self.project}
        self.services = self._services()
        self._declared: dict[tuple[str, str], Entry | None] = {}

    # --- reading ----------------------------------------------------------------------------------

    def _read(self) -> Table:
        content = self.documents.files.content(self.path)
        if isinstance(content, Unreadable | Folder):
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            raise DesiredStateError(reason, path=str(self.path))
        root = parsed(decoded(content, str(self.path)), str(self.path), self.documents.mistakes)
        if not isinstance(root, Table) or "services" not in root.entries:
            said = "has no services, so it is no Compose file"
            if isinstance(root, Table) and "apps" in root.entries:
                said += ", but a desired state already: read it with traefik-bg check"
            raise Place(str(self.path), 1).mistake(said)
        return root

    def _services(self) -> Mapping[str, Entry]:
        services = self._root.entries["services"]
        if not isinstance(services.node, Table):
            raise services.place.mistake(
                f"services must be a mapping of names to services, not {noun(services.node)}"
            )
        return dict(services.node.own_entries())

    @property
    def top(self) -> Mapping[str, Entry]:
        """What stands beside the services."""
        return self._root.entries

    def check_top(self) -> None:
        """Note what stands beside the services and is no key of Compose."""
        for key, entry in self._root.own_entries():
            if key not in FILE:
                self.documents.mistakes.append(
                    entry.place.mistake(f"{key}: is no key of Compose; {nearest(key, FILE)}")
                )

    def _expansion(self) -> Expansion:
        of = self.documents
        return Expansion(self.variables, of.mistakes, of.warnings, of.broken)

    # --- the project ------------------------------------------------------------------------------

    def _project(self, given: str | None) -> str:
        """Return the project's name, from where Compose would take it."""
        explicit = given or self.variables.get(PROJECT)
        if explicit:
            if _PROJECT.fullmatch(explicit) is None:
                raise DesiredStateError(
                    f'"{explicit}" is no name of a project: one has lower-case letters, digits, - '
                    "and _, and begins with a letter or a digit",
                    path=str(self.path),
                )
            return explicit
        entry = self._root.entries.get("name")
        named = self._expansion().expanded(entry.node, "name") if entry is not None else None
        folder = self.folder or self.path.parent.absolute()
        found = normalized(text_of(named)) or normalized(folder.name)
        if not found:
            raise DesiredStateError(
                "lies in a folder by whose name no project can be called: write name: at its top",
                path=str(self.path),
            )
        return found

    # --- services ---------------------------------------------------------------------------------

    def service(self, name: str, place: Place | None = None) -> Table:
        """Return a service with its variables put in, and with what it extends below it.

        Raises:
            DesiredStateError: there is none of that name, or it extends what is not there.
        """
        if name not in self.services:
            known = nearest(name, self.services) if self.services else "it has none"
            raise (place or Place(str(self.path), 1)).mistake(
                f"there is no service {name} in {self.path}; {known}"
            )
        tables = {}
        for each, entry in self.services.items():
            if isinstance(entry.node, Table):
                tables[each] = entry.node
            elif each == name:
                raise entry.place.mistake(
                    f"services.{each}: must be a mapping, not {noun(entry.node)}"
                )
        return Extends(str(self.path), tables, self._load, self._ready).extended(name)

    def _ready(self, name: str, app: Table) -> Table:
        expansion = self._expansion()
        made = expansion.expanded(app, f"services.{name}")
        return expansion.with_named_values(made) if isinstance(made, Table) else app

    def _load(self, place: Place, path: Path) -> tuple[Apps, Ready]:
        return self.documents.services_in(place, path), self._ready

    # --- what services refer to by name -----------------------------------------------------------

    def declaration(self, section: str, name: str) -> Entry | None:
        """Return what the file declares under a name, as a mapping; None: nothing."""
        key = (section, name)
        if key not in self._declared:
            self._declared[key] = self._read_declaration(section, name)
        return self._declared[key]

    def _read_declaration(self, section: str, name: str) -> Entry | None:
        top = self._root.entries.get(section)
        found = (
            top.node.entries.get(name) if top is not None and isinstance(top.node, Table) else None
        )
        if found is None:
            return None
        where = f"{section}.{name}"
        made = self._expansion().expanded(found.node, where)
        place = replace(found.place, key=where)
        if is_blank(made):
            return Entry(place, Table(place))
        if not isinstance(made, Table):
            raise place.mistake(f"must be a mapping, not {noun(made)}")
        return Entry(place, made)

    def names(self, section: str) -> list[str]:
        """Return what the file declares in a section."""
        top = self._root.entries.get(section)
        return (
            [name for name, _ in top.node.own_entries()]
            if top is not None and isinstance(top.node, Table)
            else []
        )

    def is_external(self, section: str, name: str) -> bool:
        """Tell whether something declared is made by somebody else."""
        found = self.declaration(section, name)
        external = below(found.node, "external") if found is not None else None
        return isinstance(external, Table) or text_of(external).lower() in _TRUE

    def real_name(self, section: str, name: str) -> str:
        """Return what Docker calls a volume or a network of the project."""
        found = self.declaration(section, name)
        if found is not None:
            own = text_of(below(found.node, "name")) or text_of(
                below(found.node, "external", "name")
            )
            if own:
                return own
            if self.is_external(section, name):
                return name
        return f"{self.project}_{name}"

    def expect(self, section: str, name: str, place: Place) -> None:
        """Note it when something is used that is not declared, which Compose refuses too."""
        if name not in self.names(section) and (section, name) != ("networks", "default"):
            known = self.names(section)
            hint = f"; {nearest(name, known)}" if known else ""
            self.documents.mistakes.append(
                place.mistake(
                    f"{name} is not declared: write it under {section}, beside services{hint}"
                )
            )

    def external(self, place: Place) -> Entry:
        """Return the declaration of what is there already."""
        return Entry(place, table(place, {"external": switched_on(place)}))


def normalized(name: str) -> str:
    """Return the name of a project that Compose makes of another name."""
    return "".join(re.findall(r"[a-z0-9_-]", name.lower())).lstrip("_-")

"""Apps that are services of a Compose file: `compose: {file: ../shop/compose.yaml, service: web}`.

Apart from the documents because a Compose file is read by other rules than a desired one. The
service is understood as `import` understands it, at each reading, and the app's own keys stand
over it. Every file that is read is watched, so an edit of the Compose file is an edit like any
other, and its mistakes are told with its own lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from traefik_bg.adapters.compose_definitions import Names
from traefik_bg.adapters.compose_file import ComposeFile
from traefik_bg.adapters.compose_paths import Paths
from traefik_bg.adapters.compose_routers import Labelled
from traefik_bg.adapters.compose_service import Understanding, Understood, labelled
from traefik_bg.adapters.compose_values import is_blank, listed, text_of
from traefik_bg.adapters.desired_documents import Document, Documents
from traefik_bg.adapters.desired_extends import composed
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Place, Scalar, Section, Table
from traefik_bg.core.errors import DesiredStateError

KEY = "compose"
KNOWN = ("file", "folder", "project", "service")

_NEEDED = {"file": "the Compose file", "service": "which of its services"}
_WHOLE = ("route", "rollout", "adopt")
"""What an app says itself stands alone: halves of two routes make none."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What an app says under `compose`."""

    place: Place
    path: Path
    service: str
    project: str | None
    folder: Path | None

    @property
    def source(self) -> tuple[Path, str | None, Path | None]:
        """What makes one Compose file of several wishes."""
        return self.path, self.project, self.folder


class FromCompose:
    """The apps of a desired state that are services of Compose files."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._files: dict[tuple[Path, str | None, Path | None], ComposeFile | None] = {}

    def put_in(self, found: list[Document]) -> None:
        """Put the services into the apps that are made of them; mistakes are noted."""
        wishes: dict[tuple[int, str], _Wish] = {}
        for number, document in enumerate(found):
            for name, app in list(document.apps.items()):
                entry = app.table.entries.get(KEY)
                if entry is None:
                    continue
                try:
                    wishes[number, name] = _wish(entry)
                except DesiredStateError as error:
                    self._documents.mistakes.append(error)
                    del document.apps[name]
        names = self._names({name: wish for (_, name), wish in wishes.items()})
        for (number, name), wish in wishes.items():
            try:
                self._put(found, found[number], name, wish, names)
            except DesiredStateError as error:
                self._documents.mistakes.append(error)
                del found[number].apps[name]

    def _put(
        self, found: list[Document], document: Document, name: str, wish: _Wish, names: Names
    ) -> None:
        app = document.apps[name]
        file = self._file(wish)
        paths = Paths(wish.path, file.variables, host=wish.folder, target=None)
        port = app.table.entries.get("port")
        reading = Understanding(
            file, paths, wish.service, names.middleware,
            port=text_of(port.node) or None if port is not None else None,
            asked=wish.place,
        )  # fmt: skip
        made = reading.understood()
        self._documents.warnings += _warnings(made)
        document.apps[name] = Section(app.place, self._over(app.table, made, file, wish))
        known = {
            (section, each)
            for other in found
            for section in other.declared
            for each in other.declared[section]
        }
        for section, entries in made.declared.items():
            kept = document.declared.setdefault(section, {})
            kept |= {each: entry for each, entry in entries.items() if (section, each) not in known}

    # --- files ------------------------------------------------------------------------------------

    def _file(self, wish: _Wish) -> ComposeFile:
        if wish.source not in self._files:
            self._files[wish.source] = None  # tried: its mistakes are not told again
            self._files[wish.source] = self._read(wish)
        file = self._files[wish.source]
        if file is None:
            raise wish.place.mistake(f"{wish.path} cannot be used: see its own mistakes")
        return file

    def _read(self, wish: _Wish) -> ComposeFile:
        try:
            return ComposeFile(self._documents, wish.path, project=wish.project, folder=wish.folder)
        except DesiredStateError as error:
            if error.line is None:
                raise wish.place.mistake(f"{wish.path} {error.message}") from error
            raise

    def _names(self, wishes: Mapping[str, _Wish]) -> Names:
        """Return what middlewares are called when the containers that defined them are ours."""
        moved: dict[str, Labelled] = {}
        for name, wish in wishes.items():
            with self._documents.aside(), contextlib.suppress(DesiredStateError):
                file = self._read(wish)
                moved[name] = labelled(file, wish.service, file.service(wish.service))
        return Names(moved)

    # --- the app ----------------------------------------------------------------------------------

    def _over(self, own: Table, made: Understood, file: ComposeFile, wish: _Wish) -> Table:
        """Return the app's own keys over the service."""
        entries = {key: entry for key, entry in own.entries.items() if key != KEY}
        below = {
            key: entry
            for key, entry in made.table.entries.items()
            if not (key in _WHOLE and key in entries)
        }
        if "environment" in below:
            below["environment"] = _filled(below["environment"], file.variables)
        merged = composed(Table(made.place, below), Table(own.place, entries))
        return Table(merged.place, dict(self._mounted(merged, wish)))

    def _mounted(self, app: Table, wish: _Wish) -> Iterator[tuple[str, Entry]]:
        """Return the app without mounts of which nobody knows where Docker has them."""
        for key, entry in app.entries.items():
            if key != "volumes":
                yield key, entry
                continue
            kept = []
            for item in listed(entry.node):
                source = item.entries.get("source") if isinstance(item, Table) else None
                path = source.node if source is not None else item
                is_ours = item.place.file == str(wish.path)
                if is_ours and text_of(path).startswith((".", "~")):
                    self._documents.mistakes.append(item.place.mistake(_RELATIVE))
                else:
                    kept.append(item)
            yield key, Entry(entry.place, Items(tuple(kept), entry.node.place))


_RELATIVE = (
    "is relative, and Docker may have this folder elsewhere than traefik-bg: write under compose, "
    "beside file, folder: its path on the Docker host; or the volume itself beside compose"
)


def _wish(entry: Entry) -> _Wish:
    """Return what an app wants of a Compose file.

    Raises:
        DesiredStateError: it does not say it so that it can be followed.
    """
    if not isinstance(entry.node, Table):
        raise entry.place.mistake("must be a mapping with file and service")
    found: dict[str, str] = {}
    for key, item in entry.node.own_entries():
        if key not in KNOWN:
            raise item.place.mistake(f"is unknown here; {nearest(key, KNOWN)}")
        if (
            not isinstance(item.node, Scalar)
            or item.node.kind is not Kind.TEXT
            or not item.node.text
        ):
            raise item.place.mistake("must be text")
        found[key] = item.node.text
    for key, what in _NEEDED.items():
        if key not in found:
            raise entry.place.mistake(f"{key} is missing: write {what}")
    folder = found.get("folder")
    if folder is not None and not folder.startswith("/"):
        place = entry.node.entries["folder"].place
        raise place.mistake("must be the absolute path of the file's folder on the Docker host")
    return _Wish(
        entry.place,
        Path(entry.place.file).parent / found["file"],
        found["service"],
        found.get("project"),
        Path(folder) if folder is not None else None,
    )


def _filled(entry: Entry, variables: Mapping[str, str]) -> Entry:
    """Return an environment in which a name alone has what Compose would give it."""
    if not isinstance(entry.node, Table):
        return entry
    made: dict[str, Entry] = {}
    for name, item in entry.node.entries.items():
        value = variables.get(name) if is_blank(item.node) else None
        node = item.node if value is None else Scalar(value, Kind.TEXT, item.place, is_secret=True)
        made[name] = Entry(item.place, node)
    return Entry(entry.place, Table(entry.node.place, made))


def _warnings(made: Understood) -> Iterable[str]:
    """Return what of the service the app does not have."""
    for note in made.notes:
        if not note.is_kept:
            yield f"{note.place.file}:{note.place.line}: {note.where}: left out: {note.message}"
    for router in made.labelled.foreign:
        option = router.option.first()
        place = option.place
        yield (
            f"{place.file}:{place.line}: {option.label}: leads to another service: it must stand "
            "in a file of Traefik's own: traefik-bg import writes it"
        )

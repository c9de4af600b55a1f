"""Makes a desired state of a Compose file, once, as text: `traefik-bg import`.

Apart from the understanding of a service because this is about the whole file: which services are
taken, what they are called, and that what comes out is read by our own reader as it was meant. It
writes nothing; the command does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from traefik_bg.adapters.compose_definitions import Names, definitions
from traefik_bg.adapters.compose_file import OVERRIDES, PROJECT, ComposeFile, found_in, there
from traefik_bg.adapters.compose_page import Page, page
from traefik_bg.adapters.compose_paths import Paths
from traefik_bg.adapters.compose_routers import Labelled
from traefik_bg.adapters.compose_service import Understanding, Understood, labelled
from traefik_bg.adapters.compose_values import Note, text_of, written
from traefik_bg.adapters.desired_documents import MAX_NAME, Document, Documents
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_reading import Desired, desired_of, read_desired
from traefik_bg.adapters.desired_tree import Entry, Place, Scalar, Section
from traefik_bg.adapters.interpolation import InterpolationError, substitute
from traefik_bg.core.errors import DesiredStateError, DesiredStateErrors

STDOUT = "desired.yaml"  # what a file is taken to be called that has no name yet

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to have imported."""

    path: Path
    services: tuple[str, ...] = ()
    """Only these; none: every service that Traefik's labels route."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """Where services listen, for what the file does not say."""
    project: str | None = None
    output: Path | None = None
    """Where the desired state will stand; None: beside the Compose file."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A desired state made of a Compose file."""

    text: str
    apps: Mapping[str, str]
    """The service that each app was."""
    stays: tuple[str, ...]
    """The services that stay Compose's."""
    notes: tuple[Note, ...]
    """All that is not as it was."""
    warnings: tuple[str, ...] = ()


def import_compose(wish: Wish, environ: Mapping[str, str] | None = None) -> Imported:
    """Return a desired state with the services of a Compose file.

    Raises:
        DesiredStateErrors: something cannot be taken over, or makes no sense; all of it.
    """
    known = os.environ if environ is None else environ
    documents = _Prepared(found_in(wish.path), Files(), known)
    folder = str(documents.source.parent.absolute())
    if any("\ud800" <= letter <= "\udfff" for letter in folder):  # how Python spells such bytes
        said = "lies in a folder whose name is not UTF-8, so no file can name it"
        raise DesiredStateErrors([DesiredStateError(said, path=documents.source.name)])
    try:
        return _Import(wish, documents).imported()
    except DesiredStateErrors:
        raise
    except DesiredStateError as error:
        raise DesiredStateErrors([*documents.mistakes, error]) from error


class _Prepared(Documents):
    """Documents that nobody has to read: they are made of something else."""

    documents: list[Document]

    def read(self) -> list[Document]:
        return self.documents


class _Import:
    """One import."""

    def __init__(self, wish: Wish, documents: _Prepared) -> None:
        self._wish = wish
        self._documents = documents
        self._file = ComposeFile(
            documents, documents.source, project=wish.project,
            folder=documents.source.parent.absolute(),
        )  # fmt: skip
        target = wish.output.parent if wish.output is not None else documents.source.parent
        self._target = target / (wish.output.name if wish.output is not None else STDOUT)
        self._paths = Paths(
            documents.source, self._file.variables, host=self._file.folder, target=target
        )
        self._file.check_top()
        self._all = {name: self._peeked(name) for name in self._file.services}

    def imported(self) -> Imported:
        chosen = self._chosen()
        apps = self._app_names(chosen)
        moved = {app: found for app, name in apps.items() if (found := self._all[name]) is not None}
        names = Names(moved)
        made = {app: self._understood(name, names) for app, name in apps.items()}
        desired = self._checked(made)
        text = page(self._page(made, definitions(moved, names), names), self._spelled)
        if self._documents.mistakes:
            raise DesiredStateErrors(self._documents.mistakes)
        self._prove(text, desired)
        notes = tuple(note for each in made.values() for note in each.notes)
        return Imported(
            text, apps, self._stays(apps), notes, (*self._warnings(), *desired.warnings)
        )

    # --- which services ---------------------------------------------------------------------------

    def _peeked(self, name: str) -> Labelled | None:
        """Return what the labels of a service say, if they can be read: nobody may want it."""
        with self._documents.aside(), contextlib.suppress(DesiredStateError):
            return labelled(self._file, name, self._file.service(name))
        return None

    def _chosen(self) -> list[str]:
        for name in (*self._wish.services, *self._wish.ports):
            if name not in self._file.services:
                raise DesiredStateError(
                    f"there is no service {name}; {nearest(name, self._file.services)}",
                    path=str(self._file.path),
                )
        if self._wish.services:
            return list(dict.fromkeys(self._wish.services))
        chosen = [
            name
            for name, found in self._all.items()
            if found is not None and self._is_routed(name, found)
        ]
        if not chosen:
            known = ", ".join(self._file.services) or "none"
            raise DesiredStateError(
                f"no service has labels by which Traefik routes to it; name those to import with "
                f"--service: {known}",
                path=str(self._file.path),
            )
        return chosen

    def _is_routed(self, name: str, found: Labelled) -> bool:
        return found.is_routed and not self.is_traefik(name)

    def is_traefik(self, name: str) -> bool:
        """Tell whether a service is Traefik itself."""
        with self._documents.aside(), contextlib.suppress(DesiredStateError):
            image = self._file.service(name).entries.get("image")
            text = text_of(image.node) if image is not None else ""
            return text.rpartition("/")[2].partition(":")[0].partition("@")[0] == "traefik"
        return False

    def _app_names(self, services: list[str]) -> dict[str, str]:
        """Return a name for the app of each service."""
        made: dict[str, str] = {}
        for service in services:
            app = _NOT_IN_NAMES.sub("-", service.lower()).strip("-")[:MAX_NAME].strip("-") or "app"
            number = 2
            while app in made:
                app = f"{app[: MAX_NAME - 4].rstrip('0123456789').rstrip('-')}-{number}"
                number += 1
            made[app] = service
        return made

    def _stays(self, apps: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name in self._file.services if name not in apps.values())

    # --- what they become -------------------------------------------------------------------------

    def _understood(self, name: str, names: Names) -> Understood:
        reading = Understanding(
            self._file, self._paths, name, names.middleware, port=self._wish.ports.get(name),
            choice=f"--port {name}=8000",
        )  # fmt: skip
        return reading.understood()

    def _checked(self, made: Mapping[str, Understood]) -> Desired:
        """Return what the apps mean, checked as if they stood in a desired file.

        Raises:
            DesiredStateErrors: they could not stand there; with the places of the Compose file.
        """
        apps = {app: Section(found.place, found.table) for app, found in made.items()}
        declared: dict[str, dict[str, Entry]] = {}
        for found in made.values():
            for section, entries in found.declared.items():
                declared.setdefault(section, {}).update(entries)
        self._documents.documents = [Document(apps=apps, declared=declared, has_apps=True)]
        self._documents.variables = self._file.variables
        return desired_of(self._documents)

    def _page(self, made: Mapping[str, Understood], moved: str, names: Names) -> Page:
        stays = self._stays({app: each.name for app, each in made.items()})
        read = {name: self._all[name] for name in stays}
        others = {name: found for name, found in read.items() if found is not None}
        traefik = next((name for name in others if self.is_traefik(name)), None)
        return Page(self._file, made, others, moved, names, traefik)

    # --- writing ----------------------------------------------------------------------------------

    def _spelled(self, scalar: Scalar) -> str:
        """Return how a value is written where it will stand, with the variables known there."""
        spelled = written(scalar)
        if "$" not in spelled:
            return spelled
        for each in (PROJECT, f"{{{PROJECT}}}"):
            spelled = spelled.replace(f"${each}", self._file.project)
        try:
            if substitute(spelled, self._known).text == scalar.text:
                return spelled
        except InterpolationError:
            pass
        names = ", ".join(dict.fromkeys(_VARIABLE.findall(spelled)))
        self._documents.mistakes.append(
            scalar.place.mistake(
                f"{names} may come from {self._file.path.parent / '.env'}, which is not "
                f"read for {self._target}: write it beside the Compose file, or say the same in "
                f"{self._target.parent / '.env'} first"
            )
        )
        return spelled

    @property
    def _known(self) -> Mapping[str, str]:
        with self._documents.aside():
            return {**self._documents.dotenv(self._target.parent), **self._documents.environ}

    def _prove(self, text: str, meant: Desired) -> None:
        """Read what was written as it will be read.

        Raises:
            DesiredStateErrors: it would not be accepted.
        """
        files = Files()
        files.contents = {**self._documents.files.contents, self._target: text.encode()}
        found = read_desired(self._target, files, self._documents.environ)
        if found.apps != meant.apps:
            apart = [name for name in meant.apps if found.apps.get(name) != meant.apps[name]]
            is_beside = self._target.parent.absolute() == self._file.path.parent.absolute()
            way_out = "a bug of traefik-bg, please report it"
            said = f"{', '.join(apart)} would mean something else in {self._target}: " + (
                way_out if is_beside else "write it beside the Compose file, where its .env is"
            )
            raise DesiredStateErrors([Place(str(self._file.path), 1).mistake(said)])

    def _warnings(self) -> Iterator[str]:
        """Return what else Compose would have read."""
        for path in there(self._file.path.parent, OVERRIDES):
            yield (
                f"{path}: is not read; Compose puts it over {self._file.path.name}: import what "
                "docker compose config prints"
            )
        include = self._file.top.get("include")
        if include is not None:
            yield str(
                include.place.mistake(
                    "include: is not read; import what docker compose config prints"
                )
            )

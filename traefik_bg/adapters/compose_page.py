"""The text of a desired state that was made from a Compose file: what it is, and what to do first.

Apart from the import because it is for people: everything of the Compose file that is not in the
apps is here in a comment, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from traefik_bg.adapters.compose_definitions import Names
from traefik_bg.adapters.compose_file import ComposeFile
from traefik_bg.adapters.compose_keys import DECLARED, FILE
from traefik_bg.adapters.compose_labels import split
from traefik_bg.adapters.compose_routers import PROTOCOLS, Labelled
from traefik_bg.adapters.compose_service import Understood
from traefik_bg.adapters.compose_text import Remarks, Spell, Writer, comment
from traefik_bg.adapters.compose_values import Note, below, raw_summary, summary, text_of
from traefik_bg.adapters.desired_tree import Entry, Items, Node, Place, Table, is_note

_SECTIONS = ("volumes", "secrets", "configs")
_RULER = "-" * 98


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be told."""

    file: ComposeFile
    apps: Mapping[str, Understood]
    others: Mapping[str, Labelled]
    """The services that stay Compose's, and what their labels say."""
    moved: str
    """What must go into a file of Traefik's own."""
    names: Names
    traefik: str | None
    """The service that is Traefik itself, if it is one of the others."""

    @property
    def stays(self) -> list[str]:
        """The names of all services that stay Compose's."""
        taken = {found.name for found in self.apps.values()}
        return [name for name in self.file.services if name not in taken]


def page(told: Page, spell: Spell) -> str:
    """Return the whole text."""
    return "\n".join([*_lines(told, spell), ""])


def _lines(told: Page, spell: Spell) -> Iterator[str]:
    yield from _head(told)
    declared = _declared(told)
    if declared.entries:
        yield ""
        yield from comment("What the apps refer to by name.")
        yield from Writer(spell, _of_declared(declared)).lines(declared)
    yield ""
    yield "apps:"
    for number, (app, found) in enumerate(told.apps.items()):
        if number:
            yield ""
        yield from _app(app, found, spell)
    if told.moved:
        yield ""
        yield from _for_traefik(told)
    if rest := list(_rest(told)):
        yield ""
        yield from comment(f"What else stands in {told.file.path.name}:")
        for each in rest:
            yield from comment(each, hang="  ")


# --- head -----------------------------------------------------------------------------------------


def _head(told: Page) -> Iterator[str]:
    file = told.file
    yield from comment(
        f"Made by traefik-bg import from {file.path.name}, Compose's project {file.project}. Paths "
        "that are not absolute, and variables, are those of the folder it was made for."
    )
    yield "#"
    yield from comment(f"traefik-bg runs: {', '.join(told.apps)}", hang="  ")
    if told.stays:
        up = f"docker compose up --detach {' '.join(told.stays)}"
        yield from comment(f"Compose runs on: {', '.join(told.stays)} ({up})", hang="  ")
    yield "#"
    yield from comment("Before the first deployment:")
    for number, step in enumerate(_steps(told), 1):
        yield from comment(f"{number}. {step}", hang="   ")
    services = ", ".join(dict.fromkeys(found.name for found in told.apps.values()))
    yield from comment(
        "Then start traefik-bg. It takes over from the containers that Compose runs: their traffic "
        "goes to new replicas, and once those are good the old containers are stopped, not removed."
    )
    yield from comment(
        f"So that Compose does not start {services} again, take it out of its file or give it "
        "profiles: [replaced]."
    )


def _steps(told: Page) -> Iterator[str]:
    yield _shared(told)
    yield (
        "Traefik must read what traefik-bg publishes: give it a file or an HTTP provider, and its "
        "API, beside the Docker provider."
    )
    networks = sorted({name for found in told.apps.values() for name in _networks(found)})
    if networks:
        create = "; ".join(f"docker network create {name}" for name in networks)
        yield (
            f"These networks must be there: {', '.join(networks)}. Compose makes those of its "
            f"project while one of its own services is in them; otherwise: {create}."
        )
    volumes = [name for found in told.apps.values() for name in found.declared.get("volumes", {})]
    if volumes:
        create = "; ".join(f"docker volume create {name}" for name in dict.fromkeys(volumes))
        yield (
            "The volumes with your files must be there under the names that Compose gave them. On "
            f"a machine where Compose never ran: {create}."
        )
    if told.moved:
        yield "Put the block for Traefik, at the end, into a file in Traefik's dynamic folder."
    yield from _built(told)
    yield from _users(told)


def _shared(told: Page) -> str:
    """Say which network Traefik and the replicas share."""
    wanted = dict.fromkeys(
        found.labelled.network.text
        for found in told.apps.values()
        if found.labelled.network is not None
    )
    named = [name for name in wanted if name]
    common = set.intersection(*(set(_networks(found)) for found in told.apps.values()))
    if told.traefik is not None:
        common &= set(_networks_of(told.file, told.traefik)) or common
    choice = named if len(named) == 1 else sorted(common)
    if len(choice) == 1:
        return (
            f"Start traefik-bg with --network {choice[0]}, the network in which Traefik reaches "
            "the apps. Traefik must be in it."
        )
    among = f", one of {', '.join(choice)}" if choice else ""
    return f"Start traefik-bg with --network and the network in which Traefik is{among}."


def _networks(found: Understood) -> list[str]:
    networks = found.app.get("networks")
    return (
        list(networks.node.entries)
        if networks is not None and isinstance(networks.node, Table)
        else []
    )


def _networks_of(file: ComposeFile, service: str) -> list[str]:
    entry = file.services[service]
    given = below(entry.node, "networks")
    match given:
        case Table(entries=entries) if entries:
            names = list(entries)
        case Items(items=items) if items:
            names = [text_of(item) for item in items]
        case _:
            names = ["default"]
    return [file.real_name("networks", name) for name in names]


def _built(told: Page) -> Iterator[str]:
    for app, found in told.apps.items():
        if any(note.key == "build" for note in found.notes):
            image = summary(found.app["image"].node) if "image" in found.app else app
            yield (
                f"The image of {app} was built by Compose as {image}. Build and tag each new "
                "version (docker build --tag NAME:VERSION) and write that tag under image."
            )


def _users(told: Page) -> Iterator[str]:
    """Say which services use a middleware that is Traefik's own from now on."""
    for service, labels in told.others.items():
        for protocol in PROTOCOLS:
            for router in labels.options.children(protocol, "routers"):
                used = router.at("middlewares")
                for name in (
                    split(used.value.text) if used is not None and used.value is not None else ()
                ):
                    if moved := told.names.moved(protocol, name):
                        yield f"{service} uses the middleware {name}: write {moved} in its labels."


# --- sections -------------------------------------------------------------------------------------


def _declared(told: Page) -> Table:
    made: dict[str, Entry] = {}
    place = Place(str(told.file.path), 1)
    for section in _SECTIONS:
        entries: dict[str, Entry] = {}
        for found in told.apps.values():
            entries |= found.declared.get(section, {})
        if entries:
            made[section] = Entry(place, Table(place, entries))
    return Table(place, made)


def _of_declared(declared: Table) -> Remarks:
    said = "With external, an app does not start with an empty volume where yours is missing."
    return {("volumes",): said} if "volumes" in declared.entries else {}


def _app(app: str, found: Understood, spell: Spell) -> Iterator[str]:
    if app != found.name:
        yield from comment(f"Compose's service {found.name}", "  ")
    place = found.place
    whole = Table(place, {app: Entry(place, found.table)})
    yield from Writer(spell, _remarks(app, found)).lines(whole, 1)
    notes = [_told(note, found) for note in found.notes]
    if notes:
        yield from comment("Not as it was:", "    ")
        for said in dict.fromkeys(notes):
            yield from comment(f"- {said}", "    ", hang="  ")


def _told(note: Note, found: Understood) -> str:
    where = (
        f"line {note.place.line}"
        if note.place.file == found.place.file
        else f"{note.place.file}:{note.place.line}"
    )
    shown = f": {note.shown}" if note.shown else ""
    return f"{note.key}{shown} ({where}): {note.message}."


def _remarks(app: str, found: Understood) -> Remarks:
    made: dict[tuple[str, ...], str] = {
        (app, "networks"): "By their names in Docker. Other containers reach the app by the alias, "
        "past Traefik: new replicas too, before they are proven.",
        (app, "route", "priority"): "One above that of Compose's own container, so that all "
        "requests come here while both run; it can go when that is stopped.",
        (app, "adopt"): "What Compose runs of it now. It serves until new replicas are good, and "
        "is stopped then, not removed; this can go afterwards.",
        (app, "labels", "traefik.enable"): "Routes come from traefik-bg: Traefik's Docker provider "
        "leaves the replicas alone.",
    }  # fmt: skip
    if "build" in {note.key for note in found.notes}:
        made[app, "image"] = "A new tag for each version: build it, tag it, and write it here."
    return made


def _for_traefik(told: Page) -> Iterator[str]:
    yield from comment(
        "For Traefik: what the labels of these services defined beside routes. Without the marks "
        "of comments it is a file for its dynamic folder (file provider). Variables are put in."
    )
    yield f"# {_RULER}"
    for line in told.moved.rstrip("\n").split("\n"):
        yield f"# {line}"
    yield f"# {_RULER}"


def _rest(told: Page) -> Iterator[str]:
    """Return what stands beside the services and is not in the apps."""
    used = {
        name
        for found in told.apps.values()
        for section in found.declared.values()
        for name in section
    }
    for key, entry in told.file.top.items():
        if is_note(key):
            yield f"{key}: yours; what is taken from it by anchors is in the apps"
        elif key in DECLARED:
            yield from _undeclared(told, key, entry.node, used)
        elif key == "name":
            yield f"name: {raw_summary(entry.node)}: it is in the names of volumes and networks"
        elif key != "services":
            row = FILE.get(key)
            reason = (
                "it says nothing any more"
                if key == "version"
                else row.note
                if row
                else "is unknown"
            )
            yield f"{key}: {raw_summary(entry.node)}: {reason}"


def _undeclared(told: Page, section: str, node: Node, used: set[str]) -> Iterator[str]:
    for name, entry in node.entries.items() if isinstance(node, Table) else ():
        said = raw_summary(entry.node)
        shown = f"{section}.{name}" + (f": {said}" if said else "")
        if section in {"secrets", "configs"}:
            if f"{told.file.project}_{name}" not in used:
                yield f"{shown}: no app uses it"
            continue
        real = told.file.real_name(section, name)
        if section == "networks":
            yield f"{shown}: Docker's {real}; it is made by Compose, or is there"
        else:
            yield f"{shown}: Docker's {real}; " + (
                "made by Compose" if real in used else "no app uses it"
            )

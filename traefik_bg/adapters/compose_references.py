"""What a Compose service refers to by name, said with the names that Docker knows it by.

Apart from the other container keys because a volume under a wrong name is an empty one: what
Compose made for a project keeps the name that Compose gave it, and must be there. Facts from the
Compose specification: the default network, the alias of each service, the short form of a volume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from traefik_bg.adapters.compose_file import ComposeFile
from traefik_bg.adapters.compose_paths import Paths
from traefik_bg.adapters.compose_values import (
    below,
    derived,
    escaped,
    is_blank,
    listed,
    switched_on,
    text_of,
    word,
    written,
)
from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Scalar, Table

DEFAULT = "default"

_PROPAGATION = {"private", "rprivate", "rshared", "rslave", "shared", "slave"}
_ALWAYS = {"ro", "rw", "readonly"}
_OPTIONS = {"bind": _ALWAYS | _PROPAGATION | {"z", "Z"}, "volume": _ALWAYS | {"nocopy"}}
"""What the short form of a volume can say; Compose passes over all else in silence."""

Take = Callable[[str, Node, str], None]
"""Takes a note: key, value, message."""


class References:
    """The volumes, networks, secrets and configs of one service."""

    def __init__(
        self, file: ComposeFile, paths: Paths, name: str, service: Table, note: Take
    ) -> None:
        self._file = file
        self._paths = paths
        self._name = name
        self._service = service
        self._note = note
        self.declared: dict[str, dict[str, Entry]] = {}
        """What must be declared for the app, by section and name."""

    # --- networks ---------------------------------------------------------------------------------

    def networks(self, wanted: Node | None) -> Entry | None:
        """Return the networks of the app by their real names; the others find it there as ever."""
        if "network_mode" in self._service.entries and wanted is None:
            return None
        place = wanted.place if wanted is not None else self._service.place
        names = self._named(wanted)
        if not names:
            names = {DEFAULT: Entry(place, Table(place))}
        made: dict[str, Entry] = {}
        for name, entry in names.items():
            self._file.expect("networks", name, entry.place)
            real = self._file.real_name("networks", name)
            made[real] = Entry(entry.place, self._known_as(entry))
        return Entry(place, Table(place, made))

    def _named(self, wanted: Node | None) -> dict[str, Entry]:
        match wanted:
            case Table(entries=entries):
                return dict(entries)
            case Items(items=items):
                found = {text_of(item): item.place for item in items if text_of(item)}
                return {name: Entry(place, Table(place)) for name, place in found.items()}
            case _:
                return {}

    def _known_as(self, entry: Entry) -> Table:
        """Return how the app is known in a network: by its service's name, too."""
        options = dict(entry.node.entries) if isinstance(entry.node, Table) else {}
        place = entry.place
        aliases = {self._name: word(self._name, place)}
        container = self._service.entries.get("container_name")
        if container is not None and isinstance(container.node, Scalar) and text_of(container.node):
            aliases.setdefault(container.node.text, container.node)
        given = options.get("aliases")
        for item in listed(given.node) if given is not None else ():
            if isinstance(item, Scalar):
                aliases.setdefault(item.text, item)
        return Table(
            place, {**options, "aliases": Entry(place, Items(tuple(aliases.values()), place))}
        )

    # --- volumes ----------------------------------------------------------------------------------

    def volumes(self, entry: Entry) -> Entry | None:
        """Return the mounts of the app."""
        made = [self._mount(item) for item in listed(entry.node)]
        return Entry(entry.place, Items(tuple(made), entry.node.place)) if made else None

    def _mount(self, item: Node) -> Node:
        if isinstance(item, Table):
            return self._long(item)
        if not isinstance(item, Scalar):
            return item
        source, *rest = item.text.split(":")
        if not rest:
            return item
        if source.startswith((".", "/", "~")):
            path = self._paths.mounted(_source(item, source))
            return self._short(item, path, rest, "bind")
        return self._short(item, word(self._volume(source, item), item.place), rest, "volume")

    def _short(self, item: Scalar, source: Scalar, rest: list[str], kind: str) -> Node:
        target, *options = rest
        kept: list[str] = []
        for option in ",".join(options).split(",") if options else ():
            if option in _OPTIONS[kind]:
                kept.append(option)
            else:
                self._note("volumes", item, f"{option} has no effect on this mount")
        parts = [target, *([",".join(kept)] if kept else [])]
        if ":" in source.text:
            return _as_table(item, source, target, kept)
        text = ":".join([source.text, *parts])
        spelled = ":".join([written(source), *map(escaped, parts)])
        return derived(item, text, spelled, self._file.variables)

    def _long(self, item: Table) -> Table:
        source = item.entries.get("source")
        if source is None or not isinstance(source.node, Scalar) or not text_of(source.node):
            return item
        match text_of(below(item, "type")):
            case "bind":
                made = self._paths.mounted(source.node)
            case "volume":
                made = word(self._volume(source.node.text, source.node), source.place)
            case _:
                return item
        return Table(item.place, {**item.entries, "source": Entry(source.place, made)})

    def _volume(self, name: str, at: Node) -> str:
        """Return what Docker calls a volume, which must be there when the app starts."""
        self._file.expect("volumes", name, at.place)
        real = self._file.real_name("volumes", name)
        found = self._file.declaration("volumes", name)
        place = found.place if found is not None else at.place
        self.declared.setdefault("volumes", {})[real] = self._file.external(place)
        return real

    # --- secrets and configs ----------------------------------------------------------------------

    def contents(self, section: str, entry: Entry) -> Entry:
        """Return what the app gets of the secrets or configs, each under the project's name."""
        granted = (self._grant(section, item) for item in listed(entry.node))
        made = tuple(item for item in granted if item is not None)
        return Entry(entry.place, Items(made, entry.node.place))

    def _grant(self, section: str, item: Node) -> Node | None:
        """Return how the app gets one of them; None: it cannot, and that is noted."""
        source = below(item, "source") if isinstance(item, Table) else item
        if not isinstance(source, Scalar) or is_blank(source):
            return item
        name = source.text
        self._file.expect(section, name, source.place)
        own = f"{self._file.project}_{name}"
        if not self._declare(section, name, own):
            return None
        given = item.entries if isinstance(item, Table) else {}
        target = given.get("target") or Entry(source.place, replace(source, written=None))
        entries = {
            **given,
            "source": Entry(source.place, word(own, source.place)),
            "target": target,
        }
        return Table(item.place, entries)

    def _declare(self, section: str, name: str, own: str) -> bool:
        """Declare a secret or config for the app, under a name that no other project has."""
        found = self._file.declaration(section, name)
        if found is None or not isinstance(found.node, Table):
            return False
        if self._file.is_external(section, name):
            self._file.documents.mistakes.append(
                found.place.mistake("is external, which is for Swarm: write file or environment")
            )
            return False
        made: dict[str, Entry] = {}
        for key, each in found.node.entries.items():
            if key in {"file", "environment", "content"}:
                node = each.node
                if key == "file" and isinstance(node, Scalar):
                    node = self._paths.read(node)
                made[key] = Entry(each.place, node)
            else:
                self._note(f"{section}.{name}.{key}", each.node, "it says nothing about a file")
        contents = Table(found.node.place, made)
        self.declared.setdefault(section, {})[own] = Entry(found.place, contents)
        return True


def _source(item: Scalar, source: str) -> Scalar:
    """Return the part of a mount that is the path on the host, with its variables."""
    spelled = written(item)
    depth = 0
    for index, letter in enumerate(spelled):
        depth += (letter == "{") - (letter == "}")
        if letter == ":" and depth <= 0:
            return Scalar(source, Kind.TEXT, item.place, item.is_secret, spelled[:index])
    return Scalar(source, Kind.TEXT, item.place, item.is_secret)


def _as_table(item: Scalar, source: Scalar, target: str, options: list[str]) -> Table:
    """Return a mount of a path that the short form cannot hold."""
    place = item.place
    made: dict[str, Node] = {
        "type": word("bind", place),
        "source": source,
        "target": word(target, place),
    }
    if {"ro", "readonly"} & set(options):
        made["read_only"] = switched_on(place)
    bind: dict[str, Node] = {}
    for option in options:
        if option in {"z", "Z"}:
            bind["selinux"] = word(option, place)
        elif option in _PROPAGATION:
            bind["propagation"] = word(option, place)
    if bind:
        made["bind"] = Table(place, {key: Entry(place, node) for key, node in bind.items()})
    return Table(place, {key: Entry(place, node) for key, node in made.items()})

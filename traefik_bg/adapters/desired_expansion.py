"""Makes the tree of a file ready to be checked: variables put in, defaults merged under each app.

Apart from the schema because it works on the tree, where every value still knows its line. It is
also where a small file that unfolds into an enormous one, through aliases, is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Place, Scalar, Table
from traefik_bg.adapters.interpolation import InterpolationError, substitute
from traefik_bg.core.errors import DesiredStateError

MAX_VALUES = 100_000  # in one file, aliases unfolded; a thousand apps need about half of that
MAX_DEPTH = 128  # aliases unfolded; the reader allows half of it

_NAMED = frozenset({"annotations", "environment", "labels", "sysctls"})
"""Settings with two spellings, a mapping or a list of NAME=VALUE, that mean and merge the same."""


@dataclass(slots=True)
class Expansion:
    """One file's tree being made ready."""

    variables: Mapping[str, str]
    mistakes: list[DesiredStateError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)
    """Values that could not be had; nothing more is to be said of them."""
    count: int = 0

    def expanded(self, node: Node, key: str, depth: int = 0) -> Node:
        """Return the tree with variables put in, and with every value knowing its key.

        Raises:
            DesiredStateError: it unfolds into more than anybody means.
        """
        self.count += 1
        place = replace(node.place, key=key)
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            raise place.mistake("the aliases here unfold into more than traefik-bg reads")
        match node:
            case Scalar():
                return self._filled_in(node, place)
            case Items():
                items = tuple(
                    self.expanded(item, f"{key}[{index}]", depth + 1)
                    for index, item in enumerate(node.items)
                )
                return Items(items, place)
            case Table():
                return Table(place, dict(self._entries(node, key, depth)))

    def _entries(self, table: Table, key: str, depth: int) -> list[tuple[str, Entry]]:
        made = []
        for name, entry in table.entries.items():
            below = f"{key}.{name}" if key else name
            place = replace(entry.place, key=below)
            if (wrong := _unusable(name)) is not None:
                self.mistakes.append(replace(place, key=key).mistake(f"a key {wrong}"))
                continue
            made.append((name, Entry(place, self.expanded(entry.node, below, depth + 1))))
        return made

    def _filled_in(self, scalar: Scalar, place: Place) -> Scalar:
        text, is_secret, written = scalar.text, False, None
        if "$" in text:
            written = text
            try:
                made = substitute(text, self.variables)
            except InterpolationError as error:
                self.mistakes.append(place.mistake(str(error)))
                self.broken.add(place)
                return replace(scalar, place=place, is_secret=True)
            text, is_secret = made.text, made.is_changed
            for name in made.unset:
                self.warnings.append(
                    f"{place.file}:{place.line}: {place.key}: the variable {name} is not set and "
                    "has no default; it is taken as empty"
                )
        if (wrong := _unusable(text)) is not None:
            self.mistakes.append(place.mistake(wrong))
            self.broken.add(place)
            text = ""
        return Scalar(text, scalar.kind, place, is_secret, written)

    # --- two spellings, one meaning ---------------------------------------------------------------

    def with_named_values(self, app: Table) -> Table:
        """Return the app with its lists of NAME=VALUE as the mappings they stand for."""
        entries = {
            key: replace(entry, node=self._named(entry.node)) if key in _NAMED else entry
            for key, entry in app.entries.items()
        }
        return Table(app.place, entries)

    def _named(self, node: Node) -> Node:
        if not isinstance(node, Items):
            return node
        entries: dict[str, Entry] = {}
        for item in node.items:
            if not isinstance(item, Scalar) or item.kind is not Kind.TEXT:
                wrong = item.place.mistake("must be NAME=VALUE")
                self.mistakes.append(wrong)
                continue
            name, has_value, value = item.text.partition("=")
            if name in entries:
                wrong = item.place.mistake(f"{name} stands already in this list")
                self.mistakes.append(wrong)
            place = replace(item.place, key=f"{node.place.key}.{name}")
            kind = Kind.TEXT if has_value else Kind.EMPTY
            below = Scalar(value, kind, place, item.is_secret, _after(name, item.written))
            entries[name] = Entry(place, below)
        return Table(node.place, entries)


def _after(name: str, written: str | None) -> str | None:
    """Return how the value of NAME=VALUE is written, where the name has no variable in it."""
    if written is None or not written.startswith(f"{name}="):
        return None
    return written.removeprefix(f"{name}=")


def _unusable(text: str) -> str | None:
    """Return why a text can be neither a setting nor a key, if so."""
    if "\0" in text:
        return "holds the character U+0000"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "holds half a character (a lone surrogate)"
    return None


def merged(defaults: Table, own: Table) -> Table:
    """Return a table over its defaults: mappings merge, all else replaces."""
    entries = dict(defaults.entries)
    for key, entry in own.entries.items():
        under = entries.get(key)
        both = (under.node if under is not None else None, entry.node)
        match both:
            case (Table() as low, Table() as high):
                entries[key] = replace(entry, node=merged(low, high))
            case _:
                entries[key] = entry
    return Table(own.place, entries)


def plain(node: Node) -> Any:
    """Return the tree as mappings and lists of `Scalar`, which is what the schema takes."""
    match node:
        case Scalar():
            return node
        case Items(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}

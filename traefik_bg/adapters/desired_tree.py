"""The tree a YAML file is read into: plain values that remember where they stand.

Separate from the reading because everything that looks at a desired file speaks of these four
types, and none but the reader needs to know YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traefik_bg.core.errors import DesiredStateError

MAX_SHOWN = 60  # characters of a wrong value in a message; more does not help to find it


Keys = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file, the line, and the keys that lead to it."""

    file: str
    line: int
    key: str = ""

    def mistake(self, message: str) -> DesiredStateError:
        """Return the error that says what is wrong here."""
        said = f"{self.key}: {message}" if self.key else message
        return DesiredStateError(said, path=self.file, line=self.line)


class Kind(StrEnum):
    """What YAML takes one value for; numbers stay text until somebody wants a number."""

    EMPTY = "empty"
    SWITCH = "switch"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value, as it was written."""

    text: str
    kind: Kind
    place: Place
    is_secret: bool = False
    """Whether a variable was put in, so that no message may repeat it."""
    written: str | None = None
    """How it stands in the file, if a "$" does: with its variables, and "$$" for a plain one."""

    @property
    def shown(self) -> str:
        """The value for a message."""
        if self.is_secret:
            return "the variable's value"
        if self.kind is Kind.EMPTY:
            return "nothing"
        cut = self.text if len(self.text) <= MAX_SHOWN else self.text[: MAX_SHOWN - 1] + "…"
        return f'"{cut}"'.replace("\n", " ")


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table, where it stands, and its value."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping."""

    place: Place
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def own_entries(self) -> Iterator[tuple[str, Entry]]:
        """Return the entries that are not somebody's own notes (x-…)."""
        return ((key, entry) for key, entry in self.entries.items() if not is_note(key))


Node = Scalar | Items | Table


@dataclass(frozen=True, slots=True)
class Section:
    """An app, or the defaults: a table and where its key stands."""

    place: Place
    table: Table

    @property
    def entry(self) -> Entry:
        """The table as what stands behind its key."""
        return Entry(self.place, self.table)


def is_note(key: str) -> bool:
    """Tell whether a key is the user's own, to be left alone (x-…), as in Compose."""
    return key.startswith("x-")


def noun(node: object) -> str:
    """Return what a value is, for "must be …, not …"."""
    match node:
        case Scalar():
            return node.shown
        case Items() | list():
            return "a list"
        case _:
            return "a mapping"


def locate(root: Entry, keys: Keys) -> Place:
    """Return where the value these keys lead to stands, or the nearest that is there."""
    entry = root
    for key in keys:
        match entry.node:
            case Table() as table if key in table.entries:
                entry = table.entries[str(key)]
            case Items(items=items) if isinstance(key, int) and key < len(items):
                entry = Entry(items[key].place, items[key])
            case _ if key == 0:
                continue  # one value where a list of them could stand
            case _:
                break
    return entry.node.place if isinstance(entry.node, Scalar) else entry.place

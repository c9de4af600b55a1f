"""Traefik's labels as the tree they spell: traefik.http.routers.web.rule, and so on.

Apart from what is made of them because this is Traefik's own notation, whatever it is used for:
case means nothing, `[0]` counts the entries of a list, and one value may hold several with commas
between them. What nobody asked for is known afterwards, so that no label is dropped in silence.
Facts from Traefik's label parser (traefik/paerser) and its Docker provider. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from traefik_bg.adapters.desired_tree import Entry, Kind, Place, Scalar, Table
from traefik_bg.core.errors import DesiredStateError

MAX_PARTS = 32  # of one label; Traefik's deepest option has about ten

ROOT = "traefik"
_INDEXED = re.compile(r"(.+?)(\[[^\[\]]*\])")
_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(slots=True)
class Option:
    """One step on the way to a label's value."""

    name: str
    place: Place
    label: str = ""
    """The whole label up to here, as it was written."""
    value: Scalar | None = None
    below: dict[str, Option] = field(default_factory=dict)
    """What follows, by lower-case name."""
    is_used: bool = False

    def at(self, *names: str) -> Option | None:
        """Return what these names lead to."""
        found: Option | None = self
        for name in names:
            found = found.below.get(name.lower()) if found is not None else None
        return found

    def children(self, *names: str) -> list[Option]:
        """Return all that follows on these names, in the order of the labels."""
        found = self.at(*names)
        return list(found.below.values()) if found is not None else []

    def take(self, *names: str) -> Scalar | None:
        """Return the value these names lead to, and take note that it was used."""
        found = self.at(*names)
        if found is None or found.value is None:
            return None
        found.is_used = True
        return found.value

    def text(self, *names: str) -> str:
        """Return the text these names lead to; empty if there is none."""
        found = self.take(*names)
        return found.text.strip() if found is not None else ""

    def use(self) -> None:
        """Take note that all of it was used."""
        for leaf in self.leaves():
            leaf.is_used = True

    def leaves(self) -> Iterator[Option]:
        """Return all labels that have a value."""
        if self.value is not None:
            yield self
        for child in self.below.values():
            yield from child.leaves()

    def first(self) -> Option:
        """Return the first label of it."""
        return next(self.leaves(), self)

    @property
    def is_index(self) -> bool:
        """Tell whether it counts an entry of a list."""
        return self.name.startswith("[")


def is_traefiks(label: str) -> bool:
    """Tell whether a label is one of Traefik's."""
    lower = label.lower()
    return lower == ROOT or lower.startswith(f"{ROOT}.")


def options_of(labels: Table, mistakes: list[DesiredStateError]) -> Option:
    """Return what Traefik's labels among these spell; what it could not read is a mistake."""
    root = Option(ROOT, labels.place)
    for label, entry in labels.entries.items():
        if not is_traefiks(label):
            continue
        parts = _parts(label)
        if parts is None:
            mistakes.append(
                entry.place.mistake("is no label that Traefik can read; look for a dot too many")
            )
            continue
        _add(root, parts, label, entry)
    return root


def _parts(label: str) -> list[str] | None:
    made: list[str] = []
    for part in label.split(".")[1:]:
        indexed = _INDEXED.fullmatch(part)
        if not part or part.startswith("["):
            return None
        made += [indexed[1], indexed[2]] if indexed is not None else [part]
    return made if 0 < len(made) <= MAX_PARTS else None


def _add(root: Option, parts: list[str], label: str, entry: Entry) -> None:
    option = root
    for part in parts:
        option = option.below.setdefault(part.lower(), Option(part, entry.place, label))
    if isinstance(entry.node, Scalar):
        text = entry.node.text if entry.node.kind is not Kind.EMPTY else ""
        option.value = Scalar(
            text, Kind.TEXT, entry.node.place, entry.node.is_secret, entry.node.written
        )
        option.label, option.place = label, entry.place


def split(text: str) -> list[str]:
    """Return the values that stand in one, with commas between them."""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_off(option: Option | None) -> bool:
    """Tell whether an option is switched off by its own value; what is not there is off too."""
    if option is None:
        return True
    return option.value is not None and option.value.text.lower() not in {"true", "1", "t", ""}


def normal(name: str) -> str:
    """Return a name as Traefik makes it one of its own."""
    return "-".join(part for part in _NOT_A_WORD.split(name) if part)

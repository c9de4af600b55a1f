"""What the understanding of a Compose file is made of: values that remember how they were written.

Apart from the modules that understand, because all of them make and change such values. A value
that is made from another keeps its variables where that can be proven, so that what is imported
still follows them and no secret is written down. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Place, Scalar, Table
from traefik_bg.adapters.interpolation import InterpolationError, substitute

_WORDS = {"yes", "no", "on", "off"}


@dataclass(frozen=True, slots=True)
class Note:
    """What of a Compose file is not in the app, or not as it was, and why."""

    place: Place
    key: str
    message: str
    shown: str = ""
    """The value as it was written, in short."""
    is_kept: bool = False
    """Whether it is said in other words, so that nothing is lost."""

    @property
    def where(self) -> str:
        """The keys that lead to it in its file."""
        return self.place.key or self.key


def escaped(text: str) -> str:
    """Return a text as it is written where variables are put in."""
    return text.replace("$", "$$")


def written(scalar: Scalar) -> str:
    """Return how a value is written in a file whose variables are put in."""
    return escaped(scalar.text) if scalar.written is None else scalar.written


def word(text: str, place: Place) -> Scalar:
    """Return a value of our own making."""
    return Scalar(text, Kind.TEXT, place)


def switched_on(place: Place) -> Scalar:
    """Return true."""
    return Scalar("true", Kind.SWITCH, place)


def derived(scalar: Scalar, text: str, spelled: str, variables: Mapping[str, str]) -> Scalar:
    """Return a value made from another one; `spelled` is how it would be written.

    It keeps its variables only if they lead to the text.
    """
    try:
        is_same = substitute(spelled, variables).text == text
    except InterpolationError:
        is_same = False
    kept = spelled if is_same else None
    return Scalar(text, Kind.TEXT, scalar.place, scalar.is_secret, kept)


def changed(scalar: Scalar, make: Callable[[str], str], variables: Mapping[str, str]) -> Scalar:
    """Return what a function makes of a value, with its variables if it makes the same of them."""
    return derived(scalar, make(scalar.text), make(written(scalar)), variables)


def table(place: Place, entries: Mapping[str, Node]) -> Table:
    """Return a mapping of values."""
    return Table(place, {key: Entry(node.place, node) for key, node in entries.items()})


def is_blank(node: Node) -> bool:
    """Tell whether a key was left without a value."""
    return isinstance(node, Scalar) and node.kind is Kind.EMPTY


def listed(node: Node) -> tuple[Node, ...]:
    """Return a list; one value alone stands for a list of one."""
    if isinstance(node, Items):
        return node.items
    return () if is_blank(node) else (node,)


def text_of(node: Node | None) -> str:
    """Return the text of a single value; of all else none."""
    return node.text if isinstance(node, Scalar) and node.kind is not Kind.EMPTY else ""


def below(node: Node | None, *keys: str) -> Node | None:
    """Return what stands below these keys."""
    for key in keys:
        found = node.entries.get(key) if isinstance(node, Table) else None
        node = found.node if found is not None else None
    return node


def texts_only(node: Node) -> Node:
    """Return the tree with what YAML takes for true and false as the text that Compose makes of it.

    Compose reads YAML 1.2, in which yes, no, on and off are words.
    """
    match node:
        case Scalar(kind=Kind.SWITCH, text=text):
            lower = text.lower()
            return Scalar(text if lower in _WORDS else lower, Kind.TEXT, node.place)
        case Scalar():
            return node
        case Items(items=items):
            return Items(tuple(map(texts_only, items)), node.place)
        case Table(entries=entries):
            made = {key: Entry(item.place, texts_only(item.node)) for key, item in entries.items()}
            return Table(node.place, made)


def summary(node: Node, spell: Callable[[Scalar], str] = written) -> str:
    """Return a value in short, as it was written, on one line."""
    match node:
        case Scalar(kind=Kind.EMPTY):
            return ""
        case Scalar():
            return " ".join(_plain(spell(node)).split())
        case Items(items=items):
            return f"[{', '.join(summary(item, spell) for item in items)}]"
        case Table(entries=entries):
            parts = (
                f"{_plain(key)}: {summary(item.node, spell)}".rstrip()
                for key, item in entries.items()
            )
            return f"{{{', '.join(parts)}}}"


def raw_summary(node: Node) -> str:
    """Return the same of a value whose variables have not been put in."""
    return summary(node, lambda scalar: scalar.text)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)

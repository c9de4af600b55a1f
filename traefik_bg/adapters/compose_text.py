"""Writes a tree as the YAML of a desired file, with comments.

Apart from what is written because nothing here knows Compose. No YAML library is asked to write:
the variables, the order and the comments of people are to be kept, and every value is proven to
be read as it was meant by reading it back. Pure.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping

import yaml

from traefik_bg.adapters.desired_tree import Items, Kind, Node, Scalar, Table
from traefik_bg.adapters.desired_yaml import parsed
from traefik_bg.core.errors import DesiredStateError

WIDTH = 100  # columns of a comment

_IN_ONE_LINE = 72  # columns that a list may take
_BLOCK = re.compile(r"[^\s#][^\r\t\x85\u2028\u2029\ufeff]*\n?")

Spell = Callable[[Scalar], str]
"""Returns how a value is written, before any quotes."""
Path = tuple[str, ...]
Remarks = Mapping[Path, str]
"""Comments by the keys that lead to what they are about."""


class Writer:
    """Writes trees; `spell` says how a value is written, `remarks` what is said of it."""

    def __init__(self, spell: Spell, remarks: Remarks) -> None:
        self._spell = spell
        self._remarks = dict(remarks)
        """Each is made once."""

    def lines(self, node: Table, depth: int = 0, path: Path = ()) -> Iterator[str]:
        """Return the lines of a mapping."""
        indent = "  " * depth
        for key, entry in node.entries.items():
            here = (*path, key)
            if said := self._remarks.pop(here, ""):
                yield from comment(said, indent)
            yield from self._pair(quoted(key, is_key=True), entry.node, depth, here)

    def _pair(self, key: str, node: Node, depth: int, path: Path) -> Iterator[str]:
        indent = "  " * depth
        match node:
            case Scalar():
                yield from _headed(f"{indent}{key}:", self._scalar(node), indent)
            case Items(items=()):
                yield f"{indent}{key}: []"
            case Table(entries=entries) if not entries:
                yield f"{indent}{key}: {{}}"
            case Items() if (flow := self._flow(node)) is not None:
                yield f"{indent}{key}: {flow}"
            case Items():
                yield f"{indent}{key}:"
                yield from self._items(node, depth + 1, path)
            case Table():
                yield f"{indent}{key}:"
                yield from self.lines(node, depth + 1, path)

    def _flow(self, node: Items) -> str | None:
        """Return a short list on one line."""
        if not all(isinstance(item, Scalar) and item.kind is Kind.TEXT for item in node.items):
            return None
        texts = [self._spell(item) for item in node.items if isinstance(item, Scalar)]
        if sum(map(len, texts)) > _IN_ONE_LINE:
            return None
        flow = f"[{', '.join(map(quoted, texts))}]"
        if len(flow) > _IN_ONE_LINE or "\n" in flow:
            return None
        found = _read(f"key: {flow}\n")
        below = found.entries["key"].node if found is not None and "key" in found.entries else None
        items = below.items if isinstance(below, Items) else ()
        read = [item.text for item in items if isinstance(item, Scalar) and item.kind is Kind.TEXT]
        return flow if read == texts and len(items) == len(texts) else None

    def _items(self, node: Items, depth: int, path: Path) -> Iterator[str]:
        indent = "  " * depth
        for item in node.items:
            match item:
                case Scalar(kind=Kind.EMPTY):
                    yield f"{indent}- ~"
                case Scalar():
                    yield from _headed(f"{indent}-", self._scalar(item), indent)
                case Table(entries=entries) if entries:
                    first, *rest = self.lines(item, depth + 1, path)
                    while first.lstrip().startswith("#"):
                        yield f"{indent}{first.lstrip()}"
                        first, *rest = rest
                    yield f"{indent}- {first.lstrip()}"
                    yield from rest
                case Items(items=items) if items:
                    yield f"{indent}-"
                    yield from self._items(item, depth + 1, path)
                case _:
                    yield f"{indent}- {'[]' if isinstance(item, Items) else '{}'}"

    def _scalar(self, scalar: Scalar) -> str:
        match scalar.kind:
            case Kind.EMPTY:
                return ""
            case Kind.SWITCH:
                return scalar.text
            case Kind.TEXT:
                return quoted(self._spell(scalar))


def _headed(head: str, text: str, indent: str) -> Iterator[str]:
    """Return a value behind its key; a block goes into lines of its own."""
    first, *rest = text.split("\n")
    yield f"{head} {first}".rstrip()
    for line in rest:
        yield f"{indent}  {line}" if line else ""


def quoted(text: str, *, is_key: bool = False) -> str:
    """Return a text as YAML reads it back: plain, as a block of lines, or in quotes."""
    if _is_read_back(text, text, is_key=is_key):
        return text
    if not is_key and "\n" in text and _BLOCK.match(text):
        block = _block(text)
        if _is_read_back(block, text, is_key=False):
            return block
    made: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)
    return made.strip()


def _block(text: str) -> str:
    body = text.rstrip("\n")
    end = {0: "-", 1: ""}.get(len(text) - len(body), "+")
    return "\n".join([f"|{end}", *text.removesuffix("\n").split("\n")])


def _is_read_back(spelled: str, text: str, *, is_key: bool) -> bool:
    """Tell whether this spelling, in its place in a file, is read as the text."""
    if "\n" in spelled and not spelled.startswith("|"):
        return False
    line = f"{spelled}: x" if is_key else "\n".join(_headed("key:", spelled, ""))
    found = _read(f"before: x\n{line}\nafter: x\n")
    if found is None or len(found.entries) != 3:
        return False
    if is_key:
        return text in found.entries
    node = found.entries["key"].node if "key" in found.entries else None
    return isinstance(node, Scalar) and node.kind is Kind.TEXT and node.text == text


def _read(text: str) -> Table | None:
    mistakes: list[DesiredStateError] = []
    try:
        found = parsed(text, "", mistakes)
    except DesiredStateError:
        return None
    return found if isinstance(found, Table) and not mistakes else None


# --- comments -------------------------------------------------------------------------------------


def comment(text: str, indent: str = "", *, hang: str = "") -> Iterator[str]:
    """Return a text as lines of comment; whatever is in it, it stays one."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    head = f"{indent}# "
    lines = textwrap.wrap(
        plain, WIDTH, initial_indent=head, subsequent_indent=f"{head}{hang}",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    yield from lines or [head.rstrip()]

"""Reads YAML text into the tree, with every value's line.

PyYAML's own constructor silently takes the last of two equal keys, forgets lines, and its C
composer overflows the stack on deep nesting; so the tree is built here from PyYAML's events.
Called by the desired state's reading and by the settings. No text may make it fail in any other
way than with a `DesiredStateError`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Place, Scalar, Table
from traefik_bg.core.errors import DesiredStateError

MAX_DEPTH = 64  # Compose needs about eight; far below what Python's own stack can bear

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where there is one

_EMPTY = re.compile(r"~|null|Null|NULL|")
_SWITCH = re.compile(r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp", "binary")}
_TABLE_TAG, _LIST_TAG, _TEXT_TAG, _SWITCH_TAG, _EMPTY_TAG = (
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "bool", "null")
)


def decoded(content: bytes, file: str) -> str:
    """Return the text of a file.

    Raises:
        DesiredStateError: it is not UTF-8, or holds characters that no YAML file may hold.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DesiredStateError("is UTF-16; save it as UTF-8", path=file, line=1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DesiredStateError("is not UTF-8; save it as UTF-8", path=file, line=line) from error
    if unprintable := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, unprintable.start()) + 1
        code = f"U+{ord(unprintable[0]):04X}"
        message = f"the control character {code} stands here; YAML does not allow it"
        raise DesiredStateError(message, path=file, line=line)
    return text


def parsed(text: str, file: str, mistakes: list[DesiredStateError]) -> Node | None:
    """Return the tree of a YAML text, None for one without content.

    Mistakes that leave a tree (a key given twice, a strange tag) are added to `mistakes`.

    Raises:
        DesiredStateError: it is not YAML.
    """
    loader = _Loader(text)
    try:
        return _Builder(_events(loader), file, mistakes).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_mistake(error, text, file) from error
    except yaml.YAMLError as error:
        raise DesiredStateError("is not YAML text", path=file, line=1) from error
    finally:
        loader.dispose()


def _events(loader: Any) -> Iterator[Any]:
    while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
        yield event


def _syntax_mistake(error: yaml.MarkedYAMLError, text: str, file: str) -> DesiredStateError:
    lines = text.splitlines() or [""]
    mark = error.problem_mark or error.context_mark
    index = min(mark.line, len(lines) - 1) if mark is not None else 0
    problem = error.problem or "cannot be read"
    if "cannot start any token" in problem and "\t" in lines[index]:
        problem = "a tab stands here; YAML is indented with spaces"
    elif "mapping values are not allowed" in problem:
        problem = 'a second ": " stands in this line; put the value in quotes, or check the indent'
    elif "${" in lines[index] and "expected ',' or" in problem:
        problem = "a ${…} between brackets must stand in quotes, for YAML means braces otherwise"
    else:
        problem = f"is not YAML: {problem}"
        began = error.context_mark
        if began is not None and began.line < index:
            problem += f" for what begins in line {began.line + 1}"
    return DesiredStateError(problem, path=file, line=index + 1)


@dataclass(frozen=True, slots=True)
class _Key:
    text: str
    place: Place
    is_merge: bool


class _Builder:
    """Builds the tree of one document from its events."""

    def __init__(self, events: Iterator[Any], file: str, mistakes: list[DesiredStateError]) -> None:
        self._events = events
        self._file = file
        self._mistakes = mistakes
        self._anchors: dict[str, Node | None] = {}
        """None: still being built, so an alias to it would contain itself."""

    def document(self) -> Node | None:
        """Return the tree of the one document there is."""
        root: Node | None = None
        is_first = True
        for event in self._events:
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if not is_first:
                    raise self._place(event).mistake(
                        'a second document begins here ("---"); write one document a file'
                    )
                is_first = False
                continue
            root = self._node(event, depth=0)
        return root

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1)

    def _wrong(self, event: Any, message: str) -> None:
        self._mistakes.append(self._place(event).mistake(message))

    def _node(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        if depth > MAX_DEPTH:
            raise place.mistake(f"is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(event.value, self._kind(event), place)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._expect_tag(event, _LIST_TAG)
            node = Items(tuple(self._until(yaml.SequenceEndEvent, depth)), place)
        else:
            self._expect_tag(event, _TABLE_TAG)
            node = Table(place, self._entries(depth))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise self._place(event).mistake(f"no anchor &{event.anchor} stands above this alias")
        node = self._anchors[event.anchor]
        if node is None:
            raise self._place(event).mistake(f"*{event.anchor} contains itself")
        return node

    def _until(self, end: type, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)

    # --- scalars ----------------------------------------------------------------------------------

    def _kind(self, event: Any) -> Kind:
        tag = event.tag
        if tag is None or tag == "!" or tag in _PLAIN_TAGS:
            is_plain = tag is None and event.implicit[0]
            return _plain_kind(event.value) if is_plain else Kind.TEXT
        if tag in {_SWITCH_TAG, _EMPTY_TAG}:
            return _plain_kind(event.value)
        self._expect_tag(event, _TEXT_TAG)
        return Kind.TEXT

    def _expect_tag(self, event: Any, wanted: str) -> None:
        if event.tag not in {None, "!", wanted}:
            self._wrong(event, f"the tag {event.tag} means nothing here; remove it")

    # --- mappings ---------------------------------------------------------------------------------

    def _entries(self, depth: int) -> Mapping[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1)
            if key is None:
                continue
            if key.is_merge:
                for name, entry in self._merge(key, value):
                    merged.setdefault(name, entry)
            elif key.text in own:
                first = own[key.text].place.line
                self._wrong(event, f'the key "{key.text}" stands already in line {first}')
            else:
                own[key.text] = Entry(key.place, value)
        return own | {name: entry for name, entry in merged.items() if name not in own}

    def _key(self, event: Any, depth: int) -> _Key | None:
        node = self._node(event, depth + 1)
        if not isinstance(node, Scalar) or node.kind is Kind.EMPTY:
            self._wrong(event, "a key must be a word, not a list, a mapping or nothing")
            return None
        is_plain = isinstance(event, yaml.ScalarEvent) and bool(event.implicit[0])
        return _Key(node.text, self._place(event), is_merge=is_plain and node.text == "<<")

    def _merge(self, key: _Key, value: Node) -> Iterator[tuple[str, Entry]]:
        sources = value.items if isinstance(value, Items) else (value,)
        for source in sources:
            if isinstance(source, Table):
                yield from source.entries.items()
            else:
                self._mistakes.append(
                    key.place.mistake("<<: takes a mapping or a list of mappings, such as *anchor")
                )


def _plain_kind(text: str) -> Kind:
    if _EMPTY.fullmatch(text):
        return Kind.EMPTY
    return Kind.SWITCH if _SWITCH.fullmatch(text) else Kind.TEXT

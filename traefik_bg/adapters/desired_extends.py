"""Follows `extends`: an app's keys over those of another one, merged as Compose merges them.

Apart from the defaults, which have a simpler rule, because Compose adds to most lists where the
defaults replace them. Works on the tree, so that every value still knows its file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from traefik_bg.adapters.compose_keys import SERVICE
from traefik_bg.adapters.desired_expansion import merged
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Place, Scalar, Table

MAX_CHAIN = 32  # apps that extend one another; nobody means more

Apps = Mapping[str, Table]
Ready = Callable[[str, Table], Table]
"""Puts the variables into one of the apps; only that one: the others may want what is not set."""
Load = Callable[[Place, Path], tuple[Apps, Ready]]
"""Returns the apps of another file that is named at a place; raises `DesiredStateError`."""

KEY = "extends"
_KNOWN = ("file", "service")
_REPLACED = frozenset({"command", "entrypoint", "healthcheck.test"})
_LISTS = frozenset({"dns", "dns_search", "env_file", "label_file", "tmpfs"})
"""Keys whose one value stands for a list of one."""
_FOLDERS = {"configs": "/", "secrets": "/run/secrets"}


class Extends:
    """The apps of one file, and what they extend."""

    def __init__(self, file: str, apps: Apps, load: Load, ready: Ready | None = None) -> None:
        self._file = file
        self._apps = apps
        self._load = load
        self._ready = ready

    def extended(self, name: str, chain: tuple[tuple[str, str], ...] = ()) -> Table:
        """Return an app with what it extends below it.

        Raises:
            DesiredStateError: it extends what is not there, or itself.
        """
        table = self._apps[name]
        if self._ready is not None:
            table = self._ready(name, table)
        entry = table.entries.get(KEY)
        if entry is None:
            return table
        own = Table(table.place, {key: item for key, item in table.entries.items() if key != KEY})
        chain = (*chain, (self._file, name))
        service, file = _wanted(entry)
        source = self
        if file is not None:
            path = Path(entry.place.file).parent / file
            apps, ready = self._load(entry.place, path)
            source = Extends(str(path), apps, self._load, ready)
        if service not in source._apps:
            raise entry.place.mistake(
                f"there is no {service} in {source._file}; {nearest(service, source._apps)}"
            )
        if (source._file, service) in chain or len(chain) > MAX_CHAIN:
            raise entry.place.mistake(f"{service} extends itself in the end")
        return composed(source.extended(service, chain), own)


def _wanted(entry: Entry) -> tuple[str, str | None]:
    """Return the name of what is extended, and the file it is in."""
    match entry.node:
        case Scalar(kind=Kind.TEXT, text=text) if text:
            return text, None
        case Table() as table:
            for key, item in table.own_entries():
                if key not in _KNOWN:
                    raise item.place.mistake(f"is unknown here; {nearest(key, _KNOWN)}")
                if not isinstance(item.node, Scalar) or item.node.kind is not Kind.TEXT:
                    raise item.place.mistake("must be text")
            if "service" not in table.entries:
                raise entry.place.mistake("service is missing: write which app is extended")
            found = {key: _text(item.node) for key, item in table.own_entries()}
            return found["service"], found.get("file")
        case _:
            raise entry.place.mistake("must be an app's name, or a mapping with file and service")


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


# --- merging --------------------------------------------------------------------------------------


def composed(base: Table, own: Table) -> Table:
    """Return an app over the one it extends."""
    entries = dict(base.entries)
    for key, entry in own.entries.items():
        under = entries.get(key)
        if under is None:
            entries[key] = entry
        elif key in SERVICE:
            entries[key] = replace(entry, node=_merged(under.node, entry.node, key))
        else:  # our own keys follow the rule of the defaults
            both = merged(Table(base.place, {key: under}), Table(own.place, {key: entry}))
            entries[key] = both.entries[key]
    return Table(own.place, entries)


def _merged(low: Node, high: Node, path: str) -> Node:
    if isinstance(high, Scalar) and high.kind is Kind.EMPTY:
        return low
    if path in _REPLACED:
        return high
    if path == "networks":
        low, high = _table(low), _table(high)
    if path == "extra_hosts":
        low, high = _hosts(low), _hosts(high)
    if path in _LISTS:
        low, high = _items(low), _items(high)
    match low, high:
        case Table(), Table():
            return _tables(low, high, path)
        case Items(), Items():
            return Items(_once((*low.items, *high.items), path), high.place)
        case _:
            return high


def _tables(low: Table, high: Table, path: str) -> Table:
    if path == "logging" and not _is_same_driver(low, high):
        return high
    entries = dict(low.entries)
    for key, entry in high.entries.items():
        under = entries.get(key)
        node = entry.node
        if under is not None:
            node = _merged(under.node, node, f"{path}.{key}")
        entries[key] = replace(entry, node=node)
    return Table(high.place, entries)


def _is_same_driver(low: Table, high: Table) -> bool:
    if "driver" not in low.entries or "driver" not in high.entries:
        return True
    return _text(low.entries["driver"].node) == _text(high.entries["driver"].node)


def _table(node: Node) -> Node:
    """Return a list of names as a mapping."""
    if not isinstance(node, Items):
        return node
    entries = {
        _text(item): Entry(item.place, Scalar("", Kind.EMPTY, item.place)) for item in node.items
    }
    return Table(node.place, entries)


def _items(node: Node) -> Node:
    """Return one value, or a mapping for one, as a list of it."""
    return node if isinstance(node, Items) else Items((node,), node.place)


def _hosts(node: Node) -> Node:
    """Return a mapping of hosts as a list of HOST=ADDRESS."""
    if not isinstance(node, Table):
        return node
    found = []
    for host, entry in node.entries.items():
        addresses = entry.node.items if isinstance(entry.node, Items) else (entry.node,)
        found += [
            Scalar(f"{host}={_text(address)}", Kind.TEXT, address.place) for address in addresses
        ]
    return Items(tuple(found), node.place)


def _once(items: tuple[Node, ...], path: str) -> tuple[Node, ...]:
    """Return each entry once: the last of those that mean the same place, where the first stood."""
    made: dict[object, Node] = {}
    for index, item in enumerate(items):
        made[_identity(item, path, index)] = item
    return tuple(made.values())


def _identity(item: Node, path: str, index: int) -> object:
    """Return what an entry is known by in its list."""
    if isinstance(item, Table):
        known = next((key for key in _KNOWN_BY.get(path, ()) if key in item.entries), None)
        name = _text(item.entries[known].node) if known is not None else ""
    elif path in {"volumes", "devices"}:
        source, _, rest = _text(item).partition(":")
        name = rest.partition(":")[0] or source
    else:
        name = _text(item)
    if path in _FOLDERS:
        return str(PurePosixPath(_FOLDERS[path]) / name)
    return name or index


_KNOWN_BY = {
    "configs": ("target", "source"),
    "devices": ("target", "source"),
    "env_file": ("path",),
    "secrets": ("target", "source"),
    "volumes": ("target",),
}

"""Turns what pydantic has to say into mistakes with a line, a key and a way out.

Apart from the schema because pydantic's own sentences speak of inputs and types, not of files and
keys, and because they repeat values that may be secret.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from traefik_bg.adapters.desired_keys import unknown_key
from traefik_bg.adapters.desired_tree import (
    Entry,
    Items,
    Keys,
    Kind,
    Node,
    Place,
    Scalar,
    Table,
    locate,
    noun,
)

_ORIGINS = {"defaults": "the defaults", "services": "the Compose file"}
_IN_QUOTES = re.compile(r'"([^"]*)"')
_OURS = {"mistake", "contradiction"}
_SHAPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
}


def mistakes_of(
    error: ValidationError,
    model: type[BaseModel],
    root: Entry,
    *,
    is_part: bool = False,
    where: str = "apps.*",
) -> Iterator[tuple[Place, str]]:
    """Return every mistake pydantic found in the tree below `root`.

    Of a part, such as the defaults, it cannot be said what is missing or contradicts itself.
    """
    for found in error.errors(include_url=False):
        if is_part and found["type"] in {"missing", "contradiction"}:
            continue
        keys: Keys = found["loc"]
        if found["type"] in _OURS:
            if keys[-1:] == ("[key]",):  # pydantic's word for a mistake in the key itself
                keys = keys[:-1]
            keys += tuple(found["ctx"]["at"])
        message = _without_secrets(_message(found, model, keys, where), root.node, keys)
        if found["type"] == "contradiction":
            yield placed(root, keys, message)
        else:
            yield locate(root, keys), message


def placed(root: Entry, keys: Keys, message: str) -> tuple[Place, str]:
    """Return where to say that settings do not go together: always in the app itself.

    What stands in the defaults, or in what it extends, may be fine for all apps but this one.
    """
    place = locate(root, keys)
    if place.key.startswith(root.place.key):
        return place, message
    origin = _ORIGINS.get(place.key.partition(".")[0], "what it extends")
    return root.place, f"{_spelled(keys)}, from {origin}: {message}"


def _spelled(keys: Keys) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return "".join(parts).removeprefix(".")


def _message(found: Any, model: type[BaseModel], keys: Keys, where: str) -> str:
    match found["type"]:
        case kind if kind in _OURS:
            return str(found["ctx"]["message"])
        case "extra_forbidden":
            known = _keys_of(model, keys[:-1])
            return unknown_key(_pattern(keys[:-1], where), str(keys[-1]), known)
        case "missing":
            description = _description(model, keys)
            return f"{keys[-1]} is missing" + (f": write {description}" if description else "")
        case kind if kind in _SHAPES:
            value = found["input"]
            if isinstance(value, Scalar) and value.kind is Kind.EMPTY:
                return f"is empty: write {_SHAPES[kind]}, or remove the key"
            return f"must be {_SHAPES[kind]}, not {noun(value)}"
        case _:
            return "is not what can stand here"


# --- walking the schema ---------------------------------------------------------------------------


def _pattern(keys: Keys, where: str) -> str:
    """Return the path of keys with the names of apps, networks and limits left open."""
    names = [str(key) for key in keys if not isinstance(key, int)]
    if len(names) > 1 and names[0] in {"networks", "ulimits"}:
        names[1] = "*"
    return ".".join([where, *names])


def _at(model: Any, keys: Keys) -> Any:
    """Return the model that describes what these keys lead to, if one does."""
    current: Any = model
    for key in keys:
        current = _bare(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(key))
            current = field.annotation if field is not None else None
        else:
            current = (get_args(current) or (None,))[-1]
    return _bare(current)


def _bare(annotation: Any) -> Any:
    """Return an annotation without what pydantic reads from it, and without None."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in {Union, types.UnionType}:
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation


def _keys_of(model: type[BaseModel], keys: Keys) -> list[str]:
    found = _at(model, keys)
    is_model = isinstance(found, type) and issubclass(found, BaseModel)
    return list(found.model_fields) if is_model else []


def _description(model: type[BaseModel], keys: Keys) -> str | None:
    parent = _at(model, keys[:-1])
    if isinstance(parent, type) and issubclass(parent, BaseModel):
        return parent.model_fields[str(keys[-1])].description
    return None


# --- secrets --------------------------------------------------------------------------------------


def _without_secrets(message: str, root: Node, keys: Keys) -> str:
    """Return the message without any quoted part of a value that a variable was put into."""
    secrets = [found.text for found in _scalars(_below(root, keys)) if found.is_secret]
    if not secrets:
        return message
    return _IN_QUOTES.sub(
        lambda quoted: "…" if any(quoted[1] in text for text in secrets) else quoted[0], message
    )


def _below(root: Node, keys: Keys) -> Node:
    node = root
    for key in keys:
        match node:
            case Table(entries=entries) if key in entries:
                node = entries[str(key)].node
            case Items(items=items) if isinstance(key, int) and key < len(items):
                node = items[key]
            case _ if key != 0:
                break
    return node


def _scalars(node: Node) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Items(items=items):
            for item in items:
                yield from _scalars(item)
        case Table(entries=entries):
            for entry in entries.values():
                yield from _scalars(entry.node)

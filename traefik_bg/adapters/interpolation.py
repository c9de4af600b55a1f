"""Puts variables into text, by the rules of the Compose specification.

Apart from the desired file because env files need it too. Pure: text and variables in, text out.
It must never repeat a value in what it says, for the value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_NESTING = 16  # ${A:-${B:-…}}; deeper than this nobody means

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+?]")

_NO_VARIABLE = 'a "$" begins no variable here; write "$$" for a plain dollar sign'
_UNCLOSED = 'a "${" is not closed; write "$$" for a plain dollar sign'


class InterpolationError(Exception):
    """The text asks for a variable in a way that cannot be followed."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """Text with its variables put in."""

    text: str
    is_changed: bool
    """Whether a variable was put in, so that the text may hold a secret."""
    unset: tuple[str, ...] = ()
    """Variables that are not set and have no default; they became empty."""


@dataclass(slots=True)
class _Walk:
    """What is known while one text is worked through."""

    variables: Mapping[str, str]
    unset: dict[str, None] = field(default_factory=dict)
    found: int = 0


def substitute(text: str, variables: Mapping[str, str]) -> Substitution:
    """Return the text with its variables put in.

    Raises:
        InterpolationError: a required variable is not set, or a "$" stands alone.
    """
    walk = _Walk(variables)
    made = _substituted(text, walk, depth=0)
    return Substitution(made, is_changed=walk.found > 0, unset=tuple(walk.unset))


def _substituted(text: str, walk: _Walk, depth: int) -> str:
    if depth > MAX_NESTING:
        raise InterpolationError(f"variables are nested more than {MAX_NESTING} deep")
    made: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        made.append(text[position:dollar])
        if text.startswith("$$", dollar):
            made.append("$")
            position = dollar + 2
            continue
        walk.found += 1
        if text.startswith("${", dollar):
            end = _closing_brace(text, dollar)
            made.append(_braced(text[dollar + 2 : end], walk, depth))
            position = end + 1
            continue
        name = _NAME.match(text, dollar + 1)
        if name is None:
            raise InterpolationError(_NO_VARIABLE)
        made.append(_value(name[0], walk))
        position = name.end()
    made.append(text[position:])
    return "".join(made)


def _closing_brace(text: str, start: int) -> int:
    """Return where the brace opened at `start` is closed."""
    depth, position = 0, start
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 2
            continue
        if text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise InterpolationError(_UNCLOSED)


def _braced(expression: str, walk: _Walk, depth: int) -> str:
    """Return what ${NAME}, ${NAME:-default} and their likes stand for."""
    name = _NAME.match(expression)
    if name is None:
        raise InterpolationError(_NO_VARIABLE)
    rest = expression[name.end() :]
    if not rest:
        return _value(name[0], walk)
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise InterpolationError(
            f"after ${{{name[0]} only :-default, -default, :?message, ?message, :+other or +other "
            "can follow"
        )
    value = walk.variables.get(name[0])
    is_there = value is not None and (value != "" or not operator[0].startswith(":"))
    operand = rest[operator.end() :]
    if operator[0].endswith("+"):
        return _substituted(operand, walk, depth + 1) if is_there else ""
    if is_there:
        return value or ""
    if operator[0].endswith("-"):
        return _substituted(operand, walk, depth + 1)
    message = _substituted(operand, walk, depth + 1)
    missing = f"the variable {name[0]} is {'not set' if value is None else 'empty'}"
    raise InterpolationError(f"{missing}: {message}" if message else missing)


def _value(name: str, walk: _Walk) -> str:
    value = walk.variables.get(name)
    if value is None:
        walk.unset[name] = None
        return ""
    return value

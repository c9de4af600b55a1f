"""Reads env files (`.env` and `env_file`) by the rules Compose reads them by.

Apart from the desired file because these files have a syntax of their own. What stands in them is
secret: no message may repeat any of it but a variable's name. Pure: text in, names and values out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

from traefik_bg.adapters.interpolation import InterpolationError, substitute
from traefik_bg.core.errors import DesiredStateError

_BLANK = re.compile(r"\s*(?:#[^\n]*\n\s*)*(?:#[^\n]*)?")
_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-\[\]]*)[ \t]*(=|:|\r?\n|$)[ \t]*")
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST_OF_LINE = re.compile(r"[^\n]*")
_AFTER_QUOTES = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\r?\n|$)")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}  # "$$" is a plain "$" to interpolation


@dataclass(slots=True)
class EnvFile:
    """What an env file says, and what is wrong with it."""

    values: dict[str, str] = field(default_factory=dict)
    mistakes: list[DesiredStateError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_env_file(
    text: str,
    file: str,
    outer: Mapping[str, str],
    *,
    is_raw: bool = False,
    outer_wins: bool = False,
) -> EnvFile:
    """Return what an env file says; `outer` are the variables its own values may use.

    A raw file is taken letter by letter: no quotes, no variables, no escapes. Where a variable is
    set outside and further up in the file, the file's own value is meant, unless `outer_wins`.
    """
    reading = _Reading(text, file, outer, outer_wins=outer_wins)
    if is_raw:
        reading.read_raw()
    else:
        reading.read()
    return reading.found


class _Reading:
    """One pass through one env file."""

    def __init__(self, text: str, file: str, outer: Mapping[str, str], *, outer_wins: bool) -> None:
        self._text = text
        self._file = file
        self._outer = dict(outer)
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self.found = EnvFile()
        both = (self._outer, self.found.values)
        self._variables = ChainMap(*(both if outer_wins else reversed(both)))

    def _line(self, position: int) -> int:
        return bisect_left(self._newlines, position) + 1

    def _wrong(self, position: int, message: str) -> None:
        line = self._line(position)
        self.found.mistakes.append(DesiredStateError(message, path=self._file, line=line))

    def read_raw(self) -> None:
        """Read lines of NAME=VALUE as they are."""
        position = 0
        for line in self._text.split("\n"):
            name, present, value = line.rstrip("\r").partition("=")
            if name.strip() and not name.lstrip().startswith("#"):
                if present:
                    self.found.values[name.strip()] = value
                else:
                    self._wrong(position, "is not NAME=VALUE")
            position += len(line) + 1

    def read(self) -> None:
        """Read quoted, unquoted and inherited values, with variables put in."""
        position = self._after_blank(0)
        while position < len(self._text):
            name = _NAME.match(self._text, position)
            if name is None:
                self._wrong(position, "is not NAME=VALUE")
                position = self._end_of_line(position)
            elif name[2] in {"=", ":"}:
                position = self._read_value(name[1], name.end())
            else:  # a name alone is passed on from outside, if it is set there
                if name[1] in self._outer:
                    self.found.values[name[1]] = self._outer[name[1]]
                position = name.end()
            position = self._after_blank(position)

    def _after_blank(self, position: int) -> int:
        match = _BLANK.match(self._text, position)
        return match.end() if match else position

    def _end_of_line(self, position: int) -> int:
        match = _REST_OF_LINE.match(self._text, position)
        return match.end() if match else len(self._text)

    def _read_value(self, name: str, start: int) -> int:
        """Read one value; return where it ends."""
        quote = self._text[start : start + 1]
        if quote not in {"'", '"'}:
            end = self._end_of_line(start)
            plain = _COMMENT.sub("", self._text[start:end]).strip()
            self._keep(name, plain, start)
            return end
        match = (_SINGLE if quote == "'" else _DOUBLE).match(self._text, start)
        if match is None:
            self._wrong(start, f"the quote that opens the value of {name} is never closed")
            return self._end_of_line(start)
        if _AFTER_QUOTES.match(self._text, match.end()) is None:
            self._wrong(match.end(), f"something follows the quoted value of {name}")
            return self._end_of_line(match.end())
        if quote == "'":
            self.found.values[name] = match[1].replace("\\'", "'")
        else:
            self._keep(name, _ESCAPE.sub(_unescaped, match[1]), start)
        return match.end()

    def _keep(self, name: str, text: str, position: int) -> None:
        try:
            made = substitute(text, self._variables)
        except InterpolationError:
            # The exact words could repeat a part of a secret that happens to hold a "$".
            self._wrong(
                position,
                f"the value of {name} uses a variable wrongly or one that must be set; "
                "put it in single quotes if its $ is meant as it is",
            )
            return
        if made.unset:
            self.found.warnings.append(
                f"{self._file}:{self._line(position)}: the value of {name} uses a variable that is "
                "not set; put it in single quotes if its $ is meant as it is"
            )
        self.found.values[name] = made.text


def _unescaped(match: re.Match[str]) -> str:
    letter = match[1]
    return _ESCAPES.get(letter, letter if letter in {'"', "\\"} else match[0])

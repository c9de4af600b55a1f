"""The kinds of single values a desired file knows: texts, numbers, durations, sizes, choices.

Separate from the schema because both its halves, ours and Compose's, are made of them. Each takes
the tree's `Scalar` and returns a plain canonical value, or says what is wrong and what would work.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from traefik_bg.adapters.desired_tree import Kind, Place, Scalar, noun

YEAR = 365 * 86400.0  # seconds; whoever writes a longer wait has mistaken a unit
DURATION = "a duration such as 250ms, 30s or 1m30s"
SIZE = "a size such as 512m or 1.5g"
RATIO = "a ratio such as 0.01 or 1%"
FACTOR = "a factor such as 1.5 or 1.5x"

MODE = "permissions in octal, with a 0 before them, such as 0440"

_MODE = re.compile(r"0o?([0-7]{1,4})")
_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(us|µs|ms|s|m|h|d)")
_NUMBER = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")
_SIGNED = re.compile(rf"[+-]?{_NUMBER.pattern}(?:[eE][+-]?[0-9]{{1,2}})?")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NOWHERE = Place("", 0)


def mistake(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error for a wrong value; `at` leads from the value to the part that is wrong."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "at": at})


def contradiction(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error for values that are fine alone but not together."""
    return PydanticCustomError("contradiction", "{message}", {"message": message, "at": at})


def scalar(value: Any, wanted: str) -> Scalar:
    """Return the value if it is a single one that is there."""
    if isinstance(value, str):
        return Scalar(value, Kind.TEXT, _NOWHERE)
    if not isinstance(value, Scalar):
        raise mistake(f"must be {wanted}, not {noun(value)}")
    if value.kind is Kind.EMPTY:
        raise mistake(f"is empty: write {wanted}, or remove the key")
    return value


# --- conversions ----------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Return the text of a value; numbers count as text, as in Compose."""
    found = scalar(value, "text")
    if found.kind is Kind.SWITCH:
        raise mistake(f"must be text, and YAML takes {found.text} for true or false: quote it")
    return found.text


def filled(value: Any) -> str:
    """Return the text of a value that may not be empty or blank."""
    found = text(value)
    if not found.strip():
        raise mistake("is empty: write text, or remove the key")
    return found


def switch(value: Any) -> bool:
    """Return true or false."""
    found = scalar(value, "true or false")
    lower = found.text.lower()
    if found.kind is Kind.SWITCH or lower in {"true", "false"}:
        return lower in {"yes", "true", "on"}
    raise mistake(f"must be true or false, not {found.shown}")


def number(value: Any) -> float:
    """Return a number greater than 0."""
    found = scalar(value, "a number such as 0.5")
    if _NUMBER.fullmatch(found.text) is None or float(found.text) <= 0:
        raise mistake(f"must be a number such as 0.5, not {found.shown}")
    return float(found.text)


def seconds(value: Any) -> float:
    """Return a duration in seconds; a bare number counts as seconds."""
    found = scalar(value, DURATION)
    amount = length(found.text.replace(" ", ""))
    if amount is None:
        raise mistake(f"must be {DURATION}, not {found.shown}")
    if amount > YEAR:
        raise mistake(f"{found.shown} is longer than a year; is the unit right?")
    return amount


def positive_seconds(value: Any) -> float:
    """Return a duration that is longer than nothing."""
    amount = seconds(value)
    if amount <= 0:
        raise mistake("must be longer than 0")
    return amount


def length(written: str) -> float | None:
    """Return the seconds that a duration without blanks stands for; None: it is none."""
    if _NUMBER.fullmatch(written):
        return float(written)
    parts = _DURATION_PART.findall(written)
    if not parts or "".join(amount + unit for amount, unit in parts) != written:
        return None
    return round(math.fsum(float(amount) * _UNITS[unit] for amount, unit in parts), 9)


def duration_text(value: Any) -> str:
    """Return a duration in the one spelling that equal durations share."""
    amount = seconds(value)
    return f"{amount:.0f}s" if amount == int(amount) else f"{round(amount * 1e6)}us"


def size(value: Any) -> int:
    """Return a size in bytes."""
    found = scalar(value, SIZE)
    match = _SIZE.fullmatch(found.text.strip())
    if match is None:
        raise mistake(f"must be {SIZE}, not {found.shown}")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def signed(value: Any) -> float:
    """Return any number."""
    found = scalar(value, "a number such as 0.5")
    if _SIGNED.fullmatch(found.text) is None:
        raise mistake(f"must be a number such as 0.5, not {found.shown}")
    return float(found.text) or 0.0  # there is a -0


def ratio(value: Any) -> float:
    """Return a part of a whole, as a fraction of 1; percent are understood."""
    found = scalar(value, RATIO)
    written = found.text.removesuffix("%").rstrip()
    if _NUMBER.fullmatch(written) is None:
        raise mistake(f"must be {RATIO}, not {found.shown}")
    part = float(Decimal(written) / (100 if "%" in found.text else 1))
    if part > 1:
        raise mistake(
            f"is more than the whole: write {RATIO}, not {found.shown}; percent need the sign"
        )
    return part


def factor(value: Any) -> float:
    """Return how many times something else is meant, at least once."""
    found = scalar(value, FACTOR)
    written = found.text.removesuffix("x").rstrip()
    if _NUMBER.fullmatch(written) is None:
        raise mistake(f"must be {FACTOR}, not {found.shown}")
    if float(written) < 1:
        raise mistake(f"must be 1 or more, such as 1.5x, not {found.shown}")
    return float(written)


def mode(value: Any) -> int:
    """Return the bits of a file's permissions, which are written in octal."""
    found = scalar(value, MODE)
    match = _MODE.fullmatch(found.text)
    if match is None:
        raise mistake(f"must be {MODE}, not {found.shown}")
    return int(match[1], 8)


def words(value: Any) -> Any:
    """Return a command as a list; a text is split as a shell would split it."""
    if isinstance(value, list):
        return value
    written = text(value)
    try:
        return shlex.split(written)
    except ValueError as error:
        raise mistake("a quote in this command is never closed") from error


def as_list(value: Any) -> Any:
    """Return a list; one value alone may stand for a list of one."""
    return value if isinstance(value, list) else [value]


def _named(value: Any) -> Any:
    """Return a mapping; where defaults merge, the tree's own expansion has made it one before."""
    if isinstance(value, list) and all(isinstance(item, Scalar) for item in value):
        return dict(map(_name_and_value, value))
    if not isinstance(value, Mapping):
        raise mistake(f"must be a mapping or a list of NAME=VALUE, not {noun(value)}")
    return value


def _name_and_value(item: Scalar) -> tuple[str, Scalar]:
    name, has_value, value = item.text.partition("=")
    return name, replace(item, text=value, kind=Kind.TEXT if has_value else Kind.EMPTY)


def _variable_name(name: str) -> str:
    if not name or "=" in name:
        raise mistake('a variable needs a name without "="')
    return name


def _value(value: Any) -> str | None:
    """Return a label or a variable; no message repeats it, for it may be a secret."""
    if not isinstance(value, Scalar):
        raise mistake(f"must be one value, not {noun(value)}")
    if value.kind is Kind.SWITCH:
        raise mistake("YAML takes this for true or false; quote it to say which text is meant")
    return None if value.kind is Kind.EMPTY else value.text


def _value_or_blank(value: Any) -> str:
    return _value(value) or ""


# --- types ----------------------------------------------------------------------------------------


class Between:
    """A whole number between two bounds, as pydantic's annotation."""

    def __init__(self, low: int, high: int = 10**17, wanted: str = "") -> None:
        bounds = f"from {low}" if high >= 10**9 else f"from {low} to {high}"
        self._low, self._high = low, high
        self._wanted = wanted or f"a whole number {bounds}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        bounds = {"maximum": self._high} if self._high < 10**9 else {}
        return {"type": "integer", "minimum": self._low, **bounds}

    def convert(self, value: Any) -> int:
        """Return the number."""
        found = scalar(value, self._wanted)
        is_whole = _WHOLE.fullmatch(found.text) is not None
        if not is_whole or not self._low <= int(found.text) <= self._high:
            raise mistake(f"must be {self._wanted}, not {found.shown}")
        return int(found.text)


class OneOf:
    """One of a few words, as pydantic's annotation."""

    def __init__(self, *allowed: str) -> None:
        *first, last = self._allowed = [str(word) for word in allowed]
        self._wanted = f"{', '.join(first)} or {last}" if first else last

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": self._allowed}

    def convert(self, value: Any) -> str:
        """Return the word."""
        found = scalar(value, self._wanted)
        if found.text not in self._allowed:
            raise mistake(f"must be {self._wanted}, not {found.shown}")
        return found.text


class OneOrMany:
    """Says in the JSON schema that one value may stand for a list of one."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        return {"anyOf": [made["items"], made]}


class OrOff:
    """Lets false stand for nothing, so that an app can undo what the defaults say."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"const": False}]}

    @staticmethod
    def convert(value: Any) -> Any:
        """Return nothing for false, and else the value as it is."""
        is_word = isinstance(value, Scalar) and value.kind is not Kind.EMPTY
        is_off = is_word and value.text.lower() in {"false", "no", "off"}
        return None if is_off else value


class AlsoAs:
    """Says in the JSON schema that a short form may stand for a longer one."""

    def __init__(self, *types: str, of: str | None = None) -> None:
        self._short: JsonSchemaValue = {"type": list(types)}
        if of is not None:
            self._short["items"] = {"type": of}

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), self._short]}


_ONE = WithJsonSchema({"type": ["string", "number"]})
_ONE_OR_NONE = {"type": ["string", "number", "null"]}
_NAMED = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": _ONE_OR_NONE},
            {"type": "array", "items": {"type": "string"}},
        ]
    }
)
_COMMAND = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}
)

Word = Annotated[str, BeforeValidator(text), _ONE]
Text = Annotated[str, BeforeValidator(filled), _ONE]
Switch = Annotated[bool, BeforeValidator(switch), WithJsonSchema({"type": "boolean"})]
Seconds = Annotated[float, BeforeValidator(seconds), _ONE]
PositiveSeconds = Annotated[float, BeforeValidator(positive_seconds), _ONE]
DurationText = Annotated[str, BeforeValidator(duration_text), _ONE]
Size = Annotated[int, BeforeValidator(size), _ONE]
Number = Annotated[float, BeforeValidator(number), _ONE]
Signed = Annotated[float, BeforeValidator(signed), _ONE]
Ratio = Annotated[float, BeforeValidator(ratio), _ONE]
Factor = Annotated[float, BeforeValidator(factor), _ONE]
Words = Annotated[list[Word], BeforeValidator(words), _COMMAND]
Mode = Annotated[int, BeforeValidator(mode), _ONE]
Texts = list[Text]
TextOrTexts = Annotated[list[Text], OneOrMany(), BeforeValidator(as_list)]
Pairs = Annotated[
    dict[str, Annotated[str, BeforeValidator(_value_or_blank)]], BeforeValidator(_named), _NAMED
]
Variables = Annotated[
    dict[
        Annotated[str, BeforeValidator(_variable_name)],
        Annotated[str | None, BeforeValidator(_value)],
    ],
    BeforeValidator(_named),
    _NAMED,
]

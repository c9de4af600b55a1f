"""Where the command line writes: answers to standard output, everything else to standard error.

Used by all verbs. Nothing that comes from outside (a container's log, above all) reaches the
terminal as anything but text.
"""

from __future__ import annotations

import json
import re

from rich.console import Console, RenderableType
from rich.text import Text

WIDE = 500  # columns of a pipe, which has none: programs want one line an app

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def out() -> Console:
    """Return the console for answers."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for messages."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def say(text: str | Text, *, style: str = "", to: Console | None = None) -> None:
    """Print a sentence; the terminal breaks the line."""
    (to or out()).print(text, style=style, soft_wrap=True)


def complain(text: str) -> None:
    """Print what went wrong."""
    say(clean(text), style="red", to=err())


def show(renderable: RenderableType) -> None:
    """Print something larger; in a pipe without the blanks that fill up a table's last column."""
    console = out()
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), soft_wrap=True)


def show_json(value: object) -> None:
    """Print JSON: one line, and nothing else, so that it can be piped on."""
    print(json.dumps(value, ensure_ascii=False))  # noqa: T201 - machine output


def clean(text: str) -> str:
    """Return the text without what a terminal would obey."""
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\t", "    ")))

"""The command line: `traefik-bg`."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar that cannot be drawn is no reason to fail
    from traefik_bg.cli.verbs import verbs  # noqa: PLC0415 - so that importing us costs nothing

    verbs()

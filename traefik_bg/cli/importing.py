"""The verb `import`: a desired state made of somebody's Compose file.

Apart from the other verbs that need no service because it writes a file. What it prints goes to
standard output, all that is said about it to standard error.
"""
# ruff: noqa: PLC0415 - what a verb uses is imported when it is called

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traefik_bg.cli import screen
from traefik_bg.cli.frame import Exit, JsonOption
from traefik_bg.cli.local import tell_mistakes
from traefik_bg.core.errors import CommandRefused, DesiredStateErrors

if TYPE_CHECKING:
    from traefik_bg.adapters.compose_import import Imported


_File = Annotated[
    Path, typer.Argument(metavar="COMPOSE_FILE", help="The Compose file, or its folder.")
]
_Services = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Import this service and no others; can be given several times. By default all that "
        "Traefik's labels route.",
    ),
]
_Ports = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PORT",
        help="Where a service listens, if the file does not say or says several.",
    ),
]
_Project = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The project's name, if docker compose gets it by -p."),
]
_Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write here; by default to standard output.")
]
_Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]


def import_(  # noqa: PLR0917 - typer calls it by name
    compose_file: _File,
    service: _Services = None,
    port: _Ports = None,
    project: _Project = None,
    output: _Output = None,
    force: _Force = False,
    as_json: JsonOption = False,
) -> None:
    """Make a desired state of a Compose file.

    Services come from Traefik's labels, with route, port and health; databases and the like stay
    Compose's. Whatever cannot be kept is told in a comment. Nothing is started or stopped.
    """
    from traefik_bg.adapters.compose_import import Wish, import_compose

    wish = Wish(compose_file, tuple(service or ()), _ports(port or ()), project, output)
    if output is not None and not force and os.path.exists(output):  # noqa: PTH110 - never raises
        raise CommandRefused(f"{output} is there already; --force overwrites it")
    try:
        made = import_compose(wish)
    except DesiredStateErrors as error:
        tell_mistakes(error, as_json)
        raise typer.Exit(Exit.BAD_INPUT) from error
    if output is not None:
        _write(output, made.text, wish.path, force=force)
    if as_json:
        screen.show_json(_found(made))
    elif output is None:
        typer.echo(made.text, nl=False)
    _tell(made, output)


def _ports(given: Sequence[str]) -> Mapping[str, str]:
    made = {}
    for each in given:
        name, _, number = each.partition("=")
        is_port = number.isascii() and number.isdecimal() and len(number) <= 5
        if not name or not is_port or not 0 < int(number) < 65536:
            raise CommandRefused(f'--port takes NAME=PORT such as web=8000, not "{each}"')
        made[name] = str(int(number))
    return made


def _write(output: Path, text: str, source: Path, *, force: bool) -> None:
    try:
        if output.exists() and source.exists() and output.samefile(source):
            raise CommandRefused(f"{output} is the Compose file itself; give --output another name")
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandRefused(f"{output} is there already; --force overwrites it") from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CommandRefused(f"{output} cannot be written: {reason}") from error


def _found(made: Imported) -> dict[str, object]:
    notes = [
        {"path": note.place.file, "line": note.place.line, "key": note.key, "message": note.message}
        for note in made.notes
    ]
    return {
        "is_valid": True,
        "errors": [],
        "warnings": list(made.warnings),
        "apps": [{"name": app, "service": name} for app, name in made.apps.items()],
        "stays": list(made.stays),
        "notes": notes,
        "desired": made.text,
    }


def _tell(made: Imported, output: Path | None) -> None:
    for warning in made.warnings:
        screen.say(f"warning: {screen.clean(warning)}", style="yellow", to=screen.err())
    said = f"{_count(len(made.apps), 'app')}: {', '.join(made.apps)}"
    if made.stays:
        said += f"; Compose's: {', '.join(made.stays)}"
    screen.say(screen.clean(said), style="green", to=screen.err())
    if made.notes:
        count = _count(len(made.notes), "setting")
        verb = "is" if len(made.notes) == 1 else "are"
        screen.say(f"{count} {verb} not as before, each with a comment", to=screen.err())
    if output is not None:
        screen.say(f"next: read its first lines, then traefik-bg check {output}", to=screen.err())


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"

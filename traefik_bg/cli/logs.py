"""`traefik-bg logs`: what the replicas of an app print, each line with who printed it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from traefik_bg.cli import screen
from traefik_bg.cli.client import Client
from traefik_bg.cli.frame import CLIENT, AppArgument, Exit, JsonOption, with_settings
from traefik_bg.settings import Settings

if TYPE_CHECKING:
    from traefik_bg.cli.client import Told

NOTE = "note"
ROLE_WIDTH = 8  # characters; "rejected" is the longest
STYLES = ("blue", "green", "magenta", "cyan", "yellow")


@with_settings(*CLIENT)
def logs(
    settings: Settings,
    app: AppArgument,
    *,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Go on, also with replicas that start later, until Ctrl-C; says when one ends.",
        ),
    ] = False,
    lines: Annotated[
        str | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N|all",
            help="How many old lines of each replica: 100, or with --since all, by default.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Only what is newer: a duration such as 10m, or a time: 2026-01-02T15:04:05Z.",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only this revision.")
    ] = None,
    replica: Annotated[
        str | None,
        typer.Option(
            metavar="REPLICA", help="Only this replica, as status or the lines here name it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an app's replicas print, each line with its revision.

    All replicas in one, in the order of time; blue and green are told apart by colours.
    """
    wanted = {"lines": lines, "since": since, "revision": revision, "replica": replica}
    query = {key: value for key, value in wanted.items() if value is not None}
    if follow:
        query["follow"] = "true"
    try:
        is_empty = _show(Client.of(settings), app, query, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.FINE) from None
    if is_empty and not as_json:
        screen.say(f"{app} has printed nothing of the kind", to=screen.err())


def _show(client: Client, app: str, query: dict[str, str], *, as_json: bool) -> bool:
    """Print what comes, until nothing does; tell whether nothing came at all."""
    pen = _Pen(app)
    is_empty = True
    with closing(client.log(app, query)) as batches:
        for batch in batches:
            if not batch:
                continue  # a heartbeat
            is_empty = False
            if as_json:
                for told in batch:
                    screen.show_json(told)
                sys.stdout.flush()
            else:
                pen.write(batch)
    return is_empty


class _Pen:
    """Writes lines for people; a revision keeps its colour."""

    def __init__(self, app: str) -> None:
        self._prefix = f"{app}-"
        self._console = screen.out()
        self._styles: dict[str, str] = {}

    def write(self, batch: Iterable[Told]) -> None:
        texts = [self._text(told) for told in batch]
        if self._console.is_terminal:
            screen.say(Text("\n").join(texts), to=self._console)
            return
        # Rich takes a hundred times as long, and a pipe shows no colours.
        sys.stdout.write("".join(f"{text.plain}\n" for text in texts))
        sys.stdout.flush()

    def _text(self, told: Told) -> Text:
        line = screen.clean(told["line"])
        if told["stream"] == NOTE:
            return Text(line, style="bold")
        name = (told["replica"] or "").removeprefix(self._prefix)
        head = f"{name} {told['role'] or '':{ROLE_WIDTH}} │ "
        return Text.assemble((head, self._style(told)), line)

    def _style(self, told: Told) -> str:
        """Return the colour of a revision: its role's when it is first seen, if that is free."""
        revision = told["revision"] or ""
        if revision not in self._styles:
            own = "green" if told["role"] == "green" else "blue"
            taken = [*self._styles.values()][1 - len(STYLES) :]
            self._styles[revision] = next(s for s in (own, *STYLES) if s not in taken)
        return self._styles[revision]

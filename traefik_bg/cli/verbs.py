"""All verbs of the command line, in the order in which `--help` names them."""

from __future__ import annotations

from typing import Annotated

import typer

from traefik_bg import __version__
from traefik_bg.cli import importing, local, logs, remote
from traefik_bg.cli.frame import Verbs
from traefik_bg.core.commands import Verb

verbs = typer.Typer(
    name="traefik-bg",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"traefik-bg {__version__}")
        raise typer.Exit


@verbs.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Zero-downtime deployments of Docker containers behind Traefik.

    Exit codes: 0 fine, 1 the deployment is not well, 2 bad input, 3 the service or Docker cannot
    be reached.
    """


for _verb in (
    local.run,
    local.check,
    local.plan,
    remote.status,
    remote.deploy,
    remote.promote,
    remote.command(Verb.PAUSE),
    remote.command(Verb.RESUME),
    remote.abort,
    remote.command(Verb.RETRY),
    remote.rollback,
    remote.history,
    logs.logs,
    importing.import_,
):
    verbs.command(
        name=_verb.__name__.rstrip("_"), short_help=(_verb.__doc__ or "").partition("\n")[0]
    )(_verb)

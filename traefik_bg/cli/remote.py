"""The verbs that talk to the running service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from traefik_bg.cli import follow, screen, tables
from traefik_bg.cli.client import Client
from traefik_bg.cli.follow import Ended, Scene, Wait
from traefik_bg.cli.frame import CLIENT, AppArgument, Exit, JsonOption, with_settings
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused
from traefik_bg.settings import Settings

if TYPE_CHECKING:
    from traefik_bg.web.view import AppView

_MEANINGS = {
    Verb.PAUSE: "Hold an app still: nothing but repairs until resume.",
    Verb.RESUME: "Let a paused app go on.",
    Verb.RETRY: "Try what was rejected once more.",
}


# --- questions ------------------------------------------------------------------------------------


@with_settings(*CLIENT)
def status(
    settings: Settings,
    app: Annotated[
        str | None, typer.Argument(metavar="APP", help="Only this app, in detail.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing what changes, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what runs, what is going on and why.

    Exits with 1 if an app is rejected or in trouble.
    """
    client = Client.of(settings)
    if watch:
        follow.watch(lambda: _scene(client, app), as_json=as_json)
        return
    is_well = _show_app(client, app, as_json) if app else _show_apps(client, as_json)
    raise typer.Exit(Exit.FINE if is_well else Exit.NOT_WELL)


def _show_apps(client: Client, as_json: bool) -> bool:
    answer = client.apps()
    views = answer["apps"]
    is_well = answer["trouble"] is None and all(view["is_well"] for view in views)
    is_well = is_well and answer["desired_error"] is None
    if as_json:
        screen.show_json(answer)
        return is_well
    if views:
        screen.show(tables.apps_table(views, screen.out().width))
    elif answer["trouble"] is None:
        screen.say("there are no apps: the desired state names none")
    for note in tables.service_notes(answer):
        screen.complain(note)
    return is_well


def _show_app(client: Client, app: str, as_json: bool) -> bool:
    view = client.app(app)
    if as_json:
        screen.show_json(view)
    else:
        for part in tables.app_report(view):
            screen.show(part)
    return view["is_well"]


def _scene(client: Client, app: str | None) -> Scene:
    if app:
        view = client.app(app)
        return Scene([view], Group(*tables.app_report(view)))
    answer = client.apps()
    notes = [screen.clean(note) for note in tables.service_notes(answer)]
    table = tables.apps_table(answer["apps"], screen.out().width)
    return Scene(answer["apps"], Group(table, *(Text(note, "red") for note in notes)))


@with_settings(*CLIENT)
def history(
    settings: Settings,
    app: AppArgument,
    limit: Annotated[
        int, typer.Option(min=1, max=200, help="How many of each, the newest first.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show an app's deployments, how and why they ended, and the commands that were given."""
    answer = Client.of(settings).history(app, limit)
    if as_json:
        screen.show_json(answer)
        return
    if answer["deployments"]:
        screen.show(tables.history_table(answer["deployments"]))
        for line in tables.past_logs(answer["deployments"]):
            screen.say(line)
    else:
        screen.say(f"{app} has not been deployed yet")
    if answer["journal"]:
        screen.say("")
        screen.say("What was said:", style="bold")
        for noted in tables.notes(answer["journal"]):
            screen.say(noted)


# --- commands -------------------------------------------------------------------------------------


def command(verb: Verb) -> Callable[..., None]:
    """Return the function of a command that needs no more than the app's name."""

    def give(settings: Settings, app: AppArgument, as_json: JsonOption = False) -> None:
        _give(settings, app, verb, {}, as_json)

    give.__name__ = verb.value
    give.__doc__ = _MEANINGS[verb]
    return with_settings(*CLIENT)(give)


@with_settings(*CLIENT)
def promote(
    settings: Settings,
    app: AppArgument,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Leave out all further steps too: it gets all traffic now, and then bakes.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Go on without waiting: give approval, skip a step's pause, or end the bake.

    One step at a time; a green that is rejected for its answers is not saved by it.
    """
    _give(settings, app, Verb.PROMOTE, {"full": True} if full else {}, as_json)


@with_settings(*CLIENT)
def abort(settings: Settings, app: AppArgument, as_json: JsonOption = False) -> None:
    """Turn the deployment under way down, and go back to the good revision.

    All traffic goes back first, in one go; the reply says how long that took. What was turned down
    is not tried again until the desired state changes, or retry is said.
    """
    _go_back(settings, app, Verb.ABORT, {}, as_json)


@with_settings(*CLIENT)
def rollback(
    settings: Settings,
    app: AppArgument,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION",
            help="Where to: one of the last five good ones, which status names. By default the one "
            "before the good one; in a deployment, the good one.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier good revision; what is desired stays aside until it is edited.

    In a deployment it is what abort is, unless --to names another revision.
    """
    _go_back(settings, app, Verb.ROLLBACK, {"to": to} if to else {}, as_json)


def _go_back(
    settings: Settings, app: str, verb: Verb, body: dict[str, object], as_json: bool
) -> None:
    """Give the command, and say how long it took until all traffic was back."""
    client = Client.of(settings)
    before = client.app(app)["undone"]
    answer = client.command(app, verb, body)
    if not as_json:
        screen.say(screen.clean(answer["sentence"]))
    undone = follow.undone(client, app, before)
    if as_json:
        screen.show_json({**answer, "undone": undone})
    elif undone is not None:
        took = round(undone["seconds"] * 1000)
        screen.say(f"all traffic is on {undone['revision']}: {took} ms after the command")


def _give(settings: Settings, app: str, verb: Verb, body: dict[str, object], as_json: bool) -> None:
    answer = Client.of(settings).command(app, verb, body)
    if as_json:
        screen.show_json(answer)
    else:
        screen.say(screen.clean(answer["sentence"]))


@with_settings(*CLIENT)
def deploy(
    settings: Settings,
    app: AppArgument,
    *,
    image: Annotated[str, typer.Option(metavar="IMAGE", help="The image to run from now on.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow until it is good (exit 0) or rejected (exit 1).")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="With --wait: the longest wait, such as 90 or 15m; then the deployment goes on, "
            "and the exit code is 1.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write another image into the desired state, which deploys it."""
    longest = _longest(timeout, wait)
    client = Client.of(settings)
    answer = client.command(app, "deploy", {"image": image})
    console = screen.err() if as_json else screen.out()
    if not as_json or wait:
        screen.say(screen.clean(answer["sentence"]), to=console)
    if not wait:
        if as_json:
            screen.show_json(answer)
        return
    waiting = Wait(client=client, app=app, image=image, to=console, longest=longest)
    try:
        ended = waiting.until_ended()
    except KeyboardInterrupt:
        screen.say(
            f"not watching any more; the deployment goes on. See: traefik-bg status {app}; "
            f"or end it: traefik-bg abort {app}",
            to=screen.err(),
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    _tell_end(waiting, ended)
    if as_json:
        screen.show_json(_outcome(app, image, ended, waiting.view))
    raise typer.Exit(Exit.FINE if ended.is_well else Exit.NOT_WELL)


def _longest(timeout: str | None, wait: bool) -> float | None:
    """Return the longest wait in seconds; None: there is no limit."""
    if timeout is None:
        return None
    from traefik_bg.adapters.desired_values import DURATION, length  # noqa: PLC0415 - takes long

    seconds = length(timeout.replace(" ", ""))
    if seconds is None or seconds <= 0:
        raise CommandRefused(f"--timeout: {timeout!r} must be {DURATION}, longer than 0")
    if not wait:
        raise CommandRefused("--timeout is for --wait: without it, deploy waits for nothing")
    return seconds


def _tell_end(waiting: Wait, ended: Ended) -> None:
    waiting.say(screen.clean(ended.sentence))
    for numbers in ended.numbers:
        screen.say(screen.clean(f"           {numbers}"), to=waiting.to)
    for line in tables.log_lines(ended.log):
        screen.say(line, to=waiting.to)
    if ended.advice:
        screen.say(f"What to do: {ended.advice}", to=waiting.to)


def _outcome(app: str, image: str, ended: Ended, view: AppView | None) -> dict[str, object]:
    return {
        "app": app,
        "image": image,
        "is_well": ended.is_well,
        "is_over": ended.is_over,
        "sentence": ended.sentence,
        "status": view,
    }

"""The verbs that need no running service: run it, check the desired state, forecast.

What they use is imported when they are called, so that the other verbs start without it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traefik_bg.cli import screen
from traefik_bg.cli.frame import Exit, JsonOption, with_settings
from traefik_bg.core.errors import CommandRefused, DesiredStateError, DesiredStateErrors
from traefik_bg.core.model import AppName
from traefik_bg.settings import Settings

if TYPE_CHECKING:
    from traefik_bg.adapters.desired_reading import Desired
    from traefik_bg.core.ports import DesiredState


@with_settings()
def run(settings: Settings) -> None:
    """Run the service until it is told to stop (Ctrl-C, SIGTERM)."""
    import asyncio

    from traefik_bg import app, logs

    logs.set_up(settings.log_format, settings.log_level)
    asyncio.run(app.serve(settings))


# --- check ----------------------------------------------------------------------------------------


@with_settings("desired")
def check(
    settings: Settings,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="File or folder; by default what --desired says."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the desired state and say what is in it, or every mistake with file and line."""
    from traefik_bg.adapters.desired_reading import read_desired

    path = path or settings.desired
    try:
        desired = read_desired(path)
    except DesiredStateErrors as error:
        tell_mistakes(error, as_json)
        raise typer.Exit(Exit.BAD_INPUT) from error
    for warning in desired.warnings:
        screen.say(f"warning: {screen.clean(warning)}", style="yellow", to=screen.err())
    if as_json:
        screen.show_json(_found(desired))
    else:
        _tell_found(path, desired)


def tell_mistakes(error: DesiredStateErrors, as_json: bool) -> None:
    """Print every mistake with file and line, and for programs all of them as JSON."""
    mistakes: tuple[DesiredStateError, ...] = error.errors
    for mistake in mistakes:
        screen.complain(str(mistake))
    if as_json:
        listed = [{"path": m.path, "line": m.line, "message": m.message} for m in mistakes]
        screen.show_json({"is_valid": False, "errors": listed, "warnings": [], "apps": []})
    elif len(mistakes) > 1:
        screen.complain(f"{len(mistakes)} mistakes")


def _found(desired: Desired) -> dict[str, object]:
    apps = [
        {
            "name": name,
            "image": spec.image,
            "revision": spec.revision,
            "replicas": spec.replicas,
            "port": spec.port,
            "rules": [route.rule for route in spec.routes],
        }
        for name, spec in desired.apps.items()
    ]
    warnings = list(desired.warnings)
    return {"is_valid": True, "errors": [], "warnings": warnings, "apps": apps}


def _tell_found(path: Path, desired: Desired) -> None:
    from traefik_bg.cli.words import NONE, table

    if not desired.apps:
        screen.say(f"{path} is fine: it names no apps, so nothing is to run")
        return
    made = table("app", "image", "revision", "replicas", "port", "routes")
    for name, spec in desired.apps.items():
        rules = ", ".join(route.rule for route in spec.routes) or NONE
        made.add_row(name, spec.image, spec.revision, str(spec.replicas), str(spec.port), rules)
    screen.show(made)
    count = "1 app" if len(desired.apps) == 1 else f"{len(desired.apps)} apps"
    screen.say(f"{path} is fine: {count}", style="green", to=screen.err())


# --- plan -----------------------------------------------------------------------------------------


@with_settings()
def plan(
    settings: Settings,
    only: Annotated[str | None, typer.Argument(metavar="APP", help="Only this app.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would be done now, when and why, and do nothing.

    It looks at Docker, the routing and the record itself, whether or not the service runs; with
    --desired it tells what another desired state would lead to.
    """
    import asyncio

    from traefik_bg import logs
    from traefik_bg.adapters.desired_reading import read_desired
    from traefik_bg.app import observe_once
    from traefik_bg.cli.plans import plan_view, report
    from traefik_bg.core.forecast import forecast
    from traefik_bg.core.ports import DesiredState

    logs.set_up("auto", "critical")  # what matters comes as an error, in one sentence
    desired = DesiredState(apps=read_desired(settings.desired).apps)
    if only is not None:
        desired = _only(AppName(only), desired, settings.desired)
    looks = asyncio.run(observe_once(settings, desired))
    plans = [plan_view(seen.app, list(forecast(seen, record))) for seen, record in looks]
    if as_json:
        screen.show_json(plans)
        return
    for made in plans:
        for line in report(made):
            screen.say(line)
    if not plans:
        screen.say(f"{settings.desired} names no apps, and nothing runs: nothing to do")


def _only(app: AppName, desired: DesiredState, path: Path) -> DesiredState:
    if app not in desired.apps:
        known = ", ".join(desired.apps) or "none"
        raise CommandRefused(f"{path} has no app {app}; its apps: {known}")
    return replace(desired, apps={app: desired.apps[app]})

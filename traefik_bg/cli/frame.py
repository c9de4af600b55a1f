"""What all verbs share: settings as flags, and errors as exit codes.

Exit codes: 0 fine, 1 the deployment is not well, 2 bad input, 3 the service or Docker cannot be
reached. What goes wrong on purpose is one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from traefik_bg.cli import screen
from traefik_bg.cli.client import Declined, Unreachable
from traefik_bg.core.errors import TraefikBgError, Unavailable
from traefik_bg.settings import (
    CONFIG_FLAG,
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    SETTINGS,
    Setting,
    load_settings,
)

CLIENT = ("listen", "token_file")
"""The settings of the verbs that talk to the running service."""

AppArgument = Annotated[str, typer.Argument(metavar="APP", help="The app.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs; messages go to standard error.")
]

_METAVARS = {
    "listen": "HOST:PORT",
    "traefik_api": "URL",
    "traefik_marker": "URL",
    "traefik_metrics": "URL",
    "settle": "SECONDS",
    "resync": "SECONDS",
    "state_dir": "DIR",
    "dynamic_dir": "DIR",
    "desired": "PATH",
    "token_file": "PATH",
    "address_by": "name|ip",
    "engine": "docker",
    "log_format": "auto|json|console",
    "log_level": "debug|info|…",
}


class Exit(IntEnum):
    """The exit codes."""

    FINE = 0
    NOT_WELL = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    """As shells have it for Ctrl-C."""


class Verbs(TyperGroup):
    """The group of all verbs; turns our errors into sentences and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except TraefikBgError as error:
            screen.complain(str(error))
            raise typer.Exit(_exit_code(error)) from error
        except ExceptionGroup as group:  # the service's task group
            ours, others = group.split(TraefikBgError)
            if others is not None or ours is None:
                raise
            errors = list(_leaves(ours))
            for each in errors:
                screen.complain(str(each))
            raise typer.Exit(max(map(_exit_code, errors))) from group


def _exit_code(error: BaseException) -> Exit:
    is_away = isinstance(error, Unreachable | Unavailable)
    if is_away or (isinstance(error, Declined) and error.status >= 500):
        return Exit.UNREACHABLE
    return Exit.BAD_INPUT


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def with_settings(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the flags of these settings, or of all; it gets them as `settings`."""
    chosen = [setting for setting in SETTINGS if not keys or setting.key in keys]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb, eval_str=True).parameters.values()
        flags = [_config_flag(), *(_flag(setting) for setting in chosen)]
        kept = [parameter for parameter in own if parameter.name != "settings"]

        @functools.wraps(verb)
        def wrapper(**given: Any) -> None:
            values = {setting.key: given.pop(setting.key) for setting in chosen}
            config = given.pop("config")
            verb(settings=load_settings(values, config=config), **given)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *flags)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate


def _flag(setting: Setting) -> inspect.Parameter:
    metavar = _METAVARS.get(setting.key, "NAME")
    meaning = setting.meaning
    if meaning.partition(",")[0] not in metavar.split("|"):  # those are values, spelt as they are
        meaning = meaning[0].upper() + meaning[1:]
    option = typer.Option(
        setting.flag,
        metavar=metavar,
        show_default=False,
        help=f"{meaning}. [env: {setting.variable}]",
    )
    kind: Any = list[str] | None if setting.is_list else str | None
    return inspect.Parameter(
        setting.key,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, option],
    )


def _config_flag() -> inspect.Parameter:
    option = typer.Option(
        CONFIG_FLAG,
        metavar="PATH",
        show_default=False,
        help=f"File with settings; {DEFAULT_CONFIG} if it is there. [env: {CONFIG_VARIABLE}]",
    )
    return inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, option],
    )

"""The nouns of hooks: commands of an app that run once in a deployment, and what became of them.

A hook runs in a container of its own, and Docker remembers it: a service that was killed in the
middle finds it running, or ended, and never runs it again for the same deployment. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

DEFAULT_TIMEOUT = 600.0  # seconds: long for a migration, short for something that hangs


class Moment(StrEnum):
    """When in a deployment a hook runs."""

    BEFORE = "before"
    """Before anything of green is started; with recreate after blue has been stopped."""
    AFTER_CUTOVER = "after_cutover"
    """When green has all traffic, while it bakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command of the new image, with the app's environment, networks and volumes."""

    moment: Moment
    command: tuple[str, ...] = field(repr=False)
    """May hold what is secret, once variables are put in: told to Docker, and to nobody else."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds after which it is stopped, and has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a hook ended."""

    moment: Moment
    trouble: str = ""
    """Why that was not well; empty when it was."""
    log: tuple[str, ...] = ()
    """Its last lines."""

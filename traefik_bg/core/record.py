"""The nouns of memory: the few facts about one app that outlive the process.

Facts only: where a deployment stands is derived anew at every look. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from traefik_bg.core.hooks import Moment, Ran
from traefik_bg.core.model import AppSpec, RevisionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a spec is not tried again until it changes."""

    spec: str
    """The digest of the rejected spec."""
    revision: RevisionId
    reason: str
    blue: RevisionId | None = None
    """Who served before it."""
    log: tuple[str, ...] = ()
    is_about_routes: bool = False
    """Only the routes were refused; nothing is known against the revision itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An operator's leave to go on from a weight without waiting (promote)."""

    revision: RevisionId
    weight: int
    is_full: bool = False
    """Leave out all further steps: the next weight is 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What exactly a revision ran: tags move, contents do not."""

    revision: RevisionId
    image_id: str
    """Docker's ID of the image, on this machine."""
    digest: str = ""
    """Where to have it from again, such as `ghcr.io/acme/web@sha256:…`; empty: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The attempt under way."""

    number: int
    revision: RevisionId
    image: str
    blue: RevisionId | None = None
    """The revision that served when green took its first traffic."""
    hooks: tuple[Ran, ...] = ()
    """The hooks that have run in it, as far as they did not reject it."""
    begun: tuple[Moment, ...] = ()
    """The hooks that may have been started: one of them that is gone is never made anew."""
    stopped: tuple[Moment, ...] = ()
    """The hooks that were told to end: whatever they end with then, they have not succeeded."""

    def ran(self, moment: Moment) -> Ran | None:
        """Return how a hook ended; None: it has not, or that is not known yet."""
        return next((ran for ran in self.hooks if ran.moment is moment), None)

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines of its hooks, for the history."""
        return tuple(f"{ran.moment}: {line}" for ran in self.hooks for line in ran.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The few facts that must outlive the process; losing them costs time, never safety (L4)."""

    good: AppSpec | None = None
    """The last spec that passed its bake."""
    previous: tuple[AppSpec, ...] = ()
    """Good specs before that one, newest first: where a rollback can go."""
    rejection: Rejection | None = None
    deployment: Deployment | None = None
    deployments: int = 0
    waiver: Waiver | None = None
    paused: bool = False
    adopted: tuple[str, ...] = ()
    """What others had running when we took over: only that is stopped, or started again."""
    pins: tuple[Pin, ...] = ()
    """What the good spec and the previous ones ran, and what green runs."""
    orphans: tuple[str, ...] = ()
    """Hooks that ran on when their deployment was over: how they end is told in the history."""

    def rejects(self, spec: AppSpec) -> bool:
        """Tell whether this very spec has been rejected."""
        return self.rejection is not None and self.rejection.spec == spec.digest

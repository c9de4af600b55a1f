"""Plays the README's first minute on the forecast's world, with what the sample app says.

So that the sentences and tables in the README can be compared with those of today. v3 never gets
healthy here either. Nothing is started, nothing waits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console, RenderableType

from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.cli.tables import app_report, apps_table
from traefik_bg.core.actions import Phase, Plan
from traefik_bg.core.forecast import ASSUMED_START, MAX_LOOKS, World
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.observation import Health, Observation, Replica
from traefik_bg.core.planner import plan
from traefik_bg.core.ports import RoutingState
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.view import AppView, app_view

DESIRED = Path(__file__).parents[1] / "config/desired.yaml"
SAMPLE = AppName("sample")
LAST_WORDS = ("v3 listens on port 8000, not ready yet", "v3 is ready")
TERMINAL = 100  # columns
PIPE = 500


def sample(version: str) -> AppSpec:
    """Return the sample app as config/desired.yaml has it, in this version."""
    spec = read_desired(DESIRED, environ={}).apps[SAMPLE]
    return replace(spec, image=f"{spec.image.rpartition(':')[0]}:{version}")


@dataclass(kw_only=True)
class FirstMinute(World):
    """Docker and Traefik, and a sample app that says how it is."""

    app: AppName = SAMPLE
    guard_available: bool = True
    made: Plan | None = None
    """What was decided last."""

    def observe(self) -> Observation:
        """Look, also at what replicas say."""
        seen = super().observe()
        return replace(seen, replicas=tuple(self._told(replica) for replica in seen.replicas))

    def _told(self, replica: Replica) -> Replica:
        if not replica.is_running:
            return replica
        is_late = self._is_sick(replica) and replica.age >= sample("v3").health.deadline
        return replace(
            replica,
            health_reason="HTTP 200" if replica.is_healthy else "HTTP 503",
            open_connections=None if replica.unrouted_for is None else 0,
            log=LAST_WORDS if is_late else (),
        )

    def advance(self, seconds: float) -> None:
        """Let time pass; v3 does not get healthy of it."""
        super().advance(seconds)
        for name, replica in self.replicas.items():
            if self._is_sick(replica) and replica.is_healthy:
                self.replicas[name] = replace(replica, health=Health.STARTING)

    @staticmethod
    def _is_sick(replica: Replica) -> bool:
        return replica.revision == sample("v3").revision

    def save(self, version: str, *, until: Phase | None = None) -> list[Plan]:
        """Save the file with another version; return all decisions until one of this phase."""
        self.desired = sample(version)
        decisions = []
        for _ in range(MAX_LOOKS):
            self.made = made = plan(self.observe(), self.record)
            self.record = made.record
            decisions.append(made)
            if made.phase is until:
                break
            for action in made.actions:
                self.apply(action)
            if made.actions or made.recheck_after == 0.0:
                continue
            if (pause := self._pause(made)) is None:
                break
            self.advance(pause)
        return decisions

    def _pause(self, made: Plan) -> float | None:
        is_starting = any(
            replica.health is Health.STARTING and not self._is_sick(replica)
            for replica in self.replicas.values()
        )
        waits = [made.recheck_after, ASSUMED_START if is_starting else None]
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def view(self) -> AppView:
        """What people may know of the app now."""
        assert self.made is not None
        status = AppStatus(
            app=self.app,
            phase=self.made.phase,
            reason=self.made.reason,
            since=1.0,
            record=self.record,
            seen=self.observe(),
            routing=RoutingState(published=self.published, confirmed_for=self.confirmed_for),
        )
        return app_view(status, 8.2)


def status_of_all(view: AppView) -> list[str]:
    """Return what `traefik-bg status` prints on a terminal."""
    return _printed([apps_table([view], TERMINAL)], TERMINAL)


def status_of_one(view: AppView) -> list[str]:
    """Return what `traefik-bg status sample` prints."""
    return _printed(app_report(view), PIPE)


def _printed(parts: Iterable[RenderableType], width: int) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, width=width, highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def said(decisions: Iterable[Plan], line: Callable[[Plan], str]) -> list[str]:
    """Return a line for each decision that says something new."""
    return list(dict.fromkeys(line(made) for made in decisions))

"""What an app's settings mean together: what cannot be, and what is only odd.

Apart from the schema because each rule here needs more than one section of an app, all of them
already good by themselves. Called by the reading, which knows the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from traefik_bg.adapters.desired_rollout import RECREATE
from traefik_bg.adapters.desired_schema import AppSettings
from traefik_bg.adapters.desired_tree import Keys
from traefik_bg.core.rollout import Sessions


class Finding(NamedTuple):
    """The keys that lead from the app to what is wrong or odd, and a sentence."""

    keys: Keys
    message: str


def contradictions(app: AppSettings) -> Iterator[Finding]:
    """Return what the settings of an app ask for that cannot be."""
    yield from _said_twice(app)
    if not app.is_tcp:
        return
    rollout = app.rollout
    if rollout.preview is not None:
        yield Finding(
            ("rollout", "preview"),
            "a TCP connection has neither headers nor cookies to ask for the new version by; "
            "write preview: false to undo the defaults",
        )
    if rollout.mirror is not None:
        yield Finding(
            ("rollout", "mirror"),
            "Traefik copies requests of HTTP only, not TCP connections; write mirror: false to "
            "undo the defaults",
        )
    if rollout.sessions == Sessions.KEEP:
        yield Finding(
            ("rollout", "sessions"),
            "Traefik cannot recognise the client of a TCP connection; what is open stays with the "
            "old version until it ends or the drain is over, as sessions: move has it",
        )
    for limit in rollout.analysis.limits if rollout.analysis is not None else ():
        yield Finding(
            ("rollout", "analysis", limit),
            "Traefik counts no answers of TCP connections, so there is nothing to compare with; "
            "use checks",
        )


def _said_twice(app: AppSettings) -> Iterator[Finding]:
    """Return limits that deploy says in another way; equal ones are fine, as in Compose."""
    resources = app.deploy.resources if app.deploy is not None else None
    if resources is None:
        return
    limits, reserved = resources.limits, resources.reservations
    pairs: list[tuple[str, str, float | None]] = [
        ("mem_reservation", "reservations.memory", reserved.memory if reserved else None)
    ]
    if limits is not None:
        pairs += [
            ("mem_limit", "limits.memory", limits.memory),
            ("cpus", "limits.cpus", limits.cpus),
            ("pids_limit", "limits.pids", limits.pids),
        ]
    for key, path, other in pairs:
        value = getattr(app, key)
        if value is not None and other is not None and value != other:
            yield Finding(
                (key,),
                f"deploy.resources.{path} says something else; write one of them",
            )


def oddities(app: AppSettings) -> Iterator[Finding]:
    """Return what the settings of an app ask for that will not do what is expected."""
    rollout, analysis = app.rollout, app.rollout.analysis
    is_compared = bool(rollout.steps) or rollout.mirror is not None
    if analysis is not None and analysis.worse_than_blue is not None and not is_compared:
        yield Finding(
            ("rollout", "analysis", "worse_than_blue"),
            "has nothing to compare with: without steps and mirror, the old version has no "
            "requests while the new one has some",
        )
    if analysis is not None and analysis.limits and not app.route:
        yield Finding(
            ("rollout", "analysis", analysis.limits[0]),
            "has nothing to judge: an app without a route gets no requests through Traefik",
        )
    if app.is_tcp and rollout.strategy == RECREATE:
        key = "strategy" if rollout.hold_requests is None else "hold_requests"
        yield Finding(
            ("rollout", key),
            "TCP connections are not held: those that come while nothing serves are closed",
        )
    is_encrypted = any(route.tls is not None and route.tls.passthrough for route in app.route)
    if is_encrypted and app.health.path is not None:
        yield Finding(
            ("health", "path"),
            "is asked without TLS, which the app is not likely to answer on a port that TLS is "
            "passed through to; without it Docker's HEALTHCHECK decides, or a TCP connect",
        )

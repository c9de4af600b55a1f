"""What a rule says, and the words rules share.

Separate so that the rules, which are grouped by what they are about, need not know each other.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from traefik_bg.core.actions import Action, Ending, Phase, PublishRouting
from traefik_bg.core.model import Routing
from traefik_bg.core.record import Record
from traefik_bg.core.situation import Situation

INSTANT = 0.005
"""Seconds that are no time at all: what is left of a wait after waking up a moment early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a rule says; the record is the remembered one unless the rule changes it."""

    reason: str
    phase: Phase
    actions: tuple[Action, ...] = ()
    record: Record | None = None
    recheck_after: float | None = None
    left: float | None = None
    """The seconds that the reason ends with, where they run down by themselves."""
    endings: tuple[Ending, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the history."""


def publish(
    s: Situation, routing: Routing | None, why: str, phase: Phase, record: Record | None = None
) -> Decision:
    """Return the decision to publish a routing."""
    return Decision(
        reason=why,
        phase=phase,
        actions=(PublishRouting(app=s.seen.app, routing=routing),),
        record=record,
    )


def counted(count: int) -> str:
    """Return how many replicas, in words."""
    return "1 replica" if count == 1 else f"{count} replicas"


def listed(of: Sequence[str]) -> str:
    """Return names as people list them."""
    return ", ".join(of)

"""What is being judged now: green, exposed to traffic under one confirmed split.

Separate because two ask for evidence of it: the witness (Traefik's figures) and the inquiry (the
checks). Both begin anew when the split changes or is not confirmed any more. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from traefik_bg.core.evidence import Tally
from traefik_bg.core.model import AppSpec, RevisionId, Routing
from traefik_bg.core.ports import RoutingState, Subject
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Analysis, Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What became of the requests of a while."""

    asked: float
    """Those that green might have got."""
    due: float
    """Those that it was to get; 0 where nobody can tell."""
    got: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Green under one confirmed split."""

    subject: Subject
    routing: Routing
    analysis: Analysis | None

    @property
    def key(self) -> tuple[object, ...]:
        """What the evidence is about: another one makes it worthless."""
        return (self.subject.revision, self.routing.split)

    @property
    def window(self) -> float:
        """Seconds after which a request does not count any more."""
        return (self.analysis or Analysis()).window

    @property
    def checks(self) -> tuple[Check, ...]:
        """What is to be asked."""
        return self.analysis.checks if self.analysis is not None else ()

    @property
    def revisions(self) -> frozenset[RevisionId]:
        """Green, and whom it is compared with."""
        blue = self.subject.blue
        return frozenset({self.subject.revision, *self.routing.weights, *([blue] if blue else [])})

    def portion(self, grown: Mapping[RevisionId, Tally]) -> Portion:
        """Return what green was to get, and got, of what was counted in a while."""
        routing, green = self.routing, grown.get(self.subject.revision, Tally())
        weights = routing.weights
        if self.subject.revision not in weights:
            return self._mirrored(grown)
        asked = sum(grown.get(revision, Tally()).requests for revision in weights)
        fallback = routing.fallback
        if fallback is not None and fallback.revision in weights:
            # What green fails to is asked of blue once more, and counts there too (measured).
            again = min(green.errors, grown.get(fallback.revision, Tally()).requests)
            asked -= again
        # Where clients stay with their version, weights are shares of new clients, not of requests.
        sticks = routing.sticky or routing.keeps_sessions
        due = 0.0 if sticks else asked * self.subject.weight / sum(weights.values())
        return Portion(asked=asked, due=due, got=green.requests)

    def _mirrored(self, grown: Mapping[RevisionId, Tally]) -> Portion:
        mirror = self.routing.mirror
        if mirror is None:
            return Portion(asked=0, due=0, got=0)
        served = [grown.get(revision, Tally()) for revision in self.routing.weights]
        asked = sum(tally.requests if mirror.all_methods else tally.reads for tally in served)
        got = grown.get(self.subject.revision, Tally()).requests
        return Portion(asked=asked, due=asked * mirror.percent / 100, got=got)


def exposure(desired: AppSpec | None, record: Record, state: RoutingState) -> Exposure | None:
    """Return what is being judged; None: nothing, or not yet."""
    deployment, routing = record.deployment, state.published
    if deployment is None or desired is None or desired.revision != deployment.revision:
        return None
    if not desired.rollout.needs_figures or routing is None or state.weights_for is None:
        return None
    green = deployment.revision
    mirror = routing.mirror
    is_mirrored = mirror is not None and mirror.share.revision == green
    if green not in routing.weights and not is_mirrored:
        return None
    others = [revision for revision in routing.weights if revision != green]
    return Exposure(
        subject=Subject(
            app=desired.name,
            revision=green,
            image=desired.image,
            weight=routing.weights.get(green, 0),
            blue=others[0] if others else deployment.blue,
        ),
        routing=routing,
        analysis=desired.rollout.analysis,
    )

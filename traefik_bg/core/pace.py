"""How long a deployment stays where it is: pauses, evidence, approvals, and what is left of them.

Separate from the rules because every stage (mirror, step, bake) waits in the same way. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from traefik_bg.core.actions import seconds_left
from traefik_bg.core.analysis import Judgement, Verdict, judged
from traefik_bg.core.decision import INSTANT
from traefik_bg.core.model import AppSpec
from traefik_bg.core.rollout import Analysis, Approval, Inconclusive, Step
from traefik_bg.core.situation import FULL, Situation

LONGEST_STARVATION = 300.0
"""Seconds a step waits beyond its pause, while a busy configuration keeps its share from green."""
LOOK_AT_FIGURES = 1.0
"""Seconds between looks while something is judged: Traefik's figures are read that often."""
WORTH_TELLING = 5.0
"""Seconds without its share after which people are told why green's clock stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What must be over before the deployment goes on from the weight it has."""

    pause: float = 0.0
    needs_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a deployment stays where it is."""

    reason: str
    recheck_after: float | None = None
    left: float | None = None
    """The seconds that the reason ends with; None where their clock stands still."""
    is_for_approval: bool = False


def stage(s: Situation, target: AppSpec) -> Stage:
    """Return what the target has to stand where it is now."""
    rollout = target.rollout
    if s.weight == FULL:
        return Stage(pause=rollout.bake)
    if s.weight == 0:
        mirror = s.routed.mirror
        return Stage(pause=rollout.mirror.pause if mirror and rollout.mirror else 0.0)
    step = next(
        (step for step in reversed(rollout.steps) if step.weight <= s.weight), Step(weight=0)
    )
    return Stage(pause=step.pause, needs_approval=step.needs_approval)


def wait(s: Situation, target: AppSpec) -> Wait | None:
    """Return why the target has to stay at its weight; None: it may go on."""
    if s.is_proven or s.is_promised(s.weight):
        return None
    now = stage(s, target)
    left = max(0.0, now.pause - counted_for(s, target))
    judgement = judgement_of(s, target)
    if left > INSTANT:
        starved = _starvation(s)
        is_watched = starved or judgement.verdict is Verdict.UNSURE
        return Wait(
            reason=f"in {seconds_left(left)}{starved}",
            recheck_after=min(left, LOOK_AT_FIGURES) if is_watched else left,
            left=None if starved else left,
        )
    if judgement.verdict is Verdict.BAD:  # it would have been rejected, if that helped anybody
        return Wait(
            reason=f"once it answers better: {judgement.detail}; there is nothing to go back to",
            recheck_after=LOOK_AT_FIGURES,
        )
    if judgement.verdict is Verdict.UNSURE and not is_out_of_patience(s, target):
        rest = now.pause + (target.rollout.analysis or Analysis()).max_wait - s.stood_for
        return Wait(
            reason=f"once there is evidence: {judgement.detail}; at most {seconds_left(rest)} more",
            recheck_after=min(LOOK_AT_FIGURES, max(rest, INSTANT)),
            left=rest,
        )
    if now.needs_approval:
        return Wait(reason="when it is promoted", is_for_approval=True)
    return None


def judgement_of(s: Situation, target: AppSpec) -> Judgement:
    """Return what the figures and checks say of the target now."""
    analysis = target.rollout.analysis
    has_requests = s.weight > 0 or s.routed.mirror is not None
    if analysis is None or not has_requests:
        return Judgement(verdict=Verdict.GOOD)
    evidence = s.seen.evidence
    figures = {} if evidence is None else evidence.figures
    blue = None if s.blue is None else figures.get(s.blue)
    return judged(
        analysis,
        figures.get(target.revision),
        blue,
        s.seen.checks,
        trouble=s.seen.evidence_trouble,
    )


def is_out_of_patience(s: Situation, target: AppSpec) -> bool:
    """Tell whether the longest wait for evidence is over."""
    analysis = target.rollout.analysis or Analysis()
    return s.stood_for + INSTANT >= stage(s, target).pause + analysis.max_wait


def is_inconclusive(s: Situation, target: AppSpec) -> bool:
    """Tell whether the target is to be rejected because nobody could tell how it is."""
    analysis = target.rollout.analysis
    return (
        analysis is not None
        and analysis.inconclusive is Inconclusive.REJECT
        and not s.is_promised(s.weight)
        and not _waits_for_somebody(s, target)
        and is_out_of_patience(s, target)
        and judgement_of(s, target).verdict is Verdict.UNSURE
    )


def _waits_for_somebody(s: Situation, target: AppSpec) -> bool:
    """Tell whether people keep the target where it is: then evidence that is old is no lack."""
    is_approved_first = s.weight == 0 and target.rollout.approval is Approval.MANUAL
    return s.is_held or is_approved_first or stage(s, target).needs_approval


def counted_for(s: Situation, target: AppSpec) -> float:
    """Return how many seconds count of those that the present weight has stood.

    Its clock runs only while green gets its share; but a configuration that never lets it have one
    does not hold the deployment up for ever.
    """
    evidence, analysis = s.seen.evidence, target.rollout.analysis
    if evidence is None or s.weight == FULL:
        return s.stood_for
    longest = analysis.max_wait if analysis is not None else LONGEST_STARVATION
    counted = max(evidence.fed_for, s.stood_for - longest)
    return min(counted, s.stood_for)


def _starvation(s: Situation) -> str:
    evidence = s.seen.evidence
    if evidence is None or evidence.share is None or not 0 < s.weight < FULL:
        return ""
    if s.stood_for - evidence.fed_for < WORTH_TELLING:
        return ""
    return (
        f"; its clock stands still while it gets {evidence.share:.2g} % instead of {s.weight} %, "
        "because Traefik begins its round robin anew at every reload"
    )

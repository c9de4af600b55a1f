"""The rules about traffic: what is published, confirmed, shifted, and when green is good.

Called in order by the planner, whose docstring has the laws they keep. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.actions import Ending, Outcome, Phase
from traefik_bg.core.decision import INSTANT, Decision, counted, listed, publish
from traefik_bg.core.model import AppSpec
from traefik_bg.core.rollout import Approval
from traefik_bg.core.routing import needs_rehearsal, routing_at
from traefik_bg.core.situation import FULL, Situation

KEPT_GOOD_SPECS = 5
"""How far back a rollback can go."""


def keep_routing_true(s: Situation) -> Decision | None:
    """Publish when what is published is not what its weights mean now (S1, S7).

    The dead and the sick leave, newly proven replicas of a revision that has weight join, and
    changed routes take effect.
    """
    if s.seen.desired is None or s.seen.published is None:
        return None
    wanted = routing_at(s, s.weight)
    if wanted == s.routed:
        return None
    fallback = s.routed.fallback
    if fallback is not None and wanted == replace(s.routed, fallback=None):
        why = f"{fallback.revision} is not needed as a way back any more"
        return publish(s, wanted, why, Phase.DRAINING)
    gone = [x.replica for x in s.routed.servers if not wanted.has(x.replica)]
    come = [x.replica for x in wanted.servers if not s.routed.has(x.replica)]
    if gone and come:
        why = f"moving traffic from {listed(gone)} to {listed(come)}"
    elif gone:
        why = f"taking {listed(gone)} out of the routing"
    elif come:
        why = f"adding {listed(come)} to the routing"
    else:
        why = "updating the routing"
    return publish(s, wanted, why, Phase.REPAIRING)


def unroute_unwanted_app(s: Situation) -> Decision | None:
    """Take an app that is not desired any more out of the routing."""
    if s.seen.desired is not None or s.seen.published is None:
        return None
    return publish(s, None, "not desired any more: taking it out of the routing", Phase.REMOVING)


def confirm(s: Situation) -> Decision | None:
    """Wait until every Traefik runs what is published."""
    if s.is_confirmed or s.seen.published is None:
        return None
    return Decision(reason="waiting for Traefik to load the routing", phase=Phase.CONFIRMING)


def rehearse(s: Situation) -> Decision | None:
    """Have Traefik load changed routes where no request reaches them, before they matter."""
    target = s.target
    if target is None or not needs_rehearsal(s):
        return None
    routing = replace(s.routed, trial=target.routes)
    return publish(s, routing, f"trying the routes of {target.revision}", Phase.CONFIRMING)


def await_approval(s: Situation) -> Decision | None:
    """Wait for an operator before green takes its first traffic."""
    target = s.target
    if target is None or s.is_proven or s.weight > 0 or s.blue is None:
        return None
    if target.rollout.approval is Approval.AUTOMATIC or s.is_promised(0):
        return None
    return Decision(
        reason=f"{target.revision} is healthy and waits for approval: promote or abort",
        phase=Phase.WAITING,
    )


def shift(s: Situation) -> Decision | None:
    """Give the target its next weight, when the pause of the present one is over."""
    target = s.target
    if target is None or s.weight == FULL:
        return None
    left = _pause_left(s, target)
    if left > INSTANT and s.weight > 0:
        return Decision(
            reason=f"{target.revision} has {s.weight} %, next step in {left:.0f} s",
            phase=Phase.SHIFTING,
            recheck_after=left,
        )
    weight = _next_weight(s, target)
    record = s.record
    if record.deployment is not None and s.weight == 0:
        record = replace(record, deployment=replace(record.deployment, blue=s.blue))
    cutover = "cutover: all traffic" if weight == FULL else f"{weight} % of the traffic"
    return publish(
        s, routing_at(s, weight), f"{cutover} to {target.revision}", Phase.SHIFTING, record
    )


def _next_weight(s: Situation, target: AppSpec) -> int:
    """Return the next step's weight; home to the good revision goes in one step."""
    if s.is_proven or s.blue is None:
        return FULL
    return next((step.weight for step in target.rollout.steps if step.weight > s.weight), FULL)


def _pause_left(s: Situation, target: AppSpec) -> float:
    """Return how many seconds the present weight still has to stand."""
    if s.is_proven or s.is_promised(s.weight):
        return 0.0
    pause = next(
        (step.pause for step in reversed(target.rollout.steps) if step.weight <= s.weight), 0.0
    )
    return max(0.0, pause - (s.seen.weights_for or 0.0))


def bake(s: Situation) -> Decision | None:
    """Keep blue warm until green has stood alone long enough, then make green the good one."""
    target = s.target
    if target is None or s.record.good == target:
        return None
    if s.is_proven:
        record = replace(s.record, good=target)
        reason = f"{target.revision} runs as now desired"
        return Decision(reason=reason, phase=Phase.SETTLED, record=record, recheck_after=0.0)
    left = target.rollout.bake - (s.seen.weights_for or 0.0)
    if left > INSTANT and not s.is_promised(FULL):
        kept = f", {s.blue} kept warm" if s.blue else ""
        return Decision(
            reason=f"{target.revision} has all traffic{kept}; good in {left:.0f} s",
            phase=Phase.BAKING,
            recheck_after=left,
        )
    return _promote(s, target)


def _promote(s: Situation, target: AppSpec) -> Decision:
    before = (s.record.good,) if s.record.good is not None else ()
    previous = tuple(
        spec for spec in (*before, *s.record.previous) if spec.revision != target.revision
    )
    record = replace(
        s.record,
        good=target,
        previous=previous[:KEPT_GOOD_SPECS],
        deployment=None,
        rejection=None,
        waiver=None,
    )
    reason = f"{target.revision} is good: {target.image} serves with {counted(target.replicas)}"
    ending = Ending(outcome=Outcome.SUCCEEDED, revision=target.revision, reason=reason)
    return Decision(
        reason=reason,
        phase=Phase.SETTLED,
        record=record,
        recheck_after=0.0,
        endings=(ending,),
    )

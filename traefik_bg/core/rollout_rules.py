"""The rules of a rollout: what green gets when, and when it is good.

Called in order by the planner, whose docstring has the laws they keep; how long each stage lasts is
`pace`. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.actions import Ending, Outcome, Phase, seconds_left
from traefik_bg.core.decision import Decision, counted, publish
from traefik_bg.core.model import AppSpec
from traefik_bg.core.pace import wait
from traefik_bg.core.rollout import Approval
from traefik_bg.core.routing import mirroring, routing_at, sessions_left
from traefik_bg.core.situation import FULL, Situation

KEPT_GOOD_SPECS = 5
"""How far back a rollback can go."""


def let_sessions_end(s: Situation) -> Decision | None:
    """Let the clients of the deployment before finish, before more of them have to choose."""
    kept, target = s.routed.kept, s.target
    if kept is None or target is None or s.is_proven or s.weight > 0 or s.is_promised(0):
        return None
    left = sessions_left(s)
    return Decision(
        reason=f"{target.revision} is healthy and waits for the sessions on {kept.revision} "
        f"to end, at most {seconds_left(left)}",
        phase=Phase.DRAINING,
        recheck_after=left,
        left=left,
    )


def mirror(s: Situation) -> Decision | None:
    """Give green copies of requests before it takes any, and judge its answers."""
    target = s.target
    if target is None or target.rollout.mirror is None or s.is_proven or s.weight > 0:
        return None
    if s.blue is None or s.is_promised(0):
        return None
    percent = target.rollout.mirror.percent
    copies = f"copies of {percent} % of the requests"
    if s.routed.mirror is None:
        return publish(s, mirroring(s, target), f"{copies} to {target.revision}", Phase.SHIFTING)
    pending = wait(s, target)
    if pending is None:
        return None
    return Decision(
        reason=f"{target.revision} gets {copies}, goes on {pending.reason}",
        phase=Phase.SHIFTING,
        recheck_after=pending.recheck_after,
        left=pending.left,
    )


def needs_approval(s: Situation) -> bool:
    """Tell whether an operator has yet to let the target have traffic at all."""
    target = s.target
    if target is None or s.is_proven or s.weight > 0:
        return False
    return target.rollout.approval is Approval.MANUAL and not s.is_promised(0)


def await_approval(s: Situation) -> Decision | None:
    """Wait for an operator before green takes its first traffic."""
    target = s.target
    if target is None or s.blue is None or not needs_approval(s):
        return None
    return Decision(
        reason=f"{target.revision} is healthy and waits for approval: promote or abort",
        phase=Phase.WAITING,
    )


def shift(s: Situation) -> Decision | None:
    """Give the target its next weight, when the stage of the present one is over."""
    target = s.target
    if target is None or s.weight == FULL:
        return None
    pending = wait(s, target) if s.weight > 0 else None
    if pending is not None:
        return Decision(
            reason=f"{target.revision} has {s.weight} %, next step {pending.reason}",
            phase=Phase.WAITING if pending.is_for_approval else Phase.SHIFTING,
            recheck_after=pending.recheck_after,
            left=pending.left,
        )
    weight = _next_weight(s, target)
    record = s.record
    if record.deployment is not None and s.weight == 0 and s.blue is not None:
        record = replace(record, deployment=replace(record.deployment, blue=s.blue))
    cutover = "cutover: all traffic" if weight == FULL else f"{weight} % of the traffic"
    return publish(
        s, routing_at(s, weight), f"{cutover} to {target.revision}", Phase.SHIFTING, record
    )


def _next_weight(s: Situation, target: AppSpec) -> int:
    """Return the next step's weight; home to the good revision goes in one step."""
    if s.is_proven or s.blue is None or (s.waiver is not None and s.waiver.is_full):
        return FULL
    return next((step.weight for step in target.rollout.steps if step.weight > s.weight), FULL)


def bake(s: Situation) -> Decision | None:
    """Keep blue warm until green has stood alone long enough, then make green the good one."""
    target = s.target
    if target is None or s.record.good == target:
        return None
    if s.is_proven:
        record = replace(s.record, good=target)
        reason = f"{target.revision} runs as now desired"
        return Decision(reason=reason, phase=Phase.SETTLED, record=record, recheck_after=0.0)
    pending = wait(s, target)
    if pending is not None:
        kept = f", {s.blue} kept warm" if s.blue else ""
        return Decision(
            reason=f"{target.revision} has all traffic{kept}; good {pending.reason}",
            phase=Phase.BAKING,
            recheck_after=pending.recheck_after,
            left=pending.left,
        )
    return _promote(s, target)


def keep_sessions(s: Situation) -> Decision | None:
    """Let clients finish where they began, after the deployment itself is over."""
    kept = s.routed.kept
    if kept is None:
        return None
    left = sessions_left(s)
    return Decision(
        reason=f"clients that began on {kept.revision} finish there, at most {seconds_left(left)}",
        phase=Phase.DRAINING,
        recheck_after=left,
        left=left,
    )


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
    hooks = s.record.deployment.hooks if s.record.deployment is not None else ()
    reason += "".join(f"; {ran.moment} {ran.trouble}" for ran in hooks if ran.trouble)
    lines = s.record.deployment.lines if s.record.deployment is not None else ()
    ending = Ending(outcome=Outcome.SUCCEEDED, revision=target.revision, reason=reason, log=lines)
    return Decision(
        reason=reason,
        phase=Phase.SETTLED,
        record=record,
        recheck_after=0.0,
        endings=(ending,),
    )

"""The rules for what must not run twice: hold requests, stop what runs, then start what is wanted.

Called in order by the planner, whose docstring has the laws they keep. Used in both directions: a
rejected green makes way for blue in the same way. Pure.
"""

from __future__ import annotations

from traefik_bg.core.actions import Action, Phase, StopReplica
from traefik_bg.core.decision import Decision, listed, publish
from traefik_bg.core.replica_rules import (
    LOOK_WHILE_DRAINING,
    create,
    drain_limit,
    is_drained,
    still_open,
)
from traefik_bg.core.rollout_rules import needs_approval
from traefik_bg.core.routing import holding
from traefik_bg.core.situation import Situation


def make_way(s: Situation) -> Decision | None:
    """Stop what runs before the target is started, with requests held meanwhile (S8).

    What can go wrong before anything is stopped is tried first: the image, and the creation of the
    containers.
    """
    target = s.target
    if target is None or not s.is_exclusive or not s.occupants:
        return None
    if (preparing := create(s, target)) is not None:
        return preparing
    if needs_approval(s) and s.routed.shares:
        return Decision(
            reason=f"{target.revision} is ready to start and waits for approval: promote or abort",
            phase=Phase.WAITING,
        )
    if not s.is_holding and s.routed.shares:
        why = f"holding requests, until {target.revision} has taken over"
        return publish(s, holding(s), why, Phase.SHIFTING)
    if not s.is_confirmed and s.seen.published is not None:
        return Decision(reason="waiting for Traefik to hold requests", phase=Phase.CONFIRMING)
    return _stop(s)


def _stop(s: Situation) -> Decision:
    idle = [r for r in s.occupants if r.name not in s.seen.busy and r.name not in s.seen.cooling]
    actions: tuple[Action, ...] = tuple(
        StopReplica(name=replica.name) for replica in idle if is_drained(s, replica)
    )
    names = listed([replica.name for replica in s.occupants])
    if actions:
        reason = f"stopping {listed([r.name for r in idle if is_drained(s, r)])}; requests are held"
        return Decision(reason=reason, phase=Phase.DRAINING, actions=actions)
    if not idle:
        return Decision(reason=f"stopping {names}; requests are held", phase=Phase.DRAINING)
    longest = max(drain_limit(s) - (r.unrouted_for or 0.0) for r in idle)
    return Decision(
        reason=f"requests are held; draining {names}: {still_open(idle)}, "
        f"at most {max(0.0, longest):.0f} s",
        phase=Phase.DRAINING,
        recheck_after=LOOK_WHILE_DRAINING,
    )

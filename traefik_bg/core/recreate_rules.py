"""The rules for what must not run twice: hold requests, stop what runs, then start what is wanted.

Called in order by the planner, whose docstring has the laws they keep. Used in both directions: a
rejected green makes way for blue in the same way. Pure.
"""

from __future__ import annotations

import re

from traefik_bg.core.actions import Action, Phase, StartReplica, StopReplica, seconds_left
from traefik_bg.core.claims import would_lose
from traefik_bg.core.decision import Decision, listed, publish
from traefik_bg.core.model import RevisionId
from traefik_bg.core.replica_rules import (
    LOOK_WHILE_DRAINING,
    create,
    drain_limit,
    is_drained,
    still_open,
)
from traefik_bg.core.rollout_rules import needs_approval
from traefik_bg.core.routing import holding
from traefik_bg.core.situation import FULL, Situation


def make_way(s: Situation) -> Decision | None:
    """Stop what runs before the target is started, with requests held meanwhile (S8).

    What can go wrong before anything is stopped is tried first: the image, and the creation of the
    containers.
    """
    target = s.target
    if target is None or not s.is_exclusive:
        return None
    if coming := _under_way_elsewhere(s, target.revision):
        return Decision(reason=f"waiting for {listed(coming)}", phase=Phase.STARTING)
    if not s.occupants:
        return None
    if s.weight == FULL and s.is_alive(target.revision):
        return _stop(s)  # it serves already, and what else runs is in nobody's way but its own
    if (preparing := create(s, target)) is not None:
        return preparing
    if needs_approval(s) and s.routed.shares:
        return Decision(
            reason=f"{target.revision} is ready to start and waits for approval: promote or abort",
            phase=Phase.WAITING,
        )
    if not s.is_confirmed and not s.is_holding and s.seen.published is not None:
        return Decision(reason="waiting for Traefik to load the routing", phase=Phase.CONFIRMING)
    if not s.is_holding and s.routed.shares:
        return _hold(s, f"until {target.revision} has taken over")
    if not s.is_confirmed and s.seen.published is not None:
        return Decision(reason="waiting for Traefik to hold requests", phase=Phase.CONFIRMING)
    return _stop(s)


def _under_way_elsewhere(s: Situation, revision: RevisionId) -> list[str]:
    """Return what is still being made of other revisions, and cannot be seen yet."""
    seen = {replica.name for replica in s.replicas}
    ours = re.compile(rf"{re.escape(s.seen.app)}-(?!{revision}-)[0-9a-f]{{8}}-[0-9]+")
    return sorted(name for name in s.seen.busy - seen if ours.fullmatch(name))


def bring_back(s: Situation) -> Decision | None:
    """Start again what ran before a green that failed, where nobody remembers a good spec (L4)."""
    if s.target is not None or not s.resting:
        return None
    back = _last_to_run(s)
    if any(replica.revision == s.bad for replica in s.occupants):
        is_served = s.blue not in {None, s.bad}
        if s.is_holding or not s.routed.shares or is_served:
            return None  # it is retired first
        return _hold(s, "until what ran before runs again")  # fmt: skip
    if any(replica.revision not in {back, s.bad} for replica in s.occupants):
        return None
    idle = [
        replica
        for replica in s.resting
        if replica.revision == back
        and replica.name not in s.seen.busy
        and replica.name not in s.seen.cooling
    ]
    if not idle:
        return None
    return Decision(
        reason=f"starting {listed([replica.name for replica in idle])} again",
        phase=Phase.STARTING,
        actions=tuple(StartReplica(name=replica.name) for replica in idle),
    )


def _last_to_run(s: Situation) -> RevisionId:
    """Return who serves, or runs again, or served before; else who has the most replicas."""
    running = {r.revision for r in s.occupants if r.revision != s.bad}
    if running:
        return max(sorted(running), key=lambda revision: s.routed.weights.get(revision, 0))
    rejection = s.record.rejection
    blue = None if rejection is None else rejection.blue
    found = [replica.revision for replica in s.resting]
    return max(sorted(found), key=lambda revision: (revision == blue, found.count(revision)))


def _hold(s: Situation, until: str) -> Decision:
    words = "holding requests" if s.seen.hold_available else "requests cannot be held here and fail"
    return publish(s, holding(s), f"{words}, {until}", Phase.SHIFTING)


def _stop(s: Situation) -> Decision:
    for replica in s.occupants:
        if replica.is_adopted and not s.is_confirmed and s.seen.published is not None:
            return Decision(
                reason="waiting for Traefik to load the routing", phase=Phase.CONFIRMING
            )
        if (lost := would_lose(replica, s.seen.published)) is not None:
            return Decision(reason=f"{replica.name} runs: {lost}", phase=Phase.BLOCKED)
    idle = [r for r in s.occupants if r.name not in s.seen.busy and r.name not in s.seen.cooling]
    actions: tuple[Action, ...] = tuple(
        StopReplica(name=replica.name) for replica in idle if is_drained(s, replica)
    )
    names = listed([replica.name for replica in s.occupants])
    held = "; requests are held" if s.is_holding else ""
    if actions:
        reason = f"stopping {listed([r.name for r in idle if is_drained(s, r)])}{held}"
        return Decision(reason=reason, phase=Phase.DRAINING, actions=actions)
    if not idle:
        return Decision(reason=f"stopping {names}{held}", phase=Phase.DRAINING)
    longest = max(0.0, *(drain_limit(s) - (r.unrouted_for or 0.0) for r in idle))
    return Decision(
        reason=f"{'requests are held; ' if held else ''}draining {names}: {still_open(idle)}, "
        f"at most {seconds_left(longest)}",
        phase=Phase.DRAINING,
        recheck_after=LOOK_WHILE_DRAINING,
        left=longest,
    )

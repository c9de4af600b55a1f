"""Decides: given what is wanted, seen and remembered of one app, the next thing to do and why.

Called once a look by the reconciler and by `forecast`. Pure: same arguments, same plan; time comes
as durations in the observation. An ordered list of small rules, the first that has something to
say wins. Nothing is remembered of earlier plans: a crash, a lost answer or a newer edit is just
another situation.

The ordering rule: *add before you route, route before you drain, drain before you remove; undo in
reverse order.*

Safety, at every instant and after a crash between any two actions:

S1 Route only to the proven. No publish gives weight to a revision without a healthy replica. If
   blue has died and green is healthy, green gets everything; never roll back to a dead blue.
S2 Stop only the unrouted. A replica is stopped only after Traefik is confirmed not to route to it
   and its drain is over.
S3 Never empty by our hand. While an app is desired and something of it is healthy, no action of
   ours leaves it without traffic.
S4 Blue outlives doubt. Replicas of the good revision stay until green has baked.
S5 Unknown is not empty. No observation, no plan. Unknown health neither promotes nor rejects.
S6 Ours only. Only containers that carry our labels for this instance are touched. What the desired
   state adopts may be started and stopped beside, never made nor removed.
S7 No stranger behind an address. No published address ever belongs to a container other than the
   one it was written for: a dead replica leaves the routing at once.
S8 Never twice. Where the strategy is recreate, no replica is started while one of another revision
   runs, and none is stopped before requests are confirmed to be held. Only there may nothing have
   traffic by our hand (S3), and blue outlives doubt as stopped containers (S4).
S9 Once, and alone. In one deployment a hook is begun at most once, no two hooks of an app run at
   once, and nothing of green is started before its `before` has ended well.

Liveness, when the world is quiet:

L1 Every desired state is reached, or rejected with a reason. Only what has all traffic while
   nothing else is known to be good is neither: it stays, and is said to be sick.
L2 A settled world yields no actions.
L3 A rejected spec is not tried again until it changes or someone says retry.
L4 Forgetting (timers, records) costs time, never safety.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from traefik_bg.core import verdict
from traefik_bg.core.actions import Ending, Outcome, Phase, Plan
from traefik_bg.core.adoption import heed_claims, route_what_serves, with_adopted
from traefik_bg.core.decision import Decision, counted
from traefik_bg.core.hook_rules import (
    clear_hooks,
    end_late_hooks,
    let_hooks_end,
    run_after_cutover,
    run_before,
    time_left,
    with_orphans,
)
from traefik_bg.core.model import ADOPTED
from traefik_bg.core.observation import Observation
from traefik_bg.core.pins import is_seen_anew, pinned
from traefik_bg.core.record import Deployment, Record, Rejection
from traefik_bg.core.recreate_rules import bring_back, make_way
from traefik_bg.core.replica_rules import (
    drain,
    finish_removal,
    prove,
    provide,
    retire,
    start_blue_again,
)
from traefik_bg.core.rollout_rules import (
    await_approval,
    bake,
    keep_sessions,
    let_sessions_end,
    mirror,
    shift,
)
from traefik_bg.core.situation import FULL, Situation
from traefik_bg.core.traffic_rules import (
    confirm,
    go_home,
    keep_routing_true,
    rehearse,
    unroute_unwanted_app,
)


def plan(seen: Observation, remembered: Record) -> Plan:
    """Return the next thing to do for one app, with the reason in one sentence."""
    record = with_adopted(seen, _without_old_rejection(seen, remembered))
    record, endings = _with_deployment(seen, record)
    s = Situation(seen=seen, record=record)
    prefix = ""
    if (rejection := verdict.rejection(s)) is not None:
        endings = (*endings, _rejected(rejection, record.deployment))
        blue = record.deployment.blue if record.deployment is not None else None
        rejection = replace(rejection, blue=blue)
        record = replace(record, rejection=rejection, deployment=None, waiver=None)
        s = Situation(seen=seen, record=record)
        prefix = f"rejected {rejection.revision}: {rejection.reason}; "
    decision = next(said for rule in RULES if (said := rule(s)) is not None)
    if decision.phase is Phase.REJECTED:
        prefix = ""  # it says so itself
    record = with_orphans(seen, record if decision.record is None else decision.record)
    if record != remembered or is_seen_anew(seen, record):  # it is saved anyway, or has to be
        record = pinned(seen, record)
    return Plan(
        reason=prefix + decision.reason,
        phase=decision.phase,
        record=record,
        actions=decision.actions,
        recheck_after=_soonest(decision.recheck_after, *seen.cooling.values(), *time_left(seen)),
        left=decision.left,
        endings=(*endings, *decision.endings),
        notes=decision.notes,
    )


def _rejected(rejection: Rejection, deployment: Deployment | None) -> Ending:
    lines = deployment.lines if deployment is not None else ()
    return Ending(
        outcome=Outcome.REJECTED,
        revision=rejection.revision,
        reason=rejection.reason,
        log=(*lines, *rejection.log),
    )


def _soonest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _without_old_rejection(seen: Observation, record: Record) -> Record:
    """Forget a rejection once something else is desired: coming back to it is a new wish (L3)."""
    is_wanted_still = seen.desired is not None and record.rejects(seen.desired)
    if record.rejection is None or is_wanted_still:
        return record
    return replace(record, rejection=None)


def _with_deployment(seen: Observation, record: Record) -> tuple[Record, tuple[Ending, ...]]:
    """Open a deployment for a target that has not proven itself, and close an outdated one."""
    situation = Situation(seen=seen, record=record)
    target, under_way = situation.target, record.deployment
    wanted = None if target is None or situation.is_proven else target.revision
    if (under_way.revision if under_way else None) == wanted:
        return record, ()
    endings: tuple[Ending, ...] = ()
    if under_way is not None:
        what = f"{target.revision} is wanted now" if target else "the app is not wanted any more"
        endings = (
            Ending(
                outcome=Outcome.SUPERSEDED,
                revision=under_way.revision,
                reason=what,
                log=under_way.lines,
            ),
        )
    record = replace(record, waiver=None)  # what was said of another attempt
    if wanted is None or target is None:
        return replace(record, deployment=None), endings
    number = record.deployments + 1
    is_first = record.good is None and situation.of(ADOPTED)
    blue = ADOPTED if is_first else situation.holder
    opened = Deployment(number=number, revision=wanted, image=target.image, blue=blue)
    return replace(record, deployment=opened, deployments=number), endings


def hold_still(s: Situation) -> Decision | None:
    """Do nothing but repairs while the operator, or the desired state, says so.

    Not while requests are held: they wait for what comes next. And not while what was turned down
    has traffic that can only be given back by stopping it: that is a repair.
    """
    if s.is_holding or (s.is_exclusive and s.is_rejected and s.weight < FULL):
        return None
    if s.record.paused:
        return Decision(reason="paused by the operator", phase=Phase.PAUSED)
    if s.seen.desired is not None and s.seen.desired.hold:
        return Decision(reason="held: the desired state says hold", phase=Phase.PAUSED)
    return None


def stay_rejected(s: Situation) -> Decision | None:
    """Say why what is desired does not run, and what runs instead."""
    rejection = s.record.rejection
    if not s.is_rejected or rejection is None:
        return None
    serving = _serving(s)
    return Decision(
        reason=f"{rejection.revision} is rejected: {rejection.reason}; {serving}",
        phase=Phase.REJECTED,
    )


def be_settled(s: Situation) -> Decision:
    """Say what serves."""
    return Decision(reason=_serving(s), phase=Phase.SETTLED)


def _serving(s: Situation) -> str:
    shares = s.routed.shares
    if not shares:
        return "nothing serves"
    return " and ".join(
        f"{share.revision} serves with {counted(len(share.servers))}" for share in shares
    )


RULES: tuple[Callable[[Situation], Decision | None], ...] = (
    go_home,
    keep_routing_true,
    unroute_unwanted_app,
    end_late_hooks,
    heed_claims,
    route_what_serves,
    hold_still,
    retire,
    clear_hooks,
    let_hooks_end,
    make_way,
    bring_back,
    start_blue_again,
    run_before,
    provide,
    prove,
    confirm,
    rehearse,
    let_sessions_end,
    mirror,
    await_approval,
    shift,
    run_after_cutover,
    bake,
    keep_sessions,
    drain,
    finish_removal,
    stay_rejected,
    be_settled,
)
"""First match wins. What endangers traffic comes first, what only waits comes last."""

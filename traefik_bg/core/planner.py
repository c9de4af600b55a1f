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
S6 Ours only. Only containers that carry our labels for this instance are touched.
S7 No stranger behind an address. No published address ever belongs to a container other than the
   one it was written for: a dead replica leaves the routing at once.

Liveness, when the world is quiet:

L1 Every desired state is reached, or rejected with a reason.
L2 A settled world yields no actions.
L3 A rejected spec is not tried again until it changes or someone says retry.
L4 Forgetting (timers, records) costs time, never safety.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from traefik_bg.core import verdict
from traefik_bg.core.actions import (
    Action,
    CreateReplica,
    Ending,
    Plan,
    PublishRouting,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
    subject,
)
from traefik_bg.core.model import (
    Approval,
    AppSpec,
    ContainerState,
    Deployment,
    Observation,
    Outcome,
    Phase,
    Record,
    Replica,
    ReplicaName,
    RevisionId,
    Rollout,
    Routing,
    Share,
)
from traefik_bg.core.situation import FULL, Situation

QUIET_FOR = 1.0
"""Seconds without an open connection that end a drain. Traefik's idle connections to a replica
close after 1 s (the generated serversTransport says so), and a request may spend a moment in
Traefik's middlewares before it is connected at all."""
LOOK_WHILE_DRAINING = 0.25
"""Seconds between looks at open connections."""
INSTANT = 0.005
"""Seconds that are no time at all: what is left of a wait after waking up a moment early."""
KEPT_GOOD_SPECS = 5
"""How far back a rollback can go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a rule says; the record is the remembered one unless the rule changes it."""

    reason: str
    phase: Phase
    actions: tuple[Action, ...] = ()
    record: Record | None = None
    recheck_after: float | None = None
    endings: tuple[Ending, ...] = ()


def plan(seen: Observation, record: Record) -> Plan:
    """Return the next thing to do for one app, with the reason in one sentence."""
    record, endings = _with_deployment(seen, _without_old_rejection(seen, record))
    situation = Situation(seen=seen, record=record)
    rejection = verdict.rejection(situation)
    prefix = ""
    if rejection is not None:
        outcome = Ending(
            outcome=Outcome.REJECTED,
            revision=rejection.revision,
            reason=rejection.reason,
            log=rejection.log,
        )
        record = replace(record, rejection=rejection, deployment=None, waiver=None)
        endings = (*endings, outcome)
        situation = Situation(seen=seen, record=record)
        prefix = f"rejected {rejection.revision}: {rejection.reason}; "
    decision = next(said for rule in RULES if (said := rule(situation)) is not None)
    return Plan(
        reason=prefix + decision.reason,
        phase=decision.phase,
        record=record if decision.record is None else decision.record,
        actions=decision.actions,
        recheck_after=decision.recheck_after,
        endings=(*endings, *decision.endings),
    )


def _without_old_rejection(seen: Observation, record: Record) -> Record:
    """Forget a rejection once something else is desired: coming back to it is a new wish (L3)."""
    if record.rejection is None or seen.desired is None or record.rejects(seen.desired):
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
        endings = (Ending(outcome=Outcome.SUPERSEDED, revision=under_way.revision, reason=what),)
    if wanted is None or target is None:
        return replace(record, deployment=None), endings
    number = record.deployments + 1
    opened = Deployment(number=number, revision=wanted, image=target.image, blue=situation.holder)
    return replace(record, deployment=opened, deployments=number), endings


# --- routing --------------------------------------------------------------------------------------


def routing_at(situation: Situation, weight: int) -> Routing:
    """Return the routing that gives the target this weight, and blue the rest.

    Only replicas that can serve are in it. Where only one side is alive it gets everything; where
    none is, what is published stays, less the dead.
    """
    target, blue = situation.target, situation.blue
    green = situation.servers(target.revision) if target else ()
    shares: tuple[Share, ...]
    if target is not None and green and (weight > 0 or blue is None):
        if blue is None or weight >= FULL:
            shares = (Share(revision=target.revision, weight=FULL, servers=green),)
        else:
            shares = (
                Share(revision=blue, weight=FULL - weight, servers=situation.servers(blue)),
                Share(revision=target.revision, weight=weight, servers=green),
            )
    elif blue is not None:
        shares = (Share(revision=blue, weight=FULL, servers=situation.servers(blue)),)
    else:
        shares = _survivors(situation)
    return _dressed(situation, shares)


def _survivors(situation: Situation) -> tuple[Share, ...]:
    """Return the published shares less what is dead: sick is better than nothing."""
    running = {replica.name for replica in situation.replicas if situation.may_limp(replica)}
    kept = (
        replace(share, servers=tuple(s for s in share.servers if s.replica in running))
        for share in situation.routed.shares
    )
    return tuple(share for share in kept if share.servers)


def _dressed(situation: Situation, shares: tuple[Share, ...]) -> Routing:
    """Add routes and the fallback: routes change with the cutover, not before."""
    target, blue = situation.target, situation.blue
    weights = {share.revision: share.weight for share in shares}
    has_all = target is not None and weights.get(target.revision) == FULL
    source: AppSpec | Routing = situation.routed
    if target is not None and (has_all or situation.seen.published is None):
        source = target
    fallback = None
    if (
        target is not None
        and not situation.is_proven
        and situation.seen.guard_available
        and blue is not None
        and weights.get(target.revision, 0) > 0
    ):
        fallback = Share(revision=blue, weight=0, servers=situation.servers(blue))
    return Routing(shares=shares, routes=source.routes, sticky=source.sticky, fallback=fallback)


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
    gone = [x.replica for x in s.routed.servers if not wanted.has(x.replica)]
    come = [x.replica for x in wanted.servers if not s.routed.has(x.replica)]
    if gone and come:
        why = f"moving traffic from {_names(gone)} to {_names(come)}"
    elif gone:
        why = f"taking {_names(gone)} out of the routing"
    elif come:
        why = f"adding {_names(come)} to the routing"
    else:
        why = "updating the routing"
    return _publish(s, wanted, why, Phase.REPAIRING)


def _publish(
    s: Situation, routing: Routing | None, why: str, phase: Phase, record: Record | None = None
) -> Decision:
    return Decision(
        reason=why,
        phase=phase,
        actions=(PublishRouting(app=s.seen.app, routing=routing),),
        record=record,
    )


# --- the end of an app ----------------------------------------------------------------------------


def unroute_unwanted_app(s: Situation) -> Decision | None:
    """Take an app that is not desired any more out of the routing."""
    if s.seen.desired is not None or s.seen.published is None:
        return None
    return _publish(s, None, "not desired any more: taking it out of the routing", Phase.REMOVING)


# --- holding still --------------------------------------------------------------------------------


def hold_still(s: Situation) -> Decision | None:
    """Do nothing but repairs while the operator, or the desired state, says so."""
    if s.record.paused:
        return Decision(reason="paused by the operator", phase=Phase.PAUSED)
    if s.seen.desired is not None and s.seen.desired.hold:
        return Decision(reason="held: the desired state says hold", phase=Phase.PAUSED)
    return None


# --- replicas -------------------------------------------------------------------------------------


def retire(s: Situation) -> Decision | None:
    """Stop and remove what is of no use any more, once it is unrouted and drained (S2, S4)."""
    actions: list[Action] = []
    for replica in _unwanted(s):
        if replica.name in s.seen.busy or replica.name in s.seen.cooling:
            continue
        if replica.state in {ContainerState.EXITED, ContainerState.CREATED}:
            actions.append(RemoveReplica(name=replica.name))
        elif is_drained(s, replica):
            actions.append(StopReplica(name=replica.name))
    if not actions:
        return None
    reason = "retiring " + _names([subject(action) for action in actions])
    phase = Phase.REMOVING if s.seen.desired is None else Phase.DRAINING
    return Decision(reason=reason, phase=phase, actions=tuple(actions))


def _unwanted(s: Situation) -> tuple[Replica, ...]:
    """Return the replicas that are neither wanted, nor routed, nor kept for a way back."""
    kept = _kept_revisions(s)
    return tuple(
        replica
        for replica in s.replicas
        if replica.unrouted_for is not None
        and not s.is_published(replica.name)
        and replica not in s.green
        and (replica.revision not in kept or replica in s.surplus)
        and replica.state is not ContainerState.REMOVING
    )


def _kept_revisions(s: Situation) -> frozenset[RevisionId | None]:
    """Return the revisions that must stay although they may have no weight (S4)."""
    if s.seen.desired is None or (s.is_proven and s.weight == FULL):
        return frozenset()
    bad = s.record.rejection.revision if s.record.rejection else None
    if s.record.good is None:
        # Who is good is not known (a first deployment, or a lost record): keep all that may live.
        living = {r for r in s.others if any(map(s.may_live, s.of(r)))}
        return frozenset(living - {bad} or (living if s.seen.published is not None else ()))
    return frozenset({*s.ways_back, s.blue} - {bad})


def is_drained(s: Situation, replica: Replica) -> bool:
    """Tell whether nobody is being answered by an unrouted replica, or its time is up."""
    if replica.unrouted_for is None:
        return False
    if replica.unrouted_for >= drain_limit(s):
        return True
    quiet = replica.idle_for is not None and replica.idle_for >= QUIET_FOR
    return quiet and replica.unrouted_for >= QUIET_FOR


def drain_limit(s: Situation) -> float:
    """Return the longest wait for open connections, in seconds."""
    spec = s.seen.desired or s.record.good
    return (spec.rollout if spec else Rollout()).drain


def provide(s: Situation) -> Decision | None:
    """Pull the image, create what is missing and start what does not run."""
    target = s.target
    if target is None:
        return None
    missing = target.replicas - len(s.of(target.revision))
    if missing > 0 and not s.seen.images.get(target.image, True):
        return _pull(s, target)
    actions: list[Action] = []
    for number in _free_numbers(s, target.revision, missing):
        name = ReplicaName(f"{target.name}-{target.revision}-{number}")
        if name not in s.seen.busy and name not in s.seen.cooling:
            actions.append(CreateReplica(name=name, number=number, spec=target))
            actions.append(StartReplica(name=name))
    blue = [r for revision in s.ways_back if not s.is_proven for r in s.of(revision)]
    for replica in (*s.green, *blue):
        stopped = replica.state in {ContainerState.CREATED, ContainerState.EXITED}
        if stopped and replica.name not in s.seen.busy and replica.name not in s.seen.cooling:
            actions.append(StartReplica(name=replica.name))
    if not actions:
        return None
    names = list(dict.fromkeys(subject(action) for action in actions))
    return Decision(
        reason=f"starting {_names(names)} ({target.image})",
        phase=Phase.STARTING,
        actions=tuple(actions),
    )


def _pull(s: Situation, target: AppSpec) -> Decision:
    if target.image in s.seen.busy:
        return Decision(reason=f"pulling {target.image}", phase=Phase.PULLING)
    if (wait := s.seen.cooling.get(target.image)) is not None:
        return Decision(
            reason=f"cannot pull {target.image} yet, trying again",
            phase=Phase.PULLING,
            recheck_after=wait,
        )
    return Decision(
        reason=f"pulling {target.image}",
        phase=Phase.PULLING,
        actions=(PullImage(image=target.image),),
    )


def _free_numbers(s: Situation, revision: RevisionId, count: int) -> list[int]:
    """Return the lowest numbers no container has and no Traefik may still route to (S7)."""
    taken = {replica.number for replica in s.replicas if replica.revision == revision}
    prefix = f"{s.seen.app}-{revision}-"
    names = {*s.seen.routable, *(server.replica for server in s.routed.servers)}
    taken |= {
        int(rest)
        for name in names
        if name.startswith(prefix) and (rest := name[len(prefix) :]).isdigit()
    }
    numbers: list[int] = []
    number = 0
    while len(numbers) < count:
        if number not in taken:
            numbers.append(number)
        number += 1
    return numbers


def prove(s: Situation) -> Decision | None:
    """Wait until all wanted replicas of the target are healthy."""
    target = s.target
    if target is None or s.is_complete:
        return None
    waiting = [replica for replica in s.green if not replica.is_healthy]
    reasons = sorted({replica.health_reason for replica in waiting if replica.health_reason})
    said = f" ({'; '.join(reasons)})" if reasons else ""
    healthy = len(s.proven_replicas)
    left = [target.health.deadline - r.age for r in waiting if r.age < target.health.deadline]
    left += [s.seen.cooling[r.name] for r in waiting if r.name in s.seen.cooling]
    return Decision(
        reason=f"{healthy} of {target.replicas} replicas of {target.revision} healthy{said}",
        phase=Phase.STARTING,
        recheck_after=min(left, default=None),
    )


# --- traffic --------------------------------------------------------------------------------------


def confirm(s: Situation) -> Decision | None:
    """Wait until every Traefik runs what is published."""
    if s.is_confirmed or s.seen.published is None:
        return None
    return Decision(reason="waiting for Traefik to load the routing", phase=Phase.CONFIRMING)


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
    return _publish(
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
    reason = f"{target.revision} is good: {target.image} serves with {_replicas(target.replicas)}"
    ending = Ending(outcome=Outcome.SUCCEEDED, revision=target.revision, reason=reason)
    return Decision(
        reason=reason,
        phase=Phase.SETTLED,
        record=record,
        recheck_after=0.0,
        endings=(ending,),
    )


# --- nothing left to do ---------------------------------------------------------------------------


def drain(s: Situation) -> Decision | None:
    """Say what is still being answered by replicas that are on their way out."""
    leaving = [replica for replica in _leaving(s) if replica.is_running]
    if not leaving:
        return None
    counted = [r.open_connections for r in leaving if r.open_connections is not None]
    said = f"{sum(counted)} open connections" if counted else "its time to be over"
    longest = max(drain_limit(s) - (r.unrouted_for or 0.0) for r in leaving)
    return Decision(
        reason=f"draining {_names([r.name for r in leaving])}: waiting for {said}, "
        f"at most {max(0.0, longest):.0f} s",
        phase=Phase.DRAINING,
        recheck_after=LOOK_WHILE_DRAINING,
    )


def _leaving(s: Situation) -> tuple[Replica, ...]:
    kept = _kept_revisions(s)
    return tuple(
        replica
        for replica in s.replicas
        if replica not in s.green
        and not s.is_published(replica.name)
        and (replica.revision not in kept or replica in s.surplus)
    )


def finish_removal(s: Situation) -> Decision | None:
    """Wait for the last replicas of an unwanted app, then forget it."""
    if s.seen.desired is not None:
        return None
    if s.replicas:
        names = _names([replica.name for replica in s.replicas])
        return Decision(reason=f"not desired any more: waiting for {names}", phase=Phase.REMOVING)
    return Decision(reason="not desired, nothing left", phase=Phase.SETTLED, record=Record())


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


RULES: tuple[Callable[[Situation], Decision | None], ...] = (
    keep_routing_true,
    unroute_unwanted_app,
    hold_still,
    retire,
    provide,
    prove,
    confirm,
    await_approval,
    shift,
    bake,
    drain,
    finish_removal,
    stay_rejected,
    be_settled,
)
"""First match wins. What endangers traffic comes first, what only waits comes last."""


def _serving(s: Situation) -> str:
    shares = s.routed.shares
    if not shares:
        return "nothing serves"
    return " and ".join(
        f"{share.revision} serves with {_replicas(len(share.servers))}" for share in shares
    )


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _names(names: list[ReplicaName] | list[str]) -> str:
    return ", ".join(names)

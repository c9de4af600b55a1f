"""The rules about replicas: what is created, started, awaited, drained, stopped and removed.

Called in order by the planner, whose docstring has the laws they keep. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traefik_bg.core.actions import (
    Action,
    CreateReplica,
    Phase,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
    seconds_left,
    subject,
)
from traefik_bg.core.claims import would_lose
from traefik_bg.core.decision import Decision, listed
from traefik_bg.core.model import AppSpec, ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState, Replica
from traefik_bg.core.pins import image_for, is_looked_for, named
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Rollout
from traefik_bg.core.situation import FULL, Situation

QUIET_FOR = 1.0
"""Seconds without an open connection that end a drain. Traefik's idle connections to a replica
close after 1 s (the generated serversTransport says so), and a request may spend a moment in
Traefik's middlewares before it is connected at all."""
LOOK_WHILE_DRAINING = 0.25
"""Seconds between looks at open connections."""
LOOK_WHILE_PULLING = 1.0
"""Seconds between looks at how much of an image has come: for people."""
LOOK_AGAIN_AT_ONCE = 0.02
"""Seconds until a look that lacked something is made anew."""


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
    reason = "retiring " + listed([subject(action) for action in actions])
    phase = Phase.REMOVING if s.seen.desired is None else Phase.DRAINING
    return Decision(reason=reason, phase=phase, actions=tuple(actions))


def _unwanted(s: Situation) -> tuple[Replica, ...]:
    """Return the replicas that are neither wanted, nor routed, nor kept for a way back."""
    kept = _kept_revisions(s)
    return tuple(
        replica
        for replica in s.replicas
        if replica.unrouted_for is not None
        and not _is_left_alone(s, replica)
        and not s.is_published(replica.name)
        and replica not in s.green
        and (replica.revision not in kept or replica in s.surplus)
        and replica.state is not ContainerState.REMOVING
    )


def _is_left_alone(s: Situation, replica: Replica) -> bool:
    """Tell whether it is not ours to remove, or not yet to stop (S2, S6).

    What was adopted is stopped when a version is good and Traefik is known to send it everything.
    """
    if not replica.is_adopted:
        return False
    is_known = replica.name in s.record.adopted and replica.is_running
    is_over = s.is_proven and s.weight == FULL and s.is_confirmed
    return not (is_known and is_over) or would_lose(replica, s.seen.published) is not None


def _kept_revisions(s: Situation) -> frozenset[RevisionId | None]:
    """Return the revisions that must stay although they may have no weight (S4)."""
    if s.seen.desired is None or (s.is_proven and s.weight == FULL):
        return frozenset()
    if s.is_exclusive and s.record.good is None:
        return frozenset(set(s.others) - {s.bad})
    if s.record.good is None:
        # Who is good is not known (a first deployment, or a lost record): keep all that may live.
        living = {r for r in s.others if any(map(s.may_live, s.of(r)))}
        return frozenset(living - {s.bad} or (living if s.seen.published is not None else ()))
    return frozenset({*s.ways_back, s.blue} - {s.bad})


def is_drained(s: Situation, replica: Replica) -> bool:
    """Tell whether nobody is being answered by an unrouted replica, or its time is up."""
    unrouted_for = replica.unrouted_for
    if unrouted_for is None:
        return False
    if replica.is_adopted:  # by its labels it had requests until our routes were loaded
        unrouted_for = min(unrouted_for, s.seen.confirmed_for or 0.0)
    if unrouted_for >= drain_limit(s):
        return True
    quiet = replica.idle_for is not None and replica.idle_for >= QUIET_FOR
    return quiet and unrouted_for >= QUIET_FOR


def drain_limit(s: Situation) -> float:
    """Return the longest wait for open connections, in seconds.

    Where requests wait for it, the better part of their patience is left to the start.
    """
    spec = s.seen.desired or s.record.good
    rollout = spec.rollout if spec else Rollout()
    return min(rollout.drain, rollout.hold_requests / 3) if s.is_holding else rollout.drain


def start_blue_again(s: Situation) -> Decision | None:
    """Start what could be gone back to and does not run, however long green takes to come."""
    if s.target is None or s.is_proven or s.is_exclusive:
        return None
    stopped = _stopped(s, [r for revision in sorted(s.ways_back) for r in s.of(revision)])
    if not stopped:
        return None
    return Decision(
        reason=f"starting {listed(stopped)} again",
        phase=Phase.STARTING,
        actions=tuple(StartReplica(name=name) for name in stopped),
    )


def _stopped(s: Situation, replicas: Sequence[Replica]) -> list[ReplicaName]:
    """Return those that do not run, and may be started now."""
    return [
        replica.name
        for replica in replicas
        if replica.state in {ContainerState.CREATED, ContainerState.EXITED}
        and replica.name not in s.seen.busy
        and replica.name not in s.seen.cooling
    ]


def provide(s: Situation) -> Decision | None:
    """Pull the image, create what is missing and start what does not run."""
    target = s.target
    if target is None:
        return None
    actions = list(_creations(s, target))
    actions += [StartReplica(name=name) for name in _stopped(s, s.green)]
    if not actions:
        return pull(s, target)
    names = list(dict.fromkeys(subject(action) for action in actions))
    return Decision(
        reason=f"starting {listed(names)} ({named(target, s.seen, s.record)})",
        phase=Phase.STARTING,
        actions=tuple(actions),
    )


def create(s: Situation, target: AppSpec) -> Decision | None:
    """Pull the image and create what is missing, but start nothing yet."""
    made = [action for action in _creations(s, target) if isinstance(action, CreateReplica)]
    if made:
        return Decision(
            reason=f"creating {listed([action.name for action in made])} "
            f"({named(target, s.seen, s.record)})",
            phase=Phase.STARTING,
            actions=tuple(made),
        )
    if (pulling := pull(s, target)) is not None:
        return pulling
    if len(s.of(target.revision)) < target.replicas:
        return Decision(reason=f"creating the replicas of {target.revision}", phase=Phase.STARTING)
    return None


def _creations(s: Situation, target: AppSpec) -> Iterator[Action]:
    """Yield what creates and starts the missing replicas; nothing while their image is not here."""
    image = image_for(target, s.seen, s.record)
    if not s.seen.images.get(image, True) or not is_looked_for(target, s.seen, s.record):
        return
    missing = target.replicas - len(s.of(target.revision))
    exact = "" if image == target.image else image
    for number in _free_numbers(s, target.revision, missing):
        name = ReplicaName(f"{target.name}-{target.revision}-{number}")
        if name not in s.seen.busy and name not in s.seen.cooling:
            yield CreateReplica(name=name, number=number, spec=target, image=exact)
            yield StartReplica(name=name)


def pull(s: Situation, target: AppSpec) -> Decision | None:
    """Say what is done about an image that is missing; None when it is here, or not needed."""
    image = image_for(target, s.seen, s.record)
    if len(s.of(target.revision)) >= target.replicas:
        return None
    if not is_looked_for(target, s.seen, s.record):
        reason = f"looking for the image that {target.revision} ran"
        return Decision(reason=reason, phase=Phase.PULLING, recheck_after=LOOK_AGAIN_AT_ONCE)
    if s.seen.images.get(image, True):
        return None
    if image in s.seen.busy:
        progress = s.seen.pulls.get(image)
        far = "" if progress is None else f": {progress.sentence}"
        return Decision(
            reason=f"pulling {image}{far}", phase=Phase.PULLING, recheck_after=LOOK_WHILE_PULLING
        )
    if image in s.seen.cooling:
        said = _trouble(s, image) or f"{image} could not be pulled"
        return Decision(reason=f"{said}; trying again", phase=Phase.PULLING)
    return Decision(
        reason=f"pulling {image}",
        phase=Phase.PULLING,
        actions=(PullImage(image=image),),
        recheck_after=LOOK_WHILE_PULLING,
    )


def _trouble(s: Situation, about: str) -> str | None:
    """Return what Docker said last about a replica or an image, when it was not well."""
    return s.seen.refusals.get(about) or s.seen.failures.get(about)


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
    prefix = f"{target.name}-{target.revision}-"
    troubles = {*s.seen.failures, *s.seen.refusals}
    reasons = sorted(
        {replica.health_reason for replica in waiting if replica.health_reason}
        | {_trouble(s, about) or "" for about in troubles if about.startswith(prefix)}
    )
    said = f" ({'; '.join(reasons)})" if reasons else ""
    healthy = len(s.proven_replicas)
    left = [target.health.deadline - r.age for r in waiting if r.age < target.health.deadline]
    return Decision(
        reason=f"{healthy} of {target.replicas} replicas of {target.revision} healthy{said}",
        phase=Phase.STARTING,
        recheck_after=min(left, default=None),
    )


def drain(s: Situation) -> Decision | None:
    """Say what is still being answered by replicas that are on their way out."""
    leaving = [replica for replica in _leaving(s) if replica.is_running]
    if not leaving:
        return None
    if ending := [replica.name for replica in leaving if replica.name in s.seen.busy]:
        return Decision(reason=f"stopping {listed(ending)}", phase=Phase.DRAINING)
    longest = max(0.0, *(drain_limit(s) - (r.unrouted_for or 0.0) for r in leaving))
    return Decision(
        reason=f"draining {listed([r.name for r in leaving])}: {still_open(leaving)}, "
        f"at most {seconds_left(longest)}",
        phase=Phase.DRAINING,
        recheck_after=LOOK_WHILE_DRAINING,
        left=longest,
    )


def still_open(leaving: Sequence[Replica]) -> str:
    """Return how many connections replicas still answer, in words."""
    counts = [replica.open_connections for replica in leaving]
    if None in counts:
        return "open connections cannot be counted"
    match sum(count for count in counts if count is not None):
        case 0:
            return "no connection is open any more"
        case 1:
            return "waiting for 1 open connection"
        case many:
            return f"waiting for {many} open connections"


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
    hooks = {run.name for run in s.seen.hooks} | set(s.seen.hooks_under_way)
    if s.replicas or hooks:
        left = listed([*(r.name for r in s.replicas), *sorted(hooks)])
        return Decision(reason=f"not desired any more: waiting for {left}", phase=Phase.REMOVING)
    return Decision(reason="not desired, nothing left", phase=Phase.SETTLED, record=Record())

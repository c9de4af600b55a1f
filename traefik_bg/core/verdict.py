"""Judges green: is there evidence that the target must not be deployed?

Separate from the planner because it is the one decision that is remembered: a rejection holds until
the spec changes or someone says retry (L3). Evidence is what was seen of green itself; trouble that
hit blue just as much is none, and neither is what is unknown (S5).
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.analysis import Verdict
from traefik_bg.core.hook_rules import is_gone
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import AppSpec
from traefik_bg.core.observation import ContainerState, Health, Replica
from traefik_bg.core.pace import is_inconclusive, judgement_of
from traefik_bg.core.record import Rejection
from traefik_bg.core.situation import FULL, Situation


def rejection(s: Situation) -> Rejection | None:
    """Return why the target must be rejected, or None when nothing speaks against it."""
    target = s.target
    if target is None or s.record.good == target:
        return None
    routing_refused = s.seen.refusals.get(s.seen.app)
    if routing_refused is not None:
        return replace(
            _rejection(target, f"Traefik refuses the routes: {routing_refused}"),
            is_about_routes=True,
        )
    if s.is_proven or _is_all_there_can_be(s):
        return None
    if _may_be_all_there_is(s):
        return _refused(s, target) or _hook_failed(s, target) or _late(s, target)
    return (
        _refused(s, target)
        or _hook_failed(s, target)
        or _died(s, target)
        or _sick(s, target)
        or _late(s, target)
        or _breach(s, target)
    )


def _is_all_there_can_be(s: Situation) -> bool:
    """Tell whether green has all traffic and nobody knows another spec: rejecting helps nobody.

    Dead replicas of blue are started again first, and judged when they live. Where none is left but
    the good spec is known, they can be made again; green limps on until they are healthy.
    """
    is_known = s.record.good is not None and (s.is_exclusive or not s.others)
    is_known = is_known or _could_run_again(s)
    return s.weight == FULL and s.blue is None and not is_known


def _may_be_all_there_is(s: Situation) -> bool:
    """Tell whether green may be what served before a record was lost: then only time rejects it."""
    is_alone = s.blue is None and not _could_run_again(s)
    return is_alone and s.seen.published is not None and s.record.good is None


def _could_run_again(s: Situation) -> bool:
    """Tell whether something was stopped for green; what has ended by itself is no way back."""
    return any(replica.is_blameless for replica in s.resting)


def _rejection(target: AppSpec, reason: str, log: tuple[str, ...] = ()) -> Rejection:
    return Rejection(spec=target.digest, revision=target.revision, reason=reason, log=log)


def _refused(s: Situation, target: AppSpec) -> Rejection | None:
    """The image cannot be had, or Docker refuses the container."""
    prefix = f"{target.name}-{target.revision}-"
    told = f"{prefix}{Moment.AFTER_CUTOVER}-"  # whatever becomes of that hook decides nothing
    for about, reason in sorted(s.seen.refusals.items()):
        if about == target.image or (about.startswith(prefix) and not about.startswith(told)):
            return _rejection(target, reason)
    return None


def _hook_failed(s: Situation, target: AppSpec) -> Rejection | None:
    """What was to run before green has failed, did not end in time, or was taken away."""
    for run in s.seen.hooks:
        trouble = run.trouble(was_stopped=s.has_told_to_end(run))
        if trouble and run.moment is Moment.BEFORE and s.is_own(run):
            return _rejection(target, f"{run.moment} {trouble}", run.log)
    if is_gone(s, Moment.BEFORE):
        reason = f"{Moment.BEFORE} was removed before it had ended: nobody knows how far it got"
        return _rejection(target, reason)
    return None


def _died(s: Situation, target: AppSpec) -> Rejection | None:
    """A replica of green ended by itself, while blue did not."""
    dead = [
        replica
        for replica in s.of(target.revision)
        # With what code it ended may take Docker a moment to say; it is unrouted meanwhile.
        if _has_died(replica) and not (replica.is_dead and replica.exit_code is None)
    ]
    if not dead or _blue_died_too(s):
        return None
    replica = dead[0]
    code = f" with code {replica.exit_code}"
    if replica.exit_code is None:
        code = " and was started again by Docker" if replica.is_running else ""
    last = f": {replica.log[-1]}" if replica.log else ""
    return _rejection(target, f"{replica.name} exited{code}{last}", replica.log)


def _has_died(replica: Replica) -> bool:
    if replica.is_blameless:
        return False
    return replica.restarts > 0 or replica.state in {
        ContainerState.EXITED,
        ContainerState.RESTARTING,
    }


def _blue_died_too(s: Situation) -> bool:
    """Tell whether the trouble is the machine's rather than green's."""
    good = s.record.good.revision if s.record.good else None
    before = s.record.deployment.blue if s.record.deployment else None
    blue = [replica for revision in {good, before} - {None} for replica in s.of(revision)]
    return bool(blue) and all(_has_died(replica) for replica in blue)


def _sick(s: Situation, target: AppSpec) -> Rejection | None:
    """A replica of green was healthy and is not any more; never when only blue's grave is left."""
    sick = [
        replica for replica in s.green if replica.is_running and replica.health is Health.UNHEALTHY
    ]
    is_blue_a_grave = s.blue is None and bool(s.others) and not s.is_exclusive
    if not sick or is_blue_a_grave:
        return None
    replica = sick[0]
    return _rejection(
        target, f"{replica.name} became unhealthy: {replica.health_reason}", replica.log
    )


def _late(s: Situation, target: AppSpec) -> Rejection | None:
    """A replica of green was not healthy in time."""
    late = [
        replica
        for replica in s.green
        if not replica.is_healthy
        and (_has_died(replica) or replica.health in {Health.STARTING, Health.UNHEALTHY})
        and replica.age >= target.health.deadline
    ]
    if not late:
        return None
    replica = late[0]
    said = f": {replica.health_reason}" if replica.health_reason else ""
    return _rejection(
        target,
        f"{replica.name} was not healthy within {target.health.deadline:g} s{said}",
        replica.log,
    )


def _breach(s: Situation, target: AppSpec) -> Rejection | None:
    """Green answers worse than it may, or nobody could tell and that is not good enough."""
    if not s.is_confirmed:
        return None
    judgement = judgement_of(s, target)
    if judgement.verdict is Verdict.BAD:
        return _rejection(target, judgement.detail)
    if is_inconclusive(s, target):
        return _rejection(target, f"no evidence within the longest wait: {judgement.detail}")
    return None

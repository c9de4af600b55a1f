"""The rules of hooks: what runs once in a deployment, before anything of it may cost anybody.

Called in order by the planner, whose docstring has the laws they keep. A hook is begun at most once
for a deployment (S9): its container bears the deployment's number; that it may have been started is
remembered before it is; and it is removed only when what became of it is remembered. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traefik_bg.core.actions import (
    Action,
    CreateHook,
    Phase,
    RemoveReplica,
    RunHook,
    StopReplica,
    seconds_left,
)
from traefik_bg.core.decision import Decision, listed
from traefik_bg.core.hooks import Hook, Moment, Ran
from traefik_bg.core.model import AppSpec, ReplicaName
from traefik_bg.core.names import hook_name
from traefik_bg.core.observation import ContainerState, HookRun, Observation
from traefik_bg.core.pins import image_for, named
from traefik_bg.core.record import Deployment, Record
from traefik_bg.core.replica_rules import pull
from traefik_bg.core.situation import FULL, Situation

_RESTING = frozenset({ContainerState.CREATED, ContainerState.EXITED})


def end_late_hooks(s: Situation) -> Decision | None:
    """Stop a hook that takes too long, whoever it runs for, and while the app is held too.

    That it was told to end is remembered first: with what code it ends then says nothing.
    """
    late = [run for run in _idle(s) if run.may_run and (run.is_late or s.has_told_to_end(run))]
    if not late:
        return None
    record, deployment = s.record, s.record.deployment
    own = {run.moment for run in late if s.is_own(run)}
    if deployment is not None and not own <= set(deployment.stopped):
        stopped = tuple(sorted(own | set(deployment.stopped)))
        record = replace(record, deployment=replace(deployment, stopped=stopped))
    return Decision(
        reason=f"stopping {listed([run.name for run in late])}: its time is up",
        phase=Phase.STARTING,
        actions=tuple(StopReplica(name=run.name) for run in late),
        record=record,
    )


def clear_hooks(s: Situation) -> Decision | None:
    """Remove the hooks that nobody has to know of any more, and stop what is in the way.

    One that runs for a deployment that is over runs on, for as long as it may: nobody knows what it
    would leave behind half-way.
    """
    idle = tuple(_idle(s))
    gone = [run for run in idle if not run.may_run and not _is_needed(s, run)]
    stopped = [run.name for run in idle if _is_in_the_way(s, run)]
    actions: list[Action] = [RemoveReplica(name=run.name) for run in gone]
    actions += [StopReplica(name=name) for name in stopped]
    if not actions:
        return None
    said = f"stopping {listed(stopped)}: it is in the way"
    return Decision(
        reason=said if stopped else "clearing away what hooks left",
        phase=Phase.STARTING,
        actions=tuple(actions),
        notes=tuple(_last_words(run) for run in gone if run.name in s.record.orphans),
    )


def _idle(s: Situation) -> Iterator[HookRun]:
    """Yield the hooks that something can be done about."""
    for run in s.seen.hooks:
        is_going = run.state is ContainerState.REMOVING or run.name in s.seen.busy
        if not is_going and run.name not in s.seen.cooling:
            yield run


def _is_in_the_way(s: Situation, run: HookRun) -> bool:
    """Tell whether a hook that decides nothing keeps what must not run twice from starting."""
    is_over = run.moment is Moment.AFTER_CUTOVER and not s.is_own(run)
    return is_over and run.may_run and s.is_exclusive and not _is_at_rest(s)


def _is_at_rest(s: Situation) -> bool:
    """Tell whether nothing is to be started: what is wanted has all traffic, and all it needs."""
    return s.weight == FULL and s.is_complete


def _is_needed(s: Situation, run: HookRun) -> bool:
    """Tell whether what became of a hook has still to be judged or remembered."""
    deployment = s.record.deployment
    return s.is_own(run) and deployment is not None and deployment.ran(run.moment) is None


def _last_words(run: HookRun) -> str:
    """Return for the history how a hook ended that nobody waited for any more."""
    ended = run.trouble(was_stopped=run.is_late) or "is done"
    wrote = f"; it wrote: {' | '.join(run.log)}" if run.log else ""
    return f"{run.name}, whose deployment was over before it was: {run.moment} {ended}{wrote}"


def time_left(seen: Observation) -> Iterator[float]:
    """Yield for how long each hook that runs may go on, whoever it runs for."""
    yield from (run.timeout - run.age for run in seen.hooks if run.may_run and not run.is_late)


def with_orphans(seen: Observation, record: Record) -> Record:
    """Return the record with the hooks that run on although their deployment is over."""
    here = {run.name for run in seen.hooks} | seen.busy
    left = set(Situation(seen=seen, record=record).hooks_of_others)
    orphans = tuple(sorted(left | (here & set(record.orphans))))
    return record if orphans == record.orphans else replace(record, orphans=orphans)


def let_hooks_end(s: Situation) -> Decision | None:
    """Start nothing that must not run twice beside the hook of another deployment (S8).

    Nor stop what serves before that hook has ended: requests would be held all the time.
    """
    if not s.is_exclusive or _is_at_rest(s):
        return None
    is_served = bool(s.occupants and s.routed.shares)  # its own began when the strategy was another
    hooks = s.seen.hooks_under_way if is_served else s.hooks_of_others
    return _wait(s, hooks[0]) if hooks else None


def run_before(s: Situation) -> Decision | None:
    """Run what is to run before green, once, and wait for it; its failure rejects green.

    Where only one version may run it comes after blue has made way, for it has the same volumes.
    """
    if s.target is None or s.is_proven or s.weight > 0:
        return None
    if (running := _run(s, Moment.BEFORE)) is not None:
        return running
    prefix = f"{s.seen.app}-{s.target.revision}-{Moment.BEFORE}-"
    same = [name for name in s.hooks_of_others if name.startswith(prefix)]
    return _wait(s, same[0]) if same else None


def run_after_cutover(s: Situation) -> Decision | None:
    """Run what is to run when green has all traffic; how it ends is told, and decides nothing."""
    if s.is_proven or s.weight < FULL:
        return None
    said = _run(s, Moment.AFTER_CUTOVER)
    return None if said is None else replace(said, phase=Phase.BAKING)


def _run(s: Situation, moment: Moment) -> Decision | None:
    target, deployment, name = s.target, s.record.deployment, s.own_hook(moment)
    if target is None or deployment is None or name is None or deployment.ran(moment) is not None:
        return None
    run = next((run for run in s.seen.hooks if run.name == name), None)
    if run is not None and not s.is_own(run):
        return _wait(s, name)  # it is removed when it has ended
    if moment is not Moment.BEFORE and (trouble := _never_ends(s, name, run, moment)):
        return _told(s, deployment, Ran(moment=moment, trouble=trouble))
    if name in s.seen.busy and (run is None or run.state is ContainerState.CREATED):
        return Decision(reason=f"running {name}", phase=Phase.STARTING)
    if run is None or run.state is ContainerState.CREATED:
        hook = target.hook(moment)
        if hook is not None:
            return _begin(s, target, hook, deployment, run)
        never = Ran(moment=moment, trouble="was not run: it left the file")
        return None if run is None else _told(s, deployment, never)
    trouble = run.trouble(was_stopped=s.has_told_to_end(run))
    if not run.has_ended or (moment is Moment.BEFORE and trouble):
        # What has failed before green is rejected.
        return _wait(s, name, f"{moment} runs in {name}")
    return _told(s, deployment, Ran(moment=moment, trouble=trouble, log=run.log))


def _never_ends(s: Situation, name: ReplicaName, run: HookRun | None, moment: Moment) -> str:
    """Return why a hook will never be seen to end; empty when it may."""
    if (refused := s.seen.refusals.get(name)) is not None:
        return f"could not run: {refused}"
    return "was removed before it had ended" if run is None and is_gone(s, moment) else ""


def is_gone(s: Situation, moment: Moment) -> bool:
    """Tell whether a hook that may have been started is not there any more, and nobody knows why.

    By hand, that is: what we remove has been remembered.
    """
    deployment, name = s.record.deployment, s.own_hook(moment)
    if deployment is None or moment not in deployment.begun or deployment.ran(moment) is not None:
        return False
    return name not in s.seen.busy and all(run.name != name for run in s.seen.hooks)


def _told(s: Situation, deployment: Deployment, ran: Ran) -> Decision:
    done = replace(deployment, hooks=(*deployment.hooks, ran))
    return Decision(
        reason=f"{ran.moment} {ran.trouble or 'is done'} ({deployment.revision})",
        phase=Phase.STARTING,
        record=replace(s.record, deployment=done),
        recheck_after=0.0,
    )


def _begin(
    s: Situation, target: AppSpec, hook: Hook, deployment: Deployment, run: HookRun | None
) -> Decision:
    """Run the hook: alone, in a container of the very image that green has or will have."""
    name = hook_name(s.seen.app, deployment.revision, hook.moment, deployment.number)
    if others := [other for other in s.seen.hooks_under_way if other != name]:
        return _wait(s, others[0])
    green = [r.name for r in s.of(target.revision) if r.state not in _RESTING]
    if hook.moment is Moment.BEFORE and green:
        trouble = f"was not run, for {green[0]} ran already"
        return _told(s, deployment, Ran(moment=hook.moment, trouble=trouble))
    if name in s.seen.cooling:
        said = s.seen.failures.get(name) or f"{name} could not be run"
        return Decision(reason=f"{said}; trying again", phase=Phase.STARTING)
    reason = f"running {name} ({named(target, s.seen, s.record)})"
    if run is not None:
        return _start(s, deployment, run, reason)
    image = next((r.image_id for r in s.of(target.revision) if r.image_id), "")
    if not image and (pulling := pull(s, target)) is not None:
        return pulling
    image = image or image_for(target, s.seen, s.record)
    action = CreateHook(
        name=ReplicaName(name),
        hook=hook,
        deployment=deployment.number,
        spec=target,
        image="" if image == target.image else image,
    )
    return Decision(reason=reason, phase=Phase.STARTING, actions=(action,))


def _start(s: Situation, deployment: Deployment, run: HookRun, reason: str) -> Decision:
    """Start a hook, which may have begun then, whatever is heard of it."""
    begun = replace(deployment, begun=tuple(sorted({*deployment.begun, run.moment})))
    action = RunHook(
        name=run.name,
        moment=run.moment,
        deployment=deployment.number,
        revision=deployment.revision,
    )
    return Decision(
        reason=reason,
        phase=Phase.STARTING,
        actions=(action,),
        record=replace(s.record, deployment=begun),
    )


def _wait(s: Situation, name: str, why: str = "") -> Decision:
    """Wait for a hook to end, or to appear."""
    run = next((run for run in s.seen.hooks if run.name == name), None)
    if run is None:
        return Decision(reason=f"waiting for {name}", phase=Phase.STARTING)
    if run.is_late or s.has_told_to_end(run):
        failure = s.seen.failures.get(run.name)
        tried = f"; {failure}; trying again" if failure else ""
        return Decision(reason=f"stopping {name}: its time is up{tried}", phase=Phase.STARTING)
    left = run.timeout - run.age
    return Decision(
        reason=f"{why or f'{name} still runs'}, at most {seconds_left(left)}",
        phase=Phase.STARTING,
        recheck_after=left,
        left=left,
    )

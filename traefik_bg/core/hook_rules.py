"""The rules of hooks: what runs once in a deployment, before anything of it may cost anybody.

Called in order by the planner, whose docstring has the laws they keep. A hook is run at most once
for a deployment: its container bears the deployment's number, is started only while it has never
been, and is removed only when what became of it is remembered. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traefik_bg.core.actions import (
    Action,
    Phase,
    RemoveReplica,
    RunHook,
    StopReplica,
    seconds_left,
)
from traefik_bg.core.decision import Decision, listed
from traefik_bg.core.hooks import Hook, Moment, Ran
from traefik_bg.core.model import AppSpec, ReplicaName
from traefik_bg.core.observation import ContainerState, HookRun, Observation
from traefik_bg.core.pins import image_for, named
from traefik_bg.core.record import Deployment
from traefik_bg.core.replica_rules import pull
from traefik_bg.core.situation import FULL, Situation


def clear_hooks(s: Situation) -> Decision | None:
    """Stop a hook that takes too long, and remove those that nobody has to know of any more.

    One that runs for a deployment that is over runs on, for as long as it may: nobody knows what it
    would leave behind half-way.
    """
    actions: list[Action] = []
    for run in s.seen.hooks:
        if run.name in s.seen.busy or run.name in s.seen.cooling:
            continue
        is_over = run.has_ended or run.state is ContainerState.CREATED
        if is_over and not _is_needed(s, run):
            actions.append(RemoveReplica(name=run.name))
        elif _runs(run) and (run.is_late or _is_in_the_way(s, run)):
            actions.append(StopReplica(name=run.name))
    if not actions:
        return None
    stopped = [action.name for action in actions if isinstance(action, StopReplica)]
    late = any(run.is_late for run in s.seen.hooks if run.name in stopped)
    why = "its time is up" if late else "it is in the way"
    said = f"stopping {listed(stopped)}: {why}" if stopped else "clearing away what hooks left"
    return Decision(reason=said, phase=Phase.STARTING, actions=tuple(actions))


def _is_in_the_way(s: Situation, run: HookRun) -> bool:
    """Tell whether a hook that decides nothing keeps what must not run twice from coming back."""
    return (
        s.is_exclusive
        and run.moment is Moment.AFTER_CUTOVER
        and s.record.deployment is None
        and s.weight < FULL
    )


def _is_needed(s: Situation, run: HookRun) -> bool:
    """Tell whether what became of a hook has still to be judged or remembered."""
    told = s.record.deployment.hooks if s.record.deployment is not None else ()
    return s.is_own(run) and all(ran.moment is not run.moment for ran in told)


def _runs(run: HookRun) -> bool:
    return run.state in {ContainerState.RUNNING, ContainerState.PAUSED}


def time_left(seen: Observation) -> Iterator[float]:
    """Yield for how long each hook that runs may go on, whoever it runs for."""
    yield from (run.timeout - run.age for run in seen.hooks if _runs(run) and not run.is_late)


def let_hooks_end(s: Situation) -> Decision | None:
    """Start nothing that must not run twice beside the hook of another deployment (S8)."""
    others = [run for run in s.seen.hooks if _runs(run) and not s.is_own(run)]
    if not others or not s.is_exclusive or s.weight == FULL:
        return None
    return _wait(others[0], f"{others[0].name} still runs")


def run_before(s: Situation) -> Decision | None:
    """Run what is to run before green, once, and wait for it; its failure rejects green.

    Where only one version may run it comes after blue has made way, for it has the same volumes.
    """
    if s.is_proven or s.weight > 0:
        return None
    return _run(s, Moment.BEFORE)


def run_after_cutover(s: Situation) -> Decision | None:
    """Run what is to run when green has all traffic; how it ends is told, and decides nothing."""
    if s.is_proven or s.weight < FULL:
        return None
    return _run(s, Moment.AFTER_CUTOVER)


def _run(s: Situation, moment: Moment) -> Decision | None:
    target, deployment = s.target, s.record.deployment
    hook = None if target is None else target.hook(moment)
    if target is None or deployment is None or hook is None:
        return None
    if any(ran.moment is moment for ran in deployment.hooks):
        return None
    phase = Phase.STARTING if moment is Moment.BEFORE else Phase.BAKING
    name = hook_name(target, hook, deployment)
    run = next((run for run in s.seen.hooks if run.name == name), None)
    refused = s.seen.refusals.get(name)
    if refused is not None and moment is not Moment.BEFORE:  # which is rejected for it
        return _told(s, deployment, Ran(moment=moment, trouble=f"could not run: {refused}"), phase)
    if run is None or run.state is ContainerState.CREATED:
        return replace(_begin(s, target, hook, deployment, name), phase=phase)
    is_over = run.is_well if moment is Moment.BEFORE else run.has_ended
    if not is_over:  # it runs, or is being stopped: what has failed before green is rejected
        return replace(_wait(run, f"{moment} runs in {name}: {hook}"), phase=phase)
    return _told(s, deployment, Ran(moment=moment, trouble=run.trouble, log=run.log), phase)


def _told(s: Situation, deployment: Deployment, ran: Ran, phase: Phase) -> Decision:
    done = replace(deployment, hooks=(*deployment.hooks, ran))
    return Decision(
        reason=f"{ran.moment} {ran.trouble or 'is done'} ({deployment.revision})",
        phase=phase,
        record=replace(s.record, deployment=done),
        recheck_after=0.0,
    )


def _begin(
    s: Situation, target: AppSpec, hook: Hook, deployment: Deployment, name: ReplicaName
) -> Decision:
    """Run the hook: after what still runs for another deployment, and with its image here."""
    others = [run for run in s.seen.hooks if run.name != name and _runs(run)]
    if others:
        return _wait(others[0], f"{others[0].name} still runs")
    if (pulling := pull(s, target)) is not None:
        return pulling
    reason = f"running {name}: {hook} ({named(target, s.seen, s.record)})"
    if name in s.seen.busy or name in s.seen.cooling:
        said = s.seen.failures.get(name)
        return Decision(reason=f"{said}; trying again" if said else reason, phase=Phase.STARTING)
    image = image_for(target, s.seen, s.record)
    action = RunHook(
        name=name,
        hook=hook,
        deployment=deployment.number,
        spec=target,
        image="" if image == target.image else image,
    )
    return Decision(reason=reason, phase=Phase.STARTING, actions=(action,))


def _wait(run: HookRun, why: str) -> Decision:
    left = max(0.0, run.timeout - run.age)
    return Decision(
        reason=f"{why}, at most {seconds_left(left)}",
        phase=Phase.STARTING,
        recheck_after=left if left > 0 else None,
        left=left,
    )


def hook_name(spec: AppSpec, hook: Hook, deployment: Deployment) -> ReplicaName:
    """Return the name of the container in which a hook runs for a deployment."""
    return ReplicaName(f"{spec.name}-{spec.revision}-{hook.moment}-{deployment.number}")

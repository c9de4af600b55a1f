"""Hooks: run once in a deployment, waited for, judged, and cleared away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, good, replica, replicas, routing
from tests.core.test_planner import BLUE, B, decided, published_by
from traefik_bg.core.actions import (
    CreateReplica,
    Outcome,
    Phase,
    PullImage,
    RemoveReplica,
    RunHook,
    StopReplica,
)
from traefik_bg.core.forecast import World, forecast
from traefik_bg.core.guard import broken_by_starting
from traefik_bg.core.hooks import Hook, Moment, Ran
from traefik_bg.core.model import AppSpec, ReplicaName
from traefik_bg.core.observation import ContainerState, Health, HookRun, Observation
from traefik_bg.core.record import Deployment, Record, Rejection
from traefik_bg.core.rollout import Rollout, Strategy

MIGRATE = Hook(moment=Moment.BEFORE, command=("./manage.py", "migrate"), timeout=60.0)
WARM = Hook(moment=Moment.AFTER_CUTOVER, command=("./warm.sh",), timeout=60.0)
GREEN = app("web:2", hooks=(MIGRATE,))
G = GREEN.revision
NAME = ReplicaName(f"web-{G}-before-2")
ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
SERVING = replicas(BLUE, **ROUTED)


def under_way(*ran: Ran, **changes: Any) -> Record:
    """Return a record in which blue is good and green is on its way."""
    deployment = Deployment(number=2, revision=G, image="web:2", blue=B, hooks=ran)
    return good(BLUE, **{"deployments": 2, "deployment": deployment} | changes)


def run(**changes: Any) -> HookRun:
    """Return the migration of this deployment, which runs."""
    seen = HookRun(
        name=NAME,
        moment=Moment.BEFORE,
        deployment=2,
        timeout=60.0,
        state=ContainerState.RUNNING,
        age=5.0,
    )
    return replace(seen, **changes)


def ended(code: int, *log: str, **changes: Any) -> HookRun:
    """Return the migration when it has ended."""
    return run(state=ContainerState.EXITED, exit_code=code, log=log, **changes)


def made(*hooks: HookRun, record: Record | None = None, **changes: Any) -> Any:
    """Return what is decided with these hooks there, while blue serves."""
    defaults: dict[str, Any] = {"wanted": GREEN, "published": routing((BLUE, 100))}
    record = under_way() if record is None else record
    return decided(SERVING, record=record, hooks=hooks, **defaults | changes)


# --- before ---------------------------------------------------------------------------------------


def test_before_runs_before_anything_of_green_is_made() -> None:
    """With the new image."""
    plan = made()
    assert plan.actions == (RunHook(name=NAME, hook=MIGRATE, deployment=2, spec=GREEN),)
    assert plan.reason == f"running {NAME}: ./manage.py migrate (web:2)"
    assert plan.phase is Phase.STARTING


def test_its_image_is_pulled_first() -> None:
    """Nothing can run without it."""
    assert made(images={"web:2": False}).actions == (PullImage(image="web:2"),)


def test_it_is_waited_for() -> None:
    """With the time it has."""
    plan = made(run())
    assert not plan.actions
    assert plan.reason == f"before runs in {NAME}: ./manage.py migrate, at most 55 s"
    assert (plan.recheck_after, plan.left) == (55.0, 55.0)


def test_one_that_was_made_but_never_started_is_started() -> None:
    """The service was killed in between."""
    (action,) = made(run(state=ContainerState.CREATED)).actions
    assert isinstance(action, RunHook)


def test_when_it_is_done_that_is_remembered_with_its_output() -> None:
    """Before anything is done about it: it must never run again for this deployment."""
    plan = made(ended(0, "2 migrations"))
    assert not plan.actions
    assert plan.record.deployment.hooks == (Ran(moment=Moment.BEFORE, log=("2 migrations",)),)
    assert plan.recheck_after == 0.0


def test_then_green_is_made_and_what_the_hook_left_is_cleared_away() -> None:
    """In this order of importance: the container first, it is in nobody's way."""
    record = under_way(Ran(moment=Moment.BEFORE))
    assert made(ended(0), record=record).actions == (RemoveReplica(name=NAME),)
    assert isinstance(made(record=record).actions[0], CreateReplica)


def test_a_failure_rejects_green_with_the_last_line() -> None:
    """Blue has not been touched."""
    plan = made(ended(1, "applying 0002 …", "no such table"))
    (ending,) = plan.endings
    assert ending.outcome is Outcome.REJECTED
    assert ending.reason == "before ended with code 1: no such table"
    assert ending.log == ("applying 0002 …", "no such table")
    assert plan.record.rejection.log == ending.log
    assert plan.record.deployment is None
    assert not [action for action in plan.actions if not isinstance(action, RemoveReplica)]


def test_one_that_takes_too_long_is_stopped_and_rejected() -> None:
    """However it ends when it is stopped."""
    plan = made(run(age=60.0))
    assert plan.actions == (StopReplica(name=NAME),)
    assert plan.reason == f"stopping {NAME}: its time is up"
    plan = made(ended(0, "…", age=60.0))
    assert plan.record.rejection.reason == "before did not end within 60 s, and was stopped: …"


def test_how_it_ended_has_to_be_known() -> None:
    """Docker may take a moment to say (S5)."""
    plan = made(run(state=ContainerState.EXITED))
    assert plan.record.rejection is None
    assert not plan.actions


@pytest.mark.parametrize(
    "changes",
    [
        {"record": good(GREEN), "published": routing((GREEN, 100))},
        {"record": under_way(), "published": routing((BLUE, 50), (GREEN, 50))},
    ],
    ids=["green is good", "green has traffic"],
)
def test_it_is_not_run_for_what_serves_already(changes: Any) -> None:
    """A scaling, or a record that was lost in the middle."""
    plan = decided(SERVING, replicas(GREEN, **ROUTED), wanted=GREEN, **changes)
    assert not [action for action in plan.actions if isinstance(action, RunHook)]


def test_one_of_another_deployment_is_waited_for_and_not_stopped() -> None:
    """Two migrations at once would be worse than either; half a one too."""
    old = run(name=ReplicaName("web-0a0a0a0a-before-1"), deployment=1)
    plan = made(old)
    assert not plan.actions
    assert plan.reason == "web-0a0a0a0a-before-1 still runs, at most 55 s"
    assert made(replace(old, state=ContainerState.EXITED, exit_code=1)).actions[0] == (
        RemoveReplica(name=old.name)
    )


def test_one_of_another_revision_is_no_evidence_whatever_its_number() -> None:
    """Where a record was lost, deployments are counted from 1 again."""
    other = ended(1, name=ReplicaName("web-0a0a0a0a-before-2"))
    plan = made(other)
    assert plan.record.rejection is None
    assert plan.actions == (RemoveReplica(name=other.name),)


def test_whoever_it_runs_for_its_time_is_watched() -> None:
    """Green has arrived, say, and nobody waits for the hook of the deployment before."""
    old = run(name=ReplicaName("web-0a0a0a0a-before-1"), deployment=1)
    plan = decided(replicas(GREEN, **ROUTED), wanted=GREEN, record=good(GREEN), hooks=(old,),
                   published=routing((GREEN, 100)))  # fmt: skip
    assert (plan.phase, plan.recheck_after) == (Phase.SETTLED, 55.0)


def test_a_paused_app_runs_none() -> None:
    """Nothing but repairs."""
    assert made(record=under_way(paused=True)).phase is Phase.PAUSED


def test_what_docker_refuses_rejects_green() -> None:
    """A missing executable is known only when it is started."""
    plan = made(refusals={NAME: "Docker could not start it: no such file"})
    assert plan.record.rejection.reason == "Docker could not start it: no such file"


def test_an_app_that_is_not_wanted_any_more_is_forgotten_when_its_hook_has_ended() -> None:
    """Not before: its container would be nobody's."""
    plan = decided(wanted=None, record=Record(), hooks=(run(),))
    assert plan.reason == f"not desired any more: waiting for {NAME}"
    plan = decided(wanted=None, record=Record(), hooks=(ended(1),))
    assert plan.actions == (RemoveReplica(name=NAME),)


# --- where only one version may run ---------------------------------------------------------------

ALONE = replace(GREEN, rollout=Rollout(strategy=Strategy.RECREATE, hold_requests=30.0), replicas=1)
REST: dict[str, Any] = {
    "state": ContainerState.EXITED, "address": "", "health": Health.UNKNOWN, "is_blameless": True,
}  # fmt: skip
READY: dict[str, Any] = {"state": ContainerState.CREATED, "address": "", "health": Health.UNKNOWN}


def test_with_recreate_it_runs_after_blue_has_made_way() -> None:
    """It has the volumes that only one may use."""
    held = replace(routing((ALONE, 100), count=1), shares=(), holds_for=30.0, loops=True)
    found = (replica(BLUE, **REST), replica(ALONE, **READY))
    plan = decided(found, wanted=ALONE, record=under_way(), published=held)
    assert [type(action) for action in plan.actions] == [RunHook]
    serving = replace(routing((BLUE, 100), count=1), loops=True)
    found = (replica(BLUE, **ROUTED), replica(ALONE, **READY))
    plan = decided(found, wanted=ALONE, record=under_way(), published=serving, hold_available=True)
    assert published_by(plan).holds_for == 30.0


def test_with_recreate_blue_comes_back_when_the_hook_has_ended() -> None:
    """Aborted in the middle: both at once is what must not be (S8)."""
    rejection = Rejection(spec=ALONE.digest, revision=G, reason="aborted by the operator")
    held = replace(routing((ALONE, 100), count=1), shares=(), holds_for=30.0, loops=True)
    blue = replace(BLUE, replicas=1)
    record = good(blue, rejection=rejection)
    plan = decided((replica(blue, **REST),), wanted=ALONE, record=record, published=held,
                   hooks=(run(),))  # fmt: skip
    assert not plan.actions
    assert plan.reason == f"{NAME} still runs, at most 55 s"
    seen = Observation(app=WEB, desired=ALONE, replicas=(replica(blue, **REST),), hooks=(run(),))
    assert broken_by_starting(seen, replica(blue).name) == f"S8: {NAME} still runs"


def test_with_recreate_what_only_warms_up_is_not_waited_for_on_the_way_back() -> None:
    """How it ends decides nothing, and requests wait."""
    rejection = Rejection(spec=ALONE.digest, revision=G, reason="it is slow")
    held = replace(routing((ALONE, 100), count=1), shares=(), holds_for=30.0, loops=True)
    blue = replace(BLUE, replicas=1)
    warming = run(name=LATER, moment=Moment.AFTER_CUTOVER)
    plan = decided((replica(blue, **REST),), wanted=ALONE, record=good(blue, rejection=rejection),
                   published=held, hooks=(warming,))  # fmt: skip
    assert plan.actions == (StopReplica(name=LATER),)
    assert plan.reason == f"stopping {LATER}: it is in the way"


# --- after the cutover ----------------------------------------------------------------------------

BOTH = replace(GREEN, hooks=(WARM,))


def after(*hooks: HookRun, ran: tuple[Ran, ...] = (), **changes: Any) -> Any:
    """Return what is decided when green has all traffic."""
    defaults: dict[str, Any] = {"published": routing((BOTH, 100)), "wanted": BOTH}
    return decided(replicas(BLUE), replicas(BOTH, **ROUTED), record=under_way(*ran), hooks=hooks,
                   **defaults | changes)  # fmt: skip


LATER = ReplicaName(f"web-{G}-after_cutover-2")


def test_after_the_cutover_the_other_hook_runs() -> None:
    """While green bakes, however short that is."""
    (action,) = after(stands_for=0.0).actions
    assert isinstance(action, RunHook)
    assert action.name == LATER
    plan = after(run(name=LATER, moment=Moment.AFTER_CUTOVER))
    assert plan.reason == f"after_cutover runs in {LATER}: ./warm.sh, at most 55 s"
    assert plan.phase is Phase.BAKING


def test_how_it_ends_is_told_and_decides_nothing() -> None:
    """Checks are there to decide."""
    plan = after(ended(3, "cold", name=LATER, moment=Moment.AFTER_CUTOVER))
    (ran,) = plan.record.deployment.hooks
    assert ran.trouble == "ended with code 3: cold"
    plan = after(ran=(ran,))
    (ending,) = plan.endings
    assert ending.outcome is Outcome.SUCCEEDED
    assert ending.reason == (
        f"{G} is good: web:2 serves with 2 replicas; after_cutover ended with code 3: cold"
    )
    assert ending.log == ("after_cutover: cold",)


def test_one_that_docker_refuses_is_told_as_well() -> None:
    """A missing executable is no reason to take green away."""
    plan = after(refusals={LATER: "Docker could not start it: no such file"})
    assert plan.record.rejection is None
    (ran,) = plan.record.deployment.hooks
    assert ran.trouble == "could not run: Docker could not start it: no such file"


# --- the forecast ---------------------------------------------------------------------------------


def test_a_forecast_runs_the_hooks() -> None:
    """At their places."""
    spec = replace(GREEN, hooks=(MIGRATE, WARM))
    world = World(app=WEB, desired=spec, record=good(BLUE), published=routing((BLUE, 100)),
                  images={"web:2"}, confirmed_for=100.0, weights_for=100.0)  # fmt: skip
    world.replicas = {seen.name: seen for seen in SERVING}
    seen = world.observe()
    told = [str(action) for stage in forecast(seen, good(BLUE)) for action in stage.plan.actions]
    assert told[:3] == [
        f"run web-{G}-before-2",
        f"remove web-{G}-before-2",
        f"create web-{G}-0",
    ]
    assert f"run web-{G}-after_cutover-2" in told
    assert told.index(f"run web-{G}-after_cutover-2") > told.index(f"create web-{G}-0")


def test_hooks_make_no_new_revision() -> None:
    """They run when something else does."""
    plain: AppSpec = app("web:2")
    assert GREEN.revision == plain.revision
    assert GREEN.digest != plain.digest

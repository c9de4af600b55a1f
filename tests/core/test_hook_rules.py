"""Hooks: run once in a deployment, waited for, judged, and cleared away."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.core.build import WEB, app, good, replica, replicas, routing
from tests.core.test_planner import BLUE, B, decided, published_by
from traefik_bg.core.actions import (
    CreateHook,
    CreateReplica,
    Outcome,
    Phase,
    PullImage,
    RemoveReplica,
    RunHook,
    StartReplica,
    StopReplica,
)
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.forecast import World, forecast
from traefik_bg.core.guard import broken_by_running, broken_by_starting
from traefik_bg.core.hooks import Hook, Moment, Ran
from traefik_bg.core.model import AppSpec, ReplicaName, RevisionId, digest
from traefik_bg.core.observation import ContainerState, Health, HookRun, Observation
from traefik_bg.core.record import Deployment, Record, Rejection
from traefik_bg.core.rollout import Rollout, Strategy
from traefik_bg.core.situation import Situation

MIGRATE = Hook(moment=Moment.BEFORE, command=("./manage.py", "migrate"), timeout=60.0)
WARM = Hook(moment=Moment.AFTER_CUTOVER, command=("./warm.sh",), timeout=60.0)
GREEN = app("web:2", hooks=(MIGRATE,))
G = GREEN.revision
NAME = ReplicaName(f"web-{G}-before-2")
OTHER = RevisionId("0a0a0a0a")
ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
SERVING = replicas(BLUE, **ROUTED)


def under_way(*ran: Ran, begun: tuple[Moment, ...] = (Moment.BEFORE,), **changes: Any) -> Record:
    """Return a record in which blue is good and green is on its way."""
    deployment = Deployment(number=2, revision=G, image="web:2", blue=B, hooks=ran, begun=begun)
    return good(BLUE, **{"deployments": 2, "deployment": deployment} | changes)


def run(**changes: Any) -> HookRun:
    """Return the migration of this deployment, which runs."""
    seen = HookRun(
        name=NAME,
        moment=Moment.BEFORE,
        revision=G,
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


NEW = under_way(begun=())


def test_before_runs_before_anything_of_green_is_made() -> None:
    """With the new image."""
    plan = made(record=NEW)
    assert plan.actions == (CreateHook(name=NAME, hook=MIGRATE, deployment=2, spec=GREEN),)
    assert plan.reason == f"running {NAME} (web:2)"
    assert plan.phase is Phase.STARTING


def test_that_it_may_have_begun_is_remembered_before_it_does() -> None:
    """What was said to be started and is gone must never be made anew."""
    plan = made(run(state=ContainerState.CREATED), record=NEW)
    assert plan.actions == (RunHook(name=NAME, moment=Moment.BEFORE, deployment=2, revision=G),)
    assert plan.record.deployment.begun == (Moment.BEFORE,)


def test_its_image_is_pulled_first() -> None:
    """Nothing can run without it."""
    assert made(record=NEW, images={"web:2": False}).actions == (PullImage(image="web:2"),)


def test_what_it_runs_is_told_to_nobody() -> None:
    """A command may hold a password, once variables are put in."""
    secret = replace(MIGRATE, command=("psql", "postgres://web:hunter2@db"))
    wanted = replace(GREEN, hooks=(secret,))
    said = [made(record=NEW, wanted=wanted), made(run(), wanted=wanted)]
    texts = [f"{plan.reason} {[str(action) for action in plan.actions]}" for plan in said]
    assert "hunter2" not in f"{texts} {secret}"


def test_it_is_waited_for() -> None:
    """With the time it has."""
    plan = made(run())
    assert not plan.actions
    assert plan.reason == f"before runs in {NAME}, at most 55 s"
    assert (plan.recheck_after, plan.left) == (55.0, 55.0)


def test_one_that_was_made_but_never_started_is_started() -> None:
    """The service was killed in between."""
    for begun in ((), (Moment.BEFORE,)):
        plan = made(run(state=ContainerState.CREATED), record=under_way(begun=begun))
        assert [type(action) for action in plan.actions] == [RunHook]


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
    plan = made(ended(0, "…"), record=plan.record)
    assert plan.record.rejection.reason == "before did not end within 60 s, and was stopped: …"


def test_that_it_was_told_to_end_outlives_the_service() -> None:
    """It is told again where it has not ended, whatever its age is taken to be now."""
    told = made(run(age=60.0)).record
    assert made(run(age=0.0), record=told).actions == (StopReplica(name=NAME),)


def test_one_that_ends_well_by_itself_is_done_however_late() -> None:
    """Nobody could stop it, say: Docker did not answer."""
    assert made(ended(0, age=99.0)).record.deployment.ran(Moment.BEFORE).trouble == ""


def test_that_it_cannot_be_stopped_is_said() -> None:
    """With what Docker answered."""
    told = made(run(age=60.0)).record
    plan = made(run(age=70.0), record=told, cooling={NAME: 5.0}, failures={NAME: "no answer"})
    assert not plan.actions
    assert plan.reason == f"stopping {NAME}: its time is up; no answer; trying again"


def test_one_that_is_removed_by_hand_is_failed_and_never_made_anew() -> None:
    """Nobody knows how far it got."""
    plan = made()
    assert not plan.actions
    assert plan.record.rejection.reason == (
        "before was removed before it had ended: nobody knows how far it got"
    )
    assert made(run(state=ContainerState.REMOVING)).record.rejection is None


def test_blue_is_started_again_while_it_runs() -> None:
    """A migration may take long, and what serves may end meanwhile."""
    dead = replica(BLUE, 1, state=ContainerState.EXITED, address="", health=Health.UNKNOWN,
                   exit_code=1)  # fmt: skip
    plan = decided((SERVING[0], dead), wanted=GREEN, record=under_way(), hooks=(run(),),
                   published=routing((BLUE, 100), count=1))  # fmt: skip
    assert plan.actions == (StartReplica(name=dead.name),)


def test_one_taken_out_of_the_file_is_waited_for_where_it_runs_already() -> None:
    """It decides as before; one that has not begun is forgotten."""
    plain = replace(GREEN, hooks=())
    assert made(run(), wanted=plain).reason == f"before runs in {NAME}, at most 55 s"
    assert made(ended(1), wanted=plain).record.rejection is not None
    assert isinstance(made(wanted=plain, record=NEW).actions[0], CreateReplica)


def test_one_taken_out_of_the_file_before_it_began_is_over() -> None:
    """Its container is cleared away, and nobody misses it later."""
    plain = replace(GREEN, hooks=())
    plan = made(run(state=ContainerState.CREATED), wanted=plain)
    assert plan.record.deployment.ran(Moment.BEFORE).trouble == "was not run: it left the file"
    cleared = made(run(state=ContainerState.CREATED), wanted=plain, record=plan.record)
    assert cleared.actions == (RemoveReplica(name=NAME),)
    assert made(wanted=plain, record=plan.record).record.rejection is None


def test_nothing_of_green_starts_beside_a_migration_of_the_same_revision() -> None:
    """Whatever deployment it was begun in, and even if the file has none any more."""
    old = run(name=ReplicaName(f"web-{G}-before-1"), deployment=1)
    plan = made(old, wanted=replace(GREEN, hooks=()), record=NEW)
    assert not plan.actions
    assert plan.reason == f"{old.name} still runs, at most 55 s"


def test_it_is_not_run_beside_green() -> None:
    """It was added to the file too late, and that is told."""
    green = replicas(GREEN, age=9.0, health=Health.STARTING)
    plan = decided(SERVING, green, wanted=GREEN, record=NEW, published=routing((BLUE, 100)))
    assert not plan.actions
    assert plan.record.deployment is not None
    (ran,) = plan.record.deployment.hooks
    assert ran.trouble == f"was not run, for {green[0].name} ran already"


def test_green_is_made_of_the_very_image_that_has_migrated() -> None:
    """Its tag may have moved meanwhile."""
    record = made(ended(0, image_id="sha256:2")).record
    images = {"web:2": True, "sha256:2": True}
    plan = made(record=record, images=images)
    assert [a.image for a in plan.actions if isinstance(a, CreateReplica)] == ["sha256:2"] * 2


def test_what_it_wrote_is_in_the_history_however_the_deployment_ends() -> None:
    """Rejected for something else, superseded, or aborted."""
    done = under_way(Ran(moment=Moment.BEFORE, log=("2 tables changed",)))
    sick = replicas(GREEN, health=Health.STARTING, age=99.0)
    rejected = decided(SERVING, sick, wanted=GREEN, record=done, published=routing((BLUE, 100)))
    assert [ending.log for ending in rejected.endings] == [("before: 2 tables changed",)]
    superseded = made(record=done, wanted=app("web:3"))
    assert [ending.log for ending in superseded.endings] == [("before: 2 tables changed",)]
    seen = Observation(app=WEB, desired=GREEN, replicas=SERVING, published=routing((BLUE, 100)))
    (aborted,) = obey(Verb.ABORT, Situation(seen=seen, record=done)).endings
    assert aborted.log == ("before: 2 tables changed",)


def test_how_one_ends_that_nobody_waited_for_is_noted() -> None:
    """Once, before its container is removed."""
    rejection = Rejection(spec=GREEN.digest, revision=G, reason="aborted by the operator")
    left = made(run(), record=good(BLUE, rejection=rejection)).record
    assert left.orphans == (NAME,)
    plan = made(ended(1, "0001", "0002"), record=left)
    assert plan.actions == (RemoveReplica(name=NAME),)
    (note,) = plan.notes
    assert note == (
        f"{NAME}, whose deployment was over before it was: before ended with code 1: 0002; "
        "it wrote: 0001 | 0002"
    )
    assert not made(record=plan.record).record.orphans


def test_a_hook_that_is_just_being_made_counts_as_one_that_runs() -> None:
    """It can be seen by its name only: never two at once."""
    coming = "web-0a0a0a0a-before-1"
    plan = made(record=NEW, busy=frozenset({coming}))
    assert not plan.actions
    assert plan.reason == f"waiting for {coming}"


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
    old = run(name=ReplicaName("web-0a0a0a0a-before-1"), revision=OTHER, deployment=1)
    plan = made(old, record=NEW)
    assert not plan.actions
    assert plan.reason == "web-0a0a0a0a-before-1 still runs, at most 55 s"
    assert made(replace(old, state=ContainerState.EXITED, exit_code=1), record=NEW).actions[0] == (
        RemoveReplica(name=old.name)
    )


def test_one_of_another_revision_is_no_evidence_whatever_its_number() -> None:
    """Where a record was lost, deployments are counted from 1 again."""
    other = ended(1, name=ReplicaName("web-0a0a0a0a-before-2"), revision=OTHER)
    plan = made(other, record=NEW)
    assert plan.record.rejection is None
    assert plan.actions == (RemoveReplica(name=other.name),)


def test_what_the_record_does_not_know_to_have_begun_decides_nothing() -> None:
    """A lost record counts from 1 again, so a hook may have the very name of another's."""
    plan = made(run(), record=NEW)
    assert not plan.actions
    assert plan.reason == f"{NAME} still runs, at most 55 s"
    for code in (0, 1):
        plan = made(ended(code), record=NEW)
        assert plan.record.rejection is None
        assert plan.actions == (RemoveReplica(name=NAME),)
    assert [type(action) for action in made(record=NEW).actions] == [CreateHook]


def test_whoever_it_runs_for_its_time_is_watched() -> None:
    """Green has arrived, say, and nobody waits for the hook of the deployment before."""
    old = run(name=ReplicaName("web-0a0a0a0a-before-1"), revision=OTHER, deployment=1)
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
    plan = decided(wanted=None, record=Record(deployments=2), busy=frozenset({NAME}))
    assert plan.reason == f"not desired any more: waiting for {NAME}"
    assert plan.record.deployments == 2
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
    plan = decided(found, wanted=ALONE, record=NEW, published=held)
    assert [type(action) for action in plan.actions] == [CreateHook]
    serving = replace(routing((BLUE, 100), count=1), loops=True)
    found = (replica(BLUE, **ROUTED), replica(ALONE, **READY))
    plan = decided(found, wanted=ALONE, record=NEW, published=serving, hold_available=True)
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
    seen = replace(seen, hooks=(), busy=frozenset({NAME}))
    assert broken_by_starting(seen, replica(blue).name) == f"S8: {NAME} still runs"


def test_with_recreate_nobody_is_brought_back_beside_a_hook() -> None:
    """Where nothing good is known it is the same."""
    rejection = Rejection(spec=ALONE.digest, revision=G, reason="aborted by the operator")
    held = replace(routing((ALONE, 100), count=1), shares=(), holds_for=30.0, loops=True)
    record = Record(rejection=rejection, deployments=2)
    plan = decided((replica(BLUE, **REST),), wanted=ALONE, record=record, published=held,
                   hooks=(run(),))  # fmt: skip
    assert not plan.actions
    assert plan.reason == f"{NAME} still runs, at most 55 s"


THIRD = replace(ALONE, image="web:3", hooks=())
TO_THIRD = Deployment(number=3, revision=THIRD.revision, image="web:3", blue=G)


@pytest.mark.parametrize("moment", Moment)
def test_with_recreate_what_serves_is_not_stopped_while_a_hook_must_be_awaited(
    moment: Moment,
) -> None:
    """Requests would wait for as long as the hook runs; one that decides nothing is stopped."""
    hook = run(name=ReplicaName(f"web-{G}-{moment}-2"), moment=moment)
    serving = replace(routing((ALONE, 100), count=1), loops=True)
    found = (replica(ALONE, **ROUTED), replica(THIRD, **READY), replica(BLUE, **REST))
    record = good(BLUE, deployments=3, deployment=TO_THIRD)
    plan = decided(found, wanted=THIRD, record=record, published=serving, hooks=(hook,),
                   hold_available=True)  # fmt: skip
    is_stopped = moment is Moment.AFTER_CUTOVER
    assert plan.actions == ((StopReplica(name=hook.name),) if is_stopped else ())
    going = replace(hook, age=6.0)
    plan = decided(found, wanted=THIRD, record=record, published=serving, hooks=(going,),
                   hold_available=True, busy=frozenset({hook.name}))  # fmt: skip
    assert not plan.actions


def test_with_recreate_what_serves_is_not_stopped_while_its_own_hook_runs_already() -> None:
    """The strategy was changed in the middle: the hook has begun beside blue, and ends beside it."""
    serving = replace(routing((BLUE, 100)), loops=True)
    found = (*SERVING, replica(ALONE, **READY))
    plan = decided(found, wanted=ALONE, record=under_way(), published=serving, hooks=(run(),),
                   hold_available=True)  # fmt: skip
    assert not plan.actions
    assert plan.reason == f"{NAME} still runs, at most 55 s"


def test_with_recreate_nothing_joins_what_serves_while_a_hook_of_another_runs() -> None:
    """The guard would refuse it: the planner knows that."""
    two = replace(BLUE, rollout=ALONE.rollout)
    dead = replica(two, 1, **REST)
    serving = replace(routing((two, 100), count=1), loops=True)
    plan = decided((replica(two, **ROUTED), dead), wanted=two, record=good(two), hooks=(run(),),
                   published=serving)  # fmt: skip
    assert not plan.actions
    assert plan.reason == f"{NAME} still runs, at most 55 s"


# --- the last look before a hook is started -------------------------------------------------------

RUN = RunHook(name=NAME, moment=Moment.BEFORE, deployment=2, revision=G)
COMES = Observation(app=WEB, desired=GREEN, replicas=SERVING, busy=frozenset({NAME}),
                    hooks=(run(state=ContainerState.CREATED),))  # fmt: skip


def test_the_guard_lets_a_hook_run_for_its_deployment_alone() -> None:
    """And refuses it for every other, and for none."""
    assert broken_by_running(COMES, NEW, RUN) is None
    over = "S9: the deployment of"
    assert broken_by_running(COMES, good(BLUE), RUN) == f"{over} {NAME} is over"
    other = replace(NEW, deployment=Deployment(number=3, revision=G, image="web:2"))
    assert broken_by_running(COMES, other, RUN) == f"{over} {NAME} is over"
    for wanted in (None, app("web:3")):
        seen = replace(COMES, desired=wanted)
        assert broken_by_running(seen, NEW, RUN) == f"S9: {G} is not wanted any more"


def test_the_guard_lets_no_hook_run_beside_another() -> None:
    """Whether it can be seen or not."""
    other = ReplicaName("web-0a0a0a0a-before-1")
    beside = run(name=other, revision=OTHER, deployment=1)
    for seen in (
        replace(COMES, hooks=(*COMES.hooks, beside)),
        replace(COMES, busy=frozenset({NAME, other})),
    ):
        assert broken_by_running(seen, NEW, RUN) == f"S9: {other} still runs"


def test_the_guard_lets_no_migration_run_beside_green() -> None:
    """Nor beside anything else, where only one may run."""
    green = replica(GREEN)
    seen = replace(COMES, replicas=(*SERVING, green))
    assert broken_by_running(seen, NEW, RUN) == f"S9: {green.name} runs already"
    seen = replace(COMES, desired=ALONE)
    assert broken_by_running(seen, NEW, RUN) == f"S8: {SERVING[0].name} still runs"


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
    defaults: dict[str, Any] = {"published": routing((BOTH, 100)), "wanted": BOTH,
                                "record": under_way(*ran, begun=(Moment.AFTER_CUTOVER,))}  # fmt: skip
    return decided(replicas(BLUE), replicas(BOTH, **ROUTED), hooks=hooks, **defaults | changes)


LATER = ReplicaName(f"web-{G}-after_cutover-2")


def test_after_the_cutover_the_other_hook_runs() -> None:
    """While green bakes, however short that is."""
    (action,) = after(stands_for=0.0, record=NEW).actions
    assert isinstance(action, CreateHook)
    assert action.name == LATER
    plan = after(run(name=LATER, moment=Moment.AFTER_CUTOVER))
    assert plan.reason == f"after_cutover runs in {LATER}, at most 55 s"
    assert plan.phase is Phase.BAKING


def test_it_runs_in_the_image_that_green_runs() -> None:
    """Its tag may have moved, or be gone."""
    green = replicas(BOTH, image_id="sha256:2", **ROUTED)
    plan = decided(replicas(BLUE), green, wanted=BOTH, record=NEW, published=routing((BOTH, 100)),
                   images={"web:2": False})  # fmt: skip
    (action,) = plan.actions
    assert isinstance(action, CreateHook)
    assert (action.name, action.image) == (LATER, "sha256:2")


def test_one_that_is_gone_is_told_and_decides_nothing() -> None:
    """Somebody removed it."""
    (ran,) = after().record.deployment.hooks
    assert ran.trouble == "was removed before it had ended"


def test_promote_says_that_it_is_waited_for() -> None:
    """Good is what has all behind it."""
    seen = Observation(app=WEB, desired=BOTH, replicas=replicas(BOTH, **ROUTED),
                       published=routing((BOTH, 100)))  # fmt: skip
    said = obey(Verb.PROMOTE, Situation(seen=seen, record=under_way())).sentence
    assert said == (
        f"{G} becomes the good revision without waiting any longer, when after_cutover has ended"
    )


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
    plan = after(refusals={LATER: "Docker could not start it: no such file"}, record=NEW)
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
    assert told[:4] == [
        f"create web-{G}-before-2",
        f"run web-{G}-before-2",
        f"remove web-{G}-before-2",
        f"create web-{G}-0",
    ]
    assert f"run web-{G}-after_cutover-2" in told
    assert told.index(f"run web-{G}-after_cutover-2") > told.index(f"create web-{G}-0")


@pytest.mark.parametrize(("timeout", "age"), [(3.0, 0.0), (60.0, 10.0), (60.0, 58.0)])
def test_a_forecast_assumes_that_a_hook_ends_in_time(timeout: float, age: float) -> None:
    """However short that is, and however long it has run."""
    spec = replace(GREEN, hooks=(replace(MIGRATE, timeout=timeout),))
    hooks = {NAME: run(age=age, timeout=timeout)} if age else {}
    seen = Observation(app=WEB, desired=spec, replicas=SERVING, published=routing((BLUE, 100)),
                       confirmed_for=9.0, weights_for=9.0, images={"web:2": True},
                       hooks=tuple(hooks.values()))  # fmt: skip
    told = [stage.plan for stage in forecast(seen, under_way() if age else good(BLUE))]
    assert told[-1].record.good == spec, [plan.reason for plan in told]


def test_hooks_make_no_new_revision() -> None:
    """They run when something else does."""
    plain: AppSpec = app("web:2")
    assert GREEN.revision == plain.revision
    assert GREEN.digest != plain.digest


def test_a_spec_without_hooks_has_the_digest_it_had_before_there_were_any() -> None:
    """What was rejected then stays rejected."""
    fields = asdict(app("web:2"))
    del fields["hooks"], fields["adopt"]
    assert app("web:2").digest == digest(fields)

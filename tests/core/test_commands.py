"""What an operator says, as changes of the record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.build import WEB, app, good, replicas, revision, routing
from traefik_bg.core.actions import Outcome
from traefik_bg.core.commands import Obeyed, Verb, obey
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.model import AppSpec, RevisionId, Routing
from traefik_bg.core.observation import Health, Observation
from traefik_bg.core.record import Deployment, Record, Rejection, Waiver
from traefik_bg.core.situation import Situation

BLUE, GREEN, OLD = app("web:1"), app("web:2"), app("web:0")
UNDER_WAY = Deployment(number=2, revision=GREEN.revision, image="web:2", blue=BLUE.revision)
DEPLOYING = good(BLUE, OLD, deployment=UNDER_WAY)
REJECTED = good(
    BLUE, rejection=Rejection(spec=GREEN.digest, revision=GREEN.revision, reason="HTTP 503")
)


def said(
    verb: Verb,
    record: Record,
    *,
    desired: AppSpec | None = GREEN,
    published: Routing | None = None,
    health: Health = Health.HEALTHY,
    to: RevisionId | None = None,
) -> Obeyed:
    """Say something about an app with blue and green side by side."""
    seen = Observation(
        app=WEB,
        desired=desired,
        replicas=(*replicas(BLUE), *replicas(GREEN, health=health)),
        published=published or routing((BLUE, 100)),
    )
    return obey(verb, Situation(seen=seen, record=record), to=to)


def refused(verb: Verb, record: Record, **changes: object) -> str:
    """Return why a command is refused."""
    with pytest.raises(CommandRefused) as caught:
        said(verb, record, **changes)  # type: ignore[arg-type]
    return str(caught.value)


# --- promote --------------------------------------------------------------------------------------


def test_promote_waives_the_wait_at_the_present_weight() -> None:
    """At 0 % it is the approval, at 10 % the pause."""
    assert said(Verb.PROMOTE, DEPLOYING) == Obeyed(
        record=replace(DEPLOYING, waiver=Waiver(revision=GREEN.revision, weight=0)),
        sentence=f"{GREEN.revision} goes on from 0 % without waiting any longer",
    )
    at_10 = said(Verb.PROMOTE, DEPLOYING, published=routing((BLUE, 90), (GREEN, 10)))
    assert at_10.record.waiver == Waiver(revision=GREEN.revision, weight=10)


def test_promote_with_all_traffic_ends_the_bake() -> None:
    """Green becomes the good revision at once."""
    obeyed = said(Verb.PROMOTE, DEPLOYING, published=routing((GREEN, 100)))
    assert obeyed.record.waiver == Waiver(revision=GREEN.revision, weight=100)
    assert obeyed.sentence == (
        f"{GREEN.revision} becomes the good revision without waiting any longer"
    )


def test_promote_is_refused_when_nothing_is_under_way() -> None:
    """There is nothing to promote."""
    assert (
        refused(Verb.PROMOTE, good(GREEN)) == "web: no deployment is under way, nothing to promote"
    )


def test_promote_is_refused_when_the_app_is_not_desired_any_more() -> None:
    """A deployment that is about to be superseded cannot be promoted."""
    assert "nothing to promote" in refused(Verb.PROMOTE, DEPLOYING, desired=None)


def test_promote_is_refused_while_green_is_not_healthy() -> None:
    """An operator cannot prove what is not proven (S1)."""
    assert refused(Verb.PROMOTE, DEPLOYING, health=Health.STARTING) == (
        f"web: {GREEN.revision} is not healthy yet (0 of 2 replicas); it cannot be promoted"
    )


# --- pause and resume -----------------------------------------------------------------------------


def test_pause_and_resume_are_remembered() -> None:
    """The record says so until the operator says otherwise."""
    paused = said(Verb.PAUSE, DEPLOYING)
    assert paused.record == replace(DEPLOYING, paused=True)
    assert paused.sentence == "web is paused: nothing but repairs until resume"
    resumed = said(Verb.RESUME, paused.record)
    assert resumed == Obeyed(record=DEPLOYING, sentence="web goes on")


def test_pause_is_refused_when_it_is_paused() -> None:
    """The operator is told what would work."""
    assert refused(Verb.PAUSE, replace(DEPLOYING, paused=True)) == (
        "web is paused already; resume lets it go on"
    )


def test_resume_is_refused_when_it_is_not_paused() -> None:
    """There is nothing to resume."""
    assert refused(Verb.RESUME, DEPLOYING) == "web is not paused"


# --- abort ----------------------------------------------------------------------------------------


def test_abort_rejects_what_is_being_deployed() -> None:
    """It is not tried again, a pause ends, and the history says who ended it."""
    obeyed = said(Verb.ABORT, replace(DEPLOYING, paused=True))
    assert obeyed.record.rejects(GREEN)
    assert obeyed.record.deployment is None
    assert not obeyed.record.paused
    assert [(e.outcome, e.reason) for e in obeyed.endings] == [
        (Outcome.ABORTED, "aborted by the operator")
    ]
    assert obeyed.sentence == (
        f"{GREEN.revision} aborted by the operator; back to {BLUE.revision} (web:1)"
    )


def test_abort_of_a_first_deployment_says_that_nothing_is_left() -> None:
    """There is no good revision to go back to."""
    obeyed = said(Verb.ABORT, Record(deployment=UNDER_WAY))
    assert obeyed.sentence.endswith("there is nothing to go back to")


def test_abort_is_refused_when_nothing_is_under_way() -> None:
    """And names the command that would work."""
    assert "use rollback" in refused(Verb.ABORT, good(GREEN))


# --- retry ----------------------------------------------------------------------------------------


def test_retry_forgets_the_rejection() -> None:
    """The same spec is a new wish."""
    obeyed = said(Verb.RETRY, REJECTED)
    assert obeyed == Obeyed(
        record=replace(REJECTED, rejection=None),
        sentence=f"{GREEN.revision} is tried once more",
    )


@pytest.mark.parametrize("record", [good(BLUE), DEPLOYING])
def test_retry_is_refused_when_nothing_is_rejected(record: Record) -> None:
    """There is nothing to try again."""
    assert "nothing to retry" in refused(Verb.RETRY, record)


def test_retry_is_refused_when_something_else_is_desired_by_now() -> None:
    """The rejection is about an earlier wish."""
    assert "nothing to retry" in refused(Verb.RETRY, REJECTED, desired=app("web:3"))


# --- rollback -------------------------------------------------------------------------------------


def test_rollback_in_a_deployment_aborts_it() -> None:
    """Blue is warm: that is the way back."""
    obeyed = said(Verb.ROLLBACK, DEPLOYING)
    assert obeyed.record.rejects(GREEN)
    assert obeyed.record.good == BLUE
    assert obeyed.endings[0].reason == "rolled back by the operator"


def test_rollback_goes_to_the_good_revision_before() -> None:
    """What is desired stays aside; what was good becomes the first way forward again."""
    obeyed = said(Verb.ROLLBACK, good(GREEN, BLUE, OLD))
    record = obeyed.record
    assert record.good == BLUE
    assert record.previous == (GREEN, OLD)
    assert record.rejects(GREEN)
    assert obeyed.endings == ()
    assert obeyed.sentence == (
        f"going back to {BLUE.revision} (web:1); the desired state stays aside until it is edited"
    )


def test_rollback_to_a_revision_ends_a_deployment_that_is_under_way() -> None:
    """The operator has named where to go."""
    obeyed = said(Verb.ROLLBACK, DEPLOYING, to=OLD.revision)
    assert obeyed.record.good == OLD
    assert obeyed.record.previous == (BLUE,)
    assert obeyed.record.deployment is None
    assert [e.outcome for e in obeyed.endings] == [Outcome.ABORTED]


def test_rollback_without_a_good_revision_keeps_only_the_choices() -> None:
    """A record that knows earlier ones but no good one is followed all the same."""
    record = Record(previous=(BLUE,))
    assert said(Verb.ROLLBACK, record).record.previous == ()


def test_rollback_to_what_is_good_already_keeps_it_out_of_the_choices() -> None:
    """The good revision may be among the choices after a rollback and an edit; it is there once."""
    obeyed = said(Verb.ROLLBACK, good(BLUE, BLUE), to=BLUE.revision)
    assert obeyed.record.good == BLUE
    assert obeyed.record.previous == ()


def test_rollback_to_an_unknown_revision_names_the_known() -> None:
    """The operator can pick one."""
    assert refused(Verb.ROLLBACK, good(GREEN, BLUE, OLD), to=revision("cafe0000")) == (
        f"web: cafe0000 is not known; rollback can go to "
        f"{BLUE.revision} (web:1), {OLD.revision} (web:0)"
    )


def test_rollback_is_refused_when_there_was_nothing_before() -> None:
    """The first good revision has no predecessor."""
    assert refused(Verb.ROLLBACK, good(GREEN)) == "web: no earlier good revision is known"


def test_rollback_is_refused_for_an_app_that_is_not_desired() -> None:
    """It is being removed."""
    assert "nothing to roll back" in refused(Verb.ROLLBACK, good(GREEN, BLUE), desired=None)

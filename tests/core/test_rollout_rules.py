"""Steps, evidence, approvals, copies, previews and sessions: what green gets, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB, app, good, replica, replicas, routing, server
from tests.core.test_planner import BLUE, B, decided, published_by, rejected, under_way
from traefik_bg.core.actions import Outcome, Phase, Plan, PublishRouting
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Evidence, Figures
from traefik_bg.core.model import AppSpec, MirrorShare, PreviewShare, Routing, Share
from traefik_bg.core.observation import ContainerState, Health, Observation
from traefik_bg.core.record import Rejection, Waiver
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Check,
    CheckKind,
    Inconclusive,
    Mirror,
    Preview,
    Rollout,
    Sessions,
    Step,
)
from traefik_bg.core.situation import Situation

ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}


def wish(**rollout: Any) -> AppSpec:
    """Return green with this rollout."""
    return app("web:2", rollout=Rollout(bake=30.0, drain=30.0, **rollout))


def share(spec: AppSpec, weight: int = 0) -> Share:
    """Return the share of both replicas of a spec."""
    return Share(
        revision=spec.revision,
        weight=weight,
        servers=tuple(server(seen) for seen in replicas(spec)),
    )


def answered(spec: AppSpec, requests: int, errors: int = 0, **changes: Any) -> Evidence:
    """Return what Traefik counted of a spec, and of blue, which is fine."""
    figures = {
        spec.revision: Figures(requests=requests, errors=errors),
        B: Figures(requests=requests, errors=0),
    }
    return Evidence(figures=figures, **{"fed_for": 100.0} | changes)


def at(spec: AppSpec, weight: int, *, stands_for: float | None = 100.0, **changes: Any) -> Plan:
    """Return what is decided when green has this weight."""
    parts = [(BLUE, 100 - weight)] if weight < 100 else []
    parts += [(spec, weight)] if weight else []
    defaults: dict[str, Any] = {"record": under_way(spec), "published": routing(*parts)}
    changes = defaults | changes
    return decided(
        replicas(BLUE, **ROUTED), replicas(spec, **ROUTED), wanted=spec,
        stands_for=stands_for, **changes,
    )  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------

STEPS = (Step(weight=5, pause=30.0), Step(weight=25, needs_approval=True), Step(weight=50))


def test_a_step_that_needs_approval_waits_for_it() -> None:
    """However long it has stood."""
    made = at(wish(steps=STEPS), 25)
    assert made.reason == f"{wish(steps=STEPS).revision} has 25 %, next step when it is promoted"
    assert made.phase is Phase.WAITING
    assert not made.actions


def test_a_step_with_both_waits_for_its_pause_first() -> None:
    """An operator is asked when there is something to look at."""
    spec = wish(steps=(Step(weight=25, pause=30.0, needs_approval=True),))
    made = at(spec, 25, stands_for=10.0)
    assert made.reason.endswith("has 25 %, next step in 20 s")
    assert made.phase is Phase.SHIFTING


def test_a_promoted_step_goes_on_to_the_next_one() -> None:
    """One step at a time."""
    spec = wish(steps=STEPS)
    waiver = Waiver(revision=spec.revision, weight=25)
    made = at(spec, 25, record=under_way(spec, waiver=waiver))
    assert published_by(made).weights == {B: 50, spec.revision: 50}


def test_a_full_promotion_leaves_out_all_steps() -> None:
    """All traffic at once."""
    spec = wish(steps=STEPS)
    waiver = Waiver(revision=spec.revision, weight=5, is_full=True)
    made = at(spec, 5, record=under_way(spec, waiver=waiver))
    assert published_by(made).weights == {spec.revision: 100}


def test_a_full_promotion_does_not_leave_out_the_bake() -> None:
    """Blue stays warm as long as it was to."""
    spec = wish(steps=STEPS)
    waiver = Waiver(revision=spec.revision, weight=5, is_full=True)
    made = at(spec, 100, record=under_way(spec, waiver=waiver), stands_for=1.0)
    assert made.phase is Phase.BAKING


def test_promote_says_what_it_leaves_out() -> None:
    """The sentence of a full promotion."""
    spec = wish(steps=STEPS)
    seen = Observation(
        app=WEB, desired=spec, replicas=replicas(spec), published=routing((BLUE, 95), (spec, 5))
    )
    obeyed = obey(Verb.PROMOTE, Situation(seen=seen, record=under_way(spec)), is_full=True)
    assert obeyed.sentence == f"{spec.revision} gets all traffic now; its bake is not left out"
    assert obeyed.record.waiver == Waiver(revision=spec.revision, weight=5, is_full=True)


# --- the clock of a step --------------------------------------------------------------------------


def test_a_steps_clock_runs_only_while_green_gets_its_share() -> None:
    """A busy configuration starves a small weight: its time does not count."""
    spec = wish(steps=STEPS)
    evidence = Evidence(share=0.2, fed_for=10.0)
    made = at(spec, 5, stands_for=100.0, evidence=evidence)
    assert made.reason == (
        f"{spec.revision} has 5 %, next step in 20 s; its clock stands still while it gets 0.2 % "
        "instead of 5 %, because Traefik begins its round robin anew at every reload"
    )
    assert made.recheck_after == 1.0


def test_a_configuration_that_never_lets_green_have_its_share_does_not_stop_it_for_ever() -> None:
    """After the longest wait the step goes on (L1)."""
    spec = wish(steps=STEPS)
    made = at(spec, 5, stands_for=331.0, evidence=Evidence(share=0.0, fed_for=0.0))
    assert published_by(made).weights == {B: 75, spec.revision: 25}


def test_without_figures_the_clock_is_the_time_that_is_confirmed() -> None:
    """Nobody can tell who got what."""
    made = at(wish(steps=STEPS), 5, stands_for=10.0)
    assert made.reason.endswith("next step in 20 s")


# --- evidence -------------------------------------------------------------------------------------

LIMITS = Analysis(max_error_ratio=0.01, min_requests=50, max_wait=60.0)
JUDGED = wish(steps=(Step(weight=25, pause=30.0),), analysis=LIMITS)


def test_too_few_requests_are_waited_for() -> None:
    """They are neither good nor bad."""
    made = at(JUDGED, 25, stands_for=40.0, evidence=answered(JUDGED, 12))
    assert f"{JUDGED.revision} has 25 %, next step once there is evidence: " in made.reason
    assert made.reason.endswith("; at most 50 s more")
    assert made.recheck_after == 1.0
    assert not made.actions


def test_after_the_longest_wait_it_goes_on_without_evidence() -> None:
    """A quiet app is deployed too."""
    made = at(JUDGED, 25, stands_for=90.0, evidence=answered(JUDGED, 12))
    assert published_by(made).weights == {JUDGED.revision: 100}


def test_after_the_longest_wait_it_is_rejected_where_evidence_is_required() -> None:
    """The reason says what is missing."""
    strict = replace(JUDGED.rollout, analysis=replace(LIMITS, inconclusive=Inconclusive.REJECT))
    spec = replace(JUDGED, rollout=strict)
    made = at(spec, 25, stands_for=90.0, evidence=answered(spec, 12))
    (ending,) = made.endings
    assert ending.outcome is Outcome.REJECTED
    assert ending.reason.startswith("no evidence within the longest wait: ")


@pytest.mark.parametrize("changes", [{"paused": True}, {}], ids=["paused", "asked"])
def test_who_is_waited_for_is_no_lack_of_evidence(changes: dict[str, Any]) -> None:
    """At night nobody comes, and nobody promotes; green was fine in the evening."""
    strict = replace(LIMITS, inconclusive=Inconclusive.REJECT)
    step = Step(weight=25, pause=30.0, needs_approval=not changes)
    spec = wish(steps=(step,), analysis=strict)
    made = at(spec, 25, stands_for=50_000.0, record=under_way(spec, **changes),
              evidence=answered(spec, 3))  # fmt: skip
    assert not made.endings
    assert not made.actions
    assert made.phase in {Phase.PAUSED, Phase.WAITING}


def test_good_answers_let_the_step_go_on() -> None:
    """When its pause is over as well."""
    made = at(JUDGED, 25, stands_for=30.0, evidence=answered(JUDGED, 500))
    assert published_by(made).weights == {JUDGED.revision: 100}


def test_a_breach_goes_back_to_blue_at_once_with_the_numbers() -> None:
    """In one publication, in the middle of the pause."""
    made = at(JUDGED, 25, stands_for=5.0, evidence=answered(JUDGED, 100, errors=7))
    (ending,) = made.endings
    assert (ending.outcome, ending.revision) == (Outcome.REJECTED, JUDGED.revision)
    assert "7" in ending.reason
    assert published_by(made).weights == {B: 100}


def test_a_breach_in_the_bake_goes_back_to_blue() -> None:
    """Blue was kept warm for it."""
    made = at(JUDGED, 100, stands_for=5.0, evidence=answered(JUDGED, 100, errors=7))
    assert made.endings[0].outcome is Outcome.REJECTED
    assert published_by(made).weights == {B: 100}


def test_the_bake_waits_for_evidence_too() -> None:
    """Good is said of what has answered."""
    made = at(JUDGED, 100, stands_for=40.0, evidence=answered(JUDGED, 3))
    assert made.phase is Phase.BAKING
    assert "kept warm; good once there is evidence: " in made.reason


def test_an_operator_may_go_on_without_evidence() -> None:
    """That is what promote says."""
    waiver = Waiver(revision=JUDGED.revision, weight=25)
    record = under_way(JUDGED, waiver=waiver)
    made = at(JUDGED, 25, stands_for=1.0, record=record, evidence=answered(JUDGED, 1))
    assert published_by(made).weights == {JUDGED.revision: 100}


def test_what_is_not_confirmed_is_not_judged() -> None:
    """The figures may be of other weights (S5)."""
    made = at(JUDGED, 25, stands_for=None, evidence=answered(JUDGED, 100, errors=90))
    assert not made.endings
    assert made.phase is Phase.CONFIRMING


def test_a_check_that_says_no_rejects() -> None:
    """Its words are the reason."""
    check = Check(name="cart", kind=CheckKind.WEBHOOK, target="http://gate.example")
    spec = wish(steps=(Step(weight=25, pause=30.0),), analysis=Analysis(checks=(check,)))
    said = {"cart": CheckResult(verdict=CheckVerdict.BAD, detail="carts are lost")}
    made = at(spec, 25, stands_for=5.0, checks=said)
    assert "carts are lost" in made.endings[0].reason


# --- copies ---------------------------------------------------------------------------------------

COPIED = wish(mirror=Mirror(percent=10, pause=20.0), analysis=LIMITS)


def copying(percent: int = 10) -> Routing:
    """Return the routing in which green gets copies."""
    mirrored = MirrorShare(share=share(COPIED), percent=percent)
    return replace(routing((BLUE, 100)), mirror=mirrored)


def test_copies_come_before_any_traffic() -> None:
    """Once green is healthy."""
    made = at(COPIED, 0)
    assert made.reason == f"copies of 10 % of the requests to {COPIED.revision}"
    assert published_by(made).mirror == copying().mirror
    assert published_by(made).weights == {B: 100}


def test_green_gets_copies_for_as_long_as_it_should() -> None:
    """And until there is evidence."""
    made = at(COPIED, 0, published=copying(), stands_for=5.0)
    assert made.reason == (
        f"{COPIED.revision} gets copies of 10 % of the requests, goes on in 15 s"
    )


def test_bad_answers_to_copies_reject_and_nobody_has_seen_them() -> None:
    """Before green had any traffic."""
    evidence = answered(COPIED, 100, errors=50)
    made = at(COPIED, 0, published=copying(), stands_for=5.0, evidence=evidence)
    assert made.endings[0].outcome is Outcome.REJECTED
    assert published_by(made) == routing((BLUE, 100))


def test_copies_end_with_the_first_shift() -> None:
    """Green has the requests themselves then."""
    evidence = answered(COPIED, 100)
    made = at(COPIED, 0, published=copying(), stands_for=20.0, evidence=evidence)
    assert published_by(made).weights == {COPIED.revision: 100}
    assert published_by(made).mirror is None


def test_copies_end_with_the_first_step() -> None:
    """In the same publication: another one would begin the round robin anew."""
    spec = wish(steps=(Step(weight=5, pause=30.0),), mirror=Mirror(percent=10, pause=20.0))
    copied = replace(routing((BLUE, 100)), mirror=MirrorShare(share=share(spec), percent=10))
    made = at(spec, 0, published=copied, stands_for=20.0)
    assert published_by(made) == routing((BLUE, 95), (spec, 5))


def test_other_copies_can_be_asked_for_at_any_time() -> None:
    """Who copies what must not be done twice wants that to end now."""
    spec = wish(mirror=Mirror(percent=10, pause=20.0))
    mirrored = MirrorShare(share=share(spec), percent=50, all_methods=True)
    copied = replace(routing((BLUE, 100)), mirror=mirrored)
    made = at(spec, 0, published=copied, stands_for=5.0)
    assert published_by(made).mirror == MirrorShare(share=share(spec), percent=10)


def test_a_dead_replica_gets_no_copies_any_more() -> None:
    """It leaves the routing like any other (S7)."""
    dead = replica(COPIED, 1, state=ContainerState.EXITED, address="", health=Health.UNKNOWN,
                   is_blameless=True)  # fmt: skip
    made = decided(
        replicas(BLUE, **ROUTED), (replica(COPIED, 0), dead), wanted=COPIED,
        record=under_way(COPIED), published=copying(),
    )  # fmt: skip
    assert made.reason == f"taking web-{COPIED.revision}-1 out of the routing"


def test_promotion_leaves_the_copies_out() -> None:
    """Nobody is asked twice."""
    record = under_way(COPIED, waiver=Waiver(revision=COPIED.revision, weight=0))
    assert published_by(at(COPIED, 0, record=record)).weights == {COPIED.revision: 100}


# --- preview --------------------------------------------------------------------------------------

SHOWN = wish(preview=Preview(header=("X-Preview", "green")), approval=Approval.MANUAL)


def test_a_healthy_green_can_be_previewed_before_it_has_traffic() -> None:
    """By those who ask for it."""
    made = at(SHOWN, 0)
    assert made.reason == f"{SHOWN.revision} can be previewed"
    shown = published_by(made).preview
    assert shown == PreviewShare(share=share(SHOWN), by=Preview(header=("X-Preview", "green")))


def test_a_green_that_is_not_healthy_is_not_shown() -> None:
    """Nothing unproven gets a request (S1)."""
    made = decided(
        replicas(BLUE, **ROUTED), replicas(SHOWN, health=Health.STARTING, age=1.0), wanted=SHOWN,
        record=under_way(SHOWN), published=routing((BLUE, 100)),
    )  # fmt: skip
    assert not made.actions


def test_the_preview_waits_for_approval_with_green() -> None:
    """That is what it is for."""
    shown = replace(routing((BLUE, 100)), preview=PreviewShare(
        share=share(SHOWN), by=Preview(header=("X-Preview", "green"))
    ))  # fmt: skip
    made = at(SHOWN, 0, published=shown)
    assert made.phase is Phase.WAITING


def test_the_preview_is_gone_when_the_deployment_is_over() -> None:
    """Rejected or good: there is nothing to preview."""
    by = Preview(header=("X-Preview", "green"))
    shown = replace(routing((BLUE, 100)), preview=PreviewShare(share=share(SHOWN), by=by))
    made = at(SHOWN, 0, published=shown, record=rejected(SHOWN))
    assert published_by(made).preview is None


# --- sessions -------------------------------------------------------------------------------------

KEEPS = wish(sessions=Sessions.KEEP)


def with_cookies(*parts: tuple[AppSpec, int], kept: AppSpec | None = None) -> Routing:
    """Return a routing that keeps clients where they began."""
    return replace(
        routing(*parts), keeps_sessions=True, kept=share(kept) if kept is not None else None
    )


def test_clients_get_their_cookie_before_anything_is_shifted() -> None:
    """Who has none cannot be kept."""
    made = at(KEEPS, 0)
    assert published_by(made) == with_cookies((BLUE, 100))
    assert made.reason == "clients stay with their version from now on"
    plain = at(wish(), 0, published=with_cookies((BLUE, 100)))
    assert plain.reason == "clients move with the traffic from now on"


def test_an_app_that_is_held_gets_no_cookies() -> None:
    """It is left as it is, whatever changes."""
    assert not at(replace(KEEPS, hold=True), 0).actions


def test_after_the_cutover_blue_keeps_its_clients() -> None:
    """It has no weight, and is routed still."""
    made = at(KEEPS, 0, published=with_cookies((BLUE, 100)))
    assert published_by(made).weights == {KEEPS.revision: 100}
    assert published_by(made).kept == share(BLUE)


def test_clients_have_until_the_drain_is_over() -> None:
    """Then they move, and blue can go."""
    kept = with_cookies((KEEPS, 100), kept=BLUE)
    record = good(KEEPS, BLUE)
    early = at(KEEPS, 100, record=record, published=kept, stands_for=12.0)
    assert early.reason == f"clients that began on {B} finish there, at most 18 s"
    assert early.recheck_after == pytest.approx(18.0)
    late = at(KEEPS, 100, record=record, published=kept, stands_for=30.0)
    assert late.reason == f"the sessions on {B} are over"
    assert published_by(late) == with_cookies((KEEPS, 100))


def test_blue_is_not_stopped_while_it_has_clients() -> None:
    """It is routed to (S2)."""
    kept = with_cookies((KEEPS, 100), kept=BLUE)
    made = at(KEEPS, 100, record=good(KEEPS, BLUE), published=kept, stands_for=12.0)
    assert not made.actions


def test_nobody_is_left_on_a_version_that_was_rejected() -> None:
    """Its clients go back to blue at once."""
    record = rejected(KEEPS)
    made = at(KEEPS, 50, record=record, published=with_cookies((BLUE, 50), (KEEPS, 50)))
    assert published_by(made).kept is None
    assert published_by(made).weights == {B: 100}


def test_nobody_is_left_on_a_version_that_an_operator_goes_back_from() -> None:
    """Although it was good once."""
    newest = app("web:3", rollout=KEEPS.rollout)
    aside = Rejection(spec=newest.digest, revision=newest.revision, reason="rolled back")
    record = replace(good(replace(BLUE, rollout=KEEPS.rollout), KEEPS), rejection=aside)
    made = decided(
        replicas(BLUE), replicas(KEEPS, **ROUTED), wanted=newest, record=record,
        published=with_cookies((KEEPS, 100)),
    )  # fmt: skip
    assert published_by(made) == with_cookies((BLUE, 100))


def test_the_next_deployment_waits_for_the_sessions_of_the_one_before() -> None:
    """Two versions are enough to choose from."""
    newest = app("web:3", rollout=KEEPS.rollout)
    kept = with_cookies((KEEPS, 100), kept=BLUE)
    record = replace(under_way(newest), good=KEEPS, previous=(BLUE,))
    made = decided(
        replicas(BLUE, **ROUTED), replicas(KEEPS, **ROUTED), replicas(newest), wanted=newest,
        record=record, published=kept, stands_for=10.0,
    )  # fmt: skip
    assert made.reason == (
        f"{newest.revision} is healthy and waits for the sessions on {B} to end, at most 20 s"
    )


def test_a_dead_blue_has_no_clients_any_more() -> None:
    """They are moved rather than failed."""
    dead = replicas(BLUE, state=ContainerState.EXITED, address="", health=Health.UNKNOWN)
    made = decided(
        dead, replicas(KEEPS, **ROUTED), wanted=KEEPS, record=good(KEEPS, BLUE),
        published=with_cookies((KEEPS, 100), kept=BLUE), stands_for=5.0,
    )  # fmt: skip
    (action,) = made.actions
    assert isinstance(action, PublishRouting)
    assert action.routing == with_cookies((KEEPS, 100))


# --- when not all is well with blue either ---------------------------------------------------------


def test_half_of_blue_is_enough_to_go_home_to() -> None:
    """A version that was turned down gets nothing while the good one is being made whole."""
    spec = wish(steps=STEPS)
    dead = replica(BLUE, 1, state=ContainerState.EXITED, address="", health=Health.UNKNOWN)
    made = decided((replica(BLUE, **ROUTED), dead), replicas(spec, **ROUTED), wanted=spec,
                   record=rejected(spec), published=routing((BLUE, 50), (spec, 50)))  # fmt: skip
    back = published_by(made)
    assert back.weights == {B: 100}
    assert [s.replica for s in back.servers] == [replica(BLUE).name]


def test_less_than_half_of_blue_is_made_more_first() -> None:
    """One replica of three would be overrun."""
    blue = replace(BLUE, replicas=3)
    spec = wish(steps=STEPS)
    made = decided((replica(blue),), replicas(spec, **ROUTED), wanted=spec,
                   record=replace(rejected(spec), good=blue), published=routing((spec, 100)))  # fmt: skip
    assert made.phase is Phase.STARTING
    assert not [action for action in made.actions if isinstance(action, PublishRouting)]


def test_what_answers_badly_does_not_become_good_for_want_of_something_better() -> None:
    """A first version has nothing to go back to: it stays, and people are told (L1)."""
    spec = wish(analysis=Analysis(max_error_ratio=0.01, min_requests=50, max_wait=60.0))
    made = decided(replicas(spec, **ROUTED), wanted=spec, published=routing((spec, 100)),
                   record=replace(under_way(spec), good=None), stands_for=1000.0,
                   evidence=answered(spec, 100, 20))  # fmt: skip
    assert made.record.good is None
    assert made.phase is Phase.BAKING
    assert made.reason == (
        f"{spec.revision} has all traffic; good once it answers better: 20 % of its requests "
        "failed (20 of 100), more than 1 %; there is nothing to go back to"
    )
    assert made.recheck_after == 1.0

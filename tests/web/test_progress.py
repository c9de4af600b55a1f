"""How far a deployment is, and what is known of green."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import app, good, replica, replicas, routing
from tests.web.progress import (
    BLUE,
    FEW,
    GREEN,
    HIDDEN,
    ROLLOUT,
    B,
    G,
    at,
    copying,
    evidence,
    held,
    keeping,
    tls,
)
from traefik_bg.core.actions import Phase
from traefik_bg.core.model import Route
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.record import Deployment, Waiver
from traefik_bg.core.rollout import Inconclusive
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.progress import ProgressView
from traefik_bg.web.view import AppView, app_view

UNDER_WAY = Deployment(number=7, revision=G, image=GREEN.image, blue=B)


def view(of: AppStatus, now: float = 100.0) -> AppView:
    """Return what people see."""
    return app_view(of, now)


def progress(of: AppStatus, now: float = 100.0) -> ProgressView:
    """Return how far people see it is."""
    found = view(of, now)["progress"]
    assert found is not None
    return found


def steps(of: AppStatus) -> list[str]:
    """Return the steps in short: a mark, what, and of how much."""
    marks = {"done": "+", "current": ">", "ahead": ""}
    return [
        f"{marks[step['state']]}{step['kind']} {step['percent'] or ''}".strip()
        for step in progress(of)["steps"]
    ]


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "current"),
    [
        (copying(**evidence()), "copies"),
        (copying(stood_for=90.0, **evidence(fed_for=90.0)), "approval"),
        (at(5, **evidence()), "weight"),
        (at(100, **evidence()), "bake"),
    ],
    ids=["copies", "approval", "step", "bake"],
)
def test_the_steps_are_told_in_their_order_and_one_is_the_present_one(
    status: AppStatus, current: str
) -> None:
    """Copies, approval, each weight, the bake: who looks sees what is over and what is to come."""
    found = progress(status)["steps"]
    assert [step["percent"] or step["kind"] for step in found] == [
        10, "approval", 5, 25, 50, 100, "bake",
    ]  # fmt: skip
    states = [step["state"] for step in found]
    assert states == sorted(states, key=["done", "current", "ahead"].index)
    (present,) = [step for step in found if step["state"] == "current"]
    assert present["kind"] == current


def test_before_green_is_asked_for_anything_no_step_has_begun() -> None:
    """While it starts, all of them are ahead."""
    starting = replicas(GREEN, state=ContainerState.CREATED)
    status = at(0, replicas_seen=(*replicas(BLUE, unrouted_for=None), *starting), previewed=False)
    assert {step["state"] for step in progress(status)["steps"]} == {"ahead"}


def test_the_clock_of_a_step_says_how_much_of_the_pause_counts() -> None:
    """Time in which green did not get its share does not count."""
    (step,) = [s for s in progress(at(5, **evidence(fed_for=9.0)))["steps"] if s["counted_for"]]
    assert (step["percent"], step["counted_for"], step["pause"]) == (5, 9.0, 30.0)


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        (at(25, **evidence()), None),
        (at(25, stood_for=40.0, **evidence(fed_for=40.0)), "approval"),
        (at(25, stood_for=40.0, **evidence(FEW, fed_for=40.0)), "evidence"),
    ],
    ids=["pause", "approval", "evidence"],
)
def test_what_a_step_waits_for_after_its_pause_is_told(
    status: AppStatus, waits_for: str | None
) -> None:
    """Time alone does not let everything go on."""
    (step,) = [step for step in progress(status)["steps"] if step["state"] == "current"]
    assert step["waits_for"] == waits_for


def test_steps_that_are_left_out_are_not_shown() -> None:
    """After a full promotion the rest of the way is short."""
    waiver = Waiver(revision=G, weight=5, is_full=True)
    record = good(BLUE, deployment=UNDER_WAY, deployments=7, waiver=waiver)
    assert steps(at(5, record=record)) == [
        "+copies 10", "+approval", ">weight 5", "weight 100", "bake",
    ]  # fmt: skip


def test_the_first_deployment_has_nobody_to_share_with() -> None:
    """It gets all traffic at once, whatever the steps."""
    alone = replicas(GREEN, unrouted_for=None)
    record = replace(good(BLUE, deployment=UNDER_WAY), good=None)
    status = at(100, record=record, replicas_seen=alone, published=routing((GREEN, 100)))
    assert steps(status) == ["+weight 100", ">bake"]


# --- evidence -------------------------------------------------------------------------------------


def test_what_traefik_counted_is_shown_of_blue_and_of_green() -> None:
    """Requests, errors and latencies of both, green last, and the share that it really got."""
    seen = progress(at(25, **evidence(got=23.1)))
    assert [(a["revision"], a["role"], a["requests"]) for a in seen["answers"]] == [
        (B, "blue", 4210),
        (G, "green", 980),
    ]
    blue, green = seen["answers"]
    assert (blue["errors"], blue["error_ratio"], blue["p95"]) == (3, 0.000713, 0.08)
    assert (green["p95"], green["p99"], green["slowest"]) == (0.0755, 5.0, 5.0)
    assert blue["slowest"] is None
    assert (seen["asked_share"], seen["real_share"], seen["answers_within"]) == (25, 23.1, 60.0)
    assert (seen["verdict"], seen["no_evidence"]) == ("good", None)


def test_without_evidence_it_is_said_why_and_what_to_set_up() -> None:
    """Unknown is not good: who waits for it can mend it."""
    seen = view(at(25, stood_for=40.0, evidence_trouble="connection refused"))
    assert seen["progress"] is not None
    assert seen["progress"]["no_evidence"] == "connection refused"
    assert seen["progress"]["answers"] == []
    assert "--traefik-metrics" in str(seen["advice"])


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Inconclusive.CONTINUE, "goes on by its health alone after max_wait"),
        (Inconclusive.REJECT, "is rejected after max_wait"),
    ],
)
def test_too_few_requests_come_with_what_happens_without_them(
    end: Inconclusive, words: str
) -> None:
    """Who sees it wait for requests knows how that ends."""
    assert ROLLOUT.analysis is not None
    analysis = replace(ROLLOUT.analysis, inconclusive=end)
    wanted = replace(GREEN, rollout=replace(ROLLOUT, analysis=analysis))
    advice = view(at(25, green=wanted, stood_for=40.0, **evidence(FEW, fed_for=40.0)))["advice"]
    assert words in str(advice)
    assert "min_requests (50)" in str(advice)


def test_checks_are_shown_by_name_with_their_last_answers() -> None:
    """Their commands and URLs may hold secrets, and are in no answer."""
    seen = view(at(25, **{**evidence(), "checks": {"gate": evidence()["checks"]["gate"]}}))
    assert seen["progress"] is not None
    assert seen["progress"]["checks"] == [
        {"name": "gate", "verdict": "good", "detail": "open until 5 pm"},
        {"name": "script", "verdict": None, "detail": ""},
    ]
    assert HIDDEN not in json.dumps(seen)


# --- what else Traefik does -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("green", "lines"),
    [
        (
            GREEN,
            [
                """curl -H 'X-Preview: it'"'"'s green' http://web.example/""",
                "curl --cookie preview=green http://web.example/",
            ],
        ),
        (tls(GREEN), [None, "curl --cookie preview=green https://web.example/"]),
        (
            replace(GREEN, routes=(Route(rule="PathPrefix(`/`)"),)),
            [None, "curl --cookie preview=green http://HOST/"],
        ),
        (
            replace(
                GREEN,
                rollout=replace(
                    ROLLOUT,
                    preview=replace(ROLLOUT.preview, header=None, cookie=None, host="p.example"),  # type: ignore[type-var]
                ),
            ),
            ["curl http://p.example/"],
        ),
    ],
    ids=["header and cookie", "tls", "any host", "host"],
)
def test_a_preview_comes_with_commands_to_copy(green: Any, lines: list[str | None]) -> None:
    """Nobody has to know how curl is told of a header."""
    found = progress(copying(green=green))["preview"]
    assert found is not None
    assert found["revision"] == G
    assert len(found["try_it"]) == len(lines)
    for line, wanted in zip(found["try_it"], lines, strict=True):
        assert wanted is None or line == wanted


def test_copies_are_shown_with_who_gets_them() -> None:
    """And of what they are copies."""
    seen = progress(copying(**evidence()))
    assert seen["copies"] == {"revision": G, "percent": 10, "methods": "GET and HEAD"}
    assert seen["asked_share"] == 10


def test_kept_sessions_are_shown_with_their_end() -> None:
    """Also after the deployment itself is over; the end comes nearer between two looks."""
    status = keeping()
    assert progress(status)["sessions"] == {"revision": B, "left": 18.0}
    assert progress(status, 105.0)["sessions"] == {"revision": B, "left": 13.0}
    assert progress(status)["steps"] == []


def test_that_requests_are_held_is_shown_with_how_long_they_wait() -> None:
    """Who sees a pause knows that it is one, and how to end it."""
    seen = view(held())
    assert seen["progress"] is not None
    assert seen["progress"]["hold"] == {"is_possible": True, "left": 26.0}
    assert "traefik-bg abort web brings back" in str(seen["advice"])
    assert "requests wait" in str(seen["advice"])


def test_that_requests_cannot_be_held_is_shown_with_what_to_set_up() -> None:
    """They fail, and the way to change that is named."""
    seen = view(held(is_possible=False))
    assert seen["progress"] is not None
    assert seen["progress"]["hold"] == {"is_possible": False, "left": 26.0}
    assert "docs/traefik.md" in str(seen["advice"])


def test_warm_blue_is_named() -> None:
    """Who comes back if there is trouble."""
    assert progress(at(100, **evidence()))["warm"] == B
    assert progress(at(25, **evidence()))["warm"] is None


def test_a_settled_app_has_no_progress() -> None:
    """There is nothing to tell."""
    settled = at(100, record=good(GREEN, BLUE), published=routing((GREEN, 100)))
    assert view(settled)["progress"] is None


# --- as time goes by ------------------------------------------------------------------------------


def test_a_countdown_goes_on_between_two_looks() -> None:
    """The loop looks at a bake seldom; its end comes nearer all the same."""
    status = at(100, **evidence())
    assert view(status)["reason"].endswith("good in 48 s")
    later = view(status, 110.0)
    assert later["reason"].endswith("good in 38 s")
    assert later["left"] == 38.0
    assert later["routing"]["confirmed_for"] == 22.0
    assert [r["age"] for r in later["replicas"]] == [110.0] * 4
    assert later["progress"] is not None
    assert later["progress"]["steps"][-1]["counted_for"] == 22.0
    assert view(status, 500.0)["reason"].endswith("good in 0 s")


def test_a_sentence_is_as_old_as_the_look_it_was_given_after() -> None:
    """While the next one is under way, nothing counts up again."""
    status = at(100, **evidence())
    status.looked_at = 110.0
    assert view(status, 110.0)["reason"].endswith("good in 38 s")


def test_a_clock_that_stands_still_is_not_counted_on() -> None:
    """Nobody is promised an end that does not come nearer."""
    status = at(25, stood_for=20.0, **evidence(fed_for=2.0, got=0.0))
    assert "its clock stands still" in status.reason
    assert view(status, 110.0)["reason"] == status.reason
    assert view(status, 110.0)["left"] is None
    (step,) = [s for s in progress(status, 110.0)["steps"] if s["state"] == "current"]
    assert step["counted_for"] == 2.0


# --- replicas and advice --------------------------------------------------------------------------


def test_the_replicas_of_both_versions_are_counted_in_a_deployment() -> None:
    """Two of blue and two of green are four, of which a green that starts is not healthy."""
    both = view(at(25, **evidence()))
    assert (both["healthy"], both["wanted"]) == (4, 4)
    one = (*replicas(BLUE, unrouted_for=None), replica(GREEN, 0, state=ContainerState.CREATED))
    starting = view(at(0, replicas_seen=one, previewed=False))
    assert (starting["healthy"], starting["wanted"]) == (2, 4)
    swapping = view(held())
    assert (swapping["healthy"], swapping["wanted"]) == (0, 2)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            copying(stood_for=90.0, **evidence(fed_for=90.0)),
            ["promote web gives it traffic", "--full", "abort"],
        ),
        (copying(**evidence()), ["promote web goes on with the traffic", "abort"]),
        (
            at(25, stood_for=40.0, **evidence(fed_for=40.0)),
            ["promote web goes on to the next step", "promote --full web", f"back to {B}"],
        ),
        (at(100, **evidence()), ["promote web ends the wait"]),
    ],
    ids=["approval", "copies", "approval of a step", "bake"],
)
def test_the_advice_in_a_deployment_names_every_way_on(status: AppStatus, words: list[str]) -> None:
    """Promote, all the way or a step, and back."""
    for said in words:
        assert said in str(view(status)["advice"])


def test_a_settled_app_names_the_way_back() -> None:
    """Who finds out later need not look for the revision."""
    status = at(100, record=good(GREEN, BLUE), published=routing((GREEN, 100)))
    status.phase = Phase.SETTLED
    old = app("web:0")
    status.record = good(GREEN, BLUE, old)
    assert view(status)["advice"] == (
        f"if {G} turns out wrong, traefik-bg rollback web goes back to {B} (web:1)"
    )

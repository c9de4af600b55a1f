"""How forecasts and apps are drawn, without a command line."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from tests.cli.fake_service import V1, FakeService
from tests.core.build import WEB, good, replicas, routing
from tests.web import progress as stages
from traefik_bg.cli import tables, words
from traefik_bg.cli.client import DeploymentAnswer
from traefik_bg.cli.plans import PlanView, plan_view, report
from traefik_bg.cli.screen import clean
from traefik_bg.core.forecast import forecast
from traefik_bg.core.model import AppSpec, canonical_json
from traefik_bg.core.observation import Observation
from traefik_bg.core.record import Record
from traefik_bg.core.tags import TagStatus
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.view import AppView, app_view

SECRET = canonical_json({"environment": {"PASSWORD": "hunter2"}})
V2 = replace(V1, image="ghcr.io/acme/web:2", container=SECRET)


def forecast_of(desired: AppSpec, record: Record) -> PlanView:
    """Return the forecast of an app that serves with V1."""
    seen = Observation(
        app=WEB,
        desired=desired,
        replicas=replicas(V1, unrouted_for=None),
        published=routing((V1, 100)),
        confirmed_for=100.0,
        weights_for=100.0,
        images={desired.image: False},
    )
    return plan_view(WEB, list(forecast(seen, record)))


def drawn(renderable: RenderableType, width: int) -> str:
    """Return how something looks on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_forecast_has_marks_times_and_reasons() -> None:
    """What comes, what shifts and what goes can be told at a glance, in its order."""
    lines = [line.plain for line in report(forecast_of(V2, good(V1)))]
    assert lines[0] == "web"
    marked = [line.strip() for line in lines if line.strip()[:1] in {"+", "~", "-"}]
    assert marked[:6] == [
        "+ pull ghcr.io/acme/web:2",
        f"+ create web-{V2.revision}-0",
        f"+ create web-{V2.revision}-1",
        f"~ shift web: 100 % to {V2.revision} (2)",
        f"- stop web-{V1.revision}-0",
        f"- stop web-{V1.revision}-1",
    ]
    assert any("32.0 s" in line and "is good" in line for line in lines)
    assert "if all goes well" in lines[-1]


def test_a_forecast_of_nothing_says_why_there_is_nothing_to_do() -> None:
    """A settled app needs one line."""
    assert [line.plain for line in report(forecast_of(V1, good(V1)))] == [
        f"web: nothing to do: {V1.revision} serves with 2 replicas"
    ]


def test_a_forecast_gives_no_secret_away() -> None:
    """A plan knows the whole spec, its forecast shows names only."""
    assert "hunter2" not in json.dumps(forecast_of(V2, good(V1)))


def view() -> AppView:
    """Return a settled app."""
    return app_view(FakeService.of(V1).settle().statuses[WEB], 100.0)


def test_on_a_narrow_terminal_the_sentences_stand_below_the_table() -> None:
    """Eighty columns are enough for a table that can be read."""
    text = drawn(tables.apps_table([view()], 80), 80)
    assert "WHAT AND WHY" not in text
    assert f"web: {V1.revision} serves with 2 replicas" in text
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_on_a_wide_terminal_the_sentences_stand_in_the_table() -> None:
    """With room, an app is one line."""
    text = drawn(tables.apps_table([view()], 150), 150)
    assert "WHAT AND WHY" in text
    assert len(text.splitlines()) == 2


def test_an_app_that_cannot_be_looked_at_shows_what_it_was_before() -> None:
    """Trouble comes first, and the last thing that was known after it."""
    seen = view()
    seen["trouble"], seen["is_well"] = "Docker does not answer", False
    text = "".join(drawn(part, 100) for part in tables.app_report(seen))
    assert "Docker does not answer" in text
    assert "before that: " in text


def test_a_deployment_under_way_is_explained() -> None:
    """Who asks in the middle of a deployment sees blue, green, and what they may do."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = V2
    seen = app_view(service.until("baking").statuses[WEB], 100.0)
    text = "".join(drawn(part, 150) for part in tables.app_report(seen))
    for said in (
        f"to {V2.revision}, from {V1.revision}",
        "(green, 2 replicas)",
        f"web-{V1.revision}-0   blue",
        "traefik-bg promote web ends the wait",
    ):
        assert said in text, said


def picture(status: AppStatus, width: int = 120, now: float = 100.0) -> list[str]:
    """Return the report of an app as lines."""
    parts = tables.app_report(app_view(status, now))
    return [line.rstrip() for part in parts for line in drawn(part, width).splitlines()]


def test_a_canary_is_drawn_with_its_steps_and_what_traefik_counted() -> None:
    """Where it is, how it answers, how to see it, and what to do: on one screen."""
    assert picture(stages.at(25, **stages.evidence(got=23.1)))[:22] == [
        "web: shifting for 12 s",
        "  46a3acc9 has 25 %, next step in 18 s",
        "",
        "desired     web:2 (46a3acc9), 2 replicas",
        "deployment  number 7: to 46a3acc9, from c1f33c9b",
        (
            "traffic     ████████▒▒ 75/25 %  c1f33c9b (blue, 2 replicas)  46a3acc9 (green, 2 replicas); "
            "confirmed by Traefik"
        ),
        (
            "steps       ✓ 10 % copied  ✓ approval  ✓ 5 %  ▸ 25 % (12 of 30 s, then approval)  "
            "50 % (approval)  100 %  bake"
        ),
        """preview     curl -H 'X-Preview: it'"'"'s green' http://web.example/""",
        "            curl --cookie preview=green http://web.example/",
        "share       23 % of the traffic really, 25 % asked",
        "analysis    good: none of its 980 requests failed, p95 about 76 ms; checks passed: gate, script",
        "checks      gate: good (open until 5 pm), script: good",
        "routes      Host(`web.example`)",
        "good        web:1 (c1f33c9b)",
        "",
        "ANSWERS OF   ROLE    REQUESTS   ERRORS        P50     P95     P99",
        "c1f33c9b     blue    4210       3 (0.071 %)   12 ms   80 ms   210 ms",
        "46a3acc9     green   980        0             11 ms   76 ms   ≥ 5 s",
        "",
        "REPLICA          ROLE    STATE     HEALTH    TRAFFIC   OPEN   RESTARTS   DETAIL",
        "web-c1f33c9b-0   blue    running   healthy   yes       -      0",
        "web-c1f33c9b-1   blue    running   healthy   yes       -      0",
    ]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (
            stages.copying(**stages.evidence()),
            ("steps       ▸ 10 % copied (12 s of 1 min)  approval  5 %  25 % (approval)  "
            "50 % (approval)  100 %  bake"),
        ),
        (
            stages.copying(**stages.evidence()),
            "copies      10 % of the requests (GET and HEAD) to 46a3acc9; nobody sees its answers",
        ),
        (
            stages.at(25, stood_for=40.0, **stages.evidence(fed_for=40.0)),
            ("steps       ✓ 10 % copied  ✓ approval  ✓ 5 %  ▸ 25 % (30 of 30 s, waits for approval)  "
            "50 % (approval)  100 %  bake"),
        ),
        (
            stages.at(25, stood_for=40.0, evidence_trouble="connection refused"),
            "evidence    none: connection refused",
        ),
        (
            stages.at(25, stood_for=40.0, evidence_trouble="connection refused"),
            "checks      gate: not answered yet, script: not answered yet",
        ),
        (
            stages.at(100, **stages.evidence()),
            "warm        c1f33c9b, to which all traffic goes back if there is trouble",
        ),
        (stages.held(), "requests    are held, at most 26 s more"),
        (
            stages.held(is_possible=False),
            "requests    fail: nothing serves, and Traefik cannot hold them",
        ),
        (stages.keeping(), "sessions    that began on c1f33c9b finish there, at most 18 s"),
    ],
    ids=[
        "clock of copies", "copies", "approval", "no evidence", "no answers", "warm", "held",
        "not held", "sessions",
    ],
)  # fmt: skip
def test_what_goes_on_beside_the_weights_has_a_line(status: AppStatus, line: str) -> None:
    """Each in words that can be read without the manual."""
    assert " ".join(line.split()) in [" ".join(drawn.split()) for drawn in picture(status)]


def test_a_forecast_goes_on_behind_an_approval() -> None:
    """Where it waits, what comes then counted from there, and what it takes for granted."""
    seen = Observation(
        app=WEB,
        desired=stages.GREEN,
        replicas=replicas(stages.BLUE, unrouted_for=None),
        published=routing((stages.BLUE, 100)),
        confirmed_for=100.0,
        weights_for=100.0,
        images={stages.GREEN.image: True},
    )
    made = plan_view(WEB, list(forecast(seen, good(stages.BLUE))))
    lines = [line.plain for line in report(made)]
    for line in (
        (
            "    62.0 s    46a3acc9 is healthy and waits for approval: promote or abort; once it is "
            "promoted:"
        ),
        "   + 0.0 s    46a3acc9 has 5 %, next step in 30 s, if its answers are good",
        "  + 60.0 s    46a3acc9 has 25 %, next step when it is promoted; once it is promoted:",
        "  + 60.0 s    46a3acc9 is good: web:2 serves with 2 replicas",
    ):
        assert line in lines, lines
    assert " and 3 approvals if all goes well, its answers too " in lines[-1]
    assert [stage["approvals"] for stage in made["stages"] if stage["awaits_approval"]] == [0, 1, 2]
    assert "preview of 46a3acc9" in "".join(lines)
    assert "10 % copied to 46a3acc9" in "".join(lines)


def test_an_app_that_leaves_is_explained() -> None:
    """What is not desired any more is said to be so."""
    service = FakeService.of(V1).settle()
    service.worlds[WEB].desired = None
    seen = app_view(service.statuses[WEB], 100.0)
    text = "".join(drawn(part, 150) for part in tables.app_report(seen))
    assert "web: removing" in text
    assert ["desired", "not", "any", "more"] in [line.split() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_at_most_two_units(seconds: float, text: str) -> None:
    """Nobody counts in thousands of seconds."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\x00c\x9bd\u202ee", "abcde"),
        ("\x1bcreset", "reset"),
        ("tab\there", "tab    here"),
        ("ünï → 語 [bold]", "ünï → 語 [bold]"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text: str, plain: str) -> None:
    """A log is text, whatever is in it."""
    assert clean(text) == plain


def test_the_digest_that_runs_is_in_the_status() -> None:
    """In full, to be copied; of an image that was never in a registry there is none to show."""
    of = AppStatus(
        app=WEB,
        record=good(V1),
        seen=Observation(
            app=WEB,
            desired=V1,
            replicas=replicas(V1, unrouted_for=None, image_id="sha256:1"),
            published=routing((V1, 100)),
        ),
    )
    assert "digest" not in report_of(of)
    assert of.seen is not None
    digest = f"ghcr.io/acme/web@sha256:{'d1' * 32}"
    there = [replace(r, image_digest=digest) for r in of.seen.replicas]
    of.seen = replace(of.seen, replicas=tuple(there))
    assert f"digest   {digest}\n" in report_of(of)


def report_of(status: AppStatus) -> str:
    """Return the report about an app."""
    return "".join(drawn(part, 200) for part in tables.app_report(app_view(status, 0.0)))


def test_the_history_has_a_column_for_digests_where_there_are_some() -> None:
    """Short, as Docker shows them; the JSON has them in full."""
    past: DeploymentAnswer = {
        "number": 1,
        "revision": "ac12437e",
        "image": f"acme/web:latest@sha256:{'ab' * 32}",
        "digest": f"acme/web@sha256:{'ab' * 32}",
        "started": None,
        "ended": None,
        "duration": None,
        "outcome": "succeeded",
        "reason": "",
        "log": [],
    }
    local: DeploymentAnswer = {**past, "image": "web:1", "digest": f"sha256:{'cd' * 32}"}
    text = drawn(tables.history_table([past, local]), 200)
    assert text.splitlines()[0].split()[:5] == ["#", "OUTCOME", "VERSION", "REVISION", "DIGEST"]
    assert text.splitlines()[1].split()[2:5] == ["acme/web:latest", "ac12437e", "abababababab"]
    assert text.splitlines()[2].split()[2:5] == ["web:1", "ac12437e", "-"]
    assert "DIGEST" not in drawn(tables.history_table([local]), 200)


def test_a_tag_that_is_followed_is_in_the_status() -> None:
    """What it means, how often that is asked, and why it is not known."""
    tag = TagStatus(image="acme/web:latest", digest=f"sha256:{'ab' * 32}", every=300.0, asked_at=90)
    seen = app_view(AppStatus(app=WEB, record=good(V1)), 102.0, tag)
    text = "".join(drawn(part, 200) for part in tables.app_report(seen))
    assert "acme/web:latest: sha256:abababababab; asked every 5 min, last answer 12 s ago" in text
    seen = app_view(
        AppStatus(app=WEB, record=good(V1)), 102.0,
        TagStatus(image="acme/web:latest", trouble="no route to host"),
    )  # fmt: skip
    text = "".join(drawn(part, 200) for part in tables.app_report(seen))
    assert "acme/web:latest: -; asked when told to; no route to host" in text

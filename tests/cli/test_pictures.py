"""How forecasts and apps are drawn, without a command line."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from tests.cli.fake_service import V1, FakeService
from tests.core.build import WEB, good, replicas, routing
from traefik_bg.cli import tables, words
from traefik_bg.cli.plans import PlanView, plan_view, report
from traefik_bg.cli.screen import clean
from traefik_bg.core.forecast import forecast
from traefik_bg.core.model import AppSpec, canonical_json
from traefik_bg.core.observation import Observation
from traefik_bg.core.record import Record
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

"""How a deployment's progress looks to people: its steps, what Traefik counted, what else goes on.

Apart from the tables of apps because most of them have nothing of it. It prints nothing and asks
nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from traefik_bg.cli.screen import clean
from traefik_bg.cli.words import NONE, duration, latency, percent, table

if TYPE_CHECKING:
    from traefik_bg.web.progress import AnswersView, CheckView, ProgressView, StepView
    from traefik_bg.web.view import WeightView

_VERDICTS = {"good": "green", "bad": "red", "unknown": "yellow"}


def rows(progress: ProgressView) -> Iterator[tuple[str, Text]]:
    """Return the facts of a deployment, each with its name."""
    if progress["steps"]:
        yield "steps", steps(progress["steps"])
    if progress["warm"]:
        yield (
            "warm",
            Text(f"{progress['warm']}, to which all traffic goes back if there is trouble"),
        )
    yield from _further(progress)
    if (preview := progress["preview"]) is not None:
        yield "preview", Text(clean("\n".join(preview["try_it"])))
    if progress["real_share"] is not None and progress["asked_share"] is not None:
        of = "copies" if progress["copies"] is not None else "traffic"
        asked, real = progress["asked_share"], progress["real_share"]
        yield "share", Text(f"{real:.2g} % of the {of} really, {asked} % asked")
    if progress["no_evidence"]:
        yield "evidence", Text(f"none: {clean(progress['no_evidence'])}", style="yellow")
    elif progress["verdict"] is not None:
        style = {"good": "green", "bad": "red"}.get(progress["verdict"], "")
        said = Text(progress["verdict"], style=style)
        yield "analysis", said.append(f": {clean(progress['verdict_detail'])}", style="not bold")
    if progress["checks"]:
        yield "checks", _checks(progress["checks"])


def _further(progress: ProgressView) -> Iterator[tuple[str, Text]]:
    if (copies := progress["copies"]) is not None:
        what = f"{copies['percent']} % of the requests ({copies['methods']})"
        yield "copies", Text(f"{what} to {copies['revision']}; nobody sees its answers")
    if (sessions := progress["sessions"]) is not None:
        left = duration(sessions["left"])
        yield "sessions", Text(f"that began on {sessions['revision']} finish there, at most {left}")
    if (hold := progress["hold"]) is not None:
        if hold["is_possible"]:
            yield "requests", Text(f"are held, at most {duration(hold['left'])} more", "yellow")
        else:
            yield "requests", Text("fail: nothing serves, and Traefik cannot hold them", "red")


# --- steps ----------------------------------------------------------------------------------------


def steps(stages: Sequence[StepView]) -> Text:
    """Return the stages in one line, with what is known of the present one."""
    drawn = Text()
    for number, stage in enumerate(stages):
        words = _stage(stage)
        drawn.append("  " if number else "")
        match stage["state"]:
            case "done":
                drawn.append(f"✓ {words}", style="green")
            case "current":
                drawn.append(f"▸ {words}{_present(stage)}", style="bold")
            case _:
                drawn.append(f"{words}{_wish(stage)}", style="dim")
    return drawn


def _stage(stage: StepView) -> str:
    match stage["kind"]:
        case "copies":
            return f"{stage['percent']} % copied"
        case "weight":
            return f"{stage['percent']} %"
        case kind:
            return kind


def _present(stage: StepView) -> str:
    known = []
    if stage["pause"] and stage["counted_for"] is not None:
        known.append(f"{_counted(stage['counted_for'], stage['pause'])}")
    if stage["waits_for"] is not None:
        known.append(f"waits for {stage['waits_for']}")
    elif stage["needs_approval"]:
        known.append("then approval")
    return f" ({', '.join(known)})" if known else ""


def _counted(counted: float, pause: float) -> str:
    """Return "12 of 30 s", or both in larger units."""
    whole = int(counted)  # never more than has passed
    return f"{whole} of {pause:g} s" if pause < 60 else f"{duration(whole)} of {duration(pause)}"


def _wish(stage: StepView) -> str:
    return " (approval)" if stage["needs_approval"] and stage["kind"] != "approval" else ""


# --- evidence -------------------------------------------------------------------------------------


def answers_table(progress: ProgressView) -> Table:
    """Return what Traefik counted of each revision."""
    made = table("answers of", "role", "requests", "errors", "p50", "p95", "p99")
    for answers in progress["answers"]:
        made.add_row(
            answers["revision"],
            answers["role"] or NONE,
            str(answers["requests"]),
            errors(answers),
            *(latency(answers[name], answers["slowest"]) for name in ("p50", "p95", "p99")),
        )
    return made


def errors(answers: AnswersView) -> str:
    """Return how many requests failed."""
    if not answers["errors"]:
        return "0"
    return f"{answers['errors']} ({percent(answers['error_ratio'])})"


def answers_line(answers: AnswersView) -> str:
    """Return what Traefik counted of a revision, in one line."""
    p95 = latency(answers["p95"], answers["slowest"])
    tail = "" if p95 == NONE else f", p95 {p95}"
    count = answers["requests"]
    requests = "1 request" if count == 1 else f"{count} requests"
    who = f"{answers['revision']} ({answers['role'] or 'unknown'})"
    return f"{who}: {requests}, errors: {errors(answers)}{tail}"


def _checks(checks: Sequence[CheckView]) -> Text:
    drawn = Text()
    for number, check in enumerate(checks):
        said = check["verdict"] or "not answered yet"
        detail = f" ({clean(check['detail'])})" if check["detail"] else ""
        drawn.append(", " if number else "").append(f"{clean(check['name'])}: ")
        drawn.append(said, style=_VERDICTS.get(said, "dim")).append(detail)
    return drawn


# --- news -----------------------------------------------------------------------------------------


def place(progress: ProgressView | None, weights: Sequence[WeightView]) -> tuple[object, ...]:
    """Return where a deployment is: in another place, the same sentence is news."""
    shares = tuple((weight["revision"], weight["weight"]) for weight in weights)
    states = tuple(stage["state"] for stage in progress["steps"]) if progress else ()
    return (shares, states)

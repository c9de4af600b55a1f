"""How far a deployment is and what is known of green, as plain data: a part of the view of an app.

Separate from the view because most apps, most of the time, have nothing of it to show. Pure; of a
check it names the name and the answer only, for URLs and commands may hold secrets.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from enum import StrEnum
from typing import TypedDict

from traefik_bg.core.actions import Phase
from traefik_bg.core.analysis import Verdict
from traefik_bg.core.evidence import CheckResult, Figures, Latency
from traefik_bg.core.model import AppSpec, PreviewShare, RevisionId, Route
from traefik_bg.core.pace import counted_for, judgement_of, stage
from traefik_bg.core.rollout import Approval
from traefik_bg.core.routing import sessions_left
from traefik_bg.core.situation import FULL, Situation


class StepKind(StrEnum):
    """What a stage of a deployment is."""

    COPIES = "copies"
    APPROVAL = "approval"
    WEIGHT = "weight"
    BAKE = "bake"


class StepState(StrEnum):
    """Where the deployment is, seen from a stage of it."""

    DONE = "done"
    CURRENT = "current"
    AHEAD = "ahead"


class StepView(TypedDict):
    """One stage of the deployment."""

    kind: str
    percent: int | None
    """Of the traffic, or of the requests that are copied."""
    pause: float
    needs_approval: bool
    """Whether an operator has to promote it, after the pause."""
    state: str
    counted_for: float | None
    """Seconds of the pause that count so far; None: it has not begun, or is over."""
    waits_for: str | None
    """What it waits for after its pause: evidence, or approval."""


class AnswersView(TypedDict):
    """How one revision answered, as Traefik counted it."""

    revision: str
    role: str
    requests: int
    errors: int
    error_ratio: float
    p50: float | None
    p95: float | None
    p99: float | None
    slowest: float | None
    """The highest latency that is told apart: one that equals it may be any higher one. None: none
    of them does."""


class CheckView(TypedDict):
    """A check, and what it said last."""

    name: str
    verdict: str | None
    """None: it has not answered yet."""
    detail: str


class PreviewView(TypedDict):
    """How green can be seen before it has traffic."""

    revision: str
    header: str | None
    cookie: str | None
    host: str | None
    try_it: list[str]
    """Commands to be copied; the scheme and the port of the entry point may be others."""


class CopiesView(TypedDict):
    """Who gets copies of requests."""

    revision: str
    percent: int
    methods: str


class SessionsView(TypedDict):
    """Where clients may finish that began there."""

    revision: str
    left: float
    """Seconds they may go on at most."""


class HoldView(TypedDict):
    """Requests wait because nothing is to serve for a moment."""

    is_possible: bool
    """Else they fail: no Traefik can have them wait."""
    left: float
    """Seconds for which the first of them still waits at most."""


class ProgressView(TypedDict):
    """How far a deployment is, and what else Traefik does for it."""

    steps: list[StepView]
    verdict: str | None
    """What the analysis says of green; None: there is nothing to be judged."""
    verdict_detail: str
    asked_share: int | None
    """The percentage of the requests that green is to get."""
    real_share: float | None
    """What it really got since the weights are confirmed; None: too few requests to tell."""
    answers: list[AnswersView]
    answers_within: float | None
    """Seconds: requests longer ago than this are not in the answers."""
    no_evidence: str | None
    """Why Traefik's figures are not known."""
    checks: list[CheckView]
    preview: PreviewView | None
    copies: CopiesView | None
    sessions: SessionsView | None
    hold: HoldView | None
    warm: str | None
    """The revision that comes back at once if there is trouble."""


def progress_view(s: Situation, phase: Phase, roles: dict[RevisionId, str]) -> ProgressView | None:
    """Return how far things are; None: nothing is under way."""
    routed, target = s.routed, s.target if s.record.deployment is not None else None
    kept = routed.kept
    if target is None and kept is None and not s.is_holding:
        return None
    mirror = routed.mirror
    judgement = judgement_of(s, target) if target is not None and _is_judged(s, target) else None
    return ProgressView(
        steps=list(_steps(s, target, phase)) if target is not None else [],
        verdict=judgement.verdict if judgement is not None else None,
        verdict_detail=judgement.detail if judgement is not None else "",
        asked_share=_asked(s, target),
        real_share=_rounded(s.seen.evidence.share) if s.seen.evidence is not None else None,
        answers=list(_answers(s, roles)) if target is not None else [],
        answers_within=_window(target),
        no_evidence=s.seen.evidence_trouble or None,
        checks=list(_checks(s, target)) if target is not None else [],
        preview=_preview(routed.preview, target.routes) if routed.preview and target else None,
        copies=None
        if mirror is None
        else CopiesView(
            revision=mirror.share.revision,
            percent=mirror.percent,
            methods="all" if mirror.all_methods else "GET and HEAD",
        ),
        sessions=None
        if kept is None
        else SessionsView(revision=kept.revision, left=round(sessions_left(s), 3)),
        hold=_hold(s),
        warm=s.blue if target is not None and s.weight == FULL else None,
    )


# --- steps ----------------------------------------------------------------------------------------


def _steps(s: Situation, target: AppSpec, phase: Phase) -> Iterator[StepView]:
    plan = list(_stages(s, target))
    present = _present(s, phase, plan)
    for index, (kind, percent, pause, needs_approval) in enumerate(plan):
        is_now = index == present
        yield StepView(
            kind=kind,
            percent=percent,
            pause=pause,
            needs_approval=needs_approval,
            state=StepState.CURRENT
            if is_now
            else (StepState.DONE if present is not None and index < present else StepState.AHEAD),
            counted_for=_counted(s, target) if is_now else None,
            waits_for=_waits_for(s, target, phase) if is_now else None,
        )


def _stages(s: Situation, target: AppSpec) -> Iterator[tuple[StepKind, int | None, float, bool]]:
    """Yield kind, percentage, pause and need of approval of every stage that this one goes through.

    Without blue there is nobody to share the traffic with: it gets all at once.
    """
    rollout, waiver = target.rollout, s.waiver
    has_peer = s.blue is not None or (s.is_exclusive and bool(s.others))
    if has_peer and rollout.mirror is not None:
        yield StepKind.COPIES, rollout.mirror.percent, rollout.mirror.pause, False
    if has_peer and rollout.approval is Approval.MANUAL:
        yield StepKind.APPROVAL, None, 0.0, True
    for step in rollout.steps if has_peer else ():
        if step.weight <= s.weight or waiver is None or not waiver.is_full:
            yield StepKind.WEIGHT, step.weight, step.pause, step.needs_approval
    yield StepKind.WEIGHT, FULL, 0.0, False
    yield StepKind.BAKE, None, rollout.bake, False


def _present(
    s: Situation, phase: Phase, plan: list[tuple[StepKind, int | None, float, bool]]
) -> int | None:
    """Return which of the stages is the present one; None: the first has not begun."""
    kinds = [kind for kind, *_ in plan]
    if s.weight == FULL:
        return kinds.index(StepKind.BAKE)
    if s.weight > 0:
        reached = [
            index
            for index, (kind, percent, *_) in enumerate(plan)
            if kind is StepKind.WEIGHT and percent is not None and percent <= s.weight
        ]
        return max(reached, default=None)
    if phase is Phase.WAITING and StepKind.APPROVAL in kinds:
        return kinds.index(StepKind.APPROVAL)
    if s.routed.mirror is not None and StepKind.COPIES in kinds:
        return kinds.index(StepKind.COPIES)
    return None


def _counted(s: Situation, target: AppSpec) -> float:
    return round(min(counted_for(s, target), stage(s, target).pause), 3)


def _waits_for(s: Situation, target: AppSpec, phase: Phase) -> str | None:
    if phase is Phase.WAITING:
        return "approval"
    return "evidence" if lacks_evidence(s, target) else None


def lacks_evidence(s: Situation, target: AppSpec) -> bool:
    """Tell whether nothing but evidence is missing for the deployment to go on."""
    is_over = counted_for(s, target) >= stage(s, target).pause and s.is_confirmed
    return is_over and judgement_of(s, target).verdict is Verdict.UNSURE


# --- evidence -------------------------------------------------------------------------------------


def _is_judged(s: Situation, target: AppSpec) -> bool:
    return target.rollout.analysis is not None and (s.weight > 0 or s.routed.mirror is not None)


def _asked(s: Situation, target: AppSpec | None) -> int | None:
    """Return the share green is to have, where weights or copies say one."""
    if target is None or s.is_holding:
        return None
    if s.weight > 0:
        return s.weight
    return s.routed.mirror.percent if s.routed.mirror is not None else None


def _window(target: AppSpec | None) -> float | None:
    if target is None or target.rollout.analysis is None:
        return None
    return target.rollout.analysis.window


def _answers(s: Situation, roles: dict[RevisionId, str]) -> Iterator[AnswersView]:
    evidence = s.seen.evidence
    figures = {} if evidence is None else evidence.figures
    for revision in sorted(figures, key=lambda of: (roles.get(of) == "green", of)):
        yield _answer(revision, roles.get(revision, ""), figures[revision])


def _answer(revision: RevisionId, role: str, figures: Figures) -> AnswersView:
    known = (latency for latency in figures.latencies.values() if latency is not None)
    cut = (latency.at_least for latency in known if latency.is_cut)
    return AnswersView(
        revision=revision,
        role=role,
        requests=figures.requests,
        errors=figures.errors,
        error_ratio=round(figures.error_ratio, 6),
        p50=_about(figures.p50),
        p95=_about(figures.p95),
        p99=_about(figures.p99),
        slowest=_rounded(next(cut, None)),
    )


def _about(latency: Latency | None) -> float | None:
    return None if latency is None else _rounded(latency.about)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def _checks(s: Situation, target: AppSpec) -> Iterator[CheckView]:
    analysis = target.rollout.analysis
    for check in analysis.checks if analysis is not None else ():
        result: CheckResult | None = s.seen.checks.get(check.name)
        yield CheckView(
            name=check.name,
            verdict=None if result is None else result.verdict,
            detail="" if result is None else result.detail,
        )


# --- what else Traefik does -----------------------------------------------------------------------


def _preview(preview: PreviewShare, routes: tuple[Route, ...]) -> PreviewView:
    by = preview.by
    header = f"{by.header[0]}: {by.header[1]}" if by.header is not None else None
    cookie = "=".join(by.cookie) if by.cookie is not None else None
    where = next((host for host in map(_host, routes) if host), "HOST")
    is_tls = any(route.tls is not None for route in routes)
    scheme = "https" if is_tls else "http"
    words = [
        ["curl", "-H", header, f"{scheme}://{where}/"] if header else [],
        ["curl", "--cookie", cookie, f"{scheme}://{where}/"] if cookie else [],
        ["curl", f"{scheme}://{by.host}/"] if by.host else [],
    ]
    return PreviewView(
        revision=preview.share.revision,
        header=header,
        cookie=cookie,
        host=by.host,
        try_it=[shlex.join(line) for line in words if line],
    )


def _host(route: Route) -> str:
    """Return the first host of a rule, in its plainest spelling; empty when it has none."""
    _, found, rest = route.rule.partition("Host(`")
    host, closed, _ = rest.partition("`")
    return host if found and closed else ""


def _hold(s: Situation) -> HoldView | None:
    longest = s.routed.holds_for
    if longest is None:
        return None
    left = max(0.0, longest - s.stood_for)
    return HoldView(is_possible=s.seen.hold_available, left=round(left, 3))

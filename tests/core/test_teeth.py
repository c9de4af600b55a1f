"""The laws have teeth: without any one of its rules the planner breaks one.

Each rule is taken out in turn, or replaced by a careless one, and the walk of `test_laws` must find
it out. A rule that nothing misses is a rule that is not needed, or a law that is not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.test_adoption_laws import TakingOver
from tests.core.test_laws import Walk
from traefik_bg.core import (
    adoption,
    hook_rules,
    pace,
    planner,
    recreate_rules,
    replica_rules,
    rollout_rules,
    routing,
    traffic_rules,
    verdict,
)
from traefik_bg.core.analysis import Judgement, Verdict
from traefik_bg.core.observation import Observation
from traefik_bg.core.situation import Situation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOOK_LONG_ENOUGH = settings(
    max_examples=1500,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def walk(about: str = "", through: type[Walk] = Walk, *, times: int = 0) -> None:
    """Walk until a law breaks, or for long; about one thing only, if that is named."""

    class Focused(through):  # type: ignore[valid-type, misc]
        """A walk that is about what it takes to notice."""

    Focused.about = (about,) if about else through.about
    examples = times or LOOK_LONG_ENOUGH.max_examples
    run_state_machine_as_test(Focused, settings=settings(LOOK_LONG_ENOUGH, max_examples=examples))


ABOUT = {
    "make_way": "recreate",
    "bring_back": "recreate",
    "let_hooks_end": "recreate",
    "end_late_hooks": "hooks",
    "run_before": "hooks",
    "run_after_cutover": "hooks",
    "await_approval": "steps",
    "mirror": "analysis",
    "_refused": "recreate",
    "_late": "side by side",
    "_hook_failed": "hooks",
    "_is_needed": "hooks",
    "is_gone": "hooks",
    "has_told_to_end": "hooks",
    "hooks_under_way": "hooks",
    "_breach": "analysis",
    "judged": "analysis",
    "is_inconclusive": "analysis",
    "_kept": "sessions",
    "sessions_left": "sessions",
    "recreate_rules.is_drained": "recreate",
    "recreate_rules.needs_approval": "recreate",
    "rollout_rules.needs_approval": "steps",
}
"""What a walk has to be about to meet what a rule, or a part of one, is for; else about all."""


WITH_OTHERS = {adoption.heed_claims, adoption.route_what_serves}
"""What matters only where others have started something."""


BY_EXAMPLE = {rollout_rules.let_sessions_end, rollout_rules.keep_sessions, traffic_rules.go_home}
"""What chance rarely misses: it takes two or three things at once, and a quiet end. Examples do:
`test_the_next_deployment_waits_for_the_sessions_of_the_one_before` and
`test_clients_have_until_the_drain_is_over`; `test_half_of_blue_is_enough_to_go_home_to` and
`test_a_breach_goes_back_to_blue_at_once_with_the_numbers`."""


@pytest.mark.parametrize("about", Walk.about)
def test_with_all_rules_as_they_are_no_law_is_broken(about: str) -> None:
    """In walks like those that find every careless planner out: they find nothing else."""
    walk(about, times=300)


@pytest.mark.parametrize(
    "rule",
    [rule for rule in planner.RULES if rule not in BY_EXAMPLE],
    ids=lambda rule: rule.__name__,
)
def test_no_rule_can_be_left_out(rule: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planner without this rule breaks a law."""
    rest = tuple(other for other in planner.RULES if other is not rule)
    monkeypatch.setattr(planner, "RULES", rest)
    with pytest.raises((AssertionError, StopIteration, ExceptionGroup)):
        walk(ABOUT.get(rule.__name__, ""), TakingOver if rule in WITH_OTHERS else Walk)


def _hooks_that_can_be_seen(seen: Observation) -> tuple[str, ...]:
    return tuple(run.name for run in seen.hooks if run.may_run)


CARELESS: list[tuple[Any, str, Any]] = [
    (verdict, "_refused", lambda *_: None),
    (verdict, "_late", lambda *_: None),
    (verdict, "_hook_failed", lambda *_: None),
    (hook_rules, "_is_needed", lambda *_: False),
    (verdict, "is_gone", lambda *_: False),
    (Situation, "has_told_to_end", lambda *_: False),
    (Observation, "hooks_under_way", property(_hooks_that_can_be_seen)),
    (replica_rules, "is_drained", lambda *_: True),
    (replica_rules, "_kept_revisions", lambda *_: frozenset()),
    (routing, "_survivors", lambda s: s.routed.shares),
    (pace, "counted_for", lambda *_: 1e9),
    (pace, "judged", lambda *_, **__: Judgement(verdict=Verdict.GOOD)),
    (verdict, "_breach", lambda *_: None),
    (verdict, "is_inconclusive", lambda *_: False),
    (routing, "_kept", lambda *_: None),
    (routing, "sessions_left", lambda _: 0.0),
    (recreate_rules, "is_drained", lambda *_: True),
    (recreate_rules, "needs_approval", lambda _: False),
    (rollout_rules, "needs_approval", lambda _: False),
    (traffic_rules, "needs_rehearsal", lambda *_: False),
    (planner, "_without_old_rejection", lambda _, record: record),
]


def test_what_would_lose_requests_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planner that does not read the labels of what it stops breaks a law."""
    for module in (replica_rules, recreate_rules):
        monkeypatch.setattr(module, "would_lose", lambda *_: None)
    with pytest.raises((AssertionError, ExceptionGroup)):
        walk(through=TakingOver)


@pytest.mark.parametrize(
    ("module", "name", "careless"), CARELESS, ids=[name for _, name, _ in CARELESS]
)
def test_no_part_of_a_rule_can_be_careless(
    module: Any, name: str, careless: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planner with this part done carelessly breaks a law."""
    monkeypatch.setattr(module, name, careless)
    where = f"{module.__name__.rpartition('.')[2]}.{name}"
    with pytest.raises((AssertionError, ExceptionGroup)):
        walk(ABOUT.get(where, ABOUT.get(name, "")))

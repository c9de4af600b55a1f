"""Green is judged by its answers, in sentences that carry the numbers."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import between, exactly
from traefik_bg.core.analysis import Verdict, judged
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Figures, Latency
from traefik_bg.core.rollout import Analysis, Check, CheckKind

SMOKE = Check(name="smoke", kind=CheckKind.COMMAND)
STOCK = Check(name="stock", kind=CheckKind.QUERY)


def judge(
    green: Figures | None,
    blue: Figures | None = None,
    results: dict[str, CheckResult] | None = None,
    trouble: str = "",
    **limits: Any,
) -> tuple[str, str]:
    """Return the verdict and its reason."""
    found = judged(Analysis(**limits), green, blue, results or {}, trouble=trouble)
    return found.verdict.value, found.detail


def answers(requests: int = 304, errors: int = 0, **quantiles: float | Latency) -> Figures:
    """Return figures; a mere number is a latency that is known for sure."""
    known = {name: exactly(q) if isinstance(q, float) else q for name, q in quantiles.items()}
    return Figures(requests=requests, errors=errors, **known)


def said(verdict: str, detail: str = "") -> CheckResult:
    """Return the answer of a check."""
    return CheckResult(verdict=CheckVerdict(verdict), detail=detail)


def test_without_limits_and_checks_everything_is_good() -> None:
    """Nothing was asked for; not even figures need be there."""
    assert judge(None) == ("good", "")
    assert judge(answers(errors=300)) == ("good", "")


def test_figures_within_the_limits_are_good() -> None:
    """And the figures are told."""
    green = answers(304, 2, p50=0.01, p95=0.12, p99=0.3)
    assert judge(green, max_error_ratio=0.01, max_p95=0.5) == (
        "good",
        "0.66 % of its requests failed (2 of 304), p95 about 120 ms",
    )
    assert judge(answers(50), max_error_ratio=0.01) == ("good", "none of its 50 requests failed")


@pytest.mark.parametrize(
    ("green", "limits", "detail"),
    [
        (
            answers(304, 7),
            {"max_error_ratio": 0.01},
            "2.3 % of its requests failed (7 of 304), more than 1 %",
        ),
        (
            answers(304, 1),
            {"max_error_ratio": 0.0},
            "0.33 % of its requests failed (1 of 304), more than 0 %",
        ),
        (answers(p95=0.612), {"max_p95": 0.5}, "p95 about 612 ms, more than 500 ms (304 requests)"),
        (
            answers(p50=0.0024),
            {"max_p50": 0.002},
            "p50 about 2.4 ms, more than 2 ms (304 requests)",
        ),
        (
            answers(p99=12.345),
            {"max_p99": 1.5},
            "p99 about 12.3 s, more than 1.5 s (304 requests)",
        ),
        (
            answers(p99=between(2.5, inf)),
            {"max_p99": 1.5},
            "p99 2.5 s or more, more than 1.5 s (304 requests)",
        ),
    ],
)
def test_a_limit_that_is_passed_is_bad(green: Figures, limits: dict[str, Any], detail: str) -> None:
    """The sentence has what was seen, of how many, and the limit."""
    assert judge(green, **limits) == ("bad", detail)


def test_exactly_the_limit_is_fine() -> None:
    """A limit is what is still allowed."""
    assert judge(answers(100, 7), max_error_ratio=0.07)[0] == "good"
    assert judge(answers(100, p95=0.5), max_p95=0.5)[0] == "good"


def test_few_requests_are_neither_good_nor_bad() -> None:
    """Not even slow ones."""
    green = answers(12, 0, p95=9.0)
    assert judge(green, max_error_ratio=0.01, max_p95=0.5) == ("unsure", "12 of 50 requests so far")
    assert judge(answers(0), max_p95=0.5, min_requests=1) == ("unsure", "0 of 1 request so far")


def test_errors_that_are_too_many_already_need_no_further_requests() -> None:
    """Whatever comes, it will not be less than the limit allows."""
    assert judge(answers(12, 7), max_error_ratio=0.02) == (
        "bad",
        "58 % of its requests failed (7 of 12), more than 2 % even if the next 38 are all fine",
    )
    assert judge(answers(12, 1), max_error_ratio=0.02)[0] == "unsure"


def test_all_breaches_are_named_the_worst_first() -> None:
    """How many times over decides."""
    green = answers(100, 2, p50=0.2, p95=5.0)
    verdict, detail = judge(green, max_error_ratio=0.01, max_p50=0.19, max_p95=0.5)
    assert verdict == "bad"
    assert [part.split()[0] for part in detail.split("; ")] == ["p95", "2", "p50"]


# --- compared with blue ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("green", "blue", "detail"),
    [
        (
            answers(304, 7),
            answers(1000, 3),
            (
                "2.3 % of its requests failed (7 of 304), 7.7 times blue's 0.3 % (3 of 1000), "
                "more than 1.5 times"
            ),
        ),
        (
            answers(304, 7),
            answers(1000),
            "2.3 % of its requests failed (7 of 304), none of blue's 1000 did",
        ),
        (
            answers(p95=0.3),
            answers(1000, p95=0.097),
            "p95 about 300 ms is 3.1 times blue's 97 ms, more than 1.5 times",
        ),
    ],
)
def test_worse_than_blue_is_bad(green: Figures, blue: Figures, detail: str) -> None:
    """With both numbers, and the limit."""
    assert judge(green, blue, worse_than_blue=1.5) == ("bad", detail)


@pytest.mark.parametrize(
    ("green", "blue"),
    [
        (answers(304, 2), answers(1000)),
        (answers(60, 3), answers(50, 1)),
        (answers(p95=0.002), answers(p95=0.001)),
        (answers(p95=0.029), answers(p95=0.010)),
        (answers(299, p99=9.0), answers(p99=0.1)),
        (answers(p95=0.14), answers(p95=0.1)),
        (answers(), answers()),
    ],
    ids=[
        "two errors",
        "as many as luck has it",
        "fast",
        "hardly noticeable",
        "few beyond",
        "within the factor",
        "no latencies",
    ],
)
def test_noise_is_not_worse(green: Figures, blue: Figures) -> None:
    """Few errors, few milliseconds, few requests."""
    assert judge(green, blue, worse_than_blue=1.5)[0] == "good"


@pytest.mark.parametrize("blue", [None, answers(49, p95=0.01)])
def test_without_a_blue_to_compare_with_nothing_is_worse(blue: Figures | None) -> None:
    """In its bake green is alone: that must not keep it from becoming good."""
    assert judge(answers(errors=30, p95=9.0), blue, worse_than_blue=1.5) == (
        "good",
        (
            "9.9 % of its requests failed (30 of 304), p95 about 9 s; "
            "too few requests of blue to compare with"
        ),
    )


def test_how_many_times_is_told_in_whole_numbers_when_they_are_large() -> None:
    """Nobody reads 1e+02."""
    verdict, detail = judge(answers(p95=1.3), answers(p95=0.01), worse_than_blue=2)
    assert verdict == "bad"
    assert detail == "p95 about 1.3 s is 130 times blue's 10 ms, more than 2 times"


@pytest.mark.parametrize(
    ("green", "blue", "limits", "verdict"),
    [
        (answers(304, 30), answers(1000, 100), {"max_error_ratio": 0.01}, "unsure"),
        (answers(12, 3), answers(1000, 200), {"max_error_ratio": 0.01}, "unsure"),
        (answers(304, 30), answers(1000, 20), {"max_error_ratio": 0.01}, "bad"),
        (answers(304, 30), answers(1000, 9), {"max_error_ratio": 0.01}, "bad"),
        (answers(304, 30), answers(20, 2), {"max_error_ratio": 0.01}, "bad"),
        (answers(p95=0.9), answers(p95=0.8), {"max_p95": 0.5}, "unsure"),
        (answers(p95=0.9), answers(p95=0.4), {"max_p95": 0.5}, "bad"),
        (answers(p95=0.9), answers(), {"max_p95": 0.5}, "bad"),
    ],
)
def test_trouble_that_hits_blue_as_much_is_no_evidence_against_green(
    green: Figures, blue: Figures, limits: dict[str, Any], verdict: str
) -> None:
    """A database that is down makes nobody's version bad; only waiting can tell."""
    found, detail = judge(green, blue, **limits)
    assert found == verdict
    assert detail.endswith("but so it is with blue") == (
        verdict == "unsure" and green.requests > 12
    )


# --- what is not known ----------------------------------------------------------------------------


def test_figures_that_cannot_be_had_leave_it_open() -> None:
    """Law S5: neither good nor bad, and it says why."""
    assert judge(None, max_p95=0.5) == ("unsure", "Traefik's metrics cannot be asked")
    assert judge(None, max_p95=0.5, trouble="HTTP 404") == (
        "unsure",
        "Traefik's metrics cannot be asked: HTTP 404",
    )


def test_a_latency_nobody_knows_leaves_it_open() -> None:
    """Requests were counted, their times were not."""
    assert judge(answers(), max_p95=0.5, max_p99=1.0) == (
        "unsure",
        "its p95 is not known; its p99 is not known",
    )


# --- checks ---------------------------------------------------------------------------------------


def test_checks_alone_need_no_figures() -> None:
    """What they say is all there is."""
    results = {"smoke": said("good"), "stock": said("good", "3")}
    assert judge(None, results=results, checks=(SMOKE, STOCK)) == (
        "good",
        "checks passed: smoke, stock",
    )


def test_a_check_that_fails_is_bad_at_once() -> None:
    """Whatever else is not known yet."""
    assert judge(
        answers(1, 1),
        results={"smoke": said("bad", "the basket is empty"), "stock": said("bad")},
        max_p95=0.5,
        checks=(SMOKE, STOCK),
    ) == ("bad", "check smoke: the basket is empty; check stock says no")


def test_a_check_that_did_not_say_leaves_it_open() -> None:
    """It was not asked, it could not be asked, or nobody knows."""
    assert judge(None, results={"stock": said("unknown", "timeout")}, checks=(SMOKE, STOCK)) == (
        "unsure",
        "check smoke has not answered yet; check stock is not known: timeout",
    )
    assert judge(None, results={"smoke": said("unknown")}, checks=(SMOKE,)) == (
        "unsure",
        "check smoke is not known",
    )


# --- laws -----------------------------------------------------------------------------------------


@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 100),
    st.floats(0, 1),
)
def test_what_was_bad_early_is_bad_when_all_further_requests_are_fine(
    requests: int, errors: int, min_requests: int, limit: float
) -> None:
    """An early rejection is one that patience would not have changed."""
    errors = min(errors, requests)
    limits = Analysis(max_error_ratio=limit, min_requests=min_requests)
    if judged(limits, answers(requests, errors), None, {}).verdict is not Verdict.BAD:
        return
    later = answers(max(requests, min_requests), errors)
    assert judged(limits, later, None, {}).verdict is Verdict.BAD


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5000), st.floats(1, 5))
def test_green_that_fails_no_more_often_than_blue_is_never_worse(
    requests: int, errors: int, more: int, factor: float
) -> None:
    """However few or many they are."""
    errors = min(errors, requests)
    same = answers(requests * (1 + more), errors * (1 + more))
    limits = Analysis(worse_than_blue=factor, min_requests=0)
    verdict = judged(limits, answers(requests, errors), same, {}).verdict
    assert verdict is not Verdict.BAD

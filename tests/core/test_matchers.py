"""What a request must look like: texts of users in rules, and routes on another host."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traefik_bg.core import matchers
from traefik_bg.core.rollout import Preview

HOST = "HostRegexp(`^a{1}\\.x$`)"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`a.x`)", "PathPrefix(`/`)"),
        ("Host(`a.x`) || HOST( `b.x` )", "PathPrefix(`/`) || PathPrefix(`/`)"),
        (f"{HOST} && Path(`/Host(x)`)", "PathPrefix(`/`) && Path(`/Host(x)`)"),
        ('Header(`X`, "Host(`a`) \\" !(") && Host("a")', 'Header(`X`, "Host(`a`) \\" !(") && PathPrefix(`/`)'),
        ("PathPrefix(`/api`)", "PathPrefix(`/api`)"),
        ("Path(`/`) && !Host(`a.x`)", "Path(`/`) && !Host(`a.x`)"),
        ("! (Host(`a.x`) || Path(`/y`)) && Host(`b.x`)", "! (Host(`a.x`) || Path(`/y`)) && PathPrefix(`/`)"),
        ("!(!Host(`a.x`))", "!(!PathPrefix(`/`))"),
        ("Host(`a.x`", "PathPrefix(`/`)"),
        ("Path(`/x`))) && Host(`a`)", "Path(`/x`))) && PathPrefix(`/`)"),
    ],
)  # fmt: skip
def test_a_rule_is_moved_to_another_host(rule: str, expected: str) -> None:
    """Its hosts do not matter any more, wherever they stand; what it excludes it still excludes."""
    assert matchers.moved(rule, "new.x") == f"({expected}) && Host(`new.x`)"


def test_a_host_is_excluded_without_asking_for_its_certificate() -> None:
    """Traefik would ask for one by every Host in a rule."""
    assert matchers.on_one_host("new.x") == "HostRegexp(`(?i)^new\\.x$`)"


@pytest.mark.parametrize(
    ("preview", "said"),
    [
        (Preview(), "nothing by which"),
        (Preview(header=("X Preview", "green")), "name of a header"),
        (Preview(header=("", "green")), "name of a header"),
        (Preview(header=("X", "")), "header value ''"),
        (Preview(header=("X", " green")), "no blank at either end"),
        (Preview(header=("X", "a\nb")), "no control character"),
        (Preview(cookie=("a=b", "c")), "name of a cookie"),
        *((Preview(cookie=("a", f"b{c}")), "no cookie has") for c in ' ",;\\é\t'),
        (Preview(header=("X", "y"), host="a/b"), "name of a host"),
        (Preview(host="a..b"), "name of a host"),
        (Preview(host="Host`) || x"), "name of a host"),
    ],
)
def test_what_no_request_can_say_is_named(preview: Preview, said: str) -> None:
    """So that the desired file can refuse it, and nothing else gets into a rule."""
    assert said in (matchers.objection(preview) or "")


def test_what_a_request_can_say_is_taken() -> None:
    """Odd texts included."""
    assert matchers.objection(Preview(header=("X-`!", '`"\\{{ }}é$ (x)'), cookie=("a.b", "(c|d)*`'"))) is None  # fmt: skip
    assert matchers.objection(Preview(host="new_one.web-1.example")) is None


@given(st.text(max_size=20))
def test_a_text_is_one_text_for_the_parser_of_rules(text: str) -> None:
    """It cannot end before its end, whatever is in it."""
    quoted = matchers.quoted(text)
    if quoted.startswith("`"):
        assert quoted == f"`{text}`"
        assert not set(text) & {"`", "\r"}
    else:
        assert re.fullmatch(r'"(\\[\\"r]|[^"\\\r])*"', quoted, re.DOTALL)


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3).map(tuple))
def test_what_is_excluded_can_be_taken_off_again(rule: str, excluded: tuple[str, ...]) -> None:
    """The rule of a route is read back as it was."""
    assert matchers.without(matchers.within(rule, "", excluded), excluded) == rule

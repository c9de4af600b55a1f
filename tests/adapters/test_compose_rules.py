"""Rules in the syntax of Traefik 2 are said in that of Traefik 3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traefik_bg.adapters.compose_rules import modern


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Host(`a`, `b`)", "(Host(`a`) || Host(`b`))"),
        ('Host("a","b") && Path(`/x`)', "(Host(`a`) || Host(`b`)) && Path(`/x`)"),
        ("HostHeader(`a`)", "Host(`a`)"),
        ("!Method(`GET`, `HEAD`)", "!(Method(`GET`) || Method(`HEAD`))"),
        ("Headers(`A`, `b`)", "Header(`A`, `b`)"),
        ("HeadersRegexp(`A`, `^b`)", "HeaderRegexp(`A`, `^b`)"),
        ("Query(`a=b`)", "Query(`a`, `b`)"),
        ("Query(`a=b`, `c=d`)", "(Query(`a`, `b`) && Query(`c`, `d`))"),
        ("HostRegexp(`{sub:[a-z]+}.example.com`)", r"HostRegexp(`^[a-z]+\.example\.com$`)"),
        ("HostRegexp(`{any}.a`, `b`)", r"(HostRegexp(`^[^.]+\.a$`) || HostRegexp(`b`))"),
        ("Path(`/users/{id:[0-9]{1,3}}`)", "PathRegexp(`^/users/[0-9]{1,3}$`)"),
        ("PathPrefix(`/{lang:(?:de|en)}/shop`)", "PathRegexp(`^/(?:de|en)/shop`)"),
        ("HostSNI(`a`, `b`)", "(HostSNI(`a`) || HostSNI(`b`))"),
    ],
)
def test_what_traefik_3_does_not_know_is_translated(old: str, new: str) -> None:
    """Several values, old names and templates become what they mean."""
    assert modern(old) == new


@pytest.mark.parametrize(
    "rule",
    [
        "Host(`a`)",
        "Host(`a`) && PathPrefix(`/b`)",
        "Query(`a`, `b`)",
        "Query(`mobile`)",
        r"HostRegexp(`^[a-z]{2}\.example\.com$`)",
        r"PathRegexp(`^/\p{L}+`)",
        "Host(`${DOMAIN}`)",
        "HostSNI(`*`)",
        "ClientIP(`10.0.0.0/8`)",
    ],
)
def test_what_means_the_same_is_left_alone(rule: str) -> None:
    """Rules of Traefik 3 come out to the letter."""
    assert modern(rule) == rule


@given(st.text(st.sampled_from('Host(`a`,b)&|!{}:"\\ ')))
def test_any_text_has_an_answer(rule: str) -> None:
    """What is no rule is not made one."""
    assert isinstance(modern(rule), str)

"""What the Traefiks that read our document can do."""

from __future__ import annotations

import pytest

from traefik_bg.core.features import Features, features_of, loop_of

LOOP_URL = "http://127.0.0.1:8079"


@pytest.mark.parametrize(
    ("versions", "retry", "guard"),
    [
        ([], False, False),
        (["dev"], False, False),
        (["3.7.15"], True, True),
        (["v3.7.8"], True, True),
        (["3.7.7"], False, True),
        (["3.7.0"], False, True),
        (["3.7.0-ea.1"], False, False),
        (["3.8.0-rc.1"], True, True),
        (["3.6.15"], True, False),
        (["3.7.15", "3.6.15"], True, False),
        (["3.7.15", "3.7.3"], False, True),
        (["3.7.15", ""], False, False),
    ],
)
def test_features_are_what_every_traefik_can_do(
    versions: list[str], retry: bool, guard: bool
) -> None:
    """The oldest Traefik decides, and an unknown one rules everything out."""
    assert features_of(versions) == Features(retry=retry, guard=guard)


FIT = {"address": "127.0.0.1:8079", "forwardedHeaders": {"trustedIPs": ["10.0.0.1", "127.0.0.1"]}}


@pytest.mark.parametrize(
    ("changes", "url", "said"),
    [
        ({}, "http://127.0.0.1:8079", ""),
        ({"address": "localhost:8079/tcp"}, "http://127.0.0.1:8079", ""),
        (
            {"address": "[::1]:8079", "forwardedHeaders": {"insecure": True}},
            "http://[::1]:8079",
            "",
        ),
        ({"address": ":8079"}, "", "which others cannot reach"),
        ({"address": "10.0.0.1:8079"}, "", "which others cannot reach"),
        ({"address": "127.0.0.1:http"}, "", "which others cannot reach"),
        ({"address": None}, "", "which others cannot reach"),
        ({"http": {"tls": {"certResolver": "le"}}}, "", "plain HTTP"),
        ({"http": {"redirections": {"entryPoint": {"to": "x"}}}}, "", "plain HTTP"),
        ({"forwardedHeaders": None}, "", "trustedIPs lack 127.0.0.1"),
        ({"forwardedHeaders": {"trustedIPs": ["everybody", "10.0.0.0/8"]}}, "", "lack 127.0.0.1"),
    ],
)
def test_requests_are_held_by_way_of_an_entry_point_that_nobody_else_reaches(
    changes: dict[str, object], url: str, said: str
) -> None:
    """Who reached it would get past every middleware; and apps must be told of the real client."""
    found, reason = loop_of({**FIT, **changes})
    assert found == url
    assert said in reason
    assert bool(reason) != bool(found)


@pytest.mark.parametrize(
    ("versions", "loops", "hold"),
    [
        (["3.7.15"], [LOOP_URL], LOOP_URL),
        (["3.7.15", "3.7.8"], [LOOP_URL, LOOP_URL], LOOP_URL),
        (["3.7.15", "3.7.8"], [LOOP_URL, ""], ""),
        (["3.7.15", "3.7.8"], [LOOP_URL, "http://127.0.0.1:1"], ""),
        (["3.7.7"], [LOOP_URL], ""),
        (["3.6.15"], [LOOP_URL], ""),
        (["3.7.15"], [], ""),
    ],
)
def test_all_traefiks_must_be_able_to_hold(
    versions: list[str], loops: list[str], hold: str
) -> None:
    """One document has one way back for all of them."""
    assert features_of(versions, loops).hold == hold

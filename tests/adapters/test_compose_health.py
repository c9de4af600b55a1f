"""What a Compose service says of its health, in what is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.importing import Shop, comments

HOST = "traefik.http.routers.web.rule: Host(`web.example.com`)"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


@pytest.mark.parametrize(
    "test",
    [
        "curl -f http://localhost:8000/health || exit 1",
        "[CMD, curl, -fsS, -o, /dev/null, 'http://127.0.0.1:8000/health']",
        "[CMD-SHELL, 'wget -q --spider http://localhost:8000/health']",
        "[CMD, /usr/bin/wget, -qO-, 'localhost:8000/health']",
    ],
)
def test_a_plain_question_over_http_is_asked_by_traefik_bg(shop: Shop, test: str) -> None:
    """It is asked more often than Docker would; Docker's own goes on beside."""
    made = shop.web(
        f"healthcheck: {{test: {test!r}}}" if test[0] != "[" else f"healthcheck: {{test: {test}}}"
    )
    spec = shop.spec(made)

    assert spec.health.path == "/health"
    assert "healthcheck" in spec.container


@pytest.mark.parametrize(
    "test",
    [
        "curl http://localhost:8000/health",
        "curl -f http://localhost:9000/health",
        "curl -f http://other:8000/health",
        "curl -f -H 'A: b' http://localhost:8000/health",
        "curl -f http://localhost:$$PORT/health",
        "curl -f https://localhost:8000/health",
        "curl -f 'http://localhost:8000/health?a=b'",
        "pg_isready",
        "curl -f 'http://localhost:8000",
        "[NONE]",
        "[]",
    ],
)
def test_any_other_question_stays_dockers(shop: Shop, test: str) -> None:
    """What is not certainly the same is not replaced."""
    text = f"services: {{web: {{image: 'x:1', expose: [8000], healthcheck: {{test: {test if test[0] == '[' else repr(test)}}}}}}}"
    if test == "[]":
        assert "must begin with CMD" in shop.mistakes(text, "web")[0]
        return
    assert shop.spec(shop.imported(text, "web")).health.path is None


@pytest.mark.parametrize(
    ("check", "deadline"),
    [
        ("{test: x}", 120),
        ("{test: x, interval: 5s, timeout: 3s}", 60),
        ("{test: x, interval: 5s, timeout: 3s, start_period: 2m}", 138),
        ("{test: x, disable: true}", 60),
        ("{test: x, interval: soon, retries: 0}", None),
    ],
)
def test_a_slow_start_gets_its_time(shop: Shop, check: str, deadline: int | None) -> None:
    """What Docker waits for is waited for."""
    text = f"services: {{web: {{image: 'x:1', expose: [80], healthcheck: {check}}}}}"
    if deadline is None:
        assert "must be a duration" in shop.mistakes(text, "web")[0]
        return
    assert shop.spec(shop.imported(text, "web")).health.deadline == deadline


def test_traefiks_own_health_check_is_taken_over(shop: Shop) -> None:
    """The path is; how often it is asked is traefik-bg's."""
    made = shop.web(
        f"""
        labels:
          {HOST}
          traefik.http.services.s.loadbalancer.healthcheck.path: /up
          traefik.http.services.s.loadbalancer.healthcheck.timeout: 3s
          traefik.http.services.s.loadbalancer.healthcheck.interval: 10s
        """
    )
    health = shop.spec(made).health

    assert (health.path, health.timeout) == ("/up", 3)
    assert "healthcheck.interval: 10s" in comments(made)

"""The three kinds of Compose files that the integration tests deploy are imported without an edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traefik_bg.adapters.compose_import import Imported, Wish, import_compose
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.core.model import AppSpec

FILES = Path(__file__).parents[2] / "integration/compose"
ENVIRON = {"DB_PASSWORD": "secret"}


def imported(kind: str, *services: str) -> Imported:
    return import_compose(Wish(FILES / kind, services), ENVIRON)


def specs(kind: str, *services: str) -> dict[str, AppSpec]:
    """Return what our own reader reads in what was made."""
    files = Files()
    path = FILES / kind / "desired.yaml"
    files.contents = {path: imported(kind, *services).text.encode()}
    return {str(name): spec for name, spec in read_desired(path, files, ENVIRON).apps.items()}


def container(spec: AppSpec) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(spec.container)
    return found


@pytest.mark.parametrize(
    ("kind", "apps", "stays"),
    [
        ("shop", ["web"], ("db", "cache")),
        ("blog", ["blog"], ("database",)),
        ("api", ["api"], ("worker", "broker")),
    ],
)
def test_web_services_are_imported_and_databases_stay(
    kind: str, apps: list[str], stays: tuple[str, ...]
) -> None:
    """Labels decide."""
    made = imported(kind)

    assert (list(made.apps), made.stays) == (apps, stays)
    assert list(specs(kind)) == apps


def test_a_shop_with_a_database_and_a_cache() -> None:
    """Variables, two networks, a sticky cookie, a middleware."""
    web = specs("shop")["web"]
    found = container(web)

    assert [(route.rule, route.middlewares) for route in web.routes] == [
        ("Host(`shop.localhost`)", ("shop-marked@file",))
    ]
    assert (web.sticky, web.health.path, web.port) == (True, None, 8000)
    assert found["environment"]["DATABASE_URL"] == "postgres://shop:secret@db:5432/shop"
    assert list(found["networks"]) == ["edge", "shop_backend"]
    assert [volume["source"] for volume in found["volumes"]] == [
        str(FILES / "shop/theme"),
        "shop_uploads",
    ]
    assert "secret" not in imported("shop").text


def test_a_blog_in_the_words_of_traefik_2() -> None:
    """Several hosts in one matcher, capitals in labels, a health check of Traefik's."""
    blog = specs("blog")["blog"]

    assert [route.rule for route in blog.routes] == [
        "(Host(`blog.localhost`) || Host(`www.blog.localhost`))",
        "Host(`blog.localhost`) && PathPrefix(`/admin`)",
    ]
    assert [route.priority for route in blog.routes] == [55, 1001]
    assert (blog.health.path, container(blog)["environment"]["BLOG_DEBUG"]) == ("/health", "no")
    assert [volume["source"] for volume in container(blog)["volumes"]] == [
        "blog_content",
        "blog-plugins",
    ]


def test_an_api_with_a_worker_and_a_broker() -> None:
    """A base that both extend, env files, a secret, a config; the worker when it is named."""
    found = specs("api", "api", "worker")
    api, worker = container(found["api"]), container(found["worker"])

    assert (found["api"].replicas, found["worker"].routes) == (2, ())
    assert api["environment"]["GREETING"] == "hello there"
    assert api["secrets"][0]["target"] == "/run/secrets/api-key"
    assert api["networks"]["edge"]["aliases"] == ["api", "backend-api"]
    assert found["worker"].rollout.strategy == "recreate"
    assert worker["networks"] == {"api_default": {"aliases": ["worker"]}}

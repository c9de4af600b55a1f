"""What a desired file may say of containers that others started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.desired import Folder
from traefik_bg.core.model import Adoption


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("said", "adoption"),
    [
        ("shop-web-1", Adoption(containers=("shop-web-1",))),
        ("{container: [web-b, web-a]}", Adoption(containers=("web-a", "web-b"))),
        ("{project: shop, service: web, port: 80}",
         Adoption(project="shop", service="web", port=80)),
        ("{container: web, moved: [b, a, b]}", Adoption(containers=("web",), moved=("a", "b"))),
        ("false", None),
    ],
)  # fmt: skip
def test_it_is_named_by_compose_or_by_name(
    folder: Folder, said: str, adoption: Adoption | None
) -> None:
    """Project and service, one name or several; false says nothing."""
    assert folder.app(f"adopt: {said}").adopt == adoption


def test_its_routes_win_over_those_of_labels(folder: Folder) -> None:
    """Without a priority of its own a route has one more than Traefik gives to the same rule."""
    keys = "adopt: old\nroute: [{host: a.example}, {rule: PathPrefix(`/x`), priority: 7}]"
    taken = folder.app(keys)
    assert [route.priority for route in taken.routes] == [len("Host(`a.example`)") + 1, 7]
    assert folder.app(keys.replace("adopt: old", "")).routes[0].priority is None


def test_adopting_needs_no_new_containers_and_forgives_nothing(folder: Folder) -> None:
    """Adding it changes neither the revision nor what a rejection is about."""
    bare = folder.app("route: {host: a.example, priority: 50}")
    taken = folder.app("adopt: old\nroute: {host: a.example, priority: 50}")
    assert (bare.revision, bare.digest) == (taken.revision, taken.digest)


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("{project: shop}", "write both"),
        ("{service: web}", "write both"),
        ("{}", "needs {project: shop, service: web}"),
        ("{port: 80}", "needs {project: shop, service: web}"),
        ("b", '"b" is not the name'),
        ("{container: no/name}", "is not the name of a container"),
        ("{name: web}", "is unknown here"),
    ],
)
def test_what_says_nothing_is_a_mistake(folder: Folder, said: str, mistake: str) -> None:
    """It names the line and what would do."""
    assert mistake in folder.app_mistake(f"adopt: {said}")

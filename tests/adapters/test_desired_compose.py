"""Apps that are services of a Compose file, with keys of their own over it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.desired import Folder
from tests.adapters.watching import watching
from traefik_bg.adapters.compose_import import Wish, import_compose
from traefik_bg.adapters.desired_edit import edit_image
from traefik_bg.adapters.desired_reading import Desired
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.model import AppName, AppSpec

COMPOSE = """
    services:
      web:
        image: acme/web:${TAG:-1}
        ports: ["80:8000"]
        environment: {A: a, B: b, C: }
        volumes: [uploads:/up, ./theme:/theme:ro]
        networks: [edge]
        healthcheck: {test: curl -f http://localhost:8000/health}
        labels:
          - traefik.http.routers.w.rule=Host(`web.example.com`)
          - traefik.http.routers.w.middlewares=auth
          - traefik.http.middlewares.auth.basicauth.users=a:b
          - traefik.http.services.w.loadbalancer.server.port=8000
      db: {image: "postgres:${DB_VERSION:?which one}"}
    volumes: {uploads: }
    networks: {edge: {external: true}}
"""
HERE = "compose: {file: shop/compose.yaml, service: web, folder: /srv/shop}"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "shop").mkdir()
    folder = Folder(tmp_path)
    folder.write(COMPOSE, "shop/compose.yaml")
    return folder


def text(keys: str = HERE) -> str:
    return f"apps:\n  web:\n{textwrap.indent(textwrap.dedent(keys).strip(), '    ')}\n"


def read(folder: Folder, keys: str = HERE, **variables: str) -> Desired:
    return folder.read(text(keys), **variables)


def web(folder: Folder, keys: str = HERE, **variables: str) -> AppSpec:
    return read(folder, keys, **variables).apps[AppName("web")]


def container(spec: AppSpec) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(spec.container)
    return found


def test_a_service_is_an_app_without_a_word_more(folder: Folder) -> None:
    """Route, port and health come from the file too, volumes and networks by their real names."""
    spec = web(folder, C="c")
    found = container(spec)

    assert (spec.image, spec.port, spec.health.path) == ("acme/web:1", 8000, "/health")
    assert [(route.rule, route.middlewares) for route in spec.routes] == [
        ("Host(`web.example.com`)", ("auth@file",))
    ]
    assert found["environment"] == {"A": "a", "B": "b", "C": "c"}
    assert [volume["source"] for volume in found["volumes"]] == ["/srv/shop/theme", "shop_uploads"]
    assert found["volumes"][1]["external"] is True
    assert found["networks"] == {"edge": {"aliases": ["web"]}}
    assert found["labels"] == {"traefik.enable": "false"}


def test_it_is_what_import_makes_of_it(folder: Folder) -> None:
    """One understanding for both ways."""
    (folder.path / "srv").mkdir()
    shop = folder.path / "shop"
    made = import_compose(Wish(shop / "compose.yaml"), {"C": "c"})
    folder.write(made.text, "shop/desired.yaml")
    by_import = folder.read(made.text, C="c").apps[AppName("web")]
    keys = f"compose: {{file: shop/compose.yaml, service: web, folder: '{shop}'}}"

    assert web(folder, keys, C="c") == by_import


@pytest.mark.parametrize(
    ("own", "check"),
    [
        ("image: other:2", lambda spec: spec.image == "other:2"),
        ("port: 9000", lambda spec: (spec.port, spec.health.path, len(spec.routes)) == (9000, None, 1)),
        ("replicas: 3", lambda spec: spec.replicas == 3),
        ("route: {rule: PathPrefix(`/`)}", lambda spec: [r.rule for r in spec.routes] == ["PathPrefix(`/`)"]),
        ("route: []", lambda spec: spec.routes == ()),
        ("health: {deadline: 5m}", lambda spec: (spec.health.deadline, spec.health.path) == (300, "/health")),
        ("health: {path: /up}", lambda spec: spec.health.path == "/up"),
        ("rollout: {bake: 7s}", lambda spec: spec.rollout.bake == 7),
        ("environment: {B: x, D: d}", lambda spec: container(spec)["environment"] == {"A": "a", "B": "x", "D": "d"}),
        ("volumes: [/other:/theme]", lambda spec: [v["source"] for v in container(spec)["volumes"]] == ["/other", "shop_uploads"]),
        ("networks: [more]", lambda spec: list(container(spec)["networks"]) == ["edge", "more"]),
        ("healthcheck: {disable: true}", lambda spec: container(spec)["healthcheck"]["disable"] is True),
    ],
)  # fmt: skip
def test_what_the_app_says_itself_wins(folder: Folder, own: str, check: Any) -> None:
    """Beside what the Compose file says, not instead of it."""
    spec = web(folder, f"{HERE}\n{own}")

    assert check(spec), spec


def test_defaults_are_below_the_compose_file(folder: Folder) -> None:
    """The app's own word first, then the service, then the defaults."""
    defaults = "defaults: {user: a, environment: {B: low, E: e}}\n"
    found = container(folder.read(defaults + text()).apps[AppName("web")])

    assert (found["user"], found["environment"]) == ("a", {"A": "a", "B": "b", "E": "e"})


def test_a_volume_of_the_app_takes_the_place_of_a_relative_one(folder: Folder) -> None:
    """So nobody has to know the folder on the Docker host."""
    keys = "compose: {file: shop/compose.yaml, service: web}\nvolumes: [/srv/theme:/theme:ro]"

    assert [v["source"] for v in container(web(folder, keys))["volumes"]] == [
        "/srv/theme",
        "shop_uploads",
    ]


def test_variables_come_from_beside_the_compose_file(folder: Folder) -> None:
    """As Compose has them; the environment of the service wins."""
    folder.write("TAG=5\nC=file", "shop/.env")
    found = web(folder)

    assert (found.image, container(found)["environment"]["C"]) == ("acme/web:5", "file")
    assert web(folder, TAG="6").image == "acme/web:6"


def test_two_apps_of_one_file_share_what_it_declares(folder: Folder) -> None:
    """And a declaration of the desired file's own stands over both."""
    both = text() + textwrap.indent(
        f"admin:\n  {HERE}\n  route: {{host: admin.example.com}}\n", "  "
    )
    assert set(folder.read(both).apps) == {"web", "admin"}

    own = "volumes: {shop_uploads: {name: elsewhere}}\n" + both
    found = container(folder.read(own).apps[AppName("web")])
    assert found["volumes"][1]["source"] == "elsewhere"


def test_a_project_can_be_named(folder: Folder) -> None:
    """For whoever gives it to docker compose by -p."""
    found = container(web(folder, HERE.replace("}", ", project: other}")))

    assert found["volumes"][1]["source"] == "other_uploads"


def test_an_app_can_extend_one_that_is_a_service(folder: Folder) -> None:
    """The service comes along."""
    made = folder.read(
        text() + "  second: {extends: web, route: {host: second.example.com}, image: 'second:1'}\n"
    )
    second = made.apps[AppName("second")]

    assert (second.image, second.port) == ("second:1", 8000)
    assert [route.rule for route in second.routes] == ["Host(`second.example.com`)"]


def test_what_is_lost_is_warned_of_with_its_line(folder: Folder) -> None:
    """What is said in other words is not."""
    warnings = [warning.replace(f"{folder.path}/", "") for warning in read(folder, C="c").warnings]

    said = "left out: blue and green would fight for them; Traefik publishes the app"
    assert warnings == [f"shop/compose.yaml:4: services.web.ports: {said}"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("compose: web", "desired.yaml:3: apps.web.compose: must be a mapping with file and service"),
        ("compose: {file: shop/compose.yaml}", "apps.web.compose: service is missing: write which of its services"),
        ("compose: {service: web}", "apps.web.compose: file is missing: write the Compose file"),
        ("compose: {file: a, service: b, port: 80}", "apps.web.compose.port: is unknown here; known are file, folder, project, service"),
        ("compose: {file: [a], service: b}", "apps.web.compose.file: must be text"),
        ("compose: {file: nowhere.yaml, service: web}", "apps.web.compose: nowhere.yaml is not there"),
        ("compose: {file: shop, service: web}", "apps.web.compose: shop is a folder"),
        ("compose: {file: shop/compose.yaml, service: wbe}", "apps.web.compose: there is no service wbe in shop/compose.yaml; did you mean web?"),
        ("compose: {file: shop/compose.yaml, service: web, folder: srv}", "apps.web.compose.folder: must be the absolute path"),
        ("compose: {file: shop/compose.yaml, service: web, project: 'A B'}", 'apps.web.compose: shop/compose.yaml "A B" is no name of a project'),
        ("compose: {file: shop/compose.yaml, service: web}", "shop/compose.yaml:6: services.web.volumes[1]: is relative, and Docker may have this folder elsewhere"),
        ("compose: {file: shop/compose.yaml, service: db}", "shop/compose.yaml:14: services.db.image: the variable DB_VERSION is not set: which one"),
        (f"{HERE}\nmem_limit: lots", "desired.yaml:4: apps.web.mem_limit: must be a size"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_stands(folder: Folder, keys: str, words: str) -> None:
    """In the desired file or in the Compose file, with the line."""
    found = [mistake.replace(f"{folder.path}/", "") for mistake in folder.mistakes(text(keys))]

    assert words in "\n".join(found)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("image: x:1\n    mem_limit: lots", "shop/compose.yaml:4: services.web.mem_limit: must be a size"),
        ("imag: x:1", "shop/compose.yaml:3: services.web.imag: is unknown here; did you mean image?"),
        ("image: x:1", "shop/compose.yaml:2: services.web: at which port does it listen?"),
        ("image: x:1\n    expose: [80]\n    volumes: [v:/v]", "v is not declared: write it under volumes"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_service_has_the_compose_files_line(
    folder: Folder, service: str, words: str
) -> None:
    """It is to be mended there."""
    (folder.path / "shop/compose.yaml").write_text(f"services:\n  web:\n    {service}\n")
    found = folder.mistakes(text(f"{HERE}\nroute: []"))

    assert words in "\n".join(mistake.replace(f"{folder.path}/", "") for mistake in found)


def test_a_port_beside_is_all_that_is_needed(folder: Folder) -> None:
    """Where only the image knows it."""
    (folder.path / "shop/compose.yaml").write_text("services: {web: {image: 'x:1'}}")

    assert web(folder, f"{HERE}\nport: 81\nroute: []").port == 81


def test_a_broken_compose_file_is_told_once(folder: Folder) -> None:
    """However many apps are made of it."""
    (folder.path / "shop/compose.yaml").write_text("services: {")
    found = folder.mistakes(text() + f"  admin:\n    {HERE}\n")

    assert len([mistake for mistake in found if "is not YAML" in mistake]) == 1


def test_the_defaults_are_no_service(folder: Folder) -> None:
    """They are below every app anyway."""
    (found,) = folder.mistakes("defaults: {compose: {file: a, service: b}}\napps: {}")

    assert found.startswith("desired.yaml:1: defaults.compose: belongs to an app")


def test_deploy_does_not_write_into_the_compose_file(folder: Folder) -> None:
    """It says where the image comes from."""
    path = folder.write(text())

    with pytest.raises(CommandRefused, match="comes from its Compose file; change it there, or"):
        edit_image(path, AppName("web"), "acme/web:2", environ={})


async def test_an_edit_of_the_compose_file_is_an_edit(folder: Folder) -> None:
    """It is taken over at once; a mistake in it changes nothing."""
    path = folder.write(text())
    compose = folder.path / "shop/compose.yaml"
    good = compose.read_text()
    async with watching(path) as seen:
        await seen.until(lambda: seen.images == {"web": "acme/web:1"})
        compose.write_text(good.replace("acme/web:${TAG:-1}", "acme/web:2"))
        await seen.until(lambda: seen.images == {"web": "acme/web:2"})
        compose.write_text(good.replace("image:", "imag:"))
        await seen.until(lambda: "services.web.imag: is unknown here" in (seen.error or ""))
        assert seen.images == {"web": "acme/web:2"}
        folder.write("TAG=7", "shop/.env")
        compose.write_text(good)
        await seen.until(lambda: seen.images == {"web": "acme/web:7"})

"""The container keys of a Compose service, and what they refer to, in what is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.importing import Shop, comments
from traefik_bg.adapters.compose_import import Wish, import_compose
from traefik_bg.core.errors import DesiredStateErrors


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ports: ['8080:8000']", "ports: [8080:8000] (line 9): blue and green would fight for them"),
        ("build: ./web", "build: ./web (line 8): nothing is built here"),
        ("depends_on: [db]", "depends_on: [db] (line 8): traefik-bg waits for health, not for order"),
        ("links: ['db:database']", "links: [db:database] (line 8): the app reaches containers"),
        ("profiles: [a]", "profiles: [a] (line 8): every app that is desired runs"),
        ("network_mode: host", "network_mode: host (line 8): Traefik must reach the replicas"),
        ("attach: false", "attach: false (line 8): nobody is attached"),
        ("pull_policy: always", "pull_policy: always (line 8): an image is pulled when it is not on this machine"),
        ("ipc: service:db", "ipc: service:db (line 8): replicas share no namespace"),
        ("deploy: {mode: global}", "deploy.mode: global (line 8): it is for Swarm"),
        ("user:", "user (line 8): it says nothing"),
        ("networks: {default: {ipv4_address: 10.0.0.9}}", "networks.default.ipv4_address: 10.0.0.9 (line 8): blue and green run side by side"),
        ("volumes: [/a:/a:cached]", "volumes: /a:/a:cached (line 8): cached has no effect on this mount"),
        ("labels: {traefik.http.routers.w.rule: Host(`a`), traefik.http.services.s.loadbalancer.passhostheader: 'true'}",
         "traefik.http.services.s.loadbalancer.passhostheader: true (line 7): the client's Host is always passed on"),
        ("labels: {traefik.http.routers.w.rule: Host(`a`), traefik.http.routers.w.observability.metrics: 'false'}",
         "traefik.http.routers.w.observability.metrics: false (line 7): has no place in a route"),
        ("labels: {traefik.http.routers.w.rule: Host(`a`), traefik.swarm.lbswarm: 'true'}",
         "traefik.swarm.lbswarm: true (line 7): it has no meaning here"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_told_with_line_and_reason(shop: Shop, key: str, words: str) -> None:
    """Nobody has to find out later."""
    said = comments(shop.web(key))

    assert words.partition(" (line")[0] in said
    assert words.partition("): ")[2] in said


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("environment: {A: true, B: no, C: 1}", {"environment": {"A": "true", "B": "no", "C": "1"}}),
        ("environment: [A=b, C]", {"environment": {"A": "b"}}),
        ("command: [serve, no]", {"command": ["serve", "no"]}),
        ("restart: 'no'", {"restart": "no"}),
        ("deploy: {restart_policy: {condition: none}}", {"restart": "no"}),
        ("deploy: {restart_policy: {condition: any}}", {"restart": "always"}),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}", {"restart": "on-failure:3"}),
        ("restart: always\ndeploy: {restart_policy: {condition: none}}", {"restart": "always"}),
        ("deploy: {resources: {limits: {memory: 64m}}}", {"deploy": {"resources": {"limits": {"memory": 67108864}}}}),
        ("mem_limit: 64m\ninit: true\nuser: 1000:1000", {"mem_limit": 67108864, "init": True, "user": "1000:1000"}),
        ("command: |\n  one\n    two\n", {"command": ["one", "two"]}),
    ],
)  # fmt: skip
def test_what_compose_gave_a_container_it_still_has(
    shop: Shop, key: str, found: dict[str, Any]
) -> None:
    """Each key means what it meant to docker compose."""
    made = shop.container(shop.web(key))

    assert {name: made.get(name) for name in found} == found


@pytest.mark.parametrize("key", ["scale: 3", "deploy: {replicas: 3}"])
def test_the_number_of_containers_is_that_of_replicas(shop: Shop, key: str) -> None:
    """Under its own name here."""
    assert shop.spec(shop.web(key)).replicas == 3


def test_labels_that_are_not_traefiks_stay(shop: Shop) -> None:
    """And Traefik's Docker provider is told to leave the replicas alone."""
    made = shop.container(
        shop.web("labels: ['traefik.http.routers.w.rule=Host(`a`)', team=shop, 'note=a=b']")
    )

    assert made["labels"] == {"note": "a=b", "team": "shop", "traefik.enable": "false"}


def test_labels_in_a_file_route_as_well(shop: Shop) -> None:
    """A file that has some of Traefik's is taken over as a whole, any other stays a file."""
    shop.write("traefik.http.routers.w.rule=Host(`file.example.com`)\nteam=shop", "web.labels")
    made = shop.imported(
        "services: {web: {image: 'x:1', expose: [80], label_file: web.labels, labels: {a: b}}}"
    )
    assert shop.spec(made).routes[0].rule == "Host(`file.example.com`)"
    assert shop.container(made)["labels"] == {"a": "b", "team": "shop", "traefik.enable": "false"}
    assert "label_file" in comments(made)

    shop.write("team=shop", "web.labels")
    assert "label_file: [web.labels]" in shop.web("label_file: web.labels").text


def test_what_compose_built_keeps_the_name_it_was_given(shop: Shop) -> None:
    """Compose tags it after project and service, so it is on the machine already."""
    made = shop.imported(
        "services: {web: {build: ., expose: [80], labels: {traefik.enable: true}}}"
    )

    assert shop.spec(made).image == "shop-web"
    assert "A new tag for each version" in comments(made)


def test_what_is_extended_and_anchored_is_put_in(shop: Shop) -> None:
    """With the paths of the file it stands in."""
    shop.write(
        "services: {base: {image: 'x:${V}', env_file: base.env, user: a}}", "common/base.yaml"
    )
    shop.write("FROM_BASE=1", "common/base.env")
    made = shop.imported(
        """
        x-web: &web {expose: [80], working_dir: /srv}
        services:
          web:
            <<: *web
            extends: {file: common/base.yaml, service: base}
            labels: {traefik.enable: true}
        """,
        environ={"V": "7"},
    )
    spec = shop.spec(made, V="8")

    assert spec.image == "x:8"
    found = shop.container(made, V="8")
    assert (found["environment"], found["user"], found["working_dir"]) == (
        {"FROM_BASE": "1"},
        "a",
        "/srv",
    )
    assert "x-web: yours" in comments(made)


def test_what_docker_compose_config_prints_can_be_imported(shop: Shop) -> None:
    """For whoever uses several files, includes, or variables that nobody else is to know."""
    made = shop.imported(
        f"""
        name: shop
        services:
          web:
            command: null
            entrypoint: null
            environment: {{COST: $$5}}
            image: acme/web:1
            labels: {{traefik.enable: "true", traefik.http.routers.w.rule: Host(`a.b`)}}
            networks: {{default: null}}
            ports: [{{mode: ingress, target: 8000, published: "80", protocol: tcp}}]
            volumes:
              - {{type: bind, source: {shop.folder}/data, target: /data, bind: {{create_host_path: true}}}}
              - {{type: volume, source: up, target: /up, volume: {{}}}}
        networks: {{default: {{name: shop_default, ipam: {{}}}}}}
        volumes: {{up: {{name: shop_up}}}}
        """
    )
    found = shop.container(made)

    assert shop.spec(made).port == 8000
    assert found["environment"] == {"COST": "$5"}
    assert [volume["source"] for volume in found["volumes"]] == [f"{shop.folder}/data", "shop_up"]


def test_a_folder_that_cannot_be_written_down(tmp_path: Path) -> None:
    """Its name would have to stand in the desired file."""
    with pytest.raises(DesiredStateErrors, match="is not UTF-8"):
        import_compose(Wish(tmp_path / "\udcff" / "compose.yaml"), {})


# --- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("volumes: [dta:/d]", "volumes[0]: dta is not declared: write it under volumes, beside services; did you mean data?"),
        ("networks: [x]", "x is not declared: write it under networks"),
        ("secrets: [x]", "x is not declared: write it under secrets"),
        ("secrets: [ext]", "secrets.ext: is external, which is for Swarm"),
        ("imag: x", "is unknown here; did you mean image?"),
        ("replicas: 2", "is unknown here"),
        ("image:", "image is missing"),
        ("image: 'x:${V:?no version}'", "the variable V is not set: no version"),
        ("env_file: gone.env", "gone.env is not there"),
        ("healthcheck: {test: [a]}", "a list must begin with CMD, CMD-SHELL or NONE"),
        ("extends: {service: x}", "there is no x in compose.yaml"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line(shop: Shop, keys: str, words: str) -> None:
    """What Compose would refuse, and what cannot be known."""
    image = "" if keys.startswith("image") else "image: x:1"
    (found,) = shop.mistakes(
        f"""
        volumes: {{data: }}
        secrets: {{ext: {{external: true}}}}
        services:
          web:
            expose: [80]
            {keys}
            {image}
        """,
        "web",
    )

    assert found.startswith("compose.yaml:")
    assert found.split(":")[1].isdecimal()
    assert words in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "compose.yaml:1: has no services, so it is no Compose file"),
        ("apps: {}", "a desired state already"),
        ("services: [a]", "services must be a mapping of names to services, not a list"),
        ("services: {web: a}", 'services.web: must be a mapping, not "a"'),
        ("services: {wb: {}}", "there is no service web; did you mean wb?"),
        ("services: {web: {image: x, expose: [80]}}\nservcies: 1", "servcies: is no key of Compose; did you mean services?"),
        ("services: {", "is not YAML"),
    ],
)  # fmt: skip
def test_what_is_no_compose_file_is_said_to_be_none(shop: Shop, text: str, words: str) -> None:
    """In one sentence."""
    assert words in shop.mistakes(text, "web")[0]


def test_a_file_that_is_not_there(shop: Shop) -> None:
    """A folder without one counts as well."""
    with pytest.raises(DesiredStateErrors, match=r"shop/compose\.yaml: is not there"):
        import_compose(Wish(shop.folder), {})

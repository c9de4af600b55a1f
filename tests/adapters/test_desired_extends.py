"""Apps that extend others, merged as Compose merges services."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.desired import Folder
from traefik_bg.core.model import AppName, AppSpec


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def file(base: str, own: str, extends: str = "base") -> str:
    """Return a file in which web extends base."""
    least = "image: base:1\nport: 80\nroute: {host: base.example.com}\n"
    below = textwrap.indent(least + textwrap.dedent(base).strip(), "    ")
    above = f"extends: {extends}\nroute: {{host: web.example.com}}\n{textwrap.dedent(own).strip()}"
    return f"apps:\n  base:\n{below}\n  web:\n{textwrap.indent(above, '    ')}\n"


def web(folder: Folder, text: str, **variables: str) -> AppSpec:
    return folder.read(text, **variables).apps[AppName("web")]


def merged(folder: Folder, base: str, own: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(web(folder, file(base, own)).container)
    return found


@pytest.mark.parametrize(
    ("base", "own", "together"),
    [
        ("command: [a, b]", "command: c", {"command": ["c"]}),
        ("environment: {A: a, B: b}", "environment: [B=c, D=d]", {"environment": {"A": "a", "B": "c", "D": "d"}}),
        ("labels: [a=1]", "labels: {a: '2'}", {"labels": {"a": "2"}}),
        ("cap_add: [A]", "cap_add: [B, A]", {"cap_add": ["A", "B"]}),
        ("dns: 1.1.1.1", "dns: [9.9.9.9]", {"dns": ["1.1.1.1", "9.9.9.9"]}),
        ("user: a", "user:", {"user": "a"}),
        ("networks: [a]", "networks: {b: {aliases: [x]}}", {"networks": {"a": {}, "b": {"aliases": ["x"]}}}),
        ("extra_hosts: {a: 1.1.1.1}", "extra_hosts: ['b=::1']", {"extra_hosts": ["a=1.1.1.1", "b=::1"]}),
        ("healthcheck: {test: [CMD, a], retries: 2}", "healthcheck: {test: b}", {"healthcheck": {"test": ["CMD-SHELL", "b"], "retries": 2}}),
        ("logging: {driver: a, options: {x: y}}", "logging: {driver: b}", {"logging": {"driver": "b"}}),
        ("logging: {driver: a, options: {x: y}}", "logging: {driver: a}", {"logging": {"driver": "a", "options": {"x": "y"}}}),
        ("ulimits: {a: 1, b: 2}", "ulimits: {b: {soft: 3, hard: 4}}", {"ulimits": {"a": {"soft": 1, "hard": 1}, "b": {"soft": 3, "hard": 4}}}),
        ("devices: [/dev/a:/dev/x]", "devices: [{source: /dev/b, target: /dev/x}]", {"devices": ["/dev/b:/dev/x:rwm"]}),
    ],
)  # fmt: skip
def test_keys_merge_as_in_compose(
    folder: Folder, base: str, own: str, together: dict[str, Any]
) -> None:
    """Mappings merge, lists are added to, commands are replaced."""
    assert merged(folder, base, own) == together


def test_volumes_of_one_target_are_replaced(folder: Folder) -> None:
    """The one above wins, in whatever form it is written."""
    base = "volumes: [a:/a, b:/b:ro]"
    own = "volumes: [{type: bind, source: /c, target: /b}, c:/c]"
    found = merged(folder, base, own)["volumes"]

    assert [(volume["source"], volume["target"]) for volume in found] == [
        ("a", "/a"),
        ("/c", "/b"),
        ("c", "/c"),
    ]


def test_our_own_keys_merge_as_the_defaults_do(folder: Folder) -> None:
    """Mappings merge, lists are replaced, and what is not said is inherited."""
    base = "replicas: 3\nrollout: {bake: 7s, steps: [{weight: 5, pause: 1s}]}"
    found = web(folder, file(base, "rollout: {steps: [{weight: 9, pause: 1s}]}"))

    assert (found.image, found.replicas, found.rollout.bake) == ("base:1", 3, 7)
    assert [step.weight for step in found.rollout.steps] == [9]
    assert [route.rule for route in found.routes] == ["Host(`web.example.com`)"]


def test_a_service_of_a_compose_file_can_be_extended(folder: Folder) -> None:
    """Its own files are beside it, and variables are put in where they are wanted only."""
    (folder.path / "sub").mkdir()
    folder.write("FROM_FILE=1", "sub/web.env")
    folder.write(
        """
        services:
          other: {image: "${UNSET:?must be set}"}
          first: {image: "acme/web:${TAG}", env_file: web.env}
          web:
            extends: {service: first}
            environment: {A: a}
        """,
        "sub/compose.yaml",
    )
    text = """
        apps:
          web:
            extends: {file: sub/compose.yaml, service: web}
            port: 80
            route: []
    """
    found = web(folder, textwrap.dedent(text), TAG="7")

    assert found.image == "acme/web:7"
    assert json.loads(found.container)["environment"] == {"FROM_FILE": "1", "A": "a"}


def test_what_compose_has_and_we_do_not_is_named_where_it_stands(folder: Folder) -> None:
    """A refused key of the other file is a mistake in that file."""
    folder.write("services: {a: {image: x, ports: ['80:80']}}", "compose.yml")
    text = "apps: {web: {extends: {file: compose.yml, service: a}, port: 80, route: []}}"
    (found,) = folder.mistakes(text)

    assert found.startswith("compose.yml:1: services.a.ports: cannot be published")


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("bse", "web.extends: there is no bse in desired.yaml; did you mean base?"),
        ("web", "web.extends: web extends itself in the end"),
        ("[a]", "web.extends: must be an app's name, or a mapping with file and service"),
        ("", "web.extends: must be an app's name, or a mapping"),
        ("{file: x}", "web.extends: service is missing"),
        ("{service: [a]}", "web.extends.service: must be text"),
        ("{sevrice: a}", "web.extends.sevrice: is unknown here; did you mean service?"),
        ("{file: nowhere, service: a}", "web.extends: nowhere is not there"),
        ("{file: ., service: a}", "web.extends: . is a folder"),
        ("{file: other, service: a}", "web.extends: other has neither apps nor services"),
        ("{file: broken, service: a}", "is not YAML: "),
        ("{file: desired.yaml, service: web}", "web extends itself in the end"),
    ],
)
def test_what_cannot_be_extended_is_a_mistake(folder: Folder, extends: str, words: str) -> None:
    """Each mistake has its place and a way out."""
    folder.write("[1]", "other")
    folder.write("{", "broken")
    found = folder.mistakes(file("", "", extends))

    assert len(found) == 1
    assert words in found[0].replace(str(folder.path), ".")


def test_the_defaults_extend_nothing(folder: Folder) -> None:
    """They are below every app anyway."""
    (found,) = folder.mistakes("defaults: {extends: a}\napps: {}")

    assert found.startswith("desired.yaml:1: defaults.extends: belongs to an app")


def test_the_defaults_are_below_what_is_extended(folder: Folder) -> None:
    """An app's own word first, then what it extends, then the defaults."""
    text = "defaults: {user: a, hostname: h}\n" + file("user: b", "domainname: c")
    found = json.loads(web(folder, text).container)

    assert found == {"user": "b", "hostname": "h", "domainname": "c"}


def test_what_contradicts_only_in_the_app_is_said_of_the_app(folder: Folder) -> None:
    """What it extends may be fine without it."""
    deploy = "deploy: {resources: {limits: {memory: 2g}}}"
    (found,) = folder.mistakes(file("mem_limit: 1g", deploy))

    assert "apps.web: mem_limit, from what it extends: deploy.resources.limits.memory" in found

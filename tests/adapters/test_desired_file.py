"""What a desired file may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.desired import Folder, app_text
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, Json, Route
from traefik_bg.core.rollout import Approval, Rollout, Step


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- what is read ---------------------------------------------------------------------------------


def test_the_least_an_app_needs(folder: Folder) -> None:
    """Image, port and route make an app; all else has a default."""
    assert folder.app("") == AppSpec(
        name=AppName("web"),
        image="web:1",
        port=8000,
        routes=(Route(rule="Host(`web.example.com`)"),),
    )


def test_everything_of_ours_reaches_the_spec(folder: Folder) -> None:
    """Each key of ours is found in the spec."""
    spec = folder.app(
        """
        replicas: 3
        hold: true
        route:
          - {host: A.Example.com, entrypoints: [websecure, web], middlewares: auth@file, tls: true}
          - rule: Host(`b.example`) && PathPrefix(`/x`)
            priority: 7
            tls: {certResolver: le, domains: [{main: b.example, sans: [c.example]}]}
        health: {path: /up, interval: 100ms, timeout: 1s, rise: 2, fall: 4, deadline: 1m30s}
        rollout:
          strategy: canary
          steps: [{weight: 5, pause: 30s}, {weight: 50, pause: 0}]
          bake: 10
          drain: 2.5s
          approval: manual
        """
    )

    assert spec.replicas == 3
    assert spec.hold
    assert spec.routes == (
        Route(
            rule="Host(`a.example.com`)",
            entrypoints=("web", "websecure"),
            middlewares=("auth@file",),
            tls=Json("{}"),
        ),
        Route(
            rule="Host(`b.example`) && PathPrefix(`/x`)",
            priority=7,
            tls=Json('{"certResolver":"le","domains":[{"main":"b.example","sans":["c.example"]}]}'),
        ),
    )
    assert spec.health == HealthPolicy(
        path="/up", interval=0.1, timeout=1.0, rise=2, fall=4, deadline=90.0
    )
    assert spec.rollout == Rollout(
        steps=(Step(weight=5, pause=30.0), Step(weight=50, pause=0.0)),
        bake=10.0,
        drain=2.5,
        approval=Approval.MANUAL,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("environment: {A: 1, B: x}", "environment: [B=x, A=1]"),
        ("environment: {A: x}", "environment: {A: x}\nlabels: {}"),
        ("labels: [a=b, c]", "labels: {c: '', a: b}"),
        ("command: serve --port '80 80'", "command: [serve, --port, '80 80']"),
        ("mem_limit: 512m", "mem_limit: 536870912"),
        ("mem_limit: 1.5g", "mem_limit: 1536 MiB"),
        ("cpus: 0.5", "cpus: '0.50'"),
        ("stop_grace_period: 1m30s", "stop_grace_period: 90s"),
        (
            "healthcheck: {test: up, interval: 1m}",
            "healthcheck: {interval: 60s, test: [CMD-SHELL, up]}",
        ),
        (
            "volumes: ['data:/d:ro']",
            "volumes: [{type: volume, source: data, target: /d, read_only: true}]",
        ),
        (
            "volumes: ['/a:/b:rw,z']",
            "volumes: [{type: bind, source: /a, target: /b, bind: {selinux: z}}]",
        ),
        ("volumes: ['/a:/b', '/c:/d']", "volumes: ['/c:/d', '/a:/b']"),
        ("networks: [back]", "networks: {back: }"),
        ("ulimits: {nofile: 5}", "ulimits: {nofile: {hard: 5, soft: 5}}"),
        ("extra_hosts: ['a:1.2.3.4', 'b=::1']", "extra_hosts: {b: '[::1]', a: [1.2.3.4]}"),
        ("tmpfs: /run", "tmpfs: [/run]"),
        ("dns: 1.1.1.1", "dns: [1.1.1.1]"),
        ("cap_add: [B, A]", "cap_add: [A, B]"),
        ("expose: [80]", "expose: ['80/tcp']"),
        ("devices: [/dev/x]", "devices: [{source: /dev/x, target: /dev/x}]"),
        ("tty: no", "environment: {}"),
        ("privileged: false", "volumes: []"),
        ("deploy: {resources: {limits: {}}}", "logging: {}"),
        ("restart: no", "restart: 'no'"),
        ("x-note: 1", "x-other: {a: [b]}"),
        ("user: 1000", "user: '1000'"),
    ],
)
def test_equal_meaning_gives_an_equal_revision(folder: Folder, one: str, other: str) -> None:
    """However a setting is spelled, an app is replaced only if its container would differ."""
    assert folder.app(one) == folder.app(other)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "environment: {A: !!str yes, B: !!int 7, C: !!null ''}",
            {"A": "yes", "B": "7"},
        ),
        (
            "environment: {A: 0755, B: 1.10, C: '', D: 2024-01-01, E: 12:30, F: 'yes', G: y}",
            {
                "A": "0755",
                "B": "1.10",
                "C": "",
                "D": "2024-01-01",
                "E": "12:30",
                "F": "yes",
                "G": "y",
            },
        ),
        ("environment: [A=b=c, 'D=e f']", {"A": "b=c", "D": "e f"}),
        ("environment: {FROM_OUTSIDE: }", {"FROM_OUTSIDE": "given"}),
        ("environment: [FROM_OUTSIDE]", {"FROM_OUTSIDE": "given"}),
        ("environment: {A: '${FROM_OUTSIDE}/$$x'}", {"A": "given/$x"}),
        ("environment: {A: '${SWITCH}'}", {"A": "true"}),
    ],
)
def test_environment_values_are_the_text_that_was_written(
    folder: Folder, keys: str, expected: dict[str, str]
) -> None:
    """Numbers, dates and versions reach the container letter by letter."""
    variables = {"FROM_OUTSIDE": "given", "SWITCH": "true"}

    assert folder.container(keys, **variables)["environment"] == expected


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ("labels: {traefik.enable: 'false'}", "labels", {"traefik.enable": "false"}),
        ("restart: on-failure:3", "restart", "on-failure:3"),
        ("ipc: shareable", "ipc", "shareable"),
        ("entrypoint: ''", "entrypoint", []),
        ("devices: [vendor.com/gpu=0]", "devices", ["vendor.com/gpu=0"]),
        ("volumes: [/data]", "volumes", [{"type": "volume", "target": "/data"}]),
        (
            "volumes: ['a:/b:nocopy', '/c:/d:rslave,ro']",
            "volumes",
            [
                {"type": "volume", "source": "a", "target": "/b", "volume": {"nocopy": True}},
                {
                    "type": "bind",
                    "source": "/c",
                    "target": "/d",
                    "read_only": True,
                    "bind": {"propagation": "rslave"},
                },
            ],
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: all}]}}}",
            "deploy",
            {
                "resources": {
                    "reservations": {"devices": [{"capabilities": ["gpu"], "count": "all"}]}
                }
            },
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 2}]}}}",
            "deploy",
            {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], "count": 2}]}}},
        ),
    ],
)
def test_container_settings_are_canonical(
    folder: Folder, keys: str, key: str, expected: object
) -> None:
    """The less usual forms come out as Docker's half understands them."""
    assert folder.container(keys)[key] == expected


def test_env_files_are_merged_as_compose_does(folder: Folder) -> None:
    """Later files win over earlier ones, and the environment over all of them."""
    folder.write("A=first\nB=first\nC=first\n", "one.env")
    folder.write("B=second\nC=second\nD=$OUTER\n", "two.env")

    found = folder.container(
        """
        env_file: [one.env, {path: two.env}, {path: none.env, required: false}]
        environment: {C: own}
        """,
        OUTER="outside",
    )

    assert found == {"environment": {"A": "first", "B": "second", "C": "own", "D": "outside"}}


def test_a_change_in_an_env_file_is_a_new_revision(folder: Folder) -> None:
    """What stands in an env file is part of the container."""
    folder.write("A=1", "web.env")
    before = folder.app("env_file: web.env").revision
    folder.write("A=2", "web.env")

    assert folder.app("env_file: web.env").revision != before


def test_a_variable_without_a_value_anywhere_is_left_out_with_a_warning(folder: Folder) -> None:
    """A variable that is to come from outside but is not set there is told of."""
    desired = folder.read(app_text("environment: {A: , B: $MISSING}"))

    assert json.loads(desired.apps[AppName("web")].container) == {"environment": {"B": ""}}
    assert [text.replace(f"{folder.path}/", "") for text in desired.warnings] == [
        (
            "desired.yaml:6: apps.web.environment.B: the variable MISSING is not set and has no "
            "default; it is taken as empty"
        ),
        (
            "desired.yaml:6: apps.web.environment.A: has no value and is not set outside; the "
            "container gets no such variable"
        ),
    ]


def test_variables_come_from_the_process_then_from_dotenv(folder: Folder) -> None:
    """The environment of the service wins over the .env beside the file."""
    folder.write("TAG=from-dotenv\nNAME=shop\nBOTH=${NAME}-$TAG\n", ".env")

    spec = folder.app("image: $NAME:$TAG\nhostname: ${BOTH}", TAG="from-process")

    assert spec.image == "shop:from-process"
    assert json.loads(spec.container)["hostname"] == "shop-from-process"


def test_variables_may_stand_for_numbers(folder: Folder) -> None:
    """A number, a switch and a duration may come from variables."""
    spec = folder.app(
        "replicas: ${N}\nhold: '$H'\nhealth: {timeout: '${T}'}", N="4", H="true", T="3s"
    )

    assert (spec.replicas, spec.hold, spec.health.timeout) == (4, True, 3.0)


def test_defaults_are_merged_under_every_app(folder: Folder) -> None:
    """Mappings merge, in whichever spelling; texts and lists are replaced."""
    spec = folder.read(
        """
        defaults:
          replicas: 2
          environment: [A=default, B=default]
          cap_add: [SYS_TIME]
          health: {path: /up, timeout: 1s}
          rollout: {bake: 1s}
        apps:
          web:
            image: web:1
            port: 80
            route: {host: a.example}
            environment: {B: own}
            cap_add: [NET_RAW]
            health: {timeout: 5s}
        """
    ).apps[AppName("web")]

    assert spec.replicas == 2
    assert (spec.health.path, spec.health.timeout, spec.rollout.bake) == ("/up", 5.0, 1.0)
    assert json.loads(spec.container) == {
        "cap_add": ["NET_RAW"],
        "environment": {"A": "default", "B": "own"},
    }


def test_an_app_undoes_a_container_default_by_leaving_it_empty(folder: Folder) -> None:
    """A Compose key without a value is absent, whatever the defaults say."""
    spec = folder.read(
        """
        defaults: {command: [serve], restart: always}
        apps:
          web: {image: web:1, port: 80, route: [], command: , restart: always}
        """
    ).apps[AppName("web")]

    assert json.loads(spec.container) == {"restart": "always"}


def test_anchors_and_merge_keys_work(folder: Folder) -> None:
    """Own keys win over merged ones, earlier merged ones over later."""
    desired = folder.read(
        """
        x-one: &one {port: 1, replicas: 2}
        x-two: &two {port: 2, image: "two:2"}
        apps:
          a: {<<: [*one, *two], route: []}
          b: &b {<<: *two, image: "b:1", route: []}
          c: *b
        """
    )

    a, b, c = (desired.apps[AppName(name)] for name in "abc")
    assert (a.port, a.image, a.replicas) == (1, "two:2", 2)
    assert (b.port, b.image) == (2, "b:1")
    assert c.revision == b.revision


def test_a_folder_is_one_desired_state(folder: Folder) -> None:
    """All YAML files of a folder count, hidden ones do not; one may hold the defaults of all."""
    folder.write("defaults: {port: 80}", "_defaults.yaml")
    folder.write("apps: {a: {image: 'a:1', route: []}}", "a.yaml")
    folder.write("apps: {b: {image: 'b:1', route: []}}", "b.yml")
    folder.write("not: [a desired file", ".hidden.yaml")
    folder.write("neither", "notes.txt")

    desired = read_desired(folder.path, environ={})

    assert {name: spec.port for name, spec in desired.apps.items()} == {"a": 80, "b": 80}


def test_explicitly_no_apps_is_a_state(folder: Folder) -> None:
    """Who writes that nothing is to run means it."""
    assert folder.read("apps: {}").apps == {}


def test_one_host_may_have_a_router_with_and_one_without_tls(folder: Folder) -> None:
    """The same host on other entry points, or by HTTP and HTTPS, is no conflict."""
    spec = folder.app(
        """
        route:
          - {host: a.example, entrypoints: [web]}
          - {host: a.example, entrypoints: [internal]}
          - {host: a.example, tls: true}
        """
    )

    assert len(spec.routes) == 3


def test_text_of_other_editors_is_read(folder: Folder) -> None:
    """A byte order mark and Windows line ends do not matter."""
    text = b"\xef\xbb\xbf" + app_text("").replace("\n", "\r\n").encode()

    assert AppName("web") in folder.read(text).apps

"""What every mistake in a desired file is answered with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.adapters.desired import Folder, app_text


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- mistakes: the file ---------------------------------------------------------------------------


# fmt: off
WRONG_FILES: list[tuple[str | bytes, str]] = [
    ("", "desired.yaml:1: is empty; write apps: {} if nothing is to run"),
    ("# nothing\n", "desired.yaml:1: is empty; write apps: {} if nothing is to run"),
    ("apps:\n", "desired.yaml:1: apps: is empty; write apps: {} if nothing is to run"),
    ("defaults: {}\n", "desired.yaml:1: apps is missing; write apps: {} if nothing is to run"),
    ("- a\n", "desired.yaml:1: must be a mapping with apps, not a list"),
    ("hello\n", 'desired.yaml:1: must be a mapping with apps, not "hello"'),
    ("apps: [a]\n", "desired.yaml:1: apps: must be a mapping of names to apps, not a list"),
    ("apps:\n\tweb: {}\n", "desired.yaml:2: a tab stands here; YAML is indented with spaces"),
    (b"apps: {}\n# \xff\n", "desired.yaml:2: is not UTF-8; save it as UTF-8"),
    ("apps: {}".encode("utf-16"), "desired.yaml:1: is UTF-16; save it as UTF-8"),
    (b"apps: {}\n#\x00", "desired.yaml:2: the control character U+0000 stands here; YAML does not allow it"),
    ("apps: {}\n---\napps: {}\n", 'desired.yaml:2: a second document begins here ("---"); write one document a file'),
    ("apps: {}\napps: {}\n", 'desired.yaml:2: the key "apps" stands already in line 1'),
    ("apps: *none\n", "desired.yaml:1: no anchor &none stands above this alias"),
    ("x-a: &a [*a]\napps: {}", "desired.yaml:1: *a contains itself"),
    ("apps: {}\n? [a]\n: b\n", "desired.yaml:2: a key must be a word, not a list, a mapping or nothing"),
    ("apps: {}\nx-a: {<<: 1}\n", "desired.yaml:2: <<: takes a mapping or a list of mappings, such as *anchor"),
    ("apps: !!set {}\n", "desired.yaml:1: the tag tag:yaml.org,2002:set means nothing here; remove it"),
    ("apps: {}\nservices: {}\n", "desired.yaml:2: services: is Compose's word: write the services under apps, or have traefik-bg import do it"),
    ("apps: {}\napp: {}\n", "desired.yaml:2: app: is unknown here; did you mean apps?"),
    ("apps: {}\ncompose: {}\n", "desired.yaml:2: compose: belongs to an app: compose: {file: …, service: …}"),
    ("apps: {}\nx: " + "[" * 100 + "]" * 100, "desired.yaml:2: is nested more than 64 deep"),
    ("apps:\n  web: {image: 'a:1'\n", "desired.yaml:2: is not YAML: did not find expected ',' or '}'"),
    ("apps:\n  web: {image: ${IMAGE}}\n", "desired.yaml:2: a ${…} between brackets must stand in quotes, for YAML means braces otherwise"),
    ("apps:\n  web: image: x\n", 'desired.yaml:2: a second ": " stands in this line; put the value in quotes, or check the indent'),
    ("apps:\n  web: nothing\n", 'desired.yaml:2: apps.web: an app must be a mapping, not "nothing"'),
    ("apps:\n  web:\n", "desired.yaml:2: apps.web: an app must be a mapping, not nothing"),
    ("defaults: 1\napps: {}\n", 'desired.yaml:1: defaults: defaults must be a mapping, not "1"'),
    ("defaults: {imag: x}\napps: {}\n", "desired.yaml:1: defaults.imag: is unknown here; did you mean image?"),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), WRONG_FILES)
def test_a_file_that_is_no_desired_state_says_why(
    folder: Folder, text: str | bytes, expected: str
) -> None:
    """Whatever is wrong with the file as such is named with its line."""
    assert folder.mistakes(text) == [expected]


def test_an_enormous_file_out_of_a_small_one_is_stopped(folder: Folder) -> None:
    """Aliases of aliases do not eat the memory."""
    lines = ["x-0: &a0 [a, b, c, d, e, f, g, h]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 10)]
    text = "\n".join([*lines, "apps: {web: {command: *a9}}"])

    (said,) = folder.mistakes(text)

    assert said.endswith("the aliases here unfold into more than traefik-bg reads")


def test_a_file_that_cannot_be_read_says_why(folder: Folder) -> None:
    """Missing files, folders without files and pipes are told apart."""
    folder.path.joinpath("empty").mkdir()
    os.mkfifo(folder.path / "pipe")

    assert folder.mistakes_in(folder.path / "none.yaml") == ["none.yaml: is not there"]
    assert folder.mistakes_in(folder.path / "empty") == [
        "empty: is a folder without any *.yaml or *.yml file"
    ]
    assert folder.mistakes_in(folder.path / "pipe") == ["pipe: is neither a file nor a folder"]


def test_a_file_that_may_not_be_read_says_why(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights that are missing are told of in words; names no file can have, too."""

    def refuse(*_arguments: object, **_options: object) -> int:
        raise PermissionError(13, "Permission denied")

    assert folder.mistakes_in(folder.path / "a\0b") == [
        "a\0b: cannot be read: its name is not possible"
    ]
    monkeypatch.setattr(os, "open", refuse)
    assert folder.mistakes_in(folder.file) == [
        ".env: cannot be read: permission denied",
        "desired.yaml: cannot be read: permission denied",
    ]


def test_a_folder_names_the_mistakes_of_all_its_files(folder: Folder) -> None:
    """One broken file makes the folder unusable, and every file's mistakes are named."""
    folder.path.joinpath("d.yaml").mkdir()
    folder.write("apps: {a: {image: 'a:1', port: 80, route: []}}", "a.yaml")
    folder.write("apps: {a: {image: 'a:1', port: 81, route: []}}", "b.yaml")
    folder.write("", "c.yaml")
    folder.write("defaults: {}", "e.yaml")
    folder.write("defaults: {}", "f.yaml")

    assert folder.mistakes_in(folder.path) == [
        f"b.yaml:1: apps.a: stands already in {folder.path}/a.yaml:1".replace(
            f"{folder.path}/", ""
        ),
        "c.yaml:1: is empty; write apps: {} if nothing is to run",
        "d.yaml: is a folder",
        "f.yaml:1: defaults: stands already in e.yaml:1; one file of a folder holds the defaults of all",
    ]


def test_a_folder_without_any_apps_key_is_no_desired_state(folder: Folder) -> None:
    """Defaults alone do not say that nothing is to run."""
    folder.write("defaults: {}", "a.yaml")

    with_apps = folder.mistakes_in(folder.path)
    assert len(with_apps) == 1
    assert with_apps[0].endswith(
        ": none of the files has apps; write apps: {} if nothing is to run"
    )


# --- mistakes: the app ----------------------------------------------------------------------------


def test_all_mistakes_of_all_apps_are_named_at_once(folder: Folder) -> None:
    """Each is named by file, line and key, in order of the lines."""
    assert folder.mistakes(
        """
        defaults:
          health: {timeout: 0s}
        apps:
          web:
            image: web:1
            replica: 2
            port: 80000
            route: {host: a.example}
            rollout:
              steps: [{weight: 5, pause: 30s}, {weight: 5, pause: 1m}]
              mirror: 0
          api:
            image: API
            scale: 2
            route: {host: a.example}
        """
    ) == [
        "desired.yaml:2: defaults.health.timeout: must be longer than 0",
        "desired.yaml:6: apps.web.replica: is unknown here; did you mean replicas?",
        'desired.yaml:7: apps.web.port: must be a port from 1 to 65535, not "80000"',
        "desired.yaml:10: apps.web.rollout.steps[1].weight: weights must rise from step to step, but 5 follows 5",
        'desired.yaml:11: apps.web.rollout.mirror: must be a whole number of percent from 1 to 100, not "0"',
        "desired.yaml:12: apps.api: port is missing: write the port the app listens on in its container, such as 8000",
        'desired.yaml:13: apps.api.image: "API" names no image: an image\'s name is lower case, such as ghcr.io/acme/web:1.4.2',
        "desired.yaml:14: apps.api.scale: is written replicas here",
        "desired.yaml:15: apps.api.route.host: Host(`a.example`) is already the route of web in desired.yaml:8; one request cannot go to both",
    ]


def test_a_mistake_behind_an_anchor_names_the_line_where_it_stands(folder: Folder) -> None:
    """The line is that of the wrong value, however it got into the app."""
    assert folder.mistakes(
        """
        x-health: &health
          timeout: soon
        apps:
          web: {image: 'web:1', port: 80, route: [], health: *health}
        """
    ) == [
        'desired.yaml:2: apps.web.health.timeout: must be a duration such as 250ms, 30s or 1m30s, not "soon"'
    ]


@pytest.mark.parametrize("name", ["Web", "-web", "web_1", "a" * 42, "web.example", "wéb", ""])
def test_names_that_cannot_be_part_of_other_names_are_refused(folder: Folder, name: str) -> None:
    """Containers and routers are called by the app's name, which limits what it can be."""
    text = f"apps:\n  '{name}': {{image: 'web:1', port: 80, route: []}}\n"

    (mistake,) = folder.mistakes(text)

    assert mistake.endswith(
        f'"{name}" cannot be an app\'s name: it becomes part of names of containers and routers, so '
        "it has at most 41 lower-case letters, digits and dashes, and begins with a letter or a digit"
    )


def test_names_that_mean_something_to_traefik_are_refused(folder: Folder) -> None:
    """Our own name, and what parts of other apps are called, cannot be apps."""
    app = "{image: 'web:1', port: 80, route: []}"

    assert folder.mistakes(
        f"apps:\n  web: {app}\n  web-3f2a91bc: {app}\n  traefik-bg: {app}\n"
    ) == [
        (
            "desired.yaml:3: apps.web-3f2a91bc: the app name web-3f2a91bc is what Traefik is told to "
            "call a part of the app web; choose another ending"
        ),
        "desired.yaml:4: apps.traefik-bg: the app name traefik-bg is reserved for traefik-bg itself",
    ]


# fmt: off
DURATION = "must be a duration such as 250ms, 30s or 1m30s, not"
RULE_HINT = (
    "is no rule of Traefik such as Host(`a.example`) && PathPrefix(`/path`); check its brackets"
)
IMAGE_HINT = "an image's name is lower case, such as ghcr.io/acme/web:1.4.2"
QUOTE_IT = "YAML takes this for true or false; quote it to say which text is meant"

WRONG_VALUES: list[tuple[str, str | None]] = [
    # image, port, replicas
    ("image:", "web.image: is empty: write text, or remove the key"),
    ("image: yes", "web.image: must be text, and YAML takes yes for true or false: quote it"),
    ("image: [a]", "web.image: must be text, not a list"),
    ("image: 'web:'", 'web.image: "web:" names no image: the tag after the colon is empty'),
    ("image: Web:1", f'web.image: "Web:1" names no image: {IMAGE_HINT}'),
    ("image: a b", f'web.image: "a b" names no image: {IMAGE_HINT}'),
    ("image: web@1", 'web.image: "web@1" names no image: what follows the @ is no digest such as sha256:…'),
    ("image: 'web:a b'", 'web.image: "web:a b" names no image: the tag may hold letters, digits, dots, dashes and underscores only'),
    ("port: 0", 'web.port: must be a port from 1 to 65535, not "0"'),
    ("port: 8000/tcp", 'web.port: must be a port from 1 to 65535, not "8000/tcp"'),
    ("port: 22:22", 'web.port: must be a port from 1 to 65535, not "22:22"'),
    ("port: 08000", 'web.port: must be a port from 1 to 65535, not "08000"'),
    ("port: [8000]", "web.port: must be a port from 1 to 65535, not a list"),
    ("port:", "web.port: is empty: write a port from 1 to 65535, or remove the key"),
    ("replicas: 0", "web.replicas: 0 would leave nothing to serve: remove the app to stop it, or write hold: true to leave it alone"),
    ("replicas: -1", 'web.replicas: must be a whole number from 1 to 1000, not "-1"'),
    ("replicas: 1.5", 'web.replicas: must be a whole number from 1 to 1000, not "1.5"'),
    ("replicas: many", 'web.replicas: must be a whole number from 1 to 1000, not "many"'),
    ("replicas: 20000", 'web.replicas: must be a whole number from 1 to 1000, not "20000"'),
    ("hold: maybe", 'web.hold: must be true or false, not "maybe"'),
    ("hold:", "web.hold: is empty: write true or false, or remove the key"),
    # route
    ("route:", "web.route: is empty: write a mapping, or remove the key"),
    ("route: a.example", 'web.route: must be a mapping, not "a.example"'),
    ("route: {}", "web.route: needs host: a.example, or rule: a rule of Traefik, or tcp: true for connections that are not HTTP"),
    ("route: {host: a.example, rule: Host(`a`)}", "web.route.rule: has both host and rule; one of them is enough"),
    ("route: {host: http://a.example}", 'web.route.host: "http://a.example" is more than a host name; for a path write rule: Host(`a.example`) && PathPrefix(`/path`)'),
    ("route: {host: a.example/x}", 'web.route.host: "a.example/x" is more than a host name; for a path write rule: Host(`a.example`) && PathPrefix(`/path`)'),
    ("route: {host: '*.a.example'}", 'web.route.host: "*.a.example" has a wildcard; write rule: HostRegexp(`^[^.]+\\.a\\.example$$`)'),
    ("route: {host: 'a.example:80'}", 'web.route.host: "a.example:80" is no host name such as web.example.com'),
    ("route: {host: bücher.example}", 'web.route.host: "bücher.example" has letters beyond ASCII; write its xn--… form'),
    ("route: {host: 'a`b'}", 'web.route.host: "a`b" is no host name such as web.example.com'),
    ("route: {rule: 'Host(`a`'}", f"web.route.rule: {RULE_HINT}"),
    ("route: {rule: a.example}", f"web.route.rule: {RULE_HINT}"),
    ("route: {rule: 'Host(`a)'}", "web.route.rule: a ` or a double quote in this rule is never closed"),
    ("route: {rule: 'HostRegexp(`^a$`)'}", 'web.route.rule: a "$" begins no variable here; write "$$" for a plain dollar sign'),
    ("route: {host: a, entrypoint: web}", "web.route.entrypoint: is unknown here; did you mean entrypoints?"),
    ("route: [{host: a, entrypoints: [a b]}]", 'web.route[0].entrypoints[0]: "a b" is no name: it has a space'),
    ("route: {host: a, tls: {resolver: x}}", "web.route.tls.resolver: is unknown here; did you mean certResolver?"),
    ("route: {host: a, tls: }", "web.route.tls: is empty: write a mapping, or remove the key"),
    ("route: {host: a, tls: maybe}", 'web.route.tls: must be true or false, not "maybe"'),
    ("route: {host: a, priority: 0}", 'web.route.priority: must be a whole number from 1, not "0"'),
    ("route: [{host: a, sticky: true}, {host: b}]", "web.route: sticky must be the same in all routes of an app"),
    ("route: [{host: a}, {rule: 'Host(`a`)'}]", "web.route[1].rule: Host(`a`) is already the route of web in desired.yaml:5; one request cannot go to both"),
    ("host: a.example", "web.host: belongs under route"),
    # health
    ("health: {path: health}", 'web.health.path: "health" is no path; it begins with / and has no spaces'),
    ("health: {timeout: 0}", "web.health.timeout: must be longer than 0"),
    ("health: {timeout: -1s}", f'web.health.timeout: {DURATION} "-1s"'),
    ("health: {interval: 5 apples}", f'web.health.interval: {DURATION} "5 apples"'),
    ("health: {interval: 1e9}", f'web.health.interval: {DURATION} "1e9"'),
    ("health: {interval: .inf}", f'web.health.interval: {DURATION} ".inf"'),
    ("health: {interval: [1s]}", "web.health.interval: must be a duration such as 250ms, 30s or 1m30s, not a list"),
    ("health: {deadline: 99999h}", 'web.health.deadline: "99999h" is longer than a year; is the unit right?'),
    ("health: {rise: 0}", 'web.health.rise: must be a whole number from 1 to 1000, not "0"'),
    ("health: {rise: 10, interval: 10s}", "web.health.rise: rise: 10 successes, one every 10s, take longer than the deadline of 60s: no replica could ever become healthy"),
    ("health: {serving_interval: 5s}", "web.health.serving_interval: is unknown here; did you mean interval?"),
    ("health: /up", 'web.health: must be a mapping, not "/up"'),
    ("health:", "web.health: is empty: write a mapping, or remove the key"),
    ("before: ./migrate", "web.before: belongs under hooks"),
    ("update: {}", "web.update: poll is missing: write how often its registry is asked what the tag means, such as 5m"),
    # what blue and green cannot share, and what Compose does that is not done here
    ("container_name: web", "web.container_name: cannot be fixed: blue and green run side by side, so each replica gets a name of its own"),
    ("ports: ['80:80']", "web.ports: cannot be published: blue and green would fight for them; write port: the port inside the container, and Traefik publishes the app"),
    ("build: .", "web.build: is not done here: build and tag the image first, with a new tag each time, and write it under image"),
    ("depends_on: [db]", "web.depends_on: is not supported: traefik-bg waits for health, not for order; let the app retry until what it needs is there"),
    ("network_mode: host", "web.network_mode: is not supported: Traefik must reach the replicas in the network they share; write networks for further ones"),
    ("secrets: [a]", "web.secrets[0]: a is not declared: write it under secrets, beside apps"),
    ("post_start: [{command: x}]", "web.post_start: is not supported by this version of traefik-bg"),
    ("frobnicate: 1", "web.frobnicate: is unknown here; see desired.reference.yaml"),
    ("networks: {back: {ipv4_address: 10.0.0.2}}", "web.networks.back.ipv4_address: cannot be fixed: blue and green run side by side"),
    ("deploy: {replicas: 2}", "web.deploy.replicas: is written replicas, on the app itself"),
    ("deploy: {update_config: {}}", "web.deploy.update_config: is not supported: rollout says how the app is updated"),
    ("deploy: {placement: {}}", "web.deploy.placement: is for Swarm; traefik-bg runs containers on one Docker host"),
    # container settings
    ("environment: {A: yes}", f"web.environment.A: {QUOTE_IT}"),
    ("environment: {A: true}", f"web.environment.A: {QUOTE_IT}"),
    ("environment: {A: [b]}", "web.environment.A: must be one value, not a list"),
    ("environment: {'': b}", 'web.environment.: a variable needs a name without "="'),
    ("environment: [A=secret, A=other]", "web.environment[1]: A stands already in this list"),
    ("environment: [true]", "web.environment[0]: must be NAME=VALUE"),
    ("environment: text", 'web.environment: must be a mapping or a list of NAME=VALUE, not "text"'),
    ("env_file: none.env", "web.env_file: none.env is not there"),
    ("env_file: [a.env, .]", None),
    ("labels: {traefik-bg.app: x}", "web.labels.traefik-bg.app: labels that begin with traefik-bg. are our own"),
    ("labels: [traefik.enable=true]", "web.labels.traefik.enable: this label would make Traefik route to the container past traefik-bg, to blue and green alike; say it under route (host, rule, entrypoints, middlewares, tls)"),
    ("command: \"a 'b\"", "web.command: a quote in this command is never closed"),
    ("command: {a: b}", "web.command: must be text, not a mapping"),
    ("command: [a, true]", "web.command[1]: must be text, and YAML takes true for true or false: quote it"),
    ("volumes: ['./data:/data']", 'web.volumes[0]: "./data" is relative, and traefik-bg may see other folders than Docker does; write the absolute path on the Docker host'),
    ("volumes: ['~/data:/data']", 'web.volumes[0]: "~/data" is relative, and traefik-bg may see other folders than Docker does; write the absolute path on the Docker host'),
    ("volumes: ['data:data']", 'web.volumes[0]: the path in the container must be absolute, not "data"'),
    ("volumes: ['a b:/data']", 'web.volumes[0]: "a b" can be neither a volume\'s name nor an absolute path'),
    ("volumes: ['a:/b:ro:x']", 'web.volumes[0]: "a:/b:ro:x" is not SOURCE:TARGET, SOURCE:TARGET:OPTIONS or TARGET'),
    ("volumes: ['a:/b:or']", 'web.volumes[0]: "or" is no option of this mount; ro and rw are the usual ones'),
    ("volumes: ['a:/b', 'c:/b']", 'web.volumes[1]: "/b" is mounted twice'),
    ("volumes: [{type: bind, target: /b}]", "web.volumes[0]: a bind mount needs a source: a path of the Docker host"),
    ("volumes: [{type: volume, src: a, target: /b}]", "web.volumes[0].src: is unknown here; did you mean source?"),
    ("volumes: {a: /b}", "web.volumes: must be a list, not a mapping"),
    ("mem_limit: 5 apples", 'web.mem_limit: must be a size such as 512m or 1.5g, not "5 apples"'),
    ("cpus: 0", 'web.cpus: must be a number such as 0.5, not "0"'),
    ("restart: sometimes", 'web.restart: must be no, always, unless-stopped, on-failure or on-failure:3, not "sometimes"'),
    ("tty: 1", 'web.tty: must be true or false, not "1"'),
    ("healthcheck: {test: [curl]}", "web.healthcheck.test: a list must begin with CMD, CMD-SHELL or NONE"),
    ("healthcheck: {intervall: 1s}", "web.healthcheck.intervall: is unknown here; did you mean interval?"),
    ("ulimits: {nofile: lots}", None),
    ("networks: back", 'web.networks: must be a list of networks, not "back"'),
    ("pid: service:db", 'web.pid: "service:" means another Compose service, and there are none here'),
    ("expose: [web]", 'web.expose[0]: must be a port such as 8000, 8000/udp or 8000-8002, not "web"'),
    ("extra_hosts: [a]", "web.extra_hosts: each entry must be HOST=ADDRESS"),
    ("devices: [{target: /dev/x}]", "web.devices[0]: source is missing: the device on the Docker host"),
    ("devices: [{source: /dev/x, path: y}]", 'web.devices[0]: "path" is unknown here; permissions, source, target are known'),
    ('hostname: "a\\0b"', "web.hostname: holds the character U+0000"),
    ("image: '${IMAGE:?say which}'", "web.image: the variable IMAGE is not set: say which"),
]
# fmt: on


@pytest.mark.parametrize(("keys", "expected"), WRONG_VALUES)
def test_a_wrong_value_says_what_would_work(
    folder: Folder, keys: str, expected: str | None
) -> None:
    """Each mistake is the only thing said of it, with its key and a way out."""
    if expected is None:
        assert folder.mistakes(app_text(keys))
        return
    said = folder.app_mistake(keys).replace(f"{folder.path}/", "")

    assert said == expected


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        "environment: {PASSWORD: [hunter2]}",
        "environment: [PASSWORD=hunter2, PASSWORD=hunter2]",
        "environment: {PASSWORD: 'hunter2$('}",
        "replicas: $SECRET",
        "image: A$SECRET",
        "volumes: ['$SECRET:x']",
        "volumes: ['$SECRET:/x:$SECRET']",
        "volumes: [{type: volume, source: '$SECRET', target: '$SECRET'}]",
        "route: {host: '$SECRET '}",
        "health: {timeout: $SECRET}",
        "rollout: {approval: $SECRET}",
        "rollout: {steps: [$SECRET], mirror: $SECRET, analysis: {worse_than_blue: $SECRET}}",
        "rollout: {analysis: {checks: [{name: $SECRET s, query: '{', prometheus: $SECRET}]}}",
        "rollout: {preview: {header: '$SECRET', cookie: '$SECRET', host: '$SECRET/'}}",
        "route: {tcp: $SECRET}",
        "restart: $SECRET",
        "expose: ['$SECRET']",
        "labels: {a: {b: hunter2}}",
        "devices: [{source: '$SECRET'}, '$SECRET']\ntty: $SECRET",
    ],
)
def test_no_mistake_repeats_a_secret(folder: Folder, keys: str) -> None:
    """Neither an environment value nor what a variable stood for is ever repeated."""
    said = folder.mistakes(app_text(keys), SECRET="hunter2")

    assert "hunter2" not in "".join(said)

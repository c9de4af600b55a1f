"""What a desired file may say of a rollout and of TCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.desired import Folder, app_text
from traefik_bg.core.model import AppName, Json, Protocol, Route
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Check,
    CheckKind,
    Inconclusive,
    Mirror,
    Preview,
    Rollout,
    Sessions,
    Step,
    Strategy,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def warnings(folder: Folder, keys: str) -> list[str]:
    """Return the warnings of an app with these keys, without the file's folder."""
    return [text.replace(f"{folder.path}/", "") for text in folder.read(app_text(keys)).warnings]


# --- what is read ---------------------------------------------------------------------------------


def test_every_key_of_a_rollout_reaches_the_spec(folder: Folder) -> None:
    """Each setting of a deployment side by side is found in the spec."""
    spec = folder.app(
        """
        rollout:
          strategy: canary
          steps:
            - {weight: 5, pause: 30s}
            - {weight: 25, until: approval}
            - {weight: 50, pause: 1m, until: approval}
          bake: 10
          drain: 2.5s
          approval: manual
          analysis:
            max_error_ratio: 1%
            max_p50: 100ms
            max_p95: 500ms
            max_p99: 2s
            worse_than_blue: 1.5x
            min_requests: 20
            window: 2m
            max_wait: 10m
            inconclusive: reject
            checks:
              - name: cart
                query: |
                  sum(rate(x{service="{service}"}[1m]))
                prometheus: http://prometheus:9090/
                min: -1
                max: 1e-2
                interval: 15s
                timeout: 3s
              - {name: gate, webhook: "https://ci.example.com/gate?app={app}"}
              - {name: script, command: "./check.sh '{app} {weight}'"}
          preview: {header: "x-preview:  green", cookie: preview=green, host: Preview.Example.com}
          sessions: keep
          mirror: {percent: 10, pause: 1m, methods: all}
        """
    )

    assert spec.rollout == Rollout(
        strategy=Strategy.SIDE_BY_SIDE,
        steps=(
            Step(weight=5, pause=30.0),
            Step(weight=25, needs_approval=True),
            Step(weight=50, pause=60.0, needs_approval=True),
        ),
        bake=10.0,
        drain=2.5,
        approval=Approval.MANUAL,
        analysis=Analysis(
            max_error_ratio=0.01,
            max_p50=0.1,
            max_p95=0.5,
            max_p99=2.0,
            worse_than_blue=1.5,
            min_requests=20,
            window=120.0,
            max_wait=600.0,
            inconclusive=Inconclusive.REJECT,
            checks=(
                Check(
                    name="cart",
                    kind=CheckKind.QUERY,
                    target="http://prometheus:9090",
                    query='sum(rate(x{service="{service}"}[1m]))',
                    at_least=-1.0,
                    at_most=0.01,
                    interval=15.0,
                    timeout=3.0,
                ),
                Check(
                    name="gate",
                    kind=CheckKind.WEBHOOK,
                    target="https://ci.example.com/gate?app={app}",
                ),
                Check(
                    name="script", kind=CheckKind.COMMAND, command=("./check.sh", "{app} {weight}")
                ),
            ),
        ),
        preview=Preview(
            header=("X-Preview", "green"),
            cookie=("preview", "green"),
            host="preview.example.com",
        ),
        sessions=Sessions.KEEP,
        mirror=Mirror(percent=10, pause=60.0, all_methods=True),
    )


def test_recreate_reaches_the_spec(folder: Folder) -> None:
    """The only strategy that is not side by side is told apart, with how long requests wait."""
    spec = folder.app("rollout: {strategy: recreate, hold_requests: 1m}")

    assert spec.rollout == Rollout(strategy=Strategy.RECREATE, hold_requests=60.0)
    assert folder.app("rollout: {strategy: recreate}").rollout.hold_requests == 30.0


def test_tcp_routes_reach_the_spec(folder: Folder) -> None:
    """What is no HTTP is routed by connections, with or without TLS."""
    spec = folder.app(
        """
        route:
          - {tcp: true, entrypoints: postgres, middlewares: office@file}
          - {tcp: "HostSNI(`a.example`)", entrypoints: tls, tls: {passthrough: true}, priority: 5}
          - {tcp: "HostSNI(`b.example`) && ClientIP(`10.0.0.0/8`)", entrypoints: tls, tls: true}
        """
    )

    assert spec.routes == (
        Route(
            rule="HostSNI(`*`)",
            entrypoints=("postgres",),
            middlewares=("office@file",),
            protocol=Protocol.TCP,
        ),
        Route(
            rule="HostSNI(`a.example`)",
            entrypoints=("tls",),
            priority=5,
            tls=Json('{"passthrough":true}'),
            protocol=Protocol.TCP,
        ),
        Route(
            rule="HostSNI(`b.example`) && ClientIP(`10.0.0.0/8`)",
            entrypoints=("tls",),
            tls=Json("{}"),
            protocol=Protocol.TCP,
        ),
    )


QUERY = "name: a, query: up, prometheus: 'http://p:9090'"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mirror: 10", "mirror: {percent: 10, pause: 30s, methods: safe}"),
        ("analysis: {max_error_ratio: 1.1%}", "analysis: {max_error_ratio: 0.011}"),
        ("analysis: {max_error_ratio: 0}", "analysis: {max_error_ratio: 0 %}"),
        ("analysis: {worse_than_blue: 1.5x}", "analysis: {worse_than_blue: 1.50}"),
        ("analysis: {max_p95: 500ms}", "analysis: {max_p95: 0.5, min_requests: 50, window: 60}"),
        (f"analysis: {{checks: [{{{QUERY}, max: 0}}]}}", f"analysis: {{checks: [{{{QUERY}/, max: '-0'}}]}}".replace("9090'/", "9090/'")),
        ("analysis: {checks: [{name: a, command: [x, 'y z']}]}", "analysis: {checks: [{name: a, command: \"x 'y z'\"}]}"),
        ("preview: {header: 'X-Preview: a'}", "preview: {header: 'x-PREVIEW:a '}"),
        ("preview: {cookie: a=b=c}", "preview: {cookie: ' a = b=c'}"),
        ("sessions: move", "strategy: blue-green"),
        ("preview: {host: p.example}", "preview: {host: P.example.}"),
        ("steps: [{weight: 5, until: approval}]", "steps: [{weight: 5, pause: 0, until: approval}]"),
        ("preview: false", "mirror: no\n  analysis: 'off'"),
    ],
)  # fmt: skip
def test_equal_meaning_gives_an_equal_rollout(folder: Folder, one: str, other: str) -> None:
    """However a rollout is spelled, nothing is done anew unless something else is meant."""
    specs = [folder.app(f"rollout:\n  {keys}") for keys in (one, other)]

    assert specs[0] == specs[1]
    assert specs[0].digest == specs[1].digest


@pytest.mark.parametrize(
    "keys",
    [
        "steps: [{weight: 5, until: approval}]",
        "bake: 31s",
        "drain: 31s",
        "approval: manual",
        "analysis: {max_p95: 1s}",
        "analysis: {checks: [{name: a, command: x}]}",
        "preview: {header: 'X-Preview: green'}",
        "sessions: keep",
        "mirror: 10",
        "strategy: recreate",
    ],
)
def test_a_rollout_can_change_without_new_containers(folder: Folder, keys: str) -> None:
    """Every setting of a rollout changes the spec, and none the revision."""
    plain, changed = folder.app(""), folder.app(f"rollout: {{{keys}}}")

    assert changed.digest != plain.digest
    assert changed.revision == plain.revision


def test_an_app_undoes_the_rollout_of_the_defaults(folder: Folder) -> None:
    """Lists and short forms replace, mappings merge, and false means none."""
    apps = folder.read(
        """
        defaults:
          rollout:
            steps: [{weight: 5, pause: 30s}]
            analysis: {max_p95: 1s, checks: [{name: a, command: x}]}
            preview: {cookie: a=b}
            mirror: {percent: 5, methods: all}
            sessions: keep
        apps:
          merged:
            image: a:1
            port: 80
            route: {host: a.example}
            rollout:
              steps: [{weight: 9, pause: 1s}]
              analysis: {max_p95: 2s, checks: [{name: b, command: y}]}
              preview: {host: b.example}
              mirror: 7
          undone:
            image: a:1
            port: 80
            route: {tcp: true, entrypoints: tcp}
            rollout:
              {strategy: recreate, steps: [], analysis: off, preview: false, mirror: no, sessions: move}
        """
    ).apps

    assert apps[AppName("merged")].rollout == Rollout(
        steps=(Step(weight=9, pause=1.0),),
        analysis=Analysis(
            max_p95=2.0, checks=(Check(name="b", kind=CheckKind.COMMAND, command=("y",)),)
        ),
        preview=Preview(cookie=("a", "b"), host="b.example"),
        mirror=Mirror(percent=7),
        sessions=Sessions.KEEP,
    )
    assert apps[AppName("undone")].rollout == Rollout(strategy=Strategy.RECREATE)


def test_placeholders_stay_and_variables_are_put_in(folder: Folder) -> None:
    """What stands between braces is for the deployment; ${…} is for the file."""
    spec = folder.app(
        """
        rollout:
          analysis:
            checks:
              - name: errors
                query: 'x{service="{service}",code=~"5..$$"}'
                prometheus: ${PROMETHEUS}
                max: ${LIMIT:-5}
              - {name: script, command: [./check.sh, "{app}", "{revision}", "{weight}", "{image}"]}
        """,
        PROMETHEUS="http://prometheus:9090",
    )

    assert spec.rollout.analysis is not None
    query, script = spec.rollout.analysis.checks
    assert query.query == 'x{service="{service}",code=~"5..$"}'
    assert (query.target, query.at_most) == ("http://prometheus:9090", 5.0)
    assert script.command[1:] == ("{app}", "{revision}", "{weight}", "{image}")


# --- warnings -------------------------------------------------------------------------------------


TCP = "tcp: true, entrypoints: db"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("rollout: {analysis: {worse_than_blue: 2}}", "rollout.analysis.worse_than_blue: has nothing to compare with: without steps and mirror, the old version has no requests while the new one has some"),
        ("route: []\nrollout: {analysis: {max_p95: 1s}}", "rollout.analysis.max_p95: has nothing to judge: an app without a route gets no requests through Traefik"),
        (f"route: {{{TCP}}}\nrollout: {{strategy: recreate}}", "rollout.strategy: TCP connections are not held: those that come while nothing serves are closed"),
        (f"route: {{{TCP}}}\nrollout: {{strategy: recreate, hold_requests: 5s}}", "rollout.hold_requests: TCP connections are not held: those that come while nothing serves are closed"),
        (f"route: {{{TCP}, tls: {{passthrough: true}}}}\nhealth: {{path: /up}}", "health.path: is asked without TLS, which the app is not likely to answer on a port that TLS is passed through to; without it Docker's HEALTHCHECK decides, or a TCP connect"),
    ],
)  # fmt: skip
def test_what_will_not_do_what_is_expected_is_warned_of(
    folder: Folder, keys: str, expected: str
) -> None:
    """What is odd but possible is in force, and told of with its line."""
    (said,) = warnings(folder, keys)

    assert said.startswith("desired.yaml:")
    assert said.partition(": apps.web.")[2] == expected


@pytest.mark.parametrize(
    "keys",
    [
        "rollout: {analysis: {worse_than_blue: 2}, steps: [{weight: 5, pause: 1s}]}",
        "rollout: {analysis: {worse_than_blue: 2}, mirror: 5}",
        "rollout: {strategy: recreate, analysis: {max_p95: 1s}}",
        f"route: {{{TCP}}}\nhealth: {{path: /up}}",
        f"route: {{{TCP}}}\nrollout: {{steps: [{{weight: 5, pause: 1s}}]}}",
        "route: []\nrollout: {analysis: {checks: [{name: a, command: x}]}}",
    ],
)
def test_what_is_usual_is_not_warned_of(folder: Folder, keys: str) -> None:
    """Settings that do what they say are taken without a word."""
    assert warnings(folder, keys) == []

"""What a mistake in a rollout or in a TCP route is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.desired import Folder, app_text


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# fmt: off
QUERY = "name: a, query: up, prometheus: 'http://p:9090'"
TCP = "tcp: true, entrypoints: db"
PERCENT = "must be a whole number of percent from 1 to"
WRONG_ROLLOUTS: list[tuple[str, str]] = [
    ("strategy: bluegreen", 'strategy: must be blue-green, canary or recreate, not "bluegreen"'),
    ("strategy: canary", "strategy: canary needs steps, such as steps: [{weight: 5, pause: 30s}]"),
    ("strategy: blue-green, steps: [{weight: 5, pause: 1s}]", "strategy: blue-green moves all traffic at once, so steps contradict it: write strategy: canary, or steps: [] to undo those of the defaults"),
    ("approval: maybe", 'approval: must be automatic or manual, not "maybe"'),
    ("bakes: 1s", "bakes: is unknown here; did you mean bake?"),
    ("sessions: sticky", 'sessions: must be move or keep, not "sticky"'),
    # steps
    ("steps: [{weight: 0, pause: 1s}]", f'steps[0].weight: {PERCENT} 99, not "0"'),
    ("steps: [{weight: 100, pause: 1s}]", f'steps[0].weight: {PERCENT} 99, not "100"'),
    ("steps: [{weight: 2.5, pause: 1s}]", f'steps[0].weight: {PERCENT} 99, not "2.5"'),
    ("steps: [{weight: 5%, pause: 1s}]", f'steps[0].weight: {PERCENT} 99, not "5%"'),
    ("steps: [{weight: 5}]", "steps[0]: pause is missing: write how long to stay there, such as 30s, or until: approval"),
    ("steps: [{pause: 1s}]", "steps[0]: weight is missing: write percent of the requests for the new version"),
    ("steps: [{weight: 5, until: promote}]", 'steps[0].until: must be approval, not "promote"'),
    ("steps: [75]", 'steps[0]: must be a step such as {weight: 25, pause: 30s}, not "75"'),
    ("steps: {weight: 5}", "steps: must be a list, not a mapping"),
    ("until: approval", "until: belongs to a step"),
    # analysis
    ("analysis: {}", "analysis: says nothing to judge by: write a limit, such as max_error_ratio: 1% or max_p95: 500ms, or checks"),
    ("analysis: {min_requests: 5, checks: []}", "analysis: says nothing to judge by: write a limit, such as max_error_ratio: 1% or max_p95: 500ms, or checks"),
    ("analysis: true", 'analysis: must be a mapping, not "true"'),
    ("analysis: ", "analysis: is empty: write a mapping, or remove the key"),
    ("analysis: {max_error_rate: 1}", "analysis.max_error_rate: is unknown here; did you mean max_error_ratio?"),
    ("analysis: {max_error_ratio: 5}", 'analysis.max_error_ratio: is more than the whole: write a ratio such as 0.01 or 1%, not "5"; percent need the sign'),
    ("analysis: {max_error_ratio: 101%}", 'analysis.max_error_ratio: is more than the whole: write a ratio such as 0.01 or 1%, not "101%"; percent need the sign'),
    ("analysis: {max_error_ratio: few}", 'analysis.max_error_ratio: must be a ratio such as 0.01 or 1%, not "few"'),
    ("analysis: {max_error_ratio: '%'}", 'analysis.max_error_ratio: must be a ratio such as 0.01 or 1%, not "%"'),
    ("analysis: {max_p95: 0}", "analysis.max_p95: must be longer than 0"),
    ("analysis: {max_p95: 5 apples}", 'analysis.max_p95: must be a duration such as 250ms, 30s or 1m30s, not "5 apples"'),
    ("analysis: {worse_than_blue: 50%}", 'analysis.worse_than_blue: must be a factor such as 1.5 or 1.5x, not "50%"'),
    ("analysis: {worse_than_blue: 0.5x}", 'analysis.worse_than_blue: must be 1 or more, such as 1.5x, not "0.5x"'),
    ("analysis: {max_p95: 1s, min_requests: 0}", 'analysis.min_requests: must be a whole number from 1 to 1000000, not "0"'),
    ("analysis: {max_p95: 1s, inconclusive: wait}", 'analysis.inconclusive: must be continue or reject, not "wait"'),
    ("max_p95: 1s", "max_p95: belongs under analysis"),
    # checks
    ("analysis: {checks: [{command: x}]}", "analysis.checks[0]: name is missing: write what it is called in reasons, such as error-rate"),
    ("analysis: {checks: [{name: 'a b', command: x}]}", "analysis.checks[0].name: must be a name such as error-rate: at most 63 letters, digits, dashes, dots and underscores, and a letter or a digit first"),
    ("analysis: {checks: [{name: a, command: x}, {name: a, command: y}]}", "analysis.checks[1].name: another check of this list has this name"),
    ("analysis: {checks: [{name: a}]}", "analysis.checks[0]: needs query, webhook or command: whom it asks"),
    ("analysis: {checks: [{name: a, webhook: 'http://a', command: x}]}", "analysis.checks[0].command: has both webhook and command; a check asks one of them, so write two"),
    ("analysis: {checks: [{name: a, query: up, max: 1}]}", "analysis.checks[0].query: query needs prometheus: whom to ask, such as http://prometheus:9090"),
    (f"analysis: {{checks: [{{{QUERY}}}]}}", "analysis.checks[0].query: query needs max or min: between which its result is fine"),
    (f"analysis: {{checks: [{{{QUERY}, min: 2, max: 1}}]}}", "analysis.checks[0].min: is above max, so no result could be fine"),
    (f"analysis: {{checks: [{{{QUERY}, max: nan}}]}}", 'analysis.checks[0].max: must be a number such as 0.5, not "nan"'),
    ("analysis: {checks: [{name: a, command: x, max: 1}]}", "analysis.checks[0].max: belongs to query, and this check has none"),
    ("analysis: {checks: [{name: a, command: ''}]}", "analysis.checks[0].command: is empty: write a command such as [./check.sh, --strict]"),
    ("analysis: {checks: [{name: a, command: []}]}", "analysis.checks[0].command: is empty: write a command such as [./check.sh, --strict]"),
    ("analysis: {checks: [{name: a, webhook: ci.example.com/gate}]}", "analysis.checks[0].webhook: must be a URL such as https://ci.example.com/gate"),
    ("analysis: {checks: [{name: a, webhook: 'ftp://a/'}]}", "analysis.checks[0].webhook: must be a URL such as https://ci.example.com/gate"),
    ("analysis: {checks: [{name: a, webhook: 'http://a:b/'}]}", "analysis.checks[0].webhook: must be a URL such as https://ci.example.com/gate"),
    ("analysis: {checks: [{name: a, webhook: 'http://a b/'}]}", "analysis.checks[0].webhook: must be a URL such as https://ci.example.com/gate"),
    ("analysis: {checks: [{name: a, query: up, max: 1, prometheus: 'http://:9090'}]}", "analysis.checks[0].prometheus: must be a URL such as http://prometheus:9090"),
    ("checks: []", "checks: belongs under analysis"),
    # preview
    ("preview: {}", 'preview: needs header: "X-Preview: green", cookie: "preview=green" or host: preview.example.com'),
    ("preview: {header: X-Preview}", 'preview.header: must be the name of a header and a value, such as "X-Preview: green"'),
    ("preview: {header: {X-Preview: green}}", 'preview.header: must be text such as "X-Preview: green", not a mapping'),
    ("preview: {header: 'X Preview: green'}", 'preview.header: must be the name of a header and a value, such as "X-Preview: green"'),
    ("preview: {header: 'X`: green'}", 'preview.header: must be the name of a header and a value, such as "X-Preview: green"'),
    ("preview: {header: 'X-Preview: '}", "preview.header: the value of the header must be plain ASCII text without backticks; a rule of Traefik cannot hold anything else"),
    ("preview: {header: 'X-Preview: a`b'}", "preview.header: the value of the header must be plain ASCII text without backticks; a rule of Traefik cannot hold anything else"),
    ('preview: {header: "X-Preview: a\\tb"}', "preview.header: the value of the header must be plain ASCII text without backticks; a rule of Traefik cannot hold anything else"),
    ("preview: {header: 'X-Preview: é'}", "preview.header: the value of the header must be plain ASCII text without backticks; a rule of Traefik cannot hold anything else"),
    ("preview: {header: 'Host: a.example'}", "preview.header: the host is no header for Traefik; write host: preview.example.com"),
    ("preview: {header: 'cookie: a=b'}", 'preview.header: write cookie: "preview=green" instead, which finds it among other cookies'),
    ("preview: {cookie: preview}", 'preview.cookie: must be the name of a cookie and a value, such as "preview=green"'),
    ("preview: {cookie: 'a=b; c=d'}", "preview.cookie: the value of the cookie must be plain ASCII text without spaces, quotes, backticks, commas, semicolons and backslashes"),
    ("preview: {cookie: 'a='}", "preview.cookie: the value of the cookie must be plain ASCII text without spaces, quotes, backticks, commas, semicolons and backslashes"),
    ("preview: {cookie: 'a=b`c'}", "preview.cookie: the value of the cookie must be plain ASCII text without spaces, quotes, backticks, commas, semicolons and backslashes"),
    ("preview: {host: a.example/x}", 'preview.host: "a.example/x" is more than a host name; for a path write rule: Host(`a.example`) && PathPrefix(`/path`)'),
    ("preview: {host: Web.Example.com}", "preview.host: web.example.com is already the host of the route of web in desired.yaml:5; a preview needs a host of its own"),
    (f"preview: {{host: {'a' * 64}.example}}", f'preview.host: "{"a" * 64}.example" is no host name such as web.example.com'),
    # mirror
    ("mirror: 0", f'mirror: {PERCENT} 100, not "0"'),
    ("mirror: {percent: 101}", f'mirror.percent: {PERCENT} 100, not "101"'),
    ("mirror: {pause: 1s}", "mirror: percent is missing: write percent of the requests to copy, such as 10"),
    ("mirror: {percent: 5, pause: 0}", "mirror.pause: must be longer than 0"),
    ("mirror: {percent: 5, methods: get}", 'mirror.methods: must be safe or all, not "get"'),
    ("mirror: [5]", "mirror: must be a mapping, not a list"),
    # recreate
    ("strategy: recreate, steps: [{weight: 5, pause: 1s}], mirror: 5", "strategy: recreate runs one version at a time, and there is no second one for steps and mirror: write another strategy, or remove what wants two (steps: [] and mirror: false to undo the defaults)"),
    ("strategy: recreate, preview: {cookie: a=b}", "strategy: recreate runs one version at a time, and there is no second one for preview: write another strategy, or remove what wants two (preview: false to undo the defaults)"),
    ("strategy: recreate, sessions: keep", "strategy: recreate runs one version at a time, and there is no second one for sessions: keep: write another strategy, or remove what wants two (sessions: move to undo the defaults)"),
    ("hold_requests: 30s", "hold_requests: requests are held only where nothing serves for a moment: write strategy: recreate, or remove hold_requests"),
    ("strategy: recreate, hold_requests: 0s", "hold_requests: must be longer than 0"),
]

WRONG_ROUTES: list[tuple[str, str]] = [
    ("{udp: true}", ".udp: cannot be switched without loss: UDP has no connections to drain, and no answers by which to tell whether it works; route it in Traefik's own configuration, past traefik-bg"),
    ("{tcp: true}", ".tcp: tcp needs entrypoints: on all of them, which is Traefik's default, it would take the connections of every other app"),
    ("{tcp: false, entrypoints: db}", ".tcp: must be true or a rule such as HostSNI(`db.example.com`); or remove the key"),
    ("{tcp: '', entrypoints: db}", ".tcp: is empty: write text, or remove the key"),
    ("{tcp: db.example.com, entrypoints: db}", ".tcp: is no rule of Traefik such as HostSNI(`db.example.com`); check its brackets"),
    ("{tcp: Host(`a.example`), entrypoints: db}", ".tcp: Host matches requests, and a TCP connection has none; Traefik knows HostSNI, HostSNIRegexp, ClientIP and ALPN here"),
    ("{tcp: HostSNI(`a.example`), entrypoints: db}", ".tcp: a connection without TLS does not tell which host it is for: write tls: true, tls: {passthrough: true}, or HostSNI(`*`) for all connections"),
    ("{rule: HostSNI(`a.example`)}", ".rule: HostSNI matches connections, not requests; write it under tcp instead"),
    (f"{{{TCP}, host: a}}", ".tcp: has both host and tcp; one of them is enough"),
    (f"{{{TCP}, sticky: true}}", ".sticky: a TCP connection has no cookie to be recognised by; it stays with its replica as long as it is open"),
    (f"{{{TCP}, tls: {{passthrough: true, certResolver: le}}}}", ".tls.certResolver: the app answers TLS itself where it is passed through, so there is nothing to say of it to Traefik: remove certResolver, or passthrough"),
    ("{host: a.example, tls: {passthrough: true}}", ".tls.passthrough: Traefik sees no requests in what it passes through, so it cannot route by them: write tcp: HostSNI(`a.example`) instead of host or rule"),
    ("{host: a.example, passthrough: true}", ".passthrough: belongs under tls"),
    (f"[{{{TCP}}}, {{host: a.example}}]", ": an app is reached by requests or by TCP connections, not by both: its replicas listen on one port; write another app for the other"),
    (f"[{{{TCP}}}, {{tcp: HostSNI(`*`), entrypoints: [db, b]}}]", "[1].tcp: HostSNI(`*`) is already the route of web in desired.yaml:5; one connection cannot go to both"),
]
# fmt: on


@pytest.mark.parametrize(("keys", "expected"), WRONG_ROLLOUTS)
def test_a_wrong_rollout_says_what_would_work(folder: Folder, keys: str, expected: str) -> None:
    """Each mistake is the only thing said of it, with its key and a way out."""
    said = folder.app_mistake(f"rollout: {{{keys}}}").replace(f"{folder.path}/", "")

    assert said == f"web.rollout.{expected}"


@pytest.mark.parametrize(("route", "expected"), WRONG_ROUTES)
def test_a_wrong_route_says_what_would_work(folder: Folder, route: str, expected: str) -> None:
    """What Traefik cannot do for TCP is refused with the reason."""
    said = folder.app_mistake(f"route: {route}").replace(f"{folder.path}/", "")

    assert said == f"web.route{expected}"


def test_all_that_tcp_cannot_have_is_named_at_once(folder: Folder) -> None:
    """Each feature that needs HTTP is refused by itself, with the reason."""
    keys = f"""
        route: {{{TCP}}}
        rollout:
          preview: {{cookie: a=b}}
          mirror: 5
          sessions: keep
          analysis: {{max_p95: 1s, max_error_ratio: 1%, checks: [{{name: a, command: x}}]}}
        """
    limit = "Traefik counts no answers of TCP connections, so there is nothing to compare with; use checks"

    assert folder.mistakes(app_text(keys)) == [
        "desired.yaml:7: apps.web.rollout.preview: a TCP connection has neither headers nor cookies to ask for the new version by; write preview: false to undo the defaults",
        "desired.yaml:8: apps.web.rollout.mirror: Traefik copies requests of HTTP only, not TCP connections; write mirror: false to undo the defaults",
        "desired.yaml:9: apps.web.rollout.sessions: Traefik cannot recognise the client of a TCP connection; what is open stays with the old version until it ends or the drain is over, as sessions: move has it",
        f"desired.yaml:10: apps.web.rollout.analysis.max_error_ratio: {limit}",
        f"desired.yaml:10: apps.web.rollout.analysis.max_p95: {limit}",
    ]


def test_what_contradicts_the_defaults_names_the_app(folder: Folder) -> None:
    """Defaults may be fine for every other app, so the line is that of the app."""
    assert folder.mistakes(
        """
        defaults:
          rollout: {strategy: recreate, mirror: 5}
        apps:
          web: {image: a:1, port: 80, route: {tcp: true, entrypoints: db}, rollout: {strategy: blue-green}}
          api: {image: a:1, port: 80, route: []}
        """
    ) == [
        "desired.yaml:4: apps.web: rollout.mirror, from the defaults: Traefik copies requests of HTTP only, not TCP connections; write mirror: false to undo the defaults",
        "desired.yaml:5: apps.api: rollout.strategy, from the defaults: recreate runs one version at a time, and there is no second one for mirror: write another strategy, or remove what wants two (mirror: false to undo the defaults)",
    ]


def test_a_preview_needs_a_host_of_its_own(folder: Folder) -> None:
    """No route of any app, and no other preview, may have the host of a preview."""
    app = "image: 'a:1', port: 80"

    assert folder.mistakes(
        f"""
        apps:
          a: {{{app}, route: {{rule: "Host(`b.example`, `C.example`) && Path(`/`)"}}}}
          b: {{{app}, route: {{host: x.example}}, rollout: {{preview: {{host: c.example}}}}}}
          c: {{{app}, route: {{host: y.example}}, rollout: {{preview: {{host: p.example}}}}}}
          d: {{{app}, route: {{host: z.example}}, rollout: {{preview: {{host: P.example}}}}}}
        """
    ) == [
        "desired.yaml:3: apps.b.rollout.preview.host: c.example is already the host of the route of a in desired.yaml:2; a preview needs a host of its own",
        "desired.yaml:5: apps.d.rollout.preview.host: p.example is already the preview of c; a preview needs a host of its own",
    ]


def test_tcp_does_not_take_the_connections_of_http(folder: Folder) -> None:
    """Every connection of an entry point cannot be somebody's whose requests come there too."""
    app = "image: 'a:1', port: 80"

    assert folder.mistakes(
        f"""
        apps:
          a: {{{app}, route: {{tcp: true, entrypoints: [db, web]}}}}
          b: {{{app}, route: {{tcp: true, entrypoints: [web], tls: {{passthrough: true}}}}}}
          c: {{{app}, route: {{host: c.example, entrypoints: [web, internal]}}}}
          d: {{{app}, route: {{host: d.example, entrypoints: [db], tls: true}}}}
          e: {{{app}, route: {{host: e.example}}}}
        """
    ) == [
        "desired.yaml:2: apps.a.route.tcp: takes every connection of the entry point web, also those of the route of c in desired.yaml:4; give it an entry point of its own",
    ]

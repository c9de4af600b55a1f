"""A Compose file becomes a desired state: services, routes, ports and health."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.importing import Shop, comments
from traefik_bg.core.model import Json, Route

HOST = "traefik.http.routers.web.rule: Host(`web.example.com`)"
PLAIN = Route(rule="Host(`web.example.com`)", priority=24)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


# --- which services -------------------------------------------------------------------------------

THREE = """
    services:
      proxy:
        image: docker.io/library/traefik:v3.7
        labels: [traefik.enable=true, "traefik.http.routers.dash.service=api@internal"]
      web:
        image: acme/web:1
        labels: {traefik.enable: true, traefik.http.services.x.loadbalancer.server.port: 80}
      admin:
        image: acme/admin:1
        expose: ["90"]
        labels: ["traefik.http.routers.a.rule=Host(`admin.example.com`)"]
      off:
        image: acme/off:1
        labels: {traefik.enable: false, traefik.http.routers.o.rule: Host(`o`)}
      db: {image: "postgres:16", expose: [5432]}
"""


def test_services_that_labels_route_are_imported(shop: Shop) -> None:
    """What Traefik routes is taken, Traefik itself and databases stay where they are."""
    made = shop.imported(THREE)

    assert dict(made.apps) == {"web": "web", "admin": "admin"}
    assert made.stays == ("proxy", "off", "db")
    assert "Compose runs on: proxy, off, db" in comments(made)


def test_services_that_are_named_are_imported_and_no_others(shop: Shop) -> None:
    """A name is enough, whatever the labels say."""
    made = shop.imported(THREE, "db")

    assert dict(made.apps) == {"db": "db"}
    assert shop.spec(made, "db").routes == ()


def test_without_labels_the_services_must_be_named(shop: Shop) -> None:
    """It is said which there are."""
    (found,) = shop.mistakes("services: {db: {image: 'x:1'}, web: {image: 'x:1'}}")

    assert found.startswith("compose.yaml: no service has labels by which Traefik routes to it")
    assert found.endswith("--service: db, web")


def test_a_name_that_no_app_can_have_is_made_one(shop: Shop) -> None:
    """Containers and routers are called after it; its own name stays an alias."""
    made = shop.imported("services: {My_App: {image: 'x:1', expose: [80]}}", "My_App")

    assert dict(made.apps) == {"my-app": "My_App"}
    assert "Compose's service My_App" in comments(made)
    assert shop.container(made, "my-app")["networks"]["shop_default"]["aliases"] == ["My_App"]


def test_two_names_do_not_become_one(shop: Shop) -> None:
    """The second gets a number."""
    service = "{image: 'x:1', expose: [80]}"
    made = shop.imported(f"services: {{a_b: {service}, a.b: {service}}}", "a_b", "a.b")

    assert dict(made.apps) == {"a-b": "a_b", "a-b-2": "a.b"}


# --- routes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "route"),
    [
        ([HOST], PLAIN),
        (["TRAEFIK.HTTP.Routers.web.RULE: Host(`web.example.com`)"], PLAIN),
        ([HOST, "traefik.http.routers.web.entrypoints: web, websecure"],
         Route(rule=PLAIN.rule, priority=24, entrypoints=("web", "websecure"))),
        ([HOST, "traefik.http.routers.web.tls: true"], Route(rule=PLAIN.rule, priority=24, tls=Json("{}"))),
        ([HOST, "traefik.http.routers.web.tls: false"], PLAIN),
        ([HOST, "traefik.http.routers.web.tls.certresolver: le", "traefik.http.routers.web.tls.options: modern@file"],
         Route(rule=PLAIN.rule, priority=24, tls=Json('{"certResolver":"le","options":"modern@file"}'))),
        ([HOST, "traefik.http.routers.web.tls.domains[0].main: a.b", "traefik.http.routers.web.tls.domains[0].sans: c.b,d.b"],
         Route(rule=PLAIN.rule, priority=24, tls=Json('{"domains":[{"main":"a.b","sans":["c.b","d.b"]}]}'))),
        ([HOST, "traefik.http.routers.web.priority: 7"], Route(rule=PLAIN.rule, priority=8)),
        ([HOST, "traefik.http.routers.web.service: main", "traefik.http.services.main.loadbalancer.server.port: 8000"], PLAIN),
        ([HOST, "traefik.http.routers.web.service: main@docker", "traefik.http.services.main.loadbalancer.server.port: 8000"], PLAIN),
        (["traefik.http.routers.web.rule: Host(`a`) && PathPrefix(`/b`)"],
         Route(rule="Host(`a`) && PathPrefix(`/b`)", priority=30)),
        (["traefik.http.routers.web.rule: HostRegexp(`^.+\\.a$$`)"], Route(rule="HostRegexp(`^.+\\.a$`)", priority=22)),
        (["traefik.http.routers.web.rule: 'Host(`a`, `b`)'"], Route(rule="(Host(`a`) || Host(`b`))", priority=25)),
        (["traefik.enable: true"], Route(rule="Host(`web-shop`)", priority=17)),
        (["traefik.http.routers.web.entrypoints: web"], Route(rule="Host(`web-shop`)", priority=17, entrypoints=("web",))),
        ([HOST, "traefik.http.routers.web.middlewares: a@file,b"], Route(rule=PLAIN.rule, priority=24, middlewares=("a@file", "b@docker"))),
        ([HOST, "traefik.http.routers.web.middlewares: gz", "traefik.http.middlewares.gz.compress: true"],
         Route(rule=PLAIN.rule, priority=24, middlewares=("gz@file",))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", ["mapping", "list"])
def test_a_router_becomes_a_route(shop: Shop, labels: list[str], route: Route, style: str) -> None:
    """Every option of a router that a route has, in both styles of labels."""
    if style == "list":
        labels = [f"- {label.replace(': ', '=', 1)}" for label in labels]
        labels = [label.replace("='Host(`a`, `b`)'", "=Host(`a`, `b`)") for label in labels]
    made = shop.web("labels:\n" + "".join(f"  {label}\n" for label in labels))

    assert shop.spec(made).routes == (route,)


def test_several_routers_become_several_routes(shop: Shop) -> None:
    """Each with its own entry points, in the order of the labels."""
    made = shop.web(
        """
        labels:
          - traefik.http.routers.plain.rule=Host(`a.b`)
          - traefik.http.routers.plain.entrypoints=web
          - traefik.http.routers.plain.middlewares=to-https
          - traefik.http.routers.secure.rule=Host(`a.b`)
          - traefik.http.routers.secure.entrypoints=websecure
          - traefik.http.routers.secure.tls=true
          - traefik.http.middlewares.to-https.redirectscheme.scheme=https
        """
    )
    plain, secure = shop.spec(made).routes

    assert (plain.entrypoints, plain.middlewares, plain.tls) == (("web",), ("to-https@file",), None)
    assert (secure.entrypoints, secure.tls) == (("websecure",), "{}")


def test_connections_that_are_not_http_become_tcp_routes(shop: Shop) -> None:
    """A rule with HostSNI goes under tcp, and outranks Compose's own router."""
    made = shop.web(
        """
        labels:
          traefik.tcp.routers.db.rule: HostSNI(`*`)
          traefik.tcp.routers.db.entrypoints: lines
          traefik.tcp.services.db.loadbalancer.server.port: 5432
        """
    )
    spec = shop.spec(made)

    assert spec.port == 5432
    assert [(route.protocol, route.rule, route.priority) for route in spec.routes] == [
        ("tcp", "HostSNI(`*`)", 1)
    ]


def test_tls_is_passed_through_as_before(shop: Shop) -> None:
    """The app answers TLS itself."""
    labels = "{traefik.tcp.routers.a.rule: 'HostSNI(`a.b`)', traefik.tcp.routers.a.entrypoints: s, traefik.tcp.routers.a.tls.passthrough: true}"
    (route,) = shop.spec(shop.web(f"labels: {labels}")).routes

    assert route.tls == '{"passthrough":true}'


@pytest.mark.parametrize(
    "sticky", ["sticky: true", "sticky.cookie: true", "sticky.cookie.name: shop"]
)
def test_clients_that_stay_with_a_container_stay_with_a_replica(shop: Shop, sticky: str) -> None:
    """The cookie is another one, and that is said."""
    made = shop.web(f"labels:\n  {HOST}\n  traefik.http.services.s.loadbalancer.{sticky}")

    assert shop.spec(made).sticky
    assert "the cookie is traefik-bg's own" in comments(made)


def test_variables_stay_variables(shop: Shop) -> None:
    """In what is taken over and in what is made of it."""
    made = shop.web(
        """
        image: acme/web:${TAG}
        labels: ["traefik.http.routers.w.rule=Host(`${DOMAIN:-a.b}`)"]
        environment: {URL: "http://${DOMAIN:-a.b}/$$x"}
        """,
        environ={"TAG": "3"},
    )

    assert "image: acme/web:${TAG}" in made.text
    assert "host: ${DOMAIN:-a.b}" in made.text
    assert shop.spec(made, TAG="4", DOMAIN="c.d").image == "acme/web:4"
    assert shop.spec(made, TAG="4", DOMAIN="c.d").routes[0].rule == "Host(`c.d`)"


# --- ports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "port"),
    [
        ("labels: {traefik.enable: true, traefik.http.services.s.loadbalancer.server.port: 90}\nexpose: [80]", 90),
        ("expose: ['91/udp', 92, '95-97']", 92),
        ("expose: []\nports: ['127.0.0.1:8080:93', '8443:443/tcp']", 93),
        ("expose: []\nports: [{target: 94, published: 8080, protocol: tcp}]", 94),
        ("expose: []\nhealthcheck: {test: curl -f http://localhost:95/}", 95),
    ],
)  # fmt: skip
def test_the_port_is_the_one_that_traefik_takes(shop: Shop, keys: str, port: int) -> None:
    """A label says it, or the least that is exposed; a healthcheck knows it too."""
    assert shop.spec(shop.web(keys)).port == port


def test_a_port_that_nobody_names_must_be_said(shop: Shop) -> None:
    """The image's own cannot be seen here."""
    text = f"services: {{web: {{image: 'x:1', labels: {{{HOST.replace(': ', ': ', 1)}}}}}}}"
    (found,) = shop.mistakes(text)

    assert found.startswith("compose.yaml:1: services.web: at which port does it listen?")
    assert "--port web=8000" in found
    assert shop.spec(shop.imported(text, ports={"web": "81"})).port == 81


TWO_PORTS = """
    services:
      web:
        image: x:1
        labels:
          - traefik.http.routers.a.rule=Host(`a`)
          - traefik.http.routers.a.service=a
          - traefik.http.routers.b.rule=Host(`b`)
          - traefik.http.routers.b.service=b
          - traefik.http.services.a.loadbalancer.server.port=80
          - traefik.http.services.b.loadbalancer.server.port=81
"""


def test_of_two_ports_one_must_be_chosen(shop: Shop) -> None:
    """An app has one; the routes to the other are not dropped in silence."""
    (found,) = shop.mistakes(TWO_PORTS)
    assert "its labels lead to http port 80 and http port 81, and an app has one port" in found

    made = shop.imported(TWO_PORTS, ports={"web": "81"})

    assert [route.rule for route in shop.spec(made).routes] == ["Host(`b`)"]
    assert "traefik.http.routers.a.rule: Host(`a`) (line 5): it leads to port 80" in comments(made)
    (found,) = shop.mistakes(TWO_PORTS, ports={"web": "82"})
    assert "its labels lead to http port 80 and http port 81" in found


def test_a_port_that_is_said_is_no_reason_to_lose_the_route(shop: Shop) -> None:
    """Where all labels lead one way, another port is the same way."""
    made = shop.web(
        f"labels: {{{HOST}, traefik.http.services.s.loadbalancer.server.port: 80}}",
        ports={"web": "81"},
    )

    assert (shop.spec(made).port, shop.spec(made).routes) == (81, (PLAIN,))
    assert "server.port: 80 (line 5): the port was chosen by hand" in comments(made)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("traefik.http.services.s.loadbalancer.server.scheme: https", "traefik-bg speaks plain HTTP to replicas, not https"),
        ("traefik.http.services.s.loadbalancer.server.url: http://a", "the address of a replica is traefik-bg's to say"),
        ("traefik.http.routers.web.priority: -3", "priority"),
        ("traefik.http..x: 1", "is no label that Traefik can read"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_a_mistake_where_it_stands(
    shop: Shop, label: str, words: str
) -> None:
    """Better no import than an app that does not work."""
    (found,) = shop.mistakes(
        f"services:\n  web:\n    image: x:1\n    expose: [80]\n    labels:\n      {HOST}\n      {label}\n"
    )

    assert found.startswith("compose.yaml:7: ")
    assert words in found


def test_which_of_two_services_is_meant_must_be_said(shop: Shop) -> None:
    """Traefik does not know either."""
    (first,) = shop.mistakes(
        TWO_PORTS.replace("- traefik.http.routers.a.service=a", "- traefik.enable=true")
    )

    assert "which of its services is meant?" in first


def test_udp_is_left_to_compose(shop: Shop) -> None:
    """It cannot be switched without loss."""
    (found, *_) = shop.mistakes(
        "services: {d: {image: 'x:1', expose: [53], labels: {traefik.udp.routers.d.entrypoints: dns}}}"
    )

    assert "UDP has no connections to drain" in found


# --- what no label routes -------------------------------------------------------------------------


def test_a_worker_needs_no_port(shop: Shop) -> None:
    """Its healthcheck says how it is."""
    made = shop.imported("services: {w: {image: 'x:1', healthcheck: {test: pgrep w}}}", "w")

    assert shop.spec(made, "w").routes == ()
    assert "nobody asks it there" in comments(made)


@pytest.mark.parametrize(
    ("keys", "strategy"),
    [
        ("volumes: [data:/d]", "recreate"),
        ("volumes: [{type: bind, source: /a, target: /b}]", "recreate"),
        ("volumes: ['data:/d:ro', /cache]", "side-by-side"),
        ("volumes: [data:/d], scale: 2", "side-by-side"),
        ("volumes: [data:/d], labels: {traefik.enable: true}", "side-by-side"),
    ],
)
def test_what_writes_to_a_volume_does_not_run_twice(shop: Shop, keys: str, strategy: str) -> None:
    """A database started twice on its files would be lost; a routed service shares uploads at most."""
    service = f"{{image: 'x:1', expose: [80], {keys}}}"
    made = shop.imported(f"services: {{web: {service}}}\nvolumes: {{data: }}\n", "web")

    assert shop.spec(made).rollout.strategy == strategy

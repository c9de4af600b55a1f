"""What labels define beside routes: written for Traefik's own files, and read by a real Traefik."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.adapters.importing import Shop, comments
from tests.adapters.traefik_process import LONG_ENOUGH, TraefikProcess
from traefik_bg.adapters.compose_import import Imported

LABELS = """
    traefik.enable: true
    traefik.http.routers.web.rule: Host(`web.example.com`)
    traefik.http.routers.web.middlewares: secured, gzip@docker, other
    traefik.http.routers.api.rule: Host(`api.example.com`) && PathPrefix(`/api`, `/dashboard`)
    traefik.http.routers.api.entrypoints: web
    traefik.http.routers.api.service: api@internal
    traefik.http.routers.api.middlewares: auth
    traefik.http.middlewares.auth.basicauth.users: "a:$$apr1$$x$$y,b:{{z"
    traefik.http.middlewares.auth.basicauth.removeheader: true
    traefik.http.middlewares.gzip.compress: true
    traefik.http.middlewares.secured.chain.middlewares: auth,limit,other
    traefik.http.middlewares.limit.ratelimit.average: 100
    traefik.http.middlewares.limit.ratelimit.period: 1m
    traefik.http.middlewares.hdr.headers.customrequestheaders.X-Script-Name: shop
    traefik.http.middlewares.hdr.headers.stsseconds: 31536000
    traefik.http.middlewares.ips.ipallowlist.sourcerange: 127.0.0.1/32, 10.0.0.0/8
    traefik.http.middlewares.ips.ipallowlist.ipstrategy.depth: 2
    traefik.http.middlewares.pages.errors.status: 500-599
    traefik.http.middlewares.pages.errors.service: web
    traefik.http.middlewares.pages.errors.query: /{status}.html
    traefik.http.services.web.loadbalancer.server.port: 8000
    traefik.tcp.middlewares.near.ipallowlist.sourcerange: 10.0.0.0/8
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


def for_traefik(made: Imported) -> str:
    """Return the block that people are asked to put into Traefik's folder."""
    _, block, _ = made.text.split("# " + "-" * 98 + "\n")
    return "".join(f"{line.removeprefix('#').removeprefix(' ')}\n" for line in block.splitlines())


def test_middlewares_are_referred_to_where_they_will_be(shop: Shop) -> None:
    """Those of the service move into a file, those of other containers stay with Docker."""
    made = shop.web(f"labels:{LABELS}")

    (route,) = shop.spec(made).routes
    assert route.middlewares == ("secured@file", "gzip@file", "other@docker")
    http = yaml.safe_load(for_traefik(made))["http"]
    assert http["middlewares"]["secured"] == {
        "chain": {"middlewares": ["auth@file", "limit@file", "other@docker"]}
    }
    assert http["middlewares"]["pages"]["errors"]["service"] == "web@file"
    assert http["routers"]["api"]["middlewares"] == ["auth@file"]


def test_what_others_use_is_said_to_have_moved(shop: Shop) -> None:
    """A service that stays would look for a middleware that is not there any more."""
    made = shop.imported(
        """
        services:
          web:
            image: x:1
            expose: [80]
            labels: ["traefik.http.routers.w.rule=Host(`a`)", "traefik.http.middlewares.auth.basicauth.users=a:b"]
          old:
            image: y:1
            labels: ["traefik.enable=false", "traefik.http.routers.o.middlewares=auth,x@file"]
        """
    )

    assert "old uses the middleware auth: write auth@file in its labels" in comments(made)


def test_a_file_without_definitions_has_no_block(shop: Shop) -> None:
    """Nothing is to be done for Traefik."""
    assert "For Traefik" not in shop.web("").text


async def test_a_real_traefik_reads_the_block(shop: Shop, tmp_path: Path) -> None:
    """Every middleware and router is there, enabled, with the values that the labels had."""
    block = for_traefik(shop.web(f"labels:{LABELS}"))
    folder = tmp_path / "traefik"
    (folder / "dynamic").mkdir(parents=True)
    (folder / "dynamic/labels.yml").write_text(block)
    apps = "http: {services: {web: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}}}"
    (folder / "dynamic/apps.yml").write_text(apps)
    async with TraefikProcess(folder, f"--providers.file.directory={folder}/dynamic") as traefik:
        found: dict[str, dict[str, object]] = {}
        async with asyncio.timeout(LONG_ENOUGH):
            while len(found) < 6:
                answer = await traefik.ask("/api/http/middlewares?per_page=100")
                found = {item["name"]: item for item in answer or () if item["provider"] == "file"}
        routers = {item["name"]: item for item in await traefik.ask("/api/http/routers")}
        (near,) = await traefik.ask("/api/tcp/middlewares")

    assert found["auth@file"]["basicAuth"] == {
        "users": ["a:$apr1$x$y", "b:{{z"],
        "removeHeader": True,
    }
    assert found["ips@file"]["ipAllowList"] == {
        "sourceRange": ["127.0.0.1/32", "10.0.0.0/8"],
        "ipStrategy": {"depth": 2},
    }
    assert found["hdr@file"]["headers"] == {
        "customRequestHeaders": {"X-Script-Name": "shop"},
        "stsSeconds": 31536000,
    }
    assert "compress" in found["gzip@file"]
    assert near["ipAllowList"] == {"sourceRange": ["10.0.0.0/8"]}
    broken = {name for name, item in found.items() if item["status"] != "enabled"}
    assert broken <= {"secured@file"}  # one of its parts is another container's
    assert routers["api@file"]["status"] == "enabled"
    assert routers["api@file"]["service"] == "api@internal"


EVERYTHING = """
    traefik.docker.network: v01
    traefik.docker.lbswarm: v02
    traefik.http.routers.web.rule: Host(`v03`)
    traefik.http.routers.web.entrypoints: v04,v05
    traefik.http.routers.web.middlewares: v06,v07@file
    traefik.http.routers.web.priority: 90008
    traefik.http.routers.web.service: main
    traefik.http.routers.web.rulesyntax: v3
    traefik.http.routers.web.tls.certresolver: v10
    traefik.http.routers.web.tls.options: v11
    traefik.http.routers.web.tls.domains[0].main: v12
    traefik.http.routers.web.tls.domains[0].sans: v13,v14
    traefik.http.routers.web.observability.accesslogs: v15
    traefik.http.services.main.loadbalancer.server.port: 8016
    traefik.http.services.main.loadbalancer.server.weight: v17
    traefik.http.services.main.loadbalancer.server.preservepath: v18
    traefik.http.services.main.loadbalancer.passhostheader: v19
    traefik.http.services.main.loadbalancer.serverstransport: v20
    traefik.http.services.main.loadbalancer.strategy: v21
    traefik.http.services.main.loadbalancer.sticky.cookie.name: v22
    traefik.http.services.main.loadbalancer.sticky.cookie.maxage: v23
    traefik.http.services.main.loadbalancer.healthcheck.path: /v24
    traefik.http.services.main.loadbalancer.healthcheck.interval: v25
    traefik.http.services.main.loadbalancer.healthcheck.headers.X-A: v26
    traefik.http.services.main.loadbalancer.responseforwarding.flushinterval: v27
    traefik.http.services.main.middlewares: v28
    traefik.http.services.other.loadbalancer.server.port: 8029
    traefik.http.middlewares.m.headers.customrequestheaders.X-B: v30
    traefik.http.middlewares.m.plugin.some.thing[0].deep: v31
    traefik.http.routers.far.rule: Path(`/v32`)
    traefik.http.routers.far.service: v33@file
    traefik.udp.services.u.loadbalancer.server.port: 8034
    traefik.tls.stores.default.defaultcertificate: v35
    traefik.http.nonsense: v36
"""


def test_every_value_of_a_label_is_in_the_app_or_in_a_comment(shop: Shop) -> None:
    """Whatever Traefik can be told, nothing of it is dropped in silence."""
    text = shop.web(f"labels:{EVERYTHING}").text

    missing = [
        f"v{n:02}" for n in range(1, 37) if n not in {8, 9, 16, 29, 34} and f"v{n:02}" not in text
    ]
    assert missing == []
    for number in ("90009", "8016", "8029", "8034", "port: 8016"):
        assert number in text

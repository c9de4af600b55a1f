"""The router against the real Traefik: what is published runs, and we know when."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from tests.adapters.routing import (
    API,
    BLUE,
    GREEN,
    WEB,
    Woken,
    confirmed,
    new_router,
    providing,
    replica,
    routing,
    running,
    share,
    to,
    unconfirmed,
)
from tests.adapters.traefik_process import TraefikProcess, free_port, serve, until, watched_folder
from tests.core.test_traffic import CASES
from traefik_bg.core import traffic
from traefik_bg.core.features import Features
from traefik_bg.core.model import Json, Route, Routing


def watching(folder: Path, *options: str) -> tuple[TraefikProcess, Path]:
    """Return a Traefik with a file provider, and the folder it watches."""
    dynamic = watched_folder(folder)
    return TraefikProcess(folder, f"--providers.file.directory={dynamic}", *options), dynamic


async def test_a_publish_is_served_and_confirmed(tmp_path: Path) -> None:
    """What is published is confirmed by Traefik's API, and the next request gets it."""
    traefik, dynamic = watching(tmp_path)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    replica_server, port = await serve(answer)
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
    async with traefik, running(router):
        await router.publish(WEB, routing(share(BLUE, port=port)))
        await until(confirmed(router), what="confirmed")
        assert await traefik.get(**{"X-App": "web"}) == (200, "hello")
        state = router.state(WEB)
        assert state.published == routing(share(BLUE, port=port))
        assert state.routable == {replica(BLUE)}
        assert state.refusal is None
        assert router.guard_available
    await replica_server.cleanup()


async def test_an_app_without_shares_answers_503(tmp_path: Path) -> None:
    """An app that has nothing to answer with says "later", not "no such thing"."""
    traefik, dynamic = watching(tmp_path)
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
    async with traefik, running(router):
        await router.publish(WEB, routing())
        await until(confirmed(router), what="confirmed")
        assert (await traefik.get(**{"X-App": "web"}))[0] == 503
        assert (await traefik.get(**{"X-App": "another"}))[0] == 404
        await router.publish(WEB, None)
        await until(confirmed(router), what="confirmed")
        assert (await traefik.get(**{"X-App": "web"}))[0] == 404
        assert router.apps() == frozenset()


async def test_the_http_provider_is_as_exact(tmp_path: Path) -> None:
    """A Traefik that fetches by long poll is confirmed in the same way."""
    port = free_port()
    traefik = TraefikProcess(
        tmp_path,
        f"--providers.http.endpoint=http://127.0.0.1:{port}/provider?wait=25s",
        "--providers.http.pollInterval=5ms",
        "--providers.http.pollTimeout=30s",
    )
    router = new_router(tmp_path, None, api_urls=[traefik.api_url])
    async with providing(router, port), traefik, running(router):
        for revision in (BLUE, GREEN, BLUE):
            await router.publish(WEB, to(revision))
            await until(confirmed(router), what="confirmed")
            services = await traefik.ask("/api/http/services")
            assert f"web-{revision}@http" in {service["name"] for service in services}


async def test_the_marker_route_confirms_without_an_api(tmp_path: Path) -> None:
    """With the API off, a route that only we know tells which document runs."""
    traefik, dynamic = watching(tmp_path)
    router = new_router(tmp_path, dynamic, marker_urls=[traefik.web_url])
    async with traefik, running(router):
        await router.publish(WEB, to(BLUE))
        await until(confirmed(router), what="confirmed")
        assert not router.guard_available, "its version is not known"
        await router.publish(WEB, to(GREEN))
        await until(confirmed(router), what="confirmed")
        assert replica(BLUE) in router.state(WEB).unrouted
        traefik.stop()
        router.publication.noted.set()
        await until(lambda: "does not answer" in router.state(WEB).detail, what="noticed")


async def test_another_apps_change_interrupts_nothing(tmp_path: Path) -> None:
    """The timers of an app run on while others publish, and its own weights outlive replicas."""
    traefik, dynamic = watching(tmp_path)
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
    async with traefik, running(router):
        await router.publish(WEB, to(BLUE))
        await until(lambda: (router.state(WEB).confirmed_for or 0) > 0.05, what="web for a while")
        since = asyncio.get_running_loop().time() - (router.state(WEB).confirmed_for or 0)
        await router.publish(API, to(BLUE, API))
        await until(confirmed(router, API), what="api")
        now = asyncio.get_running_loop().time()
        assert now - (router.state(WEB).confirmed_for or 0) == pytest.approx(since, abs=0.01)

        two = share(BLUE, port=8001).servers
        await router.publish(WEB, routing(share(BLUE), routes=(), shares=(share(BLUE, port=8001),)))
        assert router.state(WEB).confirmed_for is None
        await until(confirmed(router), what="the other replica")
        state = router.state(WEB)
        assert state.published is not None
        assert tuple(state.published.servers) == two
        assert state.weights_for is not None
        assert state.confirmed_for is not None
        assert state.weights_for > state.confirmed_for


async def test_a_refused_router_is_told_and_taken_back(tmp_path: Path) -> None:
    """Traefik loads a document with a broken router; the app learns its words, and its cure."""
    traefik, dynamic = watching(tmp_path)
    woken = Woken()
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url], wake=woken)
    broken = Route(rule="PathPrefix(`/`)", entrypoints=("web",), middlewares=("auth@file",))
    async with traefik, running(router):
        await until(lambda: router.guard_available, what="the features are known")
        await router.publish(API, to(BLUE, API))
        await until(confirmed(router, API), what="confirmed")
        await router.publish(WEB, routing(share(BLUE), routes=(broken, broken)))
        await until(lambda: router.state(WEB).refusal, what="refused")
        assert "auth@file" in (router.state(WEB).refusal or "")
        assert "router web" in (router.state(WEB).refusal or "")
        assert router.state(API).refusal is None
        assert WEB in woken.apps
        await router.publish(WEB, to(BLUE))
        await until(confirmed(router), what="cured")
        assert router.state(WEB).refusal is None


async def test_a_traefik_that_restarts_is_confirmed_anew(tmp_path: Path) -> None:
    """While it is away nothing is known; afterwards all timers start from zero (S5)."""
    traefik, dynamic = watching(tmp_path)
    woken = Woken()
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url], wake=woken)
    async with traefik, running(router):
        await router.publish(WEB, to(BLUE))
        await router.publish(WEB, to(GREEN))
        await until(confirmed(router), what="confirmed")
        assert router.state(WEB).unrouted_for(replica(BLUE)) is not None
        traefik.stop()
        woken.apps.clear()
        router.publication.noted.set()  # as any publish would: look at once
        await until(unconfirmed(router), what="its absence is noticed")
        await until(lambda: "does not answer" in router.state(WEB).detail, what="and explained")
        assert router.state(WEB).unrouted_for(replica(BLUE)) is None
        assert router.state(WEB).watched_for is None
        assert woken.apps == [None]
        await traefik.start()
        await until(confirmed(router), what="confirmed again")
        assert router.state(WEB).unrouted_for(replica(BLUE)) is not None


async def test_all_traefiks_must_have_it(tmp_path: Path) -> None:
    """One that lags behind keeps the others' news from counting."""
    first, dynamic = watching(tmp_path)
    second = TraefikProcess(tmp_path / "second", *first.options)
    router = new_router(tmp_path, dynamic, api_urls=[first.api_url, second.api_url])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first)
        await stack.enter_async_context(running(router))
        await router.publish(WEB, to(BLUE))
        await until(lambda: str(second.api_port) in router.state(WEB).detail, what="one is away")
        assert router.state(WEB).confirmed_for is None
        await stack.enter_async_context(second)
        await until(confirmed(router), what="both")


async def test_what_was_published_is_known_after_a_restart(tmp_path: Path) -> None:
    """The routing file is the memory: a new service knows it and changes nothing."""
    traefik, dynamic = watching(tmp_path)
    async with traefik:
        async with running(new_router(tmp_path, dynamic, api_urls=[traefik.api_url])) as router:
            await router.publish(WEB, to(BLUE))
            await until(lambda: router.guard_available, what="the features are known")
            await router.publish(WEB, to(BLUE))
            await until(confirmed(router), what="confirmed")
        written = (dynamic / "traefik-bg.yml").read_bytes()
        async with running(new_router(tmp_path, dynamic, api_urls=[traefik.api_url])) as router:
            assert router.state(WEB).published == to(BLUE)
            await until(confirmed(router), what="confirmed")
            await router.publish(WEB, to(BLUE))
            assert (dynamic / "traefik-bg.yml").read_bytes() == written
            assert router.state(WEB).confirmed_for is not None
        once = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
        await once.look()
        assert once.state(WEB).published == to(BLUE)
        assert once.state(WEB).confirmed_for is not None
        assert once.guard_available
        assert (dynamic / "traefik-bg.yml").read_bytes() == written


THEIRS = {
    "http": {
        "services": {
            "theirs": {"weighted": {"services": [{"name": "their-leaf", "weight": 1}]}},
            "their-leaf": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}},
        }
    }
}


async def test_lost_files_are_read_back_from_traefik(tmp_path: Path) -> None:
    """With every file of ours gone, what Traefik runs is known, and no publish drops the rest."""
    port = free_port()
    dynamic = watched_folder(tmp_path)
    (dynamic / "theirs.yml").write_text(json.dumps(THEIRS))
    traefik = TraefikProcess(
        tmp_path,
        f"--providers.file.directory={dynamic}",
        f"--providers.http.endpoint=http://127.0.0.1:{port}/provider?wait=25s",
        "--entrypoints.web.http.middlewares=theirs@file",  # so that Traefik changes our routers
    )
    guarded = routing(share(GREEN, 95), share(BLUE, 5), fallback=share(BLUE, 0), sticky=True)
    prioritized = Route(rule="PathPrefix(`/`)", entrypoints=("web",), priority=3, tls=Json("{}"))
    api = routing(share(BLUE, app=API), routes=(prioritized,), app=API)
    first = new_router(tmp_path / "one", None, api_urls=[traefik.api_url])
    second = new_router(tmp_path / "two", None, api_urls=[traefik.api_url])
    async with traefik:
        async with providing(first, port), running(first):
            await until(lambda: first.guard_available, what="the features are known")
            await asyncio.gather(first.publish(WEB, guarded), first.publish(API, api))
            await until(confirmed(first), what="confirmed")
        async with providing(second, port), running(second):
            assert second.apps() == {WEB, API}
            found, other = second.state(WEB).published, second.state(API).published
            assert found is not None
            assert other is not None
            assert (found.shares, found.fallback) == (guarded.shares, guarded.fallback)
            assert found.sticky
            assert [route.rule for route in found.routes] == ["Header(`X-App`, `web`)"]
            assert [route.priority for route in other.routes] == [3]
            await second.publish(API, to(GREEN, API))
            await until(confirmed(second, API), what="confirmed by a document of ours")
            services = {s["name"] for s in await traefik.ask("/api/http/services")}
            assert {f"web-{GREEN}@http", f"api-{GREEN}@http"} <= services
            assert "theirs@http" not in services


@pytest.mark.parametrize("case", CASES)
async def test_traefik_accepts_every_golden_document(tmp_path: Path, case: str) -> None:
    """Every field of what we write is known to Traefik, and every router runs."""
    apps, features = CASES[case]
    traefik, dynamic = watching(tmp_path)
    traefik.options += (*traefik.loop, f"--entrypoints.db.address=127.0.0.1:{free_port()}")
    auth = {"http": {"middlewares": {"auth": {"headers": {"frameDeny": True}}}}}
    (dynamic / "auth.yml").write_text(json.dumps(auth))
    document = traffic.render(apps, features=features)
    (dynamic / "traefik-bg.yml").write_bytes(traffic.encode(document))
    async with traefik:
        for protocol, parts in document.items():
            routers = await traefik.ask(f"/api/{protocol}/routers")
            found = {router["name"]: router for router in routers}
            for name in parts["routers"]:
                assert found[f"{name}@file"]["status"] == "enabled", found[f"{name}@file"]
            assert await traefik.ask(f"/api/{protocol}/services?status=disabled") == []
        assert await traefik.ask("/api/http/middlewares?status=disabled") == []
    assert "ERR" not in traefik.log


async def test_a_rule_with_braces_reaches_traefik_as_it_is(tmp_path: Path) -> None:
    """The file provider's template engine sees none of it, nor YAML anything else."""
    rule = 'HostRegexp(`^a{{1}}\\.x$`) && !Header(`X-\u2028é`, `{{ env "HOME" }}`)'
    traefik, dynamic = watching(tmp_path)
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
    async with traefik, running(router):
        await router.publish(WEB, Routing(routes=(Route(rule=rule, entrypoints=("web",)),)))
        await until(confirmed(router), what="confirmed")
        assert (await traefik.ask("/api/http/routers/web@file"))["rule"] == rule


async def test_features_are_used_once_they_are_known(tmp_path: Path) -> None:
    """The document is written anew when the Traefiks turn out to be able to do more."""
    traefik, dynamic = watching(tmp_path)
    plain = traffic.render({WEB: to(BLUE)})
    (dynamic / "traefik-bg.yml").write_bytes(traffic.encode(plain))
    router = new_router(tmp_path, dynamic, api_urls=[traefik.api_url])
    async with running(router):
        assert not router.guard_available
        async with traefik:

            def written() -> Features:
                body = (dynamic / "traefik-bg.yml").read_bytes()
                return traffic.features(traffic.decode(body))

            await until(lambda: written() == Features(retry=True, guard=True), what="rewritten")
            await until(confirmed(router), what="confirmed")
            assert router.guard_available

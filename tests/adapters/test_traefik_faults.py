"""The router when Traefiks are away, late, wrong, or not to be asked at all."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from tests.adapters.routing import (
    BLUE,
    GREEN,
    SETTLE,
    WEB,
    Woken,
    confirmed,
    new_router,
    remembering,
    replica,
    routing,
    running,
    settling,
    share,
    to,
    unconfirmed,
)
from tests.adapters.traefik_process import FakeTraefik, until
from traefik_bg.adapters import traefik_confirmation
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.core import traffic
from traefik_bg.core.features import Features


def loads_it(fake: FakeTraefik, router: TraefikRouter) -> None:
    """Let a Traefik run what is published now."""
    assert router.publication.edition is not None
    fake.marker = router.publication.edition.marker
    router.publication.noted.set()


# --- the Traefiks ---------------------------------------------------------------------------------


async def test_one_of_two_traefiks_lags(tmp_path: Path) -> None:
    """The slower one decides, and until then both documents may be running."""
    async with FakeTraefik() as first, FakeTraefik() as second:
        router = new_router(tmp_path, None, api_urls=[first.url, second.url])
        async with running(router):
            await router.publish(WEB, to(BLUE))
            for fake in (first, second):
                loads_it(fake, router)
            await until(confirmed(router), what="both")
            await router.publish(WEB, to(GREEN))
            loads_it(first, router)
            lagging = f"{second.port} still runs what was published before"
            await until(lambda: lagging in router.state(WEB).detail, what="one lags")
            state = router.state(WEB)
            assert state.routable == {replica(BLUE), replica(GREEN)}
            assert state.unrouted_for(replica(BLUE)) is None
            loads_it(second, router)
            await until(confirmed(router), what="both")
            assert router.state(WEB).unrouted_for(replica(BLUE)) is not None


async def test_another_document_restarts_every_timer(tmp_path: Path) -> None:
    """A Traefik that runs something else after a restart makes everything unknown."""
    woken = Woken()
    async with FakeTraefik() as fake:
        router = new_router(tmp_path, None, api_urls=[fake.url], wake=woken)
        async with running(router):
            await router.publish(WEB, to(BLUE))
            loads_it(fake, router)
            await until(confirmed(router), what="confirmed")
            for marker, words in (("other-7", "runs other-7, which is not"), (None, "runs none")):
                woken.apps.clear()
                fake.marker = marker
                router.publication.noted.set()
                await until(unconfirmed(router), what="noticed")
                await until(lambda w=words: w in router.state(WEB).detail, what=words)  # type: ignore[misc]
                assert woken.apps == [None]
                assert router.state(WEB).watched_for is None
                loads_it(fake, router)
                await until(confirmed(router), what="confirmed")
            assert (router.state(WEB).confirmed_for or 0) <= (router.state(WEB).watched_for or 0)


async def test_one_lost_answer_interrupts_nothing(tmp_path: Path) -> None:
    """Only a Traefik that stays silent makes things unknown; both ends are logged once."""
    with structlog.testing.capture_logs() as logs:
        async with FakeTraefik() as fake:
            router = new_router(tmp_path, None, api_urls=[fake.url])
            async with running(router):
                await router.publish(WEB, to(BLUE))
                loads_it(fake, router)
                await until(confirmed(router), what="confirmed")
                fake.failures = 1
                router.publication.noted.set()
                await until(lambda: fake.failures == 0, what="one answer is lost")
                asked = fake.asked
                router.publication.noted.set()
                await until(lambda: fake.asked > asked + 1, what="and the next are not")
                assert router.state(WEB).confirmed_for is not None
                assert not [entry for entry in logs if entry["event"] == "traefik.lost"]
                await fake.stop()
                router.publication.noted.set()
                await until(unconfirmed(router), what="lost")
                await fake.start()
                await until(confirmed(router), what="found")
    events = [entry["event"] for entry in logs]
    assert events.count("traefik.lost") == events.count("traefik.found") == 1


async def test_an_older_traefik_gets_a_document_it_can_read(tmp_path: Path) -> None:
    """One that cannot fail over would refuse everything: the guard goes at once."""
    async with FakeTraefik() as fake:
        fake.version = "3.7.15"
        router = new_router(tmp_path, None, api_urls=[fake.url])
        async with running(router):
            await until(lambda: router.guard_available, what="3.7.15")
            await router.publish(WEB, routing(share(GREEN), fallback=share(BLUE, 0)))

            def features() -> Features:
                assert router.publication.edition is not None
                return traffic.features(traffic.decode(router.publication.edition.body))

            assert features().guard
            fake.version, fake.marker = "3.6.15", None
            router.publication.noted.set()
            await until(lambda: not features().guard, what="rewritten")
            assert not router.guard_available


def resolving(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let a name stand for the addresses in the list that is returned, and for one of IPv6."""
    addresses: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def lookup(host: Any, port: Any, **options: Any) -> Any:
        if host != name:
            return await real(host, port, **options)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        v4 = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]
        return [v6, *v4]

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    return addresses


async def test_a_name_stands_for_all_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several Traefiks behind one name are asked one by one; one that leaves is not missed."""
    monkeypatch.setattr(traefik_confirmation, "LOOK_AT_REST", 0.05)
    monkeypatch.setattr(traefik_confirmation, "LOOK_UP_AT_LEAST", 0.02)
    addresses = resolving(monkeypatch, "traefik")
    addresses += ["127.0.0.1", "127.0.0.2"]
    async with AsyncExitStack() as stack:
        first, second = FakeTraefik(), FakeTraefik()
        await first.start("127.0.0.1")
        second.port = first.port
        await second.start("127.0.0.2")
        stack.push_async_callback(first.stop)
        stack.push_async_callback(second.stop)
        router = new_router(tmp_path, None, api_urls=[f"http://user:secret@traefik:{first.port}/"])
        await stack.enter_async_context(running(router))
        await router.publish(WEB, to(BLUE))
        loads_it(first, router)
        await until(lambda: "(127.0.0.2)" in router.state(WEB).detail, what="the second is asked")
        assert "secret" not in router.state(WEB).detail
        loads_it(second, router)
        await until(confirmed(router), what="both")
        addresses.remove("127.0.0.2")
        await router.publish(WEB, to(GREEN))
        loads_it(first, router)
        await until(confirmed(router), what="the first alone")
        addresses.clear()
        before = first.asked
        await until(lambda: first.asked > before + 3, what="its last addresses are kept")
        assert router.state(WEB).confirmed_for is not None


async def test_a_name_that_is_not_known_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong address is the likeliest mistake of all."""
    router = remembering(tmp_path, "http://nowhere.invalid:8080")
    async with running(router):
        await until(lambda: "nowhere.invalid is not known" in router.state(WEB).detail, what="it")


@pytest.mark.parametrize(
    ("status", "page", "words"),
    [
        (401, "<html>", "login"),
        (404, "<html>", "api.insecure"),
        (200, "<html>", "not Traefik's API"),
        (500, "[]", "HTTP 500"),
    ],
)
async def test_what_is_not_the_api_is_explained(
    tmp_path: Path, status: int, page: str, words: str
) -> None:
    """Something answers, but it is not what we need."""
    async with FakeTraefik() as fake:
        fake.page, fake.status = page, status
        router = remembering(tmp_path, fake.url)
        async with running(router):
            await until(lambda: words in router.state(WEB).detail, what=words)


async def test_a_refusal_behind_an_entry_point_finds_its_app(tmp_path: Path) -> None:
    """Traefik renames routers where entry points have settings of their own."""
    woken = Woken()
    async with FakeTraefik() as fake:
        router = new_router(tmp_path, None, api_urls=[fake.url], wake=woken)
        async with running(router):
            await router.publish(WEB, to(BLUE))
            fake.disabled = {"websecure-web": "no such resolver", "theirs": "not ours"}
            loads_it(fake, router)
            await until(lambda: router.state(WEB).refusal, what="refused")
            assert "no such resolver" in (router.state(WEB).refusal or "")
            woken.apps.clear()
            fake.disabled = {}
            router.publication.noted.set()
            await until(lambda: WEB in woken.apps, what="woken")
            assert router.state(WEB).refusal is None


# --- where nobody can be asked --------------------------------------------------------------------


async def test_without_anybody_to_ask_time_decides(tmp_path: Path) -> None:
    """What was written counts as loaded after the settle time, not before."""
    woken = Woken()
    async with running(settling(tmp_path, wake=woken)) as router:
        began = asyncio.get_running_loop().time()
        await router.publish(WEB, to(BLUE))
        assert router.state(WEB).confirmed_for is None
        assert "counts as loaded after" in router.state(WEB).detail
        await until(confirmed(router), what="settled")
        assert asyncio.get_running_loop().time() - began >= SETTLE
        await router.publish(WEB, to(GREEN))
        assert router.state(WEB).unrouted_for(replica(BLUE)) is None
        await until(confirmed(router), what="settled")
        assert router.state(WEB).unrouted_for(replica(BLUE)) is not None


async def test_by_http_the_settle_time_begins_with_the_fetch(tmp_path: Path) -> None:
    """What nobody has fetched runs nowhere."""
    router = new_router(tmp_path, None, settle=SETTLE)
    async with running(router):
        await router.publish(WEB, to(BLUE))
        await until(lambda: "no Traefik has fetched" in router.state(WEB).detail, what="explained")
        edition = router.publication.edition
        assert edition is not None
        router.publication.fetched("10.0.0.1", edition.number)
        await until(confirmed(router), what="settled")
        await router.publish(WEB, to(GREEN))
        router.publication.fetched("10.0.0.2", edition.number + 1)
        await until(lambda: "from when it was fetched" in router.state(WEB).detail, what="one has")
        router.publication.fetched("10.0.0.1", edition.number + 1)
        await until(confirmed(router), what="settled")


async def test_rest_costs_next_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once everything is confirmed, a Traefik is asked every few seconds only."""
    async with FakeTraefik() as fake:
        router = new_router(tmp_path, None, api_urls=[fake.url])
        async with running(router):
            await router.publish(WEB, to(BLUE))
            loads_it(fake, router)
            await until(confirmed(router), what="confirmed")
            await until(lambda: router._confirmation._is_settled, what="at rest")  # type: ignore[attr-defined]
            asked = fake.asked
            await asyncio.sleep(0.3)
            assert fake.asked <= asked + 3


async def test_a_traefik_that_says_nothing_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes the connection and is silent is no better than one that is away."""
    monkeypatch.setattr(traefik_confirmation, "ANSWER_TIMEOUT", 0.05)
    async with FakeTraefik() as fake:
        fake.is_silent = True
        router = remembering(tmp_path, fake.url)
        async with running(router):
            await until(lambda: "no answer within" in router.state(WEB).detail, what="explained")

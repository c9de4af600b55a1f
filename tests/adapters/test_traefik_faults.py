"""The router when things go wrong: files, disks, Traefiks and other writers."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from tests.adapters.routing import (
    API,
    BLUE,
    GREEN,
    WEB,
    Woken,
    confirmed,
    knows,
    new_router,
    replica,
    routing,
    running,
    share,
    to,
    unconfirmed,
)
from tests.adapters.traefik_process import FakeTraefik, until
from traefik_bg.adapters import traefik as adapter
from traefik_bg.adapters import traefik_confirmation
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName

SETTLE = 0.05


def settling(folder: Path, **options: Any) -> TraefikRouter:
    """Return a router that asks nobody and trusts after a moment."""
    dynamic = folder / "dynamic"
    dynamic.mkdir(parents=True, exist_ok=True)
    return new_router(folder, dynamic, settle=SETTLE, **options)


def written(folder: Path) -> bytes:
    """Return the routing file."""
    return (folder / "dynamic" / "traefik-bg.yml").read_bytes()


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files that are still there."""
    return list(folder.rglob("*.tmp"))


def loads_it(fake: FakeTraefik, router: TraefikRouter) -> None:
    """Let a Traefik run what is published now."""
    assert router.publication.edition is not None
    fake.marker = router.publication.edition.marker
    router.publication.noted.set()


# --- writing --------------------------------------------------------------------------------------


async def test_nothing_is_known_before_the_file_is_read(tmp_path: Path) -> None:
    """Until then every question has the answer "unknown" (S5)."""
    router = settling(tmp_path)
    for ask in (router.apps, lambda: router.state(WEB)):
        with pytest.raises(RouterUnavailable, match="not been read yet"):
            ask()
    with pytest.raises(RouterUnavailable, match="not been read yet"):
        await router.publish(WEB, None)


async def test_a_burst_is_written_at_once(tmp_path: Path) -> None:
    """Each write costs every Traefik a rebuild: what comes during one shares the next."""
    async with running(settling(tmp_path)) as router:
        assert router.publication.edition is None or router.publication.edition.number == 1
        names = [AppName(f"app{number}") for number in range(50)]
        await asyncio.gather(*(router.publish(name, to(BLUE, name)) for name in names))
        assert router.apps() == frozenset(names)
        assert traffic.parse(written(tmp_path)).keys() == frozenset(names)
        assert router.publication.edition is not None
        assert router.publication.edition.number <= 4


async def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old document stays, nothing is left behind, and the next attempt can succeed."""
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
        await until(confirmed(router), what="confirmed")
        before = written(tmp_path)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RouterUnavailable, match="No space left on device"):
                await router.publish(WEB, to(GREEN))
        assert written(tmp_path) == before
        assert router.state(WEB).published == to(BLUE)
        assert router.state(WEB).routable == {replica(BLUE)}
        assert not leftovers(tmp_path)
        await router.publish(WEB, to(GREEN))
        assert traffic.parse(written(tmp_path)) == {WEB: to(GREEN)}


async def test_a_disk_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told that it is not known; when the disk comes back, so does the document."""
    is_back = asyncio.Event()
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
        loop, sync = asyncio.get_running_loop(), os.fsync

        def hang(number: int) -> None:
            asyncio.run_coroutine_threadsafe(is_back.wait(), loop).result()
            sync(number)

        monkeypatch.setattr(adapter, "WRITE_TIMEOUT", 0.02)
        monkeypatch.setattr(os, "fsync", hang)
        with pytest.raises(RouterUnavailable, match="it may still be"):
            await router.publish(WEB, to(GREEN))
        assert router.state(WEB).routable == {replica(BLUE), replica(GREEN)}
        is_back.set()
        await until(lambda: router.state(WEB).published == to(GREEN), what="written after all")


async def test_an_app_of_an_impossible_name_stops_no_other(tmp_path: Path) -> None:
    """Two apps whose parts have one name cannot both be published; the others go on."""
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
        bad = AppName(f"web-{BLUE}")
        results = await asyncio.gather(
            router.publish(bad, to(BLUE, bad)),
            router.publish(API, to(BLUE, API)),
            return_exceptions=True,
        )
        assert isinstance(results[0], RouterUnavailable)
        assert f"would be called web-{BLUE}" in str(results[0])
        assert results[1] is None
        assert router.apps() == {WEB, API}


async def test_the_same_words_are_not_written_again(tmp_path: Path) -> None:
    """A routing that Traefik is told in the very words it has needs no reload and no waiting."""
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
        await until(confirmed(router), what="confirmed")
        before = written(tmp_path)
        fallback = routing(share(BLUE), fallback=share(GREEN, 0))  # this Traefik cannot fall back
        await router.publish(WEB, fallback)
        assert written(tmp_path) == before
        assert router.state(WEB).published == fallback
        assert router.state(WEB).confirmed_for is not None


async def test_publishers_are_told_when_the_service_ends(tmp_path: Path) -> None:
    """Nobody waits for a writer that is gone, nor believes it wrote."""
    router = settling(tmp_path)
    async with running(router):
        waiting = asyncio.create_task(router.publish(WEB, to(BLUE)))
        await until(lambda: router._batch.parts or waiting.done(), what="it waits")
    result = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert result is None or "ended before it was written" in str(result)
    with pytest.raises(RouterUnavailable, match="is ending"):
        await router.publish(WEB, to(GREEN))


async def test_what_nobody_asked_for_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of our own making that fails, and a file that cannot be restored, are not given up."""
    monkeypatch.setattr(adapter, "LOOK_AT_FILE", 0.01)
    path = tmp_path / "dynamic" / "traefik-bg.yml"
    router = settling(tmp_path)
    path.parent.rmdir()
    with structlog.testing.capture_logs() as logs:
        async with running(router):
            await until(lambda: router._is_owed, what="the empty document could not be written")
            path.parent.mkdir()
            await until(path.exists, what="written after all")
            path.unlink()
            path.parent.rmdir()
            await until(lambda: "routing.not_restored" in str(logs), what="told")
            path.parent.mkdir()
            await until(path.exists, what="restored")


async def test_one_look_writes_nothing(tmp_path: Path) -> None:
    """Who only wants to know learns what is published, and changes nothing."""
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
    before = written(tmp_path)
    once = settling(tmp_path)
    await once.look()
    assert once.state(WEB).published == to(BLUE)
    assert once.state(WEB).confirmed_for is not None
    assert written(tmp_path) == before
    empty = settling(tmp_path / "empty")
    await empty.look()
    assert empty.apps() == frozenset()


# --- the file, lost and found ---------------------------------------------------------------------


@pytest.mark.parametrize("damage", [None, b"", b"http: {", b"{}"])
async def test_a_lost_file_is_known_from_its_copy(tmp_path: Path, damage: bytes | None) -> None:
    """Removed or overwritten, it is written anew as it was, and nobody loses a route."""
    async with running(settling(tmp_path)) as router:
        await router.publish(WEB, to(BLUE))
    path, before = tmp_path / "dynamic" / "traefik-bg.yml", written(tmp_path)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    async with running(settling(tmp_path)) as router:
        assert router.state(WEB).published == to(BLUE)
        await until(lambda: path.exists() and written(tmp_path) == before, what="written anew")


async def test_a_file_that_is_changed_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever somebody else does to it, what we published is what Traefik reads."""
    monkeypatch.setattr(adapter, "LOOK_AT_FILE", 0.01)
    path = tmp_path / "dynamic" / "traefik-bg.yml"
    with structlog.testing.capture_logs() as logs:
        async with running(settling(tmp_path)) as router:
            await router.publish(WEB, to(BLUE))
            before = written(tmp_path)
            path.write_bytes(traffic.encode(traffic.render({})))
            await until(lambda: written(tmp_path) == before, what="restored")
            path.unlink()
            await until(path.exists, what="restored")
    assert "routing.restored" in {entry["event"] for entry in logs}


async def test_what_cannot_be_read_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file without a copy may stand for many routes: only its owner can say (S5)."""
    monkeypatch.setattr(adapter, "START_AGAIN", 0.01)
    path = tmp_path / "dynamic" / "traefik-bg.yml"
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    router = settling(tmp_path)
    async with running(router, is_known=False):
        await until(lambda: "cannot be read" in str(router._unknown), what="explained")
        with pytest.raises(RouterUnavailable, match="Bring back the file, or remove it"):
            router.state(WEB)
        assert path.read_bytes() == b"damaged"
        assert router.publication.edition is None, "nothing is given out, least of all nothing"
        path.write_bytes(traffic.encode(traffic.render({WEB: to(BLUE)})))
        await until(lambda: knows(router), what="repaired")
        assert router.apps() == {WEB}


async def test_without_files_a_traefik_must_say_what_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start and the loss of everything look alike; Traefik knows which it is."""
    monkeypatch.setattr(adapter, "START_AGAIN", 0.01)
    fake = FakeTraefik()
    await fake.start()
    await fake.stop()
    router = new_router(tmp_path, None, api_urls=[fake.url])
    async with running(router, is_known=False):
        await until(lambda: "no Traefik says what it runs" in str(router._unknown), what="asked")
        async with fake:
            await until(lambda: knows(router), what="it answers")
            assert router.apps() == frozenset()
            await until(lambda: router.publication.edition, what="an empty document is given out")


async def test_what_traefik_tells_must_make_sense(tmp_path: Path) -> None:
    """A recovery that cannot be understood is no recovery."""
    fake = FakeTraefik()
    marker = {"headers": {"customResponseHeaders": {"X-Traefik-Bg": "x-1"}}}
    leaf = {"loadBalancer": {"serversTransport": "traefik-bg@file", "servers": [{"url": "?"}]}}
    fake.rawdata = {
        "middlewares": {"traefik-bg@file": marker},
        "services": {
            "web-1@file": leaf,
            "web@file": {"weighted": {"services": [{"name": "web-1", "weight": 1}]}},
        },
    }
    async with fake:
        router = new_router(tmp_path, None, api_urls=[fake.url])
        async with running(router, is_known=False):
            await until(lambda: "makes no sense" in str(router._unknown), what="explained")


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


async def test_a_name_stands_for_all_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several Traefiks behind one name are asked one by one; one that leaves is not missed."""
    monkeypatch.setattr(traefik_confirmation, "LOOK_AT_REST", 0.05)
    monkeypatch.setattr(traefik_confirmation, "LOOK_UP_AT_LEAST", 0.02)
    addresses = ["127.0.0.1", "127.0.0.2"]
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def lookup(host: Any, port: Any, **options: Any) -> Any:
        if host != "traefik":
            return await real(host, port, **options)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        v4 = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]
        return [v6, *v4]

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
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
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "traefik-bg.yml"
    path.write_bytes(traffic.encode(traffic.render({WEB: to(BLUE)})))
    router = new_router(tmp_path, None, api_urls=["http://nowhere.invalid:8080"])
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
        (tmp_path / "state").mkdir()
        path = tmp_path / "state" / "traefik-bg.yml"
        path.write_bytes(traffic.encode(traffic.render({WEB: to(BLUE)})))
        fake.page, fake.status = page, status
        router = new_router(tmp_path, None, api_urls=[fake.url])
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
            assert fake.asked <= asked + 2


async def test_a_traefik_that_says_nothing_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes the connection and is silent is no better than one that is away."""
    monkeypatch.setattr(traefik_confirmation, "ANSWER_TIMEOUT", 0.05)
    async with FakeTraefik() as fake:
        fake.is_silent = True
        (tmp_path / "state").mkdir()
        path = tmp_path / "state" / "traefik-bg.yml"
        path.write_bytes(traffic.encode(traffic.render({WEB: to(BLUE)})))
        router = new_router(tmp_path, None, api_urls=[fake.url])
        async with running(router):
            await until(lambda: "no answer within" in router.state(WEB).detail, what="explained")

"""The router writing: bursts, full disks, lost files and other writers."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path

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
    settling,
    share,
    to,
)
from tests.adapters.traefik_process import FakeTraefik, until
from traefik_bg.adapters import traefik as adapter
from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.model import AppName


def written(folder: Path) -> bytes:
    """Return the routing file."""
    return (folder / "dynamic" / "traefik-bg.yml").read_bytes()


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files that are still there."""
    return list(folder.rglob("*.tmp"))


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


async def test_a_change_that_traefik_need_not_be_told_is_news_all_the_same(tmp_path: Path) -> None:
    """Nothing is written, so nothing will be loaded: the app looks again at once."""
    woken = Woken()
    router = settling(tmp_path, wake=woken)  # it asks nobody, so there is no guard
    async with running(router):
        await router.publish(WEB, to(BLUE))
        await until(confirmed(router), what="confirmed")
        edition = router.publication.edition
        woken.apps.clear()
        guarded = replace(to(BLUE), fallback=share(GREEN, 0))
        await router.publish(WEB, guarded)
        assert router.publication.edition is edition
        assert router.state(WEB).published == guarded
        assert woken.apps == [WEB]

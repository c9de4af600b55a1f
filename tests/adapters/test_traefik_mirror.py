"""Copies of requests, with the real Traefik: green gets them, and clients notice nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.adapters.routing import BLUE, GREEN, routing
from tests.adapters.stage import Stage, staged
from tests.adapters.traefik_process import until
from traefik_bg.core.model import MirrorShare, Routing

HEADERS = {"X-App": "web"}


def mirrored(stage: Stage, percent: int = 100, *, all_methods: bool = False) -> Routing:
    """Return a routing to blue of which green gets copies."""
    copies = MirrorShare(share=stage.green.share(GREEN), percent=percent, all_methods=all_methods)
    return routing(stage.blue.share(BLUE, 100), mirror=copies)


async def test_a_part_of_the_reads_is_copied(tmp_path: Path) -> None:
    """Only GETs and HEADs, in the percentage that was asked for."""
    async with staged(tmp_path) as stage:
        await stage.publish(mirrored(stage, 20))
        for _ in range(50):
            assert await stage.ask(headers=HEADERS) == (200, "blue")
            assert await stage.ask(headers=HEADERS, method="POST", data=b"x") == (200, "blue")
        await until(lambda: len(stage.green.asked) == 10, what="a fifth of the GETs")
        assert {asked.method for asked in stage.green.asked} == {"GET"}
        assert await stage.ask(headers=HEADERS, method="HEAD") == (200, "")


async def test_all_methods_are_copied_with_their_bodies(tmp_path: Path) -> None:
    """Where that is wanted; what is larger than 256 KiB is not copied, and reaches blue whole."""
    async with staged(tmp_path) as stage:
        await stage.publish(mirrored(stage, all_methods=True))
        for size in (100_000, 1_000_000, 0):
            body = b"x" * size
            assert await stage.ask(headers=HEADERS, method="POST", data=body) == (200, "blue")
        await until(lambda: len(stage.green.asked) == 2, what="the copies")
        assert sorted(len(asked.body) for asked in stage.green.asked) == [0, 100_000]
        assert [len(asked.body) for asked in stage.blue.asked] == [100_000, 1_000_000, 0]


async def test_websockets_are_not_copied(tmp_path: Path) -> None:
    """A conversation cannot be had twice."""
    async with staged(tmp_path) as stage:
        for all_methods in (True, False):
            await stage.publish(mirrored(stage, all_methods=all_methods))
            assert await stage.say("hello", **HEADERS) == "blue: hello"
        assert stage.green.asked == []


async def test_a_mirror_that_hangs_or_is_dead_is_not_noticed(tmp_path: Path) -> None:
    """Clients get blue's answers as ever, and in time."""
    async with staged(tmp_path) as stage:
        await stage.publish(mirrored(stage))
        stage.green.patience = asyncio.Event()
        async with asyncio.timeout(10):
            for _ in range(50):
                assert await stage.ask(headers=HEADERS) == (200, "blue")
        await until(lambda: len(stage.green.asked) == 50, what="all of them hang")
        stage.green.patience.set()
        await stage.green.stop()
        for _ in range(50):
            assert await stage.ask(headers=HEADERS) == (200, "blue")


async def test_greens_figures_count_the_copies(tmp_path: Path) -> None:
    """So green can be judged before a client has seen it."""
    async with staged(tmp_path, "--metrics.prometheus=true") as stage:
        await stage.publish(mirrored(stage))
        stage.green.status = 500
        for _ in range(10):
            await stage.ask(headers=HEADERS)
        await until(lambda: len(stage.green.asked) == 10, what="the copies")
        expected = (
            'traefik_service_requests_total{code="500",method="GET",protocol="http",'
            f'service="web-{GREEN}@file"}} 10'
        )
        async with aiohttp.ClientSession() as session, asyncio.timeout(10):
            shown = ""
            while expected not in shown:
                async with session.get(stage.traefik.api_url + "/metrics") as answer:
                    shown = await answer.text()

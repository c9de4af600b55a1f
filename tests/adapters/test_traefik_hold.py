"""Requests that wait while nothing serves, with the real Traefik: users see a pause, not an error."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.adapters.routing import BLUE, GREEN, new_router, routing, running
from tests.adapters.stage import Recorder, Stage, staged
from tests.adapters.traefik_process import FakeTraefik, until
from traefik_bg.core.model import Route, Routing

METRICS = "--metrics.prometheus=true"
TRUSTED = "--entrypoints.web.forwardedHeaders.trustedIPs=127.0.0.1"
EVERYTHING = Route(rule="PathPrefix(`/`)", entrypoints=("web",))
HELD = Routing(routes=(EVERYTHING,), holds_for=20.0, loops=True)


def serving(stage: Stage, recorder: Recorder) -> Routing:
    """Return a routing of an app whose requests may have to wait, while it serves."""
    revision = BLUE if recorder is stage.blue else GREEN
    return routing(recorder.share(revision, 100), routes=(EVERYTHING,), loops=True)


async def began_to_hold(stage: Stage) -> None:
    """Hold what blue has served so far."""
    await until(lambda: stage.router.hold_available, what="it can hold")
    await stage.publish(serving(stage, stage.blue))
    assert await stage.ask() == (200, "blue")
    stage.blue.asked.clear()
    await stage.publish(HELD)


async def have_looked_again(stage: Stage, count: int) -> None:
    """Wait until held requests have looked so often, in vain, whether somebody serves."""
    counted = re.compile(
        r'traefik_service_requests_total\{code="510",.*traefik-bg-loop@file"\} (\d+)'
    )
    async with asyncio.timeout(20):
        while True:
            async with stage.session.get(stage.traefik.api_url + "/metrics") as answer:
                found = counted.findall(await answer.text())
            if sum(map(int, found)) >= count:
                return


@pytest.mark.parametrize("end", ["green", "blue"])
async def test_held_requests_are_answered_once_by_who_serves_then(tmp_path: Path, end: str) -> None:
    """GETs and POSTs with bodies wait for two seconds, and get there whole, whoever it is."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        body = b"x" * 100_000
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(
                    stage.ask(f"/{number}", "POST", data=body)
                    if number % 2
                    else stage.ask(f"/{number}")
                )
                for number in range(40)
            ]
            # Every 0.25 to 0.5 s: after some 2 s they have looked six times each.
            await have_looked_again(stage, 6 * len(asked))
            assert not any(task.done() for task in asked)
            recorder = stage.green if end == "green" else stage.blue
            await stage.publish(serving(stage, recorder))
        assert {task.result() for task in asked} == {(200, end)}
        assert Counter(request.path for request in recorder.asked) == {
            f"/{number}": 1 for number in range(40)
        }
        sizes = Counter((request.method, len(request.body)) for request in recorder.asked)
        assert sizes == {("GET", 0): 20, ("POST", len(body)): 20}
        other = stage.blue if recorder is stage.green else stage.green
        assert other.asked == []
        assert await stage.ask() == (200, end)


async def test_a_pause_under_load_fails_no_request(tmp_path: Path) -> None:
    """Serve, hold, stop blue, start green, serve: again and again, and no request is lost."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        answers: Counter[tuple[int, str]] = Counter()
        is_over = asyncio.Event()

        async def load(method: str) -> None:
            while not is_over.is_set():
                answers[await stage.ask(method=method)] += 1

        async with asyncio.TaskGroup() as tasks:
            for method in ("GET", "POST", "GET", "POST"):
                tasks.create_task(load(method))
            for recorder in (stage.green, stage.blue) * 10:
                before = answers.total()
                await stage.publish(serving(stage, recorder))
                await until(lambda seen=before: answers.total() > seen + 20, what="load")  # type: ignore[misc]
                await stage.publish(HELD)
            await stage.publish(serving(stage, stage.green))
            is_over.set()
        assert set(answers) == {(200, "blue"), (200, "green")}
        assert len(stage.blue.asked) + len(stage.green.asked) == answers.total()


async def test_a_held_request_arrives_as_any_other(tmp_path: Path) -> None:
    """Host, path, query and what is said of the client are the same, and nothing is added."""
    headers = {
        "Host": "shop.example",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "Cookie": "a=b",
    }
    path = "/api/a%20b%2Fc?x=1&y=%2F"
    async with staged(tmp_path, METRICS, TRUSTED, holds=True) as stage:
        await stage.publish(serving(stage, stage.green))
        assert (await stage.ask(path, headers=headers))[0] == 200
        await began_to_hold(stage)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(stage.ask(path, headers=headers))
            await have_looked_again(stage, 1)
            await stage.publish(serving(stage, stage.green))
        assert asked.result() == (200, "green")
        plain, held = stage.green.asked
        assert (held.path, held.headers) == (plain.path, plain.headers)
        assert held.headers["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"


async def test_websockets_wait_too(tmp_path: Path) -> None:
    """The conversation begins when somebody serves."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        async with asyncio.TaskGroup() as tasks:
            said = tasks.create_task(stage.say("hello"))
            await have_looked_again(stage, 1)
            await stage.publish(serving(stage, stage.green))
        assert said.result() == "green: hello"


async def test_who_gives_up_is_not_served_later(tmp_path: Path) -> None:
    """A client that has gone has its request forgotten."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        timeout = aiohttp.ClientTimeout(total=0.2)
        with pytest.raises(TimeoutError):
            await stage.ask("/gone", "POST", data=b"x", timeout=timeout)
        async with asyncio.TaskGroup() as tasks:
            stayed = tasks.create_task(stage.ask("/stayed"))
            await have_looked_again(stage, 4)
            await stage.publish(serving(stage, stage.green))
        assert stayed.result() == (200, "green")
        assert [request.path for request in stage.green.asked] == ["/stayed"]


async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    """When the time is over a client is told to come again later."""
    async with staged(tmp_path, holds=True) as stage:
        await until(lambda: stage.router.hold_available, what="it can hold")
        await stage.publish(Routing(routes=(EVERYTHING,), holds_for=0.3, loops=True))
        assert (await stage.ask(method="POST", data=b"x"))[0] == 503


async def test_an_app_that_fails_after_the_hold_is_asked_once(tmp_path: Path) -> None:
    """What it answers is the answer, whatever it is."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        stage.green.status = 503
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(stage.ask(method="POST", data=b"x"))
            await have_looked_again(stage, 1)
            await stage.publish(serving(stage, stage.green))
        assert asked.result() == (503, "green")
        assert len(stage.green.asked) == 1


async def test_without_the_entry_point_requests_are_refused(tmp_path: Path) -> None:
    """Nothing is promised that cannot be kept: they are answered 503 at once."""
    async with staged(tmp_path) as stage:
        assert not stage.router.hold_available
        await stage.publish(HELD)
        assert (await stage.ask())[0] == 503


async def test_the_header_means_nothing_to_others(tmp_path: Path) -> None:
    """Who sends it from outside gets the ordinary way, past nobody's middlewares."""
    async with staged(tmp_path, METRICS, holds=True) as stage:
        await began_to_hold(stage)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(stage.ask(headers={"X-Traefik-Bg-Held": "another"}))
            await have_looked_again(stage, 1)
            await stage.publish(serving(stage, stage.green))
        assert asked.result() == (200, "green")
        assert "X-Traefik-Bg-Held" not in stage.green.asked[0].headers


@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"])
async def test_an_unfit_entry_point_is_told_and_not_used(
    tmp_path: Path, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Traefik would not believe itself, apps would be told of a wrong client."""
    async with FakeTraefik() as fake:
        fake.version = "3.7.15"
        fake.entrypoint = {
            "address": "127.0.0.1:8079",
            "forwardedHeaders": {"trustedIPs": [trusted]},
        }
        router = new_router(tmp_path, None, api_urls=[fake.url])
        async with running(router):
            await until(lambda: router.guard_available, what="the features are known")
            assert router.hold_available == (trusted == "127.0.0.0/8")
            told = capsys.readouterr().out.count("entrypoint_unusable")
            assert told == (not router.hold_available)

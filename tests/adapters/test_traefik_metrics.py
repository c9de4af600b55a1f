"""What Traefik counted is told as it was, whatever happens to Traefik; asked of the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.adapters.routing import API, BLUE, GREEN, WEB, routing, share
from tests.adapters.traefik_process import (
    FakeTraefik,
    Handler,
    TraefikProcess,
    free_port,
    serve,
    until,
    watched_folder,
)
from traefik_bg.adapters import traefik_client, traefik_metrics
from traefik_bg.adapters.traefik_client import NoAnswer
from traefik_bg.adapters.traefik_metrics import TraefikMeter
from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.evidence import Tally
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.tally import figures

METRICS = ("--metrics.prometheus=true", "--metrics.prometheus.buckets=0.1,0.3,1.2,5")
ROUTE = {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "service": "web"}


class Scene:
    """A real Traefik with blue and green behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dynamic = folder, watched_folder(folder)
        provider = f"--providers.file.directory={self.dynamic}"
        self.traefik = TraefikProcess(folder, provider, *METRICS)
        self.servers: list[web.AppRunner] = []
        self.ports: dict[RevisionId, int] = {}

    async def begin(self) -> None:
        for revision in (BLUE, GREEN):
            server, self.ports[revision] = await serve(answering(revision))
            self.servers.append(server)
        await self.traefik.start()

    async def end(self) -> None:
        self.traefik.stop()
        for server in self.servers:
            await server.cleanup()

    def meter(self, **options: Any) -> TraefikMeter:
        return TraefikMeter(**{"api_urls": [self.traefik.api_url], "metrics_urls": []} | options)

    async def run(self, **services: Any) -> None:
        """Have Traefik run these services beside the balancers of blue and green."""
        for revision, port in self.ports.items():
            servers = [{"url": f"http://127.0.0.1:{port}"}]
            services.setdefault(f"web-{revision}", {"loadBalancer": {"servers": servers}})
        await self.run_only(services)

    async def run_only(self, services: dict[str, Any]) -> None:
        await self.load({"http": {"routers": {"web": ROUTE}, "services": services}})

    async def load(self, document: dict[str, Any]) -> None:
        """Have Traefik run this document, and wait until it does."""
        staged = self.folder / "staged.yml"
        staged.write_bytes(traffic.encode(document))
        staged.rename(self.dynamic / "web.yml")
        wanted = {f"{name}@file" for name in document["http"]["services"]}
        for _ in range(2000):
            found = await self.traefik.ask("/api/http/services") or []
            if {s["name"] for s in found if s["name"].endswith("@file")} == wanted:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("Traefik does not run the services")

    async def ask(self, path: str = "/", times: int = 1, **more: Any) -> None:
        for _ in range(times):
            await self.traefik.get(path, **more)


def answering(revision: RevisionId) -> Handler:
    """Return a replica: it does what its path asks for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/slow":
                await asyncio.sleep(0.5)
            case "/fails":
                return web.Response(status=503)
            case "/breaks" if revision == GREEN and request.transport is not None:
                request.transport.abort()
            case "/missing":
                return web.Response(status=404)
            case "/socket":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                await socket.close()
                return socket
        return web.Response(text=revision)

    return answer


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Return a running scene."""
    found = Scene(tmp_path)
    try:
        await found.begin()
        yield found
    finally:
        await found.end()


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every question be asked anew, except where a test is about that."""
    monkeypatch.setattr(traefik_metrics, "FRESH_FOR", 0.0)


def to_both(weight: int) -> dict[str, Any]:
    """Return a split between blue and green."""
    weights = {BLUE: 100 - weight, GREEN: weight}
    return {
        "weighted": {
            "services": [{"name": f"web-{r}", "weight": w} for r, w in weights.items() if w]
        }
    }


async def counted(meter: TraefikMeter, revision: RevisionId, app: AppName = WEB) -> Tally:
    """Return what was counted of a revision."""
    return (await meter.tallies(app)).get(revision, Tally())


async def test_what_was_sent_is_what_is_counted(scene: Scene) -> None:
    """Requests, errors, methods and latencies, of each revision by itself."""
    await scene.run(web=to_both(50))
    async with scene.meter() as meter:
        assert await meter.tallies(WEB) == {}
        await scene.ask(times=20)
        await scene.ask("/fails", times=10)
        await scene.ask("/missing", times=4)
        await scene.ask(method="POST", times=6)
        blue, green = await counted(meter, BLUE), await counted(meter, GREEN)
    assert blue.requests + green.requests == 40
    assert {blue.requests, green.requests} == {20}
    assert blue.errors + green.errors == 10
    assert blue.reads + green.reads == 34
    assert [bound for bound, _ in green.buckets] == [0.1, 0.3, 1.2, 5.0, float("inf")]
    assert green.buckets[-1][1] == 20
    assert figures(green).p95 is not None


async def test_latencies_are_told_apart_by_the_buckets(scene: Scene) -> None:
    """Half a second lies between 0.3 and 1.2."""
    await scene.run(web=to_both(100))
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        await asyncio.gather(*(scene.ask("/slow") for _ in range(4)))
        found = figures(await counted(meter, GREEN))
    assert found.requests == 4
    assert found.p50 is not None
    assert (found.p50.at_least, found.p50.at_most) == (0.3, 1.2)
    assert 0.3 < found.p50.about <= 1.2


async def test_copies_for_a_mirror_count_at_the_mirror(scene: Scene) -> None:
    """Green is judged by its copies before it takes traffic; blue's own are not counted twice."""
    mirrors = [{"name": f"web-{GREEN}", "percent": 50}]
    await scene.run(
        web={"mirroring": {"service": f"web-{BLUE}", "mirrors": mirrors}},
    )
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        await scene.ask(times=16)
        await scene.ask("/fails", times=4)
        seen: dict[RevisionId, Tally] = {}
        for _ in range(400):  # copies are sent beside the answer
            seen = dict(await meter.tallies(WEB))
            if seen.get(GREEN, Tally()).requests >= 10:
                break
            await asyncio.sleep(0.01)
    assert (seen[BLUE].requests, seen[BLUE].errors) == (20, 4)
    assert (seen[GREEN].requests, seen[GREEN].errors) == (10, 2)


async def test_what_the_guard_keeps_back_counts_at_green(scene: Scene) -> None:
    """The client got blue's answer; what green did is counted, and blue's is one more request."""
    shares = (share(GREEN, port=scene.ports[GREEN]),)
    blue_is_warm = routing(*shares, fallback=share(BLUE, 0, port=scene.ports[BLUE]))
    await scene.load(traffic.render({WEB: blue_is_warm}, features=Features(guard=True)))
    ours = {"X-App": "web"}
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        assert await scene.traefik.get("/breaks", **ours) == (200, BLUE)
        await scene.ask("/fails", 3, **ours)
        await scene.ask("/", 2, **ours)
        blue, green = await counted(meter, BLUE), await counted(meter, GREEN)
    assert (green.requests, green.errors) == (6, 4)
    assert (blue.requests, blue.errors) == (4, 3)


async def test_a_client_that_hangs_up_is_no_error_but_has_waited(scene: Scene) -> None:
    """499, which is not green's doing; the time is."""
    await scene.run(web=to_both(100))
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await scene.ask("/slow")
        seen = Tally()
        for _ in range(400):
            seen = await counted(meter, GREEN)
            if seen.requests:
                break
            await asyncio.sleep(0.01)
    assert (seen.requests, seen.errors) == (1, 0)
    assert dict(seen.buckets)[0.1] == 0


async def test_websockets_are_left_out(scene: Scene) -> None:
    """They count when they end: that says nothing of how green answers now."""
    await scene.run(web=to_both(100))
    async with scene.meter() as meter, aiohttp.ClientSession() as session:
        await meter.tallies(WEB)
        async with session.ws_connect(scene.traefik.web_url + "/socket") as socket:
            await socket.receive()
        await scene.ask(times=2)
        assert (await counted(meter, GREEN)).requests == 2


async def test_a_restart_of_traefik_loses_nothing_that_was_told(scene: Scene) -> None:
    """Its counters begin anew at 0; what we tell never falls."""
    await scene.run(web=to_both(100))
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        await scene.ask(times=5)
        assert (await counted(meter, GREEN)).requests == 5
        scene.traefik.stop()
        with pytest.raises(RouterUnavailable):
            await meter.tallies(WEB)
        await scene.traefik.start()
        await scene.run(web=to_both(100))
        await scene.ask(times=2)
        assert (await counted(meter, GREEN)).requests == 7


async def test_a_revision_that_left_and_came_back_goes_on(scene: Scene) -> None:
    """Traefik forgets what it counted of a service that left its configuration."""
    await scene.run(web=to_both(100))
    async with scene.meter() as meter:
        await meter.tallies(WEB)
        await scene.ask(times=5)
        assert (await counted(meter, GREEN)).requests == 5
        port = scene.ports[BLUE]
        await scene.run_only(
            {"web": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}}
        )
        for _ in range(2):
            assert (await counted(meter, GREEN)).requests == 5
        await scene.run(web=to_both(100))
        await scene.ask(times=3)
        assert (await counted(meter, GREEN)).requests == 8


async def test_two_traefiks_are_added(scene: Scene, tmp_path: Path) -> None:
    """Each counts what went through it; what another app got is not ours."""
    provider = f"--providers.file.directory={scene.dynamic}"
    await scene.run(web=to_both(100))
    other = TraefikProcess(tmp_path / "other", provider, *METRICS)
    async with other, scene.meter(api_urls=[scene.traefik.api_url, other.api_url]) as meter:
        await meter.tallies(WEB)
        await scene.ask(times=2)
        for _ in range(3):
            await other.get()
        assert (await counted(meter, GREEN)).requests == 5
        assert await meter.tallies(API) == {}


async def test_a_traefik_without_metrics_says_what_to_set(tmp_path: Path) -> None:
    """Metrics are off by default."""
    traefik = TraefikProcess(tmp_path)
    async with traefik, TraefikMeter([traefik.api_url], []) as meter:
        with pytest.raises(RouterUnavailable) as caught:
            await meter.tallies(WEB)
    assert str(caught.value) == (
        f"Traefik's metrics at {traefik.api_url}/metrics cannot be read: it has no metrics (HTTP "
        "404): set metrics.prometheus in its configuration; --traefik-metrics says where they are"
    )


# --- what a Traefik may say -----------------------------------------------------------------------


def text(requests: int = 1, app: str = "web", **labels: str) -> str:
    """Return what a Traefik shows of a revision of an app."""
    known = {"code": "200", "method": "GET", "protocol": "http", "service": f"{app}-{GREEN}@http"}
    shown = ",".join(f'{key}="{value}"' for key, value in (known | labels).items())
    return (
        "# TYPE traefik_service_requests_total counter\n"
        f"traefik_service_requests_total{{{shown}}} {requests}\n"
        "# TYPE traefik_service_request_duration_seconds histogram\n"
        f'traefik_service_request_duration_seconds_bucket{{{shown},le="0.1"}} {requests}\n'
        f'traefik_service_request_duration_seconds_bucket{{{shown},le="+Inf"}} {requests}\n'
    )


async def test_what_was_counted_before_we_came_is_not_counted() -> None:
    """Nobody knows when it was; a series that appears later begins at 0."""
    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        traefik.page = text(1000)
        assert await meter.tallies(WEB) == {GREEN: Tally()}
        traefik.page = text(1002) + text(5, code="500")
        found = await counted(meter, GREEN)
        assert (found.requests, found.errors) == (7, 5)
        assert found.buckets == ((0.1, 7), (float("inf"), 7))


async def test_apps_with_like_names_are_told_apart() -> None:
    """One app's name may begin with another's."""
    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        both = WEB, AppName("web-api")
        traefik.page = text(1) + text(1, "web-api")
        assert [await meter.tallies(app) for app in both] == [{GREEN: Tally()}] * 2
        traefik.page = text(3) + text(10, "web-api")
        assert [(await counted(meter, GREEN, app)).requests for app in both] == [2, 9]


@pytest.mark.parametrize(
    ("page", "status", "words"),
    [
        ("hello", 200, "what it answered is not Traefik's metrics"),
        ("no", 401, "its metrics want a login (HTTP 401)"),
        ("no", 404, "it has no metrics (HTTP 404): set metrics.prometheus in its configuration"),
        ("no", 500, "it answered HTTP 500"),
    ],
)
async def test_an_answer_that_is_none_says_what_to_set(page: str, status: int, words: str) -> None:
    """Where it was asked, what is wrong, and which setting says otherwise; no password."""
    async with FakeTraefik() as traefik:
        traefik.page, traefik.status = page, status
        url = traefik.url.replace("http://", "http://me:secret@") + "/count"
        async with TraefikMeter([], [url]) as meter:
            with pytest.raises(RouterUnavailable) as caught:
                await meter.tallies(WEB)
        assert str(caught.value) == (
            f"Traefik's metrics at {traefik.url}/count cannot be read: {words}; "
            "--traefik-metrics says where they are"
        )


@pytest.mark.parametrize(
    "line",
    [
        'traefik_service_requests_total{code="200",service="web-93ee7000@http"} 1',
        'traefik_service_requests_total{protocol="http",service="web-93ee7000@http"} many',
    ],
)
async def test_metrics_that_make_no_sense_are_not_believed(line: str) -> None:
    """Neither zero nor a crash."""
    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        traefik.page = line + "\n"
        with pytest.raises(RouterUnavailable, match="make no sense"):
            await meter.tallies(WEB)


async def test_without_an_address_it_says_which_settings_give_one() -> None:
    """Neither the API nor the metrics are known."""
    async with TraefikMeter([], []) as meter:
        with pytest.raises(RouterUnavailable, match="set --traefik-metrics or --traefik-api"):
            await meter.tallies(WEB)


async def test_nobody_there_is_told() -> None:
    """A port that refuses, and a name that nobody knows."""
    async with TraefikMeter([f"http://127.0.0.1:{free_port()}"], []) as meter:
        with pytest.raises(RouterUnavailable, match="Connect"):
            await meter.tallies(WEB)


async def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And looked up again at the next question."""

    async def unknown(_url: str, **_: object) -> list[traefik_client.Endpoint]:
        raise NoAnswer("the name traefik is not known")

    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        traefik.page = text()
        with monkeypatch.context() as patched:
            patched.setattr(traefik_metrics, "endpoints", unknown)
            with pytest.raises(RouterUnavailable, match="the name traefik is not known"):
                await meter.tallies(WEB)
        assert GREEN in await meter.tallies(WEB)


async def test_all_apps_share_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask within a second, and whoever gives up waiting."""
    monkeypatch.setattr(traefik_metrics, "FRESH_FOR", 60.0)
    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        traefik.page = text()
        apps = [AppName(f"app-{number}") for number in range(20)]
        asked = [asyncio.create_task(meter.tallies(app)) for app in apps]
        await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await meter.tallies(WEB)
        assert traefik.asked == 1


async def test_closing_ends_a_question_that_is_under_way() -> None:
    """A Traefik that says nothing does not keep the service from ending."""
    async with FakeTraefik() as traefik:
        traefik.is_silent = True
        meter = TraefikMeter([traefik.url], [])
        asked = asyncio.create_task(meter.tallies(WEB))
        await until(lambda: traefik.asked, what="asked")
        await meter.close()
        assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], BaseException)


async def test_who_is_not_asked_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps come and go; the service stays for months."""
    monkeypatch.setattr(traefik_metrics, "FORGET_AFTER", 0.0)
    async with FakeTraefik() as traefik, TraefikMeter([traefik.url], []) as meter:
        traefik.page = text()
        await meter.tallies(WEB)
        await meter.tallies(API)
        assert set(meter._accounts) == {API}

"""The meter counts every loss exactly, and tells its own failings from the app's."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from integration.meter import (
    Cut,
    Exchange,
    Kind,
    Load,
    Loss,
    Meter,
    MeterFailed,
    Report,
    TargetRefused,
    WebsocketLife,
)
from integration.meter.connection import WatchedConnector, Wire
from integration.meter.exchange import Ended, Line, Started, decode, encode
from integration.meter.generator import Generator, allow_open_files
from integration.meter.load import checked_target
from integration.meter.verdict import explained

ROOT = Path(__file__).resolve().parents[1]

Behaviour = Callable[["App", web.Request], Awaitable[web.StreamResponse]]


class App:
    """A real server on loopback that behaves well, except where a test told it not to."""

    def __init__(self) -> None:
        self.version = "v1"
        self.gets: deque[Behaviour] = deque()  # for the next GETs, then all is well again
        self.posts: deque[Behaviour] = deque()
        self.websockets: list[web.WebSocketResponse] = []
        self.seen: Counter[str] = Counter()
        self.is_echoing = True
        self.over = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self.answer)
        app.router.add_post("/echo", self.answer)
        app.router.add_get("/slow", self.answer_slowly)
        app.router.add_get("/ws", self.talk)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self.runner.addresses[0][1])

    async def stop(self) -> None:
        self.over.set()
        await self.runner.cleanup()

    def load(
        self,
        *,
        requests: int = 40,
        rate: float = 200,
        slow: int = 0,
        slow_seconds: float = 0.3,
        websockets: int = 0,
        timeout: float = 0.4,
    ) -> Load:
        return Load(
            url=f"http://127.0.0.1:{self.port}",
            host="sample.localhost",
            rate=rate,
            seconds=requests / rate,
            slow=slow,
            slow_seconds=slow_seconds,
            websockets=websockets,
            ping_every=0.02,
            timeout=timeout,
        )

    async def measured(self, load: Load) -> Report:
        async with Meter(load) as meter:
            return await meter.finished()

    def headers(self) -> dict[str, str]:
        return {"X-Version": self.version, "X-Replica": f"{self.version}-0"}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen[request.method] += 1
        assert request.host == "sample.localhost"
        told = self.gets if request.method == "GET" else self.posts
        if told:
            return await told.popleft()(self, request)
        text = hashlib.sha256(await request.read()).hexdigest()
        return web.Response(text=text, headers=self.headers())

    async def answer_slowly(self, request: web.Request) -> web.StreamResponse:
        self.seen["SLOW"] += 1
        await asyncio.sleep(float(request.query["seconds"]))
        return web.Response(headers=self.headers())

    async def talk(self, request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        websocket.headers.update(self.headers())
        await websocket.prepare(request)
        self.websockets.append(websocket)
        async for message in websocket:
            if self.is_echoing:
                await websocket.send_str(str(message.data))
        return websocket


def status(code: int) -> Behaviour:
    async def behave(app: App, request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={**app.headers(), "Location": "/"})

    return behave


async def close_unanswered(app: App, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def reset(app: App, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    reset_connection(request.transport)
    return web.Response()


async def hang(app: App, request: web.Request) -> web.StreamResponse:
    await app.over.wait()
    return web.Response()


async def break_off(app: App, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={**app.headers(), "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"a beginning")
    assert request.transport is not None
    request.transport.close()
    return response


async def answer_another(app: App, request: web.Request) -> web.StreamResponse:
    return web.Response(text=hashlib.sha256(b"another").hexdigest(), headers=app.headers())


async def answer_late(app: App, request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.25)
    return web.Response(headers=app.headers())


def reset_connection(transport: asyncio.Transport | asyncio.BaseTransport) -> None:
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.Transport)
    transport.abort()


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    await app.start()
    yield app
    await app.stop()


# ---- losses ------------------------------------------------------------------------------------


async def test_a_well_behaved_app_is_proven_to_lose_nothing(app: App) -> None:
    """Every request is made, of every kind and in its share, and all of them are answered."""
    report = await app.measured(app.load(requests=100, slow=2, websockets=3))

    steady = [x for x in report.exchanges if x.kind in {Kind.GET, Kind.POST}]
    kinds = Counter(x.kind for x in report.exchanges)
    assert (kinds[Kind.GET], kinds[Kind.POST], kinds[Kind.WEBSOCKET]) == (80, 20, 3)
    assert (app.seen["GET"], app.seen["POST"], app.seen["SLOW"]) == (80, 20, kinds[Kind.SLOW])
    assert kinds[Kind.SLOW] >= 4
    assert sum(x.fresh for x in steady if x.kind is Kind.GET) >= 8
    assert sum(x.fresh for x in steady if x.kind is Kind.POST) >= 2
    assert sum(not x.fresh for x in steady) >= 50
    assert report.lost() == ()
    assert report.websocket_cuts() == ()
    assert len(report.lives) == 3
    assert min(life.echoes for life in report.lives) >= 5
    assert report.faults() == ()
    assert report.proves_no_loss()
    assert report.sentence().startswith(
        f"0 of {kinds.total()} requests lost in 0.5 s; 100 at 200/s"
    )


async def test_each_kind_of_loss_is_counted_exactly(app: App) -> None:
    """A wrong status, a hung, dropped, reset, broken-off or wrong answer: each is its own loss."""
    app.gets.extend([status(503)] * 3 + [status(404)] * 2 + [status(302)] * 1)
    app.gets.extend([close_unanswered] * 4 + [reset] * 3 + [hang] * 2 + [break_off] * 5)
    app.posts.extend([answer_another] * 2 + [reset] * 2 + [status(502)])

    report = await app.measured(app.load(requests=100))

    assert Counter((x.kind, x.loss) for x in report.lost()) == {
        (Kind.GET, Loss.STATUS): 6,
        (Kind.GET, Loss.CUT): 7,
        (Kind.GET, Loss.TIMEOUT): 2,
        (Kind.GET, Loss.TRUNCATED): 5,
        (Kind.POST, Loss.WRONG_BODY): 2,
        (Kind.POST, Loss.CUT): 2,
        (Kind.POST, Loss.STATUS): 1,
    }
    assert len(report.exchanges) == 100
    assert report.faults() == ()
    assert not report.proves_no_loss()
    assert "25 of 100 requests lost" in report.sentence()
    assert "and 5 more lost" in report.table()


async def test_a_port_that_refuses_loses_every_request(app: App) -> None:
    """Where nobody listens, each request is refused, whatever its kind."""
    load = app.load(requests=20, slow=1, websockets=1)
    await app.stop()

    report = await app.measured(load)

    assert {x.loss for x in report.exchanges} == {Loss.REFUSED}
    assert sum(x.kind in {Kind.GET, Kind.POST} for x in report.lost()) == 20
    assert {x.kind for x in report.lost()} == set(Kind)
    assert report.versions_between(report.began, report.until) == {}


async def test_a_dropped_request_is_not_silently_sent_again(app: App) -> None:
    """Left alone, aiohttp would hide a GET dropped on a kept-alive connection."""
    async with aiohttp.ClientSession(headers={"Host": "sample.localhost"}) as plain:
        for behaviour in ([], [close_unanswered]):
            app.gets.extend(behaviour)
            async with plain.get(f"http://127.0.0.1:{app.port}/") as response:
                assert response.status == 200
    assert app.seen["GET"] == 3  # for two requests: this is the retry that must not happen below

    app.seen.clear()
    app.gets.extend([status(200)] * 10 + [close_unanswered] * 5)
    report = await app.measured(app.load())

    assert app.seen["GET"] == 32
    lost = report.lost()
    assert [x.loss for x in lost] == [Loss.CUT] * 5
    assert any(not x.fresh for x in lost)


async def test_a_request_sent_twice_by_the_library_proves_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Should aiohttp ever retry again, the meter notices and blames itself."""

    async def watch(
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        wire = Wire.current.get()
        wire.sendings += 1
        response = await send(request)
        wire.status = response.status
        return response

    monkeypatch.setattr(Wire, "watch", staticmethod(watch))
    app.gets.extend([status(200)] * 4 + [close_unanswered])

    lines = await lines_of(app.load(requests=20, rate=100), tmp_path)

    twice = [x for x in lines if isinstance(x, Exchange) and x.own_fault]
    assert [x.own_fault for x in twice] == ["sent 2 times by the client library"]
    assert not twice[0].is_lost


async def test_a_connection_closed_while_idle_is_no_loss(app: App) -> None:
    """What the server closed before the request was written is replaced, and counted as such."""
    connector = WatchedConnector(idle_limit=2.0)
    with one_answer_per_connection() as port:
        async with aiohttp.ClientSession(connector=connector, middlewares=(Wire.watch,)) as session:
            for number in range(2):
                wire = Wire()
                Wire.current.set(wire)
                if number:
                    time.sleep(0.1)  # noqa: ASYNC251 - the loop must not see the server's close
                async with session.get(f"http://127.0.0.1:{port}/") as response:
                    assert await response.read() == b"ok"
                assert (wire.sendings, wire.fresh) == (1, True)
    assert connector.idle_closed == 1


async def test_a_slow_answer_does_not_slow_the_schedule(app: App) -> None:
    """The loop is open: requests leave on time while earlier ones wait, each on its own account."""
    app.gets.extend([answer_late] * 32)

    report = await app.measured(app.load())

    due = sorted(x.scheduled for x in report.exchanges)
    assert all(abs(later - sooner - 0.005) < 1e-6 for sooner, later in pairwise(due))
    assert sum(x.latency >= 0.25 for x in report.exchanges) >= 32  # each has its own wait
    assert report.proves_no_loss()
    started = sorted(x.started for x in report.exchanges)
    assert started[-1] < min(x.ended for x in report.exchanges if x.kind is Kind.GET)


async def test_a_cut_slow_request_is_lost(app: App) -> None:
    """Long requests are watched to their end, and each one that does not reach it is named."""
    async with Meter(app.load(requests=160, slow=2, slow_seconds=10)) as meter:
        await meter.until(lambda seen: app.seen["SLOW"] == 2 and seen.exchanges, within=2)
        meter.mark("stop")
        for connection in list(app.runner.server.connections if app.runner.server else ()):
            transport = connection.transport
            assert transport is not None
            reset_connection(transport)
        cuts = await meter.until(
            lambda seen: seen.slow_cuts() if len(seen.slow_cuts()) == 2 else None, within=2
        )
        assert {(x.kind, x.loss) for x in cuts} == {(Kind.SLOW, Loss.CUT)}
        assert set(cuts) <= set(meter.report().lost(after="stop"))
        meter.kill()


# ---- who answered ------------------------------------------------------------------------------


async def test_a_cutover_is_seen_request_by_request(app: App) -> None:
    """Marks tell what was sent before and after, and which version answered it."""
    async with Meter(app.load(requests=400)) as meter:
        began = meter.mark("begin")
        await meter.until(lambda seen: len(seen.exchanges) >= 20, within=2)
        app.version = "v2"
        cutover = meter.mark("cutover")
        first = await meter.until(
            lambda seen: seen.first_answer_from("v2", after="cutover"), within=2
        )
        await meter.until(
            lambda seen: len(seen.versions_between("cutover", 1e12)) and True, within=2
        )
        meter.mark("end")
        report = await meter.stop()

    assert first.ended >= cutover > began
    assert first.replica == "v2-0"
    last = report.last_sent_to("v1")
    assert last is not None
    assert last.started < cutover
    assert set(report.versions_between("cutover", "end")) == {"v2"}
    assert set(report.replicas_between("cutover", "end")) == {"v2-0"}
    assert report.versions_between("begin", "cutover")["v1"] >= 15
    assert report.first_answer_from("v3") is None
    assert [line.split()[0] for line in report.table().splitlines()] == [
        "from",
        "start",
        "begin",
        "cutover",
        "end",
    ]
    with pytest.raises(KeyError, match="no mark is named 'cutoff'"):
        report.lost(after="cutoff")
    with pytest.raises(ValueError, match="set already"):
        meter.mark("cutover")


def test_a_span_counts_what_was_sent_in_it() -> None:
    """An answer from blue after the cutover to a request from before it accuses nobody."""
    before = dataclasses.replace(exchange(started=1.0), ended=5.0)
    within = dataclasses.replace(exchange(started=3.0), ended=5.5, version="v2")
    lost = exchange(started=1.5, loss=Loss.TIMEOUT)
    lost = dataclasses.replace(lost, ended=6.0, status=None, version="")
    report = report_of([before, within, lost], Ended(7, 0, 6, {"get": 3}, 0, 0))

    assert report.versions_between(2.0, 4.0) == {"v2": 1}
    assert report.versions_between(1.0, 3.0) == {"v1": 1}
    assert report.lost(after=4.0, before=5.0) == (lost,)  # it was open then
    assert report.lost(before=1.5) == ()
    assert report.lost(after=6.1) == ()
    assert report.last_sent_to("v1") == before
    assert report.first_answer_from("v2", after=5.6) is None


# ---- websockets --------------------------------------------------------------------------------


async def test_a_cut_websocket_is_told_with_its_version_and_cause(app: App) -> None:
    """A close frame, a vanished connection and a silence differ; a new websocket follows each."""
    async with Meter(app.load(requests=400, websockets=1)) as meter:
        cuts = {}
        for number, cause in enumerate(("frame", "vanished", "reset", "silence")):
            await meter.until(
                lambda _, n=number: len(app.websockets) > n,  # type: ignore[misc]
                within=2,
            )
            app.version = f"v{number + 2}"  # for the next one
            meter.mark(cause)
            match cause:
                case "frame":
                    await app.websockets[-1].close(code=1001, message=b"going away")
                case "vanished":
                    transport_of(app.websockets[-1]).close()
                case "reset":
                    reset_connection(transport_of(app.websockets[-1]))
                case "silence":
                    app.is_echoing = False
            found = await meter.until(
                lambda seen, mark=cause: seen.websocket_cuts(after=mark),  # type: ignore[misc]
                within=2,
            )
            cuts[cause] = found[0]
        report = await meter.stop()

    assert [(life.version, life.cut, life.code) for life in cuts.values()] == [
        ("v1", Cut.CLOSE_FRAME, 1001),
        ("v2", Cut.CONNECTION_LOST, None),
        ("v3", Cut.CONNECTION_LOST, None),
        ("v4", Cut.SILENCE, None),
    ]
    assert cuts["frame"].detail == "going away"
    assert "websocket to v1 v1-0: close frame 1001 (going away) at" in report.table()
    assert report.lost() == ()


async def test_a_refused_handshake_is_a_lost_request(app: App) -> None:
    """A websocket that does not come about is lost with the status that refused it."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    app.talk = refuse  # type: ignore[method-assign]
    await app.stop()
    app.over.clear()
    await app.start()

    report = await app.measured(app.load(requests=10, websockets=2))

    assert {(x.kind, x.loss, x.status) for x in report.lost()} == {
        (Kind.WEBSOCKET, Loss.STATUS, 503)
    }
    assert report.lives == ()


# ---- the meter's own failings ------------------------------------------------------------------


async def test_a_stalled_generator_says_that_it_was_late(app: App) -> None:
    """A pause of the meter is neither a loss nor hidden: what was late is late in the report."""
    async with Meter(app.load(requests=400)) as meter:
        await meter.until(lambda seen: len(seen.exchanges) >= 10, within=2)
        assert meter._process is not None
        os.kill(meter._process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.3)
        os.kill(meter._process.pid, signal.SIGCONT)
        await meter.until(lambda seen: seen.late(), within=20)
        report = await meter.stop()

    assert report.lost() == ()
    assert len(report.late()) >= 40  # more on a machine that stalls by itself
    assert report.worst_slip() > 0.2
    assert report.latency(1.0) >= report.worst_slip()  # from when it was due, not from when sent
    assert f"the meter itself was late {len(report.late())} times" in report.sentence()
    assert report.proves_no_loss()


async def test_a_dead_generator_is_an_error_and_not_a_report(app: App) -> None:
    """If the meter dies, nobody may take the missing losses for success."""
    meter = Meter(app.load(requests=400))
    await meter.start()
    assert meter._process is not None
    meter._process.kill()
    with pytest.raises(MeterFailed, match="ended with code -9"):
        await meter.stop()
    with pytest.raises(MeterFailed, match="not running"):
        await meter.until(lambda _: None, within=2)
    with pytest.raises(MeterFailed, match="runs once"):
        await meter.start()


async def test_a_load_that_ended_too_early_proves_nothing(app: App) -> None:
    """A meter stopped after its bound saw nothing of what happened in between."""
    async with Meter(app.load(requests=2)) as meter:
        await meter.until(lambda seen: seen.ended, within=3)
        report = await meter.stop()

    assert report.lost() == ()
    assert not report.proves_no_loss()
    assert "PROVES NOTHING: the load ended at its bound of 0.01 s, too early." in report.sentence()


async def test_a_failing_test_ends_its_generator(app: App) -> None:
    """An error inside the block ends the load at once; what was seen can still be read."""
    meter = Meter(app.load(requests=400))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
        async with meter:
            await meter.until(lambda seen: len(seen.exchanges) >= 5, within=2)
            raise ZeroDivisionError
    assert meter._process is None
    assert len(meter.report().exchanges) >= 5


async def test_a_generator_ends_with_the_test_that_started_it(app: App) -> None:
    """When its standard input closes, as it does when a test process dies, the load stops."""
    meter = Meter(app.load(requests=2000))
    await meter.start()
    assert meter._process is not None
    assert meter._process.stdin is not None
    meter._process.stdin.close()
    report = await meter.until(lambda seen: seen if seen.ended else None, within=2)
    assert report.until - report.began < 1
    meter.kill()


def test_what_the_machine_refuses_is_the_meters_own_fault() -> None:
    """Running out of files or ports is no loss of the app's, and no proof either."""
    wire = Wire()
    for number in (errno.EMFILE, errno.EADDRNOTAVAIL):
        assert "the meter's machine" in explained(OSError(number, "no more"), wire).own_fault
    verdict = explained(ConnectionResetError(errno.ECONNRESET, "reset"), wire)
    assert (verdict.loss, verdict.own_fault) == (Loss.CUT, "")


def test_a_load_beyond_the_machines_files_is_refused() -> None:
    """A load that could run out of files while nothing answers is not even begun."""
    with pytest.raises(ValueError, match="lower rate times timeout"):
        allow_open_files(1 << 40)


def test_each_failing_of_the_meter_voids_the_proof() -> None:
    """A missing account, a long pause, a fault of its own or no measurement at all: no proof."""
    fine, ended = exchange(), Ended(2, 0, 1, {"get": 1}, 0, 0.5)
    assert report_of([fine], ended).proves_no_loss()
    assert report_of([fine], ended).cpu_share() == 0.5
    for report, fault in (
        (report_of([], Ended(2, 0, 1, {}, 0, 0)), "nothing was measured"),
        (report_of([fine], Ended(2, 0, 1, {"get": 3}, 0, 0)), "2 requests were sent and never"),
        (report_of([exchange(started=1.5)], ended), "the meter stood still"),
        (report_of([exchange(own_fault="no ports")], ended), "1 requests: no ports"),
    ):
        assert not report.proves_no_loss()
        assert fault in report.sentence()
        assert not report.lost()


# ---- targets and bounds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34",
        "http://10.1.2.3:80",  # private, but nobody said it is ours
        "http://169.254.169.254",
        "http://0.0.0.0:80",
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@93.184.216.34",
        "http://2130706433",
        "http://[2001:db8::1]:80",
        "http://127.0.0.1:port",
        "https://127.0.0.1",
        "http://127.0.0.1/path",
        "127.0.0.1:80",
    ],
)
def test_the_meter_refuses_every_address_that_is_not_ours(url: str) -> None:
    """Load goes to this machine and to the project's own containers, and nowhere else."""
    with pytest.raises(TargetRefused):
        Load(url=url, host="sample.localhost", own_networks=("172.18.0.0/16",))


def test_own_networks_must_be_private() -> None:
    """Naming a public network as one's own does not make it so."""
    with pytest.raises(TargetRefused, match="RFC 1918"):
        checked_target("http://93.184.216.34", own_networks=("0.0.0.0/0",))


def test_the_meter_accepts_loopback_and_named_container_networks() -> None:
    """The origin is built from the checked address, not from the text."""
    assert checked_target("http://localhost:8080") == "http://127.0.0.1:8080"
    assert checked_target("http://user@127.0.0.2") == "http://127.0.0.2:80"
    assert checked_target("http://[::1]:8080/") == "http://[::1]:8080"
    ours = checked_target("http://172.18.0.5:80", own_networks=("172.18.0.0/16",))
    assert ours == "http://172.18.0.5:80"
    assert ip_address("172.18.0.5").is_private


@pytest.mark.parametrize(
    "bound",
    [
        {"rate": 5_000},
        {"seconds": 86_400},
        {"rate": 2_000, "seconds": 3_600},
        {"slow": 1_000},
        {"websockets": 10_000},
        {"timeout": 0},
        {"timeout": float("nan")},
    ],
)
def test_every_load_is_bounded(bound: dict[str, float]) -> None:
    """No load is endless or larger than the generator can send on time."""
    with pytest.raises(ValueError, match="must be between"):
        Load(url="http://127.0.0.1:80", host="sample.localhost", **bound)  # type: ignore[arg-type]


def test_load_and_lines_survive_being_written_down() -> None:
    """What the processes tell each other is read back as it was meant."""
    load = Load(url="http://127.0.0.1:80", host="h", rate=3, own_networks=("10.0.0.0/8",))
    assert Load.from_json(load.as_json()) == load
    lines: list[Line] = [
        exchange(),
        exchange(loss=Loss.TRUNCATED, status=200),
        WebsocketLife(1.0, 2.0, "v1", "v1-0", 3, 0.1, Cut.SILENCE, None, "hm\n"),
        WebsocketLife(1.0, 2.0, "v1", "v1-0", 3, 0.1, None, 1001, ""),
        Started(1.5),
        Ended(9.0, 1.0, 8.0, {"get": 4}, 1, 0.25),
    ]
    assert [decode(encode(line)) for line in lines] == lines


# ---- by hand -----------------------------------------------------------------------------------


async def test_the_command_line_reports_in_words_json_and_exit_code(
    app: App, tmp_path: Path
) -> None:
    """By hand it measures the same: 0 for no loss, 1 for some, 2 for a target it refuses."""
    to = tmp_path / "report.json"
    arguments = ("--seconds", "0.2", "--websockets", "1", "--json", str(to), "--exchanges")

    app.gets.append(status(503))
    ran = await asyncio.to_thread(run_by_hand, f"http://127.0.0.1:{app.port}", *arguments)
    assert ran.returncode == 1, ran.stderr
    assert "1 of 41 requests lost" in ran.stdout
    values = json.loads(to.read_text())
    assert values["lost"][0]["status"] == 503
    assert len(values["exchanges"]) == sum(values["requests"].values())
    assert values["proves_no_loss"] is False

    refused = await asyncio.to_thread(run_by_hand, "http://127.0.0.1:80/path", *arguments)
    assert refused.returncode == 2
    assert "the meter wants http://ADDRESS:PORT" in refused.stderr


# ---- pieces ------------------------------------------------------------------------------------


def exchange(
    *,
    started: float = 0.0,
    status: int | None = None,
    loss: Loss | None = None,
    own_fault: str = "",
) -> Exchange:
    return Exchange(
        kind=Kind.GET,
        scheduled=0.0,
        started=started,
        ended=started + 0.001,
        status=status or (None if own_fault else 200),
        version="v1",
        replica="v1-0",
        fresh=True,
        idle_for=0.0,
        loss=loss or (Loss.REFUSED if own_fault else None),
        detail="",
        own_fault=own_fault,
    )


def report_of(exchanges: list[Exchange], ended: Ended) -> Report:
    load = Load(url="http://127.0.0.1:80", host="sample.localhost")
    return Report(load=load, began=0, until=1, exchanges=exchanges, lives=(), ended=ended)


def run_by_hand(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "integration.meter", "--url", url, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


async def lines_of(load: Load, folder: Path) -> list[Line]:
    """Run a load in this process, so that the test can reach into it."""
    file = os.open(folder / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        await Generator(load, file).run()
    finally:
        os.close(file)
    return [decode(line) for line in (folder / "lines").read_bytes().splitlines()]


def transport_of(websocket: web.WebSocketResponse) -> asyncio.Transport:
    assert websocket._req is not None
    transport = websocket._req.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


@contextmanager
def one_answer_per_connection() -> Iterator[int]:
    """Run a server that promises to keep each connection and closes it after one answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(2)

    def serve() -> None:
        with suppress(TimeoutError):
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        thread.join(5)
        listener.close()

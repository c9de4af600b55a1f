"""Makes the load: sends on schedule, writes down what came of each request.

A process of its own, so that neither its work nor its pauses touch the code under test, nor theirs
its schedule. Started by the controller, with a `Load` and a file to write to; it ends when its
standard input closes (so it also ends with the test that started it), or at its load's bounds.

Its rule is the open loop: when a request is sent depends on the clock alone. No limit on
connections, no waiting for answers, nothing skipped: what could not be sent on time is sent at
once, late, and says so.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from collections import Counter
from itertools import count
from math import floor

import aiohttp
from yarl import URL

from integration.meter.connection import WatchedConnector, Wire
from integration.meter.echo import Echoes
from integration.meter.exchange import (
    Cut,
    Ended,
    Exchange,
    Kind,
    Line,
    Started,
    WebsocketLife,
    encode,
)
from integration.meter.load import Load
from integration.meter.verdict import MAX_ANSWER, Verdict, explained, judged, read_answer

FLUSH_EVERY = 0.05  # how far a live report lags behind
RETRY_PAUSE = 0.1  # after a lost slow request or websocket: a dead target must not be spun upon
SPARE_FILES = 64  # standard streams, the event loop's own, connections about to close


class Generator:
    """Runs one load and writes one line for each thing that ends."""

    def __init__(self, load: Load, file: int) -> None:
        self._load = load
        self._file = file
        self._lines: list[bytes] = []
        self._sent: Counter[Kind] = Counter()
        self._stop = asyncio.Event()
        self._filler = b"." * load.body_size
        self._numbers = count()
        origin = URL(load.origin)
        self._get_url = origin.join(URL(load.get_path))
        self._post_url = origin.join(URL(load.post_path))
        self._slow_url = origin.join(URL(load.slow_path))
        self._websocket_url = origin.join(URL(load.websocket_path))

    def stop(self) -> None:
        """Schedule no more; what is under way is still waited for."""
        self._stop.set()

    async def run(self) -> None:
        """Make the load until it is stopped or reaches its bounds, then wait for the answers."""
        kept_alive = WatchedConnector(idle_limit=self._load.idle_limit)
        fresh = WatchedConnector(idle_limit=None)
        self._loop = asyncio.get_running_loop()
        self._flush()
        async with self._session(kept_alive) as self._kept, self._session(fresh) as self._fresh:
            gc.collect()
            gc.freeze()  # what is loaded by now stays; collections during the load are short
            cpu_before = _cpu_seconds()
            began = self._loop.time()
            self._write(Started(began))
            async with asyncio.TaskGroup() as self._group:
                self._schedule_from(began)
                for number in range(self._load.slow):
                    self._group.create_task(self._keep_slow(number), name=f"slow {number}")
                for number in range(self._load.websockets):
                    self._group.create_task(self._keep_websocket(), name=f"websocket {number}")
                await self._pause(began + self._load.seconds - self._loop.time())
                self.stop()
                stopped = self._loop.time()
        self._write(
            Ended(
                at=self._loop.time(),
                began=began,
                stopped=stopped,
                sent={str(kind): times for kind, times in self._sent.items()},
                idle_closed=kept_alive.idle_closed,
                cpu_seconds=_cpu_seconds() - cpu_before,
            )
        )
        self._flush_now()

    def _session(self, connector: WatchedConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # a sticky cookie would pin all to one revision
            headers={"Host": self._load.host, "User-Agent": "traefik-bg-meter"},
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            middlewares=(Wire.watch,),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )

    # ---- the steady load -----------------------------------------------------------------------

    def _schedule_from(self, began: float) -> None:
        """Send each steady request when it is due; one timer, set from the clock each time."""
        load, loop = self._load, self._loop
        if not load.requests:
            return
        numbers = {Kind.GET: 0, Kind.POST: 0}
        sent = 0

        def send_due() -> None:
            nonlocal sent
            while sent < load.requests and not self._stop.is_set():
                due = began + sent / load.rate
                if due > loop.time():
                    loop.call_at(due, send_due)
                    return
                kind = Kind.POST if _falls_on(sent, load.post_share) else Kind.GET
                is_fresh = _falls_on(numbers[kind], load.fresh_share)
                numbers[kind] += 1
                sent += 1
                self._group.create_task(self._steady(kind, due, is_fresh=is_fresh))

        send_due()

    async def _steady(self, kind: Kind, due: float, *, is_fresh: bool) -> None:
        session = self._fresh if is_fresh else self._kept
        url, body = self._get_url, None
        if kind is Kind.POST:
            url = self._post_url
            body = (b"%d:" % next(self._numbers) + self._filler)[: self._load.body_size]
        await self._send(session, kind, url, due=due, timeout=self._load.timeout, body=body)

    async def _keep_slow(self, number: int) -> None:
        """Have one slow request open all along; the first is shorter, so that they are spread."""
        load = self._load
        seconds = load.slow_seconds * (number + 1) / load.slow
        while not self._stop.is_set():
            url, due = self._slow_url.with_query(seconds=f"{seconds:g}"), self._loop.time()
            timeout = seconds + load.timeout
            verdict = await self._send(self._kept, Kind.SLOW, url, due=due, timeout=timeout)
            seconds = load.slow_seconds
            if verdict.loss is not None:
                await self._pause(RETRY_PAUSE)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        kind: Kind,
        url: URL,
        *,
        due: float,
        timeout: float,
        body: bytes | None = None,
    ) -> Verdict:
        """Send one request, judge its answer, write it down."""
        self._sent[kind] += 1
        wire = Wire()
        Wire.current.set(wire)
        started = self._loop.time()
        try:
            async with session.request(
                "GET" if body is None else "POST",
                url,
                data=body,
                allow_redirects=False,  # a redirect is not the answer, and could lead elsewhere
                timeout=aiohttp.ClientTimeout(total=timeout, ceil_threshold=timeout + 1),
            ) as response:
                verdict = judged(wire, await read_answer(response), body)
        except (aiohttp.ClientError, OSError) as error:
            verdict = explained(error, wire)
        self._write_exchange(kind, due, started, wire, verdict)
        return verdict

    def _write_exchange(
        self, kind: Kind, due: float, started: float, wire: Wire, verdict: Verdict
    ) -> None:
        own_fault = verdict.own_fault
        if wire.sendings > 1:
            own_fault = f"sent {wire.sendings} times by the client library"
        self._write(
            Exchange(
                kind=kind,
                scheduled=due,
                started=started,
                ended=self._loop.time(),
                status=wire.status,
                version=wire.version,
                replica=wire.replica,
                fresh=wire.fresh,
                idle_for=wire.idle_for,
                loss=verdict.loss,
                detail=verdict.detail,
                own_fault=own_fault,
            )
        )

    # ---- websockets ----------------------------------------------------------------------------

    async def _keep_websocket(self) -> None:
        """Have one websocket open all along."""
        while not self._stop.is_set():
            websocket, wire = await self._open_websocket()
            if websocket is None:
                await self._pause(RETRY_PAUSE)
            else:
                await self._hold(websocket, wire)

    async def _open_websocket(self) -> tuple[aiohttp.ClientWebSocketResponse | None, Wire]:
        self._sent[Kind.WEBSOCKET] += 1
        wire = Wire()
        Wire.current.set(wire)
        started = self._loop.time()
        websocket, verdict = None, Verdict()
        try:
            async with asyncio.timeout(self._load.timeout):
                websocket = await self._fresh.ws_connect(
                    self._websocket_url,
                    max_msg_size=MAX_ANSWER,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except (aiohttp.ClientError, OSError) as error:
            verdict = explained(error, wire)
        self._write_exchange(Kind.WEBSOCKET, started, started, wire, verdict)
        return websocket, wire

    async def _hold(self, websocket: aiohttp.ClientWebSocketResponse, wire: Wire) -> None:
        """Listen until the websocket ends, and write down by what."""
        opened = self._loop.time()
        echoes = Echoes()
        pings = self._group.create_task(self._ping(websocket, echoes))
        message = await websocket.receive()
        while message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            echoes.hear(message.data, self._loop.time())
            message = await websocket.receive()
        ended = self._loop.time()
        if not echoes.closing:
            pings.cancel()
        cut, code, detail = Cut.CONNECTION_LOST, None, "no close frame"
        if echoes.silent:
            cut, detail = Cut.SILENCE, f"no echo for {self._load.timeout:g} s"
        elif message.type is aiohttp.WSMsgType.CLOSE:
            cut, code, detail = Cut.CLOSE_FRAME, message.data, message.extra or ""
        is_ours = echoes.closing and not echoes.silent and cut is not Cut.CLOSE_FRAME
        self._write(
            WebsocketLife(
                opened=opened,
                ended=ended,
                version=wire.version,
                replica=wire.replica,
                echoes=echoes.heard,
                slowest_echo=echoes.slowest,
                cut=None if is_ours else cut,
                code=code,
                detail="" if is_ours else detail,
            )
        )

    async def _ping(self, websocket: aiohttp.ClientWebSocketResponse, echoes: Echoes) -> None:
        """Send a text every so often; close when the load stops or no echo comes any more."""
        for number in count():
            now = self._loop.time()
            echoes.silent = now - echoes.waiting_since(now) > self._load.timeout
            if self._stop.is_set() or echoes.silent:
                echoes.closing = True
                await websocket.close()
                return
            text = f"ping {number};"
            echoes.await_echo(text, now)
            try:
                await websocket.send_str(text)
            except (aiohttp.ClientError, OSError):
                return  # the listener sees the end, and says how it came
            await self._pause(self._load.ping_every)

    # ---- lines ---------------------------------------------------------------------------------

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def _write(self, line: Line) -> None:
        self._lines.append(encode(line))

    def _flush(self) -> None:
        self._flush_now()
        self._loop.call_later(FLUSH_EVERY, self._flush)

    def _flush_now(self) -> None:
        if self._lines:
            os.write(self._file, b"".join(self._lines))
            self._lines.clear()


def _falls_on(number: int, share: float) -> bool:
    """Spread a share evenly over the numbers: with 0.2 it falls on 4, 9, 14 and so on."""
    # The small addend keeps 0.1 * 10 and its like from falling one number late.
    return floor((number + 1) * share + 1e-9) > floor(number * share + 1e-9)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit of open files to what the load can come to.

    Raises:
        ValueError: the machine does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ValueError(
            f"when nothing answers, this load holds {wanted} connections, and the machine allows "
            f"{hard} open files: lower rate times timeout"
        )
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(load: Load, file: int) -> None:
    generator = Generator(load, file)
    stdin = sys.stdin.fileno()

    def stop_at_end() -> None:
        if not os.read(stdin, 64):
            asyncio.get_running_loop().remove_reader(stdin)
            generator.stop()

    asyncio.get_running_loop().add_reader(stdin, stop_at_end)
    await generator.run()


def main() -> None:
    """Run the load given as JSON, writing to the file given: `generator LOAD FILE`."""
    _, text, path = sys.argv
    load = Load.from_json(text)
    allow_open_files(load.open_at_worst + SPARE_FILES)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        asyncio.run(_run(load, file))
    finally:
        os.close(file)


if __name__ == "__main__":
    main()

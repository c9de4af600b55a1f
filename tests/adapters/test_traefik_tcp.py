"""TCP routes, with the real Traefik."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.adapters.routing import API, BLUE, GREEN, WEB, new_router, running, share, to
from tests.adapters.stage import staged
from tests.adapters.traefik_process import free_port, until
from traefik_bg.core.model import Json, Protocol, Route, Routing

EVERYTHING = Route(rule="HostSNI(`*`)", entrypoints=("db",), protocol=Protocol.TCP)


@asynccontextmanager
async def speaking(name: str) -> AsyncIterator[int]:
    """Serve TCP that says a name to who connects, and then echoes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{name}\n".encode())
        while line := await reader.readline():
            writer.write(name.encode() + b": " + line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def greeting(port: int) -> str:
    """Return who answers a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = await reader.readline()
    writer.close()
    return line.decode().strip()


async def test_new_connections_go_to_green_once_it_is_confirmed(tmp_path: Path) -> None:
    """The marker is HTTP, but holds for TCP; an open connection stays where it is."""
    port = free_port()
    database = f"--entrypoints.db.address=127.0.0.1:{port}"
    async with (
        speaking("blue") as blue,
        speaking("green") as green,
        staged(tmp_path, database) as stage,
    ):
        to_blue = Routing(shares=(share(BLUE, port=blue),), routes=(EVERYTHING,))
        to_green = Routing(shares=(share(GREEN, port=green),), routes=(EVERYTHING,))
        await stage.publish(to_blue)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readline() == b"blue\n"
        for _ in range(10):
            await stage.publish(to_green)
            assert await greeting(port) == "green"
            await stage.publish(to_blue)
            assert await greeting(port) == "blue"
        await stage.publish(to_green)
        writer.write(b"still there?\n")
        assert await reader.readline() == b"blue: still there?\n"
        writer.close()
        nobody = Routing(routes=(EVERYTHING,))
        await stage.publish(nobody)
        assert await greeting(port) == ""
        assert stage.router.state(WEB).refusal is None


async def test_an_answer_may_come_after_the_client_has_ended(tmp_path: Path) -> None:
    """A client that closes its side and waits is not cut off, as it is by Traefik's defaults."""
    port = free_port()
    database = f"--entrypoints.db.address=127.0.0.1:{port}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        await asyncio.sleep(0.3)  # longer than those 0.1 s
        writer.write(b"late answer to " + asked)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, staged(tmp_path, database) as stage:
        blue = share(BLUE, port=server.sockets[0].getsockname()[1])
        await stage.publish(Routing(shares=(blue,), routes=(EVERYTHING,)))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"that")
        writer.write_eof()
        assert await reader.read() == b"late answer to that"
        writer.close()


async def test_a_tcp_route_is_tried_where_no_client_is(tmp_path: Path) -> None:
    """Traefik's objection is told, and what serves goes on serving; a good one is accepted."""
    port = free_port()
    database = f"--entrypoints.db.address=127.0.0.1:{port}"
    async with speaking("blue") as blue, staged(tmp_path, database) as stage:
        serving = Routing(shares=(share(BLUE, port=blue),), routes=(EVERYTHING,))
        bad = replace(EVERYTHING, rule="HostSNI(`db.example`)")  # without TLS there is no such name
        await stage.publish(replace(serving, trial=(EVERYTHING, bad)))
        await until(lambda: stage.router.state(WEB).refusal, what="refused")
        assert "router web-trial-2" in (stage.router.state(WEB).refusal or "")
        assert await greeting(port) == "blue"
        # Not beside a plain route: Traefik would wait there for the client's first word.
        good = replace(bad, tls=Json('{"passthrough":true}'), entrypoints=("web",))
        await stage.publish(replace(serving, trial=(EVERYTHING, good)))
        await until(lambda: not stage.router.state(WEB).refusal, what="accepted")
        assert await greeting(port) == "blue"


async def test_an_app_may_come_from_http_to_tcp(tmp_path: Path) -> None:
    """Its new routes are tried beside the old ones, each in its protocol."""
    port = free_port()
    database = f"--entrypoints.db.address=127.0.0.1:{port}"
    async with speaking("blue") as blue, staged(tmp_path, database) as stage:
        http = replace(to(BLUE), shares=(stage.blue.share(BLUE, 100),), trial=(EVERYTHING,))
        await stage.publish(http)
        assert stage.router.state(WEB).refusal is None
        assert await stage.ask(headers={"X-App": "web"}) == (200, "blue")
        tcp = Routing(shares=(share(BLUE, port=blue),), routes=(EVERYTHING,))
        await stage.publish(tcp)
        assert await greeting(port) == "blue"


async def test_lost_files_are_read_back_with_all_that_is_in_them(tmp_path: Path) -> None:
    """TCP, notes and apps that hold their requests included; a trial is no route."""
    port = free_port()
    database = f"--entrypoints.db.address=127.0.0.1:{port}"
    async with speaking("blue") as blue, staged(tmp_path, database, holds=True) as stage:
        await until(lambda: stage.router.hold_available, what="it can hold")
        held = replace(to(BLUE, API), shares=(), holds_for=5.0, loops=True)
        tls = replace(
            EVERYTHING, rule="HostSNI(`db.example`)", tls=Json('{"passthrough":true}'), priority=9
        )
        tcp = Routing(shares=(share(BLUE, port=blue),), routes=(EVERYTHING, tls))
        await stage.publish(replace(tcp, trial=(EVERYTHING,)))
        await stage.publish(held, API)
        second = new_router(tmp_path / "two", tmp_path / "three", api_urls=[stage.traefik.api_url])
        (tmp_path / "three").mkdir()
        async with running(second):
            assert second.state(WEB).published == tcp
            assert second.state(API).published == held
            assert second.hold_available

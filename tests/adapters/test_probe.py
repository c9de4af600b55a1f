"""What a replica is said to be, by servers on loopback that behave in every way but well."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from traefik_bg.adapters import probe
from traefik_bg.adapters.probe import NetworkProber
from traefik_bg.core.model import AppName, HealthPolicy, ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.ports import Container, ProbeResult

HTTP = HealthPolicy(path="/health")
TCP = HealthPolicy(path=None)
REPLICA = Container(
    name=ReplicaName("web-1"),
    app=AppName("web"),
    revision=RevisionId("r"),
    number=1,
    id="1",
    state=ContainerState.RUNNING,
    ip="127.0.0.1",
)


@dataclass
class Server:
    """Says the same to everyone, and remembers what it was asked."""

    says: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    port: int = 0
    asked: list[str] = field(default_factory=list)
    knocks: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.says is None:
                await self.over.wait()
            else:
                writer.write(self.says)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    listening = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.port = listening.sockets[0].getsockname()[1]
    yield found
    found.over.set()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def prober() -> AsyncIterator[NetworkProber]:
    async with NetworkProber() as prober:
        yield prober


def status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n".encode()


class TestHttp:
    @pytest.mark.parametrize("line", ["200 OK", "204 No Content", "302 Found", "399 Odd"])
    async def test_is_ok_from_200_to_399(
        self, server: Server, prober: NetworkProber, line: str
    ) -> None:
        """Any answer that is no error proves that it works; redirects are not followed."""
        server.says = status(line)

        result = await prober.probe(REPLICA, server.port, HTTP)

        assert result == ProbeResult(ok=True, detail=f"HTTP {line[:3]}")
        assert server.knocks == 1

    @pytest.mark.parametrize("line", ["404 Not Found", "500 Oops", "503 Not Yet"])
    async def test_is_not_ok_from_400_on(
        self, server: Server, prober: NetworkProber, line: str
    ) -> None:
        """An error is no success, but something listens."""
        server.says = status(line)

        result = await prober.probe(REPLICA, server.port, HTTP)

        assert result == ProbeResult(ok=False, detail=f"HTTP {line[:3]}", is_bound=True)

    async def test_asks_for_path_and_query(self, server: Server, prober: NetworkProber) -> None:
        """Path and query reach the app, and it can see who asks."""
        await prober.probe(REPLICA, server.port, HealthPolicy(path="/health?deep=1"))

        first, *headers = server.asked[0].splitlines()
        assert first == "GET /health?deep=1 HTTP/1.1"
        assert "User-Agent: traefik-bg" in headers

    async def test_opens_a_connection_each_time(
        self, server: Server, prober: NetworkProber
    ) -> None:
        """A connection from before would prove nothing about the next request."""
        await prober.probe(REPLICA, server.port, HTTP)
        await prober.probe(REPLICA, server.port, HTTP)

        assert server.knocks == 2
        assert "Connection: close" in server.asked[0].splitlines()

    async def test_does_not_wait_for_the_body(self, server: Server, prober: NetworkProber) -> None:
        """The status is the answer, however long the rest may be."""
        server.says = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx"

        assert (await prober.probe(REPLICA, server.port, HTTP)).ok

    async def test_tells_silence_from_a_refusal(
        self, server: Server, prober: NetworkProber
    ) -> None:
        """Whoever does not answer in time is there, but not well."""
        server.says = None
        policy = HealthPolicy(path="/health", timeout=0.05)

        result = await prober.probe(REPLICA, server.port, policy)

        assert result == ProbeResult(ok=False, detail="no answer within 0.05 s", is_bound=True)

    @pytest.mark.parametrize(
        ("says", "detail"),
        [(b"", "it hung up without an answer"), (b"SSH-2.0-x\r\n\r\n", "no HTTP answer: ")],
    )
    async def test_puts_a_strange_answer_into_words(
        self, server: Server, prober: NetworkProber, says: bytes, detail: str
    ) -> None:
        """What is no HTTP is described in one line."""
        server.says = says

        result = await prober.probe(REPLICA, server.port, HTTP)

        assert not result.ok
        assert result.detail.startswith(detail)
        assert "\n" not in result.detail


@pytest.mark.parametrize("policy", [HTTP, TCP])
class TestNobodyThere:
    async def test_is_a_port_that_is_not_bound(
        self, prober: NetworkProber, policy: HealthPolicy
    ) -> None:
        """A refused connection says that the port is not bound yet."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

            result = await prober.probe(REPLICA, port, policy)

        assert result == ProbeResult(ok=False, detail="connection refused", is_bound=False)

    async def test_is_a_container_without_an_address(
        self, prober: NetworkProber, policy: HealthPolicy
    ) -> None:
        """Without an address there is nothing to ask."""
        result = await prober.probe(replace(REPLICA, ip=""), 80, policy)

        assert result == ProbeResult(ok=False, detail="it has no address", is_bound=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), ("no route to host", False)),
        (OSError(errno.ENETUNREACH, "x"), ("no route to its network", False)),
        (ConnectionResetError(errno.ECONNRESET, "x"), ("it hung up without an answer", True)),
        (OSError(errno.EMFILE, "Too many open files"), ("Too many open files", True)),
        (OSError("odd\nstory"), ("odd", True)),
    ],
)
def test_a_broken_network_is_put_into_words(error: OSError, expected: tuple[str, bool]) -> None:
    """Each way to fail has a name; only an unreachable port counts as not bound."""
    result = probe._failure(error)

    assert (result.detail, result.is_bound) == expected


class TestTcp:
    async def test_is_ok_when_it_connects(self, server: Server, prober: NetworkProber) -> None:
        """Without a path it is enough that somebody accepts."""
        result = await prober.probe(REPLICA, server.port, TCP)

        assert result == ProbeResult(ok=True, detail="it accepts connections")

    async def test_connects_to_ipv6_as_well(self, prober: NetworkProber) -> None:
        """An address of the newer kind is as good."""
        over = asyncio.Event()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            over.set()

        try:
            listening = await asyncio.start_server(accept, "::1", 0)
        except OSError:
            pytest.skip("this machine has no IPv6")
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            assert (await prober.probe(replace(REPLICA, ip="::1"), port, TCP)).ok
            await over.wait()


class TestHealthcheck:
    @pytest.mark.parametrize(
        ("health", "ok", "detail"),
        [
            (Health.STARTING, False, "HEALTHCHECK is starting"),
            (Health.HEALTHY, True, "HEALTHCHECK is healthy"),
            (Health.UNHEALTHY, False, "HEALTHCHECK is unhealthy"),
            (Health.UNKNOWN, False, "HEALTHCHECK is unknown"),
        ],
    )
    async def test_is_the_verdict_when_there_is_no_path(
        self, prober: NetworkProber, health: Health, ok: bool, detail: str
    ) -> None:
        """Docker's verdict is taken as it is; nobody is asked."""
        result = await prober.probe(replace(REPLICA, docker_health=health, ip=""), 1, TCP)

        assert result == ProbeResult(ok=ok, detail=detail)

    async def test_is_not_asked_when_there_is_a_path(
        self, server: Server, prober: NetworkProber
    ) -> None:
        """What the user wrote for us wins over what the image brings."""
        sick = replace(REPLICA, docker_health=Health.UNHEALTHY)

        assert (await prober.probe(sick, server.port, HTTP)).ok


async def test_a_prober_can_be_closed_unused() -> None:
    """Nothing was opened, nothing is to be closed."""
    await NetworkProber().close()

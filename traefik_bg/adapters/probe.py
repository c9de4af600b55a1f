"""Asks a replica how it is: over HTTP, by Docker's HEALTHCHECK, or by connecting to its port.

Which of the three is the policy's to say; what follows from an answer is the planner's. Each probe
opens a connection of its own, because one kept from before proves nothing about the next request.
"""

from __future__ import annotations

import asyncio
import errno
import socket

import aiohttp

from traefik_bg.adapters.closing import Closing
from traefik_bg.core.model import HealthPolicy
from traefik_bg.core.observation import Health
from traefik_bg.core.ports import Container, ProbeResult

_REFUSED = {errno.ECONNREFUSED: "connection refused"}
_NO_ROUTE = {errno.EHOSTUNREACH: "no route to host", errno.ENETUNREACH: "no route to its network"}
_NOT_BOUND = _REFUSED | _NO_ROUTE

WORST_OK = 399  # a redirect comes from a server that works; it is not followed


class NetworkProber(Closing):
    """Implements the port `Prober`; open it as a context manager, or close it at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def probe(self, container: Container, port: int, policy: HealthPolicy) -> ProbeResult:
        """Ask once, within the policy's timeout; never raises for what the replica does."""
        if policy.path is None and container.docker_health is not None:
            return _verdict(container.docker_health)
        if not container.ip:
            return ProbeResult(ok=False, detail="it has no address", is_bound=False)
        try:
            async with asyncio.timeout(policy.timeout):
                if policy.path is None:
                    return await _connect(container.ip, port)
                return await self._get(container.ip, port, policy.path)
        except TimeoutError:
            return ProbeResult(ok=False, detail=f"no answer within {policy.timeout:g} s")
        except aiohttp.ClientConnectorError as error:
            return _failure(error.os_error)
        except OSError as error:
            return _failure(error)
        except aiohttp.ServerDisconnectedError:
            return ProbeResult(ok=False, detail="it hung up without an answer")
        except (aiohttp.ClientError, ValueError) as error:
            return ProbeResult(ok=False, detail=f"no HTTP answer: {_first_line(error)}")

    async def _get(self, ip: str, port: int, path: str) -> ProbeResult:
        host = f"[{ip}]" if ":" in ip else ip
        async with self._open().get(
            f"http://{host}:{port}/{path.removeprefix('/')}", allow_redirects=False
        ) as response:
            return ProbeResult(ok=response.status <= WORST_OK, detail=f"HTTP {response.status}")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "traefik-bg"},
                timeout=aiohttp.ClientTimeout(),  # the policy's own limit holds for the whole
                auto_decompress=False,
            )
        return self._session


def _verdict(health: Health) -> ProbeResult:
    return ProbeResult(ok=health is Health.HEALTHY, detail=f"HEALTHCHECK is {health}")


async def _connect(ip: str, port: int) -> ProbeResult:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(knock, (ip, port))
    return ProbeResult(ok=True, detail="it accepts connections")


def _failure(error: OSError) -> ProbeResult:
    if error.errno in _NOT_BOUND:
        return ProbeResult(ok=False, detail=_NOT_BOUND[error.errno], is_bound=False)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return ProbeResult(ok=False, detail="it hung up without an answer")
    return ProbeResult(ok=False, detail=error.strerror or _first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

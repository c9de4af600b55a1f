"""Asks one Traefik which document it runs, what it objects to, and what it is.

The confirmation asks all of them side by side. A name may stand for several Traefiks, so names are
looked up here and every address is asked by itself. Whatever is not a plain answer is `NoAnswer`,
in words for people.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import aiohttp
from yarl import URL

from traefik_bg.core import markers
from traefik_bg.core.model import Protocol
from traefik_bg.core.names import OURS

ANSWER_TIMEOUT = 2.0  # the API answers in a millisecond; a Traefik slower than this is not well
PAGE = 1000  # routers in error asked for at once; more than anybody will read

_NOT_OURS = "middleware not found"
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class NoAnswer(Exception):
    """It did not answer, or said nothing that can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One Traefik, by its address."""

    name: str
    """For people."""
    url: URL
    """With an address for a host."""
    host: str
    """What to call it in requests."""
    is_marker: bool = False
    """Whether to ask the marker router instead of the API."""


async def endpoints(url: str, *, is_marker: bool) -> list[Endpoint]:
    """Return every Traefik behind a URL.

    Raises:
        NoAnswer: its name is not known.
    """
    base = URL(url)
    host = base.host or ""
    shown = base.origin()  # without a login, which people need not see
    return [
        Endpoint(
            name=str(shown) if address == host else f"{shown} ({address})",
            url=base.with_host(address),
            host=markers.HOST if is_marker else shown.authority,
            is_marker=is_marker,
        )
        for address in await _addresses(host, base.port or 80)
    ]


async def _addresses(host: str, port: int) -> Sequence[str]:
    with suppress(ValueError):
        return [str(ip_address(host))]
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError) as error:
        raise NoAnswer(f"the name {host} is not known ({_words(error)})") from error
    # One Traefik often has an address of each kind and may listen on one only: ask by one kind.
    family = min((entry[0] for entry in found), default=socket.AF_INET)
    return sorted({str(entry[4][0]) for entry in found if entry[0] == family})


class TraefikClient:
    """Asks Traefiks over kept connections."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._providers: dict[str, str] = {}

    async def marker(self, endpoint: Endpoint) -> str:
        """Return the marker of the document it runs; empty: none of ours.

        Raises:
            NoAnswer: it did not answer, or not as Traefik does.
        """
        if endpoint.is_marker:
            return await self._marker_from_route(endpoint)
        remembered = self._providers.get(endpoint.name, "file")
        for provider in (remembered, "http" if remembered == "file" else "file"):
            status, text = await self._get(endpoint, f"/api/http/middlewares/{OURS}@{provider}")
            if status == 200:
                self._providers[endpoint.name] = provider
                return markers.found_in(_mapping(text, status))
            if status != 404 or _NOT_OURS not in text:
                raise NoAnswer(_not_the_api(status))
        return ""

    async def _marker_from_route(self, endpoint: Endpoint) -> str:
        path = endpoint.url.path if endpoint.url.path != "/" else markers.PATH
        try:
            async with self._request(endpoint, path) as response:
                return str(response.headers.get(markers.HEADER, ""))
        except _FAILURES as error:
            raise NoAnswer(_words(error)) from error

    async def disabled(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Return the routers it refuses to run, with its reasons.

        Raises:
            NoAnswer: it did not answer, or not as Traefik does.
        """
        if endpoint.is_marker:
            return {}
        suffix = "@" + self._providers.get(endpoint.name, "file")
        found: dict[str, str] = {}
        for protocol in Protocol:
            path = f"/api/{protocol}/routers?status=disabled&per_page={PAGE}"
            status, text = await self._get(endpoint, path)
            found |= {
                router["name"].removesuffix(suffix): ", ".join(router.get("error") or ["no reason"])
                for router in _mapping(f'{{"routers":{text}}}', status)["routers"]
                if router["name"].endswith(suffix)
            }
        return found

    async def version(self, endpoint: Endpoint) -> str:
        """Return its version; empty when it cannot be asked.

        Raises:
            NoAnswer: it did not answer, or not as Traefik does.
        """
        if endpoint.is_marker:
            return ""
        status, text = await self._get(endpoint, "/api/version")
        return str(_mapping(text, status).get("Version", ""))

    async def entrypoint(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """Return our own entry point of it, by which requests can be held; empty: it has none.

        Raises:
            NoAnswer: it did not answer.
        """
        if endpoint.is_marker:
            return {}
        status, text = await self._get(endpoint, f"/api/entrypoints/{OURS}")
        return _mapping(text, status) if status == 200 else {}

    async def everything(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """Return all that it runs.

        Raises:
            NoAnswer: it did not answer, or not as Traefik does.
        """
        status, text = await self._get(endpoint, "/api/rawdata")
        return _mapping(text, status)

    async def metrics(self, endpoint: Endpoint) -> str:
        """Return what it counts, as Prometheus' text; the endpoint's URL is that of the metrics.

        Raises:
            NoAnswer: it did not answer, or not with Traefik's metrics.
        """
        status, text = await self._get(endpoint, "")
        if status != 200 or "traefik_" not in text:  # it counts reloads of itself at the least
            raise NoAnswer(_not_the_metrics(status))
        return text

    async def _get(self, endpoint: Endpoint, path: str) -> tuple[int, str]:
        try:
            async with self._request(endpoint, path) as response:
                return response.status, await response.text()
        except _FAILURES as error:
            raise NoAnswer(_words(error)) from error

    def _request(self, endpoint: Endpoint, path: str) -> aiohttp.client._RequestContextManager:
        base = endpoint.url.path.rstrip("/") if not endpoint.is_marker else ""
        url = endpoint.url.join(URL(base + path))
        return self._session.get(
            url,
            headers={"Host": endpoint.host},
            allow_redirects=False,
            server_hostname=endpoint.host.partition(":")[0],
            ssl=not endpoint.is_marker,  # nobody has a certificate for the marker's host
        )


def _mapping(text: str, status: int) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NoAnswer(_not_the_api(status)) from error
    if status != 200 or not isinstance(found, dict):
        raise NoAnswer(_not_the_api(status))
    return found


def _not_the_api(status: int) -> str:
    match status:
        case 401 | 403:
            return f"its API wants a login (HTTP {status})"
        case 404:
            return "its API is not there (HTTP 404): set api.insecure, or route api@internal"
        case _:
            return f"it answered HTTP {status}, which is not Traefik's API"


def _not_the_metrics(status: int) -> str:
    match status:
        case 200:
            return "what it answered is not Traefik's metrics"
        case 401 | 403:
            return f"its metrics want a login (HTTP {status})"
        case 404:
            return "it has no metrics (HTTP 404): set metrics.prometheus in its configuration"
        case _:
            return f"it answered HTTP {status}"


def _words(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {ANSWER_TIMEOUT:g} s"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or str(error.os_error)
        case _:
            return str(error) or type(error).__name__

"""Finds out which edition every Traefik runs.

Asked by API or by the marker route where there is one: quickly after a publish, and every few
seconds at rest to notice a Traefik that was started anew. Where nothing can be asked, what is
published counts as running after a settle time. Tells the ledger; the router asks for the details.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import structlog

from traefik_bg.adapters.traefik_client import (
    ANSWER_TIMEOUT,
    Endpoint,
    NoAnswer,
    TraefikClient,
    endpoints,
)
from traefik_bg.adapters.traefik_ledger import Ledger
from traefik_bg.adapters.traefik_publication import Publication
from traefik_bg.core.features import Features, features_of, loop_of

FIRST_LOOK = 0.002  # seconds; with throttle 0 Traefik needs two to four milliseconds
QUICK_LOOK = 0.004
QUICK_LOOKS = 20  # then ever more slowly: this Traefik is throttled, or large
SLOWEST_LOOK = 0.25
LOOK_AT_REST = 5.0
LOOK_UP_AT_LEAST = 1.0  # seconds between two look-ups of names while something is wrong
MISSES_FORGIVEN = 1  # a single lost answer interrupts nothing

log = structlog.get_logger()

Clock = Callable[[], float]
Observed = Callable[[Mapping[str, int | None]], None]
"""Called with the edition every Traefik shows."""


class Confirmation(Protocol):
    """Tells the ledger which edition every Traefik runs, until it is cancelled."""

    async def run(self) -> None:
        """Observe for ever."""
        ...

    async def look(self) -> None:
        """Observe once."""
        ...

    def detail(self) -> str:
        """Say why not everything is confirmed, in one sentence for people."""
        ...

    def disabled(self) -> Mapping[str, str]:
        """Return the routers that some Traefik refuses to run, with its reasons."""
        ...


@dataclass(slots=True)
class _Watch:
    """What one Traefik has shown."""

    number: int | None = None
    marker: str | None = None
    """None: it has not answered yet."""
    said: str = ""
    misses: int = 0
    lost_at: float | None = None
    version: str | None = None
    loop: str = ""
    """The URL by which it reaches itself."""
    disabled: Mapping[str, str] = field(default_factory=dict)


class AskedConfirmation:
    """Asks every Traefik."""

    def __init__(
        self,
        api_urls: Sequence[str],
        marker_urls: Sequence[str],
        *,
        ledger: Ledger,
        publication: Publication,
        clock: Clock,
        observed: Observed,
        featured: Callable[[Features], None],
    ) -> None:
        self._urls = [(url, False) for url in api_urls] + [(url, True) for url in marker_urls]
        self._ledger = ledger
        self._publication = publication
        self._clock = clock
        self._observed = observed
        self._featured = featured
        self._endpoints: dict[str, list[Endpoint]] = {}
        self._watches: dict[str, _Watch] = {}
        self._looked_up: float | None = None
        self._looks = 0
        self._said: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Observe for ever."""
        async with new_session() as session:
            client = TraefikClient(session)
            while True:
                await self._look_up()
                await self._look(client)
                await self._pause()

    async def look(self) -> None:
        """Observe once."""
        async with new_session() as session:
            await self._look_up()
            await self._look(TraefikClient(session))

    def detail(self) -> str:
        """Say why not everything is confirmed, in one sentence for people."""
        newest = self._ledger.newest
        for name, watch in self._watches.items():
            if watch.lost_at is not None:
                lost_for = self._clock() - watch.lost_at
                return f"Traefik at {name} does not answer since {lost_for:.0f} s: {watch.said}"
            if watch.marker is None:
                return f"Traefik at {name} has not been asked yet"
            if watch.number is None:
                runs = f"runs {watch.marker}, which is not" if watch.marker else "runs none of"
                return f"Traefik at {name} {runs} what was published"
            if newest is not None and watch.number != newest.number:
                return f"Traefik at {name} still runs what was published before"
        return ""

    def disabled(self) -> Mapping[str, str]:
        """Return the routers that some Traefik refuses to run, with its reasons."""
        return {
            name: reason
            for watch in self._watches.values()
            for name, reason in watch.disabled.items()
        }

    async def _look_up(self) -> None:
        """Find all Traefiks behind the names; a name that is not known now keeps its addresses."""
        now = self._clock()
        if self._looked_up is not None:
            is_troubled = any(w.misses or w.marker is None for w in self._watches.values())
            is_in_haste = self._looks < QUICK_LOOKS and not self._is_settled
            every = LOOK_UP_AT_LEAST if is_troubled else LOOK_AT_REST
            if now - self._looked_up < every * 0.9 or (is_in_haste and not is_troubled):
                return
        self._looked_up = now
        for url, is_marker in self._urls:
            try:
                self._endpoints[url] = await endpoints(url, is_marker=is_marker)
            except NoAnswer as reason:
                unknown = self._watches.setdefault(url, _Watch())
                if url not in self._endpoints:
                    self._missed(url, unknown, str(reason))
        known = {e.name for found in self._endpoints.values() for e in found}
        known |= {url for url, _ in self._urls if url not in self._endpoints}
        self._watches = {name: self._watches.get(name, _Watch()) for name in sorted(known)}

    async def _look(self, client: TraefikClient) -> None:
        asked = [e for found in self._endpoints.values() for e in found]
        await asyncio.gather(*(self._ask(client, endpoint) for endpoint in asked))
        versions = [watch.version for watch in self._watches.values()]
        known = [version for version in versions if version is not None]
        if len(known) == len(versions):
            loops = [watch.loop for watch in self._watches.values()]
            self._featured(features_of(known, loops))
        self._observed({name: watch.number for name, watch in self._watches.items()})

    async def _ask(self, client: TraefikClient, endpoint: Endpoint) -> None:
        watch = self._watches[endpoint.name]
        newest = self._ledger.newest
        try:
            marker = await client.marker(endpoint)
            if watch.version is None or self._ledger.number(marker) is None:
                watch.loop = await self._loop(client, endpoint)
                watch.version = await client.version(endpoint)
            if newest is not None and marker == newest.marker:
                watch.disabled = await client.disabled(endpoint)
        except NoAnswer as reason:
            self._missed(endpoint.name, watch, str(reason))
            return
        watch.misses = 0
        watch.marker, watch.number = marker, self._ledger.number(marker)
        if watch.lost_at is not None:
            log.info("traefik.found", address=endpoint.name, after=self._clock() - watch.lost_at)
            watch.lost_at = None

    async def _loop(self, client: TraefikClient, endpoint: Endpoint) -> str:
        entrypoint = await client.entrypoint(endpoint)
        if not entrypoint:
            return ""
        url, reason = loop_of(entrypoint)
        if reason and (endpoint.name, reason) not in self._said:
            self._said.add((endpoint.name, reason))
            log.warning("traefik.entrypoint_unusable", address=endpoint.name, reason=reason)
        return url

    def _missed(self, name: str, watch: _Watch, reason: str) -> None:
        watch.misses += 1
        watch.said = reason
        if watch.misses <= MISSES_FORGIVEN and watch.marker is not None:
            return
        if watch.lost_at is None:
            watch.lost_at = self._clock()
            log.warning("traefik.lost", address=name, reason=reason)
        watch.number, watch.version = None, None
        watch.disabled = {}

    @property
    def _is_settled(self) -> bool:
        newest = self._ledger.newest
        return newest is not None and all(
            watch.number == newest.number and not watch.misses for watch in self._watches.values()
        )

    async def _pause(self) -> None:
        if self._is_settled:
            delay = LOOK_AT_REST
        else:
            over = max(0, self._looks - QUICK_LOOKS)
            delay = min(SLOWEST_LOOK, QUICK_LOOK * 1.25**over)
            self._looks += 1
        if await _noted(self._publication, delay):
            self._looks = 0
            await asyncio.sleep(FIRST_LOOK)


class SettledConfirmation:
    """Trusts that what was published, or fetched, runs after a while."""

    def __init__(
        self,
        *,
        publication: Publication,
        is_fetched: bool,
        settle: float,
        clock: Clock,
        observed: Observed,
    ) -> None:
        self._publication = publication
        self._is_fetched = is_fetched
        self._settle = settle
        self._clock = clock
        self._observed = observed
        self._reached: dict[int, float] = {}

    async def run(self) -> None:
        """Observe for ever."""
        while True:
            now, number = self._clock(), self._number()
            if number is not None:
                self._reached.setdefault(number, now)
            due = [n for n, since in self._reached.items() if since + self._settle <= now]
            if due:
                self._observed({"settle": max(due)})
                self._reached = {n: t for n, t in self._reached.items() if n >= max(due)}
            pending = [t for n, t in self._reached.items() if n not in due]
            next_due = min(pending, default=now + LOOK_AT_REST) + self._settle - now
            await _noted(self._publication, max(0.0, next_due))

    async def look(self) -> None:
        """Observe once: what is in the file has been there for a while."""
        if self._publication.edition is not None:
            self._observed({"settle": self._publication.edition.number})

    def _number(self) -> int | None:
        if self._is_fetched:
            return self._publication.fetched_by_all()
        edition = self._publication.edition
        return edition.number if edition is not None else None

    def detail(self) -> str:
        """Say why not everything is confirmed, in one sentence for people."""
        if self._is_fetched and self._number() is None:
            return "no Traefik has fetched what was published"
        wait = f"Traefik cannot be asked, so it counts as loaded after {self._settle:g} s"
        return wait + (" from when it was fetched" if self._is_fetched else "")

    def disabled(self) -> Mapping[str, str]:
        """Return nothing: nobody says so."""
        return {}


def new_session() -> aiohttp.ClientSession:
    """Return a session for asking Traefiks: patient for a moment only, and without cookies."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT),
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _noted(publication: Publication, timeout: float) -> bool:
    """Wait for something published or fetched, or for the time to be over; tell which."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await publication.noted.wait()
    is_noted = publication.noted.is_set()
    publication.noted.clear()
    return is_noted

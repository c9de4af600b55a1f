"""Asks every Traefik what it has counted of each revision, from its Prometheus metrics.

Implements the port `Meter`. However many apps ask, the Traefiks are asked about once a second, and
only when somebody asks. Traefik forgets what it counted when it is restarted, and when a service
leaves its configuration; what is told here never falls: each counter is watched by itself, and one
that is lower than before began anew. A Traefik that is met for the first time counts from then on,
for nobody knows when it counted what it shows.

What Traefik counts, all measured with 3.7.15:

- The label `service` is the load balancer of a revision, `{app}-{revision}@{provider}`.
- The copies that a mirror gets count at the mirror's own balancer, like any request.
- Every attempt of a retry counts, also those that nobody saw fail: while Docker's name server is
  away both colours seem to fail.
- A failing answer that the guard keeps back counts at green's balancer with its own status (500,
  or 502 where the connection broke), and the request once more at blue's, which answered it.
- A client that hangs up counts as 499, with the time it waited: no error, but slow if it was.
- Websockets and server-sent events count when they *end*, with their whole life for a latency, and
  a websocket that went well has the status 0. So they say nothing of how green answers now, neither
  in number nor in time, and are left out; a check has to tell about them.
- A service has no series before its first request; those of one that left the configuration are
  gone after the next scrape by anybody.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from traefik_bg.adapters.closing import Closing
from traefik_bg.adapters.traefik_client import Endpoint, NoAnswer, TraefikClient, endpoints
from traefik_bg.adapters.traefik_confirmation import new_session
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.evidence import Tally
from traefik_bg.core.model import ADOPTED, REVISION_LENGTH, AppName, RevisionId
from traefik_bg.core.names import balancer_name
from traefik_bg.core.tally import added, growth

FRESH_FOR = 0.9  # seconds; a little less than the second at which apps ask
FORGET_AFTER = 600.0  # seconds after which what was counted for an app nobody asks for is dropped
LOOK_UP_EVERY = 5.0  # seconds between two look-ups of the names of Traefiks

_REQUESTS = "traefik_service_requests_total"
_BUCKET = "traefik_service_request_duration_seconds_bucket"
_READS = frozenset({"GET", "HEAD"})
_LONG_LIVED = frozenset({"websocket", "sse"})

# The parser needs 0.8 s for the series of 200 apps (5 MB, more than is usual) and 4 ms for those of
# one; finding the lines of each app takes 35 ms (measured).
_LINE = re.compile(
    rf'^(?:{_REQUESTS}|{_BUCKET})\{{[^\n]*?service="'
    rf'(?P<app>[^"\n]+)-(?:[0-9a-f]{{{REVISION_LENGTH}}}|{ADOPTED})@(?:file|http)"[^\n]*$',
    re.MULTILINE,
)

Series = tuple[str, ...]
"""One counter: its service, what it counts, and the labels that tell it from others."""


@dataclass(frozen=True, slots=True)
class _Scrape:
    """What all Traefiks said at one moment."""

    at: float
    lines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the name of the Traefik, and by app."""
    trouble: str = ""


@dataclass(slots=True)
class _Account:
    """What was counted for one app."""

    asked_at: float
    scrape: _Scrape | None = None
    """The last one that is in it."""
    shown: dict[str, dict[Series, float]] = field(default_factory=dict)
    """What each Traefik showed then."""
    totals: dict[RevisionId, Tally] = field(default_factory=dict)


class TraefikMeter(Closing):
    """Implements the port `Meter`; open it as a context manager, or close it at the end."""

    def __init__(self, api_urls: Sequence[str], metrics_urls: Sequence[str]) -> None:
        self._urls = [_with_path(url) for url in metrics_urls] or [
            str(URL(url).with_path("/metrics")) for url in api_urls
        ]
        self._endpoints: dict[str, list[Endpoint]] = {}
        self._looked_up: float | None = None
        self._session: aiohttp.ClientSession | None = None
        self._last: _Scrape | None = None
        self._under_way: asyncio.Task[_Scrape] | None = None
        self._accounts: dict[AppName, _Account] = {}

    async def close(self) -> None:
        """Let go of all connections."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
            self._under_way = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def tallies(self, app: AppName) -> Mapping[RevisionId, Tally]:
        """Return what all Traefiks together have counted so far of the app's revisions.

        Raises:
            RouterUnavailable: a Traefik did not say, or nobody knows where to ask.
        """
        if not self._urls:
            raise RouterUnavailable(
                "it is not known where Traefik's metrics are: set --traefik-metrics or "
                "--traefik-api"
            )
        scrape = await self._fresh()
        if scrape.trouble:
            raise RouterUnavailable(scrape.trouble)
        account = self._accounts.setdefault(app, _Account(scrape.at))
        account.asked_at = scrape.at
        if account.scrape is not scrape:
            _enter(account, app, scrape)
        self._accounts = {
            name: kept
            for name, kept in self._accounts.items()
            if kept.asked_at >= scrape.at - FORGET_AFTER
        }
        return dict(account.totals)

    # --- asking -----------------------------------------------------------------------------------

    async def _fresh(self) -> _Scrape:
        """Return what the Traefiks said within the last moment; ask them if nobody did."""
        last, now = self._last, asyncio.get_running_loop().time()
        if last is not None and now - last.at < FRESH_FOR:
            return last
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._scrape(now), name="metrics of Traefik")
        return await asyncio.shield(self._under_way)  # who gives up waiting leaves it to others

    async def _scrape(self, now: float) -> _Scrape:
        if self._session is None:
            self._session = new_session()
        client = TraefikClient(self._session)
        try:
            await self._look_up(now)
            asked = [endpoint for found in self._endpoints.values() for endpoint in found]
            said = await asyncio.gather(*(_lines(client, endpoint) for endpoint in asked))
            names = [endpoint.name for endpoint in asked]
            scrape = _Scrape(now, dict(zip(names, said, strict=True)))
        except NoAnswer as reason:
            self._looked_up = None  # it may be somewhere else by now
            scrape = _Scrape(now, trouble=str(reason))
        finally:
            self._under_way = None
        self._last = scrape
        return scrape

    async def _look_up(self, now: float) -> None:
        """Find every Traefik behind the names, each of which may stand for several.

        Raises:
            NoAnswer: a name is not known.
        """
        if self._looked_up is not None and now - self._looked_up < LOOK_UP_EVERY:
            return
        self._endpoints = {url: await endpoints(url, is_marker=False) for url in self._urls}
        self._looked_up = now


def _with_path(url: str) -> str:
    parsed = URL(url)
    return url if parsed.path.strip("/") else str(parsed.with_path("/metrics"))


async def _lines(client: TraefikClient, endpoint: Endpoint) -> Mapping[str, str]:
    """Return what a Traefik says of each app, the other lines left out.

    Raises:
        NoAnswer: it did not answer, or not with its metrics.
    """
    try:
        text = await client.metrics(endpoint)
    except NoAnswer as reason:
        where = f"{endpoint.name}{endpoint.url.path}"
        raise NoAnswer(
            f"Traefik's metrics at {where} cannot be read: {reason}; --traefik-metrics says where "
            "they are"
        ) from reason
    found: defaultdict[str, list[str]] = defaultdict(list)
    for match in _LINE.finditer(text):
        found[match["app"]].append(match.group())
    return {app: "\n".join(lines) + "\n" for app, lines in found.items()}


# --- counting -------------------------------------------------------------------------------------


def _enter(account: _Account, app: AppName, scrape: _Scrape) -> None:
    """Add to an account what its counters have grown by.

    Raises:
        RouterUnavailable: what a Traefik said is not Prometheus' text.
    """
    try:
        shown = {name: dict(_series(lines.get(app, ""))) for name, lines in scrape.lines.items()}
    except (KeyError, ValueError) as error:
        raise RouterUnavailable(f"Traefik's metrics make no sense: {error}") from error
    for name, counters in shown.items():
        before = account.shown.get(name)
        if before is None:
            continue
        grown = {key: growth(before.get(key, 0.0), now) for key, now in counters.items()}
        for service, tally in _tallies(grown).items():
            revision = RevisionId(service.removeprefix(balancer_name(app, "")).partition("@")[0])
            account.totals[revision] = added(account.totals.get(revision, Tally()), tally)
    known = {*account.totals, *_revisions(app, shown.values())}
    account.totals = {revision: account.totals.get(revision, Tally()) for revision in known}
    account.shown, account.scrape = shown, scrape


def _revisions(app: AppName, shown: Iterable[Mapping[Series, float]]) -> Iterator[RevisionId]:
    for counters in shown:
        for service, *_ in counters:
            yield RevisionId(service.removeprefix(balancer_name(app, "")).partition("@")[0])


def _series(text: str) -> Iterator[tuple[Series, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if labels["protocol"] not in _LONG_LIVED:
                rest = (labels["code"], labels["method"], labels["protocol"])
                yield (labels["service"], labels.get("le", ""), *rest), sample.value


def _tallies(grown: Mapping[Series, float]) -> Mapping[str, Tally]:
    """Return what the counters of one Traefik say together of each service."""
    counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (service, bound, code, method, *_), value in grown.items():
        count, of_service = int(value), counts[service]
        if bound:
            of_service[bound] += count
            continue
        of_service["requests"] += count
        of_service["reads"] += count if method in _READS else 0
        of_service["errors"] += count if "500" <= code <= "599" else 0
    return {service: _tally(of_service) for service, of_service in counts.items()}


def _tally(counts: Mapping[str, int]) -> Tally:
    words = ("requests", "reads", "errors")
    buckets = sorted((_bound(bound), n) for bound, n in counts.items() if bound not in words)
    requests, reads, errors = (counts.get(word, 0) for word in words)
    return Tally(requests=requests, reads=reads, errors=errors, buckets=tuple(buckets))


def _bound(text: str) -> float:
    return inf if text == "+Inf" else float(text)

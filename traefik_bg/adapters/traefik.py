"""Traefik, as the runtime knows it: one published document, made of every app's routing.

Implements `ports.Router`. Every app publishes its own part; parts that arrive together are written
together, because each write makes every Traefik rebuild everything and start its round robin anew.
What is published is what the routing file says: it is read once at start, and no write ever starts
from less than is known (S5). Law S7 lives in the planner; here nothing is dropped nor added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from traefik_bg.adapters.traefik_client import Endpoint, NoAnswer, TraefikClient, endpoints
from traefik_bg.adapters.traefik_confirmation import (
    AskedConfirmation,
    Clock,
    Confirmation,
    SettledConfirmation,
    new_session,
)
from traefik_bg.adapters.traefik_file import RoutingFile
from traefik_bg.adapters.traefik_ledger import Ledger, difference
from traefik_bg.adapters.traefik_publication import Edition, Publication
from traefik_bg.adapters.traefik_recovery import recovered
from traefik_bg.core import markers, traffic
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, Routing
from traefik_bg.core.names import owner
from traefik_bg.core.ports import RoutingState, Wake

DEFAULT_SETTLE = 3.0  # Traefik's default throttle of 2 s, a new default certificate, and a margin
WRITE_TIMEOUT = 10.0  # a disk this slow is as good as none
LOOK_AT_FILE = 5.0
START_AGAIN = 0.5  # seconds between two attempts to learn what is published

log = structlog.get_logger()


@dataclass(slots=True)
class _Batch:
    """What is written together."""

    parts: dict[AppName, Routing | None] = field(default_factory=dict)
    errors: dict[AppName, str] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, error: str | None = None) -> None:
        """Let all go who wait; with an error for those who have none of their own."""
        if error is not None:
            self.errors = dict.fromkeys(self.parts, error) | self.errors
        self.done.set()


class TraefikRouter:
    """Writes the document and knows what the Traefiks made of it."""

    def __init__(
        self,
        *,
        state_dir: Path,
        dynamic_dir: Path | None,
        wake: Wake,
        api_urls: Sequence[str] = (),
        marker_urls: Sequence[str] = (),
        settle: float = DEFAULT_SETTLE,
    ) -> None:
        self._clock: Clock = lambda: asyncio.get_running_loop().time()
        self.publication = Publication(self._clock)
        """For the HTTP provider."""
        self._file = RoutingFile(state_dir, dynamic_dir)
        self._is_fetched = dynamic_dir is None
        self._api_urls = tuple(api_urls)
        self._wake = wake
        self._ledger = Ledger(self._clock)
        self._published: Edition | None = None
        self._unknown: str | None = "what is published has not been read yet"
        self._features = Features()
        self._refusals: Mapping[AppName, str] = {}
        self._batch = _Batch()
        self._asked = asyncio.Event()
        self._is_owed = False
        self._confirmation = self._new_confirmation(tuple(marker_urls), settle)

    def _new_confirmation(self, marker_urls: Sequence[str], settle: float) -> Confirmation:
        if self._api_urls or marker_urls:
            return AskedConfirmation(
                self._api_urls,
                marker_urls,
                ledger=self._ledger,
                publication=self.publication,
                clock=self._clock,
                observed=self._observe,
                featured=self._learn,
            )
        return SettledConfirmation(
            publication=self.publication,
            is_fetched=self._is_fetched,
            settle=settle,
            clock=self._clock,
            observed=self._observe,
        )

    # --- the port ---------------------------------------------------------------------------------

    async def publish(self, app: AppName, routing: Routing | None) -> None:
        """Make this the app's part of the published document; returns when it is written.

        Raises:
            RouterUnavailable: it could not be written; what was published before still is.
        """
        self._require_known()
        batch = self._batch
        batch.parts[app] = routing
        self._asked.set()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await batch.done.wait()
        except TimeoutError as error:
            raise RouterUnavailable(
                f"{self._file.path} is not written after {WRITE_TIMEOUT:g} s; it may still be"
            ) from error
        if app in batch.errors:
            raise RouterUnavailable(batch.errors[app])

    def state(self, app: AppName) -> RoutingState:
        """Return what is published and confirmed for the app.

        Raises:
            RouterUnavailable: what is published cannot be known.
        """
        self._require_known()
        state = self._ledger.state(app, self._published)
        if state.confirmed_for is None:
            return replace(state, detail=self._confirmation.detail())
        return replace(state, refusal=self._refusals.get(app))

    def apps(self) -> frozenset[AppName]:
        """Return the apps that have a part in the published document.

        Raises:
            RouterUnavailable: what is published cannot be known.
        """
        self._require_known()
        return frozenset(self._parts)

    @property
    def guard_available(self) -> bool:
        """Tell whether every Traefik can fail over by status."""
        return self._features.guard

    @property
    def hold_available(self) -> bool:
        """Tell whether every Traefik can hold requests while nothing serves."""
        return bool(self._features.hold)

    async def run(self) -> None:
        """Learn what is published, then write and confirm until cancelled."""
        await self._learn_until_known()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_batches(), name="routing writer")
                tasks.create_task(self._confirmation.run(), name="routing confirmation")
        finally:
            self.publication.close()

    async def look(self) -> None:
        """Learn what is published and what the Traefiks run, once; for who only wants to know.

        Nothing is written. Not to be used beside `run`.

        Raises:
            RouterUnavailable: what is published cannot be known.
        """
        await self._learn_published()
        await self._confirmation.look()

    @property
    def _parts(self) -> Mapping[AppName, Routing]:
        return self._published.parts if self._published is not None else {}

    def _require_known(self) -> None:
        if self._unknown is not None:
            raise RouterUnavailable(self._unknown)

    # --- at start ---------------------------------------------------------------------------------

    async def _learn_until_known(self) -> None:
        while True:
            try:
                await self._learn_published()
            except RouterUnavailable as error:
                if self._unknown != str(error):
                    log.warning("routing.unknown", reason=str(error))
                self._unknown = str(error)
                await asyncio.sleep(START_AGAIN)
            else:
                self._wake(None)
                return

    async def _learn_published(self) -> None:
        body = await asyncio.to_thread(self._file.read)
        document = traffic.decode(body) if body else await self._recovered()
        if document is not None:
            self._published = edition = Edition.of(document, body or b"")
            self._features = traffic.features(document)
            self._ledger.add(edition)
            if body:  # else a document that went through Traefik: never to be given out as it is
                self.publication.release(edition)
        elif self._api_urls or not self._is_fetched:
            self._asked.set()  # nothing is routed: say so, that it can be confirmed
        self._unknown = None

    async def _recovered(self) -> traffic.Document | None:
        """Return what the Traefiks run of ours; None: nothing, or nobody to ask.

        Raises:
            RouterUnavailable: none of them answered.
        """
        if not self._api_urls:
            return None
        answers: list[traffic.Document | None] = []
        reasons = []
        async with new_session() as session:
            client = TraefikClient(session)
            for url in self._api_urls:
                try:
                    found = await endpoints(url, is_marker=False)
                    answers += [await _running(client, endpoint) for endpoint in found]
                except NoAnswer as reason:
                    reasons.append(f"{url}: {reason}")
        if not answers:
            raise RouterUnavailable(
                f"there is no {self._file.path}, and no Traefik says what it runs "
                f"({'; '.join(reasons)})"
            )
        documents = [document for document in answers if document is not None]
        if documents:
            log.warning("routing.recovered", path=str(self._file.path))
        return max(documents, key=lambda d: markers.serial(traffic.marker(d)), default=None)

    # --- writing ----------------------------------------------------------------------------------

    async def _write_batches(self) -> None:
        try:
            await self._keep_file()
            while True:
                if await self._is_asked():
                    await self._write_batch()
                else:
                    await self._keep_file()
        finally:
            self._unknown = "the service is ending"
            self._batch.end("the service ended before it was written")

    async def _write_batch(self) -> None:
        batch, self._batch = self._batch, _Batch()
        try:
            await self._write(self._next_edition(batch))
        except RouterUnavailable as error:
            self._is_owed = not batch.parts  # nobody will ask for it again
            batch.end(str(error))
        except BaseException:
            batch.end("the service ended before it was written")
            raise
        batch.end()

    async def _is_asked(self) -> bool:
        """Wait until something is to be written, or until it is time to look at the file."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AT_FILE):
                await self._asked.wait()
        is_asked = self._asked.is_set() or self._is_owed
        self._asked.clear()
        self._is_owed = False
        return is_asked

    async def _keep_file(self) -> None:
        """Bring the file back when somebody removed or changed it, or when it was lost at start."""
        edition = self.publication.edition
        if edition is None or await asyncio.to_thread(self._file.is_intact):
            return
        try:
            await asyncio.to_thread(self._file.write, edition.body)
            log.warning("routing.restored", path=str(self._file.path))
        except RouterUnavailable as error:
            log.warning("routing.not_restored", reason=str(error))

    async def _write(self, edition: Edition) -> None:
        last = self._published
        if (
            last is not None
            and self.publication.edition is not None
            and markers.content(last.marker) == markers.content(edition.marker)
        ):
            self._published = self._ledger.amend(edition.parts)
            for app in difference(last, self._published):
                self._wake(app)  # Traefik has nothing to load, so no confirmation will
            return
        self._ledger.add(edition)
        started = self._clock()
        try:
            await asyncio.to_thread(self._file.write, edition.body)
        except RouterUnavailable:
            self._ledger.withdraw(edition)
            raise
        self._published = edition
        self.publication.release(edition)
        log.debug("routing.written", number=edition.number, seconds=self._clock() - started)

    def _next_edition(self, batch: _Batch) -> Edition:
        """Return the document with these parts; a part that fits no document is left out of it.

        Raises:
            RouterUnavailable: no part fits.
        """
        try:
            return self._edition(_merged(self._parts, batch.parts))
        except ValueError:
            parts = dict(self._parts)
            for app, routing in batch.parts.items():
                try:
                    self._edition(changed := _merged(parts, {app: routing}))
                except ValueError as error:
                    batch.errors[app] = f"{app} cannot be routed: {error}"
                else:
                    parts = dict(changed)
            return self._edition(parts)

    def _edition(self, parts: Mapping[AppName, Routing]) -> Edition:
        number = self._published.number + 1 if self._published is not None else 1
        document = traffic.render(parts, features=self._features, serial=number)
        return Edition(
            number=number,
            marker=traffic.marker(document),
            parts=parts,
            body=traffic.encode(document),
        )

    # --- confirming -------------------------------------------------------------------------------

    def _observe(self, seen: Mapping[str, int | None]) -> None:
        changed = self._ledger.observe(seen)
        if changed.is_everyone:
            self._wake(None)
        refusals = self._refused(self._confirmation.disabled())
        before, self._refusals = self._refusals, refusals
        differing = {app for app, _ in before.items() ^ refusals.items()}
        if not changed.is_everyone:
            for app in changed.apps | differing:
                self._wake(app)

    def _refused(self, disabled: Mapping[str, str]) -> Mapping[AppName, str]:
        refusals: dict[AppName, str] = {}
        for router, reason in disabled.items():
            app = owner(router, self._parts)
            if app is not None:
                refusals[AppName(app)] = f"Traefik refuses the router {router}: {reason}"
        return refusals

    def _learn(self, features: Features) -> None:
        """Write anew for what the Traefiks can do: an older one would refuse the whole document."""
        if features != self._features:
            log.info(
                "traefik.features", retry=features.retry, guard=features.guard, hold=features.hold
            )
            self._features = features
            self._asked.set()
            self._wake(None)


async def _running(client: TraefikClient, endpoint: Endpoint) -> traffic.Document | None:
    everything = await client.everything(endpoint)
    try:
        if (document := recovered(everything)) is not None:
            traffic.routings(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoAnswer(f"what it runs of ours makes no sense ({error!r})") from error
    return document


def _merged(
    parts: Mapping[AppName, Routing], changes: Mapping[AppName, Routing | None]
) -> Mapping[AppName, Routing]:
    merged = {**parts, **changes}
    return {app: routing for app, routing in merged.items() if routing is not None}

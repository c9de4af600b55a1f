"""Removes images that we pulled and nobody needs any more.

Apart from the loops of the apps because an image belongs to no app: it is needed as long as one of
them needs it. What we did not pull is never touched, and neither is what somebody else has come to
use since: a container, or a name. It works only while nothing is under way anywhere.

`Pulls` takes note of what is ours: what was not on the machine before our pull.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from traefik_bg.core.actions import Phase
from traefik_bg.core.errors import Conflict, Unavailable
from traefik_bg.core.image_ports import ImageShelf
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.observation import PullProgress
from traefik_bg.core.pins import pin_of
from traefik_bg.core.ports import DesiredSource, Store
from traefik_bg.core.record import Record
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.runtime.triggers import wait

EVERY = 600.0  # seconds between looks, when nothing has settled meanwhile
REST = 5.0  # seconds of quiet after something has settled; nobody is in a hurry for disk space
_QUIET = {Phase.SETTLED, Phase.REJECTED, Phase.PAUSED}

log = structlog.get_logger()


class Pulls:
    """Implements `Images` on the shelf, and remembers which images came by our pulls."""

    def __init__(self, shelf: ImageShelf, store: Store) -> None:
        self._shelf = shelf
        self._store = store

    async def has(self, image: str) -> bool:
        """Tell whether the image is on this machine."""
        return await self._shelf.has(image)

    async def digest(self, image_id: str) -> str:
        """Return where an image of this machine can be had again; empty: nowhere."""
        return await self._shelf.digest(image_id)

    def progress(self, image: str) -> PullProgress | None:
        """Return how much of an image has come that is being pulled; None: nobody has said."""
        return self._shelf.progress(image)

    async def pull(self, image: str) -> None:
        """Bring the image here, and remember that we did, if it was not here by another name."""
        before = await self._shelf.ids()
        await self._shelf.pull(image)
        try:
            image_id = await self._shelf.image_id(image)
            if image_id and (image_id not in before or image_id in await self._store.pulled()):
                await self._store.save_pulled(image_id, image)
        except Unavailable as error:  # it is here; that it stays here for ever does less harm
            log.warning("image.not_remembered", image=image, reason=str(error))


@dataclass(slots=True)
class _Needed:
    """What must stay: images by their IDs, and by names of which the content is not known."""

    ids: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


class Retention:
    """Looks for images that can go, whenever everything is quiet."""

    def __init__(
        self,
        *,
        keep: int,
        shelf: ImageShelf,
        store: Store,
        source: DesiredSource,
        statuses: Callable[[], Mapping[AppName, AppStatus]],
        is_blind: Callable[[], bool],
    ) -> None:
        self._keep = keep
        self._shelf = shelf
        self._store = store
        self._source = source
        self._statuses = statuses
        self._is_blind = is_blind
        self._bell = asyncio.Event()
        self._told: set[str] = set()
        """Images of which it has been said why they stay."""

    def hear(self, status: AppStatus) -> None:
        """Hear how an app is doing: one that has settled may need less than before."""
        if status.phase in _QUIET:
            self._bell.set()

    async def run(self) -> None:
        """Look from time to time, for ever; never, where all images are kept."""
        while True:
            await wait(self._bell, EVERY)
            await asyncio.sleep(REST)
            self._bell.clear()
            try:
                await self.sweep()
            except Unavailable as error:
                log.info("images.not_looked_at", reason=str(error))

    async def sweep(self) -> None:
        """Remove the images that nobody needs, one by one, as long as it is quiet.

        Raises:
            Unavailable: it cannot be known who needs what.
        """
        if not self._keep or not (pulled := await self._store.pulled()):
            return
        needed = await self._needed()
        for image_id, names in sorted(pulled.items()):
            if not self._is_quiet():
                return
            if image_id in needed.ids or names & needed.names:
                continue
            await self._remove(image_id, names)

    def _is_quiet(self) -> bool:
        state = self._source.current()
        if not state.is_known or state.unknown or self._is_blind():
            return False
        statuses = self._statuses()
        return state.apps.keys() <= statuses.keys() and all(map(_is_resting, statuses.values()))

    async def _needed(self) -> _Needed:
        needed = _Needed(ids=set(await self._shelf.used()))
        records = {app: await self._store.record(app) for app in await self._store.apps()}
        for app, spec in self._source.current().apps.items():
            await self._need(needed, spec, records.get(app, Record()))
        for record in records.values():
            good = () if record.good is None else (record.good,)
            for spec in (*good, *record.previous[: self._keep]):
                await self._need(needed, spec, record)
        return needed

    async def _need(self, needed: _Needed, spec: AppSpec, record: Record) -> None:
        """Keep what a spec ran, or else what its image is here."""
        pin = pin_of(spec.revision, record)
        if pin is not None:
            needed.ids.add(pin.image_id)
        else:
            needed.names.add(spec.image)
            needed.ids.add(await self._shelf.image_id(spec.image))

    async def _remove(self, image_id: str, names: frozenset[str]) -> None:
        try:
            await self._shelf.remove_image(image_id, names)
        except Conflict as error:
            if image_id not in self._told:
                log.info("image.stays", image=sorted(names), id=image_id, reason=str(error))
            self._told.add(image_id)
            return
        await self._store.forget_pulled(image_id)
        log.info("image.removed", image=sorted(names), id=image_id)


def _is_resting(status: AppStatus) -> bool:
    """Tell whether nothing is under way for an app, and nothing is about to be."""
    seen = status.seen
    return (
        status.phase in _QUIET
        and status.trouble is None
        and status.record.deployment is None
        and seen is not None
        and not seen.busy
        and not seen.cooling
    )

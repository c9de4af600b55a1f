"""Follows tags: asks registries what they mean now, and has the desired state say so.

It stands between the desired file and everybody who reads it (`ports.DesiredSource`), because a tag
that moves is an edit that nobody made: the spec gets the digest, and all that is known of edits
holds for it. It asks beside the loops, so that a registry that is slow delays nobody; one that does
not answer changes nothing.

What a tag meant is remembered before it is acted on. A name that was never asked about is withheld
for a moment, so that the first deployment is of what its tag means now.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from traefik_bg.core.errors import CommandRefused, Refused, Unavailable
from traefik_bg.core.image_ports import Registry
from traefik_bg.core.model import AppName, AppSpec
from traefik_bg.core.pins import pin_of
from traefik_bg.core.ports import DesiredSource, DesiredState, Store, Wake
from traefik_bg.core.record import Record
from traefik_bg.core.tags import KnownTag, TagStatus, known, why_not_followed, with_tag
from traefik_bg.runtime.triggers import wait

LONGEST_WAIT = 10.0
"""Seconds that a new name is withheld for its registry to answer; then the bare tag has to do."""
AGAIN = 1.0  # seconds after a memory that could not be read or written
IDLE = 60.0  # seconds between looks at what is to be followed, when nothing says that it changed
SPREAD = 0.1  # part of the interval by which questions come earlier or later, not all at once

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Round:
    """When the tag of one app is asked about, and how it went."""

    image: str
    every: float
    due: float
    asked_at: float | None = None
    trouble: str | None = None


class Tags:
    """The desired state, with what its tags mean now."""

    def __init__(
        self,
        source: DesiredSource,
        *,
        registry: Registry,
        store: Store,
        wake: Wake,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._registry = registry
        self._store = store
        self._wake = wake
        self._chance = chance
        self._known: dict[AppName, KnownTag] | None = None
        """None until it has been read."""
        self._bare: dict[AppName, str] = {}
        """Names that need not be withheld: the bare tag has to do, or runs already."""
        self._withheld: dict[AppName, float | None] = {}
        """Names that wait for their registry, and until when; None: since just now."""
        self._rounds: dict[AppName, _Round] = {}
        self._asking: dict[AppName, asyncio.Task[None]] = {}
        self._locks: defaultdict[AppName, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._bell = asyncio.Event()
        self._written: DesiredState | None = None
        """What the desired state was written as when it was given last; None: look again."""
        self._given: DesiredState | None = None

    # --- what is wanted ---------------------------------------------------------------------------

    def current(self) -> DesiredState:
        """Return the desired state in force, with the contents that its tags mean."""
        written = self._source.current()
        if self._given is not None and self._written is written:
            return self._given
        if self._known is None:
            error = "what tags were known to mean has not been read yet"
            return replace(written, is_known=False, error=written.error or error)
        before = self._given.apps if self._given is not None else {}
        apps: dict[AppName, AppSpec] = {}
        unknown: dict[AppName, str] = {}
        withheld: dict[AppName, float | None] = {}
        for name, spec in written.apps.items():
            if not self._has_to_wait(written, spec, before.get(name)):
                apps[name] = with_tag(spec, self._known.get(name))
                continue
            withheld[name] = self._withheld.get(name)
            if name in before:
                apps[name] = before[name]
            else:
                unknown[name] = f"asking the registry what {spec.image} is now"
        self._withheld = withheld
        self._written, self._given = written, replace(written, apps=apps, unknown=unknown)
        return self._given

    def _has_to_wait(self, written: DesiredState, spec: AppSpec, before: AppSpec | None) -> bool:
        """Tell whether nobody knows yet what the tag of a new name means."""
        tag = (self._known or {}).get(spec.name)
        is_answered = tag is not None and tag.image == spec.image
        is_bare = self._bare.get(spec.name) == spec.image
        is_same = before is not None and before.image == spec.image
        is_followed = spec.name in written.polls and why_not_followed(spec.image) is None
        return is_followed and not (is_answered or is_bare or is_same)

    def _change(self, app: AppName | None) -> None:
        """Give something else from now on."""
        self._written = None
        self._bell.set()  # it may be of a name that was edited away meanwhile
        self._wake(app)

    def woken(self, app: AppName | None) -> None:
        """Hear that the desired state was written anew, and pass it on."""
        self._bell.set()
        self._wake(app)

    def status(self, app: AppName) -> TagStatus | None:
        """Return what is known of an app's tag; None: it is not followed."""
        tag, turn = (self._known or {}).get(app), self._rounds.get(app)
        if tag is None and turn is None:
            return None
        image = turn.image if turn is not None else tag.image if tag is not None else ""
        return TagStatus(
            image=image,
            digest=tag.digest if tag is not None and tag.image == image else "",
            every=None if turn is None else turn.every,
            asked_at=None if turn is None else turn.asked_at,
            trouble=None if turn is None else turn.trouble,
        )

    # --- asking -----------------------------------------------------------------------------------

    async def ask(self, app: AppName) -> str:
        """Ask at once what the tag of an app means; returns the sentence to answer.

        Raises:
            CommandRefused: there is no such app, or its image has no tag to follow.
            Unavailable: the registry did not answer, or the answer could not be remembered.
            Refused: the registry has no such image, or wants a login.
        """
        async with self._locks[app]:
            if self._known is None:
                raise Unavailable("what tags were known to mean has not been read yet")
            spec = self._source.current().apps.get(app)
            if spec is None:
                raise CommandRefused(f"{app} is not in the desired state")
            if (why := why_not_followed(spec.image)) is not None:
                raise CommandRefused(f"{app}: {why}")
            digest = await self._registry.tag_digest(spec.image)
            before = self._known.get(app)
            if before is not None and (before.image, before.digest) == (spec.image, digest):
                return f"{spec.image} is still {digest}"
            tag = known(spec.image, digest, await self._what_runs(spec))
            await self._store.save_tag(app, tag)
            self._known[app] = tag
            was = before.digest if before is not None and before.image == spec.image else None
            sentence = _sentence(tag, was)
            log.info("tag.moved" if was else "tag.known", app=app, image=tag.image, digest=digest)
            self._change(app)
            if tag.is_pinned or was is not None:
                await self._note(app, sentence)
            return sentence

    async def _what_runs(self, spec: AppSpec) -> frozenset[str]:
        """Return the digests of what the bare tag runs, or would run."""
        record = await self._store.record(spec.name)
        pin = pin_of(spec.revision, record)
        if pin is None:
            return await self._registry.known_digests(spec.image)
        found = await self._registry.known_digests(pin.image_id)
        return found | {pin.digest.partition("@")[2]}

    async def _note(self, app: AppName, sentence: str) -> None:
        try:
            await self._store.note(app, sentence)
        except Unavailable as error:
            log.warning("news.not_noted", app=app, reason=str(error))

    # --- from time to time ------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask whenever it is time to, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._bell.clear()
                try:
                    delay = await self._look(group)
                except Unavailable as error:
                    log.warning("tags.not_remembered", reason=str(error))
                    delay = AGAIN
                await wait(self._bell, delay)

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Begin what is due; return the seconds until something else is.

        Raises:
            Unavailable: the memory could not be read or written.
        """
        if self._known is None:
            self._known = dict(await self._store.tags())
            self._change(None)
        written = self._source.current()
        if not self.current().is_known:
            return IDLE
        await self._forget(written, self._known)
        followed = {
            app: every
            for app, every in written.polls.items()
            if app in written.apps and why_not_followed(written.apps[app].image) is None
        }
        self._rounds = {app: turn for app, turn in self._rounds.items() if app in followed}
        for app, every in followed.items():
            await self._schedule(written.apps[app], every, self._known.get(app))
        return self._begin(group)

    async def _forget(self, written: DesiredState, remembered: dict[AppName, KnownTag]) -> None:
        """Forget what was known of names that nobody uses any more."""
        images = {app: spec.image for app, spec in written.apps.items()}
        self._bare = {app: image for app, image in self._bare.items() if images.get(app) == image}
        for app, tag in list(remembered.items()):
            if images.get(app) != tag.image:
                await self._store.save_tag(app, None)
                remembered.pop(app, None)

    async def _schedule(self, spec: AppSpec, every: float, tag: KnownTag | None) -> None:
        """Settle when an app's tag is asked about next."""
        now = asyncio.get_running_loop().time()
        turn = self._rounds.get(spec.name)
        if turn is None or turn.image != spec.image:
            first = now + every * self._chance() if tag is not None else now
            turn = self._rounds[spec.name] = _Round(image=spec.image, every=every, due=first)
            if spec.name in self._withheld:
                self._withheld[spec.name] = None
        if turn.every != every:
            turn.every, turn.due = every, min(turn.due, now + every)
        if spec.name in self._withheld:
            await self._withhold(spec, now)

    async def _withhold(self, spec: AppSpec, now: float) -> None:
        """Let the bare tag do where it is no news, or where the registry takes too long."""
        end = self._withheld[spec.name]
        if end is None:
            end = self._withheld[spec.name] = now + LONGEST_WAIT
        if end > now and not _remembers(await self._store.record(spec.name), spec):
            return
        if end <= now:
            log.warning("tag.not_known", app=spec.name, image=spec.image, meaning="the tag is used")
        self._let_pass(spec.name, spec.image)

    def _let_pass(self, app: AppName, image: str) -> None:
        """Let the bare tag do."""
        self._bare[app] = image
        self._withheld.pop(app, None)
        self._change(app)

    def _begin(self, group: asyncio.TaskGroup) -> float:
        now = asyncio.get_running_loop().time()
        for app, turn in self._rounds.items():
            if turn.due <= now and app not in self._asking:
                task = group.create_task(self._ask_in_turn(app, turn), name=f"tag of {app}")
                self._asking[app] = task
        idle = [turn.due for app, turn in self._rounds.items() if app not in self._asking]
        ends = [end for end in self._withheld.values() if end is not None]
        return max(0.0, min([*idle, *ends, now + IDLE]) - now)

    async def _ask_in_turn(self, app: AppName, turn: _Round) -> None:
        try:
            await self.ask(app)
        except (Unavailable, Refused, CommandRefused) as error:
            if turn.trouble != str(error):  # an outage is told once
                log.warning("tag.unanswered", app=app, image=turn.image, reason=str(error))
            turn.trouble = str(error)
            if not isinstance(error, Unavailable):  # no answer will come: the bare tag has to do
                self._let_pass(app, turn.image)
        except Exception:
            log.exception("tag.failed", app=app)  # one app's trouble must not become everybody's
        else:
            if turn.trouble is not None:
                log.info("tag.answered", app=app, image=turn.image, was=turn.trouble)
            turn.trouble, turn.asked_at = None, asyncio.get_running_loop().time()
        finally:
            jitter = 1 - SPREAD + 2 * SPREAD * self._chance()
            turn.due = asyncio.get_running_loop().time() + turn.every * jitter
            del self._asking[app]
            self._bell.set()


def _remembers(record: Record, spec: AppSpec) -> bool:
    """Tell whether the bare tag has been deployed before: then it is no first deployment."""
    revisions = {known.revision for known in (record.good, *record.previous) if known is not None}
    if record.deployment is not None:
        revisions.add(record.deployment.revision)
    if record.rejection is not None:
        revisions.add(record.rejection.revision)
    return spec.revision in revisions


def _sentence(tag: KnownTag, was: str | None) -> str:
    if not tag.is_pinned:
        return f"{tag.image} is {tag.digest}, which is what the tag alone runs"
    before = f", it was {was}" if was is not None else ""
    return f"{tag.image} is {tag.digest} now{before}: that is deployed"

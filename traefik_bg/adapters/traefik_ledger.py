"""What every Traefik may still be running, and for how long what is published has been in force.

The router adds an edition before it is written, the confirmation tells which one each Traefik
shows. A Traefik may run the edition it showed last or any later one; so an app's part is confirmed
while it is the same in all of those, and a change of another app's part interrupts nothing. One
Traefik that is not known makes everything unknown: all timers start again when it is back (S5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from traefik_bg.adapters.traefik_publication import Edition
from traefik_bg.core.model import AppName, ReplicaName, Routing
from traefik_bg.core.ports import RoutingState

EDITIONS_KEPT = 64  # unconfirmed ones; a Traefik that shows one we forgot counts as unknown
UNROUTED_KEPT = 3600.0  # seconds; then "since the watch began" says the same to any drain


@dataclass(slots=True, kw_only=True)
class _Timers:
    """Since when things are so for one app; None: they are not."""

    part: float | None = None
    weights: float | None = None
    unrouted: dict[ReplicaName, float] = field(default_factory=dict)
    routable: frozenset[ReplicaName] = frozenset()


@dataclass(frozen=True, slots=True)
class Changed:
    """Whom a new fact concerns."""

    apps: frozenset[AppName] = frozenset()
    is_everyone: bool = False


class Ledger:
    """Keeps the editions that may be running and the timers of every app."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._editions: list[Edition] = []
        self._seen: Mapping[str, int | None] = {}
        self._timers: dict[AppName, _Timers] = {}
        self._watched: float | None = None

    @property
    def newest(self) -> Edition | None:
        """The newest edition, be it written or just being written."""
        return self._editions[-1] if self._editions else None

    def number(self, marker: str) -> int | None:
        """Return the number of the edition with this marker, if it may still be running."""
        found = (edition.number for edition in self._editions if edition.marker == marker)
        return next(found, None)

    def add(self, edition: Edition) -> None:
        """Note an edition that is about to be written: from now on it may be running."""
        changed = difference(self.newest, edition)
        self._editions.append(edition)
        if len(self._editions) > EDITIONS_KEPT:
            del self._editions[1]
        self._refresh(changed)

    def withdraw(self, edition: Edition) -> None:
        """Note that an edition was not written after all."""
        self._editions.remove(edition)
        self._refresh(difference(self.newest, edition))

    def amend(self, parts: Mapping[AppName, Routing]) -> Edition:
        """Note other routings that Traefik is told with the very same words."""
        last = self._editions[-1]
        self._editions[-1] = amended = replace(last, parts=parts)
        self._refresh(difference(last, amended))
        return amended

    def observe(self, seen: Mapping[str, int | None]) -> Changed:
        """Note which edition each Traefik shows; None: an unknown one, or it does not answer."""
        before = self._oldest
        self._seen = dict(seen)
        now = self._oldest
        if now == before:
            return Changed()
        if now is None or before is None:
            self._watched = None if now is None else self._clock()
            self._refresh(self._timers)
            self._forget()
            return Changed(is_everyone=True)
        apps = self._refresh(self._differences(min(before, now), max(before, now)))
        self._forget()
        return Changed(apps)

    def state(self, app: AppName, published: Edition | None) -> RoutingState:
        """Return what is known of an app, in durations."""
        timers = self._timers.get(app) or _Timers(part=self._watched, weights=self._watched)
        now = self._clock()

        def since(moment: float | None) -> float | None:
            return None if moment is None else now - moment

        return RoutingState(
            published=published.parts.get(app) if published is not None else None,
            confirmed_for=since(timers.part),
            weights_for=since(timers.weights),
            unrouted={name: now - moment for name, moment in timers.unrouted.items()},
            routable=timers.routable,
            watched_for=since(self._watched),
        )

    @property
    def _oldest(self) -> int | None:
        """The number of the oldest edition that may be running; None: it cannot be known."""
        if not self._seen:
            return None
        numbers = [number for number in self._seen.values() if number is not None]
        return min(numbers) if len(numbers) == len(self._seen) else None

    def _forget(self) -> None:
        oldest = self._oldest
        if oldest is not None:
            self._editions = [e for e in self._editions if e.number >= oldest]

    def _differences(self, first: int, last: int) -> set[AppName]:
        span = [e for e in self._editions if first <= e.number <= last]
        return set().union(*(difference(a, b) for a, b in pairwise(span)))

    def _refresh(self, apps: Iterable[AppName]) -> frozenset[AppName]:
        """Bring the timers of these apps up to date; return those for whom it matters."""
        oldest, now = self._oldest, self._clock()
        possible = [e for e in self._editions if oldest is None or e.number >= oldest]
        return frozenset(
            app
            for app in tuple(apps)
            if self._refresh_one(app, [e.parts.get(app) for e in possible], now)
        )

    def _refresh_one(self, app: AppName, parts: Sequence[Routing | None], now: float) -> bool:
        timers = self._timers.setdefault(app, _Timers())
        before = (timers.part is None, timers.weights is None, timers.routable)
        routable = frozenset(s.replica for part in parts if part for s in part.servers)
        if self._watched is None:
            timers.part = timers.weights = None
            timers.unrouted.clear()
        else:
            timers.part = _since(timers.part, now, parts)
            splits = [part.split if part else None for part in parts]
            timers.weights = _since(timers.weights, now, splits)
            timers.unrouted |= dict.fromkeys(timers.routable - routable, now)
            timers.unrouted = {
                name: moment
                for name, moment in timers.unrouted.items()
                if name not in routable and now - moment < UNROUTED_KEPT
            }
        timers.routable = routable
        if not any(parts) and not timers.unrouted and self._watched is not None:
            del self._timers[app]
        return before != (timers.part is None, timers.weights is None, timers.routable)


def _since(moment: float | None, now: float, values: Sequence[object]) -> float | None:
    """Return since when all values are one: since then, since now, or not at all."""
    if any(value != values[-1] for value in values[:-1]):
        return None
    return now if moment is None else moment


def difference(one: Edition | None, other: Edition) -> frozenset[AppName]:
    """Return the apps whose part differs."""
    before = one.parts if one is not None else {}
    return frozenset(
        app
        for app in before.keys() | other.parts.keys()
        if before.get(app) is not other.parts.get(app)  # most are the very same object
        and before.get(app) != other.parts.get(app)
    )

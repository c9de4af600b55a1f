"""Whether green really gets the share it was given: the clock of a canary's step.

Separate from the figures because it judges Traefik, not green: Traefik's weighted round robin
begins anew at every reload of anything, and gives the light side its first request only after about
100/weight others. Where reloads come more often than that, a canary gets nothing at all (measured:
0 of 3000 requests at 99 to 1 with a reload every 50), and a pause that runs out proves nothing.
Pure: the runtime feeds it the intervals between two samples.

The rule. Time is gathered into a stretch until green was due `TELLABLE` requests in it. If it got
half of that or more, all of the stretch counts. If not, the stretch goes on uncounted: several
Traefiks have a round robin each, and may all be about to give green its turn. If green is still
short when `LOST` requests were due, the stretch is over and never counts. A stretch in which fewer
than `TELLABLE` were due counts for the time being: nobody can tell, and an app without visitors
would never be deployed. So what was counted may be taken back, by one stretch at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

TELLABLE = 3.0
"""Requests due to green below which nothing follows from how many it got: with one Traefik the
round robin is off by one at most."""
LOST = 12.0
"""Requests due at which the round robins of a handful of Traefiks have had their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """How long green got its share, so far."""

    decided: float = 0.0
    """Seconds of stretches that are over and count."""
    stretch: float = 0.0
    """Seconds of the present one."""
    due: float = 0.0
    got: float = 0.0
    was_starved: bool = False
    """Whether the last stretch that is over did not count."""

    def after(self, seconds: float, *, due: float, got: float) -> Feeding:
        """Return it after one more interval, in which green was due some requests, and got some."""
        now = replace(self, stretch=self.stretch + seconds, due=self.due + due, got=self.got + got)
        if now.due < TELLABLE:
            return now
        if not now.is_short:
            return Feeding(decided=now.decided + now.stretch)
        if now.due < LOST:
            return now
        return Feeding(decided=now.decided, was_starved=True)

    @property
    def is_short(self) -> bool:
        """Tell whether green has not got what it was due in the present stretch."""
        return self.due >= TELLABLE and 2 * self.got < self.due

    def fed_for(self, since: float = 0.0) -> float:
        """Return the seconds that count, `since` of them after the last interval.

        These count as well, unless green was starved just now.
        """
        if self.is_short:
            return self.decided
        return self.decided + self.stretch + (0.0 if self.was_starved else since)


def share(*, asked: float, got: float, due: float) -> float | None:
    """Return the percentage of all requests that green got; None: too few to tell."""
    return 100.0 * got / asked if asked > 0 and due >= TELLABLE else None

"""Judges a load: what was lost, who answered when, what was cut, and how far to believe it.

Made by the controller at any moment, of the lines the generator has written by then. Pure: it reads
no clock and no file. Instants are `time.monotonic()` seconds or the names of marks.

A report has three verdicts and keeps them apart: losses (the system under test failed), faults (the
meter failed, so the report proves nothing) and slips (the meter was late, so latencies look worse
than they were, never better).
"""

from __future__ import annotations

import dataclasses
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path

from integration.meter.exchange import Ended, Exchange, Kind, Loss, WebsocketLife
from integration.meter.load import Load

Instant = float | str

LONGEST_SLIP = 1.0  # later than this the load had a hole that a whole cutover fits in
LISTED = 20  # so many losses one by one; `as_json` has them all
COLUMNS = ("from", "seconds", "requests", "lost", "p50", "p99", "worst", "answered by")
STEADY = frozenset({Kind.GET, Kind.POST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that one load has seen so far."""

    load: Load
    began: float
    until: float  # when the load was stopped, or when this report was made
    exchanges: Sequence[Exchange]  # in the order in which they ended
    lives: Sequence[WebsocketLife]
    marks: Mapping[str, float] = field(default_factory=dict)
    ended: Ended | None = None  # None: the load is still running
    stopped_late: bool = False  # the load had reached its bound before it was stopped

    # ---- losses --------------------------------------------------------------------------------

    def lost(
        self, after: Instant | None = None, before: Instant | None = None
    ) -> tuple[Exchange, ...]:
        """Return the requests of any kind that got no right answer; those open in that span."""
        low, high = self.at(after, -inf), self.at(before, inf)
        return tuple(
            exchange
            for exchange in self.exchanges[self._first_ended_at(low) :]
            if exchange.is_lost and exchange.started < high
        )

    def slow_cuts(self) -> tuple[Exchange, ...]:
        """Return the slow requests that did not come to their end."""
        return tuple(exchange for exchange in self.lost() if exchange.kind is Kind.SLOW)

    def websocket_cuts(self, after: Instant | None = None) -> tuple[WebsocketLife, ...]:
        """Return the websockets that ended although the meter had not closed them."""
        low = self.at(after, -inf)
        return tuple(life for life in self.lives if life.cut is not None and life.ended >= low)

    # ---- who answered --------------------------------------------------------------------------

    def answers_between(self, after: Instant, before: Instant) -> tuple[Exchange, ...]:
        """Return the answered requests that were sent in that span, whatever the answer was."""
        low, high = self.at(after), self.at(before)
        return tuple(
            exchange
            for exchange in self.exchanges[self._first_ended_at(low) :]
            if exchange.status is not None and low <= exchange.started < high
        )

    def versions_between(self, after: Instant, before: Instant) -> Counter[str]:
        """Count the answers to what was sent in that span by version; '' is one without a name."""
        return Counter(exchange.version for exchange in self.answers_between(after, before))

    def replicas_between(self, after: Instant, before: Instant) -> Counter[str]:
        """Count the answers to what was sent in that span by replica."""
        return Counter(exchange.replica for exchange in self.answers_between(after, before))

    def first_answer_from(self, version: str, after: Instant | None = None) -> Exchange | None:
        """Return the first answer of this version to arrive after that instant, if any came."""
        low = self.at(after, -inf)
        for exchange in self.exchanges[self._first_ended_at(low) :]:
            if exchange.version == version:
                return exchange
        return None

    def last_sent_to(self, version: str) -> Exchange | None:
        """Return the request that was sent last of those this version answered.

        The one to compare with a confirmed cutover: answers may well arrive after it.
        """
        of_version = (exchange for exchange in self.exchanges if exchange.version == version)
        return max(of_version, key=lambda exchange: exchange.started, default=None)

    def latency(
        self, quantile: float, after: Instant | None = None, before: Instant | None = None
    ) -> float:
        """Return a quantile (1.0: the worst) of the steady requests' latency, in seconds."""
        low, high = self.at(after, -inf), self.at(before, inf)
        values = sorted(
            exchange.latency
            for exchange in self.exchanges
            if exchange.kind in STEADY and low <= exchange.scheduled < high
        )
        return values[min(int(quantile * len(values)), len(values) - 1)] if values else 0.0

    # ---- how far to believe it -----------------------------------------------------------------

    def late(self) -> tuple[Exchange, ...]:
        """Return the requests that the meter itself sent late."""
        return tuple(x for x in self.exchanges if x.slip > self.load.slip_limit)

    def worst_slip(self) -> float:
        """Return how late the latest of them was."""
        return max((exchange.slip for exchange in self.exchanges), default=0.0)

    def cpu_share(self) -> float | None:
        """Return the generator's use of one core while it ran; None while it still runs."""
        if self.ended is None:
            return None
        return self.ended.cpu_seconds / max(self.ended.stopped - self.ended.began, 0.001)

    def faults(self) -> tuple[str, ...]:
        """Say why this report proves nothing; empty when it does prove something."""
        faults = []
        own = Counter(exchange.own_fault for exchange in self.exchanges if exchange.own_fault)
        faults += [f"{times} requests: {fault}" for fault, times in own.items()]
        if not self.exchanges:
            faults.append("nothing was measured")
        if self.worst_slip() > LONGEST_SLIP:
            faults.append(f"the meter stood still: a request was {_ms(self.worst_slip())} late")
        if self.ended is not None:
            missing = sum(self.ended.sent.values()) - len(self.exchanges)
            if missing:
                faults.append(f"{missing} requests were sent and never written down")
        if self.stopped_late:
            faults.append(f"the load ended at its bound of {self.load.seconds:g} s, too early")
        return tuple(faults)

    def proves_no_loss(self) -> bool:
        """Nothing was lost, and the meter can vouch for it."""
        return not self.lost() and not self.faults()

    # ---- for people ----------------------------------------------------------------------------

    def sentence(self) -> str:
        """Say it all in plain words, on one line."""
        steady = [exchange for exchange in self.exchanges if exchange.kind in STEADY]
        slow = sum(exchange.kind is Kind.SLOW for exchange in self.exchanges)
        posts = sum(exchange.kind is Kind.POST for exchange in steady)
        fresh = sum(exchange.fresh for exchange in steady)
        quantiles = "p50 {}, p99 {}, worst {}".format(
            *(_ms(self.latency(quantile)) for quantile in (0.5, 0.99, 1.0))
        )
        losses = _listed(self._losses(), start=" (", end=")")
        seconds = f"{self.until - self.began:.1f} s"
        words = [
            f"{len(self.lost())} of {len(self.exchanges):,} requests lost in {seconds}{losses}",
            f"{len(steady):,} at {self.load.rate:g}/s, {posts:,} POST, {fresh:,} freshly connected",
            quantiles,
            f"answered by {_listed(self._versions(self.exchanges)) or 'nobody'}",
        ]
        if slow:
            words.append(f"{len(self.slow_cuts())} of {slow:,} slow requests cut")
        if self.load.websockets:
            by = Counter(str(life.cut) for life in self.websocket_cuts())
            words.append(
                f"{self.load.websockets} websockets cut {by.total()} times"
                f"{_listed(by, start=' (', end=')')}"
            )
        if late := len(self.late()):
            words.append(f"the meter itself was late {late} times, by {_ms(self.worst_slip())}")
        faults = "; ".join(self.faults())
        return "; ".join(words) + "." + (f" PROVES NOTHING: {faults}." if faults else "")

    def table(self) -> str:
        """Lay it out between the marks, one row for each span, then every loss and cut."""
        rows: list[tuple[str, ...]] = [
            ("from", "seconds", "requests", "lost", "p50", "p99", "worst", "answered by")
        ]
        edges = [("start", self.began), *sorted(self.marks.items(), key=lambda mark: mark[1])]
        for (name, low), (_, high) in pairwise([*edges, ("end", inf)]):
            within = [x for x in self.exchanges if low <= x.scheduled < high]
            rows.append(
                (
                    name,
                    f"{min(high, self.until) - low:.2f}",
                    f"{len(within)}",
                    f"{sum(exchange.is_lost for exchange in within)}",
                    *(_ms(self.latency(quantile, low, high)) for quantile in (0.5, 0.99, 1.0)),
                    _listed(self._versions(within)),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column in {0, 7} else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lost, cuts = self.lost(), self.websocket_cuts()
        lines += [f"lost {self._when(x.ended)}: {x.sentence()}" for x in lost[:LISTED]]
        lines += [f"and {len(lost) - LISTED:,} more lost"] if len(lost) > LISTED else []
        lines += [f"{life.sentence()} {self._when(life.ended)}" for life in cuts[:LISTED]]
        lines += [f"and {len(cuts) - LISTED:,} more cut"] if len(cuts) > LISTED else []
        return "\n".join(lines)

    def as_json(self, *, exchanges: bool = False) -> dict[str, object]:
        """Return it for machines; every single request too, when asked. Instants from the start."""
        values: dict[str, object] = {
            "sentence": self.sentence(),
            "proves_no_loss": self.proves_no_loss(),
            "load": dataclasses.asdict(self.load),
            "seconds": self.until - self.began,
            "requests": Counter(exchange.kind for exchange in self.exchanges),
            "versions": self._versions(self.exchanges),
            "latency": {str(q): self.latency(q) for q in (0.5, 0.9, 0.99, 0.999, 1.0)},
            "marks": {name: at - self.began for name, at in self.marks.items()},
            "lost": [self._as_json(exchange) for exchange in self.lost()],
            "websocket_cuts": [self._as_json(life) for life in self.websocket_cuts()],
            "faults": self.faults(),
            "late": len(self.late()),
            "worst_slip": self.worst_slip(),
            "idle_closed": self.ended.idle_closed if self.ended else None,
            "cpu_share": self.cpu_share(),
        }
        if exchanges:
            values["exchanges"] = [self._as_json(exchange) for exchange in self.exchanges]
            values["websockets"] = [self._as_json(life) for life in self.lives]
        return values

    def write_json(self, path: Path, *, exchanges: bool = False) -> None:
        """Write `as_json` to a file."""
        path.write_text(json.dumps(self.as_json(exchanges=exchanges), indent=1) + "\n")

    def at(self, instant: Instant | None, default: float = -inf) -> float:
        """Return the instant of a mark, or the instant itself.

        Raises:
            KeyError: no mark has this name.
        """
        if isinstance(instant, str):
            if instant not in self.marks:
                raise KeyError(f"no mark is named {instant!r}; there are {list(self.marks)}")
            return self.marks[instant]
        return default if instant is None else instant

    # ---- within --------------------------------------------------------------------------------

    def _first_ended_at(self, low: float) -> int:
        return bisect_left(self.exchanges, low, key=lambda exchange: exchange.ended)

    def _versions(self, exchanges: Sequence[Exchange]) -> Counter[str]:
        answered = (exchange for exchange in exchanges if exchange.loss is None)
        return Counter(exchange.version or "(no name)" for exchange in answered)

    def _losses(self) -> Counter[str]:
        return Counter(
            f"{x.loss} {x.status}" if x.loss is Loss.STATUS else str(x.loss) for x in self.lost()
        )

    def _when(self, instant: float) -> str:
        return f"at {instant - self.began:.3f} s"

    def _as_json(self, line: Exchange | WebsocketLife) -> dict[str, object]:
        instants = {"scheduled", "started", "ended", "opened"}
        return {
            name: value - self.began if name in instants else value
            for name, value in dataclasses.asdict(line).items()
        }


def _listed(counted: Counter[str], start: str = "", end: str = "") -> str:
    words = ", ".join(f"{name} {times:,}" for name, times in sorted(counted.items()))
    return f"{start}{words}{end}" if words else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"

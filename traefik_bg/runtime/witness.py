"""Watches what Traefik counts of one app while green is judged, and tells it as evidence.

Separate from the observer because sampling goes on between looks, and a look never waits for a slow
Traefik: it reads what is known. Each sample says "look again". The samples are those of one split;
another split, or one that is not confirmed any more, begins anew, as does a restart of the service:
that costs time only (law L4).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from traefik_bg.core.errors import Unavailable
from traefik_bg.core.evidence import Evidence, Tally
from traefik_bg.core.feeding import Feeding, share
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.ports import Meter, Wake
from traefik_bg.core.tally import figures, increase
from traefik_bg.runtime.exposure import Exposure

SAMPLE_EVERY = 1.0  # seconds; the first one too, so that a shared answer is newer than the split
PATIENCE = 5.0  # seconds without a sample after which nothing is known
MOST_SAMPLES = 120  # kept of a window; a longer one is as exact as a hundredth of it

log = structlog.get_logger()

Tallies = Mapping[RevisionId, Tally]


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    tallies: Tallies


@dataclass(slots=True)
class _Case:
    """What is known of green under one split."""

    exposure: Exposure
    heard_at: float
    """When there was a sample last, or since when there is to be one."""
    samples: deque[_Sample] = field(default_factory=deque)
    first: _Sample | None = None
    feeding: Feeding = field(default_factory=Feeding)
    task: asyncio.Task[None] | None = None


class Witness:
    """What Traefik counted of one app since the present split."""

    def __init__(self, app: AppName, meter: Meter, wake: Wake) -> None:
        self._app = app
        self._meter = meter
        self._wake = wake
        self._case: _Case | None = None
        self._said = ""
        """What the meter said last, while it fails."""
        self._is_told = False

    def read(self, exposure: Exposure | None) -> Evidence | None:
        """Return what is known; begin to watch what is exposed, or stop where nothing is."""
        case, now = self._case, asyncio.get_running_loop().time()
        if exposure is None:
            self._dismiss()
            return None
        if case is None or case.exposure.key != exposure.key:
            self._dismiss()
            case = self._case = _Case(exposure, now)
            case.task = asyncio.create_task(self._watch(case), name=f"witness of {self._app}")
        case.exposure = exposure
        return None if self._is_blind(case, now) else _evidence(case, now)

    @property
    def trouble(self) -> str:
        """Why nothing is known, for people; empty when something is, or need not be."""
        case, now = self._case, asyncio.get_running_loop().time()
        if case is None or not self._is_blind(case, now):
            return ""
        return self._said or f"nothing was heard for {now - case.heard_at:.0f} s"

    @staticmethod
    def _is_blind(case: _Case, now: float) -> bool:
        return now - case.heard_at >= PATIENCE

    # --- watching ---------------------------------------------------------------------------------

    async def _watch(self, case: _Case) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            try:
                tallies = await self._meter.tallies(self._app)
            except Unavailable as error:
                self._miss(case, str(error))
            except Exception as error:
                # Our own mistake says nothing about green: what is known of it grows old.
                if not self._said:
                    log.exception("evidence.failed", app=self._app)
                self._miss(case, f"internal error, please report this: {error!r}")
            else:
                self._take(case, _Sample(loop.time(), tallies))

    def _miss(self, case: _Case, reason: str) -> None:
        self._said = reason
        if self._is_blind(case, asyncio.get_running_loop().time()) and not self._is_told:
            self._is_told = True  # an outage is told once, whatever splits it lasts for
            log.warning("evidence.lost", app=self._app, reason=reason)
            self._wake(self._app)

    def _take(self, case: _Case, sample: _Sample) -> None:
        if self._is_told:
            log.info("evidence.found", app=self._app)
        self._said, self._is_told = "", False
        seconds = sample.at - case.heard_at
        before = case.samples[-1] if case.samples else None
        if before is None:
            case.first = sample
            case.feeding = case.feeding.after(seconds, due=0, got=0)
        else:
            portion = case.exposure.portion(_grown(before, sample))
            case.feeding = case.feeding.after(seconds, due=portion.due, got=portion.got)
        case.heard_at = sample.at
        _keep(case.samples, sample, case.exposure.window)
        self._wake(self._app)

    def _dismiss(self) -> None:
        if self._case is not None and self._case.task is not None:
            self._case.task.cancel()
        self._case = None

    async def close(self) -> None:
        """End the watching."""
        task = self._case.task if self._case is not None else None
        self._dismiss()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)


# --- what the samples say -------------------------------------------------------------------------


def _keep(samples: deque[_Sample], sample: _Sample, window: float) -> None:
    """Add a sample, and let go of what the window does not need."""
    if len(samples) >= 2 and samples[-1].at - samples[-2].at < window / MOST_SAMPLES:
        samples.pop()
    samples.append(sample)
    # The one before it stays, or a window shorter than a sample would be empty for ever.
    while len(samples) > 2 and samples[0].at < sample.at - window:
        samples.popleft()


def _grown(before: _Sample, now: _Sample) -> Tallies:
    return {
        revision: increase(before.tallies.get(revision, Tally()), tally)
        for revision, tally in now.tallies.items()
    }


def _evidence(case: _Case, now: float) -> Evidence:
    exposure, samples = case.exposure, case.samples
    fed_for = case.feeding.fed_for(since=now - case.heard_at)
    counted = _grown(samples[0], samples[-1]) if samples else {}
    found = {
        revision: figures(counted.get(revision, Tally()))
        for revision in sorted({*exposure.revisions, *counted})
    }
    since = _grown(case.first, samples[-1]) if case.first is not None else {}
    portion = exposure.portion(since)
    return Evidence(
        figures=found,
        share=share(asked=portion.asked, got=portion.got, due=portion.due),
        fed_for=fed_for,
    )

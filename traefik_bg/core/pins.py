"""What exactly a revision runs: tags move, so the content is remembered beside the spec.

A replica that is added later, and a rollback to a revision that is gone, get the same content as
those before them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traefik_bg.core.model import AppSpec, RevisionId
from traefik_bg.core.observation import HookRun, Observation, Replica
from traefik_bg.core.record import Pin, Record


def pinned(seen: Observation, record: Record) -> Record:
    """Return the record with the content of every revision that can be seen and may come back."""
    known = {spec.revision for spec in (record.good, *record.previous) if spec is not None}
    if record.deployment is not None:
        known.add(record.deployment.revision)
    pins = {pin.revision: pin for pin in record.pins if pin.revision in known}
    sources: tuple[HookRun | Replica, ...] = (*_hooks(seen, record), *seen.replicas)
    for found in sources:
        if found.revision in known and found.revision not in pins and found.image_id:
            pins[found.revision] = Pin(
                revision=found.revision, image_id=found.image_id, digest=found.image_digest
            )
    now = tuple(pins[revision] for revision in sorted(pins))
    return record if now == record.pins else replace(record, pins=now)


def _hooks(seen: Observation, record: Record) -> Iterator[HookRun]:
    """Yield the hooks of the deployment under way: green is made of what has migrated for it."""
    deployment = record.deployment
    for run in seen.hooks:
        if deployment is not None and run.deployment == deployment.number:
            yield run


def is_seen_anew(seen: Observation, record: Record) -> bool:
    """Tell whether green can be seen, and nobody has remembered yet what it runs.

    The tag may move at any moment, so its further replicas must not be made from it.
    """
    green = record.deployment.revision if record.deployment is not None else None
    if green is None or pin_of(green, record) is not None:
        return False
    return any(replica.revision == green and replica.image_id for replica in seen.replicas)


def contents(seen: Observation, record: Record) -> dict[RevisionId, str]:
    """Return what exactly each revision runs or ran: where to have it, or else its ID here."""
    found = {r.revision: r.image_digest or r.image_id for r in seen.replicas if r.image_id}
    return found | {pin.revision: pin.digest or pin.image_id for pin in record.pins}


def ways_to_have(spec: AppSpec, record: Record) -> tuple[str, ...]:
    """Return by what names the spec's image may be had, the exact ones first."""
    pin = pin_of(spec.revision, record)
    exact = () if pin is None else (pin.image_id, pin.digest)
    return tuple(dict.fromkeys(name for name in (*exact, spec.image) if name))


def image_for(spec: AppSpec, seen: Observation, record: Record) -> str:
    """Return what to create the spec's replicas from, or what to pull for it first.

    What is not known to be gone is taken to be here: trying tells. The tag, which may have moved,
    is the last resort, even if there is something of that name.
    """
    pin = pin_of(spec.revision, record)
    if pin is None:
        return spec.image
    if seen.images.get(pin.image_id, True):
        return pin.image_id
    return pin.digest if pin.digest and pin.digest not in seen.refusals else spec.image


def named(spec: AppSpec, seen: Observation, record: Record) -> str:
    """Return the image in words: people must know when a revision comes back as something else."""
    is_other = pin_of(spec.revision, record) and image_for(spec, seen, record) == spec.image
    return f"{spec.image}{'; the very image it ran cannot be had any more' if is_other else ''}"


def is_looked_for(spec: AppSpec, seen: Observation, record: Record) -> bool:
    """Tell whether this look knows if the exact content is here (S5).

    One that began before a rollback was ordered had no reason to look for it.
    """
    pin = pin_of(spec.revision, record)
    return pin is None or not pin.image_id or pin.image_id in seen.images


def pin_of(revision: RevisionId, record: Record) -> Pin | None:
    """Return what exactly a revision ran; None: nobody has seen it."""
    return next((pin for pin in record.pins if pin.revision == revision), None)

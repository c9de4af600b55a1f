"""What an operator can say, as changes to the record; the planner then does the rest.

Separate because a command is remembered, not carried out: it survives a crash like everything else
in the record, and what follows from it is decided where everything is decided. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import AppSpec, RevisionId
from traefik_bg.core.pins import pin_of
from traefik_bg.core.record import Record, Rejection, Waiver
from traefik_bg.core.situation import FULL, Situation


class Verb(StrEnum):
    """The commands."""

    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """What a command changed, and the sentence to answer."""

    record: Record
    sentence: str
    endings: tuple[Ending, ...] = ()


def obey(
    verb: Verb, s: Situation, *, to: RevisionId | None = None, is_full: bool = False
) -> Obeyed:
    """Return the record as the command wants it.

    `to` is where a rollback goes, `is_full` has a promotion leave out all further steps.

    Raises:
        CommandRefused: the command makes no sense now; the message says what would.
    """
    match verb:
        case Verb.PROMOTE:
            return _promote(s, is_full=is_full)
        case Verb.PAUSE:
            return _pause(s)
        case Verb.RESUME:
            return _resume(s)
        case Verb.ABORT:
            return _abort(s)
        case Verb.RETRY:
            return _retry(s)
        case Verb.ROLLBACK:
            return _rollback(s, to)


def _promote(s: Situation, *, is_full: bool) -> Obeyed:
    deployment = s.record.deployment
    if deployment is None or s.target is None:
        raise CommandRefused(f"{s.seen.app}: no deployment is under way, nothing to promote")
    is_ready = s.is_complete or (s.is_exclusive and bool(s.occupants))
    if not is_ready:
        raise CommandRefused(
            f"{s.seen.app}: {deployment.revision} is not healthy yet "
            f"({len(s.proven_replicas)} of {s.target.replicas} replicas); it cannot be promoted"
        )
    waiver = Waiver(revision=deployment.revision, weight=s.weight, is_full=is_full)
    if is_full and s.weight < FULL:
        sentence = f"{deployment.revision} gets all traffic now; its bake is not left out"
    elif s.weight == FULL:
        after = Moment.AFTER_CUTOVER
        is_awaited = s.target.hook(after) is not None and deployment.ran(after) is None
        until = f", when {after} has ended" if is_awaited else ""
        sentence = (
            f"{deployment.revision} becomes the good revision without waiting any longer{until}"
        )
    else:
        sentence = f"{deployment.revision} goes on from {s.weight} % without waiting any longer"
    return Obeyed(record=replace(s.record, waiver=waiver), sentence=sentence)


def _pause(s: Situation) -> Obeyed:
    if s.record.paused:
        raise CommandRefused(f"{s.seen.app} is paused already; resume lets it go on")
    return Obeyed(
        record=replace(s.record, paused=True),
        sentence=f"{s.seen.app} is paused: nothing but repairs until resume",
    )


def _resume(s: Situation) -> Obeyed:
    if not s.record.paused:
        raise CommandRefused(f"{s.seen.app} is not paused")
    return Obeyed(record=replace(s.record, paused=False), sentence=f"{s.seen.app} goes on")


def _abort(s: Situation) -> Obeyed:
    if s.record.deployment is None or s.target is None:
        raise CommandRefused(
            f"{s.seen.app}: no deployment is under way; to go back to an earlier revision "
            "use rollback"
        )
    return _turn_down(s, s.target, "aborted by the operator", Outcome.ABORTED)


def _turn_down(s: Situation, spec: AppSpec, reason: str, outcome: Outcome) -> Obeyed:
    deployment = s.record.deployment
    blue = deployment.blue if deployment is not None else None
    rejection = Rejection(spec=spec.digest, revision=spec.revision, reason=reason, blue=blue)
    record = replace(s.record, rejection=rejection, deployment=None, waiver=None, paused=False)
    lines = deployment.lines if deployment is not None else ()
    ending = Ending(outcome=outcome, revision=spec.revision, reason=reason, log=lines)
    back = s.record.good
    where = f"back to {back.revision} ({back.image})" if back else "there is nothing to go back to"
    if back is None and s.record.adopted:
        where = f"back to {', '.join(s.record.adopted)}"
    return Obeyed(record=record, sentence=f"{spec.revision} {reason}; {where}", endings=(ending,))


def _retry(s: Situation) -> Obeyed:
    if s.record.rejection is None or not s.is_rejected:
        raise CommandRefused(f"{s.seen.app}: what is desired is not rejected, nothing to retry")
    return Obeyed(
        record=replace(s.record, rejection=None),
        sentence=f"{s.record.rejection.revision} is tried once more",
    )


def _rollback(s: Situation, to: RevisionId | None) -> Obeyed:
    desired = s.seen.desired
    if desired is None:
        raise CommandRefused(f"{s.seen.app} is not desired any more; there is nothing to roll back")
    if s.record.deployment is not None and s.target is not None and to is None:
        return _turn_down(s, s.target, "rolled back by the operator", Outcome.ABORTED)
    choices = s.record.previous
    if not choices:
        raise CommandRefused(f"{s.seen.app}: no earlier good revision is known")
    spec = choices[0] if to is None else next((c for c in choices if c.revision == to), None)
    if spec is None:
        known = ", ".join(f"{choice.revision} ({choice.image})" for choice in choices)
        raise CommandRefused(f"{s.seen.app}: {to} is not known; rollback can go to {known}")
    return _go_back(s, desired, spec)


def _go_back(s: Situation, desired: AppSpec, spec: AppSpec) -> Obeyed:
    reason = f"rolled back to {spec.revision} by the operator"
    good = s.record.good
    rest = tuple(c for c in s.record.previous if c.revision != spec.revision)
    kept = (good,) if good is not None and good.revision != spec.revision else ()
    endings: tuple[Ending, ...] = ()
    if s.record.deployment is not None:
        endings = (
            Ending(
                outcome=Outcome.ABORTED,
                revision=s.record.deployment.revision,
                reason=reason,
                log=s.record.deployment.lines,
            ),
        )
    record = replace(
        s.record,
        good=spec,
        previous=(*kept, *rest),
        rejection=Rejection(spec=desired.digest, revision=desired.revision, reason=reason),
        deployment=None,
        waiver=None,
        paused=False,
    )
    pin = pin_of(spec.revision, s.record)
    exactly = f", the very image it ran: {pin.digest or pin.image_id}" if pin is not None else ""
    sentence = (
        f"going back to {spec.revision} ({spec.image}{exactly}); "
        "the desired state stays aside until it is edited"
    )
    return Obeyed(record=record, sentence=sentence, endings=endings)

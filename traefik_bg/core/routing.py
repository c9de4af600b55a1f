"""What Traefik should be told: the routing that gives the target a certain weight.

Separate from the rules that choose the weight, because whatever the weight, only what can serve
may be in it (S1, S7). Pure.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from traefik_bg.core.model import (
    ADOPTED,
    AppSpec,
    MirrorShare,
    PreviewShare,
    RevisionId,
    Routing,
    Share,
)
from traefik_bg.core.rollout import Rollout, Sessions
from traefik_bg.core.situation import FULL, Situation


def routing_at(situation: Situation, weight: int) -> Routing:
    """Return the routing that gives the target this weight, and blue the rest.

    Only replicas that can serve are in it. Where only one side is alive it gets everything; where
    none is, what is published stays, less the dead. While requests are held they stay so, until the
    target can have them.
    """
    s = situation
    target, blue = s.target, s.blue
    green = _share(s, target.revision, weight) if target else None
    shares: tuple[Share, ...]
    is_awaited = target is not None or blue in {None, s.bad}
    if s.is_holding and not (green and weight > 0):
        is_nobody_there = green is None and blue is None  # the strategy may be another one by now
        if is_nobody_there or (s.is_exclusive and is_awaited):
            return holding(s)
    if green is not None and (weight > 0 or blue is None):
        if blue is None or weight >= FULL:
            shares = (replace(green, weight=FULL),)
        else:
            rest = Share(revision=blue, weight=FULL - weight, servers=s.servers(blue))
            shares = (rest, green)
    elif blue is not None:
        shares = (Share(revision=blue, weight=FULL, servers=s.servers(blue)),)
    else:
        shares = _survivors(s)
    return _dressed(s, shares)


def holding(s: Situation) -> Routing:
    """Return the routing in which requests wait, because nothing is to serve for a moment."""
    rollouts = [spec.rollout for spec in (s.seen.desired, s.target) if spec is not None]
    longest = max((r.hold_requests for r in rollouts), default=Rollout().hold_requests)
    routing = _dressed(s, ())
    return replace(routing, holds_for=longest, fallback=None, kept=None, preview=None, mirror=None)


def mirroring(s: Situation, target: AppSpec) -> Routing:
    """Return the routing in which the target gets copies of requests, and no traffic."""
    return replace(routing_at(s, 0), mirror=_copies(s, target))


def _copies(s: Situation, target: AppSpec) -> MirrorShare | None:
    """Return the copies that are wished for now; None: for nobody."""
    mirror, share = target.rollout.mirror, _share(s, target.revision, 0)
    if mirror is None or share is None:
        return None
    return MirrorShare(share=share, percent=mirror.percent, all_methods=mirror.all_methods)


def _share(s: Situation, revision: RevisionId, weight: int) -> Share | None:
    """Return what can serve of a revision; None when nothing can."""
    servers = s.servers(revision)
    return Share(revision=revision, weight=weight, servers=servers) if servers else None


def _survivors(situation: Situation) -> tuple[Share, ...]:
    """Return the published shares less what is dead: sick is better than nothing.

    What a share that is all dead had goes to the last one that is not.
    """
    running = {replica.name for replica in situation.replicas if situation.may_limp(replica)}
    kept = (
        replace(share, servers=tuple(s for s in share.servers if s.replica in running))
        for share in situation.routed.shares
    )
    limping = [share for share in kept if share.servers]
    if limping:
        rest = FULL - sum(share.weight for share in limping[:-1])
        limping[-1] = replace(limping[-1], weight=rest)
    return tuple(limping)


def _dressed(s: Situation, shares: tuple[Share, ...]) -> Routing:
    """Add all but the weights: routes change with the cutover, not before."""
    target, published = s.target, s.routed
    weights = {share.revision: share.weight for share in shares}
    has_all = target is not None and weights.get(target.revision) == FULL
    source: AppSpec | Routing = published
    is_new_here = s.blue == ADOPTED  # it never had other routes than the desired ones
    if target is not None and (has_all or is_new_here) and not needs_rehearsal(s):
        source = target
    if target is not None and s.seen.published is None:
        source = target
    is_pending = target is not None and published.trial == target.routes != source.routes
    keeps, loops = published.keeps_sessions, published.loops
    if target is not None and not s.is_held:
        keeps = target.rollout.sessions is Sessions.KEEP
        loops = loops or s.is_exclusive
    return Routing(
        shares=shares,
        routes=source.routes,
        sticky=source.sticky,
        keeps_sessions=keeps,
        loops=loops,
        trial=published.trial if is_pending else (),
        fallback=_fallback(s, weights.keys()),
        kept=_kept(s, weights.keys()) if keeps else None,
        preview=_preview(s),
        mirror=_mirror(s, weights.keys()),
    )


def _fallback(s: Situation, routed: AbstractSet[RevisionId]) -> Share | None:
    """Return blue, while green has traffic that blue can answer when it fails."""
    target = s.target
    if target is None or s.is_proven or not s.seen.guard_available or s.blue is None:
        return None
    if s.is_exclusive:
        return None  # it is to be stopped, and could never be while it may be asked
    return _share(s, s.blue, 0) if target.revision in routed else None


def _kept(s: Situation, routed: AbstractSet[RevisionId]) -> Share | None:
    """Return who answers the clients that began there, after it has lost its weight.

    Only what was good once: nobody is left on a version that was found wanting, and nobody on one
    that an operator goes back from.
    """
    before = s.routed.kept
    if before is not None:
        candidates = {before.revision} if sessions_left(s) > 0 else set()
    elif s.is_rejected:
        candidates = set()
    else:
        deployment = s.record.deployment
        specs = (s.record.good, *s.record.previous)
        candidates = {spec.revision for spec in specs if spec is not None}
        candidates |= {deployment.blue} if deployment is not None and deployment.blue else set()
        candidates &= s.routed.weights.keys()
    kept = next(iter(sorted(candidates - routed - {s.bad})), None)
    return _share(s, kept, 0) if kept is not None else None


def sessions_left(s: Situation) -> float:
    """Return for how many seconds clients may go on where they began; 0 when nobody does."""
    if s.routed.kept is None:
        return 0.0
    spec = s.seen.desired or s.record.good
    return max(0.0, (spec.rollout if spec else Rollout()).drain - s.stood_for)


def _preview(s: Situation) -> PreviewShare | None:
    """Return green for those who ask for it: from when it is healthy to the deployment's end."""
    target = s.target
    if target is None or s.is_proven or target.rollout.preview is None:
        return None
    before = s.routed.preview
    is_shown = before is not None and before.share.revision == target.revision
    share = _share(s, target.revision, 0) if is_shown or s.is_complete else None
    return PreviewShare(share=share, by=target.rollout.preview) if share is not None else None


def _mirror(s: Situation, routed: AbstractSet[RevisionId]) -> MirrorShare | None:
    """Return what gets copies now, less what is dead, while the deployment is that far."""
    target, before = s.target, s.routed.mirror
    if target is None or before is None or s.is_proven or target.rollout.mirror is None:
        return None
    if before.share.revision != target.revision or target.revision in routed:
        return None
    return _copies(s, target)


def needs_rehearsal(situation: Situation) -> bool:
    """Tell whether the target has routes that Traefik has not been seen to accept.

    A route that Traefik refuses answers 404 to everybody; so it is loaded first where no request
    reaches it.
    """
    target, published = situation.target, situation.seen.published
    if target is None or published is None or published.routes == target.routes:
        return False
    return published.trial != target.routes or not situation.is_confirmed

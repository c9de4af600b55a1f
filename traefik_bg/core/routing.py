"""What Traefik should be told: the routing that gives the target a certain weight.

Separate from the rules that choose the weight, because whatever the weight, only what can serve
may be in it (S1, S7). Pure.
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.model import AppSpec, Routing, Share
from traefik_bg.core.situation import FULL, Situation


def routing_at(situation: Situation, weight: int) -> Routing:
    """Return the routing that gives the target this weight, and blue the rest.

    Only replicas that can serve are in it. Where only one side is alive it gets everything; where
    none is, what is published stays, less the dead.
    """
    target, blue = situation.target, situation.blue
    green = situation.servers(target.revision) if target else ()
    shares: tuple[Share, ...]
    if target is not None and green and (weight > 0 or blue is None):
        if blue is None or weight >= FULL:
            shares = (Share(revision=target.revision, weight=FULL, servers=green),)
        else:
            shares = (
                Share(revision=blue, weight=FULL - weight, servers=situation.servers(blue)),
                Share(revision=target.revision, weight=weight, servers=green),
            )
    elif blue is not None:
        shares = (Share(revision=blue, weight=FULL, servers=situation.servers(blue)),)
    else:
        shares = _survivors(situation)
    return _dressed(situation, shares)


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


def _dressed(situation: Situation, shares: tuple[Share, ...]) -> Routing:
    """Add routes and the fallback: routes change with the cutover, not before."""
    target, blue = situation.target, situation.blue
    weights = {share.revision: share.weight for share in shares}
    has_all = target is not None and weights.get(target.revision) == FULL
    published = situation.routed
    source: AppSpec | Routing = published
    if target is not None and has_all and not needs_rehearsal(situation):
        source = target
    if target is not None and situation.seen.published is None:
        source = target
    is_pending = target is not None and published.trial == target.routes != source.routes
    fallback = None
    if (
        target is not None
        and not situation.is_proven
        and situation.seen.guard_available
        and blue is not None
        and weights.get(target.revision, 0) > 0
    ):
        fallback = Share(revision=blue, weight=0, servers=situation.servers(blue))
    return Routing(
        shares=shares,
        routes=source.routes,
        sticky=source.sticky,
        trial=published.trial if is_pending else (),
        fallback=fallback,
    )


def needs_rehearsal(situation: Situation) -> bool:
    """Tell whether the target has routes that Traefik has not been seen to accept.

    A route that Traefik refuses answers 404 to everybody; so it is loaded first where no request
    reaches it.
    """
    target, published = situation.target, situation.seen.published
    if target is None or published is None or published.routes == target.routes:
        return False
    return published.trial != target.routes or not situation.is_confirmed

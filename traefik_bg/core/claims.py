"""What a container's own labels have Traefik send to it, and whether the app's routes take it.

Apart from the rules of adoption because retiring asks it too. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from traefik_bg.core.matchers import default_priority
from traefik_bg.core.model import Route, Routing
from traefik_bg.core.observation import Claim, Replica

_BLANKS = re.compile(r"(`[^`]*`|\"(?:\\.|[^\"\\])*\")|\s+")
_QUOTED = re.compile(r'"([^"\\`]*)"')


def would_lose(replica: Replica, routing: Routing | None) -> Claim | None:
    """Return what requests would be lost if the replica stopped now; None: none would.

    Where nothing is published yet, only what is healthy has any to lose.
    """
    if not replica.is_running or (routing is None and not replica.is_healthy):
        return None
    return next(unmet_claims(replica, routing.routes if routing is not None else ()), None)


def unmet_claims(replica: Replica, routes: Iterable[Route]) -> Iterator[Claim]:
    """Yield what its own labels have Traefik send to the replica, past all of these routes."""
    mine = tuple(routes)
    return (claim for claim in replica.claims if not _is_met(claim, mine))


def in_words(claim: Claim) -> str:
    """Return what is in the way, and what would help."""
    return (
        f"its label's router {claim.router} ({claim.rule}, priority {claim.priority}) has requests "
        f"that no route of the app takes; write a route with this rule and priority: "
        f"{claim.priority + 1}, on the same entry points"
        f"{', with tls' if claim.has_tls else ''}"
    )


def _is_met(claim: Claim, routes: tuple[Route, ...]) -> bool:
    over = [
        route
        for route in routes
        if _plain(route.rule) == _plain(claim.rule)
        and (route.tls is not None) == claim.has_tls
        and (route.priority or default_priority(route.rule)) > claim.priority
    ]
    if any(not route.entrypoints for route in over):
        return True
    taken = {name for route in over for name in route.entrypoints}
    return bool(claim.entrypoints) and taken >= set(claim.entrypoints)


def _plain(rule: str) -> str:
    """Return a rule as all spell it who mean the same: without blanks, quoted in one way."""
    return _BLANKS.sub(lambda found: found[1] or "", _QUOTED.sub(r"`\1`", rule))

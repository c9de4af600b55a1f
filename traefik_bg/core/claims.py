"""What Traefik has from a container's own labels, and whether the app's routes can do without.

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


def would_lose(replica: Replica, routing: Routing | None) -> str | None:
    """Return what would be lost if the replica stopped now, and what helps; None: nothing.

    Our own probes do not count: whom we cannot reach may well serve by its labels.
    """
    if not replica.is_running:
        return None
    return obstacle(replica, routing.routes if routing is not None else ())


def obstacle(replica: Replica, routes: Iterable[Route]) -> str | None:
    """Return why a replica cannot be replaced behind these routes, and what helps; None: it can."""
    mine = tuple(routes)
    if replica.oddities:
        return replica.oddities[0]
    if (claim := next(unmet_claims(replica, mine), None)) is not None:
        return _in_words(claim)
    used = {name for route in mine for name in route.middlewares}
    if shared := sorted(used & set(replica.defines)):
        return (
            f"its labels define {', '.join(shared)}, which the app's routes use, and which ends "
            "with it; define that in a file of Traefik's and write …@file"
        )
    return None


def unmet_claims(replica: Replica, routes: Iterable[Route]) -> Iterator[Claim]:
    """Yield what its own labels have Traefik send to the replica, past all of these routes."""
    mine = tuple(routes)
    return (claim for claim in replica.claims if not _is_met(claim, mine))


def _in_words(claim: Claim) -> str:
    what = f"its label's router {claim.router} ({claim.rule})"
    if claim.leads_elsewhere:
        return (
            f"{what} leads to another service and ends with it; put that router into a file of "
            f"Traefik's, and say so: adopt: {{…, moved: [{claim.router}]}}"
        )
    where = f"entrypoints: [{', '.join(claim.entrypoints)}]" if claim.entrypoints else "none named"
    return (
        f"{what} has requests that no route of the app takes; write a route with this rule, "
        f"priority: {claim.priority + 1} or more, entry points as there ({where}), and "
        f"{'with' if claim.has_tls else 'without'} tls"
    )


def _is_met(claim: Claim, routes: tuple[Route, ...]) -> bool:
    if claim.leads_elsewhere:
        return False
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

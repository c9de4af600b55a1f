"""The rules for what ran before traefik-bg did: it serves as blue until it has been replaced.

Called in order by the planner, whose docstring has the laws they keep. What was adopted is started
and stopped like any replica, but never created and never removed: it is not ours (S6). While it
runs, Traefik has a second router to it, by its own labels; the app's routes must win over that one,
or the requests it still gets would be lost when it stops. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.actions import Phase
from traefik_bg.core.claims import obstacle
from traefik_bg.core.decision import Decision, listed, publish
from traefik_bg.core.model import ADOPTED, ReplicaName, Routing
from traefik_bg.core.observation import ContainerState, Health, Observation
from traefik_bg.core.record import Record
from traefik_bg.core.routing import needs_rehearsal, routing_at
from traefik_bg.core.situation import Situation
from traefik_bg.core.traffic_rules import confirm, rehearse

_RESTING = frozenset({ContainerState.EXITED, ContainerState.CREATED})


def concerns(
    name: ReplicaName, state: ContainerState, record: Record, published: Routing | None = None
) -> bool:
    """Tell whether a container of others is to be seen: what runs when we take over, to its end.

    What they stopped before is their business, and so is what they start when that is over. Only
    where something is published and nothing remembered may we have stopped it, and forgotten (L4).
    """
    if record.good is not None or name in record.adopted:
        return name in record.adopted
    return state not in _RESTING or _is_forgotten(published, record)


def _is_forgotten(published: Routing | None, record: Record) -> bool:
    return published is not None and record.deployments == 0


def with_adopted(seen: Observation, record: Record) -> Record:
    """Return the record with the containers that were found running until a version was good."""
    everything = _is_forgotten(seen.published, record)
    awake = {
        r.name for r in seen.replicas if r.is_adopted and (everything or r.state not in _RESTING)
    }
    before = set(record.adopted)
    found = tuple(sorted(before | awake if record.good is None else before & awake))
    return record if found == record.adopted else replace(record, adopted=found)


def heed_claims(s: Situation) -> Decision | None:
    """Begin nothing while the containers to be replaced have requests that no route would take."""
    desired = s.seen.desired
    if desired is None or s.record.good is not None or s.is_rejected or s.is_holding:
        return None
    for replica in s.of(ADOPTED):
        why = obstacle(replica, desired.routes)
        if replica.is_running and why is not None:
            return Decision(
                reason=f"{replica.name} cannot be replaced without loss: {why}",
                phase=Phase.BLOCKED,
            )
    return None


def route_what_serves(s: Situation) -> Decision | None:
    """Have Traefik route to what serves already, before anything is done to replace it."""
    if s.seen.desired is None or s.target is None:
        return None
    if s.blue is None:
        return _await_first_probe(s)
    if s.blue == ADOPTED and s.is_held:
        return None
    if s.seen.published is not None:
        is_renewed = s.blue == ADOPTED and needs_rehearsal(s)
        return (confirm(s) or rehearse(s)) if is_renewed else None
    if s.blue != ADOPTED and s.is_alive(s.target.revision):
        return None
    record = s.record
    if record.deployment is not None:
        record = replace(record, deployment=replace(record.deployment, blue=s.blue))
    serving = listed([server.replica for server in s.servers(s.blue)])
    why = f"what serves is routed first: {serving}"
    return publish(s, routing_at(s, 0), why, Phase.STARTING, record)


def _await_first_probe(s: Situation) -> Decision | None:
    """Wait until it is known whether what was adopted answers at all; None: there is no doubt."""
    limit = s.seen.desired.health.deadline if s.seen.desired is not None else 0.0
    doubtful = [
        replica.name
        for replica in s.of(ADOPTED)
        if replica.is_running
        and replica.address
        and replica.health in {Health.UNKNOWN, Health.STARTING}
        and replica.age < limit
    ]
    if not doubtful or s.seen.published is not None or s.is_held:
        return None
    left = min(limit - replica.age for replica in s.of(ADOPTED) if replica.name in doubtful)
    return Decision(
        reason=f"waiting for the first answer of {listed(doubtful)}",
        phase=Phase.STARTING,
        recheck_after=left,
        left=left,
    )

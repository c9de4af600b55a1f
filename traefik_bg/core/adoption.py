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
from traefik_bg.core.model import ADOPTED, RevisionId
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.record import Record
from traefik_bg.core.routing import needs_rehearsal, routing_at
from traefik_bg.core.situation import Situation
from traefik_bg.core.traffic_rules import confirm, rehearse


def concerns(revision: RevisionId, state: ContainerState, record: Record) -> bool:
    """Tell whether a container is to be seen: of what was adopted, what runs or could come back.

    Others may have stopped containers of theirs long ago, and they stay where they are when we have
    stopped them: that is no state to show, nor to start anything in.
    """
    if revision != ADOPTED or state is ContainerState.RUNNING:
        return True
    deployment, rejection = record.deployment, record.rejection
    before = {deployment.blue if deployment else None, rejection.blue if rejection else None}
    return ADOPTED in before


def heed_claims(s: Situation) -> Decision | None:
    """Begin nothing while the containers to be replaced have requests that no route would take."""
    desired = s.seen.desired
    if desired is None or (s.record.good is not None and not s.is_exclusive) or s.is_rejected:
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
    if s.seen.published is not None:
        is_renewed = s.blue == ADOPTED and needs_rehearsal(s)
        return (confirm(s) or rehearse(s)) if is_renewed else None
    if s.is_alive(s.target.revision):
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
    if not doubtful or s.seen.published is not None:
        return None
    return Decision(
        reason=f"waiting for the first answer of {listed(doubtful)}", phase=Phase.STARTING
    )

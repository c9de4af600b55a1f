"""The last look before harm could be done: does the world still allow what was planned?

Separate from the planner so that a mistake in a rule, or a change between look and act, is caught
by code that knows the laws and nothing else. Called by the executor just before a publish or a
stop. Pure.
"""

from __future__ import annotations

from traefik_bg.core.actions import RunHook
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import AppSpec, ReplicaName, RevisionId, Routing, Share
from traefik_bg.core.observation import ContainerState, Observation
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Strategy
from traefik_bg.core.situation import FULL

_MAY_RUN = frozenset({ContainerState.RESTARTING, ContainerState.PAUSED, ContainerState.REMOVING})


def broken_by_publishing(seen: Observation, routing: Routing | None) -> str | None:
    """Return which law the publication would break now, and how; None when it breaks none."""
    if routing is None:
        return "S3: the app is desired" if seen.desired is not None else None
    return _emptied(seen, routing) or _unproven(seen, routing)


def _emptied(seen: Observation, routing: Routing) -> str | None:
    """Return how what could serve would get nothing; requests that are held lose nothing."""
    if routing.shares:
        is_held = routing.holds_for is not None
        return "S3: requests would be held although something has weight" if is_held else None
    if routing.holds_for is None and seen.desired is not None and _has_healthy(seen):
        return "S3: what is healthy and routed would get nothing any more"
    return None


def _unproven(seen: Observation, routing: Routing) -> str | None:
    """Return how requests would get where nobody answers, or nobody known."""
    weights = sum(share.weight for share in routing.shares)
    if routing.shares and weights != FULL:
        return f"S1: the weights add up to {weights}"
    running = {(replica.name, replica.address) for replica in seen.replicas if replica.is_running}
    for server in routing.servers:
        if not server.address or (server.replica, server.address) not in running:
            return f"S7: nothing of that name runs at {server.address} ({server.replica})"
    for share in routing.all_shares:
        if not share.servers:
            return f"S1: no replica of {share.revision} would answer its requests"
        if not _is_proven(seen, share):
            return f"S1: no replica of {share.revision} is healthy"
    return None


def _is_proven(seen: Observation, share: Share) -> bool:
    """Tell whether the share has a healthy replica, or only keeps what it has already."""
    healthy = {replica.name for replica in seen.replicas if replica.is_healthy}
    if any(server.replica in healthy for server in share.servers):
        return True
    before = seen.published
    return before is not None and all(before.has(server.replica) for server in share.servers)


def _has_healthy(seen: Observation) -> bool:
    """Tell whether something healthy is routed now."""
    before = seen.published
    return before is not None and any(
        replica.is_healthy and before.has(replica.name) for replica in seen.replicas
    )


def broken_by_stopping(seen: Observation, name: ReplicaName) -> str | None:
    """Return which law stopping the replica would break now, and how."""
    if name in seen.routable or (seen.published is not None and seen.published.has(name)):
        return f"S2: Traefik may still route to {name}"
    replica = next((replica for replica in seen.replicas if replica.name == name), None)
    if replica is not None and replica.is_running and replica.unrouted_for is None:
        return f"S2: it is not confirmed that Traefik does not route to {name}"
    return None


def is_exclusive(wanted: AppSpec | None) -> bool:
    """Tell whether what is wanted must not run twice."""
    return wanted is not None and wanted.rollout.strategy is Strategy.RECREATE


def broken_by_starting(seen: Observation, name: ReplicaName) -> str | None:
    """Return which law starting the replica would break now, and how."""
    revision = next((r.revision for r in seen.replicas if r.name == name), None)
    if not is_exclusive(seen.desired) or revision is None:
        return None
    own = f"{seen.app}-{revision}-"
    hook = next((name for name in seen.hooks_under_way if not name.startswith(own)), None)
    return _others_run(seen, revision) or (f"S8: {hook} still runs" if hook else None)


def _others_run(seen: Observation, revision: RevisionId) -> str | None:
    """Return which replica of another revision may run."""
    for other in seen.replicas:
        if other.revision != revision and (other.is_running or other.state in _MAY_RUN):
            return f"S8: {other.name} still runs"
    return None


def broken_by_running(seen: Observation, record: Record, hook: RunHook) -> str | None:
    """Return which law running a hook would break now, and how."""
    deployment, wanted = record.deployment, seen.desired
    if wanted is None or wanted.revision != hook.revision:
        return f"S9: {hook.revision} is not wanted any more"
    under_way = (deployment.number, deployment.revision) if deployment is not None else None
    if under_way != (hook.deployment, hook.revision):
        return f"S9: the deployment of {hook.name} is over"
    others = [name for name in seen.hooks_under_way if name != hook.name]
    if others:
        return f"S9: {others[0]} still runs"
    if hook.moment is Moment.BEFORE:
        for green in seen.replicas:
            if green.revision == hook.revision and (green.is_running or green.state in _MAY_RUN):
                return f"S9: {green.name} runs already"
    return _others_run(seen, hook.revision) if is_exclusive(wanted) else None

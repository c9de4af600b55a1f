"""The rules that keep the routing true: what is published, confirmed and tried.

Called in order by the planner, whose docstring has the laws they keep. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from traefik_bg.core.actions import Phase
from traefik_bg.core.decision import Decision, listed, publish
from traefik_bg.core.model import Routing
from traefik_bg.core.routing import needs_rehearsal, routing_at
from traefik_bg.core.situation import FULL, Situation

KEPT_GOOD_SPECS = 5
"""How far back a rollback can go."""


def go_home(s: Situation) -> Decision | None:
    """Give all traffic back to the good revision at once, when green has been turned down.

    In one publication, whatever else there is to do, and while the app is held too: it is a repair.
    Half of its replicas are enough to begin with: the others are made and join.
    """
    target = s.target
    if target is None or not s.is_rejected or not s.is_proven or s.weight == FULL:
        return None
    if not s.is_half_there or s.seen.published is None:
        return None
    why = f"all traffic back to {target.revision}"
    return publish(s, routing_at(s, FULL), why, Phase.SHIFTING)


def keep_routing_true(s: Situation) -> Decision | None:
    """Publish when what is published is not what its weights mean now (S1, S7).

    The dead and the sick leave, newly proven replicas of a revision that has weight join, and
    changed routes take effect.
    """
    if s.seen.desired is None or s.seen.published is None:
        return None
    wanted = routing_at(s, s.weight)
    if wanted == s.routed:
        return None
    fallback = s.routed.fallback
    if fallback is not None and wanted == replace(s.routed, fallback=None):
        why = f"{fallback.revision} is not needed as a way back any more"
        return publish(s, wanted, why, Phase.DRAINING)
    why, phase = _what_changes(s, wanted)
    return publish(s, wanted, why, phase)


def _what_changes(s: Situation, wanted: Routing) -> tuple[str, Phase]:
    """Return the difference in words, and whether it is a repair or a step of a deployment."""
    preview = wanted.preview
    if preview is not None and s.routed.preview is None:
        return f"{preview.share.revision} can be previewed", Phase.STARTING
    if s.routed.kept is not None and wanted == replace(s.routed, kept=None):
        return f"the sessions on {s.routed.kept.revision} are over", Phase.DRAINING
    if wanted == replace(s.routed, loops=wanted.loops):
        return "telling Traefik how requests are to wait", Phase.STARTING
    if wanted == replace(s.routed, keeps_sessions=wanted.keeps_sessions):
        how = "stay with their version" if wanted.keeps_sessions else "move with the traffic"
        return f"clients {how} from now on", Phase.STARTING
    gone = [x.replica for x in s.routed.servers if not wanted.has(x.replica)]
    come = [x.replica for x in wanted.servers if not s.routed.has(x.replica)]
    if gone and come:
        why = f"moving traffic from {listed(gone)} to {listed(come)}"
    elif gone:
        why = f"taking {listed(gone)} out of the routing"
    elif come:
        why = f"adding {listed(come)} to the routing"
    else:
        why = "updating the routing"
    return why, Phase.REPAIRING


def unroute_unwanted_app(s: Situation) -> Decision | None:
    """Take an app that is not desired any more out of the routing."""
    if s.seen.desired is not None or s.seen.published is None:
        return None
    return publish(s, None, "not desired any more: taking it out of the routing", Phase.REMOVING)


def confirm(s: Situation) -> Decision | None:
    """Wait until every Traefik runs what is published."""
    if s.is_confirmed or s.seen.published is None:
        return None
    return Decision(reason="waiting for Traefik to load the routing", phase=Phase.CONFIRMING)


def rehearse(s: Situation) -> Decision | None:
    """Have Traefik load changed routes where no request reaches them, before they matter."""
    target = s.target
    if target is None or not needs_rehearsal(s):
        return None
    routing = replace(s.routed, trial=target.routes)
    return publish(s, routing, f"trying the routes of {target.revision}", Phase.CONFIRMING)

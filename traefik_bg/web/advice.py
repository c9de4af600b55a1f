"""What the reader can do next, in commands: a part of the view of an app.

Separate from the view because it is advice, not data. Pure.
"""

from __future__ import annotations

from traefik_bg.core.actions import Phase
from traefik_bg.core.model import AppSpec
from traefik_bg.core.rollout import Inconclusive
from traefik_bg.core.situation import FULL, Situation
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.progress import lacks_evidence


def advice(status: AppStatus, s: Situation) -> str | None:
    """Return what the reader can do now, or None when it is not their turn."""
    app, record = status.app, s.record
    if status.desired_error is not None:
        return "mend the desired state: its newest version is not in force, the last good one is"
    if status.phase is Phase.BLOCKED:
        return "mend the desired state as the reason says; what serves is left as it is"
    if record.paused:
        return f"traefik-bg resume {app} lets it go on"
    if s.seen.desired is not None and s.seen.desired.hold:
        return "take hold out of the desired state to let it go on"
    if s.is_rejected and record.rejection is not None:
        return (
            f"change the desired state, or try {record.rejection.revision} once more: "
            f"traefik-bg retry {app}"
        )
    if record.deployment is not None and s.target is not None:
        return _in_a_deployment(status, s, s.target)
    if status.phase is Phase.SETTLED and record.good is not None and record.previous:
        back = record.previous[0]
        return (
            f"if {record.good.revision} turns out wrong, traefik-bg rollback {app} goes back to "
            f"{back.revision} ({back.image})"
        )
    return None


def _in_a_deployment(status: AppStatus, s: Situation, target: AppSpec) -> str | None:
    app = status.app
    if s.is_holding:
        return _while_held(status, s)
    if status.phase is Phase.WAITING:
        has_more = any(step.weight > s.weight for step in target.rollout.steps)
        full = f", traefik-bg promote --full {app} with all traffic at once" if has_more else ""
        if s.weight > 0:
            return (
                f"traefik-bg promote {app} goes on to the next step{full}; "
                f"traefik-bg abort {app} gives all traffic back to {s.blue}"
            )
        gives = "lets it start" if s.is_exclusive else "gives it traffic"
        return f"traefik-bg promote {app} {gives}{full}; traefik-bg abort {app} turns it down"
    unsure = _without_evidence(s, target)
    if s.weight == 0:
        is_copied = s.routed.mirror is not None
        commands = f"traefik-bg promote {app} goes on with the traffic, "
        commands += f"traefik-bg abort {app} turns it down"
        return f"{unsure}{commands}" if is_copied else None
    further = "ends the wait" if s.weight == FULL else "goes on without the pause"
    return f"{unsure}traefik-bg promote {app} {further}, traefik-bg abort {app} goes back"


def _while_held(status: AppStatus, s: Situation) -> str:
    app = status.app
    if s.seen.hold_available:
        return f"requests wait until it serves; traefik-bg abort {app} brings back what ran before"
    return (
        "requests fail until it serves: give Traefik an entry point by which they can wait "
        f"(docs/traefik.md); traefik-bg abort {app} brings back what ran before"
    )


def _without_evidence(s: Situation, target: AppSpec) -> str:
    """Return what would let green be judged, where nothing of it is known; else nothing."""
    analysis = target.rollout.analysis
    if s.seen.evidence_trouble:
        return (
            "Traefik's figures are not known: let it serve metrics (metrics: {prometheus: {}} in "
            "its static configuration) and say where with --traefik-metrics; "
        )
    if analysis is None or s.seen.evidence is None or not lacks_evidence(s, target):
        return ""
    counted = s.seen.evidence.figures.get(target.revision)
    if not analysis.has_limits or counted is None or counted.requests >= analysis.min_requests:
        return ""
    is_strict = analysis.inconclusive is Inconclusive.REJECT
    end = "is rejected" if is_strict else "goes on by its health alone"
    return (
        f"too few requests to judge {target.revision} by, which {end} after max_wait: lengthen the "
        f"window, or lower min_requests ({analysis.min_requests}); "
    )

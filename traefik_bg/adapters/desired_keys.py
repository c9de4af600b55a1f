"""Why a key is not taken: a reason for those we know of, the nearest known one for all others.

Apart from the schema because these are words for people: everything somebody may expect here, and
what to write instead. What somebody may paste is in `compose_keys`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from traefik_bg.adapters.compose_keys import refusal

_OF_FILE = {"compose": "belongs to an app: compose: {file: …, service: …}"}

_OF_APP = {
    "extends": "belongs to an app: the defaults are below all of them anyway",
    "domain": "is written route: {host: …} here",
    "host": "belongs under route",
    "rule": "belongs under route",
    "strategy": "belongs under rollout",
    "steps": "belongs under rollout",
    "compose": "belongs to an app: the defaults are below all of them anyway",
    "before": "belongs under hooks",
    "after_cutover": "belongs under hooks",
    "poll": "belongs under update",
    "analysis": "belongs under rollout",
    "preview": "belongs under rollout",
    "sessions": "belongs under rollout",
    "mirror": "belongs under rollout",
}

_OF_ROLLOUT = {
    "compose": "belongs to an app",
    "update": "belongs to the app",
    "checks": "belongs under analysis",
    "until": "belongs to a step",
    "max_error_ratio": "belongs under analysis",
    "max_p95": "belongs under analysis",
}

_OF_ROUTE = {
    "udp": (
        "cannot be switched without loss: UDP has no connections to drain, and no answers by which "
        "to tell whether it works; route it in Traefik's own configuration, past traefik-bg"
    ),
    "passthrough": "belongs under tls",
}

_REASONS = {
    "": _OF_FILE,
    "apps.*": _OF_APP,
    "apps.*.route": _OF_ROUTE,
    "apps.*.rollout": _OF_ROLLOUT,
}


def unknown_key(where: str, key: str, known: Iterable[str]) -> str:
    """Return why a key is not taken; `where` is its parent, such as "apps.*.rollout"."""
    if reason := _REASONS.get(where, {}).get(key) or refusal(where, key):
        return reason
    return f"is unknown here; {nearest(key, known)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that looks most like this one, or at all of them."""
    words = sorted(known)
    spelled = word.lower().replace("-", "_")
    by_spelling = {candidate.lower().replace("-", "_"): candidate for candidate in words}
    close = difflib.get_close_matches(spelled, by_spelling, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_spelling[close[0]]}?"
    return f"known are {', '.join(words)}" if len(words) <= 12 else "see desired.reference.yaml"

"""What the parts of an app are called in Traefik, and which app names that rules out.

People see these names in Traefik's dashboard and metrics; `traffic` writes them, and the desired
file is checked against `collisions` so that no two apps ever mean the same part. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

OURS = "traefik-bg"
"""The marker (a router and a middleware) and the servers transport."""
RETRY = "traefik-bg-retry"
"""The middleware that tries another replica while no byte was sent."""
CATCH = "traefik-bg-catch"
"""The middleware that swallows green's failing answers, so that blue's can be given."""
LOOP = "traefik-bg-loop"
"""The service that leads back into the same Traefik, by the entry point `traefik-bg`."""
WAIT = "traefik-bg-wait"
"""The middleware that answers a held request: not yet."""
BACK = "traefik-bg-back"
"""The middleware that takes off a held request what brought it back."""
LATE = "traefik-bg-late"
"""The middleware that tells a client that nothing served for too long."""

_DERIVED = re.compile(
    r"-(guard|caught|mirrored|held|(trial|preview|kept|mirrored)-\d+|route-\d+(-guard)?|adopted|[0-9a-f]{8})$"
)
_ROUTER = re.compile(r"-((trial|preview|kept|mirrored)-\d+|held|(route-\d+-)?guard|route-\d+)$")

_HOOK = re.compile(r"(?P<app>.+)-[0-9a-f]{8}-(before|after_cutover)-[0-9]+")


def hook_name(app: str, revision: str, moment: str, deployment: int) -> str:
    """Return the name of the container in which a hook runs for a deployment."""
    return f"{app}-{revision}-{moment}-{deployment}"


def is_hook_of(app: str, name: str) -> bool:
    """Tell whether a name is that of a hook's container of an app."""
    found = _HOOK.fullmatch(name)
    return found is not None and found["app"] == app


def router_name(app: str, number: int) -> str:
    """Return the name of the router of an app's route; routes are counted from 1."""
    return app if number == 1 else f"{app}-route-{number}"


def trial_name(app: str, number: int) -> str:
    """Return the name of the router that tries an app's route; routes are counted from 1."""
    return f"{app}-trial-{number}"


def preview_name(app: str, number: int) -> str:
    """Return the name of a router to green for those who ask for it; counted from 1."""
    return f"{app}-preview-{number}"


def kept_name(app: str, number: int) -> str:
    """Return the name of the router of a route to blue for the clients that began there."""
    return f"{app}-kept-{number}"


def copied_name(app: str, number: int) -> str:
    """Return the name of the router of a route whose requests may be copied."""
    return f"{app}-mirrored-{number}"


def mirrored_name(app: str) -> str:
    """Return the name of the service that asks an app, and green too."""
    return f"{app}-mirrored"


def held_name(app: str) -> str:
    """Return the name of what holds the requests of an app, and of where they come back."""
    return f"{app}-held"


def waiting_name(app: str) -> str:
    """Return the name of the middleware that knows how long the requests of an app wait."""
    return f"{app}-waiting"


def cookie_name(app: str) -> str:
    """Return the name of the cookie by which a client stays with its revision."""
    return f"{OURS}-{app}"


def balancer_name(app: str, revision: str) -> str:
    """Return the name of the load balancer of a revision: the service in Traefik's metrics."""
    return f"{app}-{revision}"


def guard_name(name: str) -> str:
    """Return the name of what guards an app, or one of its routers."""
    return f"{name}-guard"


def catcher_name(app: str) -> str:
    """Return the name of the service that swallows an app's failing answers."""
    return f"{app}-caught"


def notes_name(app: str) -> str:
    """Return the name of the middleware that holds what Traefik has no field for."""
    return f"{app}-notes"


def owner(router: str, apps: Iterable[str]) -> str | None:
    """Return the app a router belongs to.

    Traefik puts the name of an entry point in front of a router's when that entry point has
    settings of its own (`websecure-web`).
    """
    known = frozenset(apps)
    while True:
        base = _ROUTER.sub("", router)
        found = next((name for name in (router, base) if name in known), None)
        if found is not None or "-" not in router:
            return found
        router = router.partition("-")[2]


def collisions(names: Iterable[str]) -> dict[str, str]:
    """Return the app names that cannot be used beside the others, and why.

    What Traefik calls the parts of an app begins with the app's name: `web-3f2a91bc`, `web-guard`,
    `web-route-2`, `web-caught`; no other app may be called so.
    """
    names = frozenset(names)
    refused = {}
    for name in sorted(names):
        if name in {OURS, LOOP}:
            refused[name] = f"the app name {name} is reserved for traefik-bg itself"
            continue
        base = _DERIVED.sub("", name)
        if base != name and base in names:
            refused[name] = (
                f"the app name {name} is what Traefik is told to call a part of the app {base}; "
                "choose another ending"
            )
    return refused

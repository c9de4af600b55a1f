"""How the container of a hook differs from a replica, and how it is known again.

Apart from the settings because a hook is asked for with all of a replica's, less what would let it
be taken for one. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

from traefik_bg.adapters.docker_settings import Creation
from traefik_bg.core.hooks import DEFAULT_TIMEOUT, Hook, Moment
from traefik_bg.core.ports import HookLabel

HOOK_LABEL = "traefik-bg.hook"
DEPLOYMENT_LABEL = "traefik-bg.deployment"
TIMEOUT_LABEL = "traefik-bg.timeout"


def hook_labels(hook: Hook, deployment: int) -> dict[str, str]:
    """Return the labels by which a hook's container is known."""
    return {
        HOOK_LABEL: hook.moment.value,
        DEPLOYMENT_LABEL: str(deployment),
        TIMEOUT_LABEL: f"{hook.timeout:g}",
    }


def hook_label(labels: Mapping[str, str]) -> HookLabel | None:
    """Return what a container runs for; None: it is a replica.

    One that another version of us has labelled otherwise belongs to no deployment: it is cleared
    away when it has ended.
    """
    if HOOK_LABEL not in labels:
        return None
    try:
        return HookLabel(
            moment=Moment(labels[HOOK_LABEL]),
            deployment=int(labels[DEPLOYMENT_LABEL]),
            timeout=_timeout(labels),
        )
    except (KeyError, ValueError):
        return HookLabel(moment=Moment.BEFORE, deployment=0, timeout=_timeout(labels))


def _timeout(labels: Mapping[str, str]) -> float:
    """Return how long a hook may run; as long as most, where nobody can read that."""
    try:
        found = float(labels[TIMEOUT_LABEL])
    except (KeyError, ValueError):
        return DEFAULT_TIMEOUT
    return found if isfinite(found) and found > 0 else DEFAULT_TIMEOUT


def as_hook(replica: Creation, hook: Hook) -> Creation:
    """Return what runs the hook, given what would be a replica.

    It is not started again, nobody asks for its health, nobody finds it under a name the app has in
    its networks, and no label of the app leads Traefik's Docker provider to it.
    """
    labels = replica.body["Labels"]
    body = replica.body | {
        "Cmd": list(hook.command),
        "ExposedPorts": {},
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {key: labels[key] for key in labels if not key.startswith("traefik.")},
        "HostConfig": replica.body["HostConfig"] | {"RestartPolicy": {"Name": "no"}},
    }
    for key in ("Hostname", "Domainname"):  # Docker makes DNS names of them, in every network
        body.pop(key, None)
    endpoints = {
        network: {key: said for key, said in endpoint.items() if key != "Aliases"}
        for network, endpoint in replica.endpoints.items()
    }
    joined = replica.body["NetworkingConfig"]["EndpointsConfig"]
    body["NetworkingConfig"] = {"EndpointsConfig": {name: endpoints[name] for name in joined}}
    identity = {key: said for key, said in replica.identity.items() if key != TIMEOUT_LABEL}
    return replace(replica, body=body, endpoints=endpoints, identity=identity)

"""Why a key is not taken: a reason for those we know of, the nearest known one for all others.

Apart from the schema because these are words for people: everything somebody may paste or expect
here, and what to write instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LATER = "is not supported by this version of traefik-bg"
_ONE_HOST = "is for Swarm; traefik-bg runs containers on one Docker host"

_OF_FILE = {
    "services": "is Compose's word: write the services under apps",
    "version": "is not needed: remove it",
    "name": "is not needed: remove it",
    "include": f"{LATER}; --desired can be a folder of files",
    "volumes": "cannot be declared here; an app's own volumes name Docker volumes as they are",
    "networks": "cannot be declared here; an app's own networks name Docker networks as they are",
    "secrets": f"{LATER}; mount the file with an app's volumes",
    "configs": f"{LATER}; mount the file with an app's volumes",
    "compose": LATER,
}

_OF_APP = {
    "container_name": (
        "cannot be fixed: blue and green run side by side, so each replica gets a name of its own"
    ),
    "ports": (
        "cannot be published: blue and green would fight for them; write port: the port inside the "
        "container, and Traefik publishes the app"
    ),
    "build": (
        "is not done here: build and tag the image first, with a new tag each time, and write it "
        "under image"
    ),
    "depends_on": (
        "is not supported: traefik-bg waits for health, not for order; let the app retry until "
        "what it needs is there"
    ),
    "scale": "is written replicas here",
    "network_mode": (
        "is not supported: Traefik must reach the replicas in the network they share; write "
        "networks for further ones"
    ),
    "links": "is not supported: put both containers into one network, with networks",
    "external_links": "is not supported: put both containers into one network, with networks",
    "volumes_from": "is not supported: write the volumes themselves under volumes",
    "extends": "is not supported: use defaults, or YAML anchors (&name and <<: *name)",
    "profiles": "is not supported: every app in the file runs; remove those that should not",
    "pull_policy": "is not supported: an image is pulled when it is not on this machine",
    "secrets": f"{LATER}; mount the file with volumes",
    "configs": f"{LATER}; mount the file with volumes",
    "mac_address": "cannot be fixed: blue and green run side by side",
    "domain": "is written route: {host: …} here",
    "host": "belongs under route",
    "rule": "belongs under route",
    "strategy": "belongs under rollout",
    "steps": "belongs under rollout",
    "hooks": LATER,
    "compose": LATER,
    "update": LATER,
    "analysis": "belongs under rollout",
    "preview": "belongs under rollout",
    "sessions": "belongs under rollout",
    "mirror": "belongs under rollout",
}

_OF_ROLLOUT = {
    "compose": LATER,
    "update": LATER,
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

_OF_DEPLOY = {
    "replicas": "is written replicas, on the app itself",
    "restart_policy": "is written restart, on the app itself",
    "update_config": "is not supported: rollout says how the app is updated",
    "rollback_config": "is not supported: rollout says how the app is updated",
    "labels": "is written labels, on the app itself",
    "mode": _ONE_HOST,
    "placement": _ONE_HOST,
    "endpoint_mode": _ONE_HOST,
}

_FIXED_ADDRESS = dict.fromkeys(
    ("ipv4_address", "ipv6_address", "mac_address", "link_local_ips", "interface_name"),
    "cannot be fixed: blue and green run side by side",
)

_REASONS = {
    "": _OF_FILE,
    "apps.*": _OF_APP,
    "apps.*.route": _OF_ROUTE,
    "apps.*.rollout": _OF_ROLLOUT,
    "apps.*.deploy": _OF_DEPLOY,
    "apps.*.networks.*": _FIXED_ADDRESS,
}

_COMPOSE_ONLY = frozenset(
    {
        "annotations",
        "attach",
        "blkio_config",
        "cgroup",
        "cgroup_parent",
        "cpu_count",
        "cpu_percent",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "cpu_shares",
        "cpuset",
        "credential_spec",
        "develop",
        "device_cgroup_rules",
        "dns_opt",
        "dns_search",
        "domainname",
        "gpus",
        "isolation",
        "label_file",
        "mem_reservation",
        "mem_swappiness",
        "memswap_limit",
        "models",
        "oom_kill_disable",
        "oom_score_adj",
        "pids_limit",
        "post_start",
        "pre_stop",
        "provider",
        "pull_refresh_after",
        "runtime",
        "stdin_open",
        "storage_opt",
        "use_api_socket",
        "userns_mode",
        "uts",
    }
)


def unknown_key(where: str, key: str, known: Iterable[str]) -> str:
    """Return why a key is not taken; `where` is its parent, such as "apps.*.rollout"."""
    if reason := _REASONS.get(where, {}).get(key):
        return reason
    if where == "apps.*" and key in _COMPOSE_ONLY:
        return f"is a Compose key that {LATER}"
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

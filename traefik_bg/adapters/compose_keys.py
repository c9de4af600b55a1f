"""Every key of the Compose specification, and what becomes of it here.

One table for three readers: the check, which says why a key is not taken; the docs, whose page is
made from it; and the test that holds it against the specification's own JSON schema. A key below
one that is refused or without effect has no row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Standing(StrEnum):
    """What becomes of a key."""

    HONOURED = "honoured"
    MEANINGLESS = "no effect"
    REFUSED = "refused"


class Key(NamedTuple):
    """What becomes of one key, and why."""

    standing: Standing
    note: str = ""


def _yes(note: str = "") -> Key:
    return Key(Standing.HONOURED, note)


def _no(reason: str) -> Key:
    return Key(Standing.REFUSED, reason)


def _void(reason: str) -> Key:
    return Key(Standing.MEANINGLESS, reason)


LATER = "is not supported by this version of traefik-bg"
_SIDE_BY_SIDE = "cannot be fixed: blue and green run side by side"
_ONE_HOST = "is for Swarm; traefik-bg runs containers on one Docker host"
_WINDOWS = "is for Windows containers"
_ROLLOUT = "is not supported: rollout says how the app is updated"
_ONE_NETWORK = "is not supported: put both containers into one network, with networks"
_NOT_MADE = (
    "is not supported: traefik-bg makes no networks; create it once with docker network create, "
    "and write external: true"
)
_FILE_ONLY = "is for Swarm; write file or environment"

_GPU_KEYS = ("capabilities", "count", "device_ids", "driver", "options")
_BLOCK_KEYS = ("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")


def _all(prefix: str, *names: str) -> dict[str, Key]:
    return {f"{prefix}.{name}": _yes() for name in names}


SERVICE: Mapping[str, Key] = {
    "annotations": _yes("Engine 24 or newer"),
    "attach": _void("nobody is attached to a service that runs in the background"),
    "blkio_config": _yes(),
    **{f"blkio_config.{key}": _yes() for key in (*_BLOCK_KEYS, "weight", "weight_device")},
    **{f"blkio_config.{key}.path": _yes() for key in (*_BLOCK_KEYS, "weight_device")},
    **{f"blkio_config.{key}.rate": _yes() for key in _BLOCK_KEYS},
    "blkio_config.weight_device.weight": _yes(),
    "build": _no(
        "is not done here: build and tag the image first, with a new tag each time, and write it "
        "under image"
    ),
    "cap_add": _yes(),
    "cap_drop": _yes(),
    "cgroup": _yes(),
    "cgroup_parent": _yes(),
    "command": _yes(),
    "configs": _yes("copied in before the start"),
    **_all("configs", "source", "target", "uid", "gid", "mode"),
    "container_name": _no(
        "cannot be fixed: blue and green run side by side, so each replica gets a name of its own"
    ),
    "cpu_count": _no(f"{_WINDOWS}; write cpus"),
    "cpu_percent": _no(f"{_WINDOWS}; write cpus"),
    "cpu_period": _yes(),
    "cpu_quota": _yes(),
    "cpu_rt_period": _yes(),
    "cpu_rt_runtime": _yes(),
    "cpu_shares": _yes(),
    "cpus": _yes(),
    "cpuset": _yes(),
    "credential_spec": _no(_WINDOWS),
    "depends_on": _no(
        "is not supported: traefik-bg waits for health, not for order; let the app retry until "
        "what it needs is there"
    ),
    "deploy": _yes("resources only"),
    "deploy.endpoint_mode": _no(_ONE_HOST),
    "deploy.labels": _no("is written labels, on the app itself"),
    "deploy.mode": _no(_ONE_HOST),
    "deploy.placement": _no(_ONE_HOST),
    "deploy.replicas": _no("is written replicas, on the app itself"),
    "deploy.resources": _yes(),
    "deploy.resources.limits": _yes(),
    **_all("deploy.resources.limits", "cpus", "memory", "pids"),
    "deploy.resources.reservations": _yes(),
    "deploy.resources.reservations.cpus": _void(
        "one Docker host reserves no CPUs, as with docker compose; write cpu_shares or limits"
    ),
    "deploy.resources.reservations.devices": _yes(),
    **_all("deploy.resources.reservations.devices", *_GPU_KEYS),
    "deploy.resources.reservations.generic_resources": _no(_ONE_HOST),
    "deploy.resources.reservations.memory": _yes(),
    "deploy.restart_policy": _no("is written restart, on the app itself"),
    "deploy.rollback_config": _no(_ROLLOUT),
    "deploy.update_config": _no(_ROLLOUT),
    "develop": _void("for docker compose watch"),
    "device_cgroup_rules": _yes(),
    "devices": _yes(),
    **_all("devices", "source", "target", "permissions"),
    "dns": _yes(),
    "dns_opt": _yes(),
    "dns_search": _yes(),
    "domainname": _yes(),
    "entrypoint": _yes(),
    "env_file": _yes("read by traefik-bg, beside the file it stands in"),
    **_all("env_file", "path", "format", "required"),
    "environment": _yes(),
    "expose": _yes(),
    "extends": _yes("an app of the same file, or a service of another one"),
    **_all("extends", "service", "file"),
    "external_links": _no(_ONE_NETWORK),
    "extra_hosts": _yes(),
    "gpus": _yes(),
    **_all("gpus", *_GPU_KEYS),
    "group_add": _yes(),
    "healthcheck": _yes(),
    **_all("healthcheck", "disable", "interval", "retries", "start_period", "test", "timeout"),
    "healthcheck.start_interval": _yes("Engine 25 or newer; older ones do without it"),
    "hostname": _yes(),
    "image": _yes(),
    "init": _yes(),
    "ipc": _yes("not service:"),
    "isolation": _no(_WINDOWS),
    "label_file": _yes("read by traefik-bg, beside the file it stands in"),
    "labels": _yes("neither traefik. nor traefik-bg."),
    "links": _no(_ONE_NETWORK),
    "logging": _yes(),
    **_all("logging", "driver", "options"),
    "mac_address": _no(_SIDE_BY_SIDE),
    "mem_limit": _yes(),
    "mem_reservation": _yes(),
    "mem_swappiness": _yes(
        "Docker itself drops it where the kernel has cgroup v2, and it is logged"
    ),
    "memswap_limit": _yes(),
    "models": _no(f"{LATER}; run the model beside, and name it with environment"),
    "network_mode": _no(
        "is not supported: Traefik must reach the replicas in the network they share; write "
        "networks for further ones"
    ),
    "networks": _yes("further ones beside --network, which default means"),
    **_all("networks.*", "aliases", "driver_opts"),
    "networks.*.gw_priority": _yes("Engine 28 or newer"),
    "networks.*.interface_name": _yes("Engine 28.1 or newer"),
    "networks.*.ipv4_address": _no(_SIDE_BY_SIDE),
    "networks.*.ipv6_address": _no(_SIDE_BY_SIDE),
    "networks.*.link_local_ips": _no(_SIDE_BY_SIDE),
    "networks.*.mac_address": _no(_SIDE_BY_SIDE),
    "networks.*.priority": _void(
        "the network shared with Traefik is always the first; gw_priority chooses the gateway"
    ),
    "oom_kill_disable": _yes(
        "Docker itself drops it where the kernel has cgroup v2, and it is logged"
    ),
    "oom_score_adj": _yes(),
    "pid": _yes("not service:"),
    "pids_limit": _yes(),
    "platform": _yes(),
    "ports": _no(
        "cannot be published: blue and green would fight for them; write port: the port inside the "
        "container, and Traefik publishes the app"
    ),
    "post_start": _no(LATER),
    "pre_start": _no(LATER),
    "pre_stop": _no(f"{LATER}; let the app end its work on stop_signal"),
    "privileged": _yes(),
    "profiles": _no("is not supported: every app in the file runs; remove those that should not"),
    "provider": _no("is not supported: traefik-bg runs containers"),
    "pull_policy": _yes("missing and if_not_present, which is what is done anyway"),
    "pull_refresh_after": _no(
        "is not supported: an image is pulled when it is not on this machine; use a new tag for "
        "each version"
    ),
    "read_only": _yes(),
    "restart": _yes("unless-stopped when it is left out"),
    "runtime": _yes(),
    "scale": _no("is written replicas here"),
    "secrets": _yes("copied in before the start"),
    **_all("secrets", "source", "target", "uid", "gid", "mode"),
    "security_opt": _yes(),
    "shm_size": _yes(),
    "stdin_open": _yes(),
    "stop_grace_period": _yes(),
    "stop_signal": _yes(),
    "storage_opt": _yes(),
    "sysctls": _yes(),
    "tmpfs": _yes(),
    "tty": _yes(),
    "ulimits": _yes(),
    **_all("ulimits.*", "soft", "hard"),
    "use_api_socket": _no("is not supported: mount Docker's socket with volumes"),
    "user": _yes(),
    "userns_mode": _yes(),
    "uts": _yes(),
    "volumes": _yes("host paths absolute; names as Docker knows them, or as declared in the file"),
    **_all("volumes", "type", "source", "target", "read_only", "bind", "image", "tmpfs", "volume"),
    **_all("volumes.bind", "create_host_path", "propagation", "selinux"),
    "volumes.bind.recursive": _yes("Engine 25 or newer"),
    "volumes.consistency": _void("it never had one outside Docker Desktop for Mac"),
    "volumes.image.subpath": _yes(),
    **_all("volumes.tmpfs", "mode", "size"),
    **_all("volumes.volume", "labels", "nocopy", "subpath"),
    "volumes_from": _no("is not supported: write the volumes themselves under volumes"),
    "working_dir": _yes(),
}
"""The keys of a service, which are those of an app here."""

FILE: Mapping[str, Key] = {
    "configs": _yes(),
    "include": _no(f"{LATER}; --desired can be a folder of files"),
    "models": _no(LATER),
    "name": _no("is not needed: remove it; names of volumes and networks get no prefix here"),
    "networks": _yes("which Docker network a name means"),
    "secrets": _yes(),
    "services": _no(
        "is Compose's word: write the services under apps, or have traefik-bg import do it"
    ),
    "version": _no("is not needed: remove it"),
    "volumes": _yes("which Docker volume a name means, and how it is made"),
}
"""The keys of a file."""

_EXTERNAL = {"external": _yes("true or false"), "external.name": _no("is written name, beside it")}
_SOURCE = {
    "external": _no(_FILE_ONLY),
    "labels": _void("a file has no labels"),
    "name": _void("a file has no other name"),
    "template_driver": _no(_FILE_ONLY),
    "environment": _yes("a variable of the service, or of .env"),
    "file": _yes("a path beside the file it stands in"),
}

DECLARED: Mapping[str, Mapping[str, Key]] = {
    "volumes": {
        **_EXTERNAL,
        "driver": _yes(),
        "driver_opts": _yes(),
        "labels": _yes(),
        "name": _yes(),
    },
    "networks": {
        **_EXTERNAL,
        "name": _yes(),
        **dict.fromkeys(
            (
                "attachable",
                "driver",
                "driver_opts",
                "enable_ipv4",
                "enable_ipv6",
                "internal",
                "ipam",
                "labels",
            ),
            _no(_NOT_MADE),
        ),
    },
    "secrets": {**_SOURCE, "driver": _no(_FILE_ONLY), "driver_opts": _no(_FILE_ONLY)},
    "configs": {**_SOURCE, "content": _yes()},
}
"""The keys of what a file declares for its apps, by section."""


def refusal(where: str, key: str) -> str | None:
    """Return why a key of Compose's is not taken; `where` is its parent: "apps.*.deploy"."""
    table, path = FILE, key if not where else ""
    section, _, below = where.partition(".")
    if where.startswith("apps.*"):
        table, path = SERVICE, f"{where.removeprefix('apps.*')}.{key}".lstrip(".")
    elif section in DECLARED:
        table, path = DECLARED[section], f"{below.removeprefix('*')}.{key}".lstrip(".")
    found = table.get(path)
    return found.note if found is not None and found.standing is Standing.REFUSED else None

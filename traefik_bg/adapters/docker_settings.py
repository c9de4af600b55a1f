"""Turns an app's spec into what Docker's API wants of a new container.

Settings come in the Compose specification's own service keys. Apart from the engine because it is
pure: a spec in, a request body out, no Docker needed to test it. The desired file imports
`SUPPORTED_KEYS` and may call `check_settings` to say no long before a deployment does.

Bodies are written directly, not through docker-py's own builders: those know neither
`StartInterval` nor several networks at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from traefik_bg.adapters.docker_contents import Content, contents, label, volumes_for
from traefik_bg.adapters.docker_mounts import external, mounting, tmpfs
from traefik_bg.adapters.docker_networks import endpoints
from traefik_bg.adapters.docker_resources import blkio, deploy, devices, gpus, only, security
from traefik_bg.adapters.docker_units import (
    NEWEST,
    ApiVersion,
    nano_cpus,
    nanoseconds,
    pairs,
    size,
    strings,
    text,
    texts,
    whole_seconds,
    words,
)
from traefik_bg.core.errors import SpecRefused
from traefik_bg.core.model import AppSpec, HealthPolicy

INSTANCE_LABEL = "traefik-bg.instance"
APP_LABEL = "traefik-bg.app"
REVISION_LABEL = "traefik-bg.revision"
REPLICA_LABEL = "traefik-bg.replica"

WITH_ANNOTATIONS: ApiVersion = (1, 43)  # Engine 24; older ones ignore the field
WITH_START_INTERVAL: ApiVersion = (1, 44)  # Engine 25; older ones refuse the field
WITH_ALL_NETWORKS: ApiVersion = (1, 44)  # older ones take one network at creation

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One creation of a container, in Docker's words."""

    body: Body
    platform: str | None = None
    endpoints: Mapping[str, Body] = field(default_factory=dict)
    """All its networks, the shared one first."""
    volumes: frozenset[str] = frozenset()
    """Volumes that must be there before."""
    contents: tuple[Content, ...] = ()
    """What is copied into it before it is started."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """The labels by which we know it."""


def creation(
    spec: AppSpec,
    *,
    labels: Mapping[str, str],
    network: str,
    api: ApiVersion = NEWEST,
    image: str = "",
) -> Creation:
    """Return how to create a container of the spec; of this image, if it is named more exactly.

    Raises:
        SpecRefused: a setting is not supported or makes no sense.
    """
    settings = _settings(spec)
    body: Body = {"Image": image or spec.image, "ExposedPorts": {f"{spec.port}/tcp": {}}}
    host: Body = {"RestartPolicy": {"Name": "unless-stopped"}, "NetworkMode": network}
    for key in sorted(settings, key="deploy".__eq__):  # its limits win over mem_limit and cpus
        with _refusing(spec, key):
            _apply(key, settings[key], body, host, api)
    with _refusing(spec, "secrets or configs"):
        held = contents(settings)
        if carried := volumes_for(held, settings):
            body["Volumes"] = body.get("Volumes", {}) | carried
    body["Labels"] = body.get("Labels", {}) | label(held) | labels
    with _refusing(spec, "healthcheck"):
        if check := _healthcheck(settings.get("healthcheck") or {}, spec.health, api):
            body["Healthcheck"] = check
    with _refusing(spec, "volumes"):
        volumes = external(settings.get("volumes") or [])
    with _refusing(spec, "networks"):
        joined = endpoints(settings.get("networks"), network, api)
    at_creation = joined if api >= WITH_ALL_NETWORKS else {network: joined[network]}
    body |= {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": at_creation}}
    return Creation(
        body=body,
        platform=settings.get("platform"),
        endpoints=joined,
        volumes=volumes,
        contents=held,
        identity=labels,
    )


def check_settings(spec: AppSpec) -> None:
    """Do nothing if a container of the spec can be asked for.

    Raises:
        SpecRefused: a setting is not supported or makes no sense.
    """
    creation(spec, labels={}, network="any")


@contextmanager
def _refusing(spec: AppSpec, key: str) -> Iterator[None]:
    """Say of which app and which key a setting makes no sense."""
    try:
        yield
    except AttributeError as error:
        raise SpecRefused(f"{spec.name}: {key}: expected a mapping") from error
    except KeyError as error:
        raise SpecRefused(f"{spec.name}: {key}: {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise SpecRefused(f"{spec.name}: {key}: {error}") from error


def _settings(spec: AppSpec) -> dict[str, Any]:
    """Return the settings that say something: a key without a value is as good as absent."""
    settings = json.loads(spec.container)
    if unknown := sorted(set(settings) - SUPPORTED_KEYS):
        raise SpecRefused(f"{spec.name}: {unknown[0]!r} is not supported")
    return {key: value for key, value in settings.items() if value is not None}


def _apply(key: str, value: Any, body: Body, host: Body, api: ApiVersion) -> None:
    """Write one setting where Docker wants it."""
    if key == "annotations" and api < WITH_ANNOTATIONS:
        raise ValueError("wants Docker Engine 24 or newer")
    if key in _OF_CONTAINER:
        name, convert = _OF_CONTAINER[key]
        body[name] = convert(value)
    elif key in _OF_HOST:
        name, convert = _OF_HOST[key]
        host[name] = convert(value)
    elif key == "expose":
        body["ExposedPorts"] |= {port: {} for item in value for port in _ports(text(item))}
    elif key == "volumes":
        found = mounting(value, api)
        body["Volumes"] = found.anonymous
        host |= {"Binds": found.binds, "Mounts": found.mounts}
    elif key == "devices":
        host["Devices"], requests = devices(value)
        host.setdefault("DeviceRequests", []).extend(requests)
    elif key == "gpus":
        host.setdefault("DeviceRequests", []).extend(gpus(value))
    elif key == "deploy":
        limits, requests = deploy(value)
        host |= limits
        host.setdefault("DeviceRequests", []).extend(requests)
    elif key in _SEVERAL_OF_HOST:
        host |= _SEVERAL_OF_HOST[key](value)


# --- one setting each -----------------------------------------------------------------------------


def _environment(value: Any) -> list[str]:
    """Return NAME=VALUE lines; a name without a value was unset where the file was read."""
    found = pairs(value)
    if any(not name or "=" in name for name in found):
        # Docker's own refusal would repeat the value, which may be a secret.
        raise ValueError("a variable has no name, or one with '=' in it")
    return [f"{name}={item}" for name, item in found.items() if item is not None]


def _restart(value: Any) -> Body:
    if value is False:  # what YAML 1.1 makes of an unquoted no
        return {"Name": "no"}
    name, _, retries = text(value).partition(":")
    if name not in {"no", "always", "on-failure", "unless-stopped"}:
        raise ValueError(f"{value!r} is none of no, always, on-failure, unless-stopped")
    return {"Name": name, "MaximumRetryCount": int(retries)} if retries else {"Name": name}


def _logging(value: Any) -> Body:
    options = value.get("options") or {}
    return {"Type": value.get("driver") or "", "Config": strings(options)}


def _ulimits(value: Any) -> list[Body]:
    """Return limits written as one number or as a soft and a hard one."""
    both = {
        name: item if isinstance(item, Mapping) else {"soft": item, "hard": item}
        for name, item in value.items()
    }
    return [
        {"Name": name, "Soft": int(limit["soft"]), "Hard": int(limit["hard"])}
        for name, limit in both.items()
    ]


def _extra_hosts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        addresses = ((host, texts(item)) for host, item in value.items())
        return [f"{host}:{address.strip('[]')}" for host, found in addresses for address in found]
    return [_extra_host(item) for item in texts(value, single=False)]


def _extra_host(item: str) -> str:
    separator = "=" if "=" in item else ":"
    host, _, address = item.partition(separator)
    return f"{host}:{address.strip('[]')}"


def _ports(item: str) -> list[str]:
    """Return the ports of one `expose` entry: 8000, 8000/udp or 8000-8002."""
    numbers, _, protocol = item.partition("/")
    first, _, last = numbers.partition("-")
    return [f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)]


# --- health ---------------------------------------------------------------------------------------


def _healthcheck(value: Mapping[str, Any], policy: HealthPolicy, api: ApiVersion) -> Body:
    """Return the HEALTHCHECK to ask for; nothing leaves the image's own as it is."""
    check = _check(value)
    if api < WITH_START_INTERVAL:
        check.pop("StartInterval", None)
    elif policy.path is None and check.get("Test") != ["NONE"]:
        check = _eager(policy) | check
    return check


def _eager(policy: HealthPolicy) -> Body:
    """Return the settings that make Docker's verdict come as soon as our own probes would.

    Without a test of their own they apply to the image's HEALTHCHECK, if it has one; its default
    would be one look in 30 seconds.
    """
    return {
        "StartInterval": nanoseconds(policy.interval),
        "StartPeriod": nanoseconds(policy.deadline),
    }


def _check(value: Mapping[str, Any]) -> Body:
    only(value, "healthcheck", {"test", "disable", "retries", *_CHECK_DURATIONS})
    if value.get("disable"):
        return {"Test": ["NONE"]}
    check: Body = {}
    test = value.get("test")
    if isinstance(test, str):
        check["Test"] = ["CMD-SHELL", test]
    elif test is not None:
        check["Test"] = texts(test)
        if not check["Test"] or check["Test"][0] not in {"NONE", "CMD", "CMD-SHELL"}:
            raise ValueError("test must begin with CMD, CMD-SHELL or NONE")
    for key, name in _CHECK_DURATIONS.items():
        if value.get(key) is not None:
            check[name] = nanoseconds(value[key])
    if value.get("retries") is not None:
        check["Retries"] = int(value["retries"])
    return check


_CHECK_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
}


# --- where each setting goes ----------------------------------------------------------------------

_Convert = Callable[[Any], Any]

_OF_CONTAINER: Mapping[str, tuple[str, _Convert]] = {
    "command": ("Cmd", words),
    "domainname": ("Domainname", text),
    "entrypoint": ("Entrypoint", words),
    "environment": ("Env", _environment),
    "hostname": ("Hostname", text),
    "labels": ("Labels", strings),
    "stdin_open": ("OpenStdin", bool),
    "stop_grace_period": ("StopTimeout", whole_seconds),
    "stop_signal": ("StopSignal", text),
    "tty": ("Tty", bool),
    "user": ("User", text),
    "working_dir": ("WorkingDir", text),
}

_OF_HOST: Mapping[str, tuple[str, _Convert]] = {
    "annotations": ("Annotations", strings),
    "cap_add": ("CapAdd", texts),
    "cap_drop": ("CapDrop", texts),
    "cgroup": ("CgroupnsMode", text),
    "cgroup_parent": ("CgroupParent", text),
    "cpu_period": ("CpuPeriod", int),
    "cpu_quota": ("CpuQuota", int),
    "cpu_rt_period": ("CpuRealtimePeriod", int),
    "cpu_rt_runtime": ("CpuRealtimeRuntime", int),
    "cpu_shares": ("CpuShares", int),
    "cpus": ("NanoCpus", nano_cpus),
    "cpuset": ("CpusetCpus", text),
    "device_cgroup_rules": ("DeviceCgroupRules", texts),
    "dns": ("Dns", texts),
    "dns_opt": ("DnsOptions", texts),
    "dns_search": ("DnsSearch", texts),
    "extra_hosts": ("ExtraHosts", _extra_hosts),
    "group_add": ("GroupAdd", texts),
    "init": ("Init", bool),
    "ipc": ("IpcMode", text),
    "logging": ("LogConfig", _logging),
    "mem_limit": ("Memory", size),
    "mem_reservation": ("MemoryReservation", size),
    "mem_swappiness": ("MemorySwappiness", int),
    "memswap_limit": ("MemorySwap", size),
    "oom_kill_disable": ("OomKillDisable", bool),
    "oom_score_adj": ("OomScoreAdj", int),
    "pid": ("PidMode", text),
    "pids_limit": ("PidsLimit", int),
    "privileged": ("Privileged", bool),
    "read_only": ("ReadonlyRootfs", bool),
    "restart": ("RestartPolicy", _restart),
    "runtime": ("Runtime", text),
    "shm_size": ("ShmSize", size),
    "storage_opt": ("StorageOpt", strings),
    "sysctls": ("Sysctls", strings),
    "tmpfs": ("Tmpfs", tmpfs),
    "ulimits": ("Ulimits", _ulimits),
    "userns_mode": ("UsernsMode", text),
    "uts": ("UTSMode", text),
}

_SEVERAL_OF_HOST: Mapping[str, Callable[[Any], Body]] = {
    "blkio_config": blkio,
    "security_opt": security,
}

SUPPORTED_KEYS: frozenset[str] = frozenset(
    {"deploy", "devices", "expose", "gpus", "healthcheck", "networks", "platform", "volumes"}
    | {"configs", "secrets"}
    | set(_OF_CONTAINER)
    | set(_OF_HOST)
    | set(_SEVERAL_OF_HOST)
)
"""The Compose service keys this module understands; the desired file refuses all others."""

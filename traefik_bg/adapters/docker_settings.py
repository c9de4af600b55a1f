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

from traefik_bg.adapters.docker_mounts import mounting, tmpfs
from traefik_bg.adapters.docker_units import (
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

ApiVersion = tuple[int, int]

WITH_START_INTERVAL: ApiVersion = (1, 44)  # Engine 25; older ones refuse the field
WITH_ALL_NETWORKS: ApiVersion = (1, 44)  # older ones take one network at creation
NEWEST: ApiVersion = (1, 999)

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One creation of a container, in Docker's words."""

    body: Body
    platform: str | None = None
    endpoints: Mapping[str, Body] = field(default_factory=dict)
    """All its networks, the shared one first."""


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
            _apply(key, settings[key], body, host)
    body["Labels"] = body.get("Labels", {}) | labels
    with _refusing(spec, "healthcheck"):
        if check := _healthcheck(settings.get("healthcheck") or {}, spec.health, api):
            body["Healthcheck"] = check
    endpoints: dict[str, Body] = {network: {}}
    with _refusing(spec, "networks"):
        endpoints |= _endpoints(settings.get("networks"))
    at_creation = endpoints if api >= WITH_ALL_NETWORKS else {network: endpoints[network]}
    body |= {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": at_creation}}
    return Creation(body=body, platform=settings.get("platform"), endpoints=endpoints)


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


def _apply(key: str, value: Any, body: Body, host: Body) -> None:
    """Write one setting where Docker wants it."""
    if key in _OF_CONTAINER:
        name, convert = _OF_CONTAINER[key]
        body[name] = convert(value)
    elif key in _OF_HOST:
        name, convert = _OF_HOST[key]
        host[name] = convert(value)
    elif key == "expose":
        body["ExposedPorts"] |= {port: {} for item in value for port in _ports(text(item))}
    elif key == "volumes":
        found = mounting(value)
        body["Volumes"] = found.anonymous
        host |= {"Binds": found.binds, "Mounts": found.mounts}
    elif key == "devices":
        host["Devices"], requests = _devices(value)
        host.setdefault("DeviceRequests", []).extend(requests)
    elif key == "deploy":
        limits, requests = _deploy(value)
        host |= limits
        host.setdefault("DeviceRequests", []).extend(requests)


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


def _devices(value: Any) -> tuple[list[Body], list[Body]]:
    """Return devices by path, and requests for devices by name."""
    made: list[Body] = []
    by_name: list[str] = []
    for item in value:
        if isinstance(item, Mapping):
            source, target = text(item.get("source")), item.get("target")
            permissions = item.get("permissions")
        else:
            source, _, rest = text(item).partition(":")
            target, _, permissions = rest.partition(":")
        if "=" in source and not source.startswith("/"):
            by_name.append(source)  # the container device interface: vendor.com/class=name
            continue
        made.append(
            {
                "PathOnHost": source,
                "PathInContainer": target or source,
                "CgroupPermissions": permissions or "rwm",
            }
        )
    return made, [{"Driver": "cdi", "DeviceIDs": by_name}] if by_name else []


def _deploy(value: Any) -> tuple[Body, list[Body]]:
    """Return the limits of `deploy.resources`, and the devices it reserves."""
    _only(value, "deploy", {"resources"})
    resources = value.get("resources") or {}
    _only(resources, "deploy.resources", {"limits", "reservations"})
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    _only(limits, "deploy.resources.limits", {"cpus", "memory", "pids"})
    _only(reserved, "deploy.resources.reservations", {"cpus", "memory", "devices"})
    wanted = (
        ("NanoCpus", limits.get("cpus"), nano_cpus),
        ("Memory", limits.get("memory"), size),
        ("PidsLimit", limits.get("pids"), int),
        ("MemoryReservation", reserved.get("memory"), size),
    )
    made = {name: convert(item) for name, item, convert in wanted if item is not None}
    return made, [_reservation(item) for item in reserved.get("devices") or []]


def _reservation(item: Mapping[str, Any]) -> Body:
    """Return Docker's request for devices such as GPUs; without a number, for all of them."""
    _only(item, "devices", {"driver", "count", "device_ids", "capabilities", "options"})
    request: Body = {
        "Driver": item.get("driver") or "",
        "Capabilities": [texts(item["capabilities"])],
    }
    if item.get("device_ids"):
        request["DeviceIDs"] = texts(item["device_ids"])
    else:
        count = item.get("count", "all")
        request["Count"] = -1 if count == "all" else int(count)
    return request | {"Options": strings(item.get("options") or {})}


def _only(value: Mapping[str, Any], where: str, known: set[str]) -> None:
    if unknown := sorted(set(value) - known):
        raise ValueError(f"{where}.{unknown[0]} is not supported")


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
    _only(value, "healthcheck", {"test", "disable", "retries", *_CHECK_DURATIONS})
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


# --- networks -------------------------------------------------------------------------------------


def _endpoints(value: Any) -> dict[str, Body]:
    """Return the networks of a container and how it is to be known there."""
    if not isinstance(value, Mapping):
        return {name: {} for name in texts(value or [])}
    return {str(name): _endpoint(options or {}) for name, options in value.items()}


def _endpoint(options: Mapping[str, Any]) -> Body:
    if {"ipv4_address", "ipv6_address", "mac_address"} & set(options):
        raise ValueError("blue and green cannot share a fixed address")
    _only(options, "networks", {"aliases", "driver_opts", "priority"})
    endpoint: Body = {}
    if options.get("aliases"):
        endpoint["Aliases"] = texts(options["aliases"])
    if options.get("driver_opts"):
        endpoint["DriverOpts"] = strings(options["driver_opts"])
    return endpoint


# --- where each setting goes ----------------------------------------------------------------------

_Convert = Callable[[Any], Any]

_OF_CONTAINER: Mapping[str, tuple[str, _Convert]] = {
    "command": ("Cmd", words),
    "entrypoint": ("Entrypoint", words),
    "environment": ("Env", _environment),
    "hostname": ("Hostname", text),
    "labels": ("Labels", strings),
    "stop_grace_period": ("StopTimeout", whole_seconds),
    "stop_signal": ("StopSignal", text),
    "tty": ("Tty", bool),
    "user": ("User", text),
    "working_dir": ("WorkingDir", text),
}

_OF_HOST: Mapping[str, tuple[str, _Convert]] = {
    "cap_add": ("CapAdd", texts),
    "cap_drop": ("CapDrop", texts),
    "cpus": ("NanoCpus", nano_cpus),
    "dns": ("Dns", texts),
    "extra_hosts": ("ExtraHosts", _extra_hosts),
    "group_add": ("GroupAdd", texts),
    "init": ("Init", bool),
    "ipc": ("IpcMode", text),
    "logging": ("LogConfig", _logging),
    "mem_limit": ("Memory", size),
    "pid": ("PidMode", text),
    "privileged": ("Privileged", bool),
    "read_only": ("ReadonlyRootfs", bool),
    "restart": ("RestartPolicy", _restart),
    "security_opt": ("SecurityOpt", texts),
    "shm_size": ("ShmSize", size),
    "sysctls": ("Sysctls", strings),
    "tmpfs": ("Tmpfs", tmpfs),
    "ulimits": ("Ulimits", _ulimits),
}

SUPPORTED_KEYS: frozenset[str] = frozenset(
    {"deploy", "devices", "expose", "healthcheck", "networks", "platform", "volumes"}
    | set(_OF_CONTAINER)
    | set(_OF_HOST)
)
"""The Compose service keys this module understands; the desired file refuses all others."""

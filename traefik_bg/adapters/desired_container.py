"""The settings of a container: the Compose specification's service keys, made canonical.

Separate from our own keys because these follow a foreign specification. Every spelling of one
meaning becomes one value here, so that a revision changes only when a container would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema, model_validator

from traefik_bg.adapters.desired_mapping import Composed, NoEffect, is_empty
from traefik_bg.adapters.desired_mounts import Grant, Volume, by_target, device, granted_once
from traefik_bg.adapters.desired_resources import Blkio, Deploy, Gpus, Microseconds, Swap
from traefik_bg.adapters.desired_tree import noun
from traefik_bg.adapters.desired_values import (
    AlsoAs,
    Between,
    DurationText,
    Number,
    OneOf,
    Pairs,
    Size,
    Switch,
    Text,
    TextOrTexts,
    Texts,
    Variables,
    Words,
    as_list,
    mistake,
    scalar,
    text,
)

_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:[0-9]{1,9})?")
_PORTS = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?")
_OURS = "traefik-bg."


# --- labels, environment, restart -----------------------------------------------------------------


def checked_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return labels that are the user's to say."""
    for name, value in labels.items():
        if name.startswith(_OURS):
            raise mistake(f"labels that begin with {_OURS} are our own", name)
        if name == "traefik" or name.startswith("traefik."):
            if name == "traefik.enable" and value.lower() == "false":
                continue
            raise mistake(
                "this label would make Traefik route to the container past traefik-bg, to blue and "
                "green alike; say it under route (host, rule, entrypoints, middlewares, tls)",
                name,
            )
    return labels


def _restart(value: Any) -> str:
    wanted = "no, always, unless-stopped, on-failure or on-failure:3"
    found = scalar(value, wanted)
    if _RESTART.fullmatch(found.text) is None:
        raise mistake(f"must be {wanted}, not {found.shown}")
    return found.text


# --- networks and names ---------------------------------------------------------------------------


class Attachment(Composed):
    """How a container is known in one network."""

    aliases: Texts | None = None
    driver_opts: Pairs | None = None
    gw_priority: Annotated[int, Between(-(10**9), 10**9)] | None = None
    interface_name: Text | None = None
    priority: NoEffect = None


def _networks(value: Any) -> Any:
    if isinstance(value, list):
        return {text(name): {} for name in value}
    if not isinstance(value, Mapping):
        raise mistake(f"must be a list of networks, not {noun(value)}")
    return {name: {} if is_empty(options) else options for name, options in value.items()}


def _extra_hosts(value: Any) -> list[str]:
    """Return HOST=ADDRESS texts in order."""
    if isinstance(value, Mapping):
        found = [(host, text(item)) for host, items in value.items() for item in as_list(items)]
    elif isinstance(value, list):
        found = [_host_and_address(text(item)) for item in value]
    else:
        raise mistake(f"must be a list of HOST=ADDRESS, not {noun(value)}")
    if not all(host and address for host, address in found):
        raise mistake("each entry must be HOST=ADDRESS")
    return sorted({f"{host.strip()}={address.strip().strip('[]')}" for host, address in found})


def _host_and_address(written: str) -> tuple[str, str]:
    host, _, address = written.partition("=" if "=" in written else ":")
    return host, address


def _namespace(value: Any) -> str:
    found = text(value)
    if found.startswith("service:"):
        raise mistake('"service:" means another Compose service, and there are none here')
    return found


def _ports(value: Any) -> str:
    found = text(value)
    if _PORTS.fullmatch(found) is None:
        raise mistake(f'must be a port such as 8000, 8000/udp or 8000-8002, not "{found}"')
    return found if "/" in found else f"{found}/tcp"


def _each_once(values: list[str]) -> list[str]:
    return sorted(set(values))


_Ports = Annotated[str, BeforeValidator(_ports), WithJsonSchema({"type": ["string", "integer"]})]


# --- healthcheck, logging, ulimits ----------------------------------------------------------------


def _test(value: Any) -> Any:
    if isinstance(value, list):
        if not value or text(value[0]) not in {"NONE", "CMD", "CMD-SHELL"}:
            raise mistake("a list must begin with CMD, CMD-SHELL or NONE")
        return value
    return ["CMD-SHELL", text(value)]


class Healthcheck(Composed):
    """Docker's own HEALTHCHECK."""

    test: Annotated[Words, BeforeValidator(_test)] | None = None
    disable: Switch | None = None
    interval: DurationText | None = None
    timeout: DurationText | None = None
    retries: Annotated[int, Between(0, 10**6)] | None = None
    start_period: DurationText | None = None
    start_interval: DurationText | None = None


class Logging(Composed):
    """Where a container's output goes."""

    driver: Text | None = None
    options: Pairs | None = None


class _Ulimit(Composed):
    soft: Annotated[int, Between(-1)]
    hard: Annotated[int, Between(-1)]

    @model_validator(mode="before")
    @classmethod
    def _from_one_number(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"soft": value, "hard": value}


# --- all of them ----------------------------------------------------------------------------------


Names = Annotated[Texts, AfterValidator(_each_once)]
"""Texts whose order means nothing."""


class ContainerSettings(Composed):
    """The container settings of an app; what is absent is Docker's or the image's own."""

    annotations: Pairs | None = None
    attach: NoEffect = None
    blkio_config: Blkio | None = None
    cap_add: Names | None = None
    cap_drop: Names | None = None
    cgroup: Annotated[str, OneOf("host", "private")] | None = None
    cgroup_parent: Text | None = None
    command: Words | None = None
    configs: (
        Annotated[list[Annotated[Grant, AlsoAs("string")]], AfterValidator(granted_once)] | None
    ) = None
    cpu_period: Microseconds | None = None
    cpu_quota: Annotated[int, Between(-1)] | None = None
    cpu_rt_period: Microseconds | None = None
    cpu_rt_runtime: Microseconds | None = None
    cpu_shares: Annotated[int, Between(0)] | None = None
    cpus: Number | None = None
    cpuset: Text | None = None
    deploy: Deploy | None = None
    develop: NoEffect = None
    device_cgroup_rules: Texts | None = None
    devices: list[Annotated[str, AlsoAs("object"), BeforeValidator(device)]] | None = None
    dns: TextOrTexts | None = None
    dns_opt: Texts | None = None
    dns_search: TextOrTexts | None = None
    domainname: Text | None = None
    entrypoint: Words | None = None
    environment: Variables | None = None
    expose: Annotated[list[_Ports], AfterValidator(_each_once)] | None = None
    extra_hosts: Annotated[list[str], AlsoAs("object"), BeforeValidator(_extra_hosts)] | None = None
    gpus: Gpus | None = None
    group_add: Names | None = None
    healthcheck: Healthcheck | None = None
    hostname: Text | None = None
    init: Switch | None = None
    ipc: Annotated[Text, BeforeValidator(_namespace)] | None = None
    labels: Annotated[Pairs, AfterValidator(checked_labels)] | None = None
    logging: Logging | None = None
    mem_limit: Size | None = None
    mem_reservation: Size | None = None
    mem_swappiness: Annotated[int, Between(0, 100)] | None = None
    memswap_limit: Swap | None = None
    networks: (
        Annotated[
            dict[str, Annotated[Attachment, AlsoAs("null")]],
            AlsoAs("array", of="string"),
            BeforeValidator(_networks),
        ]
        | None
    ) = None
    oom_kill_disable: Switch | None = None
    oom_score_adj: Annotated[int, Between(-1000, 1000)] | None = None
    pid: Annotated[Text, BeforeValidator(_namespace)] | None = None
    pids_limit: Annotated[int, Between(-1)] | None = None
    platform: Text | None = None
    privileged: Switch | None = None
    read_only: Switch | None = None
    restart: Annotated[str, BeforeValidator(_restart)] | None = None
    runtime: Text | None = None
    secrets: (
        Annotated[list[Annotated[Grant, AlsoAs("string")]], AfterValidator(granted_once)] | None
    ) = None
    security_opt: Texts | None = None
    shm_size: Size | None = None
    stdin_open: Switch | None = None
    stop_grace_period: DurationText | None = None
    stop_signal: Text | None = None
    storage_opt: Pairs | None = None
    sysctls: Pairs | None = None
    tmpfs: TextOrTexts | None = None
    tty: Switch | None = None
    ulimits: dict[str, Annotated[_Ulimit, AlsoAs("integer")]] | None = None
    user: Text | None = None
    userns_mode: Annotated[str, OneOf("host")] | None = None
    uts: Annotated[str, OneOf("host")] | None = None
    volumes: (
        Annotated[list[Annotated[Volume, AlsoAs("string")]], AfterValidator(by_target)] | None
    ) = None
    working_dir: Text | None = None

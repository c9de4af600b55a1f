"""Service blocks of all kinds: no traceback, and no key that is dropped in silence."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.adapters.desired import LEAST
from traefik_bg.adapters.compose_keys import SERVICE, Standing
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.adapters.docker_settings import creation
from traefik_bg.core.errors import DesiredStateErrors, SpecRefused
from traefik_bg.core.model import AppName, AppSpec, canonical_json

FILE = Path("desired.yaml")
FILES = {
    FILE.parent / "web.env": b"A=1",
    FILE.parent / "web.labels": b"team=shop",
    FILE.parent / "seccomp.json": b'{"defaultAction": "SCMP_ACT_ALLOW"}',
    FILE.parent / "key.txt": b"secret",
}
DECLARED = {
    "secrets": {"key": {"file": "key.txt"}, "other": {"environment": "A"}},
    "configs": {"motd": {"content": "hello"}},
    "volumes": {"data": {"external": True}, "nfs": {"driver": "nfs", "driver_opts": {"o": "x"}}},
    "networks": {"back": {"name": "shop_back"}},
}
CARD = {"driver": "nvidia", "count": 2, "capabilities": ["gpu", "utility"], "options": {"a": "b"}}
HEALTH = {"test": ["CMD", "x"], "interval": "5s", "timeout": "2s", "retries": 4}
LIMITS = {"limits": {"cpus": "0.5", "memory": "64m", "pids": 9}}
RESERVED = {"reservations": {"cpus": 1, "memory": "32m", "devices": [CARD]}}

EXAMPLES: Mapping[str, list[Any]] = {
    "annotations": [{"a": "1"}, ["a=1", "b=2"]],
    "attach": [True, False],
    "blkio_config": [
        {"weight": 300, "weight_device": [{"path": "/dev/sda", "weight": 400}]},
        {"device_read_bps": [{"path": "/dev/sda", "rate": "12mb"}]},
        {"device_write_iops": [{"path": "/dev/sda", "rate": 30}]},
    ],
    "cap_add": [["NET_ADMIN"], ["ALL"]],
    "cap_drop": [["ALL"]],
    "cgroup": ["host", "private"],
    "cgroup_parent": ["shop.slice"],
    "command": ["serve 'a b'", ["serve", "-p", 80], []],
    "configs": [["motd"], [{"source": "motd", "target": "/etc/motd", "mode": "0440"}]],
    "cpu_period": [100_000, "100ms"],
    "cpu_quota": [50_000, -1],
    "cpu_rt_period": ["1400us", 11_000],
    "cpu_rt_runtime": ["400ms", 95_000],
    "cpu_shares": [73],
    "cpus": [0.5, "1.5"],
    "cpuset": ["0-3", "0,1"],
    "deploy": [{"resources": LIMITS}, {"resources": RESERVED}, {"resources": LIMITS | RESERVED}],
    "develop": [{"watch": [{"path": ".", "action": "sync"}]}, {"x": 1}],
    "device_cgroup_rules": [["c 1:3 mr", "a 7:* rmw"]],
    "devices": [["/dev/fuse", "vendor.com/gpu=all"], [{"source": "/dev/a", "permissions": "r"}]],
    "dns": ["1.1.1.1", ["1.1.1.1", "9.9.9.9"]],
    "dns_opt": [["use-vc"]],
    "dns_search": ["example.com", ["a", "b"]],
    "domainname": ["example.com"],
    "entrypoint": ["/entry.sh a", []],
    "env_file": ["web.env", [{"path": "web.env", "format": "raw"}]],
    "environment": [{"A": "a", "B": None}, ["A=b", "C"], {"D": 1}],
    "expose": [[9000, "53/udp", "90-91"]],
    "extra_hosts": [{"a": "1.2.3.4"}, ["a:1.2.3.4", "b=[::1]"], {"a": ["1.1.1.1", "::1"]}],
    "gpus": ["all", [CARD], [{"device_ids": ["0"]}]],
    "group_add": [["mail", 44]],
    "healthcheck": [HEALTH, {"disable": True}, {"test": "x", "start_interval": "2s", "start_period": "9s"}],
    "hostname": ["web"],
    "image": ["acme/web:2"],
    "init": [True, False],
    "ipc": ["private", "host"],
    "label_file": ["web.labels", ["web.labels"]],
    "labels": [{"a": 1}, ["a=b"]],
    "logging": [{"driver": "syslog", "options": {"a": "b"}}],
    "mem_limit": ["64m", 67_108_864],
    "mem_reservation": ["32m"],
    "mem_swappiness": [10],
    "memswap_limit": ["1g", -1],
    "networks": [
        ["back", "default"],
        {"back": {"aliases": ["w"], "gw_priority": 1, "priority": 3}, "other": None},
        {"back": {"interface_name": "eth9", "driver_opts": {"a": 1}}},
    ],
    "oom_kill_disable": [True],
    "oom_score_adj": [-500],
    "pid": ["host"],
    "pids_limit": [10, -1],
    "platform": ["linux/amd64"],
    "privileged": [True, False],
    "pull_policy": ["missing", "if_not_present"],
    "read_only": [True, "true"],
    "restart": ["always", "no", "on-failure:3"],
    "runtime": ["runc"],
    "secrets": [["key", "other"], [{"source": "key", "target": "k", "uid": "1", "gid": 2, "mode": "0400"}]],
    "security_opt": [["seccomp:seccomp.json", "no-new-privileges"], ["systempaths=unconfined"]],
    "shm_size": ["64m", 1024],
    "stdin_open": [True],
    "stop_grace_period": ["1m30s", 20],
    "stop_signal": ["SIGQUIT"],
    "storage_opt": [{"size": "1G"}],
    "sysctls": [{"net.core.somaxconn": 1024}, ["a=b"]],
    "tmpfs": ["/ram", ["/ram:size=1m", "/scratch"]],
    "tty": [True],
    "ulimits": [{"nproc": 9, "nofile": {"soft": 1, "hard": 2}}],
    "user": ["1000:1000", 0],
    "userns_mode": ["host"],
    "uts": ["host"],
    "volumes": [
        ["data:/data:ro", "/srv:/srv:rw,z", "/cache", "nfs:/nfs"],
        [{"type": "bind", "source": "/a", "target": "/a", "bind": {"propagation": "rslave"}, "consistency": "cached"}],
        [{"type": "bind", "source": "/a", "target": "/a", "read_only": True, "bind": {"recursive": "readonly", "create_host_path": False}}],
        [{"type": "volume", "source": "v", "target": "/v", "volume": {"nocopy": True, "subpath": "s", "labels": ["a=b"]}}],
        [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m", "mode": "01777"}}],
        [{"type": "image", "source": "acme/data:1", "target": "/i", "image": {"subpath": "s"}}],
    ],
    "working_dir": ["/srv"],
}  # fmt: skip
"""Values of every key that is taken; `extends` has tests of its own."""

SAID_TWICE = {"cpus", "mem_limit", "mem_reservation", "pids_limit"}
"""What deploy says too: a service block has one or the other."""
NOT_IN_THE_SPEC = {"env_file", "label_file", "pull_policy", "image", "attach", "develop"}

blocks = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values in EXAMPLES.items()}
)
odd = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4))
)


def read(block: Mapping[str, Any]) -> Desired | list[str]:
    """Return what a file says in which an app has these keys, or its mistakes."""
    app = {**yaml.safe_load(LEAST), **block}
    text = yaml.safe_dump({**DECLARED, "apps": {"web": app}}, allow_unicode=True)
    files = Files()
    files.contents = {FILE: text.encode("utf-8", "replace"), **FILES}
    try:
        return read_desired(FILE, files, environ={"A": "a"})
    except DesiredStateErrors as errors:
        return [str(error) for error in errors.errors]


def spec(found: Desired) -> AppSpec:
    return found.apps[AppName("web")]


def asked(of: AppSpec) -> str:
    """Return everything Docker is asked for, as text to compare."""
    made = creation(of, labels={}, network="edge")
    volumes = sorted(made.volumes)
    return canonical_json([made.body, made.platform or "", dict(made.endpoints), volumes])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every value of a spec's settings."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def without(value: Any, path: tuple[Any, ...]) -> Any:
    made = copy.deepcopy(value)
    below = made
    for key in path[:-1]:
        below = below[key]
    del below[path[-1]]
    return made


def is_default(found: Any, path: tuple[Any, ...]) -> bool:
    """Tell whether Docker does the same when this is not said."""
    for key in path:
        found = found[key]
    keys = [key for key in path if not isinstance(key, int)]
    return found in (False, {}, []) or (keys[-1] == "count" and found == "all")


def test_every_key_that_is_taken_has_examples() -> None:
    """So that no key is left out below."""
    taken = {
        key
        for key, row in SERVICE.items()
        if "." not in key and row.standing is not Standing.REFUSED
    }
    assert set(EXAMPLES) == taken - {"extends"}


@pytest.mark.parametrize("key", EXAMPLES)
def test_every_example_is_taken(key: str) -> None:
    """What Compose takes is taken here, and what has no effect says so."""
    for value in EXAMPLES[key]:
        found = read({key: value})
        assert isinstance(found, Desired), (value, found)
        said = SERVICE[key].standing is Standing.MEANINGLESS
        assert any(f"apps.web.{key}: has no effect here" in text for text in found.warnings) is said


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"networks": EXAMPLES["networks"][1], "volumes": EXAMPLES["volumes"][1]})
@given(blocks)
def test_no_key_is_dropped_in_silence(block: dict[str, Any]) -> None:
    """Each key of a block is in the spec or in a warning, and each value of the spec reaches Docker."""
    if "deploy" in block:
        block = {key: value for key, value in block.items() if key not in SAID_TWICE}
    found = read(block)
    if not isinstance(found, Desired):
        return
    made = json.loads(spec(found).container)

    for key, value in block.items():
        if key not in NOT_IN_THE_SPEC and value is not False:
            assert key in made, key
    whole = asked(spec(found))
    for path in leaves(made):
        if is_default(made, path):
            continue
        less = replace(spec(found), container=canonical_json(without(made, path)))
        with contextlib.suppress(SpecRefused):  # what is left makes no sense without it
            assert asked(less) != whole, path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blocks, st.dictionaries(st.sampled_from(sorted(SERVICE)), odd, max_size=2))
def test_any_block_is_a_spec_or_mistakes(block: dict[str, Any], wrong: dict[str, Any]) -> None:
    """Whatever is pasted is answered in one of two ways."""
    found = read(block | wrong)

    if isinstance(found, Desired):
        assert asked(spec(found))
    else:
        assert all(mistake.startswith("desired.yaml") for mistake in found)

"""Devices, limits and security, in Docker's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.test_docker_settings import OLD, body, host, made
from traefik_bg.adapters.docker_networks import endpoints
from traefik_bg.core.errors import SpecRefused


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("annotations", {"a": 1}, {"Annotations": {"a": "1"}}),
        ("blkio_config", {"weight": 300}, {"BlkioWeight": 300}),
        (
            "blkio_config",
            {"weight_device": [{"path": "/dev/a", "weight": 400}]},
            {"BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 400}]},
        ),
        (
            "blkio_config",
            {"device_read_bps": [{"path": "/dev/a", "rate": "1k"}]},
            {"BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1024}]},
        ),
        (
            "blkio_config",
            {"device_write_iops": [{"path": "/dev/a", "rate": 9}]},
            {"BlkioDeviceWriteIOps": [{"Path": "/dev/a", "Rate": 9}]},
        ),
        ("cgroup", "private", {"CgroupnsMode": "private"}),
        ("memswap_limit", -1, {"MemorySwap": -1}),
        ("pids_limit", -1, {"PidsLimit": -1}),
        ("security_opt", ["seccomp:unconfined"], {"SecurityOpt": ["seccomp=unconfined"]}),
        ("security_opt", ["label:user:me"], {"SecurityOpt": ["label=user:me"]}),
        ("security_opt", ["no-new-privileges:true"], {"SecurityOpt": ["no-new-privileges:true"]}),
        (
            "security_opt",
            ["systempaths=unconfined"],
            {"SecurityOpt": [], "MaskedPaths": [], "ReadonlyPaths": []},
        ),
        ("uts", "host", {"UTSMode": "host"}),
    ],
)
def test_each_is_put_where_docker_wants_it(key: str, value: Any, expected: dict[str, Any]) -> None:
    """Each key of Compose reaches Docker under Docker's own names."""
    assert expected.items() <= host(**{key: value}).items()


def test_graphics_cards_are_requested_as_compose_does() -> None:
    """All of them, or those of a list, beside what deploy reserves."""
    reserved = {"resources": {"reservations": {"devices": [{"capabilities": ["tpu"]}]}}}
    every = {"Driver": "", "Capabilities": [["gpu"]], "Count": -1, "Options": {}}
    some = [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["utility"]}]

    assert host(gpus="all")["DeviceRequests"] == [every]
    assert host(gpus=some, deploy=reserved)["DeviceRequests"] == [
        {
            "Driver": "nvidia",
            "Capabilities": [["utility", "gpu"]],
            "DeviceIDs": ["0"],
            "Options": {},
        },
        every | {"Capabilities": [["tpu"]]},
    ]


def test_the_process_gets_its_terminal_and_its_domain() -> None:
    """What Docker keeps with the process is not put with the host."""
    assert body(stdin_open=True)["OpenStdin"] is True
    assert body(domainname="example.com")["Domainname"] == "example.com"


class TestDeploy:
    def test_limits_and_reserves(self) -> None:
        """Resources written for Swarm count here too."""
        resources = {
            "limits": {"cpus": "1.5", "memory": "1g", "pids": 100},
            "reservations": {"memory": "256m", "cpus": "0.1"},
        }

        found = host(deploy={"resources": resources})

        assert found["NanoCpus"] == 1_500_000_000
        assert found["Memory"] == 1024**3
        assert found["PidsLimit"] == 100
        assert found["MemoryReservation"] == 256 * 1024**2

    def test_wins_over_the_older_keys(self) -> None:
        """Where both are given, `deploy` is what counts."""
        limits = {"resources": {"limits": {"memory": "1g"}}}

        assert host(deploy=limits, mem_limit="2g")["Memory"] == 1024**3

    def test_reserves_devices(self) -> None:
        """Graphics cards are requested as Compose requests them, all of them unless counted."""
        all_of_them = {"driver": "nvidia", "capabilities": ["gpu"]}
        some = all_of_them | {"device_ids": ["0", "3"]}

        def requests(device: dict[str, Any]) -> Any:
            reserved = {"resources": {"reservations": {"devices": [device]}}}
            return host(deploy=reserved)["DeviceRequests"]

        request = {"Driver": "nvidia", "Capabilities": [["gpu"]], "Options": {}}
        assert requests(all_of_them) == [request | {"Count": -1}]
        assert requests(all_of_them | {"count": 2}) == [request | {"Count": 2}]
        assert requests(some) == [request | {"DeviceIDs": ["0", "3"]}]

    @pytest.mark.parametrize(
        ("deploy", "where"),
        [
            ({"replicas": 2}, "deploy.replicas"),
            ({"resources": {"limit": {}}}, "deploy.resources.limit"),
            ({"resources": {"limits": {"disk": 1}}}, "deploy.resources.limits.disk"),
        ],
    )
    def test_refuses_what_is_not_about_resources(self, deploy: dict[str, Any], where: str) -> None:
        """What would be ignored is refused by its full name."""
        with pytest.raises(SpecRefused, match=f"{where} is not supported"):
            host(deploy=deploy)


class TestNetworks:
    def test_call_the_shared_one_default(self) -> None:
        """Compose's word for the network that every service is in."""
        assert endpoints({"default": {"aliases": ["w"]}, "db": None}, "edge", (1, 49)) == {
            "edge": {"Aliases": ["w"]},
            "db": {},
        }

    def test_name_interfaces_and_gateways(self) -> None:
        """An interface's name is one of the driver's options."""
        options = {"interface_name": "eth9", "gw_priority": 2, "driver_opts": {"a": 1}}

        assert endpoints({"db": options}, "edge", (1, 49))["db"] == {
            "DriverOpts": {"a": "1", "com.docker.network.endpoint.ifname": "eth9"},
            "GwPriority": 2,
        }


RECURSIVE = {"type": "bind", "source": "/a", "target": "/a", "bind": {"recursive": "disabled"}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"annotations": {"a": "1"}}, "web: annotations: wants Docker Engine 24 or newer"),
        ({"networks": {"db": {"gw_priority": 1}}}, "gw_priority wants Docker Engine 28 or newer"),
        ({"networks": {"db": {"interface_name": "e"}}}, "wants Docker Engine 28.1 or newer"),
        ({"volumes": [RECURSIVE]}, "recursive wants Docker Engine 25 or newer"),
    ],
)
def test_what_an_older_engine_would_ignore_is_refused(settings: dict[str, Any], words: str) -> None:
    """Docker drops fields it does not know without a word; here they are not dropped."""
    with pytest.raises(SpecRefused, match=words):
        made(api=(1, 42) if "annotations" in settings else OLD, **settings)


def test_binds_that_say_more_than_a_short_form_can() -> None:
    """How what is mounted below is treated has no short form."""
    volume = RECURSIVE | {"read_only": True, "bind": {"recursive": "readonly"}}

    assert host(volumes=[volume])["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/a",
            "Target": "/a",
            "ReadOnly": True,
            "BindOptions": {"ReadOnlyForceRecursive": True, "CreateMountpoint": True},
        }
    ]
    both = volume | {"bind": {"recursive": "enabled", "selinux": "z"}}
    with pytest.raises(SpecRefused, match="selinux goes neither with recursive"):
        host(volumes=[both])

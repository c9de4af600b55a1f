"""Compose's keys against a real Docker Engine: what is accepted is what the container has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.corner import HOST, READY, Corner, Line, Wakes, corner_of_docker, only, running
from traefik_bg.adapters.docker_contents import content_digest
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.docker_networks import WITH_INTERFACE_NAME
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.errors import EngineUnavailable, SpecRefused
from traefik_bg.core.model import AppSpec
from traefik_bg.core.observation import ContainerState

SECRET = b"correct horse\n"
DIGEST = content_digest(SECRET)


@pytest.fixture
def corner() -> Iterator[Corner]:
    with corner_of_docker() as corner:
        yield corner


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(corner: Corner, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    vault = Vault({DIGEST: SECRET})
    async with DockerEngine(corner.instance, corner.network, wakes, vault=vault) as engine:
        yield engine


def granted(target: str = "/run/secrets/key", **more: Any) -> dict[str, Any]:
    return {"source": "key", "target": target, "digest": DIGEST} | more


def spec(corner: Corner, **settings: Any) -> AppSpec:
    return corner.spec(**({"secrets": [granted()]} | settings))


async def test_every_limit_reaches_the_container(corner: Corner, engine: DockerEngine) -> None:
    """What Docker runs is what the spec said."""
    wanted = corner.spec(
        environment=READY,
        annotations={"com.example.owner": "shop"},
        cgroup="private",
        cpu_shares=512,
        cpu_period=100_000,
        cpu_quota=50_000,
        cpuset="0",
        device_cgroup_rules=["c 1:3 mr"],
        dns_opt=["use-vc"],
        dns_search=["example.com"],
        domainname="example.com",
        mem_limit="64m",
        mem_reservation="32m",
        memswap_limit=-1,
        oom_score_adj=100,
        pids_limit=99,
        security_opt=["seccomp:unconfined", "systempaths=unconfined"],
        stdin_open=True,
        userns_mode="host",
    )
    name = await running(corner, engine, wanted)

    found = corner.inspect(name)
    host, config = found["HostConfig"], found["Config"]
    assert host["Annotations"] == {"com.example.owner": "shop"}
    assert (host["CgroupnsMode"], host["UsernsMode"]) == ("private", "host")
    assert (host["CpuShares"], host["CpuPeriod"], host["CpuQuota"]) == (512, 100_000, 50_000)
    assert (host["CpusetCpus"], host["PidsLimit"], host["OomScoreAdj"]) == ("0", 99, 100)
    assert (host["MemoryReservation"], host["MemorySwap"]) == (32 * 1024**2, -1)
    assert (host["DnsOptions"], host["DnsSearch"]) == (["use-vc"], ["example.com"])
    assert host["DeviceCgroupRules"] == ["c 1:3 mr"]
    assert (host["SecurityOpt"], host["MaskedPaths"]) == (["seccomp=unconfined"], [])
    assert (config["Domainname"], config["OpenStdin"]) == ("example.com", True)


async def test_mounts_have_their_options(corner: Corner, engine: DockerEngine) -> None:
    """A volume is made as it was declared; an external one must be there."""
    made, missing = corner.volume("made"), f"{corner.network}-missing"
    options = {
        "labels": {"a": "1"},
        "driver": "local",
        "driver_opts": {"type": "tmpfs", "device": "t"},
    }
    new = {"type": "volume", "source": f"{corner.network}-new", "target": "/new", "volume": options}
    there = {"type": "volume", "source": made, "target": "/there", "external": True}
    bind = {"type": "bind", "source": "/etc", "target": "/host", "bind": {"recursive": "disabled"}}
    name = await running(corner, engine, corner.spec(volumes=[new, there, bind]))

    assert {mount["Destination"] for mount in corner.inspect(name)["Mounts"]} == {
        "/new",
        "/there",
        "/host",
    }
    found = corner.client.inspect_volume(f"{corner.network}-new")
    corner._volumes.append(found["Name"])  # noqa: SLF001 - Docker made it
    assert (found["Labels"], found["Options"]["type"]) == ({"a": "1"}, "tmpfs")
    absent = corner.spec(volumes=[there | {"source": missing}])
    with pytest.raises(SpecRefused, match=f"docker volume create {missing}"):
        await engine.create(corner.name(absent), 1, absent, absent.image)


async def test_networks_have_their_options(corner: Corner, engine: DockerEngine) -> None:
    """The shared network is Compose's default; what an engine is too old for is refused."""
    name = await running(corner, engine, corner.spec(networks={"default": {"aliases": ["me"]}}))
    assert "me" in corner.inspect(name)["NetworkSettings"]["Networks"][corner.network]["Aliases"]

    other = corner.other_network()
    wanted = corner.spec(networks={other: {"gw_priority": 5, "interface_name": "back0"}})
    if corner.api < WITH_INTERFACE_NAME:
        with pytest.raises(SpecRefused, match=r"wants Docker Engine 28"):
            await running(corner, engine, wanted)
        return
    name = await running(corner, engine, wanted)
    assert corner.inspect(name)["NetworkSettings"]["Networks"][other]["GwPriority"] == 5
    assert "back0" in corner.output(name, "ls /sys/class/net")


class TestSecrets:
    async def test_are_there_before_the_app_runs(
        self, corner: Corner, engine: DockerEngine
    ) -> None:
        """Content, owner and mode are what was granted; the labels have a digest only."""
        wanted = spec(
            corner,
            secrets=[granted(), granted("/etc/deep/er/key", uid=1000, gid=1001, mode=0o440)],
            configs=[granted("/motd")],
        )
        name = await running(corner, engine, wanted)

        assert corner.output(name, "cat /run/secrets/key /motd") == SECRET.decode() * 2
        shown = corner.output(name, "stat -c '%u %g %a' /etc/deep/er/key /run/secrets/key")
        assert shown.split("\n")[:2] == ["1000 1001 440", "0 0 444"]
        assert SECRET.decode().strip() not in str(corner.inspect(name))
        assert DIGEST in str(corner.inspect(name)["Config"]["Labels"])

    @pytest.mark.parametrize("settings", [{"read_only": True}, {"tmpfs": ["/run"]}])
    async def test_are_there_where_nothing_can_be_copied_to(
        self, corner: Corner, engine: DockerEngine, settings: dict[str, Any]
    ) -> None:
        """A volume of the container's own carries them, and is gone with it."""
        name = await running(corner, engine, spec(corner, **settings))

        assert corner.output(name, "cat /run/secrets/key") == SECRET.decode()
        (mount,) = corner.inspect(name)["Mounts"]
        await engine.stop(name)
        await engine.remove(name)
        volumes = corner.client.volumes()["Volumes"] or []
        assert mount["Name"] not in {volume["Name"] for volume in volumes}

    async def test_survive_a_restart_of_the_container(
        self, corner: Corner, engine: DockerEngine
    ) -> None:
        """What has run once still has its secrets when it is started again."""
        name = await running(corner, engine, spec(corner, tmpfs=["/run"]))

        await engine.stop(name)
        await engine.start(name)

        assert corner.output(name, "cat /run/secrets/key") == SECRET.decode()

    async def test_are_put_in_though_the_service_died_between_creation_and_start(
        self, corner: Corner, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Another process starts what was only created: it is filled, or it is not started."""
        wanted = spec(corner)
        name = corner.name(wanted)
        await engine.create(name, 1, wanted, wanted.image)

        async with DockerEngine(corner.instance, corner.network, wakes) as ignorant:
            with pytest.raises(SpecRefused, match=r"what key held .* is not to be had any more"):
                await ignorant.start(name)
            assert (await only(ignorant, corner.app)).state is ContainerState.CREATED
        await engine.start(name)

        assert corner.output(name, "cat /run/secrets/key") == SECRET.decode()

    async def test_are_taken_from_a_replica_that_has_them(
        self, corner: Corner, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """A replica made later holds the same, though the service has forgotten the content."""
        wanted = spec(corner, tmpfs=["/run"])
        first, second = (corner.name(wanted, number) for number in (1, 2))
        await engine.create(first, 1, wanted, wanted.image)
        await engine.start(first)

        async with DockerEngine(corner.instance, corner.network, wakes) as ignorant:
            await ignorant.create(second, 2, wanted, wanted.image)
            await ignorant.start(second)

        assert corner.output(second, "cat /run/secrets/key") == SECRET.decode()

    async def test_are_whole_when_the_answer_to_the_copy_was_lost(
        self, corner: Corner, wakes: Wakes, tmp_path: Path
    ) -> None:
        """Copying in is safe to do again."""
        line = Line(tmp_path, HOST)
        await line.open()
        wanted = spec(corner)
        name = corner.name(wanted)
        vault = Vault({DIGEST: SECRET})
        engine = DockerEngine(corner.instance, corner.network, wakes, line.url, vault=vault)
        try:
            await engine.create(name, 1, wanted, wanted.image)
            line.loses = b"/archive"
            with pytest.raises(EngineUnavailable):
                await engine.start(name)
            line.loses = None
            await engine.start(name)
        finally:
            await engine.__aexit__(None, None, None)
            await line.cut()

        assert corner.output(name, "cat /run/secrets/key") == SECRET.decode()

"""Probes and the connection count against real containers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from integration.corner import (
    PATIENCE,
    PORT,
    Corner,
    Wakes,
    corner_of_docker,
    eventually,
    only,
    running,
    until_bound,
)
from traefik_bg.adapters.connections import ProcConnectionCounter
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.probe import NetworkProber


@pytest.fixture
def corner() -> Iterator[Corner]:
    with corner_of_docker() as corner:
        yield corner


@pytest.fixture
async def engine(corner: Corner) -> AsyncIterator[DockerEngine]:
    async with DockerEngine(corner.instance, corner.network, Wakes()) as engine:
        yield engine


async def test_probes_see_a_replica_come_up(corner: Corner, engine: DockerEngine) -> None:
    """Not bound, then not ready, then well: each in its own words."""
    late = {"BIND_AFTER": "1", "READY_AFTER": "1"}
    spec = corner.spec(environment=late)
    await running(corner, engine, spec)
    replica = await only(engine, corner.app)
    details: list[str] = []
    async with NetworkProber() as prober, asyncio.timeout(PATIENCE):
        while "HTTP 200" not in details:
            result = await prober.probe(replica, PORT, spec.health)
            if result.detail not in details:
                details.append(result.detail)
            await asyncio.sleep(0.02)

    assert details == ["connection refused", "HTTP 503", "HTTP 200"]


async def test_connections_are_counted_until_they_end(corner: Corner, engine: DockerEngine) -> None:
    """A running request counts, whatever the image; one that has ended does not."""
    await running(corner, engine, corner.spec())
    replica = await only(engine, corner.app)
    counter = ProcConnectionCounter()
    await until_bound(replica)
    assert await counter.open_connections(replica, PORT) == 0

    _, writer = await asyncio.open_connection(replica.ip, PORT)
    assert await counter.open_connections(replica, PORT) == 1
    writer.close()
    await writer.wait_closed()

    async def is_idle() -> bool:
        return await counter.open_connections(replica, PORT) == 0

    await eventually(is_idle)
    await engine.stop(replica.name)
    assert await counter.open_connections(replica, PORT) is None

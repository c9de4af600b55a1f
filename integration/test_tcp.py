"""What does not speak HTTP: connections are cut over one by one, and none is refused or cut.

The app is the sample's little brother: it greets with its version, and says lines back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from integration.stage import Stage

PORT = 7000
DRAIN = 5.0
EVERY = 0.02  # seconds between two new connections


@dataclass(kw_only=True)
class Callers:
    """New connections all along: each hears who answers, says a line, and hears it back."""

    host: str
    answered: list[tuple[float, str]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    async def call(self) -> None:
        """Make one connection, and end it."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(self.host, PORT)
                version = await greeting(reader)
                answer = await said(reader, writer, "hello")
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            self.troubles.append(f"at {began:.3f}: {error!r}")
            return
        if not version or answer != f"{version} hello":
            self.troubles.append(f"at {began:.3f}: heard {version!r}, then {answer!r}")
        self.answered.append((began, version))

    async def go_on(self, stop: asyncio.Event) -> None:
        """Call at fixed times, whatever becomes of the calls before."""
        async with asyncio.TaskGroup() as calls:
            while not stop.is_set():
                calls.create_task(self.call())
                await asyncio.sleep(EVERY)

    def versions(self, after: float = 0.0) -> set[str]:
        """Return who answered the connections that began after that instant."""
        return {version for began, version in self.answered if began >= after}


async def greeting(reader: asyncio.StreamReader) -> str:
    """Return the version that the server names first."""
    return (await reader.readline()).decode().partition(" ")[0]


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> str:
    """Say a line; return the answer, empty at the end of the connection."""
    writer.write(f"{text}\n".encode())
    await writer.drain()
    return (await reader.readline()).decode().strip()


@asynccontextmanager
async def calling(scene: Stage) -> AsyncIterator[Callers]:
    """Have callers for as long as the block lasts."""
    callers, stop = Callers(host=scene.traefik_address), asyncio.Event()
    task = asyncio.create_task(callers.go_on(stop))
    try:
        yield callers
    finally:
        stop.set()
        await task


def want(scene: Stage, version: str, **rollout: Any) -> None:
    """Wish for a version of the server of lines."""
    scene.want(
        version,
        command=["python3", "lines.py"],
        route={"tcp": True, "entrypoints": ["lines"]},
        health={"path": None, "interval": "100ms"},
        rollout={"bake": "1s", "drain": f"{DRAIN:g}s", **rollout},
    )


@pytest.mark.timeout(120)
async def test_connections_are_cut_over_and_long_ones_stay_until_the_drain_is_over(
    scene: Stage,
) -> None:
    """50 new connections a second, through a step and the cutover; one stays open all along."""
    want(scene, "v1")
    scene.start_service()
    await scene.until_settled("v1")
    async with calling(scene) as callers:
        reader, writer = await asyncio.open_connection(scene.traefik_address, PORT)
        assert await greeting(reader) == "v1"
        want(scene, "v2", strategy="canary", steps=[{"weight": 50, "pause": "2s"}])
        await scene.until_weight("v2", 50)
        half = time.monotonic()
        await scene.until_serving("v2")
        cutover = time.monotonic()
        while (answer := await said(reader, writer, "still here")) == "v1 still here":
            lived = time.monotonic()
            await asyncio.sleep(0.05)
        await scene.until_settled("v2")
        writer.close()
    print(f"{len(callers.answered)} connections, {len(callers.troubles)} in trouble")
    print(
        f"the long one lived for {lived - cutover:.2f} s after the cutover, and ended: {answer!r}"
    )
    assert not callers.troubles
    assert callers.versions(half) == {"v1", "v2"}
    assert callers.versions(cutover) == {"v2"}
    assert not answer
    assert lived - cutover > DRAIN - 0.5

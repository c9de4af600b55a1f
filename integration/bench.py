"""Speed, as distances to the limits of the machine at hand; nothing here passes or fails.

    make bench

Prints, from one run: what an edit costs over the app's own start, what a switch of traffic costs
over the file provider, what the way back costs, how true the shares of a canary are, how long
requests wait for what must not run twice, and what the idle service costs with 1 and with 50 apps.
Docker's own create and start are measured in the same run, because they are the limit.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import structlog
from rich.console import Console
from rich.table import Table

from integration.bench_rollouts import pauses, shares, ways_back
from integration.figure import Figure
from integration.meter import Report
from integration.stage import APP, HOST, SAMPLE, Stage, docker, stage
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.core.model import AppName, ReplicaName, RevisionId, Route, Routing, Server, Share

OWN_START = 3.0  # seconds the sample app needs until it is ready
DEPLOYMENTS = 6
SWITCHES = 60
IDLE_FOR = 20.0
MANY = 50


async def docker_itself(scene: Stage) -> Figure:
    """Measure what Docker needs to create and start two containers at once."""
    taken = []
    for number in range(5):
        began = time.monotonic()
        names = [f"{scene.name}-limit-{number}-{index}" for index in range(2)]
        await asyncio.gather(
            *(
                asyncio.to_thread(
                    docker, "run", "-d", "--name", name, "--network", scene.name, f"{SAMPLE}:v1"
                )
                for name in names
            )
        )
        taken.append((time.monotonic() - began) * 1000)
        docker("rm", "-f", *names)
    return Figure("docker run of 2 containers, by itself", taken, "ms", "(the limit)")


async def deployments(scene: Stage) -> list[Figure]:
    """Measure edit → first green and edit → all green, less the app's own start."""
    scene.want("v1")
    scene.start_service()
    await scene.until_settled("v1")
    first, everything = [], []
    version = "v1"
    async with scene.load(rate=200, slow=0, websockets=0) as meter:
        for number in range(DEPLOYMENTS):
            old, version = version, "v2" if version == "v1" else "v1"
            meter.mark(f"edit {number}")
            scene.want(version, rollout={"bake": "1s", "drain": "2s"})
            await scene.until_settled(version)
        report = await meter.stop()
    for number in range(DEPLOYMENTS):
        began = report.marks[f"edit {number}"]
        new = "v2" if number % 2 == 0 else "v1"
        old = "v1" if number % 2 == 0 else "v2"
        answer = report.first_answer_from(new, after=began)
        assert answer is not None
        first.append((answer.ended - began - OWN_START) * 1000)
        end = report.marks.get(f"edit {number + 1}", report.until)
        last = max(_sent_to(report, old, began, end), default=began)
        everything.append((last - began - OWN_START) * 1000)
    if report.lost():
        print(report.table(), file=sys.stderr)
    return [
        Figure("edit → first green answer, less 3.0 s", first, "ms", "goal ≤ 600"),
        Figure("edit → all green, less 3.0 s", everything, "ms", "goal ≤ 600"),
    ]


def _sent_to(report: Report, version: str, after: float, before: float) -> list[float]:
    return [
        exchange.started
        for exchange in report.answers_between(after, before)
        if exchange.version == version
    ]


async def switches(scene: Stage) -> Figure:
    """Measure publish → first answer of green, over the file provider."""
    servers = {}
    for version in ("v1", "v2"):
        name = f"{scene.name}-{version}"
        docker(
            "run", "-d", "--name", name, "--network", scene.name,
            "-e", "BIND_AFTER=0", "-e", "READY_AFTER=0", f"{SAMPLE}:{version}",
        )  # fmt: skip
        servers[version] = Server(replica=ReplicaName(name), address=name, port=8000)
    router = TraefikRouter(
        state_dir=scene.root / "state",
        dynamic_dir=scene.root / "routing/dynamic",
        wake=lambda _app: None,
        api_urls=[scene.traefik_api],
    )
    task = asyncio.create_task(router.run())
    await asyncio.sleep(2)
    taken = []
    try:
        async with aiohttp.ClientSession() as session:
            for number in range(SWITCHES):
                version = ("v1", "v2")[number % 2]
                began = time.monotonic()
                await router.publish(AppName(APP), _only(version, servers[version]))
                await _answered_by(session, scene.url, version)
                if number > 0:
                    taken.append((time.monotonic() - began) * 1000)
                await asyncio.sleep(0.1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        docker("rm", "-f", *(server.replica for server in servers.values()))
    return Figure("publish → first answer of green (file)", taken, "ms", "goal ≤ 10 median")


def _only(version: str, server: Server) -> Routing:
    share = Share(revision=RevisionId(version), weight=100, servers=(server,))
    return Routing(shares=(share,), routes=(Route(rule=f"Host(`{HOST}`)"),))


async def _answered_by(session: aiohttp.ClientSession, url: str, version: str) -> None:
    async with asyncio.timeout(20):
        while True:
            async with session.get(url, headers={"Host": HOST}) as answer:
                if answer.headers.get("X-Version") == version:
                    return


async def idle(scene: Stage, count: int) -> list[Figure]:
    """Measure what the service costs while nothing happens."""
    app = {
        "image": f"{SAMPLE}:v1",
        "port": 8000,
        "environment": {"BIND_AFTER": "0", "READY_AFTER": "0"},
        "health": {"path": "/health"},
        "rollout": {"bake": "1s"},
    }
    names = [APP] if count == 1 else [f"app{number}" for number in range(count)]
    scene.write({"apps": {name: {**app, "route": {"host": f"{name}.localhost"}} for name in names}})
    scene.start_service()
    await _all_settled(scene, names)
    assert scene.process is not None
    before, began = _cpu(scene.process.pid), time.monotonic()
    await asyncio.sleep(IDLE_FOR)
    share = 100 * (_cpu(scene.process.pid) - before) / (time.monotonic() - began)
    memory = _memory(scene.process.pid)
    label = "1 app" if count == 1 else f"{count} apps"
    return [
        Figure(f"idle memory, {label}", [memory], "MB", "goal ≤ 80"),
        Figure(f"idle CPU, {label}", [share], "% of a core"),
    ]


async def _all_settled(scene: Stage, names: Sequence[str]) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(300):
        while True:
            await asyncio.sleep(0.5)
            try:
                async with session.get(f"{scene.api}/api/apps") as answer:
                    apps = (await answer.json())["apps"]
            except aiohttp.ClientError:
                continue
            if len(apps) == len(names) and all(app["phase"] == "settled" for app in apps):
                return


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _memory(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def measure() -> list[Figure]:
    """Run everything, one stage each."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with stage(root / "docker") as scene:
            figures.append(await docker_itself(scene))
        async with stage(root / "deployments") as scene:
            figures += await deployments(scene)
        async with stage(root / "switches") as scene:
            figures.append(await switches(scene))
        for measured in (ways_back, shares, pauses):
            async with stage(root / measured.__name__) as scene:
                figures += await measured(scene)
        for count in (1, MANY):
            async with stage(root / f"idle-{count}") as scene:
                figures += await idle(scene, count)
    return figures


def main() -> None:
    """Measure, and print a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table("", "min", "median", "max", "", title="traefik-bg on this machine")
    for figure in asyncio.run(measure()):
        table.add_row(*figure.row())
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

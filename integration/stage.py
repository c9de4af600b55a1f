"""A real Traefik, a real traefik-bg and the sample app, for one test.

Everything is made for the test and removed by name afterwards: a network of its own, a Traefik
container with a fixed address in it, and the service as a process that can be killed. Needs the
world of `scripts/testbed`: a Docker Engine of its own and the images.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp

from integration.meter import Load, Meter

HOST = "sample.localhost"
APP = "sample"
SAMPLE = os.environ.get("TESTBED_SAMPLE_IMAGE", "traefik-bg-sample")
TRAEFIK = os.environ.get("TRAEFIK_IMAGE", "traefik-bg/traefik:local")
SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
# as in config/traefik.yaml
BUCKETS = "0.005,0.01,0.015,0.025,0.035,0.05,0.075,0.1,0.15,0.25,0.35,0.5,0.75,1,1.5,2.5,5"
QUICK = {"BIND_AFTER": "0.2", "READY_AFTER": "0.2"}  # where the app's start is not the point
_numbers = itertools.count(1)


class Provider(StrEnum):
    """How Traefik gets its configuration."""

    FILE = "file"
    HTTP = "http"


def docker(*arguments: str, check: bool = True) -> str:
    """Run the docker command line; returns what it printed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@dataclass(kw_only=True)
class Stage:
    """One test's world."""

    root: Path
    provider: Provider = Provider.FILE
    watches_docker: bool = False
    """Whether Traefik routes by the labels of this network's containers, too."""
    number: int = field(default_factory=lambda: next(_numbers))
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    """What the service has in its environment, beside what we have."""

    # --- names ------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What everything of this stage is called."""
        return f"bg-stage-{os.getpid()}-{self.number}"

    @property
    def subnet(self) -> str:
        """The network of this stage alone."""
        return f"10.231.{self.number % 250}.0/24"

    @property
    def _base(self) -> str:
        return self.subnet.removesuffix("0/24")

    @property
    def traefik_address(self) -> str:
        """Where Traefik answers, from this machine and from its network."""
        return f"{self._base}250"

    @property
    def url(self) -> str:
        """Traefik's entry point."""
        return f"http://{self.traefik_address}:80"

    @property
    def traefik_api(self) -> str:
        """Traefik's API."""
        return f"http://{self.traefik_address}:8080"

    @property
    def api(self) -> str:
        """The service's API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def desired(self) -> Path:
        """The desired-state file."""
        return self.root / "desired.yaml"

    @property
    def log(self) -> Path:
        """The service's log, of all its lives."""
        return self.root / "service.log"

    # --- setting up -------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the network, Traefik's folders and its certificate."""
        keys = self.root / "routing"
        for folder in (self.root / "state", keys / "dynamic"):
            folder.mkdir(parents=True)
        docker(
            "network", "create", "--subnet", self.subnet, "--gateway", f"{self._base}1",
            "--ip-range", f"{self._base}0/25", self.name,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", "/CN=stage", "-keyout", keys / "key.pem",
             "-out", keys / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        (keys / "dynamic/00-base.yml").write_text(
            "tls: {stores: {default: {defaultCertificate: "
            "{certFile: /routing/cert.pem, keyFile: /routing/key.pem}}}}\n"
        )

    def start_traefik(self) -> None:
        """Start Traefik as a container of the stage's network."""
        provider = (
            f"--providers.http.endpoint=http://{self._base}1:{self.port}/provider?wait=25s",
            "--providers.http.pollinterval=5ms",
            "--providers.http.polltimeout=30s",
        )
        labels = (
            "--providers.docker=true",
            "--providers.docker.exposedbydefault=false",
            f"--providers.docker.network={self.name}",
            f"--providers.docker.constraints=Label(`stage`, `{self.name}`)",
        )
        docker(
            "run", "-d", "--name", f"{self.name}-traefik", "--network", self.name,
            "--ip", self.traefik_address, "-v", f"{self.root}/routing:/routing",
            *(("-v", f"{SOCKET}:/var/run/docker.sock") if self.watches_docker else ()), TRAEFIK,
            "--entrypoints.web.address=:80",
            "--entrypoints.web.transport.respondingtimeouts.readtimeout=0s",
            "--entrypoints.web.transport.lifecycle.gracetimeout=10s",
            "--entrypoints.lines.address=:7000",
            "--entrypoints.traefik.address=:8080", "--api.insecure=true", "--api.dashboard=false",
            "--entrypoints.traefik-bg.address=127.0.0.1:8079",
            "--entrypoints.traefik-bg.forwardedheaders.trustedips=127.0.0.1",
            "--entrypoints.traefik-bg.forwardedheaders.notappendxforwardedfor=true",
            f"--metrics.prometheus.buckets={BUCKETS}",
            "--providers.providersthrottleduration=0s",
            "--providers.file.directory=/routing/dynamic", "--log.level=WARN",
            *(provider if self.provider is Provider.HTTP else ()),
            *(labels if self.watches_docker else ()),
        )  # fmt: skip

    def start_service(self, *, module: Sequence[str] = ("traefik_bg",)) -> None:
        """Start the service as a process; `module` may be a wrapper that kills it."""
        is_http = self.provider is Provider.HTTP
        arguments = [
            "run", "--desired", str(self.desired), "--state-dir", str(self.root / "state"),
            "--traefik-api", self.traefik_api, "--network", self.name, "--address-by", "name",
            "--instance", self.name, "--log-format", "json", "--log-level", "debug",
            "--listen", f"0.0.0.0:{self.port}" if is_http else f"127.0.0.1:{self.port}",
        ]  # fmt: skip
        if not is_http:
            arguments += ["--dynamic-dir", str(self.root / "routing/dynamic")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, *arguments], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
                env=os.environ | self.environment,
            )  # fmt: skip

    def kill_service(self) -> None:
        """Kill the service as the kernel does when memory is short."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def stop_service(self) -> int:
        """Ask the service to stop; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 20)

    def strike(self) -> None:
        """Remove everything of this stage."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        ours = docker(
            "ps", "-aq", "--filter", f"label=traefik-bg.instance={self.name}", check=False
        ).split()
        docker("rm", "-fv", f"{self.name}-traefik", *ours, check=False)
        docker("network", "rm", self.name, check=False)

    # --- wishing and looking ----------------------------------------------------------------------

    def want(self, version: str = "v1", **changes: Any) -> None:
        """Write the desired state as an editor does: beside, then over."""
        app: dict[str, Any] = {
            "image": f"{SAMPLE}:{version}",
            "replicas": 2,
            "port": 8000,
            "route": {"host": HOST},
            "health": {"path": "/health", "deadline": "15s"},
            "rollout": {"bake": "1s", "drain": "8s"},
        }
        for key, value in changes.items():
            merged = key in {"health", "rollout"}
            app[key] = _merged(app[key], value) if merged else value
        self.write({"apps": {APP: app}})

    def write(self, state: Mapping[str, Any]) -> None:
        """Write a whole desired state."""
        beside = self.desired.with_name(".desired.tmp")
        beside.write_text(json.dumps(state, indent=2))
        beside.replace(self.desired)

    async def status(self) -> dict[str, Any] | None:
        """Return what the service says of the app; None while it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"{self.api}/api/apps/{APP}") as answer,
            ):
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def command(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a command to the service."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.api}/api/apps/{APP}/{verb}", json=body or {}) as answer,
        ):
            return {"status": answer.status, **await answer.json()}

    async def say(self, *words: str, expect: int = 0) -> dict[str, Any]:
        """Give a command on the command line, as people do; returns its JSON answer."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "traefik_bg", *words, "--json",
            "--listen", f"127.0.0.1:{self.port}", cwd=Path(__file__).parents[1],
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == expect, f"{words}: {process.returncode}: {err.decode()}"
        answer: dict[str, Any] = json.loads(out) if out.strip() else {}
        return answer

    async def history(self) -> list[dict[str, Any]]:
        """Return the deployments of the app that are over or under way, the newest first."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.api}/api/apps/{APP}/history") as answer,
        ):
            deployments: list[dict[str, Any]] = (await answer.json())["deployments"]
            return deployments

    async def figures(self, revision: str) -> Counter[str]:
        """Return how often a revision has answered what, as Traefik counts it."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.traefik_api}/metrics") as answer,
        ):
            text = await answer.text()
        counted: Counter[str] = Counter()
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("traefik_service_requests_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
                if labels["service"].partition("@")[0] == f"{APP}-{revision}":
                    counted[labels["code"]] += int(float(value))
        return counted

    async def until(
        self, claim: Callable[[dict[str, Any]], bool], *, within: float = 60
    ) -> dict[str, Any]:
        """Wait until the service says so."""
        end = time.monotonic() + within
        last = None
        while time.monotonic() < end:
            last = await self.status()
            if last is not None and claim(last):
                return last
            await asyncio.sleep(0.02)
        raise AssertionError(f"not so after {within} s: {json.dumps(last)}\n{self.tail()}")

    async def until_serving(self, version: str, *, within: float = 60) -> dict[str, Any]:
        """Wait until this version has all traffic, confirmed."""
        return await self.until(lambda app: serves(app, version), within=within)

    async def until_weight(
        self, version: str, weight: int, *, within: float = 60
    ) -> dict[str, Any]:
        """Wait until this version has that share of the traffic, confirmed."""
        return await self.until(
            lambda app: app["routing"]["is_confirmed"] and share_of(app, version) == weight,
            within=within,
        )

    async def until_settled(self, version: str, *, within: float = 60) -> dict[str, Any]:
        """Wait until this version serves and nothing else is left."""
        return await self.until(
            lambda app: (
                app["phase"] == "settled"
                and serves(app, version)
                and len({replica["revision"] for replica in app["replicas"]}) == 1
            ),
            within=within,
        )

    async def until_gone(self, *, within: float = 30) -> None:
        """Wait until the service knows nothing of the app any more."""
        async with asyncio.timeout(within), aiohttp.ClientSession() as session:
            status = 200
            while status != 404:
                await asyncio.sleep(0.1)
                async with session.get(f"{self.api}/api/apps/{APP}") as answer:
                    status = answer.status

    def tail(self, lines: int = 40) -> str:
        """Return the end of the service's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def load(self, **changes: Any) -> Meter:
        """Return the load of the measurements: 200 requests/s, slow requests and websockets."""
        wanted: dict[str, Any] = {
            "url": self.url,
            "host": HOST,
            "rate": 200,
            "slow": 4,
            "websockets": 10,
            "own_networks": (self.subnet,),
            **changes,
        }
        return Meter(Load(**wanted))


def _merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of an app with changes in it; what is None is left out."""
    return {key: value for key, value in {**before, **changes}.items() if value is not None}


def share_of(app: Mapping[str, Any], version: str) -> int:
    """Return the weight of a version."""
    weights = {share["image"]: share["weight"] for share in app["weights"]}
    return int(weights.get(f"{SAMPLE}:{version}", 0))


def serves(app: Mapping[str, Any], version: str) -> bool:
    """Tell whether the version has all traffic and Traefik has confirmed it."""
    weights = {share["image"]: share["weight"] for share in app["weights"]}
    return bool(app["routing"]["is_confirmed"]) and weights == {f"{SAMPLE}:{version}": 100}


@contextlib.asynccontextmanager
async def stage(
    root: Path, provider: Provider = Provider.FILE, *, watches_docker: bool = False
) -> AsyncIterator[Stage]:
    """Set up a stage with Traefik running; the service is the test's to start."""
    made = Stage(root=root, provider=provider, watches_docker=watches_docker)
    made.build()
    try:
        made.start_traefik()
        yield made
    finally:
        made.strike()

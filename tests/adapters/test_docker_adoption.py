"""What others started, as Docker shows it: found, started, stopped, and never removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.fake_docker import WEB, FakeDocker, Wakes, fake_docker
from traefik_bg.adapters.docker_adoption import claims, defined
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.core.errors import SpecRefused
from traefik_bg.core.model import ADOPTED, Adoption, AppName, ReplicaName
from traefik_bg.core.observation import Claim, ContainerState

SHOP = Adoption(project="shop", service="web")
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
FIRST = ReplicaName("shop-web-1")


@pytest.fixture
async def docker(tmp_path: Path) -> AsyncIterator[FakeDocker]:
    async with fake_docker(tmp_path / "docker.sock") as fake:
        yield fake


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(docker: FakeDocker, tmp_path: Path, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    """Return an engine that hears events."""
    url = f"unix://{tmp_path}/docker.sock"
    async with DockerEngine("mine", "edge", wakes, url) as engine:
        assert await wakes.next() is None
        yield engine


class TestFinding:
    async def test_what_compose_runs_is_found_by_project_and_service(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Beside ours stand Compose's containers of that service, by Compose's own count."""
        docker.add("web-1")
        docker.add_theirs(FIRST, LABELS | {"com.docker.compose.container-number": "3"})
        docker.add_theirs("shop-db-1", LABELS | {"com.docker.compose.service": "db"})

        ours, theirs = await engine.containers(WEB, SHOP)

        assert ours.name == "web-1"
        assert (theirs.name, theirs.app, theirs.revision) == (FIRST, WEB, ADOPTED)
        assert (theirs.number, theirs.state) == (3, ContainerState.RUNNING)
        assert (theirs.ip, theirs.pid) == ("10.0.0.2", 42)

    async def test_what_docker_run_started_is_found_by_its_whole_name(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A name that only begins the same is somebody else's."""
        docker.add_theirs("web.old")
        docker.add_theirs("web-old")
        docker.add_theirs("web.old2")

        found = await engine.containers(WEB, Adoption(containers=("web.old",)))

        assert [container.name for container in found] == ["web.old"]

    async def test_neither_our_own_nor_what_compose_runs_once_is_adopted(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Another instance's replicas, and docker compose run, are not what serves."""
        docker.add("web-1", owner="another")["Config"]["Labels"].update(LABELS)
        docker.add_theirs("shop-run-1", LABELS | {"com.docker.compose.oneoff": "True"})

        assert await engine.containers(WEB, SHOP) == ()

    async def test_nothing_is_adopted_unless_it_is_asked_for(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Docker is not even asked."""
        docker.add_theirs(FIRST, LABELS)

        assert await engine.containers(WEB) == ()
        assert docker.asked["list"] == 1

    async def test_one_that_vanishes_between_two_questions_is_not_there(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """It was listed, and is gone when it is looked at."""
        docker.add_theirs(FIRST, LABELS)
        docker.answers["inspect"] = (404, "No such container: x")

        assert await engine.containers(WEB, SHOP) == ()

    async def test_its_events_wake_the_app_that_adopts_it(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Whatever happens to it is looked at, and what happens to strangers is not."""
        await engine.containers(WEB, SHOP)
        await engine.containers(AppName("api"), Adoption(containers=("old",)))

        await docker.emit("1", **LABELS | {"com.docker.compose.service": "db"})
        await docker.emit("2", name="older")
        await docker.emit("3", name="old")
        await docker.emit("4", **LABELS, name=FIRST)

        assert [await wakes.next(), await wakes.next()] == ["api", WEB]


class TestActing:
    async def test_it_is_stopped_and_started_but_never_removed(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """What is not ours stays, whatever is asked (S6)."""
        theirs = docker.add_theirs(FIRST, LABELS)
        await engine.containers(WEB, SHOP)

        await engine.stop(FIRST)
        theirs["State"]["Running"] = False
        await engine.start(FIRST)
        with pytest.raises(SpecRefused, match="not ours to remove"):
            await engine.remove(FIRST)

        assert (docker.asked["stop"], docker.asked["start"]) == (1, 1)
        assert docker.asked["remove"] == 0

    async def test_what_is_not_adopted_any_more_is_a_stranger_again(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Out of the desired state, out of our hands."""
        docker.add_theirs(FIRST, LABELS)
        await engine.containers(WEB, SHOP)
        await engine.containers(WEB)

        with pytest.raises(SpecRefused, match="someone else"):
            await engine.stop(FIRST)


class TestClaims:
    def test_every_router_that_leads_to_the_container_is_told(self) -> None:
        """Rule, priority, entry points and TLS, in Traefik 3's words, whatever the case."""
        found = claims({
            "traefik.enable": "true",
            "traefik.http.routers.web.rule": "Host(`a.example`, `b.example`)",
            "Traefik.HTTP.Routers.web.EntryPoints": "websecure, web",
            "traefik.http.routers.web.tls": "true",
            "traefik.http.routers.admin.rule": "PathPrefix(`/admin`)",
            "traefik.http.routers.admin.priority": "90",
            "traefik.tcp.routers.line.rule": "HostSNI(`*`)",
            "traefik.tcp.routers.line.entrypoints": "lines",
        })  # fmt: skip

        assert sorted(found, key=lambda claim: claim.router) == [
            Claim(router="admin", rule="PathPrefix(`/admin`)", priority=90),
            Claim(router="line", rule="HostSNI(`*`)", priority=0, entrypoints=("lines",)),
            Claim(
                router="web", rule="(Host(`a.example`) || Host(`b.example`))", priority=30,
                entrypoints=("web", "websecure"), has_tls=True,
            ),
        ]  # fmt: skip

    def test_middlewares_are_told_as_others_name_them(self) -> None:
        """Those of HTTP and of TCP, unless Traefik leaves the container alone."""
        labels = {
            "traefik.http.middlewares.gz.compress": "true",
            "traefik.tcp.middlewares.few.inflightconn.amount": "9",
        }
        assert list(defined(labels)) == ["gz@docker", "few@docker"]
        assert list(defined(labels | {"traefik.enable": "false"})) == []

    @pytest.mark.parametrize(
        "labels",
        [
            {},
            {"traefik.http.routers.web.rule": "Host(`a`)", "traefik.enable": "false"},
            {"traefik.http.routers.api.rule": "Host(`a`)",
             "traefik.http.routers.api.service": "api@internal"},
            {"traefik.http.routers.x.rule": "Host(`a`)", "traefik.http.routers.x.service": "other",
             "traefik.http.services.web.loadbalancer.server.port": "80"},
            {"traefik.http.routers..rule": "Host(`a`)"},
        ],
    )  # fmt: skip
    def test_what_leads_elsewhere_or_nowhere_is_no_claim(self, labels: dict[str, str]) -> None:
        """Switched off, another service's, or no label Traefik could read."""
        assert list(claims(labels)) == []

"""What others started, as Docker shows it: found, started, stopped, and never removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.fake_docker import WEB, FakeDocker, Wakes, fake_docker
from traefik_bg.adapters.adopted_labels import Said
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

        (ours,), (theirs,) = await engine.containers(WEB), await engine.adopted(WEB, SHOP)

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

        found = await engine.adopted(WEB, Adoption(containers=("web.old",)))

        assert [container.name for container in found] == ["web.old"]

    async def test_neither_our_own_nor_what_compose_runs_once_is_adopted(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Another instance's replicas, and docker compose run, are not what serves."""
        docker.add("web-1", owner="another")["Config"]["Labels"].update(LABELS)
        docker.add_theirs("shop-run-1", LABELS | {"com.docker.compose.oneoff": "True"})

        assert list(await engine.adopted(WEB, SHOP)) == []

    async def test_nothing_is_adopted_unless_it_is_asked_for(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Docker is not even asked."""
        docker.add_theirs(FIRST, LABELS)

        assert await engine.adopted(WEB, None) == ()
        assert docker.asked["list"] == 0

    async def test_one_that_vanishes_between_two_questions_is_not_there(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """It was listed, and is gone when it is looked at."""
        docker.add_theirs(FIRST, LABELS)
        docker.answers["inspect"] = (404, "No such container: x")

        assert list(await engine.adopted(WEB, SHOP)) == []

    async def test_its_events_wake_the_app_that_adopts_it(
        self, docker: FakeDocker, engine: DockerEngine, wakes: Wakes
    ) -> None:
        """Whatever happens to it is looked at, and what happens to strangers is not."""
        await engine.adopted(WEB, SHOP)
        await engine.adopted(AppName("api"), Adoption(containers=("old",)))

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
        await engine.adopted(WEB, SHOP)

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
        await engine.adopted(WEB, SHOP)
        await engine.containers(WEB)  # whoever else asks what there is takes nothing away
        await engine.adopted(WEB, None)

        with pytest.raises(SpecRefused, match="someone else"):
            await engine.stop(FIRST)


class TestLabels:
    def test_every_router_that_ends_with_the_container_is_told(self) -> None:
        """Rule, priority, entry points and TLS, in Traefik 3's words, whatever the case."""
        found = Said.by({
            "traefik.enable": "1",
            "traefik.http.routers.web.rule": "Host(`a.example`, `b.example`)",
            "Traefik.HTTP.Routers.web.EntryPoints": "websecure, web",
            "traefik.http.routers.web.tls": "true",
            "traefik.http.routers.admin.rule": "PathPrefix(`/admin`)",
            "traefik.http.routers.admin.priority": "90",
            "traefik.http.routers.plain.rule": "Host(`a.example`)",
            "traefik.http.routers.plain.service": "noop@internal",
            "traefik.http.routers.stands.rule": "Host(`a.example`)",
            "traefik.http.routers.stands.service": "noop@internal",
            "traefik.tcp.routers.line.rule": "HostSNI(`*`)",
            "traefik.tcp.routers.line.entrypoints": "lines",
        }, moved=("stands",))  # fmt: skip

        assert sorted(found.claims, key=lambda claim: claim.router) == [
            Claim(router="admin", rule="PathPrefix(`/admin`)", priority=90),
            Claim(router="line", rule="HostSNI(`*`)", priority=0, entrypoints=("lines",)),
            Claim(router="plain", rule="Host(`a.example`)", priority=17, leads_elsewhere=True),
            Claim(
                router="web", rule="(Host(`a.example`) || Host(`b.example`))", priority=30,
                entrypoints=("web", "websecure"), has_tls=True,
            ),
        ]  # fmt: skip

    def test_where_it_listens_and_what_it_is_asked_for_is_told(self) -> None:
        """As Traefik does it by the same labels; of two ports nobody knows which."""
        of = "traefik.http.services.web.loadbalancer"
        labels = {f"{of}.server.port": "8080", f"{of}.healthcheck.path": "/up"}
        found = Said.by(labels)
        assert (found.port, found.health_path, found.oddities) == (8080, "/up", ())
        other = {"traefik.http.services.admin.loadbalancer.server.port": "9000"}
        found = Said.by(labels | other)
        assert found.port is None
        assert found.oddities == ("its labels lead to the ports 8080, 9000, and an app has one",)

    @pytest.mark.parametrize(
        ("label", "value", "words"),
        [
            ("udp.routers.dns.entrypoints", "dns", "its labels route UDP"),
            ("http.services.web.loadbalancer.server.scheme", "h2c", "Traefik speaks h2c to it"),
        ],
    )
    def test_what_no_route_can_say_is_told(self, label: str, value: str, words: str) -> None:
        """It would end with the container, or not work behind us."""
        (oddity,) = Said.by({f"traefik.{label}": value}).oddities
        assert words in oddity

    def test_middlewares_are_told_as_others_name_them(self) -> None:
        """Those of HTTP and of TCP, unless Traefik leaves the container alone."""
        labels = {
            "traefik.http.middlewares.gz.compress": "true",
            "traefik.tcp.middlewares.few.inflightconn.amount": "9",
        }
        assert Said.by(labels).defines == ("gz@docker", "few@docker")
        assert Said.by(labels | {"traefik.enable": "false"}).defines == ()

    @pytest.mark.parametrize(
        "labels",
        [
            {},
            {"traefik.http.routers.web.rule": "Host(`a`)", "traefik.enable": "false"},
            {"traefik.http.routers..rule": "Host(`a`)"},
        ],
    )
    def test_what_traefik_does_not_read_is_no_claim(self, labels: dict[str, str]) -> None:
        """Switched off, or no label Traefik could read."""
        assert Said.by(labels).claims == ()

"""DockerEngine's verbs, against a daemon that is made to misbehave; `integration/` has a real one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.fake_docker import IMAGE, NAME, REVISION, FakeDocker, Wakes, app, fake_docker
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.docker_pull import familiar
from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageDenied,
    ImageNotFound,
    SpecRefused,
)
from traefik_bg.core.observation import PullProgress


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture(params=["1.45"])
async def docker(request: pytest.FixtureRequest, socket: Path) -> AsyncIterator[FakeDocker]:
    async with fake_docker(socket, api=request.param) as fake:
        yield fake


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def engine(docker: FakeDocker, socket: Path, wakes: Wakes) -> AsyncIterator[DockerEngine]:
    """Return an engine that hears events."""
    async with DockerEngine("mine", "edge", wakes, f"unix://{socket}") as engine:
        assert await wakes.next() is None
        yield engine


class TestVerbs:
    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    async def test_leave_strangers_alone(
        self, docker: FakeDocker, engine: DockerEngine, verb: str
    ) -> None:
        """A name that belongs to another instance's container is refused, untouched (S6)."""
        docker.add(owner="theirs")

        with pytest.raises(SpecRefused, match="belongs to a container of instance 'theirs'"):
            await getattr(engine, verb)(NAME)
        assert docker.asked[verb] == 0

    async def test_do_not_show_a_strangers_log(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """What strangers write is not ours to read."""
        docker.add(owner="theirs")

        assert await engine.tail(NAME, 10) == ()

    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    async def test_act_on_the_id_that_was_looked_at(
        self, docker: FakeDocker, engine: DockerEngine, verb: str
    ) -> None:
        """A name can change hands between the look and the deed; an id cannot."""
        docker.add()

        await getattr(engine, verb)(NAME)

        assert docker.requests[-1].match_info["name"] == "id-of-web-1"

    async def test_start_unpauses_what_is_paused(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A paused container goes on where it was."""
        docker.add(Paused=True)

        await engine.start(NAME)

        assert (docker.asked["unpause"], docker.asked["start"]) == (1, 0)

    async def test_start_of_what_is_gone_is_a_conflict(self, engine: DockerEngine) -> None:
        """What is gone cannot be started; the world must be looked at again."""
        with pytest.raises(Conflict, match="web-1 is gone"):
            await engine.start(NAME)

    async def test_stop_gives_the_containers_own_grace(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """The grace period is the one the container was created with."""
        docker.add()

        await engine.stop(NAME)

        assert docker.requests[-1].query["t"] == "30"

    async def test_stop_is_done_when_there_is_nothing_to_stop(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Gone before, gone meanwhile or not running: all of it is stopped."""
        await engine.stop(NAME)
        docker.add(Running=False)
        await engine.stop(NAME)
        docker.add()
        docker.answers["stop"] = (404, "No such container: x")
        await engine.stop(NAME)

    async def test_stop_that_docker_cannot_do_is_unknown(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A stop that failed may be tried again."""
        docker.add()
        docker.answers["stop"] = (500, "did not receive an exit event")

        with pytest.raises(EngineUnavailable, match="could not stop web-1: did not receive"):
            await engine.stop(NAME)

    @pytest.mark.parametrize(
        "answer",
        [(404, "No such container: x"), (409, "removal of container x is already in progress")],
    )
    async def test_remove_is_done_when_someone_else_does_it(
        self, docker: FakeDocker, engine: DockerEngine, answer: tuple[int, str]
    ) -> None:
        """Gone or going is as good as removed."""
        await engine.remove(NAME)
        docker.add(Running=False)
        docker.answers["remove"] = answer
        await engine.remove(NAME)

        assert docker.requests[-1].query["v"] == "True"
        assert docker.requests[-1].query["force"] == "False"

    async def test_remove_of_what_runs_is_a_conflict(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Nothing that runs is ever removed."""
        docker.add()
        docker.answers["remove"] = (409, "container is running: stop the container before removing")

        with pytest.raises(Conflict, match="web-1 cannot be removed now: container is running"):
            await engine.remove(NAME)

    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    async def test_do_nothing_while_they_cannot_look(
        self, docker: FakeDocker, engine: DockerEngine, verb: str
    ) -> None:
        """Whose container it is cannot be known, so it is left alone."""
        docker.answers["inspect"] = (500, "locked")

        with pytest.raises(EngineUnavailable, match="could not inspect web-1: locked"):
            await getattr(engine, verb)(NAME)
        assert docker.asked[verb] == 0

    async def test_start_that_docker_refuses_is_refused(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container that cannot be started says why."""
        docker.add(Running=False)
        docker.answers["start"] = (500, "OCI runtime create failed: exec: no such file: unknown")

        with pytest.raises(SpecRefused, match=r"could not start web-1: exec: no such file$"):
            await engine.start(NAME)

    async def test_remove_that_docker_cannot_do_is_unknown(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A removal that failed half-way may be tried again."""
        docker.add(Running=False)
        docker.answers["remove"] = (500, "device or resource busy")

        with pytest.raises(EngineUnavailable, match="could not remove web-1: device"):
            await engine.remove(NAME)

    async def test_tail_shows_lines_people_can_read(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Colours, control characters and endless lines are left out."""
        docker.add()

        assert await engine.tail(NAME, 3) == ("first", "red\N{REPLACEMENT CHARACTER}", "x" * 500)

    async def test_tail_is_empty_where_there_is_nothing_to_read(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container that is gone, or logs elsewhere, has no last lines."""
        assert await engine.tail(NAME, 3) == ()
        docker.add()
        docker.answers["logs"] = (500, "configured logging driver does not support reading")
        assert await engine.tail(NAME, 3) == ()


class TestCreate:
    async def test_marks_the_container_as_ours(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """All that a look needs is on the container itself."""
        await engine.create(NAME, 3, app(), IMAGE)

        assert docker.bodies[0]["Labels"] == {
            "traefik-bg.instance": "mine",
            "traefik-bg.app": "web",
            "traefik-bg.revision": str(REVISION),
            "traefik-bg.replica": "3",
        }

    async def test_is_done_when_it_is_there_already(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Done but the answer was lost: doing it again changes nothing."""
        await engine.create(NAME, 1, app(), IMAGE)
        await engine.create(NAME, 1, app(), IMAGE)

        assert len(docker.containers) == 1

    async def test_refuses_a_name_of_a_stranger(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A stranger keeps its name; people read what they can do."""
        docker.add(owner="")

        with pytest.raises(SpecRefused, match="belongs to a container of someone else"):
            await engine.create(NAME, 1, app(), IMAGE)

    async def test_refuses_a_name_of_another_replica(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Ours, but not what was asked for: never taken for it."""
        docker.add()["Config"]["Labels"]["traefik-bg.revision"] = "other"

        with pytest.raises(SpecRefused, match="another container of ours"):
            await engine.create(NAME, 1, app(), IMAGE)

    async def test_asks_for_every_network_first(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A missing network is refused with the command that makes it, before anything is made."""
        with pytest.raises(SpecRefused, match="docker network create cache"):
            await engine.create(NAME, 1, app(networks=["db", "cache"]), IMAGE)
        assert docker.containers == {}

    @pytest.mark.parametrize("docker", ["1.43"], indirect=True)
    async def test_attaches_the_other_networks_one_by_one_where_it_must(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An older engine gets them after the creation; a second try finds what is missing."""
        spec = app(networks={"db": {"aliases": ["w"]}})
        await engine.create(NAME, 1, spec, spec.image)
        docker.bodies.clear()
        await engine.create(NAME, 1, spec, spec.image)

        endpoint = docker.bodies[-1]["EndpointConfig"]
        assert (docker.asked["connect"], endpoint["Aliases"]) == (2, ["w"])

    @pytest.mark.parametrize("docker", ["1.43"], indirect=True)
    @pytest.mark.parametrize(
        ("answer", "refusal"),
        [
            ((403, "endpoint with name web-1 already exists in network db"), None),
            ((404, "network db not found"), "network db not found"),
        ],
    )
    async def test_does_not_mind_a_network_that_is_attached_already(
        self,
        docker: FakeDocker,
        engine: DockerEngine,
        answer: tuple[int, str],
        refusal: str | None,
    ) -> None:
        """Attached is attached; a network that is gone meanwhile is refused."""
        docker.answers["connect"] = answer

        if refusal is None:
            await engine.create(NAME, 1, app(networks=["db"]), IMAGE)
        else:
            with pytest.raises(SpecRefused, match=refusal):
                await engine.create(NAME, 1, app(networks=["db"]), IMAGE)

    async def test_does_not_know_when_the_networks_cannot_be_seen(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An error is not a missing network."""
        docker.answers["network"] = (500, "locked")

        with pytest.raises(EngineUnavailable, match="look for network edge: locked"):
            await engine.create(NAME, 1, app(), IMAGE)

    async def test_looks_again_when_the_name_is_taken_by_what_is_gone(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A name that was taken a moment ago may be free now."""
        docker.answers["create"] = (409, 'The container name "/web-1" is already in use')

        with pytest.raises(EngineUnavailable, match="gone again"):
            await engine.create(NAME, 1, app(), IMAGE)

    async def test_says_that_the_image_is_missing(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A missing image is a reason of its own: it can be pulled."""
        docker.answers["create"] = (404, "No such image: acme/web:1")

        with pytest.raises(ImageNotFound, match="acme/web:1 is not on this machine"):
            await engine.create(NAME, 1, app(), IMAGE)


class TestImages:
    async def test_are_here_or_not(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """An image is on this machine, or it is not, or we do not know."""
        assert await engine.images.has("acme/web:1")
        assert not await engine.images.has("acme/web:2")
        docker.answers["image"] = (500, "x")
        with pytest.raises(EngineUnavailable, match="look for image acme/web:1: x"):
            await engine.images.has("acme/web:1")

    @pytest.mark.parametrize(
        ("image", "asked"),
        [
            ("acme/web", ("acme/web", "latest")),
            ("ghcr.io/acme/web:1", ("ghcr.io/acme/web", "1")),
            ("localhost:5000/web@sha256:ab", ("localhost:5000/web", "sha256:ab")),
            ("localhost:5000/web:1@sha256:ab", ("localhost:5000/web", "sha256:ab")),
        ],
    )
    async def test_are_pulled_by_tag_or_digest(
        self, docker: FakeDocker, engine: DockerEngine, image: str, asked: tuple[str, str]
    ) -> None:
        """Never more than one image is pulled."""
        docker.pulling = [{"status": "Pulling"}, {"status": "Done"}]

        await engine.images.pull(image)

        query = docker.requests[-1].query
        assert (query["fromImage"], query["tag"]) == asked

    async def test_say_how_much_of_them_has_come(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """While they are pulled, and not after that: of the layers that were not here."""
        last = asyncio.Event()
        docker.pulls_until = last
        docker.pulling = [
            {"status": "Pulling from acme/web", "id": "2"},
            {"status": "Already exists", "id": "base"},
            {"status": "Pulling fs layer", "id": "big"},
            {"status": "Pulling fs layer", "id": "tiny"},
            {"status": "Download complete", "id": "tiny"},
            {"status": "Downloading", "id": "big", "progressDetail": {"current": 3, "total": 9}},
        ]
        pulling = asyncio.create_task(engine.images.pull("acme/web:2"))
        async with asyncio.timeout(10):
            while (progress := engine.images.progress("acme/web:2")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert progress == PullProgress(done=3, total=9)
        last.set()
        await pulling
        assert engine.images.progress("acme/web:2") is None

    async def test_that_fail_half_way_are_not_here(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A pull that began well may still fail; its last line says so."""
        docker.pulling = [{"status": "Pulling"}, {"error": "manifest unknown"}]

        with pytest.raises(ImageNotFound, match="acme/web:2 is not in its registry"):
            await engine.images.pull("acme/web:2")

    async def test_that_docker_refuses_at_once_are_refused(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A no before the first line counts as well."""
        docker.answers["pull"] = (404, "pull access denied for acme/web")

        with pytest.raises(ImageDenied, match="`docker login`"):
            await engine.images.pull("acme/web:2")

    async def test_that_cannot_be_named_are_not_found(self, engine: DockerEngine) -> None:
        """A name no registry could know is refused without asking one."""
        with pytest.raises(ImageNotFound, match="cannot name an image"):
            await engine.images.pull("-a.io/web")

    async def test_are_pulled_with_the_newest_login(
        self,
        docker: FakeDocker,
        engine: DockerEngine,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A login made while the service runs counts for the next pull."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        await engine.images.pull("ghcr.io/acme/web:1")
        assert "X-Registry-Auth" not in docker.requests[-1].headers
        secret = base64.b64encode(b"me:hunter2").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": secret}}}))
        await engine.images.pull("ghcr.io/acme/web:1")

        sent = json.loads(base64.urlsafe_b64decode(docker.requests[-1].headers["X-Registry-Auth"]))
        assert (sent["username"], sent["password"]) == ("me", "hunter2")

    @pytest.mark.filterwarnings("ignore:docker-credential-nowhere not installed")
    async def test_whose_login_cannot_be_read_are_denied(
        self, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A credential helper that does not work is named as the reason."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"credsStore": "nowhere"}))

        with pytest.raises(ImageDenied, match="credential helper"):
            await engine.images.pull("ghcr.io/acme/web:1")


class TestRegistries:
    async def test_say_what_a_tag_means(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """Docker asks them, with the login for that registry."""
        docker.distribution = {"ghcr.io/acme/web:latest": "sha256:d1"}

        assert await engine.images.tag_digest("ghcr.io/acme/web") == "sha256:d1"
        assert await engine.images.tag_digest("ghcr.io/acme/web:latest") == "sha256:d1"

    @pytest.mark.parametrize(
        ("answer", "error", "words"),
        [
            ((404, "manifest unknown"), ImageNotFound, "acme/web:2 is not in its registry"),
            ((401, "unauthorized: wrong"), ImageDenied, "log in with `docker login`"),
            ((500, "dial tcp: no route"), EngineUnavailable, "could not be asked about now"),
        ],
    )
    async def test_may_not_say_it(
        self,
        docker: FakeDocker,
        engine: DockerEngine,
        answer: tuple[int, str],
        error: type[Exception],
        words: str,
    ) -> None:
        """There is no such image, we may not know, or nobody answered: three different things."""
        docker.answers["distribution"] = answer
        with pytest.raises(error, match=words):
            await engine.images.tag_digest("acme/web:2")

    async def test_know_an_image_under_some_digests(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """One that is not here, or was made here, under none."""
        docker.repo_digests = ["acme/web@sha256:d1", "ghcr.io/acme/web@sha256:d2"]

        assert await engine.images.known_digests("acme/web:1") == {"sha256:d1", "sha256:d2"}
        assert await engine.images.digest("acme/web:1") == "acme/web@sha256:d1"
        assert await engine.images.known_digests("acme/web:2") == frozenset()
        assert await engine.images.digest("acme/web:2") == ""


class TestShelf:
    async def test_knows_what_is_there_and_what_is_used(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """By anybody: an image has no instance."""
        docker.image_ids = ["sha256:1", "sha256:2"]
        docker.add(owner="theirs")

        assert await engine.images.ids() == {"sha256:1", "sha256:2"}
        assert await engine.images.used() == {"sha256:1"}
        assert await engine.images.image_id("acme/web:1") == "sha256:1"
        assert await engine.images.image_id("acme/web:2") == ""

    async def test_removes_by_id_and_without_force(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A name can come to mean something else; what is used, Docker does not give away."""
        docker.repo_tags = ["acme/web:1"]
        await engine.images.remove_image("acme/web:1", frozenset({"docker.io/acme/web:1"}))

        asked = docker.requests[-1]
        assert (asked.method, asked.query["force"]) == ("DELETE", "False")

    async def test_leaves_what_somebody_has_named(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Who gives an image a name of their own wants to keep it."""
        docker.repo_tags = ["acme/web:1", "mine:backup"]

        with pytest.raises(Conflict, match="it is also called mine:backup"):
            await engine.images.remove_image("acme/web:1", frozenset({"acme/web:1"}))
        assert docker.asked["remove_image"] == 0

    async def test_leaves_what_docker_will_not_remove(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A container uses it; and what is gone already is fine."""
        docker.answers["remove_image"] = (409, "image is being used by stopped container x")
        with pytest.raises(Conflict, match="being used by stopped container"):
            await engine.images.remove_image("acme/web:1", frozenset())
        docker.answers["remove_image"] = (500, "locked")
        with pytest.raises(EngineUnavailable, match="remove image acme/web:1: locked"):
            await engine.images.remove_image("acme/web:1", frozenset())
        docker.answers["remove_image"] = (404, "No such image")
        await engine.images.remove_image("acme/web:1", frozenset())
        await engine.images.remove_image("acme/web:2", frozenset())


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("web", "web:latest"),
        ("docker.io/library/web:1", "web:1"),
        ("acme/web:1", "acme/web:1"),
        ("ghcr.io/acme/web:1", "ghcr.io/acme/web:1"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
    ],
)
def test_a_name_is_known_as_docker_lists_it(name: str, listed: str) -> None:
    """Docker leaves out what goes without saying."""
    assert familiar(name) == listed

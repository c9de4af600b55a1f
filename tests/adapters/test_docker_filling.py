"""Secrets and configs on their way into containers, with a daemon that is made to misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.adapters.fake_docker import IMAGE, NAME, FakeDocker, Wakes, app, fake_docker
from traefik_bg.adapters import vault as vaults
from traefik_bg.adapters.docker_contents import (
    CONTENTS_LABEL,
    Parcel,
    content_digest,
    contents,
    labelled,
    parcels,
    unpacked,
    volumes_for,
)
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.errors import Conflict, EngineUnavailable, SpecRefused
from traefik_bg.core.model import ReplicaName

SECRET = b"correct horse"
DIGEST = content_digest(SECRET)
KEY = {"source": "key", "target": "/run/secrets/key", "digest": DIGEST}
SPEC = app(secrets=[KEY])
ID = f"id-of-{NAME}"


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
async def docker(socket: Path) -> AsyncIterator[FakeDocker]:
    async with fake_docker(socket) as fake:
        yield fake


@pytest.fixture
def vault() -> Vault:
    return Vault({DIGEST: SECRET})


@pytest.fixture
async def engine(docker: FakeDocker, socket: Path, vault: Vault) -> AsyncIterator[DockerEngine]:
    wakes = Wakes()
    async with DockerEngine("mine", "edge", wakes, f"unix://{socket}", vault=vault) as engine:
        assert await wakes.next() is None
        yield engine


async def create(engine: DockerEngine, name: str = NAME, spec: Any = SPEC) -> None:
    await engine.create(ReplicaName(name), 1, spec, IMAGE)


class TestFilling:
    async def test_happens_at_the_start(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """The content is in before the container runs."""
        await create(engine)
        assert docker.held == {}
        await engine.start(NAME)

        assert docker.held == {(ID, "/run/secrets/key"): SECRET}
        assert (docker.asked["put"], docker.asked["start"]) == (1, 1)

    async def test_shows_docker_no_content(self, docker: FakeDocker, engine: DockerEngine) -> None:
        """What Docker is asked for, and remembers, has the digest only."""
        await create(engine)

        assert SECRET.decode() not in str(docker.bodies)
        assert DIGEST in docker.bodies[0]["Labels"][CONTENTS_LABEL]

    async def test_is_done_again_until_the_container_has_run(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """A start that failed may have come before or after: it is filled anew."""
        await create(engine)
        docker.answers["start"] = (500, "context deadline exceeded")
        with pytest.raises(EngineUnavailable):
            await engine.start(NAME)
        del docker.answers["start"]
        await engine.start(NAME)

        assert docker.asked["put"] == 2

    @pytest.mark.parametrize("state", ["exited", "running"])
    async def test_is_not_done_to_what_has_run(
        self, docker: FakeDocker, engine: DockerEngine, state: str
    ) -> None:
        """What has run has its secrets."""
        await create(engine)
        docker.containers[ID]["State"]["Status"] = state
        await engine.start(NAME)

        assert docker.asked["put"] == 0

    async def test_that_fails_starts_nothing(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """An unfilled container does not run, whatever the reason."""
        await create(engine)
        for answer, error in [
            ((500, "no space left on device"), EngineUnavailable),
            ((400, "container rootfs is marked read-only"), SpecRefused),
            ((404, "No such container: x"), Conflict),
        ]:
            docker.answers["put"] = answer
            with pytest.raises(error):
                await engine.start(NAME)

        assert docker.asked["start"] == 0


class TestContents:
    async def test_that_are_unknown_refuse_the_creation(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """It is said before anything is made, and by the secret's name."""
        unknown = app(secrets=[KEY | {"digest": "0" * 32}])

        with pytest.raises(SpecRefused, match=r"web: what key held .* is not to be had any more"):
            await create(engine, spec=unknown)
        assert docker.containers == {}

    async def test_that_were_named_before_are_kept(
        self, docker: FakeDocker, engine: DockerEngine, vault: Vault
    ) -> None:
        """A rollback finds what the file said earlier."""
        vault.keep({})
        await create(engine)
        await engine.start(NAME)

        assert list(docker.held.values()) == [SECRET]

    async def test_are_taken_from_another_replica(
        self, docker: FakeDocker, engine: DockerEngine, vault: Vault
    ) -> None:
        """What the service has forgotten, a replica may still hold."""
        await create(engine)
        await engine.start(NAME)
        vault._named.clear()

        await create(engine, "web-2")
        await engine.start(ReplicaName("web-2"))

        assert docker.held["id-of-web-2", "/run/secrets/key"] == SECRET

    @pytest.mark.parametrize("held", [None, b"changed by the app"])
    async def test_are_not_taken_when_they_are_not_the_same(
        self, docker: FakeDocker, engine: DockerEngine, vault: Vault, held: bytes | None
    ) -> None:
        """Only what has the digest is the content."""
        await create(engine)
        if held is not None:
            docker.held[ID, "/run/secrets/key"] = held
        vault._named.clear()

        with pytest.raises(SpecRefused, match="not to be had any more"):
            await engine.start(NAME)

    async def test_that_docker_does_not_show_now_are_unknown(
        self, docker: FakeDocker, engine: DockerEngine, vault: Vault
    ) -> None:
        """Not knowing is not refusing."""
        await create(engine)
        vault._named.clear()
        docker.answers["get"] = (500, "something")

        with pytest.raises(EngineUnavailable, match="look for replicas of web"):
            await engine.start(NAME)


def test_the_vault_forgets_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the desired state names is never forgotten; of the rest, the latest are kept."""
    monkeypatch.setattr(vaults, "MOST_KEPT", 5)
    vault = Vault({"a": b"aaa"})
    vault.keep({"b": b"bbb"})
    vault.keep({"c": b"cccccccc"})

    assert [vault.content(name) for name in "abcd"] == [None, b"bbb", b"cccccccc", None]


class TestVolumes:
    async def test_that_are_external_must_be_there(
        self, docker: FakeDocker, engine: DockerEngine
    ) -> None:
        """Docker would make an empty one, and the app would start without its data."""
        volume = {"type": "volume", "source": "data", "target": "/data", "external": True}
        await create(engine, spec=app(volumes=[volume]))
        docker.volumes.clear()

        with pytest.raises(SpecRefused, match=r"volume data is external .* docker volume create"):
            await create(engine, "web-2", app(volumes=[volume]))
        docker.answers["volume"] = (500, "something")
        with pytest.raises(EngineUnavailable, match="look for volume data"):
            await create(engine, "web-2", app(volumes=[volume]))


async def test_what_docker_drops_is_logged(docker: FakeDocker, engine: DockerEngine) -> None:
    """A setting that the kernel cannot do is dropped by Docker, but not in silence."""
    docker.warnings = ["Your kernel does not support memory swappiness"]
    with structlog.testing.capture_logs() as logs:
        await create(engine)

    assert [(item["event"], item["what"]) for item in logs] == [
        ("container.odd", docker.warnings[0])
    ]


# --- pure -----------------------------------------------------------------------------------------


def held(**more: Any) -> Any:
    return {"secrets": [KEY], **more}


@pytest.mark.parametrize(
    "settings",
    [
        {"read_only": True},
        {"tmpfs": ["/run:size=1m"]},
        {"volumes": [{"type": "tmpfs", "target": "/run/secrets"}]},
    ],
)
def test_a_volume_carries_what_cannot_be_copied_otherwise(settings: dict[str, Any]) -> None:
    """The file system is read-only, or memory that begins empty."""
    found = contents(held(**settings))

    assert volumes_for(found, settings) == {"/run/secrets": {}}
    assert volumes_for(found, {}) == {}
    (parcel,) = parcels(found, {DIGEST: SECRET}, ["/run/secrets"])
    assert (parcel.folder, unpacked(parcel.archive)) == ("/run/secrets", SECRET)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"volumes": ["data:/run"]}, "lies in a volume of the app, which all its replicas share"),
        ({"volumes": [{"type": "bind", "source": "/a", "target": "/run/secrets"}]}, "lies in a"),
        ({"volumes": ["/run/secrets/key"]}, "lies in a volume"),
        (
            {"read_only": True, "configs": [KEY | {"target": "/motd"}]},
            "/motd cannot be filled, for the file system is read-only; .* /run/secrets/motd",
        ),
        (
            {"tmpfs": ["/etc"], "configs": [KEY | {"target": "/etc/motd"}]},
            "/etc/motd cannot be filled, for a tmpfs is there",
        ),
        ({"configs": [KEY]}, "two contents have the target /run/secrets/key"),
    ],
)
def test_a_target_that_would_lose_or_share_its_content_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    """Blue and green share volumes, and nothing can be copied into memory."""
    with pytest.raises(ValueError, match=words):
        contents(held(**settings))


def test_labels_say_what_a_container_must_hold() -> None:
    """Whoever starts a container can see to it; one without the label must hold nothing."""
    assert labelled({}) == ()
    assert labelled({CONTENTS_LABEL: "[]"}) == ()


def test_an_archive_without_a_file_holds_nothing() -> None:
    """A folder where the secret should be is no content."""
    assert unpacked(Parcel("/").archive) is None

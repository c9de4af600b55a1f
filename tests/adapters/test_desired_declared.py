"""What a file declares beside its apps, and what an app makes of it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.desired import LEAST, Folder
from tests.adapters.watching import watching
from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.adapters.docker_contents import content_digest
from traefik_bg.core.model import AppName, AppSpec

SECRET = "correct horse"
DIGEST = content_digest(SECRET.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def file(declared: str, keys: str, name: str = "web") -> str:
    """Return a file with one app and what is declared for it."""
    app = textwrap.indent(LEAST + textwrap.dedent(keys), "    ")
    return f"{textwrap.dedent(declared)}\napps:\n  {name}:\n{app}\n"


def web(found: Desired) -> AppSpec:
    return found.apps[AppName("web")]


def container(found: Desired) -> Mapping[str, Any]:
    made: Mapping[str, Any] = json.loads(web(found).container)
    return made


def mistake(folder: Folder, declared: str, keys: str, **variables: str) -> str:
    """Return the one mistake of a file, without file and line."""
    (found,) = folder.mistakes(file(declared, keys), **variables)
    return found.split(": ", 1)[1]


class TestVolumes:
    def test_have_the_names_docker_knows(self, folder: Folder) -> None:
        """No project's name is put before them; another name is said."""
        declared = "volumes: {data: , media: {name: shop_media, external: true}}"
        found = container(folder.read(file(declared, "volumes: ['data:/a', 'media:/b', 'c:/c']")))

        assert [volume["source"] for volume in found["volumes"]] == ["data", "shop_media", "c"]
        assert [volume.get("external") for volume in found["volumes"]] == [None, True, None]

    def test_are_made_as_declared(self, folder: Folder) -> None:
        """Driver, options and labels go with the mount, for Docker to make what is not there."""
        declared = "volumes: {data: {driver: local, driver_opts: {type: nfs}, labels: [a=1, b=2]}}"
        keys = "volumes: [{type: volume, source: data, target: /d, volume: {labels: {b: '3'}}}]"
        (volume,) = container(folder.read(file(declared, keys)))["volumes"]

        assert volume["volume"] == {
            "driver": "local",
            "driver_opts": {"type": "nfs"},
            "labels": {"a": "1", "b": "3"},
        }

    def test_that_are_not_volumes_are_left_alone(self, folder: Folder) -> None:
        """A folder of the host that is called like a volume is a folder."""
        found = container(folder.read(file("volumes: {/a: {name: b}}", "volumes: ['/a:/a', /x]")))

        assert [volume.get("source") for volume in found["volumes"]] == ["/a", None]

    @pytest.mark.parametrize(
        "keys", ["", "replicas: 2", "rollout: {strategy: recreate}\nreplicas: 2"]
    )
    def test_that_are_exclusive_want_one_container_at_a_time(
        self, folder: Folder, keys: str
    ) -> None:
        """Blue and green run side by side, and so do replicas: refused, with what to write."""
        said = mistake(folder, "volumes: {d: {exclusive: true}}", f"volumes: ['d:/d']\n{keys}")

        assert said.startswith("apps.web.volumes[0]: d is exclusive, so one container at a time")
        assert "replicas: 1 and rollout: {strategy: recreate}" in said

    def test_that_are_exclusive_are_fine_where_one_stops_before_the_other_starts(
        self, folder: Folder
    ) -> None:
        """With recreate and one replica there is never a second container."""
        keys = "volumes: ['d:/d']\nrollout: {strategy: recreate}"

        assert folder.read(file("volumes: {d: {exclusive: true}}", keys)).apps

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("{external: true, driver: local}", "volumes.d: an external volume is made by somebody else"),
            ("{external: {name: x}}", "volumes.d.external: must be true or false, not a mapping"),
            ("{nmae: x}", "volumes.d.nmae: is unknown here; did you mean name?"),
            ("[a]", "volumes.d: must be a mapping, not a list"),
        ],
    )  # fmt: skip
    def test_that_make_no_sense_are_refused(self, folder: Folder, said: str, words: str) -> None:
        """Each mistake has its place and a way out."""
        assert mistake(folder, f"volumes: {{d: {said}}}", "").startswith(words)


class TestNetworks:
    def test_have_the_names_docker_knows(self, folder: Folder) -> None:
        """As with volumes."""
        declared = "networks: {back: {name: shop_back, external: true}, front: }"
        found = container(folder.read(file(declared, "networks: {back: {aliases: [w]}, front: }")))

        assert found["networks"] == {"shop_back": {"aliases": ["w"]}, "front": {}}

    def test_that_are_one_in_docker_are_refused(self, folder: Folder) -> None:
        """One container cannot be in one network twice."""
        declared = "networks: {a: {name: n}}"

        assert mistake(folder, declared, "networks: [a, n]") == (
            "apps.web.networks: is the same Docker network as a"
        )

    def test_are_not_made_here(self, folder: Folder) -> None:
        """What only a network that is made could have says what to do instead."""
        assert mistake(folder, "networks: {a: {driver: bridge}}", "") == (
            "networks.a.driver: is not supported: traefik-bg makes no networks; create it once "
            "with docker network create, and write external: true"
        )


class TestContents:
    def test_are_in_the_spec_by_their_digest(self, folder: Folder) -> None:
        """From wherever it comes: the digest is in the spec, the content beside it."""
        folder.write(SECRET, "key.txt")
        declared = """
            secrets: {a: {file: key.txt}, b: {environment: KEY}}
            configs: {c: {content: "${KEY}"}}
        """
        found = folder.read(file(declared, "secrets: [a, b]\nconfigs: [c]"), KEY=SECRET)

        assert found.contents == {DIGEST: SECRET.encode()}
        made = container(found)
        assert {item["digest"] for key in ("secrets", "configs") for item in made[key]} == {DIGEST}
        assert SECRET not in repr(found)

    def test_have_composes_targets(self, folder: Folder) -> None:
        """A name alone lies in the folder of its kind; a path is a path."""
        declared = "secrets: {a: {environment: A}}\nconfigs: {c: {environment: A}}"
        keys = """
            secrets: [a, {source: a, target: b}, {source: a, target: /e, uid: "1", mode: 0440}]
            configs: [c, {source: c, target: sub/d}]
        """
        made = container(folder.read(file(declared, keys), A="x"))

        targets = [item["target"] for key in ("secrets", "configs") for item in made[key]]
        assert targets == ["/e", "/run/secrets/a", "/run/secrets/b", "/c", "/sub/d"]
        assert {**made["secrets"][0], "digest": ""} == {
            "source": "a",
            "target": "/e",
            "uid": 1,
            "mode": 0o440,
            "digest": "",
        }

    def test_that_change_make_a_new_revision(self, folder: Folder) -> None:
        """And nothing else of the app has to."""
        text = file("secrets: {a: {environment: A}}", "secrets: [a]")

        one, same, other = (web(folder.read(text, A=value)) for value in ("x", "x", "y"))

        assert one == same
        assert one.revision != other.revision

    def test_that_nobody_uses_are_not_read(self, folder: Folder) -> None:
        """A missing file is a mistake of those who want it."""
        assert folder.read(file("secrets: {a: {file: nowhere}}", "")).contents == {}

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("{file: nowhere}", "secrets.a.file: nowhere is not there"),
            ("{environment: NOWHERE}", "secrets.a.environment: the variable NOWHERE is not set"),
            ("{}", "secrets.a: needs exactly one of file, environment"),
            ("{file: a, environment: b}", "secrets.a: needs exactly one of file, environment"),
            ("{external: true}", "secrets.a.external: is for Swarm; write file or environment"),
            ("{content: a}", "secrets.a.content: is unknown here; known are "),
        ],
    )
    def test_that_are_not_to_be_had_are_a_mistake(
        self, folder: Folder, said: str, words: str
    ) -> None:
        """Each mistake has its place and a way out."""
        found = folder.mistakes(file(f"secrets: {{a: {said}}}", "secrets: [a]"))

        assert found[0].replace(f"{folder.path}/", "").split(": ", 1)[1].startswith(words)

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ("secrets: [b]", "secrets[0]: b is not declared: write it under secrets, beside apps; known are a"),
            ("configs: [a]", "configs[0]: a is not declared: write it under configs, beside apps"),
            ("secrets: [{source: a, mode: 440}]", "secrets[0].mode: must be permissions in octal, with a 0 before them"),
            ("secrets: [{source: a, uid: me}]", 'secrets[0].uid: must be a number such as 1000, not "me"'),
            ("secrets: [{source: a, target: ../b}]", 'secrets[0]: "../b" can be no file in the container'),
            ("secrets: [a, a]", 'secrets[1]: "a" is the target of another one already'),
        ],
    )  # fmt: skip
    def test_that_are_granted_wrongly_are_a_mistake(
        self, folder: Folder, keys: str, words: str
    ) -> None:
        """Each mistake has its place and a way out."""
        found = mistake(folder, "secrets: {a: {environment: A}}", keys, A="x")

        assert found.removeprefix("apps.web.").startswith(words)

    def test_never_stand_in_a_mistake(self, folder: Folder) -> None:
        """Neither content nor variable is repeated, whatever is wrong."""
        declared = 'configs: {a: {content: "${A}", file: "${A}"}}\nsecrets: {b: {environment: A}}'
        found = folder.mistakes(file(declared, "configs: [a]\nsecrets: [b, b]"), A=SECRET)

        assert SECRET not in str(found)


def test_a_folder_declares_together(folder: Folder) -> None:
    """What one file declares, the apps of another may use; each name stands once."""
    folder.write("secrets: {a: {environment: A}}\nvolumes: {v: {name: w}}\napps: {}", "a.yaml")
    folder.write(file("", "secrets: [a]\nvolumes: ['v:/v']"), "b.yaml")
    found = container(read_desired(folder.path, environ={"A": SECRET}))
    assert (found["secrets"][0]["digest"], found["volumes"][0]["source"]) == (DIGEST, "w")

    folder.write("secrets: {a: {environment: B}}\napps: {}", "c.yaml")
    (said,) = folder.mistakes_in(folder.path, A="x")
    assert said == "c.yaml:1: secrets.a: stands already in a.yaml:1"


@pytest.mark.parametrize("section", ["volumes", "networks", "secrets", "configs"])
def test_a_section_is_a_mapping_or_nothing(folder: Folder, section: str) -> None:
    """Left empty it declares nothing, as in Compose."""
    assert folder.read(file(f"{section}:", "")).apps
    assert mistake(folder, f"{section}: [a]", "") == f"{section}: must be a mapping, not a list"


async def test_a_secret_is_followed_like_the_file_itself(folder: Folder) -> None:
    """A changed content is a new revision at once; the former one is kept for a rollback."""
    folder.write("one", "key.txt")
    path = folder.write(file("secrets: {a: {file: key.txt}}", "secrets: [a]"))
    async with watching(path) as seen:
        await seen.until(lambda: seen.source.current().is_known)
        first = seen.source.current().apps[AppName("web")]
        folder.write("two", "key.txt")
        await seen.until(lambda: seen.source.current().apps[AppName("web")] != first)
        second = seen.source.current().apps[AppName("web")]

    assert first.revision != second.revision
    assert seen.vault.content(content_digest(b"one")) == b"one"
    assert seen.vault.content(content_digest(b"two")) == b"two"

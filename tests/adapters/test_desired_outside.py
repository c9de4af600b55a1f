"""What an app takes from beside the desired file, and what in it has no effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.desired import Folder, app_text


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_labels_come_from_files_below_those_of_the_app(folder: Folder) -> None:
    """As env files do; the last file wins over the ones before."""
    folder.write("a=1\nb=1\nc=1", "one.labels")
    folder.write("b=2\nc=2", "two.labels")
    found = folder.container("label_file: [one.labels, two.labels]\nlabels: {c: '3'}")

    assert found == {"labels": {"a": "1", "b": "2", "c": "3"}}


def test_labels_of_traefik_are_refused_in_files_too(folder: Folder) -> None:
    """They would route past us, wherever they are written."""
    folder.write("traefik.http.routers.x.rule=Path(`/`)", "x.labels")

    assert "this label would make Traefik route" in folder.app_mistake("label_file: x.labels")


def test_a_label_file_must_be_there(folder: Folder) -> None:
    """Nothing is left out in silence."""
    assert folder.app_mistake("label_file: nowhere").endswith("nowhere is not there")


class TestSeccomp:
    @pytest.mark.parametrize("written", ["seccomp:p.json", "seccomp=p.json"])
    def test_profiles_are_read(self, folder: Folder, written: str) -> None:
        """Docker's API wants the profile itself; its spelling makes no revision."""
        for text in ('{"a": 1, "b": 2}', '{"b":2,\n"a":1}'):
            folder.write(text, "p.json")
            found = folder.container(f"security_opt: ['{written}']")
            assert found == {"security_opt": ['seccomp={"a":1,"b":2}']}

    @pytest.mark.parametrize("option", ["seccomp=unconfined", "seccomp:builtin", "apparmor=x"])
    def test_other_options_are_left_alone(self, folder: Folder, option: str) -> None:
        """Words are no files."""
        assert folder.container(f"security_opt: ['{option}']") == {"security_opt": [option]}

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"{", "p.json is no seccomp profile in JSON"), (b"\xff", "p.json is no seccomp profile"), (None, "p.json is not there")],
    )  # fmt: skip
    def test_profiles_that_are_none_are_a_mistake(
        self, folder: Folder, content: bytes | None, words: str
    ) -> None:
        """Before Docker would say it at the start of a deployment."""
        if content is not None:
            folder.write(content, "p.json")

        assert words in folder.app_mistake("security_opt: ['seccomp:p.json']")


def test_what_has_no_effect_is_taken_and_named(folder: Folder) -> None:
    """A pasted block goes through, and nobody believes it does what it does not."""
    text = app_text("""
        attach: false
        networks: {a: {priority: 5}, b: }
        volumes: [{type: bind, source: /a, target: /a, consistency: cached}]
    """)
    plain = app_text("networks: [a, b]\nvolumes: ['/a:/a']")
    found = folder.read(text)

    assert found.apps == folder.read(plain).apps
    named = [warning.split(": ")[1] for warning in found.warnings]
    assert named == [
        "apps.web.attach",
        "apps.web.networks.a.priority",
        "apps.web.volumes[0].consistency",
    ]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("pull_policy: always", '"always" is not supported: an image is pulled when it is not on this machine'),
        ("pull_policy: daily", '"daily" is not supported'),
        ("pull_policy: never", "never is not supported: an image that is not on this machine is pulled"),
        ("pull_policy: build", "build is not done here"),
        ("gpus: some", "gpus: must be all, or a list of cards"),
        ("gpus: [{count: 1, device_ids: ['0']}]", "count and device_ids say the same in two ways"),
        ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}", "mem_limit: deploy.resources.limits.memory says something else"),
        ("mem_swappiness: 101", "mem_swappiness: must be a whole number from 0 to 100"),
        ("cpu_rt_period: soon", "cpu_rt_period: must be a duration"),
        ("userns_mode: x", "userns_mode: must be host"),
        ("volumes: [{type: npipe, source: a, target: /a}]", "type: must be bind, volume, tmpfs or image"),
        ("volumes: [{type: image, target: /a}]", "an image mount needs a source"),
        ("volumes: [{type: bind, source: /a, target: /a, volume: {nocopy: true}}]", "volume: says nothing for a mount of type bind"),
        ("volumes: [{type: bind, source: /a, target: /a, bind: {recursive: enabled, selinux: z}}]", "goes neither with recursive"),
        ("networks: {a: {ipv4_address: 1.2.3.4}}", "ipv4_address: cannot be fixed: blue and green run side by side"),
        ("ulimits: {nofile: {soft: 1, hard: 2, hrd: 3}}", "ulimits.nofile.hrd: is unknown here; did you mean hard?"),
    ],
)  # fmt: skip
def test_what_cannot_be_says_what_to_write(folder: Folder, keys: str, words: str) -> None:
    """Each mistake has its place and a way out."""
    assert words in folder.app_mistake(keys)


def test_limits_that_are_said_twice_may_agree(folder: Folder) -> None:
    """As in Compose: the same in both ways is no contradiction."""
    deploy = "deploy: {resources: {limits: {memory: 1g, cpus: '0.5', pids: 9}}}"

    assert folder.container(f"mem_limit: 1024m\ncpus: 0.50\npids_limit: 9\n{deploy}")

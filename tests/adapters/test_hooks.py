"""Hooks on their way from the desired file to Docker, and back from Docker's labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.desired import Folder
from tests.adapters.fake_docker import IMAGE, Wakes, app, fake_docker
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.docker_hooks import as_hook, hook_label, hook_labels
from traefik_bg.adapters.docker_settings import creation
from traefik_bg.core.errors import SpecRefused
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, canonical_json
from traefik_bg.core.ports import HookLabel

MIGRATE = Hook(moment=Moment.BEFORE, command=("./manage.py", "migrate"), timeout=300.0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- what is read ---------------------------------------------------------------------------------


def test_hooks_reach_the_spec(folder: Folder) -> None:
    """Each with its command and its time."""
    spec = folder.app(
        """
        hooks:
          before: {command: [./manage.py, migrate], timeout: 5m}
          after_cutover: {command: "./warm.sh 'front page'"}
        """
    )
    assert spec.hooks == (
        MIGRATE,
        Hook(moment=Moment.AFTER_CUTOVER, command=("./warm.sh", "front page"), timeout=600.0),
    )


@pytest.mark.parametrize("short", ["./manage.py migrate", "[./manage.py, migrate]"])
def test_a_command_alone_is_a_hook(folder: Folder, short: str) -> None:
    """The short form, as Compose writes commands."""
    (hook,) = folder.app(f"hooks: {{before: {short}}}").hooks
    assert hook.command == ("./manage.py", "migrate")


def test_hooks_of_the_defaults_can_be_undone(folder: Folder) -> None:
    """With false, as everywhere."""
    apps = folder.read(
        "defaults: {hooks: {before: ./migrate, after_cutover: ./warm}}\n"
        "apps: {web: {image: a/web:1, port: 80, route: [], hooks: {before: false}}}\n"
    ).apps
    assert [hook.command for hook in apps[AppName("web")].hooks] == [("./warm",)]


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ("{before: []}", "is empty: write a command such as [./manage.py, migrate]"),
        ("{before: {timeout: 5m}}", "command is missing"),
        ("{befor: ./x}", "did you mean before?"),
        ("{before: {command: ./x, timeout: 0}}", "timeout"),
        ("{before: './x \"y'}", "a quote in this command is never closed"),
    ],
)
def test_mistakes_in_hooks_are_named(folder: Folder, hooks: str, said: str) -> None:
    """With what would work."""
    assert said in folder.app_mistake(f"hooks: {hooks}")


# --- what Docker is asked for ---------------------------------------------------------------------


def test_a_hook_has_the_apps_settings_but_cannot_be_taken_for_a_replica() -> None:
    """No route, no name in the networks, no health, no second life."""
    spec = AppSpec(
        name=AppName("web"),
        image="acme/web:1",
        port=8000,
        container=canonical_json(
            {
                "environment": {"A": "b"},
                "volumes": ["data:/data"],
                "networks": {"back": {"aliases": ["web"]}},
                "labels": {"traefik.enable": "true", "team": "shop"},
                "command": ["serve"],
                "restart": "always",
            }
        ),
    )
    labels = {"traefik-bg.app": "web"} | hook_labels(MIGRATE, 7)
    made = as_hook(creation(spec, labels=labels, network="edge"), MIGRATE)
    assert made.body["Cmd"] == ["./manage.py", "migrate"]
    assert made.body["Env"] == ["A=b"]
    assert made.body["Healthcheck"] == {"Test": ["NONE"]}
    assert made.body["ExposedPorts"] == {}
    assert made.body["Labels"] == {
        "team": "shop",
        "traefik-bg.app": "web",
        "traefik-bg.hook": "before",
        "traefik-bg.deployment": "7",
        "traefik-bg.timeout": "300",
    }
    assert made.body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert made.body["HostConfig"]["Binds"]
    assert made.body["NetworkingConfig"]["EndpointsConfig"] == {"edge": {}, "back": {}}
    assert made.endpoints == {"edge": {}, "back": {}}
    known_by = {"traefik-bg.app", "traefik-bg.hook", "traefik-bg.deployment"}
    assert made.identity == {key: labels[key] for key in known_by}


def test_a_hook_has_no_name_that_leads_to_the_app() -> None:
    """Docker makes DNS names of a host name, in every network."""
    named = canonical_json({"hostname": "web", "domainname": "example.com"})
    spec = AppSpec(name=AppName("web"), image="acme/web:1", port=8000, container=named)
    replica = creation(spec, labels={}, network="edge")
    assert (replica.body["Hostname"], replica.body["Domainname"]) == ("web", "example.com")
    assert not {"Hostname", "Domainname"} & as_hook(replica, MIGRATE).body.keys()


async def test_a_hook_whose_time_was_changed_meanwhile_is_the_same_hook(tmp_path: Path) -> None:
    """Its container is there already, with the time it had when that was made."""
    name = ReplicaName("web-abc-before-2")
    longer = replace(MIGRATE, timeout=600.0)
    async with fake_docker(tmp_path / "d.sock", api="1.45") as docker:
        url = f"unix://{tmp_path / 'd.sock'}"
        async with DockerEngine("mine", "edge", Wakes(), url) as engine:
            await engine.create_hook(name, MIGRATE, 2, app(), IMAGE)
            await engine.create_hook(name, longer, 2, app(), IMAGE)
            with pytest.raises(SpecRefused, match="another container of ours"):
                await engine.create_hook(name, longer, 3, app(), IMAGE)
        assert len(docker.containers) == 1


def test_what_a_hook_runs_is_no_part_of_what_is_printed(folder: Folder) -> None:
    """A variable may have been put in."""
    line = "hooks: {before: 'psql postgres://u:${DB_PASSWORD}@db'}"
    (hook,) = folder.app(line, DB_PASSWORD="hunter2").hooks
    assert "hunter2" in hook.command[1]
    assert "hunter2" not in f"{hook} {hook!r}"


def test_what_the_labels_say_is_read_back() -> None:
    """After a restart of the service they are all that is known."""
    found = HookLabel(moment=Moment.BEFORE, deployment=7, timeout=300.0)
    assert hook_label(hook_labels(MIGRATE, 7)) == found
    assert hook_label({"traefik-bg.app": "web"}) is None


def test_labels_of_another_version_of_us_make_a_hook_of_no_deployment() -> None:
    """It is left to end, as long as most may take, and cleared away."""
    strange = {"traefik-bg.hook": "at_full_moon", "traefik-bg.deployment": "7"}
    ours = HookLabel(moment=Moment.BEFORE, deployment=0, timeout=600.0)
    assert hook_label(strange) == ours
    for unheard_of in ("inf", "nan", "-1", "soon"):
        assert hook_label(strange | {"traefik-bg.timeout": unheard_of}) == ours
    assert hook_label(strange | {"traefik-bg.timeout": "9"}) == replace(ours, timeout=9.0)

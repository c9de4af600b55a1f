"""Hooks on their way from the desired file to Docker, and back from Docker's labels."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from tests.adapters.desired import Folder
from traefik_bg.adapters.docker_hooks import as_hook, hook_label, hook_labels
from traefik_bg.adapters.docker_settings import creation
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppName, AppSpec, canonical_json
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
    assert made.identity == labels


def test_what_the_labels_say_is_read_back() -> None:
    """After a restart of the service they are all that is known."""
    found = HookLabel(moment=Moment.BEFORE, deployment=7, timeout=300.0)
    assert hook_label(hook_labels(MIGRATE, 7)) == found
    assert hook_label({"traefik-bg.app": "web"}) is None


def test_labels_of_another_version_of_us_make_a_hook_of_no_deployment() -> None:
    """It is left to end, and cleared away."""
    found = hook_label({"traefik-bg.hook": "at_full_moon", "traefik-bg.deployment": "7"})
    assert found == HookLabel(moment=Moment.BEFORE, deployment=0, timeout=inf)

"""Whose tags are followed, as the desired file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.desired import LEAST, Folder
from traefik_bg.core.model import AppName

WEB = AppName("web")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_following_a_tag_is_no_part_of_the_spec(folder: Folder) -> None:
    """Else writing it into the file would undo a rejection."""
    bare = folder.app("")
    found = folder.read("apps:\n  web:\n    image: web:1\n    port: 8000\n"
                        "    route: {host: web.example.com}\n    update: {poll: 5m}\n")  # fmt: skip
    assert found.apps[WEB] == bare
    assert found.polls == {WEB: 300.0}


def test_defaults_follow_all_tags_but_those_that_say_no(folder: Folder) -> None:
    """As with everything that can be switched off."""
    apps = "".join(
        f"  {name}:\n    image: {image}\n    port: 80\n    route: {{host: {name}.example.com}}\n{more}"
        for name, image, more in (
            ("web", "web:1", ""),
            ("api", "api@sha256:" + "a" * 64, "    update: false\n"),
        )
    )
    found = folder.read(f"defaults:\n  update: {{poll: 30s}}\napps:\n{apps}")
    assert found.polls == {WEB: 30.0}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("update: {poll: 9s}", "poll: asks the registry more often than every 10s"),
        ("update: {}", "poll is missing: write how often its registry is asked"),
        ("update: {poll: 5m, every: 5m}", "every: is unknown here; known are poll"),
        ("poll: 5m", "poll: belongs under update"),
        ("rollout: {update: {poll: 5m}}", "rollout.update: belongs to the app"),
    ],
)
def test_what_is_written_wrong_is_said(folder: Folder, keys: str, said: str) -> None:
    """With what would work."""
    assert said in folder.app_mistake(keys)


def test_a_digest_cannot_be_followed(folder: Folder) -> None:
    """It never moves, so somebody has mistaken something."""
    text = LEAST.replace("web:1", "web@sha256:" + "a" * 64) + "update: {poll: 5m}\n"
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    (mistake,) = folder.mistakes(f"apps:\n  web:\n{indented}")
    assert "update" in mistake
    assert "names a digest, and that never moves" in mistake

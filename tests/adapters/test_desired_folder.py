"""A folder of desired files is followed like one file, and taken as a whole."""
# ruff: noqa: ASYNC240 - the files are tiny

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.watching import text, watching
from traefik_bg.adapters import desired_file, desired_watch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is slow on purpose quick."""
    monkeypatch.setattr(desired_file, "REMOVAL_QUIET", 0.1)
    monkeypatch.setattr(desired_watch, "POLL", 0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "apps"
    path.mkdir()
    (path / "web.yaml").write_text(text(web="web:1"))
    (path / "api.yaml").write_text(text(api="api:1"))
    return path


async def test_files_that_come_and_change_in_a_folder_are_seen(folder: Path) -> None:
    """A folder is followed like a file."""
    async with watching(folder) as seen:
        await seen.until(lambda: seen.images == {"api": "api:1", "web": "web:1"})
        new = folder / ".api.yaml.tmp"
        new.write_text(text(api="api:2"))
        new.rename(folder / "api.yaml")
        await seen.until(lambda: seen.wakes == [None, "api"])
        (folder / "docs.yml").write_text(text(docs="docs:1"))
        await seen.until(lambda: "docs" in seen.images)


@pytest.mark.usefixtures("quick")
async def test_deleting_the_file_of_an_app_removes_the_app(folder: Path) -> None:
    """In a folder, that is the natural way to remove one."""
    async with watching(folder) as seen:
        await seen.until(lambda: seen.wakes == [None])
        (folder / "api.yaml").unlink()
        await seen.until(lambda: seen.images == {"web": "web:1"})

        assert seen.error is None


@pytest.mark.usefixtures("quick")
async def test_while_one_file_of_a_folder_is_broken_no_app_goes(folder: Path) -> None:
    """A folder is taken as a whole, so a broken file cannot hide why an app is missing."""
    async with watching(folder) as seen:
        await seen.until(lambda: seen.wakes == [None])
        (folder / "web.yaml").write_text("apps: [")
        (folder / "api.yaml").unlink()
        await seen.until(lambda: seen.error is not None)
        assert seen.images == {"api": "api:1", "web": "web:1"}

        (folder / "web.yaml").write_text(text(web="web:2"))
        await seen.until(lambda: seen.images == {"web": "web:2"})


@pytest.mark.usefixtures("quick")
async def test_a_folder_that_loses_all_its_files_removes_nothing(folder: Path) -> None:
    """An empty folder looks like one that is not mounted."""
    async with watching(folder) as seen:
        await seen.until(lambda: seen.wakes == [None])
        for path in list(folder.iterdir()):
            path.unlink()
        await seen.until(lambda: "without any *.yaml" in str(seen.error))

        assert seen.images == {"api": "api:1", "web": "web:1"}

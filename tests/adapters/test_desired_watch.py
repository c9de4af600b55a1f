"""The desired state follows its files, whichever way they are saved, and never follows half of one."""
# ruff: noqa: ASYNC240 - conditions are asked for, and the files are tiny

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters.watching import text, watching
from traefik_bg.adapters import desired_file, desired_watch
from traefik_bg.core.ports import DesiredState

Save = Callable[[Path, str], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "desired.yaml"
    path.parent.mkdir()
    path.write_text(text(web="web:1"))
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is slow on purpose quick."""
    monkeypatch.setattr(desired_file, "REMOVAL_QUIET", 0.1)
    monkeypatch.setattr(desired_watch, "POLL", 0.1)


# --- saving ---------------------------------------------------------------------------------------


def in_place(path: Path, content: str) -> None:
    path.write_text(content)


def in_pieces(path: Path, content: str) -> None:
    with path.open("w", buffering=1) as file:
        for line in content.splitlines(keepends=True):
            file.write(line)


def rename_over(path: Path, content: str) -> None:
    new = path.with_name(".desired.yaml.tmp")
    new.write_text(content)
    new.rename(path)


def backup_and_create(path: Path, content: str) -> None:
    """Save as vim does."""
    path.rename(path.with_name("desired.yaml~"))
    path.write_text(content)
    path.with_name("desired.yaml~").unlink()


def delete_and_create(path: Path, content: str) -> None:
    path.unlink()
    path.write_text(content)


def link_over(path: Path, content: str) -> None:
    """Turn the file into a link to another one."""
    other = path.parent.parent / f"version-{content.__hash__()}.yaml"
    other.write_text(content)
    link = path.with_name("link")
    link.symlink_to(other)
    link.rename(path)


@pytest.mark.parametrize(
    "save",
    [in_place, in_pieces, rename_over, backup_and_create, delete_and_create, link_over],
    ids=lambda save: save.__name__,
)
async def test_every_style_of_saving_is_seen(file: Path, save: Save) -> None:
    """However a file is saved, again and again, the new state is in force and the app is woken."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        for number in range(2, 6):
            save(file, text(web=f"web:{number}"))
            await seen.until(lambda number=number: seen.images == {"web": f"web:{number}"})  # type: ignore[misc]

        assert seen.wakes == [None, *["web"] * 4]
        assert seen.error is None


async def test_a_swapped_link_in_the_middle_of_the_way_is_seen(tmp_path: Path) -> None:
    """Files mounted as Kubernetes mounts them change by one link being swapped."""
    for number in (1, 2, 3):
        folder = tmp_path / f"..version{number}"
        folder.mkdir()
        (folder / "desired.yaml").write_text(text(web=f"web:{number}"))
    (tmp_path / "..data").symlink_to("..version1")
    (tmp_path / "desired.yaml").symlink_to("..data/desired.yaml")

    async with watching(tmp_path / "desired.yaml") as seen:
        await seen.until(lambda: seen.images == {"web": "web:1"})
        for number in (2, 3):
            (tmp_path / "..new").symlink_to(f"..version{number}")
            (tmp_path / "..new").rename(tmp_path / "..data")
            await seen.until(lambda number=number: seen.images == {"web": f"web:{number}"})  # type: ignore[misc]


async def test_a_change_of_an_env_file_wakes_the_app(file: Path) -> None:
    """What an app's env file says is part of it, also when the file is in another folder."""
    env = file.parent.parent / "web.env"
    env.write_text("A=1")
    file.write_text(text(web="web:1").replace("route", "env_file: ../web.env, route"))

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        rename_over(env, "A=2")
        await seen.until(lambda: seen.wakes == [None, "web"])


async def test_a_change_of_dotenv_wakes_the_app(file: Path) -> None:
    """Variables in a .env that appears, changes and goes are followed."""
    file.write_text(text(web="web:${TAG:-1}"))
    dotenv = file.with_name(".env")

    async with watching(file) as seen:
        await seen.until(lambda: seen.images == {"web": "web:1"})
        dotenv.write_text("TAG=2")
        await seen.until(lambda: seen.images == {"web": "web:2"})
        dotenv.write_text("TAG=3")
        await seen.until(lambda: seen.images == {"web": "web:3"})


async def test_only_the_app_that_changed_is_woken(file: Path) -> None:
    """Others have nothing to look at; when apps come, all are called."""
    file.write_text(text(web="web:1", api="api:1"))

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text(text(web="web:1", api="api:2"))
        await seen.until(lambda: seen.wakes == [None, "api"])
        file.write_text(text(web="web:1", api="api:2", docs="docs:1"))
        await seen.until(lambda: seen.wakes == [None, "api", None])


async def test_unchanged_content_wakes_nobody(file: Path) -> None:
    """Touching, rewriting, reordering or commenting a file changes nothing."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.touch()
        file.write_text("# a comment\n" + text(web="web:1"))
        rename_over(file, text(web="web:1"))
        file.with_name("notes.txt").write_text("not ours")
        rename_over(file, text(web="web:2"))
        await seen.until(lambda: seen.images == {"web": "web:2"})

        assert seen.wakes == [None, "web"]


@pytest.mark.usefixtures("quick")
async def test_what_the_system_does_not_tell_is_found_by_looking(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that tells of nothing, a slow look finds the change."""
    monkeypatch.setattr(desired_watch.Watched, "concerns", lambda *_: False)

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text(text(web="web:2"))
        await seen.until(lambda: seen.images == {"web": "web:2"})


@pytest.mark.usefixtures("quick")
async def test_when_nothing_can_be_watched_looking_goes_on(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without watches left, or a folder that just went, does not end the following."""

    def refuse(*_paths: str, **_options: object) -> None:
        raise OSError("no watches left")

    monkeypatch.setattr(desired_watch, "awatch", refuse)

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text(text(web="web:2"))
        await seen.until(lambda: seen.images == {"web": "web:2"})


# --- broken, half written, gone -------------------------------------------------------------------


async def test_a_broken_file_keeps_the_last_good_state(file: Path) -> None:
    """While the file is broken its mistakes are told; once it is good again they are not."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text("apps:\n  web: {image: web:2, port: none, route: []}\n")
        await seen.until(lambda: seen.error is not None)

        assert seen.error == f'{file}:2: apps.web.port: must be a port from 1 to 65535, not "none"'
        assert seen.images == {"web": "web:1"}
        assert seen.wakes == [None, None]  # so that every app's status tells of it at once

        file.write_text(text(web="web:1"))
        await seen.until(lambda: seen.error is None)
        assert seen.wakes == [None, None, None]


@pytest.mark.parametrize("content", ["", "apps:\n", "# apps: {}\n", "apps"])
async def test_an_empty_file_removes_nothing(file: Path, content: str) -> None:
    """Only who writes that nothing is to run means it."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text(content)
        await seen.until(lambda: seen.error is not None)

        assert seen.images == {"web": "web:1"}


@pytest.mark.usefixtures("quick")
async def test_explicitly_no_apps_removes_all(file: Path) -> None:
    """An explicit `apps: {}` is taken at its word."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text("apps: {}\n")
        await seen.until(lambda: seen.images == {})

        assert seen.wakes == [None, None]
        assert seen.source.current().is_known


@pytest.mark.usefixtures("quick")
async def test_a_file_that_vanishes_keeps_the_last_good_state(file: Path) -> None:
    """Its absence is told of, and its return ends that, also when its whole folder went."""
    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.unlink()
        await seen.until(lambda: seen.error == f"{file}: has vanished")
        assert seen.images == {"web": "web:1"}

        file.parent.rmdir()
        file.parent.mkdir()
        file.write_text(text(web="web:2"))
        await seen.until(lambda: seen.images == {"web": "web:2"})
        assert seen.error is None


@pytest.mark.usefixtures("quick")
async def test_before_a_good_file_has_been_read_nothing_is_known(tmp_path: Path) -> None:
    """Nothing may be concluded from a file that is not there yet, or is broken from the start."""
    file = tmp_path / "later" / "desired.yaml"

    async with watching(file) as seen:
        assert not seen.source.current().is_known
        await seen.until(lambda: seen.error == f"{file}: is not there")
        file.parent.mkdir()
        file.write_text("apps: [")
        await seen.until(lambda: "is not YAML" in str(seen.error))
        assert not seen.source.current().is_known

        file.write_text(text(web="web:1"))
        await seen.until(lambda: seen.source.current().is_known)
        assert seen.source.current() == DesiredState(apps=seen.source.current().apps)


async def test_a_file_that_is_cut_short_for_a_moment_removes_no_app(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow writer's first half can look like a good file without the last app."""
    whole = text(web="web:1", api="api:1")
    file.write_text(whole)
    reads: list[Path] = []

    def counted(*arguments: object) -> object:
        reads.append(file)
        return read_desired(*arguments)  # type: ignore[arg-type]

    read_desired = desired_file.read_desired
    monkeypatch.setattr(desired_file, "read_desired", counted)

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        file.write_text(text(web="web:1"))
        await seen.until(lambda: len(reads) == 2)
        file.write_text(whole.replace("api:1", "api:2"))
        await seen.until(lambda: seen.images == {"web": "web:1", "api": "api:2"})

        assert seen.wakes == [None, "api"]


async def test_a_file_that_never_rests_is_told_of(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file keeps changing it is not read, and the error says so until it rests."""
    monkeypatch.setattr(desired_file, "RESTLESS", 0.1)
    numbers = itertools.count(2)

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])

        def is_told() -> bool:
            file.write_text(text(web=f"web:{next(numbers)}"))
            return seen.error is not None

        await seen.until(is_told)
        assert seen.error == f"{file}: keeps changing; it is read when it is quiet"
        assert seen.images == {"web": "web:1"}

        file.write_text(text(web="web:rested"))
        await seen.until(lambda: seen.images == {"web": "web:rested"})
        assert seen.error is None


async def test_a_bug_of_ours_stops_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves goes on serving even if reading fails in a way nobody thought of."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with watching(file) as seen:
        await seen.until(lambda: seen.wakes == [None])
        with monkeypatch.context() as broken:
            broken.setattr(desired_file, "read_desired", fail)
            file.write_text(text(web="web:2"))
            await seen.until(lambda: "because of a bug: ZeroDivisionError" in str(seen.error))
        file.write_text(text(web="web:3"))
        await seen.until(lambda: seen.images == {"web": "web:3"})

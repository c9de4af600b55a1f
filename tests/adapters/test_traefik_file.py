"""The routing file: always whole, always readable by Traefik, staged where it costs nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import structlog.testing

from tests.adapters.routing import BLUE, GREEN, WEB, to
from traefik_bg.adapters.traefik_file import COPY_NAME, FILE_NAME, RoutingFile
from traefik_bg.core import traffic
from traefik_bg.core.errors import RouterUnavailable

ONE = traffic.encode(traffic.render({WEB: to(BLUE)}))
TWO = traffic.encode(traffic.render({WEB: to(GREEN)}))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A state folder, and a watched folder in a folder of its own."""
    state, dynamic = tmp_path / "state", tmp_path / "traefik" / "dynamic"
    state.mkdir()
    dynamic.mkdir(parents=True)
    return state, dynamic


def names(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return [path.name for path in folder.iterdir()]


def test_it_is_replaced_as_a_whole_and_copied(folders: tuple[Path, Path]) -> None:
    """Whoever reads, whenever, reads one document or the other."""
    state, dynamic = folders
    file = RoutingFile(*folders)
    assert file.read() is None
    for data in (ONE, TWO):
        file.write(data)
        assert (dynamic / FILE_NAME).read_bytes() == data == (state / COPY_NAME).read_bytes()
    assert file.is_intact()
    assert RoutingFile(*folders).read() == TWO
    assert names(dynamic) == [FILE_NAME]
    assert names(state) == [COPY_NAME]


def test_traefik_may_be_another_user(folders: tuple[Path, Path]) -> None:
    """The file is readable for all, whatever our umask is."""
    before = os.umask(0o077)
    try:
        RoutingFile(*folders).write(ONE)
    finally:
        os.umask(before)
    assert (folders[1] / FILE_NAME).stat().st_mode & 0o777 == 0o644


def test_for_the_http_provider_it_is_in_the_state_folder(tmp_path: Path) -> None:
    """Without a watched folder it is only our memory, and needs no copy."""
    file = RoutingFile(tmp_path, None)
    file.write(ONE)
    assert names(tmp_path) == [FILE_NAME]
    assert file.read() == ONE


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_it_is_staged_in_the_best_folder_that_can_be_renamed_from(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """Beside the watched folder, else in the state folder, and inside only if nothing else goes."""
    state, dynamic = folders
    best = [dynamic.parent, state, dynamic]
    rename, used = Path.rename, []

    def choosy(stage: Path, path: Path) -> Path:
        if path.name == FILE_NAME:
            if stage.parent in best[:refused]:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            used.append(stage.parent)
        return rename(stage, path)

    monkeypatch.setattr(Path, "rename", choosy)
    file = RoutingFile(*folders)
    file.write(ONE)
    file.write(TWO)
    assert used == [best[refused]] * 2
    assert file.read() == TWO
    assert not list(dynamic.parent.rglob("*.tmp"))


def test_a_folder_that_is_not_there_is_explained(tmp_path: Path) -> None:
    """The likeliest mistake: a volume that is not mounted."""
    with pytest.raises(RouterUnavailable, match=r"nowhere/traefik-bg.yml could not be written .*No such file"):  # fmt: skip
        RoutingFile(tmp_path, tmp_path / "nowhere").write(ONE)


def test_a_copy_that_cannot_be_kept_does_no_harm(folders: tuple[Path, Path]) -> None:
    """An old copy would be worse than none; the publish itself is fine. Told once."""
    state, dynamic = folders
    file = RoutingFile(*folders)
    file.write(ONE)
    (state / COPY_NAME).unlink()
    (state / COPY_NAME).mkdir()
    with structlog.testing.capture_logs() as logs:
        file.write(ONE)
        file.write(TWO)
    assert (dynamic / FILE_NAME).read_bytes() == TWO
    assert [entry["event"] for entry in logs] == ["routing.not_copied"]


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"http: {}"])
def test_the_copy_stands_in(folders: tuple[Path, Path], damage: bytes) -> None:
    """A damaged file is read from its copy, and known not to be intact."""
    file = RoutingFile(*folders)
    file.write(ONE)
    (folders[1] / FILE_NAME).write_bytes(damage)
    again = RoutingFile(*folders)
    assert again.read() == ONE
    assert not again.is_intact()


def test_two_damaged_files_are_an_error(folders: tuple[Path, Path]) -> None:
    """There was something; what it was, nobody knows."""
    (folders[0] / COPY_NAME).write_bytes(b"?")
    (folders[1] / FILE_NAME).write_bytes(b"?")
    with pytest.raises(RouterUnavailable, match=f"{FILE_NAME} cannot be read .* and .*{COPY_NAME}"):
        RoutingFile(*folders).read()

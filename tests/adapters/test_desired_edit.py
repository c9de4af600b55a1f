"""One app's image is changed in the user's file, and not a letter else."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from tests.adapters.desired import Folder
from traefik_bg.adapters import desired_edit
from traefik_bg.adapters.desired_file import edit_image
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.model import AppName

WEB = AppName("web")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def names(folder: Folder) -> list[str]:
    return [path.name for path in folder.path.iterdir()]


def refusal(folder: Folder, image: str = "web:2", app: str = "web") -> str:
    """Return why the image cannot be changed; the file must stay as it is."""
    before = folder.file.read_bytes() if folder.file.exists() else b""
    with pytest.raises(CommandRefused) as caught:
        edit_image(folder.file, AppName(app), image, environ={"TAG": "1"})
    assert (folder.file.read_bytes() if folder.file.exists() else b"") == before
    return str(caught.value).replace(f"{folder.path}/", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image: web:1", "image: web:2"),
        ("image:   web:1   # ← here", "image:   web:2   # ← here"),
        ('image: "web:1"', 'image: "web:2"'),
        ("image: 'web:1'", "image: 'web:2'"),
        ("'image': web:1", "'image': web:2"),
        ("image:\n        web:1", "image:\n        web:2"),
    ],
)
def test_only_the_image_is_changed(folder: Folder, before: str, after: str) -> None:
    """Comments, quotes, order, indents and line ends stay as they are."""
    text = (
        "# ünïcode  \napps:\n    api: {port: 1,   image: 'web:1', route: []}\r\n"
        "    web:\n      port: 80  # odd\n      {}\n      route:   []\n\n\n      command:\n      - a\n"
        "      -   'image: web:1'\n"
    )
    folder.write(text.replace("{}", before).encode())

    was = edit_image(folder.file, WEB, "web:2", environ={})

    assert was == "web:1"
    assert folder.file.read_bytes().decode() == text.replace("{}", after)


def test_an_app_in_braces_is_changed(folder: Folder) -> None:
    """The short form of a mapping is edited like the long one."""
    folder.write(b"\xef\xbb\xbfapps: {web: {image: 'web:1', port: 80, route: []}}")

    edit_image(folder.file, WEB, "reg.example:5000/web@sha256:" + "a" * 64, environ={})

    assert folder.file.read_bytes() == (
        b"\xef\xbb\xbfapps: {web: {image: 'reg.example:5000/web@sha256:%s', port: 80, route: []}}"
        % (b"a" * 64)
    )


def test_the_image_that_stands_there_already_is_left_alone(folder: Folder) -> None:
    """Deploying what is deployed does not touch the file."""
    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}")
    before = folder.file.stat()

    assert edit_image(folder.file, WEB, "web:1", environ={}) == "web:1"
    assert folder.file.stat() == before


def test_the_right_file_of_a_folder_is_changed(folder: Folder) -> None:
    """In a folder the file in which the app stands is edited."""
    for name in ("api", "web"):
        folder.write(
            f"apps: {{{name}: {{image: '{name}:1', port: 80, route: []}}}}", f"{name}.yaml"
        )

    edit_image(folder.path, WEB, "web:2", environ={})

    assert "web:2" in (folder.path / "web.yaml").read_text()
    assert "api:1" in (folder.path / "api.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apps: {web: {image: 'web:$TAG', port: 80, route: []}}",
         "desired.yaml:1: the image of web is made of a variable ('web:$TAG'); change the variable"),
        ("defaults: {image: 'web:1'}\napps: {web: {port: 80, route: []}}",
         "desired.yaml:2: the image of web is in the defaults; change it there, or give the app an image of its own"),
        ("x-a: &a {image: 'web:1'}\napps: {web: {<<: *a, port: 80, route: []}}",
         "desired.yaml:2: the image of web comes from <<; change it there, or give the app an image of its own"),
        ("x-a: &a web:1\napps: {web: {image: *a, port: 80, route: []}}",
         "desired.yaml:1: the image of web is shared through an anchor; change it there by hand"),
        ("apps: {web: {image: &a web:1, port: 80, route: []}}",
         "desired.yaml:1: the image of web is shared through an anchor; change it there by hand"),
        ("x-a: &a {image: 'web:1', port: 80, route: []}\napps: {web: *a}",
         "desired.yaml:1: the image of web is shared through an anchor; change it there by hand"),
        ("apps:\n  web:\n    port: 80\n    route: []\n    image: >-\n      web:1\n",
         "desired.yaml:5: the image of web is written over several lines; edit it"),
        ("apps: {api: {image: 'api:1', port: 80, route: []}}",
         "desired.yaml has no app web; its apps: api"),
        ("apps: {web: {image: web:1, port: eighty, route: []}}",
         'desired.yaml is broken, so nothing is changed in it:\ndesired.yaml:1: apps.web.port: must be a port from 1 to 65535, not "eighty"'),
        ("", "desired.yaml is broken, so nothing is changed in it:\ndesired.yaml:1: is empty; write apps: {} if nothing is to run"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_alone_is_refused_with_the_reason(
    folder: Folder, text: str, expected: str
) -> None:
    """Images from elsewhere are named as such, and the file stays as it is."""
    folder.write(text.encode())

    assert refusal(folder) == expected


def test_what_is_no_image_is_refused(folder: Folder) -> None:
    """A name that no image can have never gets into the file."""
    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}")

    assert refusal(folder, image="Web 2").startswith('"Web 2" names no image')
    assert "must be text" not in refusal(folder, image="web:'")


def test_an_image_that_yaml_would_misread_is_refused_or_quoted(folder: Folder) -> None:
    """An image called like a YAML word does not become one."""
    folder.write("apps: {web: {image: web:1, port: 80, route: []}}")

    assert "would be broken by the image no" in refusal(folder, image="no")


def test_mode_and_owner_stay(folder: Folder) -> None:
    """The file belongs to whom it belonged to, with the rights it had."""
    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(folder.file, 12345, 54321)
    before = folder.file.stat()

    edit_image(folder.file, WEB, "web:2", environ={})

    after = folder.file.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert names(folder) == ["desired.yaml"]


def test_a_link_stays_a_link(folder: Folder) -> None:
    """What the link leads to is changed, not the link."""
    real = folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}", "real.yaml")
    folder.file.symlink_to(real)

    edit_image(folder.file, WEB, "web:2", environ={})

    assert folder.file.is_symlink()
    assert "web:2" in real.read_text()


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV])
def test_a_file_mounted_alone_is_written_in_place(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Where a rename is not possible, the file itself is written."""

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(code, os.strerror(code))

    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}")
    before = folder.file.stat().st_ino
    monkeypatch.setattr(Path, "rename", refuse)

    edit_image(folder.file, WEB, "web:22", environ={})

    assert folder.file.read_text() == "apps: {web: {image: 'web:22', port: 80, route: []}}"
    assert folder.file.stat().st_ino == before
    assert names(folder) == ["desired.yaml"]


def test_a_change_by_somebody_else_is_not_lost(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changed between reading and writing is left alone."""
    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}")
    replace = desired_edit._replace

    def late(file: Path, content: bytes, changed: bytes) -> None:
        folder.write("apps: {web: {image: 'web:9', port: 80, route: []}}")
        replace(file, content, changed)

    monkeypatch.setattr(desired_edit, "_replace", late)
    with pytest.raises(CommandRefused, match="was changed by somebody else just now; try again"):
        edit_image(folder.file, WEB, "web:2", environ={})

    assert "web:9" in folder.file.read_text()
    assert names(folder) == ["desired.yaml"]


def test_a_file_that_cannot_be_written_says_why(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only mount is told of in words."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    folder.write("apps: {web: {image: 'web:1', port: 80, route: []}}")
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(desired_edit, "_write_in_place", refuse)

    assert refusal(folder) == "desired.yaml cannot be written: read-only file system"


def test_an_image_that_is_extended_is_changed_where_it_stands(folder: Folder) -> None:
    """The refusal says where it comes from."""
    path = folder.write(
        "apps:\n  base: {image: a:1, port: 80, route: []}\n  web: {extends: base}\n"
    )

    with pytest.raises(CommandRefused, match="the image of web comes from what it extends"):
        edit_image(path, AppName("web"), "a:2")

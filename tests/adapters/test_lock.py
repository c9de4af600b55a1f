"""Two services never share one state."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from traefik_bg.adapters.lock import Lock
from traefik_bg.core.errors import SettingsError


def holds(lock: Lock) -> bool:
    return lock.is_held


HOLDER = """
import sys, time
from pathlib import Path
from traefik_bg.adapters.lock import Lock
Lock(Path(sys.argv[1]), "first").acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_service_is_told_who_has_the_state(tmp_path: Path) -> None:
    """It does not start, and names the holder, its process, its machine and since when."""
    with Lock(tmp_path / "state", "first"):
        said = json.loads((tmp_path / "state" / "lock").read_text())
        with pytest.raises(SettingsError) as caught:
            Lock(tmp_path / "state", "second").acquire()

    assert said["pid"] == os.getpid()
    assert str(caught.value) == (
        f'{tmp_path}/state is in use by the service "first" (process {os.getpid()} on '
        f"{said['host']}, since {said['since']}); stop that service, or give this one another "
        "--state-dir and --instance"
    )


def test_a_holder_that_says_nothing_of_itself_still_holds(tmp_path: Path) -> None:
    """A file without words is a lock all the same."""
    with Lock(tmp_path, "first"):
        (tmp_path / "lock").write_text("[1")
        with pytest.raises(SettingsError, match="is in use by another service; stop"):
            Lock(tmp_path, "second").acquire()


def test_the_kernel_gives_the_lock_back_after_kill_9(tmp_path: Path) -> None:
    """A dead holder does not keep the next one out, whatever it left behind."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SettingsError, match=f"process {holder.pid} on"):
            Lock(tmp_path, "second").acquire()
        holder.send_signal(signal.SIGKILL)

    with Lock(tmp_path, "second") as held:
        assert holds(held)


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    """The next service starts where the last one ended; the file stays."""
    first, second = Lock(tmp_path, "first"), Lock(tmp_path, "second")
    first.acquire()
    first.acquire()
    first.release()
    first.release()
    assert not holds(first)

    with second:
        assert json.loads((tmp_path / "lock").read_text())["instance"] == "second"


def test_a_lock_whose_file_was_deleted_is_taken_again(tmp_path: Path) -> None:
    """Who deletes the state folder under the service does not let a second one in."""
    with Lock(tmp_path, "first") as held:
        (tmp_path / "lock").unlink()
        assert not holds(held)
        held.acquire()
        assert holds(held)
        with pytest.raises(SettingsError, match='is in use by the service "first"'):
            Lock(tmp_path, "second").acquire()


def test_a_folder_that_cannot_be_used_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every folder can be written to, and not every file system can lock."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file/lock cannot be locked: file exists"):
        Lock(tmp_path / "file", "first").acquire()

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SettingsError, match="lock cannot be locked: no locks available"):
        Lock(tmp_path / "state", "first").acquire()

"""Reads files so that what was read can be compared later, and knows what to watch for them.

Apart from the desired state's reading because watching asks the same question again and again:
would it find the same files? A file is taken for changed when its content is, never by its times:
some file systems keep those in whole seconds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_SIZE = 4 * 1024 * 1024  # bytes; a thousand apps need about one tenth of it
MAX_LINKS = 40  # symbolic links on the way to one file, as Linux has it
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, by the names of its YAML files in order."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that could not be read, and why."""

    reason: str
    is_missing: bool = False


Content = bytes | Folder | Unreadable
Contents = Mapping[Path, Content]


def content_of(path: Path) -> Content:
    """Return what a path holds now; never raises."""
    try:
        # Without O_NONBLOCK a named pipe would keep us waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Unreadable("is not there", is_missing=True)
    except (OSError, ValueError) as error:
        return Unreadable(f"cannot be read: {_reason(error)}")
    try:
        return _content(descriptor)
    except OSError as error:
        return Unreadable(f"cannot be read: {_reason(error)}")
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> Content:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        return Folder(tuple(sorted(filter(_is_yaml, os.listdir(descriptor)))))
    if not stat.S_ISREG(mode):
        return Unreadable("is neither a file nor a folder")
    with os.fdopen(os.dup(descriptor), "rb") as file:
        content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        return Unreadable(f"is larger than {MAX_SIZE // 1024**2} MiB")
    return content


def _is_yaml(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "its name is not possible").lower()


class Files:
    """The files of one reading, each read once."""

    def __init__(self) -> None:
        self.contents: dict[Path, Content] = {}

    def content(self, path: Path) -> Content:
        """Return what a path holds."""
        if path not in self.contents:
            self.contents[path] = content_of(path)
        return self.contents[path]


def read_again(paths: Iterable[Path]) -> Contents:
    """Return what the paths hold now, and the files of those that are folders."""
    found: dict[Path, Content] = {}
    for path in paths:
        content = found[path] = content_of(path)
        if isinstance(content, Folder):
            found |= {path / name: content_of(path / name) for name in content.names}
    return {path: content for path, content in found.items() if not _is_gone(path, found)}


def _is_gone(path: Path, found: Contents) -> bool:
    """Tell whether a path is only what a folder used to hold."""
    above, content = found.get(path.parent), found[path]
    return (
        isinstance(above, Folder)
        and isinstance(content, Unreadable)
        and content.is_missing
        and _is_yaml(path.name)
    )


# --- what to watch --------------------------------------------------------------------------------


def steps_to(path: Path) -> frozenset[Path]:
    """Return the path and every symbolic link on the way to what it finally names.

    Configuration mounted as Kubernetes mounts it changes when a link in the middle is swapped.
    """
    found: set[Path] = set()
    pending = [_absolute(path)]
    while pending and len(found) < MAX_LINKS:
        step = pending.pop()
        found.add(step)
        for link in (step, *step.parents):
            target = _target(link)
            if target is None:
                continue
            found.add(link)
            beyond = target / step.relative_to(link)
            if beyond not in found:
                pending.append(beyond)
            break
    return frozenset(found)


def _target(link: Path) -> Path | None:
    try:
        return _absolute(link.parent / link.readlink())
    except (OSError, ValueError):
        return None


def _absolute(path: Path) -> Path:
    """Return the path from the root, its links untouched: they are what is looked for."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow them

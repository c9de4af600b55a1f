"""Changes one app's image in the user's own file, and not a letter else.

For `deploy --image`. Done by putting the new name in the place of the old: a YAML library that
writes the file anew would keep comments, but not each indent, quote and line break. Whatever
cannot be changed so (a variable, an anchor, the defaults) is refused with the reason.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from traefik_bg.adapters.desired_files import Content, Files, Folder, content_of
from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.adapters.desired_schema import image_mistake
from traefik_bg.adapters.desired_tree import Table
from traefik_bg.adapters.desired_yaml import decoded, parsed
from traefik_bg.core.errors import CommandRefused, DesiredStateErrors
from traefik_bg.core.model import AppName

_BOM = "\ufeff".encode()
_QUOTES = {None: "", "'": "'", '"': '"'}


def edit_image(
    path: Path, app: AppName, image: str, *, environ: Mapping[str, str] | None = None
) -> str:
    """Write another image for an app into the desired file; return the one that stood there.

    Raises:
        CommandRefused: it cannot be done, or not without changing more than that.
    """
    if (wrong := image_mistake(image)) is not None:
        raise CommandRefused(f'"{image}" names no image: {wrong}')
    files = Files()
    before = _read(path, files, environ, "is broken, so nothing is changed in it")
    if app not in before.apps:
        known = ", ".join(sorted(before.apps)) or "none"
        raise CommandRefused(f"{path} has no app {app}; its apps: {known}")
    was = before.apps[app].image
    if was == image:
        return was
    file, content = _file_of(path, files, app)
    changed = _with_image(content, file, app, image)
    after = Files()
    after.contents = {**files.contents, file: changed}
    made = _read(path, after, environ, f"would be broken by the image {image}")
    if made.apps != {**before.apps, app: replace(before.apps[app], image=image)}:
        raise CommandRefused(f"{file}: more than the image of {app} would change; edit it")
    _replace(file, content, changed)
    return was


def _read(path: Path, files: Files, environ: Mapping[str, str] | None, what: str) -> Desired:
    try:
        return read_desired(path, files, environ)
    except DesiredStateErrors as error:
        raise CommandRefused(f"{path} {what}:\n{error}") from error


# --- finding the place ----------------------------------------------------------------------------


def _file_of(path: Path, files: Files, app: AppName) -> tuple[Path, bytes]:
    """Return the file in which the app stands."""
    content = files.content(path)
    candidates = [path / name for name in content.names] if isinstance(content, Folder) else [path]
    for file in candidates:
        found = files.content(file)
        if isinstance(found, bytes) and app in _apps_in(found, file):
            return file, found
    raise CommandRefused(f"{path}: {app} is not written in a way that can be changed; edit it")


def _apps_in(content: bytes, file: Path) -> Iterator[str]:
    root = parsed(decoded(content, str(file)), str(file), [])
    apps = root.entries.get("apps") if isinstance(root, Table) else None
    return iter(apps.node.entries if apps is not None and isinstance(apps.node, Table) else ())


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Says where nothing can be changed, and why."""

    file: Path
    app: AppName

    def __call__(self, node: yaml.Node, why: str) -> CommandRefused:
        line = node.start_mark.line + 1
        return CommandRefused(f"{self.file}:{line}: the image of {self.app} {why}")


def _with_image(content: bytes, file: Path, app: AppName, image: str) -> bytes:
    """Return the content with the app's image replaced."""
    text = decoded(content, str(file))
    root = yaml.compose(text, yaml.SafeLoader)
    refused = _Refusal(file, app)
    if root is None:
        raise CommandRefused(f"{file} is empty")
    uses = _uses(root)
    node = root
    for key in ("apps", app, "image"):
        below = _child(node, key)
        if below is None:
            why = _elsewhere(node, key)
            raise refused(node, f"{why}; change it there, or give the app an image of its own")
        if uses[id(below)] > 1 or text[below.start_mark.index] in "*&!":
            raise refused(below, "is shared through an anchor; change it there by hand")
        node = below
    start, end = node.start_mark.index, node.end_mark.index
    written, style = text[start:end], getattr(node, "style", None)
    if "$" in written:
        raise refused(node, f"is made of a variable ({written}); change the variable")
    if style not in _QUOTES or "\n" in written:
        raise refused(node, "is written over several lines; edit it")
    quote = _QUOTES[style]
    changed = f"{text[:start]}{quote}{image}{quote}{text[end:]}"
    return (_BOM if content.startswith(_BOM) else b"") + changed.encode()


def _elsewhere(node: yaml.Node, key: str) -> str:
    """Return where an app has its image from, when it is not its own."""
    if key != "image" or _child(node, "<<"):
        return "comes from <<"
    if _child(node, "extends"):
        return "comes from what it extends"
    return "comes from its Compose file" if _child(node, "compose") else "is in the defaults"


def _child(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _uses(root: yaml.Node) -> Mapping[int, int]:
    """Return how often each part of the file is used; more than once, if it has an alias."""
    uses: dict[int, int] = {}
    pending = [root]
    while pending:
        node = pending.pop()
        uses[id(node)] = uses.get(id(node), 0) + 1
        if uses[id(node)] > 1:
            continue
        if isinstance(node, yaml.MappingNode):
            pending.extend(part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
    return uses


# --- writing --------------------------------------------------------------------------------------


def _replace(file: Path, content: bytes, changed: bytes) -> None:
    """Write the file so that nobody ever reads half of it, where that is possible."""
    real = file.resolve()
    try:
        if not _renamed_over(real, content, changed):
            _write_in_place(real, content, changed)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CommandRefused(f"{file} cannot be written: {reason}") from error


def _renamed_over(real: Path, content: bytes, changed: bytes) -> bool:
    """Put a new file in the place of the old; False: that cannot be done here."""
    try:
        descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.", suffix=".tmp")
    except OSError:
        return False  # the folder may not be ours to write to, while the file is
    staged = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as new:
            was = real.stat()
            os.fchmod(new.fileno(), was.st_mode & 0o7777)
            os.fchown(new.fileno(), was.st_uid, was.st_gid)
            new.write(changed)
            new.flush()
            os.fsync(new.fileno())
        _expect(real, content)
        staged.rename(real)
    except OSError:
        return False  # another owner's, or mounted alone into a container: rename says EBUSY
    else:
        _sync_folder(real.parent)
        return True
    finally:
        staged.unlink(missing_ok=True)


def _write_in_place(real: Path, content: bytes, changed: bytes) -> None:
    with real.open("r+b") as file:
        _expect(real, content)
        file.write(changed)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _expect(real: Path, content: Content) -> None:
    if content_of(real) != content:
        raise CommandRefused(f"{real} was changed by somebody else just now; try again")


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # the rename is done; not every file system can sync it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Paths that a Compose file names, said so that they lead to the same place from elsewhere.

Apart from the settings they stand in because there are two kinds: what traefik-bg reads itself,
and what Docker mounts, for which only a path of Docker's host will do. Pure but for the user's
home.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from pathlib import Path

from traefik_bg.adapters.compose_values import derived, escaped, written
from traefik_bg.adapters.desired_tree import Scalar


class Paths:
    """The paths of one Compose file."""

    def __init__(
        self, file: Path, variables: Mapping[str, str], *, host: Path | None, target: Path | None
    ) -> None:
        self._file = file
        self._variables = variables
        self._host = host
        """The folder of the file as Docker's host knows it; None: nobody has said."""
        self._target = target
        """The folder in which the app will stand; None: it is read where it is."""

    def read(self, path: Scalar) -> Scalar:
        """Return a path that traefik-bg reads."""
        above = Path(path.place.file).parent
        if self._target is None:
            return path
        is_same = _absolute(above) == _absolute(self._target)
        if is_same and not path.text.startswith("~"):
            return path
        return self._joined(path, above.absolute())

    def mounted(self, path: Scalar) -> Scalar:
        """Return a path that Docker mounts; as it is, if nobody said where Docker's host has it."""
        if path.text.startswith("/") or self._host is None:
            return path
        apart = os.path.relpath(Path(path.place.file).parent, self._file.parent)
        return self._joined(path, Path(os.path.normpath(self._host / apart)))

    def _joined(self, path: Scalar, folder: Path) -> Scalar:
        if path.text.startswith("/"):
            return path
        if path.text == "~" or path.text.startswith("~/"):
            made = os.path.expanduser(path.text)  # noqa: PTH111 - the rest may be no path yet
            return derived(path, made, escaped(made), self._variables)
        text = _below(str(folder), path.text)
        spelled = _below(escaped(str(folder)), written(path))
        return derived(path, text, spelled, self._variables)


def _absolute(folder: Path) -> str:
    return os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow links


def _below(folder: str, path: str) -> str:
    """Return a path in a folder, without the dots that lead nowhere."""
    if "$" in path:
        return f"{folder}/{path.removeprefix('./')}"
    return os.path.normpath(f"{folder}/{path}")

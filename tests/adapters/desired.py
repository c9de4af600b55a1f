"""Builders for tests of the desired state: text in, specs or mistakes out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.core.errors import DesiredStateErrors
from traefik_bg.core.model import AppName, AppSpec

LEAST = "image: web:1\nport: 8000\nroute: {host: web.example.com}\n"


class Folder:
    """A folder in which a test writes files and has the desired state read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "desired.yaml"

    def write(self, text: str | bytes, name: str = "desired.yaml") -> Path:
        """Write a file, its text without common indent."""
        file = self.path / name
        content = text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode()
        file.write_bytes(content)
        return file

    def read(self, text: str | bytes, **variables: str) -> Desired:
        """Return what a file with this text says."""
        return read_desired(self.write(text), environ=variables)

    def app(self, keys: str, **variables: str) -> AppSpec:
        """Return the spec of an app with these keys beside the few it must have."""
        return self.read(app_text(keys), **variables).apps[AppName("web")]

    def container(self, keys: str, **variables: str) -> Mapping[str, Any]:
        """Return the container settings of an app with these keys."""
        found: Mapping[str, Any] = json.loads(self.app(keys, **variables).container)
        return found

    def mistakes(self, text: str | bytes, **variables: str) -> list[str]:
        """Return every mistake of a file with this text, without the file's folder."""
        return self.mistakes_in(self.write(text), **variables)

    def mistakes_in(self, path: Path, **variables: str) -> list[str]:
        """Return every mistake of a file or folder, without the folder's name."""
        with pytest.raises(DesiredStateErrors) as caught:
            read_desired(path, environ=variables)
        return [str(error).replace(f"{self.path}/", "") for error in caught.value.errors]

    def app_mistake(self, keys: str, **variables: str) -> str:
        """Return the one mistake of an app with these keys, without file and line."""
        found = self.mistakes(app_text(keys), **variables)
        assert len(found) == 1, found
        return found[0].split(": ", 1)[1].removeprefix("apps.")


def app_text(keys: str) -> str:
    """Return a file with one app that has these keys beside the few it must have."""
    own = textwrap.dedent(keys).strip("\n")
    least = "".join(
        f"{line}\n"
        for line in LEAST.splitlines()
        if not any(key.startswith(line.split(":")[0] + ":") for key in own.splitlines())
    )
    return "apps:\n  web:\n" + textwrap.indent(f"{least}{own}\n", "    ")

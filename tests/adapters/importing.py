"""Builders for tests of the import: a Compose file in, a desired state or mistakes out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from traefik_bg.adapters.compose_import import Imported, Wish, import_compose
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.core.errors import DesiredStateErrors
from traefik_bg.core.model import AppName, AppSpec

LEAST: Mapping[str, Any] = {
    "image": "acme/web:1",
    "expose": [8000],
    "labels": {"traefik.http.routers.web.rule": "Host(`web.example.com`)"},
}


@dataclass(frozen=True, slots=True)
class Shop:
    """A project's folder."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "compose.yaml"

    def write(self, text: str, name: str = "compose.yaml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def imported(self, text: str | None = None, *services: str, **more: Any) -> Imported:
        """Return what becomes of a Compose file."""
        if text is not None:
            self.write(text)
        environ = more.pop("environ", {})
        return import_compose(Wish(self.file, services, **more), environ)

    def web(self, keys: str, **more: Any) -> Imported:
        """Return what becomes of a file with one service that has these keys, and what it needs."""
        own = textwrap.dedent(keys).strip("\n")
        least = [
            f"{key}: {json.dumps(value)}"
            for key, value in LEAST.items()
            if not any(line.startswith(f"{key}:") for line in own.splitlines())
        ]
        service = textwrap.indent("\n".join([*least, own]), "    ")
        top = yaml.safe_dump(more.pop("top", None) or {"x-none": 1})
        return self.imported(f"services:\n  web:\n{service}\n{top}", **more)

    def spec(self, made: Imported, app: str = "web", **environ: str) -> AppSpec:
        """Return an app of what was written, as our own reader reads it beside the Compose file."""
        path = self.folder / "desired.yaml"
        path.write_text(made.text, encoding="utf-8")
        return read_desired(path, environ=environ).apps[AppName(app)]

    def container(self, made: Imported, app: str = "web", **environ: str) -> Mapping[str, Any]:
        """Return the container settings of an app of what was written."""
        found: Mapping[str, Any] = json.loads(self.spec(made, app, **environ).container)
        return found

    def mistakes(self, text: str, *services: str, **more: Any) -> list[str]:
        """Return every mistake of a Compose file, without its folder."""
        with pytest.raises(DesiredStateErrors) as caught:
            self.imported(text, *services, **more)
        return [str(error).replace(f"{self.folder}/", "") for error in caught.value.errors]


def comments(made: Imported) -> str:
    """Return all comments as one text."""
    lines = (line.strip() for line in made.text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))

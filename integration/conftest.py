"""Fixtures of the integration tests: they run inside `scripts/testbed`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.stage import Provider, Stage, stage


def pytest_configure() -> None:
    """Refuse to run where the tests would touch somebody's own Docker, or prove nothing."""
    if "TESTBED_DIR" not in os.environ:
        pytest.exit("run these inside the testbed: make integration", returncode=2)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose Traefik reads files."""
    async with stage(tmp_path) as made:
        yield made


@pytest.fixture
async def polled_scene(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose Traefik polls the provider endpoint."""
    async with stage(tmp_path, Provider.HTTP) as made:
        yield made

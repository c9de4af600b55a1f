"""Fixtures of the integration tests: they run inside `scripts/testbed`."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.stage import Provider, Stage, stage


def pytest_configure() -> None:
    """Refuse to run where the tests would touch somebody's own Docker, or prove nothing.

    And let Ctrl-C end what tests start, also where a shell has its background jobs ignore it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "TESTBED_DIR" not in os.environ:
        pytest.exit("run these inside the testbed: make integration", returncode=2)


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage with Traefik running; it reads files unless the test asks for the HTTP provider."""
    async with stage(tmp_path, getattr(request, "param", Provider.FILE)) as made:
        yield made

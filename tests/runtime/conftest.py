"""Every test here runs in virtual time, and leaves no task behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every test that can live in virtual time."""
    for item in items:
        if item.path.parent.name == "runtime":
            item.add_marker(pytest.mark.looptime(noop_cycles=0))


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return what is logged, as dictionaries."""
    structlog.reset_defaults()
    with capture_logs() as entries:
        yield entries


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """Fail a test that leaves tasks behind, or one that failed with nobody to hear of it."""
    loop = asyncio.get_running_loop()
    unheard: list[str] = []
    loop.set_exception_handler(lambda _loop, context: unheard.append(str(context)))
    before = asyncio.all_tasks()
    yield
    for _ in range(3):
        await asyncio.sleep(0)  # the cancelled end
    mine = {asyncio.current_task()}
    left = sorted(task.get_name() for task in asyncio.all_tasks() - before - mine)
    loop.set_exception_handler(None)
    assert not left, f"tasks left behind: {', '.join(left)}"
    assert not unheard, f"nobody heard of: {'; '.join(unheard)}"

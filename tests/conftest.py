"""What holds for every test."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business, and so no reason to fail.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_sessionstart() -> None:
    """Keep pytest-asyncio from making a first event loop that nobody closes.

    It does so where there is none set, and warnings are errors here.

    And let Ctrl-C end what tests start, also where this runs in the background of a shell, which
    has its background jobs ignore it.
    """
    asyncio.set_event_loop(None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_is_as_it_was() -> Iterator[None]:
    """Undo what a command that sets up the log leaves behind: a stream that is closed by then."""
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h) is not logging.StreamHandler]


@pytest.fixture(autouse=True)
def _sync_tests_have_no_loop(request: pytest.FixtureRequest) -> None:
    """Keep looptime from making one for a test that is not asynchronous."""
    function = getattr(request, "function", None)
    if function is not None and not inspect.iscoroutinefunction(function):
        asyncio.set_event_loop(None)

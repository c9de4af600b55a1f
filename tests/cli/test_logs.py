"""The log: for programs or for people, with no secrets in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from traefik_bg import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A terminal that keeps what it is shown."""

    def isatty(self) -> bool:
        return True


def fail_with_a_secret() -> None:
    """Fail where a local variable is secret."""
    password = "hunter2"
    raise ValueError(len(password))


def test_what_is_no_terminal_gets_json() -> None:
    """Each event is one JSON line that begins with when, how grave and what."""
    stream = io.StringIO()
    logs.set_up("auto", "info", stream)
    structlog.get_logger().info("app.decided", app="web", do=["a"])
    event = json.loads(stream.getvalue())
    assert list(event) == ["timestamp", "level", "event", "app", "do"]
    assert (event["event"], event["app"]) == ("app.decided", "web")


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """People read lines, in colours where these are wanted."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for no_color, has_colors in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        logs.set_up("auto", "info", stream)
        structlog.get_logger().info("app.decided", app="web")
        assert ("\x1b" in stream.getvalue()) is has_colors
        assert "app.decided" in stream.getvalue()


def test_the_format_can_be_chosen() -> None:
    """Either format can be had anywhere."""
    stream = Terminal()
    logs.set_up("json", "info", stream)
    structlog.get_logger().info("a")
    assert json.loads(stream.getvalue())["event"] == "a"


def test_what_is_below_the_level_is_not_logged() -> None:
    """The level is a lower bound."""
    stream = io.StringIO()
    logs.set_up("json", "warning", stream)
    structlog.get_logger().info("no")
    structlog.get_logger().warning("yes")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_libraries_log_the_same_way_from_warnings_on() -> None:
    """What aiohttp and docker have to say comes in the same form, without their chatter."""
    stream = io.StringIO()
    logs.set_up("json", "debug", stream)
    logging.getLogger("aiohttp.server").info("chatter")
    logging.getLogger("docker.utils").warning("odd: %s", 1)
    (event,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (event["event"], event["logger"], event["level"]) == (
        "odd: 1",
        "docker.utils",
        "warning",
    )


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_come_without_the_values_of_variables(log_format: str) -> None:
    """A crash tells where, and nothing of what was in memory."""
    stream = Terminal()
    logs.set_up(log_format, "info", stream)
    for log in (structlog.get_logger(), logging.getLogger("other")):
        try:
            fail_with_a_secret()
        except ValueError:
            log.exception("broken")
    assert stream.getvalue().count("fail_with_a_secret") >= 2
    assert "hunter2" not in stream.getvalue().replace('password = "hunter2"', "")

"""Sets up the log: one line an event, as JSON for programs or in colours for people.

Called once, by `run`, before anything is logged. What libraries log goes the same way, from
warnings on. Tracebacks come without the values of variables, for those may be secret.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

LIBRARIES = logging.WARNING  # below that they tell of their own work, not of ours


def set_up(log_format: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Log from this level on, to a stream: standard error by default.

    The format is json, console, or auto: console on a terminal, else json.
    """
    stream = sys.stderr if stream is None else stream
    is_console = log_format == "console" or (log_format == "auto" and stream.isatty())
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not is_console),
        structlog.processors.StackInfoRenderer(),
    ]
    last = _for_people(stream) if is_console else _for_programs()
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_libraries(stream, common, last)


def _for_people(stream: TextIO) -> list[Processor]:
    has_colors = stream.isatty() and not os.environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(
        colors=has_colors,
        pad_event_to=24,
        # Its default, rich's, shows the values of variables.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [renderer]


def _for_programs() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        _in_reading_order,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def _in_reading_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _route_libraries(stream: TextIO, common: list[Processor], last: list[Processor]) -> None:
    """Have the standard library's loggers write the same kind of lines."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LIBRARIES)
    logging.captureWarnings(capture=True)

"""How lines of the log look: as text for people, or as JSON for programs.

Whatever a message holds, it stays one line, and moves no terminal's cursor: control and
bidirectional characters are written out. Only a traceback goes on below, indented: nothing in it is
taken for a line of its own.
"""

import logging
import sys
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Literal

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor, WrappedLogger

from api.text.printable import escaped

LogFormat = Literal["text", "json"]
ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

REQUEST_NAME: ContextVar[str | None] = ContextVar("request_name", default=None)
"""The id of the request that is being answered, where one is."""


def log_to_stderr(log_format: LogFormat = "text") -> None:
    """For processes that run until they are stopped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(_in_one_line)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of every task


def formatter(log_format: LogFormat) -> logging.Formatter:
    """What makes lines of records."""
    return _Text() if log_format == "text" else _json()


class _Text(logging.Formatter):
    """The time in UTC, the level, who says it, and what."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - the library's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {escaped(line)}" for line in lines)


def _json() -> logging.Formatter:
    """An object a line; all that is not ASCII is escaped, so nothing in it is taken for a command.

    `exception` is a traceback, `request_id` the request that is being answered.
    """
    told: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
        structlog.processors.format_exc_info,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=told,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=True),
        ],
    )


def _add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    name = REQUEST_NAME.get()
    if name is not None:
        event["request_id"] = name
    return event


def _in_one_line(record: logging.LogRecord) -> bool:
    """What is no HTTP is said in a line: aiohttp logs all of it, and anybody can send anything."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a request that is no HTTP: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"  # anybody can cause it
    return True

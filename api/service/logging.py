"""The log's two formats: text for people, JSON for programs.

Whatever a message holds, it stays one line and moves no terminal's cursor: control and
bidirectional characters are written out. Only a traceback takes further lines, which are indented,
so that none of them passes for a line of its own.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from aiohttp.http_exceptions import HttpProcessingError

from api.service.settings import LogFormat
from api.text.printable import escaped

ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

PAUSE_S = 1.0
KINDS_MAX = 100

CURRENT_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, if any."""


def log_to_stderr(log_format: LogFormat) -> None:
    """Set up the log of a process that runs until it is stopped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(_in_one_line)
    logging.getLogger("asyncio").addFilter(OncePerSecond())
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it logs every task
    # It logs each attempt to connect, several a second; that the server is away we say ourselves.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Return what formats a line of the log."""
    return _Text() if log_format == "text" else _Json()


class _Text(logging.Formatter):
    """The time in UTC, the level, the logger and the message."""

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


class _Json(logging.Formatter):
    """An object a line; all that is not ASCII is escaped, so that no terminal obeys it.

    `exception` is a traceback, `request_id` the request that is being answered.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        request_id = CURRENT_REQUEST_ID.get()
        if request_id is not None:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack_info"] = record.stack_info
        return json.dumps(line, sort_keys=True)


class OncePerSecond(logging.Filter):
    """Drops what begins like a record of the last second; the next one says how many.

    Without a free descriptor, asyncio reports each of a hundred connections that it cannot accept,
    every second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        kind, now = message.partition("\n")[0], self._clock()
        logged_at, dropped = self._last.get(kind, (-math.inf, 0))
        if now - logged_at < PAUSE_S:
            self._last[kind] = logged_at, dropped + 1
            return False
        if len(self._last) > KINDS_MAX:
            self._last.clear()
        self._last[kind] = now, 0
        if dropped:
            record.msg, record.args = f"{message} (and {dropped} more like it before)", None
        return True


def _in_one_line(record: logging.LogRecord) -> bool:
    """Shorten aiohttp's record of bytes that are not HTTP to one line, as anyone can send them."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a request that is not HTTP: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"  # anyone can cause it
    return True

"""`job-ledger serve`: the service itself."""

import asyncio
import gc
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import click
from aiohttp.http_exceptions import HttpProcessingError

from api.cli.options import data_option, pool_option
from api.cli.processes import multiplied, reserved
from api.cli.serving import Share
from api.cli.serving import serve as serve_until_stopped
from api.databases import PostgresDatabase, database_of
from api.lock import data_lock
from api.settings import BadSettings, Settings, load_settings

COLLECTED = (50_000, 20, 100)
"""How rarely garbage is looked for. Nearly all objects are freed without; a look at all of those
that stay, the writer's memory, would stop everybody for a third of a second."""


@click.command()
@data_option
@click.option(
    "--store",
    metavar="URL",
    help="postgresql://...: the ledger is in that database; the data directory remembers it.",
)
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any free one.  [default: 8080]")
@pool_option
@click.option(
    "--compute-host",
    "compute_hosts",
    multiple=True,
    metavar="NAME",
    help="A host that started servers are placed on, in name only; may be repeated.",
)
@click.option("--copy-rate", metavar="BYTES", help="Bytes a second of all copies: 200M, 1G.")
@click.option(
    "--verify-copies", is_flag=True, default=None, help="Read each copy back and compare."
)
@click.option(
    "--copies-per-pool", type=int, metavar="N", help="Copies into a pool at once.  [default: 2]"
)
@click.option(
    "--processes", type=int, metavar="N", help="That answer requests; PostgreSQL only. [default: 1]"
)
@click.option("--demo", is_flag=True, default=None, help="Make a demo account, a drive and a job.")
@click.option("--copying/--no-copying", default=None, hidden=True)
def serve(
    data: Path | None, pools: tuple[str, ...], compute_hosts: tuple[str, ...], **given: Any
) -> None:
    """Serve the ledger and do its jobs, until SIGTERM or SIGINT.

    The data directory is made where it is missing; only one process can have it. Exit code 0: asked
    to stop; 1: could not start; 70: the store failed, start again to recover.
    """
    settings = load_settings(
        data=data, pools=pools or None, compute_hosts=compute_hosts or None, **given
    )
    _log_to_stderr()
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    _allow_many_connections()
    if settings.processes == 1:
        asyncio.run(serve_until_stopped(settings, click.echo))
    else:
        _serve_in_processes(settings)


def _serve_in_processes(settings: Settings) -> None:
    """All of them have the data directory together; this one only waits."""
    database = database_of(settings.data, settings.store)
    if not isinstance(database, PostgresDatabase):
        raise BadSettings("--processes: a ledger in SQLite is written by one process")
    with data_lock(settings.data), reserved(settings.host, settings.port) as port:
        number = multiplied(settings.processes)
        if number is not None:
            asyncio.run(serve_until_stopped(settings, click.echo, Share(number, port)))


def _allow_many_connections() -> None:
    """As many as this process may have: every websocket is one, and the usual limit is low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_to_stderr() -> None:
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(_in_one_line)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What is no HTTP is said in a line: aiohttp logs all of it, and anybody can send anything."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a request that is no HTTP: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"  # anybody can cause it
    return True

"""`job-ledger serve`: the service itself."""

import asyncio
import gc
import resource
from pathlib import Path
from typing import Any

import click

from api.cli.options import copying_options, data_option, monitoring_options, pool_option
from api.cli.prefork import multiplied, reserved
from api.cli.service_process import Share
from api.cli.service_process import serve as serve_until_stopped
from api.cli.signals import show_stacks_when_asked
from api.data.directory import data_lock
from api.data.location import PostgresDatabase, database_of
from api.service.logging import log_to_stderr
from api.service.settings import BadSettings, Settings, load_settings

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
@click.option(
    "--processes", type=int, metavar="N", help="That answer requests; PostgreSQL only. [default: 1]"
)
@monitoring_options
@copying_options
@click.option("--demo", is_flag=True, default=None, help="Make a demo account, a drive and a job.")
@click.option(
    "--copying/--no-copying",
    default=None,
    help="--no-copying: leave copies to workers, and have no pools but those that are named; with"
    " a ledger in PostgreSQL.  [default: copying]",
)
def serve(
    data: Path | None, pools: tuple[str, ...], compute_hosts: tuple[str, ...], **given: Any
) -> None:
    """Serve the ledger and do its jobs, until SIGTERM or SIGINT.

    The data directory is made where it is missing; only one service can have it. Exit code 0: asked
    to stop; 1: could not start; 70: the store failed, start again to recover.
    """
    settings = load_settings(data=data, pools=pools, compute_hosts=compute_hosts, **given)
    log_to_stderr(settings.log_format)
    show_stacks_when_asked()
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

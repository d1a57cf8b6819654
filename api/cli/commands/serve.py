"""`job-ledger serve`: run the service."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.options import (
    copying_options,
    data_option,
    monitoring_options,
    placing_options,
    pool_option,
)
from api.cli.output import print_line
from api.service.settings import BadSettings, Settings, load_settings

if TYPE_CHECKING:
    from api.cli.supervision import ServiceManager

GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""Garbage collection is rare: nearly all objects are freed without it, and a full collection of
those that stay, in the writer's cache, would stop every request for a third of a second."""


@click.command()
@data_option
@click.option(
    "--store",
    metavar="URL",
    help="postgresql://...: the ledger's database; the data directory remembers it.",
)
@click.option(
    "--host", help="The address to listen on; of a name, all it has.  [default: 127.0.0.1]"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port; 0: any free one.  [default: 8080]"
)
@pool_option
@placing_options
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="CIDR",
    help="A proxy whose X-Forwarded-For, -Proto and -Host are believed. May be repeated.",
)
@click.option(
    "--processes",
    type=int,
    metavar="N",
    help="How many processes answer requests; PostgreSQL only.  [default: 1]",
)
@click.option(
    "--reserve",
    metavar="BYTES",
    help="The most that is kept on the disk of a ledger in SQLite, to delete with once it is full;"
    " 0: nothing.  [default: an eighth of the disk, at most 128M]",
)
@monitoring_options
@copying_options
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=N",
    help="How much one client may take; 0: any amount. May be repeated; `doctor` shows all limits.",
)
@click.option("--demo", is_flag=True, default=None, help="Make a demo account, a drive and a job.")
@click.option(
    "--copying/--no-copying",
    default=None,
    help="--no-copying: leave copies to workers, and use only pools that are named; PostgreSQL"
    " only.  [default: copying]",
)
def serve(data: Path | None, **given: object) -> None:
    """Serve the ledger and execute its jobs, until SIGTERM or SIGINT.

    The data directory is made if it is missing; one service at a time can use it. Exit code 0:
    stopped on request; 1: could not start; 2: cannot start before somebody changes a setting, or
    what it names; 70: the store failed, start again to recover.
    """
    from api.cli.memory import keep_little_memory
    from api.cli.service_process import serve as serve_until_stopped
    from api.cli.signals import end_without_threads, show_stacks_on_signal
    from api.cli.supervision import ServiceManager
    from api.service.logging import log_to_stderr

    settings = load_settings(data=data, **given)
    log_to_stderr(settings.log_format)
    show_stacks_on_signal()
    keep_little_memory()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    _allow_many_connections()
    manager = ServiceManager()
    if settings.processes == 1:
        asyncio.run(serve_until_stopped(settings, print_line, manager))
        end_without_threads()
    else:
        _serve_in_processes(settings, manager)


def _serve_in_processes(settings: Settings, manager: ServiceManager) -> None:
    """Serve in several processes that share the data directory, and wait for them."""
    from api.cli.prefork import fork_processes
    from api.cli.service_process import Share
    from api.cli.service_process import serve as serve_until_stopped
    from api.cli.signals import end_without_threads
    from api.cli.sockets import reserve_port
    from api.cli.supervision import Pulses
    from api.data.directory import check_free, data_lock
    from api.data.location import PostgresDatabase, database_of

    database = database_of(settings.data, settings.store)
    if not isinstance(database, PostgresDatabase):
        raise BadSettings("--processes: only a ledger in PostgreSQL can have several")
    check_free(settings.data)
    with reserve_port(settings.host, settings.port) as port, data_lock(settings.data):
        pulses = Pulses(settings.processes, manager.pause_s)
        told = manager, f"listens on {settings.host}:{port}", threading.Event()
        telling = threading.Thread(target=pulses.pass_on, args=told, daemon=True)
        number = fork_processes(settings.processes, telling.start)
        if number is not None:
            share = Share(number, port)
            asyncio.run(serve_until_stopped(settings, print_line, pulses.of(number), share))
            end_without_threads()


def _allow_many_connections() -> None:
    """Raise the limit of open files: every websocket is one, and the usual limit is low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

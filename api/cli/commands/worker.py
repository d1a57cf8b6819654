"""`job-ledger worker`: works on images of a ledger in PostgreSQL, where its pools are."""

import asyncio
from typing import Any

import click

from api.cli.options import copying_options, monitoring_options
from api.cli.signals import show_stacks_when_asked
from api.cli.worker_process import work
from api.service.logging import log_to_stderr
from api.service.settings import load_worker_settings


@click.command()
@click.option("--store", metavar="URL", help="postgresql://...: the database with the ledger.")
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME=PATH[,type=TYPE]",
    help="A directory for disk images; repeated, so that copies between two are made here.",
)
@monitoring_options
@copying_options
def worker(pools: tuple[str, ...], **given: Any) -> None:
    """Make, copy and remove images in these pools, until SIGTERM or SIGINT.

    It serves nobody and keeps nothing but images. Any number of workers may have the same pools; if
    one dies, the others go on with what it did. Asked to stop, it lets them. Exit code 0: asked to
    stop; 1: could not start; 70: the store failed.
    """
    settings = load_worker_settings(pools=pools, **given)
    log_to_stderr(settings.log_format)
    show_stacks_when_asked()
    asyncio.run(work(settings, click.echo))

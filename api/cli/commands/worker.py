"""`job-ledger worker`: work on images of a ledger in PostgreSQL, on the machine of its pools."""

import asyncio

import click

from api.cli.options import copying_options, monitoring_options, placing_options
from api.cli.output import print_line
from api.service.settings import load_worker_settings


@click.command()
@click.option("--store", metavar="URL", help="postgresql://...: the ledger's database.")
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME=PATH[,type=TYPE]",
    help="A directory for disk images; name two for this worker to copy between them.",
)
@placing_options
@monitoring_options
@copying_options
def worker(pools: tuple[str, ...], **given: object) -> None:
    """Make, copy and remove images in these pools, until SIGTERM or SIGINT.

    A worker answers no requests and stores only images. Any number of workers may share the same
    pools; if one dies or stops, the others continue its work. Hosts and addresses are those of the
    service: a clone with `auto_start` starts with the end of its job. Exit code 0: stopped on
    request; 1: could not start; 2: cannot start before a setting is changed; 70: the store failed.
    """
    from api.cli.memory import keep_little_memory
    from api.cli.signals import end_without_threads, show_stacks_on_signal
    from api.cli.supervision import ServiceManager
    from api.cli.worker_process import work
    from api.service.logging import log_to_stderr

    settings = load_worker_settings(pools=pools, **given)
    log_to_stderr(settings.log_format)
    show_stacks_on_signal()
    keep_little_memory()
    asyncio.run(work(settings, print_line, ServiceManager()))
    end_without_threads()

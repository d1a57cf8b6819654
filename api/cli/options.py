"""Options of the commands that run where the ledger is."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from api.service.settings import load_settings

F = TypeVar("F", bound=Callable[..., object])


data_option = click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="The data directory."
)
pool_option = click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME=PATH[,type=TYPE]",
    help="A directory for disk images; may be repeated.  [default: `main`, in the data directory]",
)


def settings_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--data` to a command, which gets the settings that it gives."""

    @wraps(command)
    def with_settings(data: Path | None, **given: object) -> None:
        command(settings=load_settings(data=data), **given)

    return data_option(with_settings)


def monitoring_options(command: F) -> F:
    """Add the options for logs and metrics of a process that runs until it is stopped."""
    options = (
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help="Serve metrics for Prometheus at /metrics on this port.",
        ),
        click.option(
            "--metrics-host",
            metavar="HOST",
            help="The address to serve metrics on.  [default: 127.0.0.1]",
        ),
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            help="The format of the log, on stderr.  [default: text]",
        ),
    )
    return _with(options, command)


def placing_options(command: F) -> F:
    """Add the options of a process that starts servers, or ends a clone that starts by itself."""
    options = (
        click.option(
            "--compute-host",
            "compute_hosts",
            multiple=True,
            metavar="NAME",
            help="The name of a host to place servers on; nothing runs there. May be repeated.",
        ),
        click.option(
            "--address-range",
            metavar="CIDR",
            help="Where running servers get addresses from by DHCP; nothing is there."
            "  [default: 10.0.0.0/8]",
        ),
    )
    return _with(options, command)


def copying_options(command: F) -> F:
    """Add the options of a process that copies images."""
    options = (
        click.option(
            "--copy-rate",
            metavar="BYTES",
            help="Bytes per second of all copies together: 200M, 1G.",
        ),
        click.option(
            "--verify-copies", is_flag=True, default=None, help="Read each copy back and compare."
        ),
        click.option(
            "--copies-per-pool",
            type=int,
            metavar="N",
            help="How many copies into one pool run at a time.  [default: 2]",
        ),
        click.option("--stalled-after", type=float, metavar="SECONDS", hidden=True),
    )
    return _with(options, command)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command

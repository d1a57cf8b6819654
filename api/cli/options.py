"""Options that several commands have, and how they print."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from api.text.printable import escaped_json

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

TableColumn = tuple[str, Callable[[T], str]]
"""A column: its title, and what is in it."""

PIPED_WIDTH = 200
"""Columns of a table that is not printed to a terminal."""
UNBROKEN = frozenset({"id", "job", "stream", "uuid"})
"""What is to be copied from a table stays in one line there."""

data_option = click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="The data directory."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
pool_option = click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME=PATH[,type=TYPE]",
    help="A directory for disk images; may be repeated. Default: `main`, in the data directory.",
)


def watching_options(command: F) -> F:
    """What a process that goes on and on tells of itself."""
    options = (
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help="Tell metrics at /metrics there, for Prometheus.",
        ),
        click.option(
            "--metrics-host", metavar="HOST", help="The address for metrics.  [default: 127.0.0.1]"
        ),
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            help="How lines of the log look, on stderr.  [default: text]",
        ),
    )
    return _with(options, command)


def copying_options(command: F) -> F:
    """How copies are made, for whoever makes them."""
    options = (
        click.option(
            "--copy-rate", metavar="BYTES", help="Bytes a second of all copies: 200M, 1G."
        ),
        click.option(
            "--verify-copies", is_flag=True, default=None, help="Read each copy back and compare."
        ),
        click.option(
            "--copies-per-pool",
            type=int,
            metavar="N",
            help="Copies into a pool at once.  [default: 2]",
        ),
        click.option("--stalled-after", type=float, metavar="SECONDS", hidden=True),
    )
    return _with(options, command)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def console(*, stderr: bool = False) -> Console:
    """Prints text as it is: what it is given comes from users too, and is no markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Prints what a program asked for."""
    click.echo(escaped_json(msgspec.json.format(msgspec.json.encode(value)).decode()))


def print_table(rows: Sequence[T], columns: Sequence[TableColumn[T]], empty: str) -> None:
    """Print a line for each; or why there is none, for whoever looks at it."""
    if not rows:
        click.echo(empty, err=True)
        return
    table = Table(box=SIMPLE_HEAD)
    for title, _ in columns:
        table.add_column(title, no_wrap=title in UNBROKEN, overflow="fold")
    for row in rows:
        table.add_row(*(show(row) for _, show in columns))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one thing, a line for each."""
    table = Table("", Column(overflow="fold"), show_header=False, box=None)
    for name, value in facts:
        table.add_row(name, value)
    console().print(table)


@contextmanager
def counting(
    doing: str, what: str, *columns: ProgressColumn
) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many of how many are done."""
    screen = console(stderr=True)
    figures = columns or (MofNCompleteColumn(), TimeRemainingColumn())
    shown = (TextColumn(doing), BarColumn(), *figures)
    with Progress(*shown, console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

"""What commands print: JSON for programs, tables and progress bars for people."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

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

T = TypeVar("T")

TableColumn = tuple[str, Callable[[T], str]]
"""A column: its title, and its text in each row."""

PIPED_WIDTH = 200
"""The width in characters of a table that is not printed to a terminal."""
SIGNALLED = 128
"""The exit code of a shell's child that a signal ended, but for the signal's number."""
UNBROKEN = frozenset({"id", "job", "stream", "uuid"})
"""Columns whose text stays in one line, as people copy it."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: some of it comes from users and is no markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def is_animated(screen: Console) -> bool:
    """Return whether what is shown may move: on a terminal only, whatever FORCE_COLOR says."""
    return screen.file.isatty() and not screen.is_dumb_terminal


@contextmanager
def terminal_restored() -> Iterator[None]:
    """Let SIGTERM end the body as an exception does, so that the terminal gets its cursor back."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(SIGNALLED + number)


def print_json(value: object) -> None:
    click.echo(escaped_json(msgspec.json.format(msgspec.json.encode(value)).decode()))


def print_result(fields: dict[str, str], text: str, *, as_json: bool) -> None:
    """Print what a command did, for programs or for people."""
    if as_json:
        print_json(fields)
    else:
        click.echo(text)


def print_table(rows: Sequence[T], columns: Sequence[TableColumn[T]], empty: str) -> None:
    """Print a line for each row; without rows, print `empty` to standard error."""
    if not rows:
        click.echo(empty, err=True)
        return
    table = Table(box=SIMPLE_HEAD)
    for title, _ in columns:
        table.add_column(title, no_wrap=title in UNBROKEN, overflow="fold")
    for row in rows:
        table.add_row(*(text_of(row) for _, text_of in columns))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    table = Table("", Column(overflow="fold"), show_header=False, box=None)
    for name, value in facts:
        table.add_row(name, value)
    console().print(table)


@contextmanager
def progress_bar(
    activity: str, unit: str, *columns: ProgressColumn
) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many of how many are done."""
    screen = console(stderr=True)
    figures = columns or (MofNCompleteColumn(), TimeRemainingColumn())
    shown = (TextColumn(activity), BarColumn(), *figures)
    if not is_animated(screen):
        yield lambda _done, _total: None
        return
    with terminal_restored(), Progress(*shown, console=screen) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

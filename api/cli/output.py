"""What commands print: JSON for programs, tables and progress bars for people.

Commands print nowhere else, and errors in `api/cli/__init__.py`. What comes from a service, a
ledger or a file name is made harmless: it neither moves the cursor, nor colours or titles a
terminal, nor turns text around.
"""

import csv
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

import click
import msgspec
from msgspec import Raw
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.style import StyleType
from rich.table import Column, Table

from api.text.printable import escaped, escaped_json

T = TypeVar("T")

Cell = str | Sequence[str]
"""The text of a cell, or its lines."""
TableColumn = tuple[str, Callable[[T], Cell]]
"""A column: its title, and its cell in each row."""

PIPED_WIDTH = 200
"""The width in characters of a table that is not printed to a terminal."""
SIGNALLED = 128
"""The exit code of a shell's child that a signal ended, but for the signal's number."""
UNBROKEN = frozenset({"id", "job", "stream", "uuid"})
"""Columns whose text stays in one line, as people copy it."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The beginnings of what a spreadsheet takes for a formula."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class TextTable(Table):
    """A table whose texts print as they are: nothing in them is obeyed."""

    def add_row(
        self,
        *cells: Cell | RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        super().add_row(*map(_rendered, cells), style=style, end_section=end_section)


def _rendered(cell: Cell | RenderableType | None) -> RenderableType | None:
    if isinstance(cell, str):
        return escaped(cell)
    return "\n".join(map(escaped, cell)) if isinstance(cell, Sequence) else cell


def console(*, stderr: bool = False) -> Console:
    """Return a console that knows no markup. What it prints has to be in a `TextTable`."""
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


def print_line(text: str, *, err: bool = False) -> None:
    """Print one line, to standard output or to standard error."""
    click.echo(escaped(text), err=err)


def print_warning(text: str) -> None:
    """Print one line to standard error."""
    print_line(text, err=True)


def print_own(text: str) -> None:
    """Print a text of our own byte for byte: a signed note, a script."""
    click.echo(text, nl=False)


def print_json(value: object) -> None:
    """Print a value for people to read, too."""
    print_raw_json(msgspec.json.encode(value))


def print_raw_json(content: bytes) -> None:
    """Print JSON, indented. Raise `DecodeError` and UnicodeDecodeError for what is not JSON."""
    click.echo(escaped_json(msgspec.json.format(content).decode()))


def print_json_line(content: bytes | Raw) -> None:
    """Print JSON in one line. Raise as `print_raw_json`."""
    click.echo(escaped_json(bytes(msgspec.json.format(content, indent=-1)).decode()))


def print_csv_row(cells: Iterable[object]) -> None:
    """Print a row of a table for spreadsheets, which compute none of its texts."""
    csv.writer(sys.stdout).writerow(map(_csv_cell, cells))


def _csv_cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return f"'{escaped(value)}" if value.startswith(FORMULA) else escaped(value)


def print_result(fields: dict[str, str], text: str, *, as_json: bool) -> None:
    """Print what a command did, for programs or for people."""
    if as_json:
        print_json(fields)
    else:
        print_line(text)


def print_table(rows: Sequence[T], columns: Sequence[TableColumn[T]], empty: str) -> None:
    """Print a line for each row; without rows, print `empty` to standard error."""
    if not rows:
        print_line(empty, err=True)
        return
    table = TextTable(box=SIMPLE_HEAD)
    for title, _ in columns:
        table.add_column(title, no_wrap=title in UNBROKEN, overflow="fold")
    for row in rows:
        table.add_row(*(text_of(row) for _, text_of in columns))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, Cell]]) -> None:
    """Print names and values, one pair a line."""
    table = TextTable("", Column(overflow="fold"), show_header=False, box=None)
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

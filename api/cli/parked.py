"""`job-ledger parked`: streams of events that cannot be read."""

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.cli.options import console, data_option
from api.cli.retention import ask_retention
from api.cli.times import moment_text
from ledger.acts import Parking
from projections.retention.keeping import Retention


@click.group()
def parked() -> None:
    """List what a sweep could not read and left alone, and say what becomes of it."""


@parked.command("list")
@data_option
def list_parked(data: Path | None) -> None:
    """List streams that are parked, or were released and are not discarded yet."""
    found = ask_retention(data, lambda admin: admin.call(Retention.parked))
    if found:
        console().print(_table(found))
    else:
        click.echo("nothing is parked")


@parked.command()
@click.argument("stream")
@data_option
def retry(stream: str, data: Path | None) -> None:
    """Let the next sweep try STREAM again: it can be read by now."""
    ask_retention(data, lambda admin: admin.call(Retention.release, stream, skip=False))
    click.echo(f"the next sweep tries {stream} again")


@parked.command()
@click.argument("stream")
@data_option
def skip(stream: str, data: Path | None) -> None:
    """Let the next sweep discard STREAM unread: its events go to an archive as they are."""
    ask_retention(data, lambda admin: admin.call(Retention.release, stream, skip=True))
    click.echo(f"the next sweep discards {stream} unread")


def _table(found: list[Parking]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("stream", "handling", "since"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for parking in found:
        row = (parking.stream, parking.handling, moment_text(parking.at), parking.reason)
        table.add_row(*row)
    return table

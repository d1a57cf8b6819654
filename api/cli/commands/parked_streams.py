"""`job-ledger parked`: streams of events that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.cli.options import settings_option
from api.cli.output import TableColumn, print_line, print_table
from api.cli.times import moment_text
from api.service.settings import Settings

if TYPE_CHECKING:
    from ledger.domain.aggregates.housekeeping import Parking


@click.group()
def parked() -> None:
    """List the streams that a sweep could not read, and decide what becomes of them."""


@parked.command("list")
@settings_option
def list_parked(settings: Settings) -> None:
    """List streams that are parked, or are released but not discarded yet."""
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    found = ask_existing(settings, lambda admin: admin.call(Retention.parked))
    print_table(found, _COLUMNS, "nothing is parked")


@parked.command()
@click.argument("stream")
@settings_option
def retry(stream: str, settings: Settings) -> None:
    """Let the next sweep try STREAM again, now that it can be read."""
    _release(settings, stream, skip=False)
    print_line(f"the next sweep tries {stream} again")


@parked.command()
@click.argument("stream")
@settings_option
def skip(stream: str, settings: Settings) -> None:
    """Let the next sweep discard STREAM unread: its events are archived as they are."""
    _release(settings, stream, skip=True)
    print_line(f"the next sweep discards {stream} unread")


def _release(settings: Settings, stream: str, *, skip: bool) -> None:
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    ask_existing(settings, lambda admin: admin.call(Retention.release, stream, skip=skip))


_COLUMNS: tuple[TableColumn[Parking], ...] = (
    ("stream", lambda parking: parking.stream),
    ("handling", lambda parking: parking.handling),
    ("since", lambda parking: moment_text(parking.at)),
    ("why", lambda parking: parking.reason),
)

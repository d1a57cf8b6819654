"""`job-ledger retention`: how long jobs are kept, and discarding those that are due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec

from api.cli.options import settings_option
from api.cli.output import (
    Cell,
    TableColumn,
    json_option,
    print_facts,
    print_json,
    print_line,
    print_table,
)
from api.cli.times import duration, moment, moment_text
from api.service.settings import Settings
from api.text.counts import counted, what
from api.text.iso8601 import duration_text

if TYPE_CHECKING:
    from ledger.domain.events.housekeeping import DiscardedTree
    from projections.maintenance.retention.status import Deletion, RetentionStatus, SweepSummary

TAILS_NAMED = 10
"""Streams named of which a compaction has deleted a part."""

_SERIES_UNKNOWN = (
    "what was discarded since is among them, whether or not its series had kept it then: of what"
    " series that was is not looked up"
)


@click.group()
def retention() -> None:
    """Set how long jobs are kept after their end, and discard those that are due."""


@retention.command("set")
@click.argument("keep", metavar="DURATION", type=duration)
@click.option(
    "--keep-last",
    type=click.IntRange(min=0),
    metavar="COUNT",
    help="Also keep so many jobs of each series, however old.  [default: as many as before]",
)
@settings_option
def set_policy(keep: timedelta, keep_last: int | None, settings: Settings) -> None:
    """Keep jobs for DURATION after their whole tree has ended: P3D, PT12H, P1DT6H.

    Of each series that producers name, the last jobs stay longer, and the last that succeeded: 20,
    unless set otherwise, and until the series had no job for 400 days.

    The next sweep, within the hour, discards what is due by this policy. What was discarded before
    stays discarded.
    """
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    held = ask_existing(settings, lambda admin: admin.call(Retention.set, keep, keep_last))
    print_line(
        f"jobs are kept for {duration_text(held.keep)} from now on,"
        f" and the last {held.keep_last:,} of each series"
    )


@retention.command()
@settings_option
def show(settings: Settings) -> None:
    """Show the policy, what is due next, and the archives."""
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    standing = ask_existing(settings, lambda admin: admin.call(Retention.status))
    archives = [
        (f"archive {archive.name}", counted(archive.bytes, "byte")) for archive in standing.archives
    ]
    unreadable = [("archive", problem) for problem in standing.unreadable]
    print_facts([*standing_lines(standing), *archives, *unreadable])


@retention.command()
@click.option("--as-of", type=moment, metavar="TIME", help="Plan for this time.  [default: now]")
@click.option(
    "--keep",
    type=duration,
    metavar="DURATION",
    help="Plan by this policy.  [default: the policy at that time]",
)
@click.option(
    "--keep-last",
    type=click.IntRange(min=0),
    metavar="COUNT",
    help="Plan as if so many jobs of each series stayed.  [default: the policy at that time]",
)
@settings_option
@json_option
def plan(
    as_of: datetime | None,
    keep: timedelta | None,
    keep_last: int | None,
    settings: Settings,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Name the jobs that a sweep would discard, at any time, past or future, and by any policy.

    Nothing changes. The last line has the plan's digest, for `run --plan`.
    """
    from api.cli.admin import ask_existing
    from api.service.clocks import now
    from projections.maintenance.retention.service import Retention

    found = ask_existing(settings, lambda admin: admin.call(Retention.plan, as_of, keep, keep_last))
    if as_json:
        print_json({**msgspec.to_builtins(found), "digest": found.digest})
        return
    if found.trees:
        print_table(found.trees, _COLUMNS, "")
    for stream in found.streams:
        print_line(f"and {stream}")
    jobs = sum(len(tree.jobs) for tree in found.trees)
    total = what(len(found.trees), jobs, len(found.streams))
    print_line(f"{total}, ended before {moment_text(found.cutoff)}")
    if found.trees and found.keep_last and as_of is not None and as_of < now():
        print_line(_SERIES_UNKNOWN)
    print_line(f"digest: {found.digest}")


@retention.command()
@click.option("--plan", "digest", metavar="DIGEST", help="Discard exactly what this plan names.")
@settings_option
def run(digest: str | None, settings: Settings) -> None:
    """Discard what is due now, as the service does every hour, and move it to an archive.

    With --plan, refused if that plan is no longer what would be discarded.
    """
    from api.background.retention import outcome
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    ran = ask_existing(settings, lambda admin: admin.call(Retention.run, digest))
    for line in outcome(ran):
        print_line(line)
    if ran.swept is None and ran.compacted is None:
        print_line("nothing was due")
    for stream in ran.swept.parked if ran.swept else ():
        print_line(f"parked {stream}, which cannot be read: see `job-ledger parked list`")


@retention.command("confirm-clock")
@settings_option
def confirm_clock(settings: Settings) -> None:
    """Confirm the wall clock after it was set by more than an hour, which stops all discarding.

    Check the time first: what is discarded stays discarded.
    """
    from api.cli.admin import ask_existing
    from projections.maintenance.retention.service import Retention

    ask_existing(settings, lambda admin: admin.call(Retention.confirm_clock))
    print_line("the wall clock is trusted as it is")


def standing_lines(standing: RetentionStatus) -> Iterator[tuple[str, Cell]]:
    """Return the state of retention as names and values."""
    since = "by default" if standing.since is None else f"since {moment_text(standing.since)}"
    yield "jobs are kept for", f"{duration_text(standing.keep)}, {since}"
    yield "and of each series", f"the last {standing.keep_last:,}, and the last success"
    due = standing.next_due
    yield "next due", "nothing" if due is None else moment_text(due)
    swept, waiting = standing.swept, standing.waiting
    yield "newest sweep", "none" if swept is None else f"{moment_text(swept.at)}, {_number(swept)}"
    yield "waits for an archive", "nothing" if waiting is None else _number(waiting)
    if standing.deleting is not None:
        yield "archived, being deleted", _deletion(standing.deleting)
    size = sum(archive.bytes for archive in standing.archives)
    yield "archives", f"{len(standing.archives)}, {counted(size, 'byte')}"
    parked = sum(parking.handling == "parked" for parking in standing.parked)
    yield "parked streams", str(parked)
    yield (
        "wall clock",
        "trusted" if standing.distrust is None else f"NOT TRUSTED: {standing.distrust}",
    )


def _deletion(deleting: Deletion) -> list[str]:
    parts = counted(len(deleting.tails), "stream")
    first = f"what is in archive {', '.join(deleting.archives)}; {parts} in part"
    return [first, *deleting.tails[:TAILS_NAMED]]


def _number(found: SweepSummary) -> str:
    return what(found.trees, found.jobs, found.streams)


_COLUMNS: tuple[TableColumn[DiscardedTree], ...] = (
    ("job", lambda tree: tree.jobs[0]),
    ("owner", lambda tree: tree.owner),
    ("ended, UTC", lambda tree: f"{tree.ended:%Y-%m-%d %H:%M:%S}"),
    ("jobs", lambda tree: str(len(tree.jobs))),
)

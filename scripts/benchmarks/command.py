"""The command: which benchmarks run, at which scale, and how results are shown."""

import gc
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from rich.table import Table

from api.cli.commands.serve import GARBAGE_THRESHOLDS
from api.cli.output import console, json_option
from scripts.benchmarks import (
    archives,
    beside,
    clones,
    commands,
    compactions,
    copies,
    floods,
    frames,
    greedy,
    heartbeats,
    lists,
    mixed,
    nodes,
    pixels,
    postgres,
    proofs,
    reads,
    rebuilds,
    reports,
    trees,
    updates,
)
from scripts.benchmarks.support import machine
from scripts.benchmarks.support.rows import Row
from scripts.benchmarks.support.scale import FULL, QUICK, Scale, Setting

BENCHMARKS: dict[str, Callable[[Setting], Row]] = {
    "updates": updates.updates,
    "updates-library": updates.updates_library,
    "updates-postgres": postgres.updates_postgres,
    "updates-4-processes": nodes.updates_four_nodes,
    "updates-256-callers": nodes.updates_many_callers,
    "clones": clones.clones,
    "job-get": reads.job_get,
    "job-get-each": reads.job_get_each,
    "job-get-read": reads.job_get_read,
    "job-get-watched": reads.job_get_watched,
    "job-get-2-processes": reads.job_get_processes,
    "heartbeats": heartbeats.heartbeats,
    "heartbeats-2-processes": heartbeats.heartbeats_two_processes,
    "heartbeats-at-rest": heartbeats.heartbeats_at_rest,
    "reports": reports.reports,
    "reports-by-hand": reports.reports_by_hand,
    "report-alone": reports.report_alone,
    "report-batches": reports.report_batches,
    "run-true": commands.run_true,
    "run-cat": commands.run_cat,
    "job-list": lists.job_list,
    "key-page": lists.key_page,
    "select-page": lists.select_page,
    "rebuild": rebuilds.rebuild,
    "rebuild-short": rebuilds.rebuild_short,
    "rebuild-postgres": rebuilds.rebuild_postgres,
    "replay": rebuilds.replay,
    "compaction": compactions.compaction,
    "as-of-archived": compactions.as_of,
    "archive": archives.archive,
    "archive-short": archives.archive_short,
    "copy": copies.copy,
    "get-while-copying": beside.get_while_copying,
    "updates-copying": beside.median_update_while_copying,
    "updates-copying-p99": beside.update_while_copying,
    "copies-beside-updates": beside.copies_beside_updates,
    "get-beside-bombs": floods.bombs,
    "get-beside-slow-heads": floods.slow_heads,
    "get-beside-slow-bodies": floods.slow_bodies,
    "get-beside-slow-readers": floods.slow_readers,
    "get-beside-sockets": floods.sockets,
    "unread-lists": greedy.unread_lists,
    "beside-slow-readers": greedy.beside_slow_readers,
    "beside-searches": greedy.beside_searches,
    "mixed-memory": mixed.memory,
    "frame": frames.frame,
    "frame-200": frames.frame_200,
    "pixel": pixels.pixel,
    "tree": trees.tree,
    "get-beside-subscribers": reads.get_beside_subscribers,
    "proof": proofs.proof,
    "command-help": commands.help_,
    "command-jobs": commands.jobs,
    "command-tab": commands.tab,
}


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything: under a minute.")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(list(BENCHMARKS)),
    help="This one; may be repeated. Default: all.",
)
@json_option
def main(names: tuple[str, ...], *, quick: bool, as_json: bool) -> None:
    """Measure the service, each number beside a floor taken in the same run.

    The exit code is 0 also where a row misses its aim; the row says so. TMPDIR says on which file
    system the data lie while it runs.
    """
    signal.signal(signal.SIGTERM, _terminated)
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as in the service; the floors that run here have it too
    scale = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="job-ledger-benchmark-") as directory:
        before = machine.machine(Path(directory))
        rows = list(_rows(names or tuple(BENCHMARKS), scale, Path(directory)))
    if as_json:
        click.echo(msgspec.json.encode(rows))
    else:
        console().print(_table(rows, f"{before}\n{machine.versions()}\n{machine.sizes()}"))


def _rows(names: Sequence[str], scale: Scale, directory: Path) -> Iterator[Row]:
    """Run one benchmark after the other, each in an empty directory that is then removed."""
    for name in dict.fromkeys(names):
        click.echo(f"measuring {name} ...", err=True)
        own = directory / name
        own.mkdir()
        yield BENCHMARKS[name](Setting(scale, own))
        shutil.rmtree(own)


def _terminated(_number: int, _frame: object) -> NoReturn:
    """Raise, so that started processes are ended and files removed."""
    sys.exit(128 + signal.SIGTERM)


def _table(rows: Sequence[Row], caption: str) -> Table:
    table = Table(caption=caption, caption_justify="left")
    for heading in ("what", "value", "floor", "ratio", "aim", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    table.add_column("note")
    for row in rows:
        table.add_row(
            row.name,
            f"{_number(row.value)} {row.unit}",
            _number(row.floor),
            f"{row.ratio:.2f}",
            _aim(row),
            _milliseconds(row.p50_ms),
            _milliseconds(row.p99_ms),
            row.note,
        )
    return table


def _aim(row: Row) -> str:
    if row.at_least is None:
        return "none"
    return f"{row.at_least:.2f} {'missed' if row.missed else 'met'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004 - three digits


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

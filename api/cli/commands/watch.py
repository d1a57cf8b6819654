"""`job-ledger watch`: until jobs have ended, live on a terminal, line by line anywhere else."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import click
import msgspec
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from api.cli.commands.jobs import figures
from api.cli.output import console, json_option
from api.client.http import Client, connected
from api.client.job_watch import Followed, follow
from api.client.pages import every_job
from api.client.responses import Job
from api.client.saved_login import kept
from api.text.printable import escaped, escaped_json

FAILED, TIMED_OUT = 1, 124
"""Exit codes; the second is that of timeout(1)."""
STEP = 10
"""Progress is told in steps of so many hundredths where nothing can be drawn."""

Show = Callable[[Sequence[Followed]], None]


@click.command()
@click.argument("uuids", type=click.UUID, metavar="[UUID]...", nargs=-1)
@click.option("--compact", is_flag=True, help="No sub-jobs.")
@click.option("--fail-fast", is_flag=True, help="End as soon as one has failed.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds to wait at most.")
@json_option
def watch(
    uuids: tuple[UUID, ...],
    timeout: float | None,
    *,
    compact: bool,
    fail_fast: bool,
    as_json: bool,
) -> None:
    """Watch jobs until they have ended; with no UUID, those that run now.

    A job that is not there yet is waited for, and so is a service that cannot be reached. Exit code
    0: all ended in success; 1: one failed or was cancelled; 3: the service refused to tell of them;
    124: the time was up before.
    """
    sys.exit(
        asyncio.run(
            watched(
                [*map(str, uuids)],
                compact=compact,
                fail_fast=fail_fast,
                timeout_s=timeout,
                as_json=as_json,
            )
        )
    )


async def watched(
    uuids: Sequence[str],
    *,
    compact: bool = False,
    fail_fast: bool = False,
    timeout_s: float | None = None,
    as_json: bool = False,
) -> int:
    """The exit code. Raises `ClientError`."""
    async with connected(kept()) as client:
        wanted = uuids or await _running(client)
        if not wanted:
            click.echo("nothing runs", err=True)
            return 0
        last: list[Followed] = []
        try:
            with _showing(compact=compact, as_json=as_json) as show:
                async with asyncio.timeout(timeout_s):
                    async for last in follow(client, wanted, fail_fast=fail_fast):
                        show(last)
        except TimeoutError:
            click.echo("the time is up; the jobs go on", err=True)
            return TIMED_OUT
    return 0 if all(each.went_well for each in last) else FAILED


async def _running(client: Client) -> list[str]:
    """Those that are no sub-jobs of others that run."""
    jobs = every_job(client, {"state": "started"})
    found = [msgspec.json.decode(raw, type=Job) async for raw in jobs]
    below = {child.uuid for job in found for child in _descendants(job)}
    return [job.uuid for job in found if job.uuid not in below]


def _descendants(job: Job) -> Iterator[Job]:
    for child in job.children:
        yield child
        yield from _descendants(child)


@contextmanager
def _showing(*, compact: bool, as_json: bool) -> Iterator[Show]:
    screen = console()
    if as_json:
        yield _Objects()
    elif not screen.is_terminal:
        yield _Lines(compact=compact)
    else:
        with Live(console=screen, auto_refresh=False) as live:
            yield lambda followed: live.update(_drawn(followed, compact=compact), refresh=True)


def _drawn(followed: Sequence[Followed], *, compact: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=9)
    table.add_column(width=24)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for each in followed:
        if each.job is None:
            table.add_row(each.uuid, "is not there yet")
            continue
        _draw(table, each.job, "", compact=compact)
    if any(each.lost for each in followed):
        table.add_row("connection lost, trying again ...")
    return table


def _draw(table: Table, job: Job, before: str, *, compact: bool) -> None:
    colour = {"success": "green", "failed": "red", "cancelled": "yellow"}.get(job.state, "cyan")
    bar = ProgressBar(100, job.data.progress, complete_style=colour, finished_style=colour)
    state = escaped(job.state)
    table.add_row(before + escaped(job.uuid), state, bar, f"{job.data.progress} %", figures(job))
    if not compact:
        for child in job.children:
            _draw(table, child, f"{before}  ", compact=compact)


class _Lines:
    """Says what is new since the last look, with the time."""

    def __init__(self, *, compact: bool) -> None:
        self._compact = compact
        self._told: dict[str, tuple[str, int]] = {}
        self._lost = False

    def __call__(self, followed: Sequence[Followed]) -> None:
        for each in followed:
            if each.job is None:
                self._tell(each.uuid, "is not there yet", 0, "")
                continue
            for job in (each.job, *([] if self._compact else _descendants(each.job))):
                self._tell(job.uuid, job.state, job.data.progress, figures(job))
        lost = any(each.lost for each in followed)
        if lost != self._lost:
            self._lost = lost
            self._say("connection lost, trying again" if lost else "connected again")

    def _tell(self, uuid: str, state: str, progress: int, said: str) -> None:
        step = state, progress // STEP
        if self._told.get(uuid) != step:
            self._told[uuid] = step
            self._say(f"{escaped(uuid)} {escaped(state)} {progress} % {said}".rstrip())

    def _say(self, line: str) -> None:
        click.echo(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")


class _Objects:
    """A JSON object for each job that is another than at the last look."""

    def __init__(self) -> None:
        self._told: dict[str, Job] = {}

    def __call__(self, followed: Sequence[Followed]) -> None:
        for each in followed:
            if each.job is not None and self._told.get(each.uuid) != each.job:
                self._told[each.uuid] = each.job
                click.echo(escaped_json(msgspec.json.encode(each.job).decode()))

"""`job-ledger watch`: follow jobs to their end, live on a terminal, line by line elsewhere."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import click

from api.cli.commands.jobs import figures
from api.cli.output import (
    TextTable,
    console,
    is_animated,
    json_option,
    print_json_line,
    print_line,
    print_warning,
    terminal_restored,
)
from api.client.http import Client, parsed
from api.client.job_watch import Followed, follow
from api.client.pages import every_job
from api.client.responses import Job
from api.client.saved_login import saved_login

FAILED, TIMED_OUT = 1, 124
"""Exit codes; the second is that of timeout(1)."""
STEP_PERCENT = 10
"""Outside a terminal, progress is printed in steps of this size."""

Show = Callable[[Sequence[Followed]], None]


@click.command()
@click.argument("uuids", type=click.UUID, metavar="[UUID]...", nargs=-1)
@click.option("--compact", is_flag=True, help="Show no sub-jobs.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first job that fails.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds."
)
@json_option
def watch(
    uuids: tuple[UUID, ...],
    timeout: float | None,
    *,
    compact: bool,
    fail_fast: bool,
    as_json: bool,
) -> None:
    """Watch jobs until they have ended; without UUID, those that are running.

    Once it knows which jobs, the command waits for a service that cannot be reached, and for a
    minute for jobs that do not exist yet. Exit code 0: all jobs succeeded; 1: one failed or was
    cancelled; 3: the service refused to show them; 124: the time ran out.
    """
    sys.exit(
        asyncio.run(
            watch_jobs(
                [*map(str, uuids)],
                compact=compact,
                fail_fast=fail_fast,
                timeout_s=timeout,
                as_json=as_json,
            )
        )
    )


async def watch_jobs(
    uuids: Sequence[str],
    *,
    compact: bool = False,
    fail_fast: bool = False,
    timeout_s: float | None = None,
    as_json: bool,
) -> int:
    """Watch jobs and return the exit code. Raises `ClientError`."""
    from api.client.sessions import connected

    async with connected(saved_login(), print_warning) as client:
        watched = uuids or await _running(client)
        if not watched:
            print_line("no job is running", err=True)
            return 0
        last: list[Followed] = []
        try:
            with _display(compact=compact, as_json=as_json) as show:
                async with asyncio.timeout(timeout_s):
                    async for last in follow(client, watched, fail_fast=fail_fast):
                        show(last)
        except TimeoutError:
            print_line("the time is up; the jobs continue", err=True)
            return TIMED_OUT
    return 0 if all(each.has_succeeded for each in last) else FAILED


async def _running(client: Client) -> list[str]:
    """Return the running jobs, without sub-jobs of one another."""
    jobs = every_job(client, {"state": "started"})
    found = [parsed(raw, Job) async for raw in jobs]
    below = {child.uuid for job in found for child in _descendants(job)}
    return [job.uuid for job in found if job.uuid not in below]


def _descendants(job: Job) -> Iterator[Job]:
    for child in job.children:
        yield child
        yield from _descendants(child)


@contextmanager
def _display(*, compact: bool, as_json: bool) -> Iterator[Show]:
    screen = console()
    if as_json:
        yield _Objects()
    elif not is_animated(screen):
        yield _Lines(compact=compact)
    else:
        from rich.live import Live

        with terminal_restored(), Live(console=screen, auto_refresh=False) as live:
            yield lambda followed: live.update(_table(followed, compact=compact), refresh=True)


def _table(followed: Sequence[Followed], *, compact: bool) -> TextTable:
    table = TextTable.grid(padding=(0, 2))
    assert isinstance(table, TextTable)
    table.add_column(no_wrap=True)
    table.add_column(width=9)
    table.add_column(width=24)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for each in followed:
        if each.job is None:
            table.add_row(each.uuid, "does not exist yet" if each.known else "not seen yet")
            continue
        _draw(table, each.job, "", compact=compact)
    if any(each.lost for each in followed):
        table.add_row(f"{_trouble(followed)} ...")
    return table


def _trouble(followed: Sequence[Followed]) -> str:
    """Say that the service does not answer; what was last seen of a job may be outdated."""
    known = any(each.known for each in followed)
    return f"{'connection lost' if known else 'the service cannot be reached'}, trying again"


def _draw(table: TextTable, job: Job, before: str, *, compact: bool) -> None:
    from rich.progress_bar import ProgressBar

    colour = {"success": "green", "failed": "red", "cancelled": "yellow"}.get(job.state, "cyan")
    bar = ProgressBar(100, job.data.progress, complete_style=colour, finished_style=colour)
    table.add_row(before + job.uuid, job.state, bar, f"{job.data.progress} %", figures(job))
    if not compact:
        for child in job.children:
            _draw(table, child, f"{before}  ", compact=compact)


class _Lines:
    """Prints what is new since the last look, with the time."""

    def __init__(self, *, compact: bool) -> None:
        self._compact = compact
        self._printed: dict[str, tuple[str, int]] = {}
        self._lost = False

    def __call__(self, followed: Sequence[Followed]) -> None:
        lost = any(each.lost for each in followed)
        if lost != self._lost:
            self._lost = lost
            self._print(_trouble(followed) if lost else "connected again")
        for each in followed:
            if each.job is None:
                if each.known and not each.lost:
                    self._print_unknown(each.uuid)
                continue
            for job in (each.job, *([] if self._compact else _descendants(each.job))):
                self._print_progress(job.uuid, job.state, job.data.progress, figures(job))

    def _print_progress(self, uuid: str, state: str, progress: int, details: str) -> None:
        step = state, progress // STEP_PERCENT
        if self._printed.get(uuid) != step:
            self._printed[uuid] = step
            self._print(f"{uuid} {state} {progress} % {details}".rstrip())

    def _print_unknown(self, uuid: str) -> None:
        if uuid not in self._printed:
            self._printed[uuid] = "", 0
            self._print(f"{uuid} does not exist yet")

    def _print(self, line: str) -> None:
        print_line(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")


class _Objects:
    """Prints each job as the service shows it whenever it has changed since the last look."""

    def __init__(self) -> None:
        self._printed: dict[str, bytes] = {}
        self._lost = False

    def __call__(self, followed: Sequence[Followed]) -> None:
        for each in followed:
            if each.answer and self._printed.get(each.uuid) != each.answer:
                self._printed[each.uuid] = each.answer
                print_json_line(each.answer)
        lost = any(each.lost for each in followed)
        if lost != self._lost:
            self._lost = lost
            print_line(_trouble(followed) if lost else "connected again", err=True)

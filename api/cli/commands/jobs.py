"""`job-ledger jobs`, `job` and `cancel`."""

from collections.abc import Iterator
from uuid import UUID

import click

from api.cli.client import ask, get, print_answer, print_list
from api.cli.output import TableColumn, json_option, print_line
from api.cli.pages import (
    after_option,
    offset_option,
    place,
    print_page,
    resource_option,
    state_option,
)
from api.client.format import in_words, seconds, size, time
from api.client.http import decoded
from api.client.responses import Data, Event, Job
from api.text.urls import API_ROOT
from ledger.domain.operations import OPERATIONS, operation_of

PAGE_JOBS_MAX = 200
NO_LIMIT = 0


@click.command()
@state_option
@click.option(
    "--operation",
    help=f"{', '.join(OPERATIONS)} or another; separate several by commas.",
)
@resource_option
@click.option("--since", help="Only jobs that changed at this time or later: 2026-04-17T08:15:30Z.")
@click.option("--as-of", help="Show the list as it was at this time or ledger position.")
@click.option("--limit", type=click.IntRange(1, PAGE_JOBS_MAX), default=20, show_default=True)
@offset_option
@after_option
@json_option
def jobs(
    *,
    state: str | None,
    operation: str | None,
    resource: str | None,
    since: str | None,
    as_of: str | None,
    limit: int,
    offset: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List jobs, the latest change first, or walk them.

    A job that changes moves to the front of the list, but keeps its place in a walk: only a walk
    meets each job exactly once.
    """
    query = {
        "state": state,
        "operation": operation,
        "resource": resource,
        "last_modified__gte": since,
        "as_of": as_of,
        "limit": limit,
        **place(offset, after),
    }
    answer = get("/jobs/", **query)
    print_page(answer, Job, _JOB_COLUMNS, "there are no such jobs", as_json=as_json)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.option("--tree", is_flag=True, help="Show all sub-jobs, however deep.")
@click.option("--history", is_flag=True, help="Show the job's events.")
@click.option("--as-of", help="Show the job as it was at this time or ledger position.")
@json_option
def job(uuid: UUID, as_of: str | None, *, tree: bool, history: bool, as_json: bool) -> None:
    """Show a job."""
    if history and (tree or as_of):
        raise click.UsageError(
            "--history shows all times and one job: use it without --as-of and --tree"
        )
    if history:
        _show_history(uuid, as_json=as_json)
        return
    answer = get(f"/jobs/{uuid}/", as_of=as_of)
    if as_json:
        print_answer(answer)
        return
    for line in _lines(decoded(answer, Job), tree=tree):
        print_line(line)


def _lines(job: Job, *, tree: bool) -> Iterator[str]:
    yield f"job          {job.uuid}"
    yield f"operation    {_operation(job)}"
    yield f"state        {job.state}"
    yield f"progress     {job.data.progress} %  {figures(job)}".rstrip()
    if job.data.source is not None:
        yield f"producer     {job.data.source}"
    yield f"created      {time(job.created)} UTC"
    yield f"last change  {time(job.last_modified)} UTC"
    if job.data.ended is not None:
        yield f"ended        {time(job.data.ended)} UTC"
    for uri in job.resources:
        yield f"resource     {uri.removeprefix(API_ROOT)}"
    if tree:
        yield from _tree(job, "")
    elif job.children:
        yield f"sub-jobs     {len(job.children)} (--tree shows them)"


def _tree(job: Job, before: str) -> Iterator[str]:
    for number, child in enumerate(job.children, start=1):
        last = number == len(job.children)
        mark, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        state = f"{child.state} {child.data.progress} %  {figures(child)}".rstrip()
        yield f"{before}{mark}{child.uuid}  {state}"
        yield from _tree(child, before + below)


def _show_history(uuid: UUID, *, as_json: bool) -> None:
    answer = get(f"/jobs/{uuid}/history/", limit=NO_LIMIT)
    print_list(answer, Event, _EVENT_COLUMNS, "nothing is recorded", as_json=as_json)


@click.command()
@click.argument("uuid", type=click.UUID)
@json_option
def cancel(uuid: UUID, *, as_json: bool) -> None:
    """Cancel a running job, or ask another program to stop.

    What the job of a drive or server has made is removed.
    """
    answer = ask(lambda client: client.post(f"/jobs/{uuid}/action/", {"do": "cancel"}))
    if as_json:
        print_answer(answer)
    else:
        job = decoded(get(f"/jobs/{uuid}/"), Job)
        print_line(f"asked {uuid} to stop" if job.state == "started" else f"cancelled {uuid}")


def _operation(job: Job) -> str:
    return operation_of(job.operation).title


WORKER_LOST = "worker lost, waiting for another"
LOST = "lost: nothing is heard of it"
LOST_BELOW = "a sub-job is lost"
SKIPPED = "skipped: there was nothing to do"


def figures(job: Job) -> str:
    """Return the bytes, rate and time left of a running job, or what is wrong or odd with one."""
    data = job.data
    if data.error:
        return data.error
    if data.skipped:
        return SKIPPED
    if data.lost:
        return LOST_BELOW if any(child.data.lost for child in job.children) else LOST
    if data.worker_lost:
        return WORKER_LOST
    if data.bytes_done is None:
        return "waiting" if data.phase == "waiting" else ""
    parts = [_bytes(data)]
    if data.phase == "waiting":
        parts.append("waiting")
    if data.bytes_per_s:
        parts.append(f"{size(data.bytes_per_s)}/s")
    if data.eta_s is not None:
        parts.append(f"{seconds(data.eta_s)} left")
    return ", ".join(parts)


def _bytes(data: Data) -> str:
    done, word = data.bytes_done or 0, ""
    if data.phase == "verifying" and data.bytes_verified is not None:
        done, word = data.bytes_verified, " verified"
    if data.bytes_total is None:
        return f"{size(done)}{word}"
    return f"{size(done)} of {size(data.bytes_total)}{word}"


_JOB_COLUMNS: tuple[TableColumn[Job], ...] = (
    ("uuid", lambda job: job.uuid),
    ("operation", _operation),
    ("state", lambda job: job.state),
    ("progress", lambda job: f"{job.data.progress} %"),
    ("figures", figures),
    ("last change, UTC", lambda job: time(job.last_modified)),
)
_EVENT_COLUMNS: tuple[TableColumn[Event], ...] = (
    ("position", lambda event: str(event.position)),
    ("recorded, UTC", lambda event: time(event.recorded_at)),
    ("event", lambda event: event.event.partition("/")[0]),
    ("actor", lambda event: event.actor or "another account"),
    ("details", lambda event: in_words(event.fields)),
)

"""`job-ledger export`: all jobs, for programs that read lines or tables."""

import click

from api.cli.client import ask
from api.cli.output import print_csv_row, print_json_line
from api.cli.pages import state_option
from api.client.http import Client, parsed
from api.client.pages import every_job
from api.client.responses import Job

COLUMNS = (
    *("uuid", "operation", "state", "progress", "created", "last_modified"),
    *("resources", "children", "error"),
)


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True
)
@state_option
@click.option("--since", help="Only jobs that changed at this time or later.")
def export(form: str, state: str | None, since: str | None) -> None:
    """Print all jobs that are kept, the newest first.

    `jsonl` is a line of JSON for each job, as the service shows it; `csv` has a line of headings. A
    job that exists and matches throughout appears exactly once, whatever changes meanwhile.
    """
    filters = {"state": state, "last_modified__gte": since}
    ask(lambda client: _export(client, form, filters))


async def _export(client: Client, form: str, filters: dict[str, str | None]) -> None:
    if form == "csv":
        print_csv_row(COLUMNS)
    async for raw in every_job(client, filters):
        if form == "csv":
            print_csv_row(_row(parsed(raw, Job)))
        else:
            print_json_line(raw)


def _row(job: Job) -> tuple[object, ...]:
    return (
        *(job.uuid, job.operation, job.state, job.data.progress, job.created, job.last_modified),
        *(" ".join(job.resources), len(job.children), job.data.error or ""),
    )

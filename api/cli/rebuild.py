"""`job-ledger rebuild`: the read models, made anew from the ledger."""

import asyncio
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.options import console, data_option
from api.cli.reaching import operations
from api.databases import database_of
from api.operations import Operations
from api.settings import load_settings
from projections.rebuild import Rebuilt


@click.command()
@data_option
def rebuild(data: Path | None) -> None:
    """Build all read models anew from the ledger, beside the live ones, while the service runs.

    Prints a digest of what was shown before and of what is shown now.
    """
    rebuilt = asyncio.run(_rebuild(load_settings(data=data).data))
    click.echo(
        f"rebuilt from {rebuilt.events} events, up to position {rebuilt.position},"
        f" in {rebuilt.seconds:.2f} s"
    )
    click.echo(f"digest before: {rebuilt.before}")
    click.echo(f"digest after:  {rebuilt.after}")
    click.echo(_verdict(rebuilt))


async def _rebuild(data: Path) -> Rebuilt:
    database = database_of(data)
    if not database.exists():
        raise click.ClickException(f"there is no ledger at {database.address}")
    async with operations(data) as ledger:
        return await _shown(ledger)


async def _shown(ledger: Operations) -> Rebuilt:
    screen = console(stderr=True)
    columns = (TextColumn("rebuilding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task("events", total=None)
        return await ledger.rebuild(
            lambda done, total: progress.update(task, completed=done, total=total)
        )


def _verdict(rebuilt: Rebuilt) -> str:
    if rebuilt.before == rebuilt.after:
        return "identical"
    return "NOT identical: what was shown before was not what the ledger says; now it is"

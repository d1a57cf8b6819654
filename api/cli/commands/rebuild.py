"""`job-ledger rebuild`: the read models, made anew from the ledger."""

import click

from api.cli.admin import ask_existing
from api.cli.options import settings_option
from api.cli.output import progress_bar
from api.service.settings import Settings
from projections.maintenance.rebuild import Rebuilt


@click.command()
@settings_option
def rebuild(settings: Settings) -> None:
    """Build all read models anew from the ledger, beside the live ones, while the service runs.

    Prints a digest of what was shown before and of what is shown now.
    """
    with progress_bar("rebuilding", "events") as report:
        rebuilt = ask_existing(settings, lambda admin: admin.rebuild(report))
    click.echo(
        f"rebuilt from {rebuilt.events} events, up to position {rebuilt.position},"
        f" in {rebuilt.seconds:.2f} s"
    )
    click.echo(f"digest before: {rebuilt.before}")
    click.echo(f"digest after:  {rebuilt.after}")
    click.echo(_verdict(rebuilt))


def _verdict(rebuilt: Rebuilt) -> str:
    if rebuilt.before == rebuilt.after:
        return "identical"
    return "NOT identical: what was shown before was not what the ledger says; now it is"

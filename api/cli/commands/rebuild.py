"""`job-ledger rebuild`: the read models, from the ledger's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.cli.options import settings_option
from api.cli.output import print_line, progress_bar
from api.service.settings import Settings

if TYPE_CHECKING:
    from projections.maintenance.rebuild import Rebuilt


@click.command()
@settings_option
def rebuild(settings: Settings) -> None:
    """Rebuild all read models from the ledger, beside the live ones; the service may run meanwhile.

    The command prints digests of the read models before and after.
    """
    from api.cli.admin import ask_existing

    with progress_bar("rebuilding", "events") as report:
        rebuilt = ask_existing(settings, lambda admin: admin.rebuild(report))
    print_line(
        f"rebuilt from {rebuilt.events} events, up to position {rebuilt.position},"
        f" in {rebuilt.seconds:.2f} s"
    )
    print_line(f"digest before: {rebuilt.before}")
    print_line(f"digest after:  {rebuilt.after}")
    print_line(_verdict(rebuilt))


def _verdict(rebuilt: Rebuilt) -> str:
    if rebuilt.before == rebuilt.after:
        return "identical"
    return "NOT identical: the read models differed from the ledger; now they agree"

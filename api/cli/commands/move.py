"""`job-ledger move`: from SQLite to PostgreSQL."""

import click

from api.cli.options import settings_option
from api.cli.output import print_line, progress_bar
from api.service.ids import new_id
from api.service.settings import Settings, checked_store


@click.command()
@settings_option
@click.option(
    "--to",
    "url",
    metavar="postgresql://...",
    required=True,
    help="An empty database, which has the ledger from then on.",
)
def move(settings: Settings, url: str) -> None:
    """Move the ledger from SQLite into a PostgreSQL database, while no service runs.

    The ledger stays in SQLite until every row has been copied and compared. If the move is
    interrupted, the ledger can still be used; run the command again, and it starts anew. Archives,
    the key and images stay in the data directory, which names the database from then on.
    """
    from api.data.location import MOVED_FILE
    from api.data.move_to_postgres import move as move_ledger
    from ledger.store.postgres.address import without_password

    try:
        checked_store(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    directory = settings.data
    moved = move_ledger(directory, url, new_id=new_id, showing=progress_bar)
    if moved is not None:
        print_line(
            f"moved {moved.events} events and everything that belongs to them, up to position"
            f" {moved.position}"
        )
        print_line(f"verified: the tree of {moved.leaves} leaves has the root {moved.root.hex()}")
    print_line(f"the ledger of {directory} is in {without_password(url)}")
    print_line(f"the old file is kept as {directory / MOVED_FILE}, and is no longer used")

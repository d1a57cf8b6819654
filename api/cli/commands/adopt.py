"""`job-ledger adopt`: a ledger that PostgreSQL put back is gone on with."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from api.cli.commands.backup import tell_restored
from api.cli.options import data_option, pool_option
from api.composition import open_ledger
from api.data.directory import data_lock
from api.data.location import PostgresDatabase, database_of
from api.service.ids import new_id
from api.service.settings import Settings, load_settings
from ledger.domain.commands import RecordRestore
from ledger.proofs.keys import KEY_FILE, signer_of
from ledger.store.postgres.connections import connected
from ledger.store.postgres.locks import alone
from ledger.store.postgres.tables import move_in
from ledger.store.writer import Caller
from projections.maintenance.backup.adoption import adopt as adopt_ledger
from projections.maintenance.backup.errors import NotRestored, failures_as
from projections.maintenance.backup.restoration import Restored

_SYSTEM = Caller("system", "")


@click.command()
@data_option
@click.option("--store", metavar="URL", help="postgresql://...; else where DIR says that it is.")
@pool_option
def adopt(data: Path | None, store: str | None, pools: tuple[str, ...]) -> None:
    """Go on with a ledger that PostgreSQL has put back: from a dump, or to an earlier moment.

    For after pg_restore, a recovery to a point in time, or a standby that was promoted and had not
    all. Every event is hashed, and the restore is recorded: it begins a new epoch. The data
    directory has the key and the archives of the backup; what belongs to no drive any more, and
    archives of what is lost, are moved to `lost+found`. Drives whose image is missing are named.
    """
    tell_restored(_adopt(load_settings(data=data, store=store, pools=pools)))


def _adopt(settings: Settings) -> Restored:
    if not (settings.data / KEY_FILE).exists():
        raise NotRestored(f"{settings.data / KEY_FILE} is not there: put that of the backup there")
    with data_lock(settings.data):
        found = database_of(settings.data, settings.store)
        if not isinstance(found, PostgresDatabase):
            raise NotRestored("a ledger in SQLite is put back by `job-ledger restore`")
        with (
            failures_as(NotRestored),
            connected(found.url) as connection,
            ExitStack() as nobody_else,
        ):
            # Images that others are about to record would be taken for strays.
            nobody_else.enter_context(alone(connection))
            return _adopt_alone(settings, found.url, nobody_else.close)


def _adopt_alone(settings: Settings, url: str, let_others_in: Callable[[], None]) -> Restored:
    database = PostgresDatabase(url, put_back=True)
    signer = signer_of(settings.data, new_id=new_id)
    pools = settings.named_pools()

    def record(epoch: int, checkpoint: str) -> None:
        let_others_in()  # who records it is one of those who have the ledger
        asyncio.run(_record(settings.data, database, epoch, checkpoint))

    return adopt_ledger(database.log, settings.data, signer, pools, record)


async def _record(data: Path, database: PostgresDatabase, epoch: int, checkpoint: str) -> None:
    async with open_ledger(data, database=database) as opened:
        await opened.ledger.execute(RecordRestore(new_id(), epoch, checkpoint), _SYSTEM)
        await asyncio.wrap_future(opened.ledger.exclusive(move_in))

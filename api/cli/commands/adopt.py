"""`job-ledger adopt`: resume a ledger that was restored into PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.options import data_option, pool_option
from api.service.ids import new_id
from api.service.settings import Settings, load_settings

if TYPE_CHECKING:
    from api.data.location import PostgresDatabase
    from projections.maintenance.backup.restoration import Restored


@click.command()
@data_option
@click.option(
    "--store", metavar="URL", help="postgresql://...  [default: the database that DIR names]"
)
@pool_option
def adopt(data: Path | None, store: str | None, pools: tuple[str, ...]) -> None:
    """Resume a ledger that was restored into PostgreSQL, from a dump or to an earlier moment.

    Use it after pg_restore, after a recovery to a point in time, or after the promotion of a
    standby that lacked events. The command hashes every event and records the restore, which begins
    a new epoch. The data directory must hold the key and the archives of the backup. Images that no
    longer belong to a drive, and archives of lost events, are moved to `lost+found`. Drives whose
    image is missing are named.
    """
    from api.cli.commands.backup import print_restored

    print_restored(_adopt(load_settings(data=data, store=store, pools=pools)))


def _adopt(settings: Settings) -> Restored:
    from api.data.directory import data_lock
    from api.data.location import PostgresDatabase, database_of
    from ledger.proofs.keys import KEY_FILE
    from ledger.store.postgres.connections import connected
    from ledger.store.postgres.locks import alone
    from projections.maintenance.backup.errors import NotRestored, failures_as

    if not (settings.data / KEY_FILE).exists():
        raise NotRestored(f"{settings.data / KEY_FILE} is missing: copy it from the backup")
    with data_lock(settings.data):
        database = database_of(settings.data, settings.store)
        if not isinstance(database, PostgresDatabase):
            raise NotRestored("a ledger in SQLite is restored by `job-ledger restore`")
        with (
            failures_as(NotRestored),
            connected(database.url) as connection,
            ExitStack() as exclusion,
        ):
            # Images that other processes are about to record would pass for strays.
            exclusion.enter_context(alone(connection))
            return _adopt_alone(settings, database.url, exclusion.close)


def _adopt_alone(settings: Settings, url: str, let_others_in: Callable[[], None]) -> Restored:
    from api.data.location import PostgresDatabase
    from ledger.proofs.keys import signer_of
    from projections.maintenance.backup.adoption import adopt as adopt_ledger

    database = PostgresDatabase(url, put_back=True)
    signer = signer_of(settings.data, new_id=new_id)
    pools = settings.named_pools()

    def record(epoch: int, checkpoint: str) -> None:
        let_others_in()  # to record it, this process opens the ledger like any other
        asyncio.run(_record(settings.data, database, epoch, checkpoint))

    return adopt_ledger(database.log, settings.data, signer, pools, record)


async def _record(data: Path, database: PostgresDatabase, epoch: int, checkpoint: str) -> None:
    from api.cli.commands.backup import record_restore
    from api.composition import open_ledger
    from ledger.store.postgres.tables import move_in

    async with open_ledger(data, database=database) as opened:
        await record_restore(opened.ledger, epoch, checkpoint)
        await asyncio.wrap_future(opened.ledger.exclusive(move_in))

"""`job-ledger backup` and `job-ledger restore`: a ledger kept elsewhere, and taken from there."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import click

from api.cli.admin import pools_in_use
from api.cli.options import data_option, pool_option
from api.composition import open_ledger
from api.data.directory import DataInUse, data_lock, holder
from api.data.location import SqliteDatabase, database_of, store_of
from api.service.clocks import now
from api.service.ids import new_id
from api.service.settings import Settings, load_settings
from ledger.domain.commands import RecordRestore
from ledger.proofs.keys import signer_of
from ledger.store.writer import Caller
from projections.maintenance.backup.creation import take
from projections.maintenance.backup.errors import NotRestored
from projections.maintenance.backup.images import MissingImage
from projections.maintenance.backup.restoration import Restored, check_first
from projections.maintenance.backup.restoration import restore as restore_backup
from projections.maintenance.retention.compaction import ARCHIVES

_directory = click.Path(path_type=Path, file_okay=False)
_SYSTEM = Caller("system", "")


@click.command()
@click.argument("directory", metavar="DIR", type=_directory)
@data_option
@click.option("--images", is_flag=True, help="Also the images of the drives that are ready.")
@pool_option
def backup(directory: Path, data: Path | None, images: bool, pools: tuple[str, ...]) -> None:  # noqa: FBT001 - click's
    """Back the ledger up into the new directory DIR, while the service runs or not.

    It is a copy of one moment, checked before it gets its name, with the archives and the key that
    signs checkpoints: whoever has it has that key, and the hashes of passwords. Printed is a signed
    checkpoint of just this backup, to be kept somewhere else.
    """
    settings = load_settings(data=data, pools=pools)
    taken = take(
        _file_of(settings.data),
        settings.data / ARCHIVES,
        lambda: signer_of(settings.data, new_id=new_id),
        directory.absolute(),
        pools=asyncio.run(pools_in_use(settings)) if images else None,
        now=now,
    )
    _tell(f"backed up {taken.events} events, up to position {taken.position}, to {directory}")
    _tell_missing(taken.missing)
    _tell("keep this checkpoint somewhere else; a restore can be held against it:")
    click.echo(taken.note, nl=False)


def _file_of(data: Path) -> Path:
    database = database_of(data)
    if not isinstance(database, SqliteDatabase):
        raise click.ClickException(
            "a ledger in PostgreSQL is backed up by pg_dump; see scripts/OPERATING.md"
        )
    return database.file


@click.command()
@click.argument("directory", metavar="BACKUP", type=_directory)
@data_option
@pool_option
def restore(directory: Path, data: Path | None, pools: tuple[str, ...]) -> None:
    """Make a ledger of a data directory that has none, out of BACKUP.

    The backup is checked first, and the restore is recorded: it begins a new epoch. Images come
    from the backup, or are those that are in the pools already; what is in the way, or belongs to
    no drive, is moved to `lost+found`. Drives whose image is missing are named.
    """
    settings = load_settings(data=data, pools=pools)
    restored = _restore(directory.absolute(), settings)
    tell_restored(restored)


def tell_restored(restored: Restored) -> None:
    """What there is now, and what is not."""
    first = restored.first
    _tell(f"restored up to position {first.position}; this is epoch {first.epoch}")
    for path in restored.aside:
        _tell(f"moved aside: {path}")
    _tell_missing(restored.missing)


def _restore(directory: Path, settings: Settings) -> Restored:
    if store_of(settings.data) is not None:
        raise NotRestored(f"the ledger of {settings.data} is in PostgreSQL")
    pools = settings.named_pools()
    held = holder(settings.data)
    if held is not None:
        raise DataInUse(settings.data, held.pid)
    checked = check_first(directory, settings.data, pools)
    with data_lock(settings.data):
        return restore_backup(checked, settings.data, pools, _record)


def _record(data: Path, epoch: int, checkpoint: str) -> None:
    async def record() -> None:
        async with open_ledger(data) as opened:
            command = RecordRestore(new_id(), epoch, checkpoint)
            await opened.ledger.execute(command, _SYSTEM)

    asyncio.run(record())


def _tell_missing(missing: Iterable[MissingImage]) -> None:
    for drive, pool in missing:
        _tell(f"the image of drive {drive} is not there, in pool {pool}")


def _tell(line: str) -> None:
    """Beside what is printed: that is for a file, or a program."""
    click.echo(line, err=True)

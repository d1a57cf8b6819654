"""`job-ledger backup` and `job-ledger restore`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.options import data_option, pool_option
from api.cli.output import print_line, print_own
from api.service.ids import new_id
from api.service.settings import Settings, load_settings

if TYPE_CHECKING:
    from ledger.application import Ledger
    from projections.maintenance.backup.images import MissingImage
    from projections.maintenance.backup.restoration import Restored

OWN_KEY = (
    "the key comes from the backup, and anyone who has it can make another; --checkpoint takes the"
    " checkpoint that was printed when the backup was made"
)

_directory = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("directory", metavar="DIR", type=_directory)
@data_option
@click.option("--images", is_flag=True, help="Include the images of drives that are ready.")
@pool_option
def backup(directory: Path, data: Path | None, images: bool, pools: tuple[str, ...]) -> None:  # noqa: FBT001 - click's
    """Back up the ledger into the new directory DIR; the service may run or not.

    The backup is a copy of one moment, checked before it gets its name. It includes the archives,
    the key that signs checkpoints and the hashes of passwords, so keep it safe. The command prints
    a signed checkpoint of this backup; keep that somewhere else.
    """
    from api.cli.admin import pools_in_use
    from api.service.clocks import now
    from ledger.proofs.keys import signer_of
    from projections.maintenance.backup.creation import take
    from projections.maintenance.retention.compaction import ARCHIVES

    settings = load_settings(data=data, pools=pools)
    taken = take(
        _file_of(settings),
        settings.data / ARCHIVES,
        lambda: signer_of(settings.data, new_id=new_id),
        directory.absolute(),
        pools=asyncio.run(pools_in_use(settings)) if images else None,
        now=now,
    )
    _print(f"backed up {taken.events} events, up to position {taken.position}, to {directory}")
    _print_missing(taken.missing)
    _print("keep this checkpoint somewhere else, to check a restore against it:")
    print_own(taken.note)


def _file_of(settings: Settings) -> Path:
    from api.data.location import SqliteDatabase, database_of

    database = database_of(settings.data, settings.store)
    if not isinstance(database, SqliteDatabase):
        raise click.ClickException(
            "a ledger in PostgreSQL is backed up by pg_dump; see scripts/OPERATING.md"
        )
    return database.file


@click.command()
@click.argument("directory", metavar="BACKUP", type=_directory)
@data_option
@pool_option
@click.option(
    "--checkpoint",
    "note",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The checkpoint that was printed when this backup was made, and kept elsewhere.",
)
@click.option(
    "--unsealed",
    is_flag=True,
    help="Accept a backup of 0.2 or earlier, which did not sign all of it.",
)
def restore(
    directory: Path,
    data: Path | None,
    pools: tuple[str, ...],
    note: Path | None,
    *,
    unsealed: bool,
) -> None:
    """Restore BACKUP into a data directory that has no ledger.

    The backup is checked first: nobody without its key has changed it; with --checkpoint, nobody at
    all. The restore is recorded and begins a new epoch. Images come from the backup, or are in the
    pools already; files that are in the way or belong to no drive are moved to `lost+found`. Drives
    whose image is missing are named.
    """
    settings = load_settings(data=data, pools=pools)
    restored = _restore(directory.absolute(), settings, note, unsealed=unsealed)
    if note is None:
        _print(f"note: {OWN_KEY}")
    print_restored(restored)


def print_restored(restored: Restored) -> None:
    """Say what there is now, and what is missing."""
    first = restored.first
    _print(f"restored up to position {first.position}; this is epoch {first.epoch}")
    for path in restored.aside:
        _print(f"moved aside: {path}")
    _print_missing(restored.missing)


def _restore(
    directory: Path, settings: Settings, note: Path | None = None, *, unsealed: bool = False
) -> Restored:
    from api.data.directory import check_free, data_lock
    from api.data.location import store_of
    from projections.maintenance.backup.errors import NotRestored
    from projections.maintenance.backup.restoration import check_first
    from projections.maintenance.backup.restoration import restore as restore_backup

    if store_of(settings.data) or settings.store:
        raise NotRestored(f"the ledger of {settings.data} is in PostgreSQL")
    pools = settings.named_pools()
    check_free(settings.data)
    kept = None if note is None else note.read_bytes()
    checked = check_first(directory, settings.data, pools, kept, unsealed=unsealed)
    with data_lock(settings.data):
        return restore_backup(checked, settings.data, pools, _record)


def _record(data: Path, epoch: int, checkpoint: str) -> None:
    from api.composition import open_ledger

    async def record() -> None:
        async with open_ledger(data) as opened:
            await record_restore(opened.ledger, epoch, checkpoint)

    asyncio.run(record())


async def record_restore(ledger: Ledger, epoch: int, checkpoint: str) -> None:
    """Begin the epoch after a restore up to the checkpoint."""
    from ledger.domain.commands.housekeeping import RecordRestore
    from ledger.store.writer import Caller

    await ledger.execute(RecordRestore(new_id(), epoch, checkpoint), Caller("system", ""))


def _print_missing(missing: Iterable[MissingImage]) -> None:
    for drive, pool in missing:
        _print(f"the image of drive {drive} is missing in pool {pool}")


def _print(line: str) -> None:
    """Print to standard error: standard output is for a file, or a program."""
    print_line(line, err=True)

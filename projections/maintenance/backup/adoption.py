"""Resumes a ledger that was restored into PostgreSQL, from a dump or to an earlier moment.

    checked -> what does not belong to it moved aside -> LedgerRestored recorded

Nothing is deleted. If it is killed in between, run it again.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from ledger.archives import Shelf
from ledger.archives.layout import archive_path
from ledger.images.files import make_directory
from ledger.images.pools import Pool
from ledger.merkle.signed_note import Signer
from ledger.proofs.checkpoints import checkpoint_of
from ledger.store.seam import Log
from projections.maintenance.backup.archives import archives_of
from projections.maintenance.backup.errors import NotRestored, failures_as
from projections.maintenance.backup.files import set_aside
from projections.maintenance.backup.images import LOST_AND_FOUND, missing_images, set_strays_aside
from projections.maintenance.backup.inspection import check_ledger
from projections.maintenance.backup.layout import ARCHIVES
from projections.maintenance.backup.restoration import Restored
from projections.views.drives import existing_drives, expected_images

Record = Callable[[int, str], None]
"""Records a restore in the ledger: its epoch, and the checkpoint as signed."""


def adopt(
    open_log: Callable[[], AbstractContextManager[Log]],
    data: Path,
    signer: Signer,
    pools: Mapping[str, Pool],
    record: Record,
) -> Restored:
    """Resume this ledger, which no process writes to; block.

    A new epoch begins with what it holds now. Raise `NotRestored`.
    """
    shelf = Shelf(data / ARCHIVES)
    with failures_as(NotRestored):
        with open_log() as log:  # closed before it is written to: it keeps tables from changing
            own = archives_of(log, shelf)
            checkpoint = checkpoint_of(log, signer.name)
            check_ledger(log, shelf, checkpoint, signer, own)
            drives, expected = existing_drives(log.cursor()), expected_images(log.cursor())
        aside = _set_archives_aside(data, set(shelf.names()) - set(own))
        for pool in pools.values():
            make_directory(pool.path)
            aside += set_strays_aside(pool, drives)
        first = checkpoint._replace(epoch=checkpoint.epoch + 1)
        record(first.epoch, signer.sign(first.text()))
        return Restored(first, aside, list(missing_images(expected, pools)))


def _set_archives_aside(data: Path, names: Iterable[str]) -> list[Path]:
    return [
        set_aside(archive_path(data / ARCHIVES, name), data / LOST_AND_FOUND)
        for name in sorted(names)
    ]

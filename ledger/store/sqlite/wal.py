"""The WAL of a ledger's file, which must stay shorter than half of the reserve.

Only then is there room to checkpoint it on a full disk, once the reserve is given up. It is
checkpointed at a quarter of the reserve; long reads keep it from starting over.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from ledger.domain.disk_space import FREE_LEAST, longest_wal
from ledger.images.files import is_read_only
from ledger.store.sqlite.disk import RESERVE_FILE, free_bytes
from ledger.store.sqlite.long_reads import LongReads

REST_S = 1.0
"""The pause once no more reads can be cut, because those of other processes are in the way."""

log = logging.getLogger(__name__)


def wal_bytes(file: Path) -> int:
    try:
        return file.with_name(f"{file.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def giving_way(file: Path) -> Callable[[], bool]:
    """Return a function that tells whether a read must end so that another process can write.

    The size of the reserve tells how long the WAL may be; without one, it may have been given up. A
    WAL that was long already and does not grow is no reason to end: nobody writes. Nor is one on
    read-only media, or a file without a WAL, as that of a backup.
    """
    began, is_fixed = wal_bytes(file), is_read_only(file)

    def must_give_way() -> bool:
        length = wal_bytes(file)
        if not length or is_fixed:
            return False
        try:
            reserve = (file.parent / RESERVE_FILE).stat().st_size
        except FileNotFoundError:
            return free_bytes(file.parent) < FREE_LEAST
        return length > max(began, longest_wal(reserve).elsewhere)

    return must_give_way


class Wal:
    """Keeps the WAL short. In the writer's thread."""

    def __init__(
        self, file: Path, reserve: int, fold: Callable[[], bool], reads: LongReads
    ) -> None:
        """`fold` checkpoints the WAL, and returns False if reads are in the way."""
        self._file = file
        self._most = longest_wal(reserve).here if reserve else None
        self._fold = fold
        self._reads = reads
        self._rests_until = 0.0

    def keep_short(self) -> None:
        """Cut the oldest long reads, one after the other, until the WAL can start over."""
        if self._most is None or wal_bytes(self._file) < self._most:
            return
        if time.monotonic() < self._rests_until:
            return
        cut = 0
        while not self._fold():
            if self._reads.cut_oldest():
                cut += 1
                continue
            if not self._fold():  # what was in the way before may just have ended
                self._rests_until = time.monotonic() + REST_S
                log.warning("another process reads for long: the ledger's WAL cannot be shortened")
            break
        if cut:
            log.warning("%d long reads were cut, to keep the ledger's WAL short", cut)

"""Checks of the data directory and of this process."""

import os
import resource
import stat
from collections.abc import Iterable

from api.data.directory import OTHERS
from api.data.location import LEDGER_FILE
from api.doctor.findings import FREE_BYTES_LOW
from api.doctor.subject import Subject
from ledger.archives import Shelf
from ledger.domain.disk_space import RESERVE_MOST, reserve_bytes
from ledger.images.files import is_read_only
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, KeyUnusable, kept_signer
from ledger.store.sqlite.disk import RESERVE_FILE
from projections.maintenance.backup.restoration import is_unfinished
from projections.maintenance.retention.compaction import ARCHIVES

FILES_MIN = 1024
"""Each connection, and each image that is being copied, takes an open file."""


def read_by_others(subject: Subject) -> Iterable[str]:
    """Find a data directory that others may read.

    It holds password hashes and the signing key, and by default images.
    """
    if subject.data.exists() and subject.data.stat().st_mode & OTHERS:
        mode = stat.S_IMODE(subject.data.stat().st_mode)
        yield f"others may read {subject.data}: its mode is {mode:04o}; chmod 700 keeps them out"


def unusable_key(subject: Subject) -> Iterable[str]:
    """Find a key that cannot sign checkpoints; if there is none yet, the first start makes it."""
    if any((subject.data / name).exists() for name in (KEY_FILE, VERIFIER_FILE)):
        try:
            kept_signer(subject.data)
        except KeyUnusable as error:
            yield str(error)


def unfinished_restore(subject: Subject) -> Iterable[str]:
    if is_unfinished(subject.data):
        yield f"a restore into {subject.data} was broken off: run it again"


def unfinished_archives(subject: Subject) -> Iterable[str]:
    """Find archives that a crash left unfinished; writing the next archive removes them."""
    if not subject.archiving:
        for part in Shelf(subject.data / ARCHIVES).unfinished():
            yield f"archive {part} was not finished; the next `job-ledger retention run` removes it"


def full_disk(subject: Subject) -> Iterable[str]:
    """Find a disk on which less than `FREE_BYTES_LOW` is free for the ledger.

    A read-only one is wrong only for a service: a copy of a ledger may be audited there.
    """
    if subject.data.exists() and is_read_only(subject.data):
        if subject.runs:
            yield f"the disk of {subject.data} is read-only: nothing can be recorded"
    elif subject.data.exists():
        found = os.statvfs(subject.data)
        free = found.f_bavail * found.f_frsize
        reserve = reserve_bytes(found.f_blocks * found.f_frsize, RESERVE_MOST)
        if free < FREE_BYTES_LOW:
            means = "nothing new is recorded" if free < reserve else "soon nothing new is recorded"
            yield f"the disk of {subject.data} has only {free} bytes left: {means}"


def long_wal(subject: Subject) -> Iterable[str]:
    """Find a WAL longer than half of the reserve; what is ours gives way to it."""
    wal, reserve = subject.data / f"{LEDGER_FILE}-wal", subject.data / RESERVE_FILE
    most = (reserve.stat().st_size if reserve.exists() else RESERVE_MOST) // 2
    if wal.exists() and wal.stat().st_size > most:
        yield (
            f"{wal} has {wal.stat().st_size} bytes, and should not have more than {most}: a program"
            " reads the ledger and stands still, or is not ours; end it, and the WAL gets short"
        )


def few_files(subject: Subject) -> Iterable[str]:
    """Find a low limit of open files: the hard one, because a service raises its own to that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES_MIN:
        yield f"a process may have only {most} files open here: raise the limit (ulimit -n)"

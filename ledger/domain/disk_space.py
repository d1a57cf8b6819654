"""How full the ledger's disk is, and how much of it and of the pools stays free. Pure.

A full disk must not keep anybody from making room. So a reserve is kept on it, and given up once
there is no other room: then deletions and ends can still be recorded, and the WAL checkpointed.
Once no more than the reserve's size is free beside it, nothing else is recorded.
"""

from enum import StrEnum
from typing import NamedTuple

FREE_LEAST = 2**20
"""With less than this free, the next transaction may not fit."""
RESERVE_LEAST = 4 * 2**20
RESERVE_MOST = 128 * 2**20
"""The reserve must have room to checkpoint the longest WAL."""

KEPT_IN_POOL = 64 * 2**20
"""The least that stays free of a file system, unless that is more than an eighth of it."""

KEPT_FILES = 1024
"""Left for the files of drives that are recorded but not made yet."""


class DiskState(StrEnum):
    """How full the disk is: roomy, low, or so full that the reserve was given up."""

    ROOMY = "roomy"
    LOW = "low"
    FULL = "full"


class DiskSpace(NamedTuple):
    """How full a disk is."""

    state: DiskState
    free_bytes: int


class WalLengths(NamedTuple):
    """The lengths of the WAL, in bytes, at which it is checkpointed and reads are cut."""

    folded: int
    elsewhere: int
    """For reads of processes other than the one that writes."""
    here: int


def longest_wal(reserve: int) -> WalLengths:
    """Return lengths such that the next transactions, too, stay below half of the reserve."""
    return WalLengths(reserve // 4, reserve * 5 // 16, reserve * 3 // 8)


def reserve_bytes(disk: int, most: int) -> int:
    """Return the size of the reserve on a disk of this size; with `most` 0 there is none."""
    return min(max(disk // 8, RESERVE_LEAST), most)


def state_after(before: DiskState, free: int, reserve: int) -> DiskState:
    """Return the state of a disk with so many bytes free, beside the reserve if it is there.

    A reserve that was given up is restored once twice its size is free; otherwise the disk would be
    full again at the next event. Without a reserve, nothing can be held back.
    """
    if not reserve:
        return DiskState.ROOMY
    if before is DiskState.FULL:
        return DiskState.ROOMY if free >= 2 * reserve else DiskState.FULL
    if free < FREE_LEAST:
        return DiskState.FULL
    return DiskState.LOW if free < reserve else DiskState.ROOMY


def kept_in_pool(size: int) -> int:
    """Return how much of a pool's file system of this size stays free of images."""
    return min(max(size // 20, KEPT_IN_POOL), size // 8)


def kept_files(files: int) -> int:
    """Return how many of the inodes of a pool's file system stay unused."""
    return min(files // 8, KEPT_FILES)

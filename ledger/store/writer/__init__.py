"""The group-commit writer: one thread decides every command and commits many in one transaction.

`thread` has the queue, `waiting` what is in it and how callers are woken, `deciding` the decision
of one command, `group_commit` the batches and their repeats, `committed` what is known to be in
the store, `daily_bytes` how much was recorded for each actor, `progress` whether the thread makes
progress, and `failure` how it ends if the store fails.
"""

from ledger.store.writer.group_commit import CONFLICT_LIMIT, LOST_LIMIT
from ledger.store.writer.thread import BATCH_LIMIT, Writer, always
from ledger.store.writer.waiting import Caller, uncancelled

__all__ = [
    "BATCH_LIMIT",
    "CONFLICT_LIMIT",
    "LOST_LIMIT",
    "Caller",
    "Writer",
    "always",
    "uncancelled",
]

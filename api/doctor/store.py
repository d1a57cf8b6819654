"""Checks of the ledger's database and of its contents."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from api.doctor.subject import Subject
from ledger.archives import Shelf
from ledger.merkle.signed_note import BadCheckpoint, read_checkpoint
from ledger.proofs.keys import VERIFIER_FILE, verifier_of
from ledger.proofs.tree import OutsideTree, Tree
from ledger.store.engines import DURABLE_IN_POSTGRES
from ledger.store.parameters import timestamp
from ledger.store.schema import SCHEMA_VERSION
from ledger.store.tables import checkpoints
from projections.maintenance.retention.compaction import ARCHIVES
from projections.views.generations import is_outdated
from projections.views.jobs import silent_jobs

STUCK_FOR = timedelta(hours=1)
"""A copy reports at least every ten minutes."""
NAMED_MAX = 10


def journal_mode(subject: Subject) -> Iterable[str]:
    mode = subject.ledger.settings.get("journal_mode", "wal")
    if mode != "wal":
        yield f"the journal mode is {mode}, not wal"


def auto_vacuum(subject: Subject) -> Iterable[str]:
    mode = subject.ledger.settings.get("auto_vacuum", "incremental")
    if mode != "incremental":
        yield f"auto_vacuum is {mode}, not incremental: the file will not shrink"


def durable_in_postgres(name: str) -> Callable[[Subject], Iterable[str]]:
    """Make the check of one setting of the server."""
    assert name in DURABLE_IN_POSTGRES

    def check(subject: Subject) -> Iterable[str]:
        mode = subject.ledger.settings.get(name, "on")
        if mode in ("off", "local"):
            yield f"{name} is {mode}: what is acknowledged may be lost"

    return check


def schema(subject: Subject) -> Iterable[str]:
    """Accept a lower version: the next start raises it."""
    version = subject.ledger.schema_version
    if version > SCHEMA_VERSION:
        yield f"the schema is {version}; this is schema {SCHEMA_VERSION}"


def read_models(subject: Subject) -> Iterable[str]:
    """Accept an earlier shape without a service: the next start rebuilds the read models."""
    with subject.database.log() as log:
        if subject.runs and is_outdated(log.cursor()):
            yield "the read models have an earlier version: `job-ledger rebuild` makes them anew"


def checkpoint(subject: Subject) -> Iterable[str]:
    """Verify the signature of the newest checkpoint, and its root against the tree."""
    if not (subject.data / VERIFIER_FILE).exists():
        return
    verifier, shelf = verifier_of(subject.data), Shelf(subject.data / ARCHIVES)
    with subject.database.log() as log:
        kept = checkpoints.newest(log.cursor())
        if kept is None:
            return
        try:
            checkpoint = read_checkpoint(kept.note.encode(), verifier)
            if Tree(log, shelf).root(checkpoint.size) != checkpoint.root:
                yield (
                    f"the tree is not that of the checkpoint of {kept.size} events that was kept:"
                    " `job-ledger audit replay` says what was changed"
                )
        except (BadCheckpoint, OutsideTree) as error:
            yield f"the checkpoint of {kept.size} events: {error}"


def stuck_jobs(subject: Subject) -> Iterable[str]:
    """Look only where a service runs: no worker has what has not moved for long."""
    if not subject.runs:
        return
    with subject.database.log() as log:
        stuck = silent_jobs(log.cursor(), timestamp(subject.reading.wall - STUCK_FOR), NAMED_MAX)
    if stuck:
        named = ", ".join(stuck)
        yield f"jobs run that have not reported for an hour; is a worker missing? {named}"

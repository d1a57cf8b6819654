"""The doctor's look at the ledger's database and at what is in it."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from api.doctor.looking import DURABLE_IN_POSTGRES
from api.doctor.patient import Patient
from ledger.archives import Shelf
from ledger.proofs.keys import VERIFIER_FILE, verifier_of
from ledger.proofs.note import BadCheckpoint, read_checkpoint
from ledger.proofs.tree import LeavesArchived, OutsideTree, Tree
from ledger.store import checkpoints
from ledger.store.sqlite import SCHEMA_VERSION
from projections.retention.compacting import ARCHIVES
from projections.rows import timestamp
from projections.views.sqlite import is_outdated, silent_jobs

STUCK = timedelta(hours=1)
"""A copy reports every ten minutes at the least."""
NAMED = 10
_DURABLE = ("full", "extra")


def journal_mode(patient: Patient) -> Iterable[str]:
    mode = patient.ledger.settings.get("journal_mode", "wal")
    if mode != "wal":
        yield f"the journal mode is {mode}, not wal"


def sync_mode(patient: Patient) -> Iterable[str]:
    mode = patient.ledger.settings.get("synchronous", "full")
    if mode not in _DURABLE:
        yield f"the sync mode is {mode}: what is acknowledged may be lost"


def auto_vacuum(patient: Patient) -> Iterable[str]:
    mode = patient.ledger.settings.get("auto_vacuum", "incremental")
    if mode != "incremental":
        yield f"auto_vacuum is {mode}, not incremental: the file will not shrink"


def durable_in_postgres(name: str) -> Callable[[Patient], Iterable[str]]:
    """Looks at one setting of the server."""
    assert name in DURABLE_IN_POSTGRES

    def look(patient: Patient) -> Iterable[str]:
        mode = patient.ledger.settings.get(name, "on")
        if mode in ("off", "local"):
            yield f"{name} is {mode}: what is acknowledged may be lost"

    return look


def schema(patient: Patient) -> Iterable[str]:
    """One that is lower is raised by the next start."""
    version = patient.ledger.schema_version
    if version > SCHEMA_VERSION:
        yield f"the schema is {version}; this is schema {SCHEMA_VERSION}"


def read_models(patient: Patient) -> Iterable[str]:
    """The next start rebuilds them; beside a service that runs they must be right."""
    with patient.database.log() as log:
        if patient.runs and is_outdated(log.cursor()):
            yield "the read models have an earlier shape: `job-ledger rebuild` makes them anew"


def checkpoint(patient: Patient) -> Iterable[str]:
    """The newest one that is kept: it is signed by the ledger's key, and the tree has its root."""
    if not (patient.data / VERIFIER_FILE).exists():
        return
    verifier, shelf = verifier_of(patient.data), Shelf(patient.data / ARCHIVES)
    with patient.database.log() as log:
        kept = checkpoints.newest(log.cursor())
        if kept is None:
            return
        try:
            told = read_checkpoint(kept.note.encode(), verifier)
            if Tree(log, _archived(shelf)).root(told.size) != told.root:
                yield (
                    f"the tree is not that of the checkpoint of {kept.size} events that was kept:"
                    " `job-ledger audit replay` says what was changed"
                )
        except (BadCheckpoint, OutsideTree) as error:
            yield f"the checkpoint of {kept.size} events: {error}"


def _archived(shelf: Shelf) -> Callable[[int, int], list[bytes]]:
    def leaves(first: int, last: int) -> list[bytes]:
        found = shelf.leaves(first, last)
        if len(found) <= last - first:
            raise LeavesArchived(first, last)
        return [found[index] for index in range(first, last + 1)]

    return leaves


def stuck_jobs(patient: Patient) -> Iterable[str]:
    """Beside a service that runs, what has not moved for long is worked on by nobody."""
    if not patient.runs:
        return
    with patient.database.log() as log:
        stuck = silent_jobs(log.cursor(), timestamp(patient.reading.wall - STUCK), NAMED)
    if stuck:
        named = ", ".join(stuck)
        yield f"jobs run that have not reported for an hour; is a worker missing? {named}"

"""The archives that belong to a ledger as of one moment."""

from ledger.archives import ArchiveMissing, Shelf
from ledger.domain.events.housekeeping import compaction_stream
from ledger.store.compaction import is_stored
from ledger.store.seam import Log


def archives_of(log: Log, shelf: Shelf) -> list[str]:
    """Return the archives that the ledger names, or that hold events it no longer has.

    Archives that were written after this moment, or never recorded, are left out: the store has
    all their events. Raise `BadArchive`.
    """
    return [
        name
        for name in shelf.names()
        # An archive has the name of the compaction that wrote it.
        if log.stream(compaction_stream(name)) or not _is_in_store(log, shelf, name)
    ]


def _is_in_store(log: Log, shelf: Shelf, name: str) -> bool:
    try:
        first = shelf.get(name).first
        return first > log.last_position() or is_stored(log.cursor(), first)
    except ArchiveMissing:  # never recorded, and removed just now
        return True

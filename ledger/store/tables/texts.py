"""The table of texts: words that lie beside the ledger (see `ledger.domain.producers.texts`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.codec import decode
from ledger.domain.producers.texts import (
    MESSAGE,
    PHASES_MOST,
    DropTexts,
    KeepText,
    TextChange,
    digest_of,
    texts_in,
)
from ledger.store.log import streamed
from ledger.store.parameters import VALUES_MAX, among, marks, sliced
from ledger.store.seam import Cursor

_KEEP = (
    "INSERT INTO texts VALUES (?, ?, ?, ?, ?) ON CONFLICT (job, slot) DO UPDATE"
    " SET version = excluded.version, salt = excluded.salt, words = excluded.words"
)
_DROP_OLD_MESSAGES = (
    f"DELETE FROM texts WHERE job = ? AND slot LIKE '{MESSAGE}%' AND version <"  # noqa: S608 - constants
    " (SELECT min(version) FROM (SELECT version FROM texts"
    f" WHERE job = ? AND slot LIKE '{MESSAGE}%' ORDER BY version DESC LIMIT {PHASES_MOST}) AS new)"
)
_WITH_EVENTS = (
    "SELECT job, slot, salt, words, topic, state FROM texts LEFT JOIN stored_events"
    " ON originator_id = 'job-' || job AND originator_version = version"
)


def write(cursor: Cursor, changes: Sequence[TextChange]) -> None:
    """Apply the changes, in the transaction of their commands.

    Rows are written in the order of their keys, so that two nodes do not deadlock.
    """
    dropped: set[str] = set()
    kept: dict[tuple[str, str], KeepText] = {}
    for change in changes:
        match change:
            case KeepText(job=job, slot=slot):
                kept[job, slot] = change
            case DropTexts(jobs=jobs):
                dropped.update(jobs)
                kept = {at: text for at, text in kept.items() if at[0] not in jobs}
    for some in sliced(sorted(dropped), VALUES_MAX):
        cursor.execute(f"DELETE FROM texts WHERE job IN ({marks(some)})", some)  # noqa: S608 - marks
    if kept:
        cursor.executemany(_KEEP, [kept[at] for at in sorted(kept)])
    for job in sorted({job for job, slot in kept if slot.startswith(MESSAGE)}):
        cursor.execute(_DROP_OLD_MESSAGES, (job, job))


def read(cursor: Cursor, jobs: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Return the words of these jobs by their slots."""
    found: dict[str, dict[str, str]] = {}
    sql = "SELECT job, slot, words FROM texts WHERE job IN (...)"
    for job, slot, words in among(cursor, sql, jobs):
        found.setdefault(job, {})[slot] = words
    return found


class Unproved(NamedTuple):
    """Words that are not those of the event that they lie beside."""

    job: str
    slot: str


def unproved(cursor: Cursor) -> Iterator[Unproved]:
    """Yield all words that no event proves."""
    for job, slot, salt, words, topic, state in streamed(cursor, _WITH_EVENTS):
        proved = () if topic is None else texts_in(decode(topic, state).event)
        if (slot, len(words.encode()), digest_of(words, salt)) not in {
            (at, text.length, text.digest) for at, text in proved
        }:
            yield Unproved(job, slot)

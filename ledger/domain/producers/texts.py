"""Free words of programs and people: what of them an event has, and what lies beside the ledger.

An event has a `Text`, the length of the words and the digest of a random salt and the words. Salt
and words lie in a table, from where they can be removed. Each has a *slot* there, and newer words
replace older ones in the same slot. So a job has at most 64 KiB of words, whatever it reports.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ledger.domain.events import Event, Recorded
from ledger.domain.events.jobs import JobAttemptLost, JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobCancelRequested,
    JobRegistered,
    JobSkipped,
    LateReportRecorded,
    ProgressReported,
    Text,
)

SALT_BYTES = 16
TITLE_MOST, MESSAGE_MOST, NOTE_MOST = 1_024, 2_000, 2_048
END_MOST = 48 * 1_024
"""The most bytes of UTF-8 of each, and of all that is said of an end."""
ERROR_MOST = TAIL_MOST = 8 * 1_024
"""The most of an end that an error and a tail may take; the result may take what is left."""
PHASES_MOST = 6
"""The newest phases of which the last message is kept."""
CUT = "…"
"""What stands for the words that were too many."""
TITLE, MESSAGE, NOTE, ERROR, TAIL, RESULT = "title", "message", "note", "error", "tail", "result"
"""The slots; that of a message has the name of its phase behind a slash."""

assert TITLE_MOST + PHASES_MOST * MESSAGE_MOST + NOTE_MOST + END_MOST <= 64 * 1_024


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Words(NamedTuple):
    """The words of a text, and the salt that its digest is also of."""

    digest: str
    salt: bytes
    words: str


class KeepText(NamedTuple):
    """Words of a job, for the event at this version of its stream; they replace those in the slot.

    The event has the digest of salt and words.
    """

    job: str
    slot: str
    version: int
    salt: bytes
    words: str


class DropTexts(NamedTuple):
    """Drop the words of these jobs."""

    jobs: tuple[str, ...]


TextChange = KeepText | DropTexts
"""A change of the words beside the ledger, in the same transaction."""


def unsaid_in(changes: Iterable[TextChange]) -> list[str]:
    """Return the jobs whose words are dropped."""
    return [job for change in changes if isinstance(change, DropTexts) for job in change.jobs]


def text_of(words: str, salt: bytes) -> tuple[Text, Words]:
    """Return what an event has of these words, and what lies beside it."""
    digest = digest_of(words, salt)
    return Text(len(words.encode()), digest), Words(digest, salt, words)


def digest_of(words: str, salt: bytes) -> str:
    return hashlib.sha256(salt + words.encode()).hexdigest()


def storable(words: str, most: int) -> str:
    """Return words that every store can keep, of at most so many bytes; what is longer is cut.

    No report is refused for what a program has written.
    """
    clean = _UNSTORABLE.sub("\ufffd", words)
    whole, cut = clean.encode(), CUT.encode()
    if len(whole) <= most:
        return clean
    if most < len(cut):
        return ""
    return whole[: most - len(cut)].decode(errors="ignore") + CUT


def texts_in(event: Event) -> Iterator[tuple[str, Text]]:
    """Yield the texts of an event by their slots.

    A report that came after newer ones has none: words of those may be in its slot.
    """
    for slot, text in _slots(event):
        if text is not None:
            yield slot, text


def _slots(event: Event) -> Iterator[tuple[str, Text | None]]:
    match event:
        case JobRegistered(title=title):
            yield TITLE, title
        case ProgressReported(stale=False, phase=phase, message=message):
            yield MESSAGE if phase is None else f"{MESSAGE}/{phase.name}", message
        case JobAttemptLost(last=ProgressReported() as last):
            yield from _slots(last)
        case JobCancelRequested(note=note):
            yield NOTE, note
        case JobSucceeded(result=result) | JobSkipped(result=result):
            yield RESULT, result
        case JobCancelled(message=message, result=result):
            yield ERROR, message
            yield RESULT, result
        case JobAttemptFailed(message=message, tail=tail):
            yield ERROR, message
            yield TAIL, tail
        case JobFailed() | LateReportRecorded():
            yield ERROR, event.message
            yield TAIL, event.tail
            yield RESULT, event.result
        case _:
            pass


def kept(
    stream: str, version: int, recorded: Recorded[Event], words: Collection[Words]
) -> Iterator[KeepText]:
    """Yield what is to be kept of the words that came with an event, now that it is recorded."""
    said = {each.digest: each for each in words}
    for slot, text in texts_in(recorded.event):
        if text.digest in said:
            _, salt, spoken = said[text.digest]
            yield KeepText(stream.removeprefix("job-"), slot, version, salt, spoken)

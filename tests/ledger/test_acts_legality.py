"""The auditor's rules for the ledger's own acts, and for tokens."""

from datetime import timedelta

import pytest

from ledger.domain.aggregates import fold
from ledger.domain.event_rules import TREES_MOST, violation
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import (
    ArchiveWritten,
    DiscardedTree,
    JobsDiscarded,
    LedgerCompacted,
    LedgerRestored,
    RetentionPolicySet,
    StreamParked,
    StreamReleased,
)
from ledger.domain.events.jobs import JobCancelled
from ledger.domain.events.tokens import TokenIssued, TokenRemoved
from tests.support.world import ME, SOMEBODY_ELSE, START

KEEP = timedelta(days=3)
CUTOFF = START - KEEP
TICK = timedelta(microseconds=1)


def discarded(
    trees: int = 1,
    *,
    ended_before: timedelta = TICK,
    keep: timedelta = KEEP,
    cutoff_before: timedelta = timedelta(0),
    last: bool = False,
) -> JobsDiscarded:
    cutoff = CUTOFF - cutoff_before
    tree = DiscardedTree(ME, ("job",), cutoff - ended_before)
    return JobsDiscarded(keep, cutoff, 1, (tree,) * trees, (), last)


WRITTEN = ArchiveWritten("a", "00", 5, 1, 9, ("1",))
PARKED = StreamParked("job-j", "sweep", "no JSON")
RELEASED = StreamReleased(skip=True)
LATER_POLICY = RetentionPolicySet(KEEP, START + TICK)

LEGAL: list[tuple[str, tuple[Event, ...]]] = [
    ("policy-retention", (LATER_POLICY, RetentionPolicySet(KEEP, START), LATER_POLICY)),
    ("sweep-1", (discarded(TREES_MOST), discarded(), discarded(last=True))),
    ("compaction-1", (WRITTEN, LedgerCompacted(5))),
    ("restoration-1", (LedgerRestored(2, "note"),)),
    ("parking-job-j", (PARKED, RELEASED, PARKED, StreamReleased(skip=False))),
    ("token-t", (TokenIssued(ME, "laptop"), TokenRemoved(ME))),
    ("token-early", (TokenRemoved(ME),)),  # it was issued by an earlier version
]

ILLEGAL: list[tuple[str, tuple[Event, ...], str]] = [
    ("policy-retention", (WRITTEN,), "a policy has no such event"),
    ("token-t", (WRITTEN,), "a token has no such event"),
    ("token-t", (TokenIssued(ME, ""), TokenIssued(ME, "")), "had been issued"),
    ("token-t", (TokenRemoved(ME), TokenIssued(ME, "")), "had been issued"),
    ("token-t", (TokenIssued(ME, ""), TokenRemoved(ME), TokenRemoved(ME)), "had been removed"),
    ("token-t", (TokenIssued(ME, ""), TokenRemoved(SOMEBODY_ELSE)), "another account's"),
    ("sweep-1", (discarded(TREES_MOST + 1),), "201 trees"),
    ("sweep-1", (discarded(ended_before=timedelta(0)),), "had not ended by the cutoff"),
    ("sweep-1", (discarded(last=True), discarded()), "the sweep was over"),
    ("sweep-1", (discarded(), discarded(cutoff_before=TICK)), "by another policy"),
    ("sweep-1", (discarded(), discarded(keep=2 * KEEP)), "by another policy"),
    ("sweep-1", (PARKED,), "a sweep has no such event"),
    ("compaction-1", (LedgerCompacted(5),), "begins with its creation"),
    ("compaction-1", (WRITTEN, WRITTEN), "has no other"),
    ("compaction-1", (WRITTEN, LedgerCompacted(5), LedgerCompacted(5)), "compacted already"),
    ("compaction-1", (WRITTEN, JobCancelled()), "a compaction has no JobCancelled"),
    ("restoration-1", (LedgerRestored(2, "n"), LedgerRestored(3, "n")), "had been recorded"),
    ("restoration-1", (RELEASED,), "a restoration has no such event"),
    ("parking-job-j", (RELEASED,), "was not parked"),
    ("parking-job-j", (PARKED, PARKED), "parked already"),
    ("parking-job-j", (PARKED, RELEASED, RELEASED), "was not parked"),
    ("parking-job-j", (discarded(),), "a parking has no such event"),
]


def judged(stream: str, *events: Event) -> str | None:
    """Return what the rules say about the last of these events."""
    history = [Recorded(START, "system", "", event) for event in events[:-1]]
    return violation(fold(stream, history), stream, events[-1])


@pytest.mark.parametrize(("stream", "events"), LEGAL, ids=[stream for stream, _ in LEGAL])
def test_legal_acts(stream: str, events: tuple[Event, ...]) -> None:
    """One after the other."""
    for end in range(1, len(events) + 1):
        assert judged(stream, *events[:end]) is None


@pytest.mark.parametrize(("stream", "events", "saying"), ILLEGAL)
def test_illegal_acts(stream: str, events: tuple[Event, ...], saying: str) -> None:
    """The last of these may not follow, and the rules say why."""
    for end in range(1, len(events)):
        assert judged(stream, *events[:end]) is None
    reason = judged(stream, *events)
    assert reason is not None
    assert saying in reason

"""Events and trees to be archived."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

import ledger.archives.writer
from ledger.archives import ArchivedJob, ArchivedTree
from ledger.codec import leaf_hash
from ledger.store.seam import LoggedEvent

FEW = 5
"""Events in a frame, and trees packed together."""


@contextmanager
def small_frames() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.archives.writer, "FRAME_EVENTS", FEW)
        patch.setattr(ledger.archives.writer, "TREES_TOGETHER", FEW)
        yield


def logged(
    position: int,
    stream: str = "job-1",
    version: int = 1,
    state: bytes = b"{}",
    *,
    leaf_index: int | None = None,
    topic: str = "job-created/1",
) -> LoggedEvent:
    """An event as a store would have it."""
    leaf = leaf_hash(stream, version, topic, state)
    index = position - 1 if leaf_index is None else leaf_index
    return LoggedEvent(position, index, stream, version, topic, state, leaf)


def history(positions: Iterable[int], streams: int = 4) -> list[LoggedEvent]:
    """Events of several jobs by turns."""
    return [
        logged(position, f"job-{position % streams}", position // streams, b'{"at":%d}' % position)
        for position in positions
    ]


def noise(count: int, size: int, streams: int = 1) -> Iterator[LoggedEvent]:
    """Events that no compression makes smaller."""
    chance = random.Random(count)  # noqa: S311 - no secrets
    for position in range(1, count + 1):
        yield logged(position, f"job-{position % streams}", position, chance.randbytes(size))


def moment(position: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=position)


def tree(owner: str, discarded: int, *jobs: tuple[str, int, int]) -> ArchivedTree:
    """A tree of jobs, each with its first and last position; the first is the root."""
    root = jobs[0][0]
    return ArchivedTree(
        owner,
        tuple(
            ArchivedJob(
                uuid,
                first,
                last,
                moment(first),
                moment(last),
                None if uuid == root else root,
                "success" if first % 2 else "failed",
            )
            for uuid, first, last in jobs
        ),
        moment(max(last for _, _, last in jobs)),
        discarded,
    )


def trees_of(events: Sequence[LoggedEvent], discarded: int) -> list[ArchivedTree]:
    """A tree for each job that has events here, by turns of two owners."""
    spans: dict[str, tuple[int, int]] = {}
    for event in events:
        first, _ = spans.get(event.stream, (event.position, 0))
        spans[event.stream] = first, event.position
    return [
        tree(f"owner-{nth % 2}", discarded, (stream.removeprefix("job-"), *span))
        for nth, (stream, span) in enumerate(spans.items())
        if stream.startswith("job-")
    ]

"""Checks that everything that was discarded was due, and that everything due was discarded.

The policy is applied again to the history, by the times and positions of the events alone, whatever
was planned then. Streams that are only in archives cannot be judged; they must be in one.
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from heapq import heappop, heappush
from typing import NamedTuple

from ledger.domain.aggregates.housekeeping import Policy
from ledger.domain.aggregates.job import Job
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveDeleted
from ledger.domain.events.housekeeping import (
    POLICY_STREAM,
    ArchiveWritten,
    DiscardedTree,
    JobsDiscarded,
    StreamParked,
    StreamReleased,
)
from ledger.domain.events.jobs import JobCancelled, JobCreated, JobFailed, JobSucceeded, job_stream
from ledger.domain.events.keypairs import KeypairDeleted
from ledger.domain.events.producers import JobSkipped, LateReportRecorded
from ledger.domain.events.servers import ServerDeleted
from ledger.domain.events.tags import TagDeleted
from ledger.store.seam import LoggedEvent
from projections.audit.findings import Divergence, StreamState, divergence_at
from projections.audit.job_trees import JobTrees
from projections.audit.series import EndedTree, SeriesRuns, SetAside, Sight


def _end_of(family: Iterable[Job]) -> datetime:
    """Return when the last of these jobs ended; all of them have."""
    return max(job.ended for job in family if job.ended is not None)


class _Departed(NamedTuple):
    at: datetime
    position: int


class Discards:
    """What is discarded so far, and what may be discarded."""

    def __init__(
        self, states: dict[str, StreamState], trees: JobTrees, unread: Collection[str] = ()
    ) -> None:
        """`unread` are streams that were discarded unread, and are not replayed."""
        self.streams: set[str] = set()
        """All streams that are discarded."""
        self._streams = states
        self._trees = trees
        self._running: Counter[str] = Counter()
        """How many jobs run in the tree of each root."""
        self._ended: list[EndedTree] = []
        self._runs = SeriesRuns(sum(stream.startswith("job-") for stream in unread))
        self._aside = SetAside()
        self._departed: dict[str, _Departed] = {}
        self._named_by: dict[str, set[str]] = {}
        self._unread = unread
        self._parked: dict[str, int] = {}
        """The position up to which each stream was parked."""
        self._unseen: dict[str, LoggedEvent] = {}
        self._archived: set[str] = set()
        self._newest = ""
        """The newest compaction."""

    def take(self, event: LoggedEvent, recorded: Recorded[Event]) -> str | None:
        """Take an event that is replayed already; return what is wrong with it as a discard."""
        match recorded.event:
            case JobCreated(resources=resources, root=root):
                self._running[root] += 1
                for resource in resources:
                    self._named_by.setdefault(resource.uuid, set()).add(event.stream)
            case JobSucceeded() | JobSkipped() | JobFailed() | JobCancelled():
                self._end(event)
            case LateReportRecorded(outcome="succeeded"):
                self._succeed_late(event)
            case DriveDeleted() | ServerDeleted() | TagDeleted() | KeypairDeleted():
                self._departed[event.stream] = _Departed(recorded.recorded_at, event.position)
            case StreamParked(stream=stream):
                self._parked[stream] = sys.maxsize
            case StreamReleased():
                self._parked[event.stream.partition("-")[2]] = event.position
            case ArchiveWritten(sweeps=sweeps):
                self._archived.update(sweeps)
                self._newest = event.stream
            case JobsDiscarded() as discard:
                return self._discard(event, discard, recorded.recorded_at)
            case _:
                pass
        return None

    def unarchived(self) -> Divergence | None:
        """Return a sweep of streams that are neither here nor in an archive that is recorded."""
        for sweep, event in self._unseen.items():
            if sweep not in self._archived:
                return divergence_at(event, "what it discarded is neither here nor in an archive")
        return None

    def _end(self, event: LoggedEvent) -> None:
        job = self._streams[event.stream].state
        assert isinstance(job, Job), f"{event.stream} has no job"
        self._running[job.root] -= 1
        self._runs.end(job, event.position)
        self._look_again(job)
        root = self._trees.job(job.root)
        if root is not None and not self._running[job.root]:
            heappush(
                self._ended, EndedTree(_end_of(self._trees.tree(root)), event.position, job.root)
            )

    def _succeed_late(self, event: LoggedEvent) -> None:
        job = self._streams[event.stream].state
        assert isinstance(job, Job), f"{event.stream} has no job"
        self._runs.succeed(job, event.position)
        self._look_again(job)

    def _look_again(self, job: Job) -> None:
        """Let the next sweep look at trees that have stayed for the series of this job."""
        self._put_back(self._aside.changed(job))

    def _put_back(self, trees: Iterable[EndedTree]) -> None:
        for tree in trees:
            heappush(self._ended, tree)

    def _discard(self, event: LoggedEvent, discard: JobsDiscarded, at: datetime) -> str | None:
        policy = self._streams.get(POLICY_STREAM)
        state = policy.state if policy is not None else None
        terms = (state if isinstance(state, Policy) else Policy()).terms(at)
        if discard.keep != terms.keep:
            return f"the policy was to keep jobs for {terms.keep}, not {discard.keep}"
        if discard.cutoff > at - terms.keep:
            return f"what ended at {discard.cutoff} was not due yet"
        sight = Sight(terms, discard.cutoff + terms.keep, discard.planned_at)
        for tree in discard.trees:
            reason = self._wrong_tree(event, tree, sight)
            if reason is not None:
                return reason
        for stream in discard.streams:
            reason = self._wrong_stream(event, stream, discard.cutoff)
            if reason is not None:
                return reason
        return self._wrongly_kept(discard, sight) if discard.last else None

    def _wrong_tree(self, event: LoggedEvent, tree: DiscardedTree, sight: Sight) -> str | None:
        root = self._trees.job(tree.jobs[0])
        streams = [job_stream(uuid) for uuid in tree.jobs]
        if root is not None:
            family = self._trees.tree(root)
            if root.parent is not None or {job.uuid for job in family} != set(tree.jobs):
                return f"what was discarded with job {root.uuid} is not its tree"
            running = [job.uuid for job in family if job.ended is None]
            if running:
                return f"job {running[0]} was running"
            ended = _end_of(family)
            if ended != tree.ended:
                return f"the tree of job {root.uuid} ended at {ended}, not {tree.ended}"
            if self._runs.had_to_stay(root, sight):
                return f"the tree of job {root.uuid} had to stay as one of the last of its series"
            self._runs.drop(root)
            del self._running[root.uuid]
            for job in family:
                for resource in job.resources:
                    self._named_by[resource.uuid].discard(job_stream(job.uuid))
        elif not self._are_unseen(event, streams):
            return f"job {tree.jobs[0]} was not there"
        self._drop(streams)
        return None

    def _wrong_stream(self, event: LoggedEvent, stream: str, cutoff: datetime) -> str | None:
        kind, _, uuid = stream.partition("-")
        departed = self._departed.get(stream)
        if kind == "sweep" and stream in self._streams and uuid not in self._archived:
            return f"{stream} was discarded before what it discarded was archived"
        if stream == self._newest:
            return f"{stream} was the newest compaction"
        if kind in ("sweep", "compaction", "parking"):
            pass  # a stream of the ledger's own, which no resource needs
        elif departed is None:
            if stream in self._streams or not self._are_unseen(event, [stream]):
                return f"{stream} was not deleted"
        elif departed.at >= cutoff:
            return f"{stream} was deleted at {departed.at}, not before the cutoff"
        elif self._named_by.get(uuid):
            return f"{stream} is named by {min(self._named_by[uuid])}"
        self._drop([stream])
        return None

    def _are_unseen(self, event: LoggedEvent, streams: Iterable[str]) -> bool:
        """Note that discarded streams are not here; return False if one is, or was before."""
        if all(stream in self._unread for stream in streams):
            return True
        self._unseen.setdefault(event.stream.partition("-")[2], event)
        return not any(stream in self._streams or stream in self.streams for stream in streams)

    def _drop(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self.streams.add(stream)
            self._streams.pop(stream, None)
            self._departed.pop(stream, None)

    def _wrongly_kept(self, discard: JobsDiscarded, sight: Sight) -> str | None:
        """Return what was due by the cutoff, known to the plan, and is still there."""
        later: list[EndedTree] = []
        reason = None
        self._put_back(self._aside.due(sight))
        while self._ended and self._ended[0].at < discard.cutoff:
            ended = heappop(self._ended)
            job = self._trees.job(ended.root)
            if job is None:
                continue
            last_end = self._runs.last_end(job)
            if last_end is not None and self._runs.had_to_stay(job, sight):
                self._aside.add(ended, job, last_end)
                continue
            later.append(ended)
            if self._runs.could_stay(job, sight):
                continue
            streams = {job_stream(one.uuid) for one in self._trees.tree(job)}
            if ended.position <= discard.planned_at and not self._was_parked(streams, discard):
                reason = f"the tree of job {ended.root} was due since {ended.at}, and was kept"
        for ended in later:
            heappush(self._ended, ended)
        return reason or self._wrongly_kept_stream(discard)

    def _wrongly_kept_stream(self, discard: JobsDiscarded) -> str | None:
        for stream, (at, position) in self._departed.items():
            due = at < discard.cutoff and position <= discard.planned_at
            named = self._named_by.get(stream.partition("-")[2])
            if due and not named and not self._was_parked({stream}, discard):
                return f"{stream} was deleted at {at}, was due, and was kept"
        return None

    def _was_parked(self, streams: Iterable[str], discard: JobsDiscarded) -> bool:
        """Return whether one of these was parked when it was planned, or found unreadable since."""
        return any(self._parked.get(stream, 0) > discard.planned_at for stream in streams)

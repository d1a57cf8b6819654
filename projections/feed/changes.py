"""From commits to what changed for which account; several changes of one thing are one. Pure."""

from collections.abc import Container, Iterator
from typing import NamedTuple, assert_never

from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.events import Event
from ledger.domain.events.jobs import ChildAttached, ChildEnded, JobAttemptStarted, ProgressUpdated
from ledger.domain.events.producers import JobCancelRequested, ProgressReported
from ledger.store.seam import Commit
from projections.shown.changes import (
    JobChanged,
    JobsGone,
    RelationsChanged,
    ThingChanged,
    changes_of,
)

_PROGRESS = (JobAttemptStarted, ProgressUpdated, ProgressReported)
_FROM_BELOW = (ChildAttached, ChildEnded)
_STOPPING = (JobCancelRequested, JobAttemptStarted, *ENDINGS)


def stopping(commit: Commit) -> Iterator[str]:
    """Yield the jobs after whose events a process may have to stop: its own, or one below.

    And the instances of processes that have begun an attempt.
    """
    for stream, recorded in commit.events:
        event = recorded.event
        if isinstance(event, _STOPPING):
            yield stream.partition("-")[2]
        if isinstance(event, JobAttemptStarted) and event.holder is not None:
            yield event.holder.instance


class JobChange(NamedTuple):
    """A change of a job.

    `leaf`: the job has no sub-jobs and gets none. `own`: the job changed, not only jobs below it.
    `progress_only`: its ancestors need not be sent at once.
    """

    owner: str
    parent: str | None
    leaf: bool = False
    own: bool = True
    progress_only: bool = False


class Changes:
    """What has changed, for some accounts, since it was last taken."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobChange] = {}
        self.others: dict[tuple[str, str], str] = {}
        """The owners of changed things other than jobs, by the kind of their stream and uuid."""
        self.related: dict[str, None] = {}
        """Drives and servers that are shown differently now because others changed."""
        self.gone: dict[str, None] = {}
        """Drives, servers and keypairs that are deleted, though others still name them."""

    def __bool__(self) -> bool:
        return bool(self.jobs or self.others)

    def add(self, commit: Commit, accounts: Container[str]) -> None:
        """Add what a commit changed for these accounts; only their own jobs name their things."""
        is_concerned = any(state.owner in accounts for state in commit.states.values())
        for change in changes_of(commit):
            match change:
                case JobChanged(job, event):
                    if job.owner in accounts:
                        self._add_job(job, event)
                case JobsGone(owner, jobs):
                    if owner in accounts:
                        self.jobs.update(dict.fromkeys(jobs, JobChange(owner, None)))
                case ThingChanged(kind, uuid, owner, gone):
                    if owner in accounts:
                        self._add_thing(kind, uuid, owner, gone=gone)
                case RelationsChanged(uuid):
                    if is_concerned:
                        self.related[uuid] = None
                case _:
                    assert_never(change)

    def _add_thing(self, kind: str, uuid: str, owner: str, *, gone: bool) -> None:
        self.others[kind, uuid] = owner
        if gone:
            self.gone[uuid] = None

    def _add_job(self, job: Job, event: Event) -> None:
        before = self.jobs.get(job.uuid)
        own = not isinstance(event, _FROM_BELOW)
        progress_only = isinstance(event, _PROGRESS)
        self.jobs[job.uuid] = JobChange(
            owner=job.owner,
            parent=job.parent,
            leaf=job.attempt > 0 and job.produced is None,
            own=own or (before is not None and before.own),
            progress_only=progress_only and (before is None or before.progress_only),
        )

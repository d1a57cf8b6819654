"""From commits to what changed for which account; several changes of one thing are one. Pure."""

from collections.abc import Container, Iterator
from typing import NamedTuple

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.token import Token
from ledger.domain.events import Event
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.domain.events.jobs import ChildAttached, ChildEnded, JobAttemptStarted, ProgressUpdated
from ledger.domain.events.producers import JobCancelRequested, ProgressReported
from ledger.store.seam import Commit

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
        concerned = [
            (stream, state) for stream, state in commit.states.items() if state.owner in accounts
        ]
        for stream, state in concerned:
            kind, _, uuid = stream.partition("-")
            match state:
                case Job() | Token():
                    continue  # a job's events say what happened to it; nobody follows tokens
                case Drive() | Server() | Keypair() if state.deleted:
                    self.gone[uuid] = None
                case _:
                    pass
            self.others[kind, uuid] = state.owner
        self._add_discarded(commit, accounts)
        if concerned:
            self._add_jobs(commit, accounts)
            self.related.update(dict.fromkeys(sorted(commit.related)))

    def _add_discarded(self, commit: Commit, accounts: Container[str]) -> None:
        """Add jobs that are not shown any more: they are sent as gone."""
        for _, recorded in commit.events:
            if isinstance(recorded.event, JobsDiscarded):
                for tree in recorded.event.trees:
                    if tree.owner in accounts:
                        gone = JobChange(tree.owner, None)
                        self.jobs.update(dict.fromkeys(tree.jobs, gone))

    def _add_jobs(self, commit: Commit, accounts: Container[str]) -> None:
        for stream, recorded in commit.events:
            state = commit.states[stream]
            if isinstance(state, Job) and state.owner in accounts:
                self._add_job(state, recorded.event)

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

"""From commits to what has changed for whom: several changes of one thing are one. Pure."""

from collections.abc import Container
from datetime import datetime
from typing import NamedTuple

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.server import Server
from ledger.domain.events import (
    ChildAttached,
    ChildEnded,
    Event,
    JobAttemptStarted,
    JobsDiscarded,
    ProgressUpdated,
)
from ledger.store.seam import Commit

_PROGRESS = (JobAttemptStarted, ProgressUpdated)
_FROM_BELOW = (ChildAttached, ChildEnded)


class JobChange(NamedTuple):
    """What happened to a job.

    `leaf`: it has no sub-jobs and gets none. `own`: not only below it. `progress_only`: nothing
    that its ancestors must hear of at once.
    """

    owner: str
    parent: str | None
    leaf: bool = False
    own: bool = True
    progress_only: bool = False


class Changes:
    """What has changed since it was last looked at, for the accounts that are asked about."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobChange] = {}
        self.others: dict[tuple[str, str], str] = {}
        """The owners of changed things other than jobs, by the kind of their stream and uuid."""
        self.related: dict[str, None] = {}
        """Drives and servers of which others now say something else."""
        self.gone: dict[str, None] = {}
        """Drives and servers that are deleted."""

    def __bool__(self) -> bool:
        return bool(self.jobs or self.others)

    def add(self, commit: Commit, accounts: Container[str]) -> None:
        """What this commit changed of these accounts; nobody else's jobs speak of their things."""
        concerned = [
            (stream, state) for stream, state in commit.states.items() if state.owner in accounts
        ]
        for stream, state in concerned:
            kind, _, uuid = stream.partition("-")
            match state:
                case Job():
                    continue  # its events tell what happened to it
                case Drive(deleted=datetime()) | Server(deleted=datetime()):
                    self.gone[uuid] = None
                case _:
                    pass
            self.others[kind, uuid] = state.owner
        self._add_discarded(commit, accounts)
        if concerned:
            self._add_jobs(commit, accounts)
            self.related.update(dict.fromkeys(sorted(commit.related)))

    def _add_discarded(self, commit: Commit, accounts: Container[str]) -> None:
        """Jobs that are not shown any more: they are told of as gone."""
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
            leaf=job.attempt > 0,
            own=own or (before is not None and before.own),
            progress_only=progress_only and (before is None or before.progress_only),
        )

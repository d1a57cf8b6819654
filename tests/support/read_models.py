"""Read models alone, in memory, without any events; and whole lists of read models."""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job, JobState
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.events.jobs import Resource
from ledger.store.seam import Rows
from projections.rows import rows
from projections.views.filters import Conditions
from projections.views.generations import InlineProjection, drop_rows, live_generation, put_rows
from projections.views.read_models import DriveView, JobTree, ServerView, TagView
from projections.views.snapshot import Snapshot
from tests.support.world import ME, START, disk

State = Drive | Job | Server | Tag


class ReadModels:
    """The tables in SQLite, as a writer leaves them after each change."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self._cursor = self.connection.cursor()
        InlineProjection().create(self._cursor)
        self._generation = live_generation(self._cursor)
        self._shown: dict[str, Rows] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def snapshot(self) -> Snapshot:
        return Snapshot(self.connection)

    def show(self, state: State) -> None:
        self._show(state.uuid, rows(state))

    def show_all(self, states: Sequence[State]) -> None:
        """Show many new ones at once."""
        puts = {key: row for state in states for key, row in rows(state).items()}
        put_rows(self._cursor, self._generation, puts)

    def discard(self, uuid: str) -> None:
        """Show it no more."""
        self._show(uuid, {})

    def _show(self, uuid: str, shown: Rows) -> None:
        before = self._shown.get(uuid, {})
        drop_rows(self._cursor, self._generation, before.keys() - shown.keys())
        put_rows(self._cursor, self._generation, shown)
        self._shown[uuid] = shown


def job_of(
    uuid: str,
    created: int,
    *,
    changed: int | None = None,
    owner: str = ME,
    operation: str = "drive_clone",
    state: JobState = "started",
    resources: tuple[Resource, ...] = (),
) -> Job:
    """Return a job; its times are in seconds since the start."""
    return Job(
        uuid=uuid,
        operation=operation,
        owner=owner,
        resources=resources,
        root=uuid,
        parent=None,
        ordinal=0,
        created=START + timedelta(seconds=created),
        last_modified=START + timedelta(seconds=created if changed is None else changed),
        state=state,
    )


def drive_of(uuid: str, created: int, *, owner: str = ME, name: str = "elm") -> Drive:
    """Return a drive that is ready, created so many seconds after the start."""
    at = START + timedelta(seconds=created)
    return Drive(uuid, owner, disk(name), "fast", "blank", at, ready=True)


def tag_of(uuid: str, *drives: str, name: str = "fleet", created: int = 0) -> Tag:
    """Return a tag that these drives bear."""
    at = START + timedelta(seconds=created)
    return Tag(uuid, ME, name, {}, at, dict.fromkeys(drives, "drives"))


# Whole lists


def drives_of(
    snapshot: Snapshot, owner: str, conditions: Conditions = (), *, limit: int = -1, offset: int = 0
) -> list[DriveView]:
    found = snapshot.listed("drives", owner, conditions, limit=limit, offset=offset)
    return snapshot.drives_among(list(found), owner)


def servers_of(
    snapshot: Snapshot, owner: str, conditions: Conditions = (), *, limit: int = -1, offset: int = 0
) -> list[ServerView]:
    found = snapshot.listed("servers", owner, conditions, limit=limit, offset=offset)
    return snapshot.servers_among(list(found), owner)


def tags_of(snapshot: Snapshot, owner: str, conditions: Conditions = ()) -> list[TagView]:
    found = snapshot.listed("tags", owner, conditions, limit=-1)
    return snapshot.tags_among(list(found), owner)


def jobs_of(
    snapshot: Snapshot,
    owner: str,
    states: Sequence[str] | None = None,
    *,
    limit: int = -1,
    offset: int = 0,
) -> list[JobTree]:
    found = snapshot.listed_jobs(owner, states, limit=limit, offset=offset)
    return snapshot.jobs_among(list(found), owner)

"""Whole lists of the read models, as tests compare them."""

from collections.abc import Sequence

from projections.views.filters import Conditions
from projections.views.read_models import DriveView, JobTree, ServerView, TagView
from projections.views.snapshot import Snapshot


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

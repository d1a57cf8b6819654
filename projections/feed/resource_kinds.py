"""The kinds of resources that clients can follow: each kind of stream, and how it is read."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from projections.views.read_models import (
    DriveView,
    JobTree,
    KeypairView,
    ProfileView,
    ServerView,
    TagView,
)
from projections.views.snapshot import Snapshot
from projections.views.walks import Walked

ViewWithUuid = JobTree | DriveView | ServerView | TagView | KeypairView
View = ViewWithUuid | ProfileView
"""A resource as it is read; its representation is not decided here."""

Read = Callable[[Snapshot, Sequence[str], str], Mapping[str, View]]
"""Reads those of these resources that belong to this account, by uuid."""


class Kind(NamedTuple):
    """A kind of resources; those that have `sizes` may be long."""

    resource_type: str
    read: Read
    sizes: Walked | None = None


def _among(read: Callable[[Snapshot, Sequence[str], str], Sequence[ViewWithUuid]]) -> Read:
    def read_by_uuid(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
        return {view.uuid: view for view in read(snapshot, uuids, owner)}

    return read_by_uuid


def _profile(snapshot: Snapshot, _: Sequence[str], owner: str) -> Mapping[str, View]:
    profile = snapshot.profile(owner)
    return {} if profile is None else {owner: profile}


KINDS: Mapping[str, Kind] = {
    "job": Kind("jobs", _among(Snapshot.jobs_among), "jobs"),
    "drive": Kind("drives", _among(Snapshot.drives_among), "drives"),
    "server": Kind("servers", _among(Snapshot.servers_among), "servers"),
    "tag": Kind("tags", _among(Snapshot.tags_among), "tags"),
    "keypair": Kind("keypairs", _among(Snapshot.keypairs_among), "keypairs"),
    "profile": Kind("profile", _profile),
}
"""By the first word of a stream's name."""

LEAF = KINDS["job"]._replace(read=_among(Snapshot.leaves_among), sizes=None)
"""A job that has no sub-jobs and gets none: its tree need not be read."""

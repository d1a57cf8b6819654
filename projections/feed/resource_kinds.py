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

ViewWithUuid = JobTree | DriveView | ServerView | TagView | KeypairView
View = ViewWithUuid | ProfileView
"""A resource as it is read; its representation is not decided here."""

Read = Callable[[Snapshot, Sequence[str], str], Mapping[str, View]]
"""Reads those of these resources that belong to this account, by uuid."""


class Kind(NamedTuple):
    resource_type: str
    read: Read


def _among(read: Callable[[Snapshot, Sequence[str], str], Sequence[ViewWithUuid]]) -> Read:
    def read_by_uuid(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
        return {view.uuid: view for view in read(snapshot, uuids, owner)}

    return read_by_uuid


def _profile(snapshot: Snapshot, _: Sequence[str], owner: str) -> Mapping[str, View]:
    profile = snapshot.profile(owner)
    return {} if profile is None else {owner: profile}


KINDS: Mapping[str, Kind] = {
    "job": Kind("jobs", _among(Snapshot.jobs_among)),
    "drive": Kind("drives", _among(Snapshot.drives_among)),
    "server": Kind("servers", _among(Snapshot.servers_among)),
    "tag": Kind("tags", _among(Snapshot.tags_among)),
    "keypair": Kind("keypairs", _among(Snapshot.keypairs_among)),
    "profile": Kind("profile", _profile),
}
"""By the first word of a stream's name."""

LEAF = KINDS["job"]._replace(read=_among(Snapshot.leaves_among))
"""A job that has no sub-jobs and gets none: its tree need not be read."""

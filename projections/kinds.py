"""What can be followed: each kind of stream, the resource it shows, and how that is read."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from projections.views.records import DriveView, JobTree, ProfileView, ServerView, TagView
from projections.views.snapshot import Snapshot

View = JobTree | DriveView | ServerView | TagView | ProfileView
"""A resource as it is read; what it looks like to a client is not decided here."""

Read = Callable[[Snapshot, Sequence[str], str], Mapping[str, View]]
"""Those of these resources that are this account's, by uuid."""


class Kind(NamedTuple):
    """`uri` has a place for the uuid, if there is more than one resource of the kind."""

    resource_type: str
    uri: str
    read: Read

    def uri_of(self, uuid: str) -> str:
        return self.uri.format(uuid)


def _jobs(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
    return {tree.job.uuid: tree for tree in snapshot.jobs_among(uuids, owner)}


def _leaves(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
    return {tree.job.uuid: tree for tree in snapshot.leaves_among(uuids, owner)}


def _drives(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
    return {drive.uuid: drive for drive in snapshot.drives_among(uuids, owner)}


def _servers(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
    return {server.uuid: server for server in snapshot.servers_among(uuids, owner)}


def _tags(snapshot: Snapshot, uuids: Sequence[str], owner: str) -> Mapping[str, View]:
    return {tag.uuid: tag for tag in snapshot.tags_among(uuids, owner)}


def _profile(snapshot: Snapshot, _: Sequence[str], owner: str) -> Mapping[str, View]:
    profile = snapshot.profile(owner)
    return {} if profile is None else {owner: profile}


KINDS: Mapping[str, Kind] = {
    "job": Kind("jobs", "/api/2.0/jobs/{}/", _jobs),
    "drive": Kind("drives", "/api/2.0/drives/{}/", _drives),
    "server": Kind("servers", "/api/2.0/servers/{}/", _servers),
    "tag": Kind("tags", "/api/2.0/tags/{}/", _tags),
    "profile": Kind("profile", "/api/2.0/profile/", _profile),
}
"""By the first word of a stream's name."""

LEAF = KINDS["job"]._replace(read=_leaves)
"""A job that has no sub-jobs and gets none: its family need not be read."""

"""What reads return: jobs, drives, servers, tags, keypairs, addresses, profiles and log entries."""

from collections.abc import Iterable
from typing import NamedTuple

from ledger.domain.events.drives import DriveDefinition
from ledger.domain.events.jobs import Role
from ledger.domain.events.profiles import CloneNaming
from ledger.domain.events.servers import Address, Mount, Nic, ServerDefinition
from ledger.domain.events.values import ResourceKind
from projections.audit_log import Line
from projections.tables import JobRow


class JobTree(NamedTuple):
    """A job, the existing resources that it names, and its sub-jobs in order.

    `resources` are sorted texts: `drives/UUID` and `servers/UUID`.
    """

    job: JobRow
    resources: list[str]
    children: "list[JobTree]"

    @property
    def uuid(self) -> str:
        return self.job.uuid


def joined(jobs: Iterable[JobTree]) -> dict[str, JobTree]:
    """Put the jobs of whole trees, in order, below their parents; return all of them."""
    trees = {tree.job.uuid: tree for tree in jobs}
    for tree in trees.values():
        if tree.job.parent is not None:
            trees[tree.job.parent].children.append(tree)
    return trees


class Naming(NamedTuple):
    """A job names a resource, such as `drives/UUID`, which may exist or not."""

    job: str
    resource: str
    exists: bool


class Family(NamedTuple):
    """A whole tree of jobs in order, and what they name."""

    jobs: list[JobRow]
    named: list[Naming]

    def trees(self) -> dict[str, JobTree]:
        """Return every job with all below it."""
        named: dict[str, list[str]] = {job.uuid: [] for job in self.jobs}
        for job, resource, exists in self.named:
            if exists:
                named[job].append(resource)
        return joined(JobTree(job, sorted(named[job.uuid]), []) for job in self.jobs)


class JobReference(NamedTuple):
    """A job that names a drive or server."""

    job: str
    role: Role
    running: bool
    operation: str


class OwnedResource(NamedTuple):
    """A job, drive or server and its owner; `kind` is the first word of its stream's name."""

    kind: str
    uuid: str
    owner: str


class DriveView(NamedTuple):
    """A drive with the jobs, servers and tags that name it, jobs oldest first.

    A library drive is shown without them: what other accounts do with it stays private.
    """

    uuid: str
    owner: str
    pool: str
    origin: str
    ready: bool
    failed: bool
    resizing: bool
    definition: DriveDefinition
    mounted_on: list[str]
    jobs: list[JobReference]
    tags: list[str]


class ServerView(NamedTuple):
    """A server with its jobs, oldest first; `vnc_password` comes from a private table.

    Its `definition` names no keypairs that are deleted.
    """

    uuid: str
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...]
    nics: tuple[Nic, ...]
    addresses: tuple[Address, ...]
    host: str | None
    active_since: str | None
    jobs: list[JobReference]
    tags: list[str]
    vnc_password: str


class TaggedView(NamedTuple):
    """A drive or server that bears a tag."""

    uuid: str
    kind: ResourceKind


class TagView(NamedTuple):
    """A tag and the resources that bear it, sorted by uuid."""

    uuid: str
    owner: str
    name: str
    meta: dict[str, str]
    resources: list[TaggedView]


class KeypairView(NamedTuple):
    """A keypair: its public key, as there is no private one."""

    uuid: str
    owner: str
    name: str
    public_key: str
    meta: dict[str, str]


class IpView(NamedTuple):
    """An address that a running server uses; `network` is what it was drawn from, if it was."""

    uuid: str
    owner: str
    server: str
    network: str | None


class ProfileView(NamedTuple):
    """An account's profile; `personal` holds the fields that it has set, from a private table."""

    account: str
    email: str
    created: str
    clone_naming: CloneNaming
    personal: dict[str, str]


class LogEntry(NamedTuple):
    """A line of an account's audit log, with when and by whom it was caused."""

    recorded_at: str
    actor: str
    line: Line

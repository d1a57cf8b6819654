"""The state of the model, made of plain dicts, and queries on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.domain.errors import Refusal
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.jobs import JobHasChildren, JobNotFound, JobOver, StaleAttempt
from ledger.domain.errors.servers import ServerNotFound
from ledger.domain.errors.tags import TagNotFound


@dataclass
class ModelDrive:
    owner: str
    media: str
    clone: bool
    ready: bool = False
    gib: int = 1
    wanted_gib: int | None = None


@dataclass
class ModelServer:
    owner: str
    mounts: list[str]
    running: bool = False


@dataclass
class ModelTag:
    owner: str
    bearers: list[str]


@dataclass
class ModelJob:
    owner: str
    names: list[str]
    made: str | None
    parent: str | None
    state: str = "started"
    progress: int = 0
    attempt: int = 0
    lost: bool = False
    children: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class Refuse(Exception):
    """The command is refused."""

    def __init__(self, refusal: type[Refusal]) -> None:
        assert not refusal.__subclasses__(), f"{refusal.__name__} is a family: name the refusal"
        self.refusal = refusal


class State:
    """Drives, servers and tags that exist, and every job that ever was."""

    def __init__(self) -> None:
        self.drives: dict[str, ModelDrive] = {}
        self.servers: dict[str, ModelServer] = {}
        self.tags: dict[str, ModelTag] = {}
        self.jobs: dict[str, ModelJob] = {}

    def busy(self, uuid: str) -> bool:
        return any(uuid in job.names for job in self.jobs.values() if job.state == "started")

    def mounted_on(self, drive: str) -> list[str]:
        return [uuid for uuid, server in self.servers.items() if drive in server.mounts]

    def tags_of(self, uuid: str) -> list[str]:
        return sorted(tag for tag, known in self.tags.items() if uuid in known.bearers)

    def _is_in_use(self, drive: str) -> bool:
        return any(self.servers[server].running for server in self.mounted_on(drive))

    def _is_at_rest(self, drive: str) -> bool:
        return self.drives[drive].ready and self.drives[drive].wanted_gib is None

    def _own_drive(self, owner: str, uuid: str) -> ModelDrive:
        if uuid not in self.drives or self.drives[uuid].owner != owner:
            raise Refuse(DriveNotFound)
        return self.drives[uuid]

    def _own_server(self, owner: str, uuid: str) -> ModelServer:
        if uuid not in self.servers or self.servers[uuid].owner != owner:
            raise Refuse(ServerNotFound)
        return self.servers[uuid]

    def _own_tag(self, owner: str, uuid: str) -> ModelTag:
        if uuid not in self.tags or self.tags[uuid].owner != owner:
            raise Refuse(TagNotFound)
        return self.tags[uuid]

    def _running_leaf(self, uuid: str) -> ModelJob:
        if uuid not in self.jobs:
            raise Refuse(JobNotFound)
        if self.jobs[uuid].state != "started":
            raise Refuse(JobOver)
        if self.jobs[uuid].children:
            raise Refuse(JobHasChildren)
        return self.jobs[uuid]

    def _reporting(self, uuid: str, attempt: int) -> ModelJob:
        job = self._running_leaf(uuid)
        if not attempt or attempt != job.attempt:
            raise Refuse(StaleAttempt)
        return job

    def _leaves_below(self, uuid: str) -> list[str]:
        children = self.jobs[uuid].children
        return [leaf for child in children for leaf in self._leaves_below(child)] or [uuid]

    def _made_below(self, uuid: str) -> Iterator[str]:
        job = self.jobs[uuid]
        if job.made is not None:
            yield job.made
        for child in job.children:
            yield from self._made_below(child)

    def _remove(self, made: str) -> None:
        if made in self.drives:
            self._remove_drive(made)
        elif self.servers.pop(made, None) is not None:
            self._untag(made)

    def _remove_drive(self, uuid: str) -> None:
        for server in self.servers.values():
            server.mounts = [drive for drive in server.mounts if drive != uuid]
        self._untag(uuid)
        del self.drives[uuid]

    def _untag(self, uuid: str) -> None:
        for tag in self.tags.values():
            tag.bearers = [bearer for bearer in tag.bearers if bearer != uuid]

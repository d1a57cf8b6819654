"""What the ledger should say, told again with plain dicts and none of its code.

Every command is a method. It returns the class of the refusal that must come, and then nothing has
changed; or None, and the model is as the ledger must be.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec

from ledger import errors

P = ParamSpec("P")
Refused = type[errors.Refusal] | None


@dataclass
class ModelDrive:
    owner: str
    media: str
    clone: bool
    ready: bool = False


@dataclass
class ModelServer:
    owner: str
    mounts: list[str]


@dataclass
class ModelJob:
    owner: str
    names: list[str]
    made: str | None
    parent: str | None
    state: str = "started"
    progress: int = 0
    attempt: int = 0
    children: list[str] = field(default_factory=list)


class Refuse(Exception):
    """Ends a command half way."""

    def __init__(self, refusal: type[errors.Refusal]) -> None:
        self.refusal = refusal


def _all_or_nothing(
    command: Callable[Concatenate["Model", P], None],
) -> Callable[Concatenate["Model", P], Refused]:
    @wraps(command)
    def tried(self: "Model", *args: P.args, **kwargs: P.kwargs) -> Refused:
        before = deepcopy(self.__dict__)
        try:
            command(self, *args, **kwargs)
        except Refuse as refused:
            self.__dict__.update(before)
            return refused.refusal
        return None

    return tried


class Model:
    """Drives and servers that exist, and every job that ever was."""

    def __init__(self) -> None:
        self.drives: dict[str, ModelDrive] = {}
        self.servers: dict[str, ModelServer] = {}
        self.jobs: dict[str, ModelJob] = {}

    def busy(self, uuid: str) -> bool:
        return any(uuid in job.names for job in self.jobs.values() if job.state == "started")

    def mounted_on(self, drive: str) -> list[str]:
        return [uuid for uuid, server in self.servers.items() if drive in server.mounts]

    # Drives

    @_all_or_nothing
    def create_drive(self, owner: str, uuid: str, media: str) -> None:
        self.drives[uuid] = ModelDrive(owner, media, clone=False)

    @_all_or_nothing
    def mark_ready(self, uuid: str) -> None:
        if uuid not in self.drives:
            raise Refuse(errors.DriveNotFound)
        if self.drives[uuid].ready or self.drives[uuid].clone:
            raise Refuse(errors.DriveBusy)
        self.drives[uuid].ready = True

    @_all_or_nothing
    def delete_drives(self, owner: str, uuids: list[str]) -> None:
        for uuid in dict.fromkeys(uuids):
            self._delete_drive(owner, uuid)

    def _delete_drive(self, owner: str, uuid: str) -> None:
        self._own_drive(owner, uuid)
        if self.busy(uuid):
            raise Refuse(errors.DriveBusy)
        self._remove_drive(uuid)

    def _remove_drive(self, uuid: str) -> None:
        for server in self.servers.values():
            server.mounts = [drive for drive in server.mounts if drive != uuid]
        del self.drives[uuid]

    def _own_drive(self, owner: str, uuid: str) -> ModelDrive:
        if uuid not in self.drives or self.drives[uuid].owner != owner:
            raise Refuse(errors.DriveNotFound)
        return self.drives[uuid]

    @_all_or_nothing
    def clone_drive(self, owner: str, source: str, destination: str, job: str) -> None:
        self._own_drive(owner, source)
        self._copy(source, destination, job, None)

    def _copy(self, source: str, destination: str, job: str, parent: str | None) -> None:
        owner, media = self.drives[source].owner, self.drives[source].media
        if not self.drives[source].ready:
            raise Refuse(errors.DriveBusy)
        self.drives[destination] = ModelDrive(owner, media, clone=True)
        self.jobs[job] = ModelJob(owner, [source, destination], destination, parent)
        if parent is not None:
            self.jobs[parent].children.append(job)

    # Servers

    @_all_or_nothing
    def create_server(self, owner: str, uuid: str, drives: list[str]) -> None:
        for nth, drive in enumerate(drives):
            shared = self._own_drive(owner, drive).media == "cdrom"
            if not shared and (drive in drives[:nth] or self.mounted_on(drive)):
                raise Refuse(errors.DriveAlreadyMounted)
        self.servers[uuid] = ModelServer(owner, list(drives))

    @_all_or_nothing
    def delete_server(self, owner: str, uuid: str, recurse: str) -> None:
        if uuid not in self.servers or self.servers[uuid].owner != owner:
            raise Refuse(errors.ServerNotFound)
        if self.busy(uuid):
            raise Refuse(errors.ServerBusy)
        wanted = {"none": "", "disks": "disk", "cdroms": "cdrom", "all_drives": "disk cdrom"}
        for drive in self.servers.pop(uuid).mounts:
            if drive in self.drives and self.drives[drive].media in wanted[recurse].split():
                self._delete_drive(owner, drive)

    @_all_or_nothing
    def clone_server(
        self, owner: str, source: str, destination: str, job: str, copies: list[tuple[str, str]]
    ) -> None:
        """`copies` are the new drives and jobs that were made for its disks, in order."""
        if source not in self.servers or self.servers[source].owner != owner:
            raise Refuse(errors.ServerNotFound)
        self.jobs[job] = ModelJob(owner, [source, destination], destination, None)
        ids, mounts = iter(copies), []
        for drive in self.servers[source].mounts:
            if self.drives[drive].media == "cdrom":
                mounts.append(drive)
                continue
            new_drive, new_job = next(ids, ("?", "?"))
            self._copy(drive, new_drive, new_job, job)
            mounts.append(new_drive)
        self.servers[destination] = ModelServer(owner, mounts)
        if not self.jobs[job].children:
            self._settle(job)

    # Jobs

    @_all_or_nothing
    def create_job(self, owner: str, uuid: str, parent: str | None) -> None:
        if parent is not None:
            above = self.jobs.get(parent)
            if above is None or above.owner != owner:
                raise Refuse(errors.JobNotFound)
            if above.state != "started":
                raise Refuse(errors.JobOver)
            if above.attempt:
                raise Refuse(errors.WrongState)
            above.children.append(uuid)
        self.jobs[uuid] = ModelJob(owner, [], None, parent)

    @_all_or_nothing
    def start(self, uuid: str, attempt: int) -> None:
        job = self._running_leaf(uuid)
        if attempt != job.attempt + 1:
            raise Refuse(errors.StaleAttempt)
        job.attempt = attempt

    @_all_or_nothing
    def progress(self, uuid: str, attempt: int, progress: int) -> None:
        job = self._reporting(uuid, attempt)
        if not job.progress <= progress <= 100:
            raise Refuse(errors.ProgressWentBack)
        job.progress = progress

    @_all_or_nothing
    def succeed(self, uuid: str, attempt: int) -> None:
        self._reporting(uuid, attempt)
        self._settle(uuid)

    @_all_or_nothing
    def fail(self, uuid: str, attempt: int) -> None:
        self._reporting(uuid, attempt).state = "failed"
        self._ended(uuid)

    def _running_leaf(self, uuid: str) -> ModelJob:
        if uuid not in self.jobs:
            raise Refuse(errors.JobNotFound)
        if self.jobs[uuid].state != "started":
            raise Refuse(errors.JobOver)
        if self.jobs[uuid].children:
            raise Refuse(errors.JobHasChildren)
        return self.jobs[uuid]

    def _reporting(self, uuid: str, attempt: int) -> ModelJob:
        job = self._running_leaf(uuid)
        if not attempt or attempt != job.attempt:
            raise Refuse(errors.StaleAttempt)
        return job

    def _settle(self, uuid: str) -> None:
        """All below has ended; so the job does."""
        job = self.jobs[uuid]
        below = [self.jobs[child].state for child in job.children]
        job.state = "failed" if "failed" in below else "success"
        if job.state == "success":
            job.progress = 100
        self._ended(uuid)

    def _ended(self, uuid: str) -> None:
        job = self.jobs[uuid]
        if job.state == "failed":
            for made in self._made_below(uuid):
                if self.servers.pop(made, None) is None and made in self.drives:
                    self._remove_drive(made)
        elif job.made in self.drives:
            self.drives[job.made].ready = True
        above = self.jobs.get(job.parent or "")
        if above and all(self.jobs[child].state != "started" for child in above.children):
            self._settle(job.parent or "")

    def _made_below(self, uuid: str) -> Iterator[str]:
        job = self.jobs[uuid]
        if job.made is not None:
            yield job.made
        for child in job.children:
            yield from self._made_below(child)

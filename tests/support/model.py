"""A model of what the ledger should answer, made of plain dicts and none of its code.

Every command is a method. It returns the class of the refusal that must come, and then nothing has
changed; or None, and the model is as the ledger must be.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Concatenate, ParamSpec

from ledger.domain.errors import Refusal
from ledger.domain.errors.drives import DriveAlreadyMounted, DriveBusy, DriveNotFound, SizeTooSmall
from ledger.domain.errors.jobs import (
    JobHasWorker,
    JobNotFound,
    JobOver,
    ProgressWentBack,
    StaleAttempt,
)
from ledger.domain.errors.servers import ServerBusy, ServerRunning, ServerStopped
from ledger.domain.errors.tags import ResourceNotFound, UnknownTag
from tests.support.model_state import ModelDrive, ModelJob, ModelServer, ModelTag, Refuse, State

P = ParamSpec("P")
Refused = type[Refusal] | None


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


class Model(State):
    """A ledger that takes commands."""

    # Drives

    @_all_or_nothing
    def create_drive(self, owner: str, uuid: str, media: str) -> None:
        self.drives[uuid] = ModelDrive(owner, media, clone=False)

    @_all_or_nothing
    def mark_ready(self, uuid: str) -> None:
        if uuid not in self.drives:
            raise Refuse(DriveNotFound)
        if self.drives[uuid].ready or self.drives[uuid].clone:
            raise Refuse(DriveBusy)
        self.drives[uuid].ready = True

    @_all_or_nothing
    def delete_drives(self, owner: str, uuids: list[str]) -> None:
        for uuid in dict.fromkeys(uuids):
            self._delete_drive(owner, uuid)

    def _delete_drive(self, owner: str, uuid: str) -> None:
        self._own_drive(owner, uuid)
        if self.busy(uuid):
            raise Refuse(DriveBusy)
        if self._is_in_use(uuid):
            raise Refuse(ServerRunning)
        self._remove_drive(uuid)

    @_all_or_nothing
    def resize(self, owner: str, uuid: str, gib: int) -> None:
        drive = self._own_drive(owner, uuid)
        if self._is_in_use(uuid):
            raise Refuse(ServerRunning)
        if gib == drive.gib:
            return
        if gib < drive.gib:
            raise Refuse(SizeTooSmall)
        if not self._is_at_rest(uuid) or self.busy(uuid):
            raise Refuse(DriveBusy)
        drive.wanted_gib = gib

    @_all_or_nothing
    def end_resize(self, uuid: str, *, well: bool) -> None:
        if uuid not in self.drives:
            raise Refuse(DriveNotFound)
        drive = self.drives[uuid]
        if drive.wanted_gib is None:
            raise Refuse(DriveBusy)
        if well:
            drive.gib = drive.wanted_gib
        drive.wanted_gib = None

    @_all_or_nothing
    def clone_drive(self, owner: str, source: str, destination: str, job: str) -> None:
        self._own_drive(owner, source)
        self._copy(source, destination, job, None)

    def _copy(self, source: str, destination: str, job: str, parent: str | None) -> None:
        owner, media = self.drives[source].owner, self.drives[source].media
        if not self._is_at_rest(source):
            raise Refuse(DriveBusy)
        gib = self.drives[source].gib
        self.drives[destination] = ModelDrive(owner, media, clone=True, gib=gib)
        self.jobs[job] = ModelJob(owner, [source, destination], destination, parent)
        if parent is not None:
            self.jobs[parent].children.append(job)

    # Servers

    @_all_or_nothing
    def create_server(self, owner: str, uuid: str, drives: list[str]) -> None:
        self._check_mounts(owner, drives, had=[])
        self.servers[uuid] = ModelServer(owner, list(drives))

    def _check_mounts(self, owner: str, drives: list[str], had: list[str]) -> None:
        for nth, drive in enumerate(drives):
            twice = drive in drives[:nth]
            if drive in had and not twice:
                continue
            shared = self._own_drive(owner, drive).media == "cdrom"
            if not shared and (twice or self.mounted_on(drive)):
                raise Refuse(DriveAlreadyMounted)

    @_all_or_nothing
    def set_mounts(self, owner: str, uuid: str, drives: list[str]) -> None:
        server = self._own_server(owner, uuid)
        if not server.running:
            self._check_mounts(owner, drives, had=server.mounts)
            server.mounts = list(drives)

    @_all_or_nothing
    def switch(self, owner: str, uuid: str, action: str) -> None:
        server = self._own_server(owner, uuid)
        if action == "start":
            if server.running:
                raise Refuse(ServerRunning)
            if not all(self._is_at_rest(drive) for drive in server.mounts):
                raise Refuse(DriveBusy)
        elif not server.running:
            raise Refuse(ServerStopped)
        server.running = action in ("start", "restart")

    @_all_or_nothing
    def delete_server(self, owner: str, uuid: str, recurse: str) -> None:
        running = self._own_server(owner, uuid).running
        if self.busy(uuid):
            raise Refuse(ServerBusy)
        if running:
            raise Refuse(ServerRunning)
        self._untag(uuid)
        wanted = {"none": "", "disks": "disk", "cdroms": "cdrom", "all_drives": "disk cdrom"}
        for drive in self.servers.pop(uuid).mounts:
            if drive in self.drives and self.drives[drive].media in wanted[recurse].split():
                self._delete_drive(owner, drive)

    @_all_or_nothing
    def clone_server(
        self, owner: str, source: str, destination: str, job: str, copies: list[tuple[str, str]]
    ) -> None:
        """Clone a server; `copies` are the new drives and jobs for its disks, in order."""
        mounted = self._own_server(owner, source).mounts
        self.jobs[job] = ModelJob(owner, [source, destination], destination, None)
        ids, mounts = iter(copies), []
        for drive in mounted:
            if self.drives[drive].media == "cdrom":
                mounts.append(drive)
                continue
            new_drive, new_job = next(ids, ("?", "?"))
            self._copy(drive, new_drive, new_job, job)
            mounts.append(new_drive)
        self.servers[destination] = ModelServer(owner, mounts)
        for tag in self.tags_of(source):
            self.tags[tag].bearers.append(destination)
        if not self.jobs[job].children:
            self._settle(job)

    # Tags

    @_all_or_nothing
    def create_tag(self, owner: str, uuid: str, bearers: list[str]) -> None:
        for bearer in bearers:
            known = self.drives.get(bearer) or self.servers.get(bearer)
            if known is None or known.owner != owner:
                raise Refuse(ResourceNotFound)
        self.tags[uuid] = ModelTag(owner, list(dict.fromkeys(bearers)))

    @_all_or_nothing
    def delete_tag(self, owner: str, uuid: str) -> None:
        self._own_tag(owner, uuid)
        del self.tags[uuid]

    @_all_or_nothing
    def tag_drive(self, owner: str, uuid: str, tags: list[str]) -> None:
        self._own_drive(owner, uuid)
        self._set_tags(owner, uuid, tags)

    @_all_or_nothing
    def tag_server(self, owner: str, uuid: str, tags: list[str]) -> None:
        self._own_server(owner, uuid)
        self._set_tags(owner, uuid, tags)

    def _set_tags(self, owner: str, uuid: str, tags: list[str]) -> None:
        self._untag(uuid)
        for tag in dict.fromkeys(tags):
            if tag not in self.tags or self.tags[tag].owner != owner:
                raise Refuse(UnknownTag)
            self.tags[tag].bearers.append(uuid)

    # Jobs

    @_all_or_nothing
    def create_job(self, owner: str, uuid: str, parent: str | None) -> None:
        if parent is not None:
            above = self.jobs.get(parent)
            if above is None or above.owner != owner:
                raise Refuse(JobNotFound)
            if above.state != "started":
                raise Refuse(JobOver)
            if above.attempt:
                raise Refuse(JobHasWorker)
            above.children.append(uuid)
        self.jobs[uuid] = ModelJob(owner, [], None, parent)

    @_all_or_nothing
    def start(self, uuid: str, attempt: int) -> None:
        job = self._running_leaf(uuid)
        if attempt != job.attempt + 1:
            raise Refuse(StaleAttempt)
        job.attempt = attempt
        job.lost = False

    @_all_or_nothing
    def lose(self, uuid: str, attempt: int) -> None:
        self._reporting(uuid, attempt).lost = True

    @_all_or_nothing
    def progress(self, uuid: str, attempt: int, progress: int) -> None:
        job = self._reporting(uuid, attempt)
        if not job.progress <= progress <= 100:
            raise Refuse(ProgressWentBack)
        job.progress = progress
        job.lost = False

    @_all_or_nothing
    def succeed(self, uuid: str, attempt: int) -> None:
        self._reporting(uuid, attempt)
        self._settle(uuid)

    @_all_or_nothing
    def fail(self, uuid: str, attempt: int) -> None:
        self._reporting(uuid, attempt).state = "failed"
        self._ended(uuid)

    @_all_or_nothing
    def cancel(self, owner: str, uuid: str) -> None:
        if uuid not in self.jobs or self.jobs[uuid].owner != owner:
            raise Refuse(JobNotFound)
        if self.jobs[uuid].state != "started":
            raise Refuse(JobOver)
        for leaf in self._leaves_below(uuid):
            if self.jobs[leaf].state == "started":
                self.jobs[leaf].state = "cancelled"
                self._ended(leaf)

    @_all_or_nothing
    def label(self, owner: str, uuid: str, key: str, value: str | None) -> None:
        """Set the label or, without a value, remove it."""
        if uuid not in self.jobs or self.jobs[uuid].owner != owner:
            raise Refuse(JobNotFound)
        if value is None:
            self.jobs[uuid].labels.pop(key, None)
        else:
            self.jobs[uuid].labels[key] = value

    def _settle(self, uuid: str) -> None:
        """End the job, as all jobs below it have ended."""
        job = self.jobs[uuid]
        below = [self.jobs[child].state for child in job.children]
        ends = [end for end in ("failed", "cancelled") if end in below]
        job.state = ends[0] if ends else "success"
        if job.state == "success":
            job.progress = 100
        self._ended(uuid)

    def _stays(self, uuid: str) -> bool:
        """Return whether it survives a failed job: a running server, or a mounted ready drive."""
        if uuid in self.servers:
            return self.servers[uuid].running
        return uuid in self.drives and self.drives[uuid].ready and bool(self.mounted_on(uuid))

    def _ended(self, uuid: str) -> None:
        job = self.jobs[uuid]
        if job.state != "success":
            for made in self._made_below(uuid):
                if not self._stays(made):
                    self._remove(made)
        elif job.made in self.drives:
            self.drives[job.made].ready = True
        above = self.jobs.get(job.parent or "")
        if above and all(self.jobs[child].state != "started" for child in above.children):
            self._settle(job.parent or "")

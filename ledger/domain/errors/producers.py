"""What cannot be done to a producer's job, or reported about it."""

from ledger.domain.errors import AlreadyExists, Invalid, NotFound, WrongState


class AlreadyRegistered(WrongState):
    """Another process has registered the same job, and makes its current attempt."""

    def __init__(self, uuid: str, attempt: int) -> None:
        super().__init__(f"job {uuid} is registered already, at attempt {attempt}")
        self.uuid, self.attempt = uuid, attempt


class RecordedBefore(WrongState):
    """The same is recorded already, and was to be recorded only once."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"the same is recorded of job {uuid} already")
        self.uuid = uuid


class UuidTaken(AlreadyExists):
    """Something else has the uuid that the client chose."""

    def __init__(self, uuid: str) -> None:
        super().__init__("job", uuid)


class Reserved(Invalid):
    """Only this service does jobs of this operation."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} is an operation of this service", point="operation")


class ParentUnknown(NotFound):
    """The account has no such job that can have jobs of producers below it."""

    def __init__(self, parent: str) -> None:
        super().__init__(f"no job with uuid {parent} takes sub-jobs")
        self.parent = parent


class ParentOver(WrongState):
    """The parent has ended."""

    def __init__(self, parent: str, state: str) -> None:
        super().__init__(f"job {parent} has ended: {state}; it takes no more sub-jobs")
        self.parent = parent


class GroupSealed(WrongState):
    """The group has all the sub-jobs that it will ever have."""

    def __init__(self, group: str) -> None:
        super().__init__(f"job {group} is sealed: it takes no more sub-jobs")
        self.group = group


class TooManyChildren(Invalid):
    """The parent has as many sub-jobs as a job may have."""

    def __init__(self, parent: str, limit: int) -> None:
        super().__init__(f"job {parent} has {limit} sub-jobs; a job has no more")
        self.limit = limit


class AttemptTaken(WrongState):
    """Another attempt has begun since, or the current one has not been lost."""

    def __init__(self, job: str, attempt: int) -> None:
        super().__init__(f"job {job} is at attempt {attempt}, which goes on")
        self.job, self.attempt = job, attempt


class AttemptReplaced(WrongState):
    """Another process has taken the job up; whoever made this attempt must stop."""

    def __init__(self, job: str, attempt: int, current: int) -> None:
        super().__init__(f"job {job} is at attempt {current}, not {attempt}")
        self.job, self.current = job, current


class AttemptOver(WrongState):
    """The attempt has failed, as was reported; the job waits for somebody to take it up."""

    def __init__(self, job: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of job {job} has failed; take the job up to go on")
        self.job, self.attempt = job, attempt


class JobForced(WrongState):
    """An operator has ended the record of the job; its producer must stop."""

    def __init__(self, job: str) -> None:
        super().__init__(f"an operator has ended job {job}")
        self.job = job


class ReasonReserved(Invalid):
    """Only this service knows when a job has ended for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} is a reason that only this service gives", point="reason")


class EndedOtherwise(WrongState):
    """The job has ended in another way than is reported now."""

    def __init__(self, job: str, ended: str, reported: str) -> None:
        super().__init__(f"job {job} has {ended}, which stays so: it cannot have {reported}")
        self.job, self.ended, self.reported = job, ended, reported


class ChildrenRunning(WrongState):
    """The job was to end only once nobody works on a sub-job."""

    def __init__(self, job: str, running: int) -> None:
        super().__init__(f"{running} sub-jobs of job {job} still run")
        self.job, self.running = job, running


class NotCancellable(WrongState):
    """The producer has said that the job cannot be cancelled."""

    def __init__(self, job: str, host: str | None) -> None:
        where = "" if host is None else f"; it runs on {host}"
        super().__init__(f"job {job} cannot be cancelled{where}")
        self.job, self.host = job, host


class NotAGroup(WrongState):
    """Only a group can be sealed."""

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} ends by itself: only a group can be sealed")


class NobodyWorks(WrongState):
    """The job is a group, or waits in the queue, so nobody can report on it."""

    def __init__(self, job: str) -> None:
        super().__init__(f"nobody works on job {job}")


class GraceNotOver(WrongState):
    """The producer still has time to obey, and has not been lost."""

    def __init__(self, job: str, left_s: int | None) -> None:
        """`left_s` is None if the job was not asked to stop."""
        told = "was not asked to stop" if left_s is None else f"has {left_s} s to stop by itself"
        super().__init__(f"job {job} {told}")
        self.job, self.left_s, self.asked = job, left_s, left_s is not None

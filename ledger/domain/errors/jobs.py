"""What cannot be done to a job, or reported about it."""

from ledger.domain.errors import Invalid, NotFound, NothingWithUuid, WrongState


class JobNotFound(NothingWithUuid):
    thing = "job"


class JobDiscarded(NotFound):
    """A job with this uuid was discarded, and no other job gets the uuid."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"job {uuid} was discarded; no other can have its uuid")
        self.uuid = uuid


class BadLabel(Invalid):
    """A key or value is not as those of labels are."""

    point = "labels"


class TooManyLabels(Invalid):
    """A job can have few labels, and a change can name as many."""

    point = "labels"

    def __init__(self, most: int) -> None:
        super().__init__(f"a job can have {most} labels, and a change can name as many")
        self.limit = most


class LabelsFixed(WrongState):
    """The labels of the job have been changed as often as they can be."""

    def __init__(self, uuid: str, most: int) -> None:
        super().__init__(f"the labels of job {uuid} have been changed {most} times, and stay")
        self.most = most


class TooDeep(Invalid):
    """The tree of jobs would have too many levels."""

    def __init__(self, parent: str, depth: int) -> None:
        super().__init__(f"job {parent} is {depth} levels deep; none go deeper")


class JobOver(WrongState):
    """The job has ended; its history is closed."""

    def __init__(self, uuid: str, state: str) -> None:
        super().__init__(f"job {uuid} has ended: {state}")
        self.uuid, self.state = uuid, state


class JobHasChildren(WrongState):
    """A job with sub-jobs is done by them and ends when they have ended."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"job {uuid} is done by its sub-jobs")


class JobHasWorker(WrongState):
    """A worker does the job itself, so the job can have no sub-jobs."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"job {uuid} is done by a worker")


class StaleAttempt(WrongState):
    """The report comes from an attempt that is not the job's current one."""

    def __init__(self, job: str, attempt: int, current: int) -> None:
        super().__init__(f"job {job} is at attempt {current}, not {attempt}")


class ProgressWentBack(WrongState):
    """The report's progress is below the recorded progress, or above 100 per cent."""

    def __init__(self, job: str, recorded: int, reported: int) -> None:
        super().__init__(f"job {job} is at {recorded} %, the report says {reported} %")

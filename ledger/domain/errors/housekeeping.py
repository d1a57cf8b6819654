"""What cannot be discarded, kept or released."""

from datetime import timedelta

from ledger.domain.errors import Invalid, WrongState


class NotDue(WrongState):
    """What is to be discarded is still running, or has not been over for long enough.

    Or it was planned by a policy that no longer holds.
    """

    def __init__(self, what: str, keep: timedelta) -> None:
        super().__init__(f"{what} is not due: jobs are kept for {keep}")


class TreeChanged(WrongState):
    """Something was recorded in a tree of jobs after its rows had been read, to be dropped."""

    def __init__(self, root: str) -> None:
        super().__init__(f"the tree of job {root} has changed since it was read")


class NotReleased(WrongState):
    """The stream was not released to be discarded unread."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} was not released to be discarded unread")


class KeepOutOfRange(Invalid):
    """Jobs cannot be kept for a negative time, or for more than a century."""

    def __init__(self, most: timedelta) -> None:
        super().__init__(f"jobs can be kept for 0 to {most.days} days")


class KeepLastOutOfRange(Invalid):
    """So many jobs of a series cannot be kept."""

    def __init__(self, most: int) -> None:
        super().__init__(f"of each series, 0 to {most} jobs can be kept")


class NotParked(WrongState):
    """The stream is not parked."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} is not parked")

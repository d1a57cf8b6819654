"""What the store cannot do, and what it holds that cannot be read."""

from ledger.domain.errors import Expected, Misconfigured, Refusal


class ConcurrentChange(Refusal):
    """Other processes kept changing the same things at the same moment."""

    def __init__(self) -> None:
        super().__init__("the object was changed by another request; try again")


class AlreadyClaimed(ConcurrentChange):
    """Another request was recorded for the account under the same key."""

    def __init__(self) -> None:
        Refusal.__init__(self, "another request with this key was recorded; try again")


class StoreFailed(Expected):
    """The store could not read or write; the process must stop, and recovers at its next start."""


class CommitFailed(StoreFailed):
    """The store failed during a commit: the changes may or may not be recorded."""


class StoreUnreachable(StoreFailed):
    """The store is closed, or cannot be used just now. It has not failed."""


class NoStoreTime(StoreUnreachable):
    """Nothing was recorded, because the store's clock could not be relied on."""

    def __init__(self) -> None:
        super().__init__(
            "nothing was recorded: the database's clock has not been of use for a while"
        )


class StoreBusy(StoreUnreachable):
    """Others held a lock for longer than a request may wait; nothing was done."""


class ReadCut(StoreUnreachable):
    """A long read was ended to keep the ledger's disk from filling."""

    def __init__(self) -> None:
        super().__init__(
            "the read took so long that it was ended, to keep the ledger's disk from filling: ask"
            " for less at once, or try again later"
        )


class BackupHeldUp(StoreUnreachable):
    """A backup gave way to the service each time, so that the ledger's disk did not fill."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            f"{tries} times the service wrote so much that the backup had to give way, to keep the"
            " ledger's disk from filling: make it when less is written, or give the service a"
            " larger --reserve"
        )


class StoreFull(StoreUnreachable):
    """There is no room to record this; nothing was recorded, and reads continue."""

    def __init__(self) -> None:
        super().__init__(
            "the ledger's disk is full: what there is can be read, stopped and deleted, but nothing"
            " new be recorded. A deleted drive gives its pool room now; the ledger's own disk has"
            " room again once old jobs are discarded, or its operator makes some"
        )


class PauseLost(StoreUnreachable):
    """The work was recorded, but other processes did not wait for what had to follow it."""

    def __init__(self) -> None:
        super().__init__(
            "it was recorded, but the connection was lost, and others may have recorded something"
            " before what was to follow"
        )


class CommitPending(StoreUnreachable):
    """The caller no longer waits for a commit, which may still be recorded."""

    def __init__(self) -> None:
        super().__init__("the store has not said in time whether it was recorded")


class StoreUnfit(StoreFailed, Misconfigured):
    """The store holds no ledger, or one of a later version, or cannot hold one."""


class UnknownEvent(Expected):
    """A stored event has a name or a version that this code does not know."""


class UnreadableStream(UnknownEvent):
    """A stream cannot be folded: one of its events is unknown, or out of place."""

    def __init__(self, stream: str, position: int, reason: str) -> None:
        super().__init__(f"{stream} cannot be read from position {position} on: {reason}")
        self.stream = stream
        self.position = position
        self.reason = reason

"""The operations that this service does: one table that says all there is to say about each.

Whatever depends on a job's operation reads it here: which task follows from the job, what a drive's
status is while the job runs, and how the log and people call it. A job may have any other operation
too; then none of this is said of it, and somebody else does it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ledger.domain.events import OperationName, Role

Executor = Literal["workers", "sub-jobs", "others"]


class Operation(NamedTuple):
    """What is said of all jobs of one operation, by what a drive or server is to the job.

    `title` is for people. `log` has the actions of the audit log. `status` is a drive's while the
    job runs, unless something matters more.
    """

    name: OperationName
    executor: Executor
    """Who does the jobs: our workers on images (`ledger.workers.operations`), or their sub-jobs."""
    title: str
    log: Mapping[Role, str] = {}
    status: Mapping[Role, str] = {}
    needs: frozenset[Role] = frozenset()
    """The drives without which workers have nothing to do."""


_CLONE_LOG: Mapping[Role, str] = {"source": "clone_src", "destination": "clone_dst"}

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "drive_clone",
            executor="workers",
            title="Clone of a drive",
            log=_CLONE_LOG,
            status={"source": "cloning_src", "destination": "cloning_dst"},
            needs=frozenset({"source", "destination"}),
        ),
        Operation("server_clone", executor="sub-jobs", title="Clone of a server", log=_CLONE_LOG),
    )
}
"""By name; in the order in which people are offered them."""


def operation_of(name: OperationName) -> Operation:
    """Return what is said of an operation; of one that is not ours, only its name."""
    return OPERATIONS.get(name) or Operation(name, "others", title=name)

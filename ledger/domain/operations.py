"""One table of the operations that this service executes, with everything that depends on them.

It decides which task follows from a job, the status of a drive while the job runs, the actions in
the audit log, and what people and the API's description read. A job may also have any other
operation; then somebody else executes it, and only its name is known.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ledger.domain.events.jobs import OperationName, Role

Executor = Literal["workers", "sub-jobs", "others"]


class Operation(NamedTuple):
    """Everything about an operation; what concerns a drive or server is keyed by its role."""

    name: OperationName
    executor: Executor
    """Who does the jobs: our workers (`ledger.workers.operations`), their sub-jobs, or others."""
    title: str
    """The name that people read."""
    log: Mapping[Role, str] = {}
    """The action in the audit log when a job begins."""
    status: Mapping[Role, str] = {}
    """A drive's status while a job runs, unless something matters more."""
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
"""The operations by name, in the order in which they are listed."""


def operation_of(name: OperationName) -> Operation:
    """Return the operation; if it is not ours, only its name is known."""
    return OPERATIONS.get(name) or Operation(name, "others", title=name.replace("_", " "))

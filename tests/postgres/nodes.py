"""Starting several nodes over one ledger."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from ledger.domain.commands.drives import CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.errors import Refusal
from tests.support.opened import Opened
from tests.support.world import ME, disk

Nodes = tuple[Opened, Opened]


def make_drive(node: Opened, uuid: str) -> None:
    """One that can be cloned."""
    node.do(CreateDrives(ME, (NewDrive(uuid, disk()),), "blank"), MarkDriveReady(uuid))


def at_once(*works: Callable[[], object]) -> list[object]:
    """What comes of these, begun at the same moment; a refusal is an outcome."""
    together = Barrier(len(works))

    def work(do: Callable[[], object]) -> object:
        together.wait()
        try:
            return do()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(work, works))

"""An index of jobs over an opened ledger, as a service has it."""

from collections.abc import Callable
from typing import NamedTuple

from projections.shown.families import Families
from projections.views.read_models import JobTree
from tests.support.opened import Opened
from tests.support.world import ME

BODY_BYTES = 3_000


class Body(NamedTuple):
    """A job that is shown as it is."""

    tree: JobTree
    size: int = BODY_BYTES


class Indexed(Families[Body]):
    """An index that counts how often it was woken, and how often a job was shown anew."""

    def __init__(self, opened: Opened, bytes_most: int = 2**20) -> None:
        self.wakes: list[Callable[[], None]] = []
        self.made: list[str] = []
        super().__init__(opened.views, self._make, bytes_most=bytes_most, wake=self.wakes.append)
        opened.ledger.listen_first(self.note)

    def _make(self, tree: JobTree) -> Body:
        self.made.append(tree.uuid)
        return Body(tree)

    def tree(self, uuid: str, owner: str = ME) -> JobTree | None:
        body = self.job(uuid, owner)
        return None if body is None else body.tree

    def remembers(self, uuid: str, owner: str = ME) -> bool:
        return self.known(uuid, owner) is not None

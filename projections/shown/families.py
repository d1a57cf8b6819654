"""The jobs that were shown last, as bytes, each for as long as nothing that it shows changes.

Whoever is told of a commit finds it here: the writer hands it over before it tells anybody, and it
is applied before anything is looked up.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, Protocol, TypeVar, assert_never

from ledger.domain.aggregates.job import Job
from ledger.domain.events.jobs import JobCreated
from ledger.store.seam import Anew, Commit
from projections.rows import job_row
from projections.shown.changes import (
    JobChanged,
    JobsGone,
    RelationsChanged,
    ThingChanged,
    changes_of,
)
from projections.shown.hand_over import HandOver
from projections.tables import JobRow
from projections.views.read_models import Family, JobTree
from projections.views.views import Views

TREE_MOST = 200
"""Jobs of a tree that is read in the event loop."""
FAMILY_BYTES_MOST = 1024 * 1024
"""A longer family is read anew each time, rather than displace many others."""
ROW_BYTES = 1024
"""About how much a row takes, and what it names."""


class Body(Protocol):
    """A job as it is shown."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""


B = TypeVar("B", bound=Body)


class _Kept(Generic[B]):
    """A family that is remembered: its rows, and the jobs that were shown."""

    def __init__(self, family: Family) -> None:
        self.root = family.jobs[0].root
        self.owner = family.jobs[0].owner
        self._rows = {job.uuid: job for job in family.jobs}
        self._named = family.named
        self._exist = {each.resource.partition("/")[2]: each.exists for each in family.named}
        self._trees: dict[str, JobTree] = {}
        self._bodies: dict[str, B] = {}
        self.size: int = ROW_BYTES * (len(family.jobs) + len(family.named))

    @property
    def jobs(self) -> Iterable[str]:
        return self._rows

    @property
    def resources(self) -> Iterable[str]:
        """Return the uuids of the resources that it names."""
        return self._exist

    def shows(self, resource: str) -> bool:
        """Return whether a resource that it names exists, according to what it shows."""
        return self._exist[resource]

    def has(self, job: str) -> bool:
        return job in self._rows

    def body(self, job: str, show: Callable[[JobTree], B]) -> B:
        found = self._bodies.get(job)
        if found is None:
            if not self._trees:
                self._trees = Family([*self._rows.values()], self._named).trees()
            found = self._bodies[job] = show(self._trees[job])
            self.size += found.size
        return found

    def replace(self, row: JobRow) -> None:
        """Show a job anew, and all jobs above it, which show it.

        What was read may be newer than a commit that is handed over after it.
        """
        if self._rows[row.uuid].last_modified > row.last_modified:
            return
        self._rows[row.uuid] = row
        self._trees = {}
        job: str | None = row.uuid
        while job is not None:
            body = self._bodies.pop(job, None)
            self.size -= 0 if body is None else body.size
            job = self._rows[job].parent


class Families(Generic[B]):
    """The index of jobs. For one event loop, except `note`."""

    def __init__(
        self,
        views: Views,
        show: Callable[[JobTree], B],
        *,
        bytes_most: int,
        wake: Callable[[Callable[[], None]], object],
    ) -> None:
        """Keep at most about so many bytes; 0 keeps nothing, where other processes write, too.

        `wake` has a function called in the event loop.
        """
        self._views = views
        self._show = show
        self._bytes_most = bytes_most
        self._families: dict[str, _Kept[B]] = {}
        """By their roots, the one that was asked for last at the end."""
        self._roots: dict[str, str] = {}
        """The roots of the jobs in them."""
        self._naming: dict[str, set[str]] = {}
        """The roots of the families that name a drive or server, whether it exists or not."""
        self._handed_over = HandOver(partial(wake, self.catch_up))
        self._is_certain = True
        """Whether it is known which rows are shown."""
        self.bytes = 0
        """About how many are kept."""

    def note(self, news: Commit | Anew) -> None:
        """Hand a commit over before anybody is told of it."""
        self._handed_over.put(news)

    def job(self, uuid: str, owner: str) -> B | None:
        """Return the account's job as it is now. Raise `LongTree` if it is to be read in a thread.

        Raise `StoreFailed`.
        """
        kept = self.known(uuid, owner)
        return self._read(uuid, owner) if kept is None else kept

    def known(self, uuid: str, owner: str) -> B | None:
        """Return the account's job as it is now, if that need not be read."""
        self.catch_up()
        root = self._roots.get(uuid)
        if root is None:
            return None
        family = self._families.pop(root)
        self._families[root] = family
        return self._body(family, uuid) if family.owner == owner else None

    def catch_up(self) -> None:
        """Apply what was handed over."""
        if not self._handed_over:
            return
        for news in self._handed_over.take():
            if isinstance(news, Commit):
                if self._families:
                    self._apply(news)
            else:
                self._forget_all()
                self._is_certain = news == "rows have changed"

    def _read(self, uuid: str, owner: str) -> B | None:
        """Read the job. A commit that comes meanwhile is applied to it, though it may show it."""
        with self._views.snapshot() as snapshot:
            family = snapshot.family(uuid, owner, TREE_MOST)
        if not family.jobs:
            return None
        kept = _Kept[B](family)
        body = kept.body(uuid, self._show)
        if self._is_certain and kept.size <= min(FAMILY_BYTES_MOST, self._bytes_most):
            self._keep(kept)
        return body

    def _body(self, family: _Kept[B], uuid: str) -> B:
        before = family.size
        body = family.body(uuid, self._show)
        self.bytes += family.size - before
        if family.size > FAMILY_BYTES_MOST:
            self._forget(family.root)
        self._make_room()
        return body

    def _keep(self, family: _Kept[B]) -> None:
        self._forget(family.root)
        self._families[family.root] = family
        self.bytes += family.size
        for job in family.jobs:
            self._roots[job] = family.root
        for resource in family.resources:
            self._naming.setdefault(resource, set()).add(family.root)
        self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self._bytes_most:
            self._forget(next(iter(self._families)))

    def _forget(self, root: str) -> None:
        family = self._families.pop(root, None)
        if family is None:
            return
        self.bytes -= family.size
        for job in family.jobs:
            del self._roots[job]
        for resource in family.resources:
            naming = self._naming[resource]
            naming.discard(root)
            if not naming:
                del self._naming[resource]

    def _forget_all(self) -> None:
        self._families.clear()
        self._roots.clear()
        self._naming.clear()
        self.bytes = 0

    def _apply(self, commit: Commit) -> None:
        for change in changes_of(commit):
            match change:
                case JobChanged(job, event):
                    self._apply_to(job, comes=isinstance(event, JobCreated))
                case JobsGone(_, jobs):
                    for root in {self._roots[job] for job in jobs if job in self._roots}:
                        self._forget(root)
                case ThingChanged(kind, uuid, _, gone) if kind in ("drive", "server"):
                    self._forget_naming(uuid, exists=not gone)
                case ThingChanged() | RelationsChanged():
                    pass
                case _:
                    assert_never(change)

    def _apply_to(self, job: Job, *, comes: bool) -> None:
        family = self._families.get(job.root)
        if family is None:
            return
        if comes or not family.has(job.uuid):
            self._forget(job.root)
            return
        before = family.size
        family.replace(job_row(job))
        self.bytes += family.size - before

    def _forget_naming(self, uuid: str, *, exists: bool) -> None:
        """Forget the families that name a drive or server, if they show the contrary."""
        for root in tuple(self._naming.get(uuid, ())):
            if self._families[root].shows(uuid) != exists:
                self._forget(root)

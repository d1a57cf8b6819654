"""Every way in which a few jobs may change while somebody pages, by each way to page.

The model is three jobs, read one to a page. Between pages, or before the first, seven things happen
in every order: 16,384 interleavings. Nobody may miss a job that was there throughout, or meet one
twice. Paging by offset and by the last change do both or either; by creation, neither.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Literal, NamedTuple, get_args

import pytest

from projections.views.walks import Step
from tests.support.read_models import ReadModels, job_of
from tests.support.world import ME

Happening = Literal["page", "change the oldest", "change the middle", "replace the newest"]
HAPPENINGS = 7
SAMPLED = 331
"""Of so many interleavings one is also played with the real tables."""


class Job(NamedTuple):
    name: str
    created: int
    changed: int


class World:
    """The jobs, oldest first, and a clock that ticks with each change."""

    def __init__(self) -> None:
        self.jobs = [Job(name, at, at) for at, name in enumerate("abc")]
        self.kept = set("abc")
        self.clock = len(self.jobs)

    def happen(self, what: Happening) -> None:
        self.clock += 1
        match what:
            case "change the oldest":
                self._change(0)
            case "change the middle":
                self._change(1)
            case "replace the newest":
                self.kept.discard(self.jobs.pop().name)
                self.jobs.append(Job(f"new{self.clock}", self.clock, self.clock))
            case "page":
                pass

    def _change(self, nth: int) -> None:
        self.jobs[nth] = self.jobs[nth]._replace(changed=self.clock)


Page = Callable[[World], str | None]
"""Return the job on the next page; None after the last one."""


def by_offset() -> Page:
    """The list by its last change, from as far down as one has come."""
    met = 0

    def page(world: World) -> str | None:
        nonlocal met
        found = sorted(world.jobs, key=lambda job: -job.changed)[met : met + 1]
        met += 1
        return found[0].name if found else None

    return page


def by_key(of: Callable[[Job], int]) -> Page:
    """The list by a key, newest first, from the last key on that one has met."""
    last = 2**31

    def page(world: World) -> str | None:
        nonlocal last
        found = max((job for job in world.jobs if of(job) < last), key=of, default=None)
        if found is None:
            return None
        last = of(found)
        return found.name

    return page


WAYS: dict[str, Callable[[], Page]] = {
    "offset": by_offset,
    "last change": lambda: by_key(lambda job: job.changed),
    "creation": lambda: by_key(lambda job: job.created),
}


def met(page: Page, world: World, happenings: Sequence[Happening]) -> Iterator[str]:
    """Yield what comes on pages while all of that happens, and afterwards to the end."""
    for what in happenings:
        world.happen(what)
        if what == "page":
            found = page(world)
            if found is None:
                return
            yield found
    while (found := page(world)) is not None:
        yield found


def interleavings() -> Iterator[tuple[Happening, ...]]:
    return product(get_args(Happening), repeat=HAPPENINGS)


def faults(way: Callable[[], Page]) -> tuple[int, int]:
    """Return in how many interleavings a job is missed, and in how many one is met twice."""
    missed = doubled = 0
    for happenings in interleavings():
        world = World()
        times = Counter(met(way(), world, happenings))
        missed += not world.kept <= times.keys()
        doubled += any(number > 1 for number in times.values())
    return missed, doubled


@pytest.mark.thorough
def test_only_the_order_of_creation_neither_misses_nor_repeats() -> None:
    """A job that changes moves in an order by its last change: past the reader, or back again."""
    found = {name: faults(way) for name, way in WAYS.items()}
    assert found["creation"] == (0, 0)
    assert found["last change"][0] > 0
    assert found["offset"][0] > 0
    assert found["offset"][1] > 0


def test_the_tables_page_as_the_model_does() -> None:
    """The same jobs in the read models, in some of the interleavings, come on the same pages."""
    for happenings in islice(interleavings(), 0, None, SAMPLED):
        assert list(met(in_tables(), World(), happenings)) == list(
            met(WAYS["creation"](), World(), happenings)
        )


def in_tables() -> Page:
    """The list as the service pages it."""
    models = ReadModels()
    steps: list[Step] = []
    shown: set[str] = set()

    def page(world: World) -> str | None:
        key = steps[-1].next if steps else None
        if steps and key is None:
            return None
        names = {job.name for job in world.jobs}
        for gone in shown - names:
            models.discard(gone)
        for job in world.jobs:
            models.show(job_of(job.name, job.created, changed=job.changed))
        shown.clear()
        shown.update(names)
        steps.append(models.snapshot().walk("jobs", ME, key=key, limit=1))
        return next(iter(steps[-1].uuids), None)

    return page

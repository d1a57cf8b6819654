"""A tree has ended when every job in it has: for the plan, and for who audits what was discarded.

The root of another program's tree may end before what is below it.
"""

from datetime import datetime, timedelta

import pytest

from ledger.domain.aggregates import evolve
from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS
from ledger.domain.commands.jobs import CancelJob, CreateJob
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import DiscardedTree, JobsDiscarded
from ledger.domain.events.jobs import ChildAttached, JobCreated, JobSucceeded
from ledger.store.parameters import timestamp
from ledger.store.seam import LoggedEvent
from ledger.store.tables.tiles import position_at
from projections.audit.discards import Discards
from projections.audit.findings import StreamState
from projections.audit.job_trees import JobTrees
from projections.views.retention import BEGINNING, ended_trees, first_end
from tests.retention.conftest import Clock
from tests.support.retained import Retained
from tests.support.world import ME, START

HOUR = timedelta(hours=1)
KEEP, _ = DEFAULT_TERMS


class Audited:
    """What an audit has made of the events so far."""

    def __init__(self) -> None:
        self._states: dict[str, StreamState] = {}
        self._discards = Discards(self._states, JobTrees(self._states))
        self._position = 0

    def take(self, stream: str, event: Event, hours: float) -> str | None:
        """Take the next event; return what is wrong with it as a discard."""
        self._position += 1
        logged = LoggedEvent(self._position, 0, stream, 1, "", b"", b"")
        recorded = Recorded(START + hours * HOUR, ME, "", event)
        before = self._states.get(stream)
        state = evolve(before and before.state, stream, recorded)
        self._states[stream] = StreamState(1, state, logged)
        return self._discards.take(logged, recorded)

    def sweep(self, *trees: DiscardedTree, cutoff: float) -> str | None:
        """Discard all that is due by a cutoff in hours, says the sweep."""
        at = START + cutoff * HOUR
        event = JobsDiscarded(KEEP, at, self._position, trees, (), last=True)
        return self.take("sweep-1", event, cutoff + KEEP / HOUR)


def tree(ended: float, *jobs: str) -> DiscardedTree:
    return DiscardedTree(ME, jobs, START + ended * HOUR)


@pytest.fixture
def outlived() -> Audited:
    """A root that ended an hour after its start, and the job below it two hours later."""
    audited = Audited()
    for hours, stream, event in (
        (0.0, "job-root", JobCreated("x", ME, (), "root")),
        (0.0, "job-below", JobCreated("x", ME, (), "root", "root")),
        (0.0, "job-root", ChildAttached("below")),
        (1.0, "job-root", JobSucceeded()),
    ):
        assert audited.take(stream, event, hours) is None
    return audited


def test_an_audit_finds_what_was_discarded_while_a_job_below_it_ran(outlived: Audited) -> None:
    """Nor does it miss the tree as one that should have gone."""
    assert outlived.sweep(cutoff=2.0) is None
    assert outlived.sweep(tree(1.0, "root", "below"), cutoff=2.0) == "job below was running"


def test_an_audit_takes_the_last_end_of_a_tree_for_its_end(outlived: Audited) -> None:
    """Whichever job it is that ended last."""
    outlived.take("job-below", JobSucceeded(), 3.0)
    kept = outlived.sweep(cutoff=3.5)
    assert kept is not None
    assert f"the tree of job root was due since {START + 3 * HOUR}" in kept


@pytest.mark.parametrize("ended", [1.0, 2.0])
def test_an_audit_finds_a_wrong_end(outlived: Audited, ended: float) -> None:
    outlived.take("job-below", JobSucceeded(), 3.0)
    wrong = outlived.sweep(tree(ended, "root", "below"), cutoff=3.5)
    assert wrong is not None
    assert f"the tree of job root ended at {START + 3 * HOUR}, not" in wrong


def test_an_audit_agrees_with_a_tree_that_went_once_all_of_it_had_ended(outlived: Audited) -> None:
    outlived.take("job-below", JobSucceeded(), 3.0)
    assert outlived.sweep(cutoff=2.9) is None
    assert outlived.sweep(tree(3.0, "root", "below"), cutoff=3.5) is None


def test_a_plan_leaves_out_a_tree_as_long_as_a_job_below_its_root_runs(
    kept: Retained, clock: Clock
) -> None:
    """Nor does the status say that it is due next. Both read rows, which are made so here."""
    kept.do(CreateJob(ME, "root", "x"), CreateJob(ME, "below", "x", parent="root"))
    kept.do(CancelJob(ME, "root"))
    clock.advance(hours=2)
    cutoff, later = clock.now - HOUR, timestamp(clock.now)
    assert found(kept, cutoff) == (["root", "below"], True)
    show(kept, f"ended = '{later}'")
    assert found(kept, cutoff) == ([], True)
    assert found(kept, clock.now + HOUR) == (["root", "below"], True)
    show(kept, "ended = NULL, state = 'started'")
    assert found(kept, clock.now + HOUR) == ([], False)


def show(kept: Retained, changed: str) -> None:
    sql = f"UPDATE jobs_g1 SET {changed} WHERE uuid = 'below'"
    kept.ledger.exclusive(lambda cursor: cursor.execute(sql) and None).result()


def found(kept: Retained, cutoff: datetime) -> tuple[list[str], bool]:
    """Return the jobs of the trees that ended before the cutoff, and whether any has ended."""
    with kept.ledger.log() as log:
        reached = position_at(log.cursor(), cutoff)
        trees, _ = ended_trees(
            log.cursor(), BEGINNING, cutoff=cutoff, reached=reached, terms=DEFAULT_TERMS, floors={}
        )
        first = first_end(log.cursor(), [], DEFAULT_TERMS, cutoff)
        return [job.uuid for tree in trees for job in tree.jobs], first is not None

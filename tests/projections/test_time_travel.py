"""What the random histories do not tell apart: order, pages, and streams asked for in parts."""

from datetime import timedelta
from pathlib import Path

import pytest

from ledger.archives import Shelf
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.store import parameters
from ledger.store.tables import streams
from ledger.store.tables.streams import Span
from ledger.store.tables.tiles import position_at
from projections.time_travel.past import CannotTell, Past
from projections.time_travel.resources import resources_at
from projections.views.read_models import JobTree
from tests.support.opened import Opened
from tests.support.read_models import jobs_of
from tests.support.world import ME, START

NO_ARCHIVES = Shelf(Path("nowhere"))
STATES = ("started", "success", "failed", "cancelled")


def last_position(opened: Opened) -> int:
    with opened.ledger.log() as log:
        return log.last_position()


def test_children_are_in_the_order_in_which_they_came(opened: Opened) -> None:
    """Whatever they are called."""
    opened.do(CreateJob(ME, "root", "x"))
    for child in ("b", "c", "a"):
        then = opened.do(CreateJob(ME, child, "x", parent="root"))
    opened.do(CreateJob(ME, "aa", "x", parent="root"))
    with opened.views.long_snapshot() as snapshot:
        tree = Past(snapshot, NO_ARCHIVES, then).job("root", ME)
    assert tree is not None
    assert [child.job.uuid for child in tree.children] == ["b", "c", "a"]


def test_any_page_of_any_states_is_a_part_of_the_list(told: Opened) -> None:
    """Counted and cut as the live list is, at the newest position."""
    newest = last_position(told)
    with told.views.long_snapshot() as snapshot:
        past = Past(snapshot, NO_ARCHIVES, newest)
        for states in (None, [], ["started"], ["success", "failed"], ["nonsense"], list(STATES)):
            for limit, offset in ((1, 0), (3, 2), (100, 0), (100, 7), (5, 100)):
                page = past.jobs(ME, states, limit=limit, offset=offset)
                assert page.total == snapshot.count_jobs(ME, states)
                assert page.trees == jobs_of(snapshot, ME, states, limit=limit, offset=offset)


def test_every_position_can_be_asked_for(told: Opened) -> None:
    """Also those within a command, at which nobody was ever answered: no tree is torn."""

    def size(tree: JobTree) -> int:
        return 1 + sum(map(size, tree.children))

    before = 0
    for position in range(last_position(told) + 1):
        with told.views.long_snapshot() as snapshot:
            total, trees = Past(snapshot, NO_ARCHIVES, position).jobs(ME, None, limit=99, offset=0)
        roots = [tree for tree in trees if tree.job.parent is None]
        assert sum(map(size, roots)) == total == len(trees)
        assert before <= total
        before = total
    with pytest.raises(CannotTell), told.views.long_snapshot() as snapshot:
        Past(snapshot, NO_ARCHIVES, last_position(told) + 1)


def test_a_history_is_as_long_as_was_asked_for(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """Streams are found however many are asked for, and none that is not there."""
    monkeypatch.setattr(parameters, "VALUES_MAX", 2)
    ends = {}
    for job in "abcde":
        opened.do(CreateJob(ME, job, "x"), StartAttempt(job, 1, "w"))
        ends[f"job-{job}"] = opened.do(UpdateProgress(job, 1, 7))
    opened.do(SucceedJob("b", 1))
    with opened.ledger.log() as log:
        cursor = log.cursor()
        spans = streams.spans(cursor, [*ends, "job-none", "drive-a"])
        middle = ends["job-c"] - 1
        told = dict(streams.histories(cursor, [*ends, "job-none"], middle))
        assert streams.spans(cursor, []) == dict(streams.histories(cursor, [], middle)) == {}
    ends["job-b"] = last_position(opened)
    assert spans == {stream: Span(3 * n + 1, last) for n, (stream, last) in enumerate(ends.items())}
    assert {stream: len(events) for stream, events in told.items()} == {
        "job-a": 3,
        "job-b": 3,
        "job-c": 2,
    }


def test_a_drive_exists_from_its_creation_to_its_deletion(told: Opened) -> None:
    """Neither before, nor after; and what never was does not."""
    with told.ledger.log() as log:
        spans = streams.spans(log.cursor(), ["drive-gone", "drive-a", "server-t2"])
    gone, there, server = spans["drive-gone"], spans["drive-a"], spans["server-t2"]
    named = [("drives", "gone"), ("drives", "a"), ("servers", "t2"), ("drives", "never")]
    lives = {
        ("drives", "gone"): range(gone.first, gone.last),
        ("drives", "a"): range(there.first, last_position(told) + 1),
        ("servers", "t2"): range(server.first, server.last),
    }
    for position in range(last_position(told) + 1):
        with told.views.long_snapshot() as snapshot:
            expected = {thing for thing, life in lives.items() if position in life}
            assert resources_at(snapshot, NO_ARCHIVES, named, position) == expected


def test_a_clock_that_goes_back_confuses_nobody(tmp_path: Path) -> None:
    """Time stands still until the clock has caught up, and what comes then is a moment later."""
    times = [START + timedelta(minutes=minutes) for minutes in (0, 50, -10, 40, 60)]
    shown, ends = [START], list[int]()
    with Opened(tmp_path / "ledger.sqlite", now=lambda: shown[-1]) as opened:
        for nth, time in enumerate(times):
            shown.append(time)
            ends.append(opened.do(CreateJob(ME, f"job-{nth}", "x")))
        with opened.ledger.log() as log:
            reached = {
                minutes: position_at(log.cursor(), START + timedelta(minutes=minutes))
                for minutes in (-20, -10, -1, 0, 45, 49, 50, 59, 60, 90)
            }
    assert reached == {
        -20: 0,
        -10: 0,
        -1: 0,
        0: ends[0],
        45: ends[0],
        49: ends[0],
        50: ends[1],
        59: ends[3],
        60: ends[4],
        90: ends[4],
    }

"""Jobs as they were: any history, and at each of its positions just what was answered then."""

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from api.resources.jobs.representation import Job, represent_job
from ledger.archives import Shelf
from ledger.domain.commands.housekeeping import SetRetention
from ledger.domain.errors.jobs import JobDiscarded
from ledger.store.seam import Commit
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.retention.compaction import compact
from projections.time_travel.past import Past
from projections.views.views import Views
from tests.projections.test_model import ENDINGS, HISTORIES, WHICH, Histories
from tests.support.discarding import AT_ONCE, discard, half_gone
from tests.support.model import Refused
from tests.support.opened import Opened
from tests.support.read_models import jobs_of
from tests.support.world import ME, SOMEBODY_ELSE, Ticking

OWNERS = (ME, SOMEBODY_ELSE)
ALL = 10_000
DAYS = timedelta(days=9)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
Answers = dict[str, list[Job]]
"""The list of jobs of each account, as JSON."""


class Jumping(Ticking):
    """A clock that ticks, and can be set back or forward."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = timedelta()

    def __call__(self) -> datetime:
        return super().__call__() + self.jumped


def answered(opened: Opened) -> Answers:
    """What is answered now."""
    with opened.views.long_snapshot() as snapshot:
        return {
            owner: [represent_job(tree, None) for tree in jobs_of(snapshot, owner)]
            for owner in OWNERS
        }


def was_answered(then: Past) -> Answers:
    answers = {}
    for owner in OWNERS:
        total, trees = then.jobs(owner, None, limit=ALL, offset=0)
        assert total == len(trees)
        answers[owner] = [represent_job(tree, None) for tree in trees]
    return answers


class Remembered(Histories):
    """Histories in which trees are discarded and the clock jumps, and all answers are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.opened.close()
        self.now = self.clock = Jumping()
        self.answers: dict[int, Answers] = {}
        self.stamps: list[tuple[int, datetime]] = []
        self.reopen()
        self.answers[0] = answered(self.opened)
        self.clock.jumped = -DAYS  # so that it holds whatever the clock does later
        self.opened.do(SetRetention(AT_ONCE))
        self.clock.jumped = timedelta()

    def reopen(self) -> None:
        super().reopen()
        self.opened.ledger.listen(self.note)

    def note(self, commit: Commit) -> None:
        """What is answered now; in the writer's thread, before anything else is committed."""
        self.answers[commit.position] = answered(self.opened)
        self.stamps += [(commit.position, recorded.recorded_at) for _, recorded in commit.events]

    @rule(jump=st.sampled_from([-HOUR, -HOUR, HOUR, timedelta(milliseconds=-3)]))
    def set_the_clock(self, jump: timedelta) -> None:
        self.clock.jumped += jump

    @rule(which=WHICH)
    def discard(self, which: int) -> None:
        """What had ended by the end of one of the trees."""
        shown = answered(self.opened)
        ends = [job.last_modified for owner in OWNERS for job in shown[owner]]
        cutoff = self.now()
        if ends and which:
            cutoff = min(cutoff, datetime.fromisoformat(ends[which % len(ends)]) + MICROSECOND)
        discard(self.opened.ledger, self.new("sweep"), cutoff)

    @rule(well=ENDINGS)
    def end_and_discard(self, *, well: bool | None) -> None:
        """Some of what runs ends, and all that is over goes."""
        self.work([(nth, well, [7 * nth]) for nth in range(3)])
        self.discard(0)

    def labelled(self, owner: str, uuid: str, key: str, value: str | None) -> Refused:
        """Not once it is discarded, of which the model knows nothing."""
        known = self.model.jobs.get(uuid)
        if known is not None and known.owner == owner:
            with self.opened.snapshot() as snapshot:
                if not snapshot.has_job(uuid):
                    return JobDiscarded
        return super().labelled(owner, uuid, key, value)

    def views_say_what_the_model_says(self) -> None:
        """Not of what was discarded."""

    def check_the_end(self) -> None:
        self.end_and_discard(well=True)
        self.archives = Path(self.directory.name) / "archive"
        self.check_all()
        copy = self.file.with_name("half-gone.sqlite")
        half_gone(self.opened.ledger, self.file, copy)
        before = dict(self.answers)
        compact(self.opened.ledger, self.archives, lambda: "compaction")
        with closing(Views(sqlite_reader(copy), lambda: 0)) as views:
            self.check_positions(views, before)
        self.check_all()

    def check_all(self) -> None:
        self.opened.ledger.exclusive(lambda _: None).result()  # the last commit is noted
        self.check_positions(self.opened.views, self.answers)
        self.check_times()
        self.check_folds()

    def check_folds(self) -> None:
        """The store alone, and the archives with it: each ends in what is shown."""
        for archives in (None, self.archives):
            replayed = self.opened.replay(archives)
            assert replayed.divergence is None, replayed.divergence
        rebuilt = self.opened.rebuild()
        assert rebuilt.before == rebuilt.after

    def check_positions(self, views: Views, answered_at: dict[int, Answers]) -> None:
        """The list, and one job after the other, whether it was there or not."""
        with views.long_snapshot() as snapshot:
            for nth, (position, answers) in enumerate(answered_at.items()):
                uuid = self.jobs[nth % len(self.jobs)]
                then = Past(snapshot, Shelf(self.archives), position)
                assert was_answered(then) == answers
                for owner in OWNERS:
                    expected = [job for job in answers[owner] if job.uuid == uuid]
                    tree = then.job(uuid, owner)
                    assert expected == ([] if tree is None else [represent_job(tree, None)])

    def check_times(self) -> None:
        """At the stamp of each event, and just before."""
        moments = {moment for _, stamp in self.stamps for moment in (stamp, stamp - MICROSECOND)}
        for moment in sorted(moments)[:: max(1, len(moments) // 10)]:
            with self.opened.views.long_snapshot() as snapshot:
                then = Past(snapshot, Shelf(self.archives), moment)
                assert then.position == longest_prefix(self.stamps, moment)
                assert was_answered(then) == self.answers[then.position]


def longest_prefix(stamps: list[tuple[int, datetime]], moment: datetime) -> int:
    lengths = (
        length
        for length in range(len(stamps) + 1)
        if all(stamp <= moment for _, stamp in stamps[:length])
    )
    length = max(lengths)
    return stamps[length - 1][0] if length else 0


@pytest.mark.thorough
class TestPast(Remembered.TestCase):
    """Whatever happened, as of each position is answered exactly what was answered there.

    Also of what was discarded since, wherever its events are; and as of a time, what was answered
    at the end of the longest prefix with no later stamp, though the clock went back.
    """

    settings = settings(max_examples=HISTORIES, stateful_step_count=25)

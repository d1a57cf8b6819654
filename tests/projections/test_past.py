"""Jobs as they were: any history, and at each of its positions just what was answered then."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from api.shapes import job_json, no_figures
from ledger.archives import Shelf
from ledger.codec import decode
from ledger.commands import SetRetention
from ledger.store.writer import Commit
from projections.time_travel.past import Past
from tests.projections.test_model import WHICH, Histories
from tests.support.discarding import AT_ONCE, archive, delete_events, discard
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, Ticking

OWNERS = (ME, SOMEBODY_ELSE)
ALL = 10_000
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
Answers = dict[str, list[dict[str, object]]]
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
            owner: [job_json(tree, no_figures) for tree in snapshot.jobs(owner, None, limit=-1)]
            for owner in OWNERS
        }


@contextmanager
def past(opened: Opened, as_of: int | datetime, archives: Shelf) -> Iterator[Past]:
    with opened.views.long_snapshot() as snapshot:
        yield Past(snapshot, archives, as_of)


def was_answered(then: Past) -> Answers:
    answers = {}
    for owner in OWNERS:
        total, trees = then.jobs(owner, None, limit=ALL, offset=0)
        assert total == len(trees)
        answers[owner] = [job_json(tree, no_figures) for tree in trees]
    return answers


class Remembered(Histories):
    """Histories in which trees are discarded and the clock jumps, and all answers are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.opened.close()
        self.now = self.clock = Jumping()
        self.answers: dict[int, Answers] = {}
        self.reopen()
        self.answers[0] = answered(self.opened)
        self.opened.do(SetRetention(AT_ONCE))
        self.sweeps: list[str] = []

    def reopen(self) -> None:
        super().reopen()
        self.opened.ledger.listen(self.note)

    def note(self, commit: Commit) -> None:
        """What is answered now; in the writer's thread, before anything else is committed."""
        self.answers[commit.position] = answered(self.opened)

    @rule(jump=st.sampled_from([-HOUR, -HOUR, HOUR, timedelta(milliseconds=-3)]))
    def set_the_clock(self, jump: timedelta) -> None:
        self.clock.jumped += jump

    @rule(which=WHICH)
    def discard(self, which: int) -> None:
        """What had ended by the end of one of the trees."""
        shown = answered(self.opened)
        ends = [str(job["last_modified"]) for owner in OWNERS for job in shown[owner]]
        cutoff = self.now()
        if ends and which:
            cutoff = min(cutoff, datetime.fromisoformat(ends[which % len(ends)]) + MICROSECOND)
        sweep = f"sweep{len(self.sweeps)}"
        if discard(self.opened.ledger, sweep, cutoff):
            self.sweeps.append(sweep)

    def views_say_what_the_model_says(self) -> None:
        """Not of what was discarded."""

    def check_the_end(self) -> None:
        self.opened.ledger.exclusive(lambda _: None).result()  # the last commit is noted
        with self.opened.ledger.log() as log:
            self.stamps = [
                (event.position, decode(event.topic, event.state).recorded_at)
                for event in log.events()
            ]
        directory = Path(self.directory.name) / "archive"
        self.archives = Shelf(directory)
        self.check_all()
        streams = archive(self.opened.ledger, directory, "half", self.sweeps[::2])
        self.check_positions(step=5)
        delete_events(self.opened, streams, lambda position: position % 2 == 0)
        self.check_positions(step=5)
        delete_events(self.opened, streams)
        self.check_all()

    def check_all(self) -> None:
        self.check_positions()
        self.check_times()

    def check_positions(self, step: int = 1) -> None:
        """The list, and one job after the other, whether it was there or not."""
        for nth, (position, answers) in enumerate(list(self.answers.items())[::step]):
            uuid = self.jobs[nth % len(self.jobs)]
            with past(self.opened, position, self.archives) as then:
                assert was_answered(then) == answers
                for owner in OWNERS:
                    expected = [job for job in answers[owner] if job["uuid"] == uuid]
                    tree = then.job(uuid, owner)
                    assert expected == ([] if tree is None else [job_json(tree, no_figures)])

    def check_times(self) -> None:
        """At the stamp of each event, and just before."""
        moments = {moment for _, stamp in self.stamps for moment in (stamp, stamp - MICROSECOND)}
        for moment in sorted(moments)[:: max(1, len(moments) // 10)]:
            with past(self.opened, moment, self.archives) as then:
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


class TestPast(Remembered.TestCase):
    """Whatever happened, as of each position is answered exactly what was answered there.

    Also of what was discarded since, wherever its events are; and as of a time, what was answered
    at the end of the longest prefix with no later stamp, though the clock went back.
    """

    settings = settings(max_examples=max(1, settings().max_examples // 2), stateful_step_count=25)

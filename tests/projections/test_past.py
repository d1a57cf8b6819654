"""Jobs as they were: any history, and at each of its positions just what was answered then."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from api.shapes import job_json, no_figures
from ledger.codec import decode
from projections.time_travel.archived import Archived, NoArchives
from projections.time_travel.past import Past
from projections.views.families import departed, family, named_by
from projections.views.snapshot import Snapshot
from tests.projections.test_model import WHICH, Histories
from tests.support.discarding import Discard, HeldArchive, delete_events, discard
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, Ticking

OWNERS = (ME, SOMEBODY_ELSE)
ALL = 10_000
NO_ARCHIVES = NoArchives()
KINDS = ("drive", "server")
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
    with opened.snapshot() as snapshot:
        return {
            owner: [job_json(tree, no_figures) for tree in snapshot.jobs(owner, None, limit=-1)]
            for owner in OWNERS
        }


@contextmanager
def past(opened: Opened, as_of: int | datetime, archives: Archived = NO_ARCHIVES) -> Iterator[Past]:
    with opened.views.long_snapshot() as snapshot:
        yield Past(snapshot, archives, as_of)


def was_answered(then: Past) -> Answers:
    answers = {}
    for owner in OWNERS:
        total, trees = then.jobs(owner, None, limit=ALL, offset=0)
        assert total == len(trees)
        answers[owner] = [job_json(tree, no_figures) for tree in trees]
    return answers


def last_position(opened: Opened) -> int:
    with opened.ledger.log() as log:
        return log.last_position()


class Remembered(Histories):
    """Histories in which trees are discarded and the clock jumps, and all answers are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.opened.close()
        self.now = self.clock = Jumping()
        self.reopen()
        self.answers: dict[int, Answers] = {0: answered(self.opened)}
        self.discards: list[Discard] = []

    def look_for_news(self) -> None:
        super().look_for_news()
        self.answers[last_position(self.opened)] = answered(self.opened)

    @rule(jump=st.sampled_from([-HOUR, -HOUR, HOUR, timedelta(milliseconds=-3)]))
    def set_the_clock(self, jump: timedelta) -> None:
        self.clock.jumped += jump

    @rule(which=WHICH)
    def discard(self, which: int) -> None:
        """One of the trees that have ended, with the deleted things that only its jobs name."""
        shown = {str(job["uuid"]) for owner in OWNERS for job in answered(self.opened)[owner]}
        roots = [root for root in self.jobs if root in shown and self.has_ended(root)]
        if roots:
            root = roots[which % len(roots)]
            with self.opened.snapshot() as snapshot:
                others = only_named_in(snapshot, root, shown, [*self.drives, *self.servers])
            sweep = str(len(self.discards))
            live = self.opened.ledger, self.opened.views
            self.discards.append(discard(*live, sweep, [root], at=self.now(), others=others))
            self.look_for_news()

    def has_ended(self, root: str) -> bool:
        job = self.model.jobs[root]
        return job.parent is None and job.state != "started"

    @rule()
    def maintain(self) -> None:
        self.reopen()

    def views_say_what_the_model_says(self) -> None:
        """Not of what was discarded."""

    def check_the_end(self) -> None:
        self.check_positions(NO_ARCHIVES)
        self.check_single_jobs(NO_ARCHIVES)
        self.check_times()
        archive = HeldArchive()
        half = self.discards[::2]
        for discarded in half:
            archive.take(self.opened, discarded)
        for some in (_none, _odd, _any):
            for discarded in half:
                delete_events(self.opened, discarded.streams, some)
            self.check_positions(archive)
        self.check_single_jobs(archive)

    def check_positions(self, archives: Archived) -> None:
        for position, answers in self.answers.items():
            with past(self.opened, position, archives) as then:
                assert was_answered(then) == answers

    def check_single_jobs(self, archives: Archived) -> None:
        """Another one at each position, or one that was not there."""
        for nth, (position, answers) in enumerate(self.answers.items()):
            uuid = self.jobs[nth % len(self.jobs)]
            with past(self.opened, position, archives) as then:
                for owner in OWNERS:
                    expected = [job for job in answers[owner] if job["uuid"] == uuid]
                    tree = then.job(uuid, owner)
                    assert expected == ([] if tree is None else [job_json(tree, no_figures)])

    def check_times(self) -> None:
        """At the stamp of each event, and just before."""
        with self.opened.ledger.log() as log:
            stamps = [
                (event.position, decode(event.topic, event.state).recorded_at)
                for event in log.events()
            ]
        moments = {moment for _, stamp in stamps for moment in (stamp, stamp - MICROSECOND)}
        for moment in sorted(moments)[:: max(1, len(moments) // 20)]:
            with past(self.opened, moment) as then:
                assert then.position == longest_prefix(stamps, moment)
                assert was_answered(then) == self.answers[then.position]


def only_named_in(snapshot: Snapshot, root: str, jobs: set[str], things: list[str]) -> list[str]:
    """The streams of deleted drives and servers that no other job names."""
    tree = {row.uuid for row in family(snapshot, root)}
    named = {uuid for _, _, uuid in named_by(snapshot, sorted(jobs - tree))}
    unnamed = [f"{kind}-{uuid}" for uuid in things if uuid not in named for kind in KINDS]
    return sorted(departed(snapshot, unnamed))


def longest_prefix(stamps: list[tuple[int, datetime]], moment: datetime) -> int:
    lengths = (
        length
        for length in range(len(stamps) + 1)
        if all(stamp <= moment for _, stamp in stamps[:length])
    )
    length = max(lengths)
    return stamps[length - 1][0] if length else 0


def _none(_: int) -> bool:
    return False


def _odd(position: int) -> bool:
    return bool(position % 2)


def _any(_: int) -> bool:
    return True


class TestPast(Remembered.TestCase):
    """Whatever happened, as of each position is answered exactly what was answered there.

    Also of what was discarded since, wherever its events are; and as of a time, what was answered
    at the end of the longest prefix with no later stamp, though the clock went back.
    """

    settings = settings(max_examples=max(1, settings().max_examples // 2), stateful_step_count=25)

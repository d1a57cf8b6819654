"""What every store must do for leases, and for the service time by which they are due."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from ledger.domain.producers.leases import Awaited, Due, Expect, Forget, Lease
from ledger.domain.stamps import microseconds
from ledger.store.seam import Batch, Conflict, Cursor, Store
from ledger.store.tables import leases
from ledger.store.tables.leases import Renewal
from tests.support.world import START

T = TypeVar("T")

S = 1_000_000
EARLY = microseconds(START - timedelta(days=1000))
"""Before any clock of a store: service time goes on from where it stood."""


def changed(*changes: Expect | Forget, dues: tuple[Due, ...] = ()) -> Batch:
    return Batch([], [], {}, [], [], leases=list(changes), dues=list(dues), now=START)


def expect(
    awaits: Awaited = "beat", *, job: str = "j", attempt: int = 1, lease_s: int | None = 90
) -> Expect:
    return Expect(
        job, job, attempt, awaits, lease_s or 90, lease_s, instance="here", host="nas", pid=1
    )


def beat(job: str = "j", attempt: int = 1, **more: object) -> Renewal:
    return Renewal(job, attempt, 90 * S, **more)  # type: ignore[arg-type]


class Clock:
    """The times at which a store is looked at, in seconds from any moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._now = EARLY
        store.exclusive(lambda cursor: leases.be_there(cursor, EARLY))

    def after(self, seconds: float) -> int:
        """Let time pass, and return the service time."""
        self._now += int(seconds * S)
        return self.do(leases.service_now)

    def pass_by(self, seconds: int) -> None:
        """Let time pass while the service is there."""
        for second in [0, *[1] * seconds]:  # the store's own clock is far ahead of this one
            self.after(second)

    def do(self, work: Callable[[Cursor], T]) -> T:
        def run(cursor: Cursor) -> T:
            leases.be_there(cursor, self._now)
            return work(cursor)

        return self._store.exclusive(run)

    def late(self) -> list[str]:
        return self.do(lambda cursor: [lease.job for lease in leases.overdue(cursor, 10)])


def row(store: Store, job: str = "j") -> Lease | None:
    return store.read(lambda cursor: leases.find(cursor, job))


class Leases:
    @pytest.fixture
    def clock(self, store: Store) -> Clock:
        return Clock(store)

    def test_absence_counts_for_little(self, clock: Clock) -> None:
        """Up to 2.5 s between two looks count; of a longer gap no more does."""
        before = clock.after(0)
        assert clock.after(2.5) - before == 2.5 * S
        assert clock.after(14) - before == 5 * S
        assert clock.after(86_400) - before == 7.5 * S

    def test_service_time_never_goes_back(self, clock: Clock) -> None:
        """Not if the clock is set back, either; it goes on from there."""
        before = clock.after(0)
        assert clock.after(-3600) == before
        assert clock.after(1) == before + S

    def test_a_lease_is_over_after_its_time_and_the_grace(self, store: Store, clock: Clock) -> None:
        """For a lease of 90 s not before 95 s."""
        store.append(changed(expect()))
        clock.pass_by(94)
        assert clock.late() == []
        clock.pass_by(1)
        assert clock.late() == ["j"]

    def test_no_lease_is_over_because_the_service_was_away(
        self, store: Store, clock: Clock
    ) -> None:
        """However long that was."""
        store.append(changed(expect()))
        clock.after(7 * 86_400)
        assert clock.late() == []

    def test_a_beat_renews_the_row_of_its_attempt(self, store: Store, clock: Clock) -> None:
        """And it keeps what was reported."""
        store.append(changed(expect()))
        clock.pass_by(80)
        clock.do(lambda c: leases.renew(c, [beat(heard=START, live=7, figures=b"{}")]))
        clock.pass_by(80)
        assert clock.late() == []
        found = row(store)
        assert found is not None
        assert (found.live, found.figures, found.heard) == (7, b"{}", START)

    def test_a_beat_makes_no_row(self, store: Store, clock: Clock) -> None:
        """Nor does it change the row of another attempt, or of a lost one; it is told what is."""
        assert clock.do(lambda c: leases.renew(c, [beat()])) == {("j", 1): None}
        assert row(store) is None
        for expected in (expect(attempt=2), expect("return")):
            store.append(changed(expected))
            before = row(store)
            assert clock.do(lambda c: leases.renew(c, [beat(live=7)])) == {("j", 1): before}
            assert row(store) == before

    def test_what_is_buffered_renews_nothing(self, store: Store, clock: Clock) -> None:
        """It is noted, also of a lost attempt."""
        store.append(changed(expect("return")))
        before = row(store)
        clock.pass_by(10)
        assert not clock.do(lambda c: leases.renew(c, [Renewal("j", 1, None, buffered=3)]))
        found = row(store)
        assert before is not None
        assert found is not None
        assert (found.due, found.awaits, found.buffered) == (before.due, "return", 3)

    def test_a_report_brings_no_end_nearer(self, store: Store, clock: Clock) -> None:
        """Of an attempt that need not report: its time is over after its deadline at the least."""
        store.append(changed(Expect("j", "j", 1, "end", 1000)))
        before = row(store)
        clock.do(lambda c: leases.renew(c, [beat()]))
        assert row(store) == before

    def test_the_next_attempt_has_a_row_of_its_own(self, store: Store, clock: Clock) -> None:
        """The numbers of reports begin again; of the same attempt they stay."""
        store.append(changed(expect()))
        clock.do(lambda c: leases.renew(c, [beat(live=7, figures=b"{}")]))
        store.append(changed(expect("return")))
        found = row(store)
        assert found is not None
        assert (found.live, found.figures) == (7, b"{}")
        store.append(changed(expect(attempt=2)))
        found = row(store)
        assert found is not None
        assert (found.attempt, found.live, found.figures) == (2, None, None)

    def test_what_rests_on_a_lease_being_over_conflicts_with_a_beat(
        self, store: Store, other: Store, clock: Clock
    ) -> None:
        """Nothing of it is written then."""
        store.append(changed(expect()))
        found = row(store)
        assert found is not None
        clock.pass_by(10)
        clock.do(lambda c: leases.renew(c, [beat()]))
        due = (Due("j", found.due),)
        with pytest.raises(Conflict):
            other.append(changed(expect("return"), dues=due))
        renewed = row(store)
        assert renewed is not None
        assert renewed.awaits == "beat"
        other.append(changed(expect("return"), dues=(Due("j", renewed.due),)))
        lost = row(store)
        assert lost is not None
        assert lost.awaits == "return"

    def test_a_job_that_is_over_has_no_row(self, store: Store, clock: Clock) -> None:
        """It may be forgotten twice."""
        store.append(changed(expect()))
        for _ in range(2):
            store.append(changed(Forget("j")))
        assert row(store) is None
        assert not store.read(leases.some_are_there)

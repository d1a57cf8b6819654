"""Take producers' reports: what becomes an event, what is only shown, and what is answered.

A report says how things stand. It is never refused for its figures, and never for coming too often:
what is not worth an event is shown until the next report.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.errors import Refusal
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound, JobOver
from ledger.domain.errors.producers import (
    AttemptOver,
    AttemptReplaced,
    AttemptTaken,
    JobForced,
    NobodyWorks,
)
from ledger.domain.errors.store import StoreFull, StoreUnreachable
from ledger.domain.events.producers import Holder, Outcome, ProgressReported
from ledger.domain.producers.commands import ReportProgress, SeeCancel, TakeUpJob
from ledger.domain.producers.leases import Lease, lease_of
from ledger.domain.producers.progress import STALEST, becomes_event, percent
from ledger.domain.producers.stops import Stop, asked_to_stop
from ledger.domain.producers.texts import SALT_BYTES, Words, text_of
from ledger.leases.figures import (
    Figures,
    Waiting,
    encode,
    figures_after,
    figures_of,
    is_before,
    newest,
    waiting_of,
)
from ledger.leases.held_beats import HeldBeats, boot_time_s
from ledger.leases.known_jobs import Known, KnownJobs
from ledger.store.tables import leases, spent_ids
from ledger.store.tables.leases import Renewal
from ledger.store.writer import Caller

EVERY_S = 1
"""How often a producer may report so that each report may become an event."""
SELDOM_S = 5
"""How often it should if it reports more often than that."""
WAITING_MOST = timedelta(days=30)
_US = timedelta(microseconds=1)
_TRIES = 4
"""How often a report is looked at that meets another attempt, or an end, on its way."""


class Said(Struct, frozen=True, gc=False):
    """Figures of a report; what it does not say stays as it was.

    `report` has the fields that are said, and `fields` their names.
    """

    report: ProgressReported
    fields: frozenset[str]


class Report(Struct, frozen=True, gc=False):
    """A report as it came.

    `attempt_of` returns the attempt that it is about, given the job as it is; None for the newest.
    It raises what the caller may not do. `holder` is who makes the attempt; None if the token does
    not prove that. `words` are those of the message.
    """

    job: str
    owner: str
    holder: Holder | None
    attempt_of: Callable[[Job], int | None]
    said: Said | None = None
    message: str | None = None
    words: tuple[Words, ...] = ()
    seq: int | None = None
    buffered: bool = False
    cancel_seen: bool = False
    waiting: Waiting | None = None


class Answer(Struct, frozen=True, gc=False):
    """What the producer is told: how its job has ended, if it is over, and why it is to stop."""

    job: str
    attempt: int
    accepted: bool = True
    recorded: bool = False
    duplicate: bool = False
    over: Outcome | None = None
    stop: Stop | None = None
    expires_in_s: float | None = None
    report_every_s: int = EVERY_S


class Live(Struct, frozen=True, gc=False):
    """What is known of an attempt beyond its events: its newest figures, and for what it waits."""

    heard: datetime | None
    figures: Figures | None
    waiting: Waiting | None
    lost: datetime | None


class _Moved(Exception):
    """The job is not what it was known as."""


class Reporting:
    """In the event loop."""

    def __init__(
        self,
        ledger: Ledger,
        held: HeldBeats,
        known: KnownJobs,
        *,
        elapsed_s: Callable[[], float] = boot_time_s,
    ) -> None:
        self._ledger = ledger
        self._held = held
        self._known = known
        self._elapsed_s = elapsed_s

    async def take(self, report: Report, by: Caller) -> Answer:
        """Take a report.

        Raise `JobNotFound`, `JobDiscarded`, `AttemptReplaced`, `AttemptOver`, `JobForced`,
        `NobodyWorks`, or `StoreFailed`.
        """
        is_fresh = self._known.get(report.job) is None
        for _ in range(_TRIES):
            try:
                return await self._take(report, by)
            except _Moved:
                pass
            except (AttemptTaken, AttemptOver, NobodyWorks):
                if is_fresh:
                    raise  # otherwise another process may have begun the attempt
            await self._known.look_again(report.job)
            is_fresh = True
        raise StoreUnreachable(f"job {report.job} changes all the time")

    async def drop_words(self, job: str) -> None:
        """Drop from memory what was last said of a job, once that is written with its lease.

        So nothing writes it again after it has been removed from there.
        """
        known = self._known.get(job)
        if known is not None:
            known.drop_words()
        await self._held.flush()

    async def _take(self, report: Report, by: Caller) -> Answer:
        known = await self._known.find(report.job)
        job, produced = await self._own(report, known)
        said = report.attempt_of(job)
        attempt = job.attempt if said is None else said
        if job.state != "started":
            return _over(job, produced, attempt)
        if attempt > job.attempt:
            await self._go_on(report, attempt, job.attempt, by)
            raise _Moved
        _check_attempt(job, attempt)
        if produced.is_group or not job.attempt:
            raise NobodyWorks(job.uuid)
        if produced.queued:
            raise AttemptOver(job.uuid, attempt)
        known.begin(attempt)
        if known.recorded is None:
            known.recorded = job.last_modified
        is_again = _is_known(report, known)
        if is_again:
            report = _heartbeat(report, known)
        with _marked(report, known):
            return await self._take_new(report, known, job, produced, by, duplicate=is_again)

    async def _own(self, report: Report, known: Known) -> tuple[Job, Produced]:
        job = known.job
        if job is not None and job.owner == report.owner and job.produced is not None:
            return job, job.produced
        owner_of = partial(spent_ids.owner_of, job=report.job)
        if job is None and await asyncio.to_thread(self._ledger.read, owner_of) == report.owner:
            raise JobDiscarded(report.job)
        raise JobNotFound(report.job)

    async def _go_on(self, report: Report, attempt: int, current: int, by: Caller) -> None:
        """Begin an attempt that this ledger does not know: it was restored, as the token proves."""
        if report.holder is None:
            raise AttemptTaken(report.job, current)
        command = TakeUpJob(report.job, attempt - 1, report.holder, number=attempt)
        with suppress(JobOver):
            await self._ledger.execute(command, by)

    async def _take_new(
        self,
        report: Report,
        known: Known,
        job: Job,
        produced: Produced,
        by: Caller,
        *,
        duplicate: bool,
    ) -> Answer:
        now = self._ledger.clock.now()
        recorded = is_slow = False
        stale = _is_stale(report, known, produced)
        figures = _figures(report, known, produced, job.attempt, stale=stale)
        if not report.buffered:
            known.heard, known.waiting = now, report.waiting
        says_more = figures is not None and not stale
        if says_more and known.attempt == job.attempt:
            known.figures = figures  # before awaiting: its words may be removed meanwhile
        if figures is not None:
            is_slow = not report.buffered and not known.take_turn(self._elapsed_s())
            event = _event(report, figures, stale=stale)
            if not is_slow and _is_worth_an_event(report, event, known, produced, now):
                recorded = await self._record(report, event, by)
        if known.unsaid and not report.buffered:
            says_more, known.unsaid = True, False
        await self._renew(report, known, known.figures if says_more else None, job, now=now)
        if report.cancel_seen and produced.cancel_seen is None:
            with suppress(Refusal):
                await self._ledger.execute(SeeCancel(job.uuid, job.attempt), by)
        return await self._answer(
            known, report, recorded=recorded, duplicate=duplicate, is_slow=is_slow
        )

    async def _record(self, report: Report, event: ProgressReported, by: Caller) -> bool:
        command = ReportProgress(report.job, event, report.buffered, report.words)
        try:
            await self._ledger.execute(command, by)
        except StoreFull:
            return False  # it is shown all the same
        except Refusal:
            raise _Moved from None
        return True

    async def _renew(
        self,
        report: Report,
        known: Known,
        figures: Figures | None,
        job: Job,
        *,
        now: datetime,
    ) -> None:
        """Let the beat hold for its time; raise `_Moved` if the attempt is over or replaced."""
        shown = None if figures is None else encode(figures)
        if report.buffered:
            self._held.hold(
                Renewal(job.uuid, job.attempt, None, buffered=report.seq, figures=shown)
            )
            return
        assert job.produced is not None
        holds = _holds(report, job.produced, now)
        renewal = Renewal(
            job.uuid,
            job.attempt,
            holds // _US,
            now,
            known.live,
            figures=shown,
            waiting=None if report.waiting is None else encode(report.waiting),
        )
        if report.waiting is None and self._held.may_hold(job.uuid, job.attempt):
            self._held.hold(renewal)
            return
        if not (await self._held.write(renewal)).renewed:
            await self._look_again(job)

    async def _look_again(self, job: Job) -> None:
        """Read the job that was not renewed; raise `_Moved` if it is not what it was known as."""
        now = (await self._known.look_again(job.uuid)).job
        if now is None or _standing(now) != _standing(job):
            raise _Moved

    async def _answer(
        self,
        known: Known,
        report: Report,
        *,
        recorded: bool,
        duplicate: bool,
        is_slow: bool,
    ) -> Answer:
        job = known.job
        assert job is not None
        assert job.produced is not None
        return Answer(
            job.uuid,
            job.attempt,
            recorded=recorded,
            duplicate=duplicate,
            stop=None if report.buffered else await self.stop_of(job),
            expires_in_s=_expires_in_s(report, job.produced, self._ledger.clock.now()),
            report_every_s=SELDOM_S if is_slow else EVERY_S,
        )

    async def record_last(self, uuid: str, by: Caller) -> None:
        """Record what the attempt said last, if no event has: its job is about to end."""
        known = await self._known.find(uuid)
        figures = await self._last_said(uuid, known)
        job = known.job
        if job is None or job.produced is None or figures is None or job.state != "started":
            return
        recorded = job.produced.reported
        if recorded is not None and _is_recorded(figures, recorded):
            return
        report, words = figures.report, tuple[Words, ...]()
        if figures.message is not None:
            text, kept = text_of(figures.message, secrets.token_bytes(SALT_BYTES))
            report, words = replace(report, message=text), (kept,)
        with suppress(Refusal, StoreFull):
            await self._ledger.execute(ReportProgress(uuid, report, words=words), by)

    async def _last_said(self, uuid: str, known: Known) -> Figures | None:
        """Return the newest figures, whichever process has heard of them.

        The lease may still have words that were removed; then what is known here has to do.
        """
        if known.unsaid:
            return known.figures
        lease = await asyncio.to_thread(self._ledger.read, lambda cursor: leases.find(cursor, uuid))
        if lease is None or lease.attempt != known.attempt:
            return known.figures
        return newest(figures_of(lease), known.figures)

    async def stop_of(self, job: Job) -> Stop | None:
        """Return why a job is asked to stop, as this process knows of it now."""
        return asked_to_stop(job, await self._known.line(job))

    def live(self, uuid: str, lease: Lease | None) -> Live | None:
        """Return what is known of the attempt: what came here may not be in its lease yet."""
        known = self._known.get(uuid)
        if lease is None:
            return None
        live = Live(lease.heard, figures_of(lease), waiting_of(lease), lease.lost)
        if known is None or known.heard is None or known.attempt != lease.attempt:
            return live
        heard = known.heard if lease.heard is None else max(known.heard, lease.heard)
        return replace(live, heard=heard, figures=newest(live.figures, known.figures))


def _expires_in_s(report: Report, produced: Produced, now: datetime) -> float | None:
    if lease_of(produced) is None:
        return None
    return _holds(report, produced, now).total_seconds()


def _over(job: Job, produced: Produced, attempt: int) -> Answer:
    """Say how the job has ended; whoever was replaced or overruled before must still stop."""
    _check_attempt(job, min(attempt, job.attempt))
    if produced.reason == "forced":
        raise JobForced(job.uuid)
    return Answer(job.uuid, attempt, accepted=False, over=produced.outcome)


def _standing(job: Job) -> tuple[object, ...]:
    """Return what decides whether an attempt may report."""
    return job.state, job.attempt, job.produced is not None and job.produced.queued


def _check_attempt(job: Job, attempt: int) -> None:
    if attempt != job.attempt:
        raise AttemptReplaced(job.uuid, attempt, job.attempt)


def _is_known(report: Report, known: Known) -> bool:
    """Return whether a report with this number or a later one came before."""
    mark = known.buffered if report.buffered else known.live
    return report.seq is not None and mark is not None and report.seq <= mark


@contextmanager
def _marked(report: Report, known: Known) -> Iterator[None]:
    """Let no older report count meanwhile; whoever gets no answer says the same again."""
    mark = "buffered" if report.buffered else "live"
    before, marked = getattr(known, mark), report.seq
    if marked is not None:
        setattr(known, mark, marked)
    try:
        yield
    except BaseException:
        if getattr(known, mark) == marked:
            setattr(known, mark, before)
        raise


def _heartbeat(report: Report, known: Known) -> Report:
    """Return what counts of a report that came before, or after a newer one: somebody is there."""
    waiting = None if report.buffered else known.waiting
    return replace(report, said=None, message=None, words=(), seq=None, waiting=waiting)


def _is_worth_an_event(
    report: Report, event: ProgressReported, known: Known, produced: Produced, now: datetime
) -> bool:
    """Return whether it becomes an event, and note so: another may come before it is recorded.

    Buffered reports come all at once. They count by when that was of which they tell.
    """
    assert known.recorded is not None
    before, since = produced.reported, now - known.recorded
    if report.buffered:
        before = known.told or before
        since = STALEST if known.told is None else event.happened_at - known.told.happened_at
    worth = becomes_event(event, before, since, produced.reports)
    if worth and report.buffered:
        known.told = event
    elif worth:
        known.recorded = now
    return worth


def _figures(
    report: Report, known: Known, produced: Produced, attempt: int, *, stale: bool
) -> Figures | None:
    """Return how things stand after a report that says so; None for one that says nothing."""
    if report.said is None:
        return None
    said, before = report.said, None if stale else known.figures
    stands = replace(said.report, attempt=attempt, seq=report.seq, message=None)
    if before is not None:
        kept = {field: getattr(before.report, field) for field in _KEPT if field not in said.fields}
        stands = replace(stands, **kept)
    shown = _highest(produced.shown, None if before is None else before.report.percent)
    message = report.message if before is None else report.message or before.message
    return figures_after(before, replace(stands, percent=percent(stands, shown)), message)


def _is_recorded(figures: Figures, recorded: ProgressReported) -> bool:
    """Return whether the newest event says what these figures do, or came later."""
    said = figures.report
    if recorded.happened_at > said.happened_at:
        return True
    has_no_new_words = figures.message is None or recorded.happened_at == said.happened_at
    return has_no_new_words and all(
        getattr(said, field) == getattr(recorded, field) for field in _KEPT
    )


_KEPT = ("done", "total", "unit", "total_is", "items", "phase")


def _highest(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _event(report: Report, figures: Figures, *, stale: bool) -> ProgressReported:
    message = None if report.said is None else report.said.report.message
    return replace(figures.report, message=message, stale=stale)


def _is_stale(report: Report, known: Known, produced: Produced) -> bool:
    """Return whether newer figures were shown before a buffered report came."""
    shown = produced.reported if known.figures is None else known.figures.report
    if not report.buffered or report.said is None or shown is None:
        return False
    return is_before(replace(report.said.report, seq=report.seq), shown)


def _holds(report: Report, produced: Produced, now: datetime) -> timedelta:
    """Return for how long nothing more need be heard of the attempt."""
    limits, lease_s = produced.registered.limits, lease_of(produced)
    holds = timedelta(seconds=limits.abandon_after_s if lease_s is None else lease_s)
    if report.waiting is None:
        return holds
    return holds + min(max(report.waiting.until - now, timedelta(0)), WAITING_MOST)

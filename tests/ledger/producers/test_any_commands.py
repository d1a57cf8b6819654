"""Whatever producers and operators do: what was acknowledged stays, and all events are legal.

Seeded walks, not examples of hypothesis: only a long one meets an end, a loss or a seal.
"""

from random import Random

import pytest

from ledger.domain.commands import Command
from ledger.domain.events.producers import Ends, JobAttemptFailed, JobCancelRequested, Tolerated
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RegisterJob,
    ReportProgress,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    SeeCancel,
    SettleJob,
    TakeUpJob,
)
from ledger.store.unit_of_work import UnitOfWork
from tests.support.deciding import Given, given
from tests.support.producing import (
    BROKEN,
    DONE,
    HERE,
    SKIPPED,
    STOPPED,
    THERE,
    registered,
    report,
)
from tests.support.world import ME, START

JOBS = "abcd"
HOLDERS = (HERE, THERE)
ENDS = (DONE, SKIPPED, BROKEN, STOPPED)
TOLERATED: tuple[Tolerated, ...] = ("failed", "cancelled", "missing")
STEPS = 60
WALKS = 40


def any_command(chance: Random, world: UnitOfWork) -> Command:
    """Return a command that is about the current attempt, more often than not."""
    uuid = chance.choice(JOBS)
    job = world.job(uuid)
    if job is None or chance.random() < 0.1:
        return any_registration(chance, uuid)
    attempt = max(0, job.attempt + chance.choice((0, 0, 0, 0, -1, 1)))
    return chance.choice(
        (
            TakeUpJob(uuid, attempt, chance.choice(HOLDERS), replaces=chance.random() < 0.2),
            ReportProgress(uuid, report(chance.randrange(200), attempt=attempt)),
            ReturnAttempt(uuid, attempt),
            LoseProducer(uuid, attempt),
            FailAttempt(uuid, JobAttemptFailed(attempt, START)),
            EndJob(uuid, attempt, chance.choice(ENDS)),
            RequestCancel(ME, uuid, JobCancelRequested(chance.choice((-60, 60)))),
            SettleJob(uuid),
            SeeCancel(uuid, attempt),
            ForceEnd(ME, uuid),
            SealJob(ME, uuid),
            AbandonJob(uuid, attempt),
        )
    )


def any_registration(chance: Random, uuid: str) -> RegisterJob:
    ends: Ends = chance.choice(("self", "children"))
    works = ends == "self" and chance.random() < 0.7
    said = registered(
        ends=ends,
        cancellable=chance.random() < 0.8,
        expect_children=chance.choice((None, 1, 2)),
        tolerate=tuple(each for each in TOLERATED if chance.random() < 0.2),
    )
    return RegisterJob(
        owner=ME,
        job=uuid,
        operation="backup",
        registered=said,
        parent=chance.choice((None, *JOBS)),
        holder=chance.choice(HOLDERS) if works else None,
        end=chance.choice(ENDS) if works and chance.random() < 0.1 else None,
    )


def accept(history: Given, command: Command) -> bool:
    """Do it; return whether it was accepted. The harness asks the auditor about each event."""
    outcome = history.when(command)
    if outcome.refusal is None:
        history.world.settle(outcome.world)
    return outcome.refusal is None


def ends(world: UnitOfWork) -> dict[str, tuple[object, ...]]:
    """Return how the jobs ended that have."""
    jobs = {uuid: world.job(uuid) for uuid in JOBS}
    return {
        uuid: (job.state, job.ended, job.error, job.produced.outcome, job.produced.reason)
        for uuid, job in jobs.items()
        if job is not None and job.produced is not None and job.state != "started"
    }


@pytest.mark.parametrize("seed", range(WALKS))
def test_an_end_never_changes_and_nothing_is_recorded_twice(seed: int) -> None:
    """A client that got no answer repeats itself."""
    chance, history = Random(seed), given()  # noqa: S311
    ended: dict[str, tuple[object, ...]] = {}
    for _ in range(STEPS):
        command = any_command(chance, history.world)
        if accept(history, command):
            assert history.when(command).changes == [] or is_news_each_time(command)
        now = ends(history.world)
        assert ended.items() <= now.items(), command
        ended = now


def is_news_each_time(command: Command) -> bool:
    """A report says how things stand now; who may not be abandoned yet is looked at again later."""
    return isinstance(command, ReportProgress | AbandonJob)


def test_the_walks_go_everywhere() -> None:
    """Each command is accepted somewhere, and groups end in every way."""
    accepted, ways = set(), set()
    for seed in range(WALKS):
        chance, history = Random(seed), given()  # noqa: S311
        for _ in range(STEPS):
            command = any_command(chance, history.world)
            if accept(history, command):
                accepted.add(type(command))
        ways |= {end[3:] for end in ends(history.world).values()}
    assert len(accepted) == 13
    assert ways >= {
        ("succeeded", None),
        ("skipped", None),
        ("failed", "program"),
        ("failed", "children"),
        ("failed", "lost"),
        ("failed", "expired"),
        ("cancelled", "interrupted"),
        ("cancelled", "requested"),
        ("cancelled", "forced"),
    }

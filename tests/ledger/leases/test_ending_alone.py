"""A job that ends only if nobody works below it. What runs below is known without reading it."""

import pytest
from msgspec.structs import replace

from ledger.domain.commands import Command
from ledger.domain.errors.producers import ChildrenRunning
from ledger.domain.events.producers import JobAttemptFailed
from ledger.domain.producers.commands import EndJob, FailAttempt, LoseProducer
from ledger.store.seam import Cursor
from ledger.store.state_cache import StateCache
from ledger.store.unit_of_work import CachedStream
from tests.ledger.leases.present import Present, working
from tests.support.producing import DONE, group
from tests.support.world import START

ALONE = EndJob("j", 1, DONE, alone=True)
CHILDREN = [f"c{nth}" for nth in range(8)]


def running(present: Present) -> int:
    """Return how many keep the job from ending."""
    with pytest.raises(ChildrenRunning) as refused:
        present.opened.do(ALONE)
    return refused.value.running


def test_all_who_work_right_below_are_counted(present: Present) -> None:
    present.opened.do(working("j"), *(working(child, "j") for child in CHILDREN))
    present.opened.do(EndJob(CHILDREN[0], 1, DONE))
    assert running(present) == len(CHILDREN) - 1


def test_who_works_far_below_keeps_it_from_ending(present: Present) -> None:
    present.opened.do(working("j"), replace(group("group"), parent="j"))
    present.opened.do(working("child", "group"), working("far below", "child"))
    present.opened.do(EndJob("child", 1, DONE))
    assert running(present) == 1
    present.opened.do(EndJob("far below", 1, DONE), ALONE)
    assert present.job().state == "success"


@pytest.mark.parametrize(
    "idle",
    [LoseProducer("below", 1), FailAttempt("below", JobAttemptFailed(1, START))],
    ids=["lost", "queued"],
)
def test_a_job_below_on_which_nobody_works_does_not(present: Present, idle: Command) -> None:
    """Nor does one elsewhere in the tree."""
    present.opened.do(working("root"), working("j", "root"), working("elsewhere", "root"))
    present.opened.do(working("below", "j"), idle, ALONE)
    assert present.job().state == "success"


def test_no_job_below_is_read(present: Present, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor any elsewhere in the tree: there may be thousands, and all commands would wait."""
    present.opened.do(working("root"), working("j", "root"), working("elsewhere", "root"))
    present.opened.do(*(working(child, "j") for child in CHILDREN))
    present.opened.do(*(working(f"{child} elsewhere", "elsewhere") for child in CHILDREN))
    read_stream, read = StateCache._read_stream, []

    def noted(cache: StateCache, stream: str, cursor: Cursor, known: CachedStream) -> CachedStream:
        read.append(stream)
        return read_stream(cache, stream, cursor, known)

    monkeypatch.setattr(StateCache, "_read_stream", noted)
    present.ledger.exclusive(lambda _: present.ledger.forget()).result()
    assert running(present) == len(CHILDREN)
    present.opened.do(*(EndJob(child, 1, DONE) for child in CHILDREN))
    present.ledger.exclusive(lambda _: present.ledger.forget()).result()
    read.clear()
    present.opened.do(ALONE)
    assert {*read} == {"job-j", "job-root"}

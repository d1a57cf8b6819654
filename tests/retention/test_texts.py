"""Words lie beside the ledger while they may: nothing else has them, and each event proves its own.

On both stores, with archives.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.text.wording import Wording
from ledger.domain.commands import Command
from ledger.domain.events.jobs import JobFailed
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobCancelRequested,
    JobRegistered,
    Phase,
    ProgressReported,
)
from ledger.domain.producers.commands import (
    EndJob,
    FailAttempt,
    LoseProducer,
    RegisterJob,
    RemoveTexts,
    ReportProgress,
    RequestCancel,
    TakeUpJob,
)
from ledger.domain.producers.limits import limits
from ledger.domain.producers.texts import PHASES_MOST
from ledger.store.tables import texts
from projections.tables import TABLES
from tests.retention.conftest import Clock, Nodes
from tests.retention.telling import check
from tests.support.producing import HERE
from tests.support.retained import Retained
from tests.support.world import ME, START

SECRET = "Kennwort"
"""Is in all words of these tests."""


def said(about: str) -> str:
    return f"{SECRET} {about}"


def registered(job: str, parent: str | None = None) -> RegisterJob:
    wording = Wording()
    title = wording.text(said("title"), 100)
    event = JobRegistered("//nas", limits(lease_s=90), START, title=title)
    return RegisterJob(ME, job, "backup", event, parent, HERE, words=wording.words)


def reported(job: str, words: str, phase: str | None = None) -> ReportProgress:
    wording = Wording()
    named = None if phase is None else Phase(phase)
    report = ProgressReported(1, START, phase=named, message=wording.text(words, 100))
    return ReportProgress(job, report, words=wording.words)


def asked(job: str) -> RequestCancel:
    wording = Wording()
    request = JobCancelRequested(60, note=wording.text(said("note"), 100))
    return RequestCancel(ME, job, request, wording.words)


def failed_once(job: str) -> FailAttempt:
    wording = Wording()
    failed = JobAttemptFailed(1, START, message=wording.text(said("first"), 100))
    return FailAttempt(job, failed, wording.words)


def ended(job: str, attempt: int = 1) -> EndJob:
    wording = Wording()
    end = JobFailed(
        reason="program",
        happened_at=START,
        message=wording.text(said("error"), 100),
        tail=wording.text(said("tail"), 100),
        result=wording.text(said("result"), 100),
    )
    return EndJob(job, attempt, end, wording.words)


def told(job: str, parent: str | None = None) -> tuple[Command, ...]:
    """All that may be said of a job, from its registration to its end."""
    return (
        registered(job, parent),
        reported(job, said("one"), "scan"),
        reported(job, said("two"), "scan"),
        reported(job, said("three"), "send"),
        reported(job, said("four")),
        asked(job),
        failed_once(job),
        TakeUpJob(job, 1, HERE),
        ended(job, 2),
    )


KEPT = {
    "title": said("title"),
    "message": said("four"),
    "message/scan": said("two"),
    "message/send": said("three"),
    "note": said("note"),
    "error": said("error"),
    "tail": said("tail"),
    "result": said("result"),
}
"""What is left of all that."""


def words(node: Retained, *jobs: str) -> dict[str, dict[str, str]]:
    found = node.store.read(lambda cursor: texts.read(cursor, jobs))
    return {job: dict(slots) for job, slots in found.items()}


def everything_but_texts(node: Retained) -> Iterator[bytes]:
    """All that the ledger keeps, in bytes: events, rows that show them, archives."""
    with node.ledger.log() as log:
        for event in log.events():
            yield event.state
    for rows in node.rows().values():
        yield repr(rows).encode()
    for file in Path(node.archives).glob("*"):
        yield file.read_bytes()
    for event in node.shelf.events():
        yield event.state


def leaks(node: Retained) -> list[bytes]:
    return [found for found in everything_but_texts(node) if SECRET.encode() in found]


def test_words_lie_beside_the_ledger_and_nowhere_else(nodes: Nodes) -> None:
    """The last of each phase, of each kind; and every event proves those that are there."""
    one, two = nodes
    one.do(*told("j"))
    assert words(two, "j", "k") == {"j": KEPT}
    assert leaks(two) == []
    assert TABLES, "rows were searched"
    check(one)


def test_words_of_another_node_replace_the_earlier_ones(nodes: Nodes) -> None:
    one, two = nodes
    one.do(registered("j"), reported("j", "one"))
    two.do(reported("j", "two"))
    one.do(reported("j", "three"))
    assert words(two, "j")["j"]["message"] == "three"


def test_a_loss_brings_the_words_of_the_last_report(nodes: Nodes) -> None:
    one, two = nodes
    last = reported("j", said("last"))
    one.do(registered("j"), LoseProducer("j", 1, last.report, last.words))
    assert words(two, "j")["j"]["message"] == said("last")
    check(two)


def test_what_is_said_again_leaves_the_words_of_the_first_time(nodes: Nodes) -> None:
    """No event has the new salts, so that nothing would prove the words."""
    one, two = nodes
    one.do(*told("j"))
    two.do(ended("j", 2))
    assert words(two, "j") == {"j": KEPT}
    check(one)


def test_messages_of_the_newest_phases_are_kept(nodes: Nodes) -> None:
    one, two = nodes
    one.do(registered("j"), registered("other"), reported("other", "other"))
    one.do(*(reported("j", str(nth), f"phase {nth}") for nth in range(PHASES_MOST + 3)))
    one.do(reported("j", "again", "phase 4"))
    kept = {f"message/phase {nth}": str(nth) for nth in range(3, PHASES_MOST + 3)}
    assert words(two, "j") == {"j": {"title": said("title"), **kept, "message/phase 4": "again"}}
    assert words(two, "other")["other"]["message"] == "other"


def test_the_owner_removes_all_words_of_a_job_at_any_time(nodes: Nodes) -> None:
    """What is said afterwards is kept again; the end stays as it was."""
    one, two = nodes
    one.do(registered("j"), reported("j", said("one")), registered("other"))
    two.do(RemoveTexts(ME, "j"))
    assert words(one, "j", "other") == {"other": {"title": said("title")}}
    one.do(ended("j"))
    assert set(words(two, "j")["j"]) == {"error", "tail", "result"}
    one.do(RemoveTexts(ME, "j"), RemoveTexts(ME, "j"))
    assert words(two, "j", "other") == {"other": {"title": said("title")}}
    assert removals(two, "j") == 2
    check(two)


def removals(node: Retained, job: str) -> int:
    with node.ledger.log() as log:
        topics = [topic for _, topic, _ in log.stream(f"job-{job}")]
    return topics.count("job-texts-removed/1")


@pytest.mark.parametrize("compacted", [False, True])
def test_words_go_with_the_tree(nodes: Nodes, clock: Clock, *, compacted: bool) -> None:
    """In the transaction that discards it, before its events are archived."""
    one, two = nodes
    one.keep(days=0)
    one.do(*told("j"), *told("j2"), registered("stays"))
    two.do(RemoveTexts(ME, "j2"))
    clock.advance(days=1)
    if compacted:
        two.run()
    else:
        two.retention.run_if_worthwhile()
    assert words(one, "j", "j2", "stays") == {"stays": {"title": said("title")}}
    assert bool(two.shelf.names()) == compacted
    assert leaks(one) == []
    check(one)


def test_an_audit_finds_words_that_no_event_proves(nodes: Nodes) -> None:
    one, _ = nodes
    one.do(*told("j"))

    for change in (
        "UPDATE texts SET words = 'other words' WHERE slot = 'note'",
        "UPDATE texts SET version = version - 1 WHERE slot = 'tail'",
        "UPDATE texts SET slot = 'message/none' WHERE slot = 'message/scan'",
        "UPDATE texts SET job = 'none' WHERE slot = 'title'",
    ):
        one.store.exclusive(lambda cursor, change=change: cursor.execute(change) and None)
    found = one.store.read(lambda cursor: set(texts.unproved(cursor)))
    assert found == {("j", "note"), ("j", "tail"), ("j", "message/none"), ("none", "title")}
    divergence = one.replay().divergence
    assert divergence is not None
    assert "no event proves the words" in divergence.reason

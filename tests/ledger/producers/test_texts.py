"""Words beside the ledger: what an event has of them, how long they may be, and their removal."""

import hashlib

import pytest

from api.text.wording import Wording
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.context import Fact
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.event_rules import violation
from ledger.domain.events import Event
from ledger.domain.events.jobs import JobAttemptLost, JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobCancelRequested,
    JobRegistered,
    JobSkipped,
    JobTextsRemoved,
    LateReportRecorded,
    Phase,
    ProgressReported,
    Text,
)
from ledger.domain.producers.commands import (
    EndJob,
    RegisterJob,
    RemoveTexts,
    RequestCancel,
)
from ledger.domain.producers.limits import limits
from ledger.domain.producers.texts import CUT, DropTexts, storable, text_of, texts_in
from tests.support.deciding import given
from tests.support.producing import HERE, running
from tests.support.world import ME, SOMEBODY_ELSE, START

TEXT = Text(2, "00")
TITLED = RegisterJob(
    ME, "j", "backup", JobRegistered("//nas", limits(), START, title=TEXT), None, HERE
)
FAILED = EndJob("j", 1, JobFailed(reason="program", happened_at=START, message=TEXT))


def test_an_event_has_the_digest_of_salt_and_words() -> None:
    text, words = text_of("Grüße", b"salt")
    assert text == Text(7, hashlib.sha256("saltGrüße".encode()).hexdigest())
    assert words == (text.digest, b"salt", "Grüße")


def test_the_same_words_never_have_the_same_digest() -> None:
    """Who guesses words cannot compare them with other jobs'."""
    wording = Wording()
    first, second = wording.text("yes", 10), wording.text("yes", 10)
    assert first is not None
    assert second is not None
    assert first.digest != second.digest
    assert [(each.digest, each.words) for each in wording.words] == [
        (first.digest, "yes"),
        (second.digest, "yes"),
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("12345678", "12345678"),
        ("123456789", "12345" + CUT),
        ("1234ä6789", "1234" + CUT),
        ("a\0b\ud800c", "a\ufffdb…"),
        ("a\0b", "a\ufffdb"),
        ("", ""),
    ],
)
def test_words_are_cut_and_never_refused(said: str, kept: str) -> None:
    assert storable(said, 8) == kept
    assert storable(said, 2) in ("", said)


def test_words_of_one_command_share_what_is_left() -> None:
    wording = Wording(left=10)
    assert wording.text(None, 8) is None
    assert wording.text("", 8) is None
    assert wording.text("12345678", 8) is not None
    assert wording.text("12345678", 8) is None
    assert wording.text("12", 8) is not None
    assert [each.words for each in wording.words] == ["12345678", "12"]


@pytest.mark.parametrize(
    ("event", "slots"),
    [
        (JobRegistered("//nas", limits(), START, title=TEXT), ["title"]),
        (JobRegistered("//nas", limits(), START), []),
        (ProgressReported(1, START, message=TEXT), ["message"]),
        (ProgressReported(1, START, phase=Phase("scan"), message=TEXT), ["message/scan"]),
        (ProgressReported(1, START, message=TEXT, stale=True), []),
        (JobAttemptLost(1, ProgressReported(1, START, message=TEXT)), ["message"]),
        (JobAttemptLost(1), []),
        (JobCancelRequested(60, note=TEXT), ["note"]),
        (JobAttemptFailed(1, START, message=TEXT, tail=TEXT), ["error", "tail"]),
        (JobFailed(message=TEXT, tail=TEXT, result=TEXT), ["error", "tail", "result"]),
        (JobCancelled(message=TEXT, result=TEXT), ["error", "result"]),
        (JobSucceeded(result=TEXT), ["result"]),
        (JobSkipped(START, TEXT), ["result"]),
        (
            LateReportRecorded(1, "failed", START, message=TEXT, result=TEXT, tail=TEXT),
            ["error", "tail", "result"],
        ),
        (JobTextsRemoved(), []),
    ],
)
def test_each_text_has_its_slot(event: Event, slots: list[str]) -> None:
    assert [*texts_in(event)] == [(slot, TEXT) for slot in slots]


def test_the_owner_removes_the_words_of_a_job_that_runs() -> None:
    given(TITLED).when(RemoveTexts(ME, "j")).then(
        Fact("job-j", JobTextsRemoved()), DropTexts(("j",))
    )


def test_the_owner_removes_the_words_of_a_job_that_has_ended() -> None:
    given(running(), FAILED).when(RemoveTexts(ME, "j")).then(
        Fact("job-j", JobTextsRemoved()), DropTexts(("j",))
    )


@pytest.mark.parametrize(
    "job", [running(), CreateJob(ME, "j", "x"), (TITLED, RemoveTexts(ME, "j"))]
)
def test_where_there_are_no_words_nothing_is_recorded(job: object) -> None:
    given(job).when(RemoveTexts(ME, "j")).then(DropTexts(("j",)))  # type: ignore[arg-type]


def test_words_that_follow_a_removal_can_be_removed_too() -> None:
    later = RequestCancel(ME, "j", JobCancelRequested(60, note=TEXT))
    again = given(TITLED, RemoveTexts(ME, "j"), later).when(RemoveTexts(ME, "j"))
    assert again.events_of("job-j") == [JobTextsRemoved()]


def test_nobody_else_removes_words() -> None:
    given(TITLED).when(RemoveTexts(SOMEBODY_ELSE, "j")).then_refused(JobNotFound)
    given(TITLED).when(RemoveTexts(ME, "k")).then_refused(JobNotFound)


def test_the_auditor_allows_a_removal_only_of_words() -> None:
    def judge(*history: object) -> str | None:
        job = given(*history).world.job("j")  # type: ignore[arg-type]
        assert isinstance(job, Job)
        return violation(job, "job-j", JobTextsRemoved())

    assert judge(TITLED) is None
    assert judge(TITLED, FAILED) is None
    assert judge(TITLED, RemoveTexts(ME, "j")) == "there were no texts"
    assert judge(running()) == "there were no texts"
    assert judge(CreateJob(ME, "j", "x")) is not None

"""The answers to expected errors."""

import json
import logging

import pytest

from api.accounts.grants import ScopeMissing
from api.http.errors import Forbidden, RequestRefused, RequestStatus, answer_to
from ledger.domain.errors import Expected
from ledger.domain.errors.quotas import QuotaExceeded
from tests.api.expected import error_of, expected_kinds

KINDS = expected_kinds()

ONLY_BASES = {"ImageError", "OverQuota", "Refusal"}
"""What is raised is more special."""

NEVER_OVER_HTTP = {
    # On the command line, at the admin socket and when a process starts.
    "AccountInUse",
    "AdminRefused",
    "AlreadyRebuilding",
    "BadBackup",
    "BadCheckpoint",
    "BadKey",
    "BadSettings",
    "CannotListen",
    "CannotReplay",
    "CannotVerify",
    "ChangedJustNow",
    "DataInUse",
    "DataUnusable",
    "EmailTaken",
    "KeyUnusable",
    "MayNotListen",
    "Misconfigured",
    "NotBackedUp",
    "NotCompared",
    "NotMoved",
    "NotRestored",
    "TokenNotFound",
    # In workers and in what runs in the background.
    "ArchiveNotWritten",
    "ClockMoved",
    "CopyFailed",
    "CopyStopped",
    "ImageBusy",
    "PartTaken",
    "PlanChanged",
    "RetentionBusy",
    "RetentionStopped",
    "SourceChanged",
    "SourceVanished",
    "TilingStopped",
    "VerificationFailed",
    # Where it is raised by a request, the handler says which field is at fault, or who it is.
    "AccountNotFound",
    "CannotTell",
    "InvalidAccount",
    "InvalidTokenName",
    "InvalidTokenTerms",
    "OutsideTree",
    "WrongRestrictor",
    # Below /api/v1, where errors have another shape.
    "Problem",
}

TAMPERED_WITH = {"LeavesMissing", "UnknownEvent", "UnreadableStream"}
"""A damaged ledger: clients learn nothing of it, and the log has the details."""

WITHOUT_STATUS = ONLY_BASES | NEVER_OVER_HTTP | TAMPERED_WITH


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_that_reaches_http_has_a_status(kind: type[Expected]) -> None:
    """A new error gets a status, or is named above with the reason why it has none."""
    has_status = answer_to(error_of(kind)).status != 500
    assert has_status != (kind.__name__ in WITHOUT_STATUS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_403_says_what_it_is_about(kind: type[Expected]) -> None:
    """About who asks, what they have, or the state of things: clients can tell them apart."""
    answer = answer_to(error_of(kind))
    permission = {Forbidden: "permission", ScopeMissing: "permission"}
    about = {**permission, QuotaExceeded: "quota"}.get(kind, "state")
    if answer.status != 403:
        about = None
    assert answer.headers.get("X-Ledger-Refusal") == about


def test_the_names_without_a_status_are_errors() -> None:
    """Nothing is named above that is not there."""
    assert WITHOUT_STATUS - {kind.__name__ for kind in KINDS} == set()


def test_an_error_without_a_status_appears_only_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client learns as little as from an unexpected error."""

    class Kettle(Expected):
        pass

    with caplog.at_level(logging.ERROR):
        answer = answer_to(Kettle("/secret/path"))
    (error,) = json.loads(answer.body)
    assert (answer.status, error["error_type"]) == (500, "backend")
    assert "secret" not in error["error_message"]
    assert "/secret/path" in caplog.text


@pytest.mark.parametrize(
    ("status", "error_type"), [(400, "validation"), (403, "permission"), (416, "validation")]
)
def test_the_type_follows_from_the_status(status: RequestStatus, error_type: str) -> None:
    """A refused request says with its status of which type it is; its headers are sent."""
    refused = RequestRefused(status, "why", point="size", headers={"Upgrade": "websocket"})
    answer = answer_to(refused)
    assert json.loads(answer.body) == [
        {"error_type": error_type, "error_message": "why", "error_point": "size"}
    ]
    assert (answer.status, answer.headers["Upgrade"]) == (status, "websocket")

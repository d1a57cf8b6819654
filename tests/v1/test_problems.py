"""Errors below `/api/v1`: problem documents of a closed list of types, whoever finds them."""

import orjson
import pytest

from api.http.errors import BadRequest, TooLong
from api.service.request_rates import RequestRates
from api.v1.problem_kinds import PROBLEMS
from api.v1.problems import Problem, problem_answer
from ledger.domain.errors import jobs, producers
from ledger.domain.errors.quotas import LedgerBytesSpent, QuotaExceeded
from ledger.domain.errors.store import CommitFailed, StoreFull, StoreUnreachable
from tests.api.expected import error_of, expected_kinds
from tests.v1.calling import PROBLEM, V1, problem_of

JOB = "54085bb8-066e-4c5b-a848-192bfa2112b8"


TOLD: list[tuple[Exception, int, str, dict[str, object]]] = [
    (producers.AlreadyRegistered(JOB, 2), 409, "already-registered", {"job": JOB, "attempt": 2}),
    (producers.UuidTaken(JOB), 409, "uuid-taken", {}),
    (producers.AttemptTaken(JOB, 3), 409, "attempt-taken", {"job": JOB, "attempt": 3}),
    (
        *(producers.AttemptReplaced(JOB, 1, 2), 409, "attempt-replaced"),
        {"job": JOB, "attempt": 2, "must_stop": True},
    ),
    (producers.JobForced(JOB), 409, "job-forced", {"job": JOB, "must_stop": True}),
    (
        *(producers.EndedOtherwise(JOB, "succeeded", "failed"), 409, "job-over"),
        {"job": JOB, "over": "succeeded", "reported": "failed"},
    ),
    (jobs.JobOver(JOB, "success"), 409, "job-over", {"job": JOB, "over": "succeeded"}),
    (jobs.JobNotFound(JOB), 404, "job-unknown", {"job": JOB}),
    (jobs.JobDiscarded(JOB), 410, "job-discarded", {"job": JOB}),
    (producers.ParentUnknown(JOB), 404, "parent-unknown", {"parent": JOB}),
    (producers.ParentOver(JOB, "failed"), 409, "parent-over", {"parent": JOB}),
    (producers.GroupSealed(JOB), 409, "sealed", {"job": JOB}),
    (producers.TooManyChildren(JOB, 9), 422, "bad-value", {"limit": 9}),
    (producers.NotCancellable(JOB, "nas"), 409, "not-cancellable", {"job": JOB, "host": "nas"}),
    (producers.Reserved("drive_clone"), 422, "bad-value", {"field": "operation"}),
    (producers.AttemptOver(JOB, 1), 409, "attempt-over", {"job": JOB, "attempt": 1}),
    (producers.NobodyWorks(JOB), 409, "conflict", {}),
    (jobs.LabelsFixed(JOB, 200), 422, "bad-value", {"field": "labels", "limit": 200}),
    (QuotaExceeded("jobs-kept", 5), 403, "quota", {"quota": "jobs-kept", "limit": 5}),
    (LedgerBytesSpent(5), 507, "quota", {"quota": "ledger-bytes-a-day", "limit": 5}),
    (BadRequest("why"), 400, "bad-request", {}),
    (BadRequest("why", point="pid"), 400, "bad-value", {"field": "pid"}),
    (TooLong(7), 413, "too-large", {"limit": 7}),
    (StoreUnreachable("why"), 503, "unavailable", {}),
    (StoreFull(), 507, "no-room", {}),
    (CommitFailed("why"), 503, "unavailable", {}),
    (RuntimeError("secret"), 500, "internal", {}),
]


def test_an_error_is_the_problem_that_its_client_can_go_on_from(subtests: pytest.Subtests) -> None:
    """Only a replaced attempt and a forced end tell a producer to stop."""
    for error, status, name, fields in TOLD:
        with subtests.test(type(error).__name__):
            answer = problem_answer(error, "")
            assert isinstance(answer.body, bytes)
            document = orjson.loads(answer.body)
            said = {"type": f"/api/v1/problems/{name}", "title": PROBLEMS[name].title}
            detail = {"status": status, "detail": document["detail"]}
            assert document == {**said, **detail, **fields}
            assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
            assert "secret" not in document["detail"]


def test_every_error_is_a_problem_of_the_list() -> None:
    """Also those that nobody thought of: each has a type that the service explains."""
    for kind in expected_kinds():
        if kind is not Problem:
            answer = problem_answer(error_of(kind), "")
            assert isinstance(answer.body, bytes)
            name = orjson.loads(answer.body)["type"].removeprefix("/api/v1/problems/")
            assert name in PROBLEMS, kind


async def test_what_the_middleware_refuses_is_a_problem_too(
    v1: V1, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any handler is asked: who it is, what URL, which method, how fast, and a failure."""
    assert (await v1.refused("GET", "/nothing"))["type"] == "not-found"
    assert (await v1.refused("GET", "/nothing", by=None))["type"] == "unauthorized"
    method = await v1.call("DELETE", "")
    assert (problem_of(method)["type"], method.headers["Allow"]) == (
        "method-not-allowed",
        "GET,HEAD,OPTIONS",
    )
    assert (await v1.refused("GET", "", headers={"Accept": "text/html"}))[
        "type"
    ] == "not-acceptable"
    assert (await v1.refused("GET", "?x=1&b=2"))["unknown"] == ["b", "x"]
    # The other base has its own shape still.
    assert (await v1.get("/api/2.0/nothing/")).error == (404, "notexist", None)
    assert (await v1.get("/api/v10")).status == 404

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(RequestRates, "admit", lambda *_: 3.0)
    fast = await v1.call("GET", "/nothing")
    assert problem_of(fast) == {
        "type": "too-fast",
        "status": 429,
        "retry_after_s": 3,
        "limit": fast.json["limit"],
    }
    monkeypatch.setattr(RequestRates, "admit", fail)
    assert await v1.refused("GET", "/nothing") == {"type": "internal", "status": 500}

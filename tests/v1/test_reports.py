"""Reports over HTTP: what they may say, and how they are answered."""

from io import BytesIO
from typing import Any

import orjson
import pytest

from api.accounts.grants import Grant, JobClaim, ScopeMissing
from api.v1.reports import attempt_of
from ledger.codec import decode
from ledger.domain.errors.producers import AttemptReplaced
from ledger.domain.events.producers import JobCancelRequested, ProgressReported
from ledger.domain.producers.commands import (
    EndJob,
    ForceEnd,
    RegisterJob,
    RequestCancel,
    TakeUpJob,
)
from ledger.domain.producers.progress import MOST
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.tables.streams import stored_of
from ledger.store.writer import Caller
from tests.api.calling import ALICE, BOB
from tests.support.producing import DONE, HERE, THERE, registered
from tests.support.wait import wait_until
from tests.v1.calling import V1, problem_of

UUID = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"
REPORTS = f"/jobs/{UUID}/reports"


@pytest.fixture
async def job(v1: V1) -> str:
    """A job that a process works on."""
    await do(v1, RegisterJob(ALICE.uuid, UUID, "backup", registered(), None, HERE))
    return UUID


async def do(v1: V1, *commands: Any) -> None:
    for command in commands:
        await v1.service.ledger.execute(command, Caller(ALICE.uuid, ""))


def reported(v1: V1) -> list[ProgressReported]:
    stored = v1.service.ledger.read(lambda cursor: stored_of(cursor, f"job-{UUID}"))
    events = [decode(topic, state).event for topic, state in stored]
    return [event for event in events if isinstance(event, ProgressReported)]


@pytest.mark.usefixtures("job")
async def test_a_heartbeat_is_an_empty_object(v1: V1) -> None:
    for body in ({}, None):
        answer = await v1.call("POST", REPORTS, json=body)
        assert answer.status == 200
        assert answer.json == {
            "accepted": True,
            "recorded": False,
            "attempt": 1,
            "lease": {"expires_in_s": 90},
            "report_every_s": 1,
            "cancel": None,
        }


@pytest.mark.usefixtures("job")
async def test_figures_are_never_refused(v1: V1) -> None:
    """Fractions are cut; what is beyond the bounds is stored as the bound, and that is said."""
    progress = {"done": -3.7, "total": 1e300, "unit": "bytes of a very long kind"}
    body = {"progress": progress, "items": {"ok": 2.9, "failed": 10**400}, "seq": 1}
    answer = await v1.call("POST", REPORTS, json=body)
    assert answer.json["clamped"] is True
    known = v1.service.reporting.live(UUID, await lease(v1))
    assert known is not None
    assert known.figures is not None
    said = known.figures.report
    assert (said.done, said.total, said.unit) == (0, MOST, "bytes of a very ")
    assert said.items is not None
    assert (said.items.ok, said.items.failed) == (2, MOST)


async def lease(v1: V1) -> Any:
    await v1.service.beats.flush()
    return v1.service.ledger.read(lambda cursor: leases.find(cursor, UUID))


@pytest.mark.usefixtures("job")
async def test_a_message_is_no_part_of_an_event(v1: V1) -> None:
    """Its length and a digest are."""
    body = {"progress": {"done": 1, "total": 2}, "message": "photos/2019"}
    await v1.call("POST", REPORTS, json=body)
    for event in reported(v1):
        assert event.message is not None
        assert event.message.length == len("photos/2019")


@pytest.mark.usefixtures("job")
async def test_a_repeated_number_is_a_duplicate(v1: V1) -> None:
    assert "duplicate" not in (await v1.call("POST", REPORTS, json={"seq": 3})).json
    again = (await v1.call("POST", REPORTS, json={"seq": 3})).json
    assert (again["duplicate"], again["accepted"], again["lease"]) == (
        True,
        True,
        {"expires_in_s": 90},
    )


@pytest.mark.usefixtures("job")
async def test_a_request_to_stop_is_told(v1: V1) -> None:
    await do(v1, RequestCancel(ALICE.uuid, UUID, JobCancelRequested(60)))
    cancel = (await v1.call("POST", REPORTS, json={"cancel_seen": True})).json["cancel"]
    assert cancel["requested_at"]
    assert 0 < cancel["stop_within_s"] <= 60
    job = v1.service.ledger.job(UUID)
    assert job is not None
    assert job.produced is not None
    assert job.produced.cancel_seen is not None


@pytest.mark.usefixtures("job")
async def test_who_was_replaced_or_overruled_must_stop(v1: V1) -> None:
    """Nobody else must: a report after the end says how the job has ended."""
    await do(v1, TakeUpJob(UUID, 1, THERE, replaces=True))
    replaced = await v1.refused("POST", REPORTS, {"attempt": 1})
    assert (replaced["type"], replaced["must_stop"]) == ("attempt-replaced", True)
    assert replaced["attempt"] == 2
    await do(v1, EndJob(UUID, 2, DONE))
    over = (await v1.call("POST", REPORTS, json={"attempt": 2})).json
    assert (over["accepted"], over["over"], over["lease"]) == (False, "succeeded", None)
    forced = RegisterJob(ALICE.uuid, OTHER, "backup", registered(), None, HERE)
    await do(v1, forced, RequestCancel(ALICE.uuid, OTHER, JobCancelRequested(0)))
    await do(v1, ForceEnd(ALICE.uuid, OTHER))
    stop = await v1.refused("POST", f"/jobs/{OTHER}/reports", {})
    assert (stop["type"], stop["must_stop"]) == ("job-forced", True)


@pytest.mark.usefixtures("job")
async def test_the_token_of_a_job_reports_on_nothing_else(v1: V1) -> None:
    """And not for another process, if the number of the attempt is the same."""
    job = v1.service.ledger.job(UUID)
    assert job is not None
    ours = Grant(ALICE, job=JobClaim(UUID, 1, HERE.instance))
    assert attempt_of(ours, job, None) == 1
    with pytest.raises(AttemptReplaced):
        attempt_of(Grant(ALICE, job=JobClaim(UUID, 1, THERE.instance)), job, None)
    with pytest.raises(ScopeMissing):
        attempt_of(Grant(ALICE, job=JobClaim(OTHER, 1, HERE.instance)), job, None)
    with pytest.raises(ScopeMissing):
        attempt_of(Grant(ALICE, source="//elsewhere"), job, None)


@pytest.mark.usefixtures("job")
async def test_a_job_shows_what_is_no_event(v1: V1) -> None:
    """Its newest figures, its message, and for what it waits; the last ones are recorded."""
    body = {
        "progress": {"done": 1, "total": 4, "unit": "byte"},
        "phase": {"name": "scan", "n": 1, "of": 2},
        "message": "photos",
        "waiting": {"for": "approval", "until": "2100-01-01T00:00:00Z"},
    }
    await v1.call("POST", REPORTS, json=body)
    await v1.call("POST", REPORTS, json={**body, "progress": {"done": 2, "total": 4}})
    shown = (await v1.call("GET", f"/jobs/{UUID}")).json
    assert (shown["progress"]["done"], shown["progress"]["percent"]) == (2, 25)
    assert (shown["phase"]["name"], shown["message"]) == ("scan", "photos")
    assert "waiting" in [condition["type"] for condition in shown["conditions"]]
    before = len(reported(v1))
    end = {"attempt": 1, "outcome": "succeeded"}
    ended = (await v1.call("POST", f"/jobs/{UUID}/end", json=end)).json["job"]
    assert (ended["progress"]["done"], ended["progress"]["percent"]) == (2, 100)
    assert [event.done for event in reported(v1)][before:] in ([2], [])


async def test_a_report_on_an_unknown_job_is_not_found(v1: V1) -> None:
    for uuid in (UUID, "nonsense"):
        problem = await v1.refused("POST", f"/jobs/{uuid}/reports", {})
        assert (problem["type"], problem["status"]) == ("job-unknown", 404)


@pytest.mark.usefixtures("job")
async def test_nobody_reports_on_jobs_of_another_account(v1: V1) -> None:
    """Nor is told that there are any."""
    problem = await v1.refused("POST", REPORTS, {}, by=BOB)
    assert problem["type"] == "job-unknown"
    batch = {"reports": [{"job": UUID}]}
    (result,) = (await v1.call("POST", "/reports", json=batch, by=BOB)).json["results"]
    assert result["type"].endswith("job-unknown")


@pytest.mark.usefixtures("job")
async def test_each_report_of_a_batch_has_an_answer(v1: V1) -> None:
    """In order, whatever the others are: it is never all or nothing."""
    reports = [
        {"job": OTHER},
        {"job": UUID, "progress": {"done": 1, "total": 2}, "seq": 1},
        {"job": UUID, "seq": 1},
        {"job": UUID, "colour": "red"},
        {"job": UUID, "message": "x" * 9000},
        "nonsense",
        {"job": UUID.upper(), "attempt": 9.5},
        {"job": UUID},
    ]
    answer = await v1.call("POST", "/reports", json={"reports": reports})
    told = [
        result.get("type", "").removeprefix("/api/v1/problems/") or result["accepted"]
        for result in answer.json["results"]
    ]
    assert told[:6] == [
        "job-unknown",
        True,
        True,
        "unknown-field",
        "bad-value",
        "bad-request",
    ]
    assert told[7] is True
    assert answer.json["results"][2]["duplicate"] is True
    assert answer.json["results"][3]["unknown"] == ["colour"]


async def test_a_batch_has_a_limit(v1: V1) -> None:
    many = await v1.call("POST", "/reports", json={"reports": [{}] * 501})
    assert problem_of(many) == {
        "type": "bad-value",
        "status": 422,
        "field": "reports",
        "limit": 500,
    }
    long = BytesIO(orjson.dumps({"reports": [{"message": "x" * 8000}] * 140}))
    assert (await v1.refused("POST", "/reports", data=long))["limit"] == 1024**2


@pytest.mark.usefixtures("job")
async def test_the_service_itself_finds_who_is_silent(v1: V1) -> None:
    def let_pass(cursor: Cursor) -> None:
        cursor.execute("UPDATE service_time SET seen = seen + 96000000")

    ledger = v1.service.ledger
    await ledger.write(let_pass)
    await wait_until("the attempt is lost", lambda: (job := ledger.job(UUID)) and job.lost)


@pytest.mark.usefixtures("job")
async def test_a_first_report_from_a_spool_is_recorded(v1: V1) -> None:
    """However soon it follows the registration, which comes from the same spool."""
    body = {"progress": {"done": 1, "total": 2}, "buffered": True}
    answer = await v1.call("POST", REPORTS, json=body)
    assert answer.json["recorded"] is True
    assert [event.done for event in reported(v1)] == [1]

"""Attempts, ends and seals over HTTP: the table of what comes and what is answered."""

import asyncio
from datetime import timedelta
from typing import Any

from api.accounts.grants import JobClaim
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import AbandonJob, ForceEnd, LoseProducer, RequestCancel
from ledger.domain.producers.texts import END_MOST
from tests.api.calling import ALICE, BOB, UNKNOWN, KnownAccounts
from tests.v1.calling import V1

JOB = "54085bb8-066e-4c5b-a848-192bfa2112b8"
HERE = {"operation": "backup.rsync", "instance": "here"}
DONE = {"outcome": "succeeded"}


async def began(v1: V1, uuid: str = JOB, **said: Any) -> str:
    answer = await v1.put(f"/jobs/{uuid}", {**HERE, **said})
    assert answer.status == 201, answer.body
    return uuid


async def job_of(v1: V1, uuid: str = JOB) -> Any:
    return (await v1.get(f"/jobs/{uuid}")).json


async def test_an_end_is_final(v1: V1) -> None:
    """The same outcome again is a 200, another a 409 with both."""
    await began(v1)
    error = {"type": "rsync.partial", "message": "some\0 failed", "retryable": True, "tail": "x"}
    failed = {
        "attempt": 1,
        "outcome": "failed",
        "exit": {"code": 23},
        "error": error,
        "result": {"files": 5134},
    }
    first = await v1.post(f"/jobs/{JOB}/end", failed)
    assert (first.status, first.json["late"]) == (200, False)
    job = first.json["job"]
    assert (job["state"], job["outcome"], job["reason"]) == ("failed", "failed", "program")
    assert job["error"] == {**error, "message": "some� failed"}
    assert job["exit"] == {"code": 23, "signal": None}
    again = await v1.post(f"/jobs/{JOB}/end", failed)
    assert (again.status, again.json) == (200, first.json)
    assert await v1.refused("POST", f"/jobs/{JOB}/end", DONE) == {
        "type": "job-over",
        "status": 409,
        "job": JOB,
        "over": "failed",
        "reported": "succeeded",
    }


async def test_a_result_is_shown_with_its_job(v1: V1) -> None:
    """Not in lists, where many would be long; and no more once its owner has removed it."""
    result = {"files": 5134, "of": [None, {"name": "größer"}]}
    await began(v1)
    end = {**DONE, "result": result}
    assert (await v1.post(f"/jobs/{JOB}/end", end)).json["job"]["result"] == result
    assert (await job_of(v1))["result"] == result
    (listed,) = (await v1.get("/jobs")).json["jobs"]
    assert listed["uuid"] == JOB
    assert "result" not in listed
    assert (await v1.call("DELETE", f"/jobs/{JOB}/texts")).status == 204
    assert (await job_of(v1))["result"] is None


async def test_a_result_that_is_too_long_is_cut(v1: V1) -> None:
    """No end is refused for it; it is text then, whose beginning is kept."""
    await began(v1)
    end = {**DONE, "result": {"log": "x" * 60_000}}
    job = (await v1.post(f"/jobs/{JOB}/end", end)).json["job"]
    assert job["state"] == "succeeded"
    assert job["result"].startswith('{"log":"xxx')
    assert job["result"].endswith("…")
    assert len(job["result"].encode()) <= END_MOST


async def test_an_attempt_shows_the_program_that_reports(v1: V1) -> None:
    """Each attempt its own: a job may be taken up by a newer version."""
    await began(v1, producer={"host": "nas", "pid": 1, "agent": "backup.sh/1"})
    assert (await job_of(v1))["attempt"]["agent"] == "backup.sh/1"
    taken = {"after": 1, "take_over": True, "producer": {"agent": "backup.sh/2"}}
    answer = await v1.post(f"/jobs/{JOB}/attempts", taken)
    assert answer.json["job"]["attempt"]["agent"] == "backup.sh/2"


async def test_ends_have_their_reasons(v1: V1) -> None:
    """As they are said, or as an exit shows; not those that only the service can know."""
    for end, state, reason in (
        (DONE, "succeeded", None),
        ({"outcome": "skipped"}, "skipped", None),
        ({"outcome": "failed"}, "failed", "program"),
        ({"outcome": "failed", "exit": {"signal": "KILL"}}, "failed", "signal"),
        ({"outcome": "failed", "reason": "deadline"}, "failed", "deadline"),
        ({"outcome": "cancelled"}, "cancelled", "interrupted"),
        ({"outcome": "cancelled", "reason": "requested"}, "cancelled", "requested"),
    ):
        job = (await v1.post("/jobs", {**HERE, "end": end})).json["job"]
        assert (job["state"], job["outcome"], job["reason"]) == (state, state, reason)
    await began(v1)
    for outcome, reason in (
        *(("succeeded", "program"), ("failed", "requested"), ("cancelled", "signal")),
        *(("failed", "lost"), ("failed", "children"), ("cancelled", "forced")),
    ):
        said = {"outcome": outcome, "reason": reason}
        refused = await v1.refused("POST", f"/jobs/{JOB}/end", said)
        assert (refused["status"], refused["type"], refused["field"]) == (
            422,
            "bad-value",
            "reason",
        )


async def test_an_end_of_an_abandoned_job_comes_late(v1: V1) -> None:
    """It is recorded beside the end that stays; once, and only by the last attempt."""
    await began(v1)
    await v1.do(LoseProducer(JOB, 1), AbandonJob(JOB, 1))
    late = await v1.post(f"/jobs/{JOB}/end", DONE)
    assert (late.status, late.json["late"]) == (200, True)
    job = late.json["job"]
    assert (job["state"], job["reason"], job["late"]) == ("failed", "lost", "succeeded")
    other = await v1.refused("POST", f"/jobs/{JOB}/end", {"outcome": "cancelled"})
    assert (other["type"], other["over"]) == ("job-over", "succeeded")


async def test_a_forced_end_and_a_replaced_attempt_tell_the_process_to_stop(v1: V1) -> None:
    """The only two answers that do."""
    await began(v1)
    await v1.do(RequestCancel(ALICE.uuid, JOB, JobCancelRequested(0)), ForceEnd(ALICE.uuid, JOB))
    forced = await v1.refused("POST", f"/jobs/{JOB}/end", DONE)
    assert forced == {"type": "job-forced", "status": 409, "job": JOB, "must_stop": True}
    other = await began(v1, UNKNOWN)
    taken = await v1.post(
        f"/jobs/{other}/attempts", {"after": 1, "instance": "there", "take_over": True}
    )
    assert (taken.status, taken.json["attempt"]) == (201, 2)
    replaced = await v1.refused("POST", f"/jobs/{other}/end", {**DONE, "attempt": 1})
    assert replaced == {
        "type": "attempt-replaced",
        "status": 409,
        "job": other,
        "attempt": 2,
        "must_stop": True,
    }


async def test_an_attempt_follows_the_one_that_is_known(v1: V1) -> None:
    """One that goes on is fenced off by force only; the own one again is the same."""
    await began(v1, queued=True)
    there = {"after": 0, "instance": "there", "producer": {"host": "mac", "pid": 7}}
    first, again = [await v1.post(f"/jobs/{JOB}/attempts", there) for _ in range(2)]
    assert (first.status, again.status) == (201, 200)
    assert first.json["token"] == again.json["token"]
    assert first.json["job"]["attempt"]["host"] == "mac"
    taken = {"type": "attempt-taken", "status": 409, "job": JOB, "attempt": 1}
    mine = {"instance": "here"}
    assert await v1.refused("POST", f"/jobs/{JOB}/attempts", {**mine, "after": 0}) == taken
    assert await v1.refused("POST", f"/jobs/{JOB}/attempts", {**mine, "after": 1}) == taken
    await v1.do(LoseProducer(JOB, 1))
    assert [each["type"] for each in (await job_of(v1))["conditions"]] == ["lost"]
    second = await v1.post(f"/jobs/{JOB}/attempts", {**mine, "after": 1})
    assert (second.status, second.json["attempt"]) == (201, 2)
    assert second.json["token"] != first.json["token"]
    # After several attempts it must be said which one it is.
    assert (await v1.refused("POST", f"/jobs/{JOB}/end", DONE))["field"] == "attempt"
    await v1.post(f"/jobs/{JOB}/end", {**DONE, "attempt": 2})
    over = await v1.refused("POST", f"/jobs/{JOB}/attempts", {**mine, "after": 2})
    assert (over["type"], over["over"]) == ("job-over", "succeeded")


async def test_an_attempt_that_a_restored_ledger_does_not_know_ends_its_job(v1: V1) -> None:
    """If a job's token proves it; it is never told to stop for that. Others must take it up."""
    await began(v1)
    await v1.post(f"/jobs/{JOB}/attempts", {"after": 1, "instance": "there", "take_over": True})
    unknown = {"type": "attempt-taken", "status": 409, "job": JOB, "attempt": 2}
    assert await v1.refused("POST", f"/jobs/{JOB}/end", {**DONE, "attempt": 3}) == unknown
    accounts = v1.service.accounts
    assert isinstance(accounts, KnownAccounts)
    accounts.claims[ALICE.uuid] = JobClaim(JOB, 3, "0" * 64)
    ended = (await v1.post(f"/jobs/{JOB}/end", DONE)).json["job"]
    assert (ended["state"], ended["attempt"]["n"]) == ("succeeded", 3)


async def test_only_the_attempt_may_fail(v1: V1) -> None:
    """Then the job waits in the queue, until it is taken up again."""
    await began(v1)
    failed = {
        "outcome": "failed",
        "final": False,
        "error": {"type": "OSError", "message": "full"},
        "retry_at": "2026-11-29T01:10:00Z",
        "sent_at": "2026-11-29T01:00:00Z",
    }
    answer = (await v1.post(f"/jobs/{JOB}/end", failed)).json["job"]
    assert (answer["state"], answer["done"], answer["error"]["message"]) == (
        "queued",
        False,
        "full",
    )
    assert [each["type"] for each in answer["conditions"]] == ["waiting"]
    assert answer["changed_at"] < answer["retry_at"]
    assert (await v1.refused("POST", f"/jobs/{JOB}/end", {**DONE, "final": False}))[
        "field"
    ] == "final"
    over = {"type": "attempt-over", "status": 409, "job": JOB, "attempt": 1}
    assert await v1.refused("POST", f"/jobs/{JOB}/reports", {}) == over
    taken = await v1.post(f"/jobs/{JOB}/attempts", {"after": 1, "instance": "there"})
    assert (taken.status, taken.json["job"]["error"]) == (201, None)


async def test_what_runs_below_an_end(v1: V1) -> None:
    """It goes on, is asked to stop, or keeps the job from ending, as the end says."""
    await began(v1)
    below = (await v1.post("/jobs", {**HERE, "parent": JOB})).json["job"]["uuid"]
    refused = await v1.refused("POST", f"/jobs/{JOB}/end", {**DONE, "children": "require"})
    assert refused == {"type": "children-running", "status": 409, "job": JOB, "running": 1}
    ended = (await v1.post(f"/jobs/{JOB}/end", {**DONE, "children": "cancel"})).json["job"]
    assert [each["type"] for each in ended["conditions"]] == ["children_running"]
    child = await job_of(v1, below)
    assert (child["state"], child["cancel"]["by"]) == ("running", None)


async def test_a_group_ends_once_it_is_sealed(v1: V1) -> None:
    """And nothing below it runs; a second seal changes nothing, and only groups have one."""
    await began(v1, ends="children")
    below = (await v1.post("/jobs", {**HERE, "parent": JOB})).json["job"]["uuid"]
    for _ in range(2):
        sealed = await v1.post(f"/jobs/{JOB}/seal")
        assert (sealed.status, sealed.json["job"]["sealed"]) == (200, True)
    await v1.post(f"/jobs/{below}/end", DONE)
    assert (await job_of(v1))["state"] == "succeeded"
    assert (await v1.refused("POST", f"/jobs/{below}/seal"))["type"] == "conflict"
    assert (await v1.refused("POST", f"/jobs/{JOB}/end", DONE))["type"] == "conflict"


async def test_a_discarded_job_is_gone_for_its_owner_alone(v1: V1) -> None:
    """Its uuid is never used again; another account does not learn that it once was."""
    await began(v1, end=DONE)
    assert (await v1.post(f"/jobs/{JOB}/reports", {})).json["over"] == "succeeded"
    retention = v1.service.retention
    await asyncio.to_thread(retention.set, timedelta(0), keep_last=0)
    await asyncio.to_thread(retention.run)
    gone = {"type": "job-discarded", "status": 410, "job": JOB}
    assert await v1.refused("GET", f"/jobs/{JOB}") == gone
    assert await v1.refused("GET", f"/jobs/{JOB}/control") == gone
    assert await v1.refused("PUT", f"/jobs/{JOB}", HERE) == gone
    assert await v1.refused("POST", f"/jobs/{JOB}/reports", {}) == gone
    assert await v1.refused("POST", f"/jobs/{JOB}/end", DONE) == gone
    assert await v1.refused("POST", f"/jobs/{JOB}/cancel", {}) == gone
    assert await v1.refused("POST", f"/jobs/{JOB}/labels", {"set": {"a": "b"}}) == gone
    taken = {"type": "uuid-taken", "status": 409}
    assert await v1.refused("PUT", f"/jobs/{JOB}", HERE, by=BOB) == taken
    unknown = {"type": "job-unknown", "status": 404, "job": JOB}
    assert await v1.refused("GET", f"/jobs/{JOB}/control", by=BOB) == unknown
    for path, body in (
        ("end", DONE),
        ("labels", {"set": {"a": "b"}}),
        ("seal", None),
        ("reports", {}),
        ("attempts", {"after": 0}),
    ):
        assert await v1.refused("POST", f"/jobs/{JOB}/{path}", body, by=BOB) == unknown
    assert await v1.refused("GET", f"/jobs/{JOB}/control") == gone
    assert await v1.refused("GET", f"/jobs/{JOB}/control", by=BOB) == unknown


async def test_labels_change_also_after_the_end(v1: V1) -> None:
    await began(v1, labels={"env": "prod", "host": "nas"}, end=DONE)
    change = {"set": {"env": "test", "team/a": "x"}, "remove": ["host"]}
    answer = await v1.post(f"/jobs/{JOB}/labels", change)
    assert answer.json["job"]["labels"] == {"env": "test", "team/a": "x"}
    assert answer.json["job"]["ended_at"] < answer.json["job"]["changed_at"]
    many = {f"k{nth}": "" for nth in range(33)}
    for bad in ({"set": {"no key!": ""}}, {"set": {"a": "no value!"}}, {"set": many}):
        refused = await v1.refused("POST", f"/jobs/{JOB}/labels", bad)
        assert (refused["status"], refused["type"], refused["field"]) == (
            422,
            "bad-value",
            "labels",
        )


async def test_the_tag_is_of_what_is_recorded(v1: V1) -> None:
    """Any event changes it. A job that is not over says when to look again."""
    await began(v1)
    first = await v1.get(f"/jobs/{JOB}")
    assert first.headers["Retry-After"]
    same = await v1.get(f"/jobs/{JOB}", headers={"If-None-Match": first.headers["ETag"]})
    assert same.status == 304
    await v1.post(f"/jobs/{JOB}/labels", {"set": {"a": "b"}})
    other = await v1.get(f"/jobs/{JOB}", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status == 200
    assert int(other.headers["X-Ledger-Position"]) > int(first.headers["X-Ledger-Position"])


async def test_other_accounts_jobs_do_not_exist(v1: V1) -> None:
    """On every URL of a job; and nothing is done to it."""
    await began(v1)
    before = await job_of(v1)
    bodies = {"attempts": {"after": 1, "take_over": True}, "end": DONE, "seal": None}
    bodies |= {"labels": {"set": {"a": "b"}}}
    for uuid in (JOB, UNKNOWN):
        told = {"type": "job-unknown", "status": 404, "job": uuid}
        assert await v1.refused("GET", f"/jobs/{uuid}", by=BOB) == told
        for path, body in bodies.items():
            assert await v1.refused("POST", f"/jobs/{uuid}/{path}", body, by=BOB) == told, path
    assert await job_of(v1) == before

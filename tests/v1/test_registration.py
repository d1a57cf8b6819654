"""Registering jobs: what is recorded of them, and what the same again is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.store.seam import Cursor
from tests.api.calling import BOB, UNKNOWN, Api
from tests.v1.calling import V1

JOB = "54085bb8-066e-4c5b-a848-192bfa2112b8"
OTHER = "64085bb8-066e-4c5b-a848-192bfa2112b8"
HERE = {"operation": "backup.rsync", "instance": "here"}
WHOLE: dict[str, Any] = {
    "operation": "backup.rsync",
    "title": "Nightly copy of /srv/photos",
    "source": "//nas.example.test/cron",
    "external_id": "photos@2026-11-29",
    "series": "nas/photos-nightly",
    "parent": None,
    "ends": "self",
    "labels": {"env": "home", "host": "nas"},
    "subjects": [{"uri": "file://nas/srv/photos", "role": "input"}],
    "links": [{"rel": "runbook", "href": "https://wiki.example.test/backup"}],
    "lease_s": 90,
    "deadline_s": 21600,
    "abandon_after_s": 604800,
    "queue_s": 604800,
    "cancellable": True,
    "instance": "q1Zk3",
    "producer": {"host": "nas", "pid": 4711, "agent": "job-ledger-sdk/1.0"},
    "observed_at": "2026-11-29T01:00:02Z",
    "sent_at": "2026-11-29T01:00:02.2Z",
}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_one_request_is_enough(v1: V1) -> None:
    """For who cannot send more: it holds its own end, and may say when the work began."""
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    answer = await v1.post(
        "/jobs",
        {
            "operation": "backup",
            "end": {"outcome": "failed", "exit": {"code": 23}},
            "started_at": began,
        },
    )
    assert answer.status == 201
    job = answer.json["job"]
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['uuid']}"
    assert (job["state"], job["done"], job["outcome"], job["reason"]) == (
        *("failed", True, "failed", "program"),
    )
    assert job["exit"] == {"code": 23, "signal": None}
    assert moment(job["started_at"]) == moment(began)
    assert (answer.json["lease"], job["limits"]["lease_s"]) == (None, None)
    assert "Retry-After" not in answer.headers
    assert (await v1.get(f"/jobs/{job['uuid']}")).json == job
    # Clients of the other base see it, too.
    assert (await v1.get(f"/api/2.0/jobs/{job['uuid']}/")).json["state"] == "failed"


async def test_everything_that_is_said_is_shown(v1: V1) -> None:
    """And what a process needs to go on: attempt, token, lease, limits, and how its clock is."""
    before = datetime.now(UTC)
    answer = await v1.put(f"/jobs/{JOB}", WHOLE, headers={"X-Request-ID": "nightly"})
    assert answer.status == 201
    said, job = answer.json, answer.json["job"]
    assert job["uuid"] == job["root"] == JOB
    for name in ("operation", "title", "source", "external_id", "series", "labels", "links"):
        assert job[name] == WHOLE[name], name
    assert job["subjects"] == WHOLE["subjects"]
    assert (job["state"], job["done"], job["outcome"], job["version"]) == (
        "running",
        False,
        None,
        3,
    )
    assert {**job["attempt"], "started_at": "", "last_heard_at": ""} == {
        "n": 1,
        "host": "nas",
        "pid": 4711,
        "agent": "job-ledger-sdk/1.0",
        "started_at": "",
        "last_heard_at": "",
    }
    assert before - timedelta(seconds=1) < moment(job["attempt"]["started_at"])
    assert said["attempt"] == 1
    assert said["token"].startswith(f"jlj_{JOB}.1.")
    assert said["lease"] == {"expires_in_s": 90, "beat_every_s": 30}
    assert job["limits"] == {name: WHOLE[name] for name in job["limits"]}
    assert said["clock_offset_ms"] > 0
    assert said["cancel"] is None
    assert said["position"] == int(answer.headers["X-Ledger-Position"])
    assert answer.headers["Retry-After"]


async def test_the_same_again_is_the_same(v1: V1) -> None:
    """By the same process; another one is told whose attempt it is, and gets no token."""
    first = await v1.put(f"/jobs/{JOB}", {**HERE, "title": "a"})
    again = await v1.put(f"/jobs/{JOB}", {**HERE, "title": "b", "labels": {"x": "y"}})
    assert (first.status, again.status) == (201, 200)
    assert again.json["token"] == first.json["token"]
    assert again.json["job"] == first.json["job"]
    assert await v1.refused("PUT", f"/jobs/{JOB}", {**HERE, "instance": "there"}) == {
        "type": "already-registered",
        "status": 409,
        "job": JOB,
        "attempt": 1,
        "state": "running",
        "conditions": [],
    }
    for other in ({"operation": "restore"}, {"source": "//mac"}, {"ends": "children"}):
        taken = {"type": "uuid-taken", "status": 409}
        assert await v1.refused("PUT", f"/jobs/{JOB}", {**HERE, **other}) == taken
    assert (await v1.refused("PUT", "/jobs/no-uuid", HERE))["field"] == "uuid"
    # Another account learns nothing, by neither method; its own jobs do not collide with it.
    assert await v1.refused("PUT", f"/jobs/{JOB}", HERE, by=BOB) == taken


async def test_the_external_id_finds_the_job(v1: V1) -> None:
    """By POST as by PUT, within the account and the source."""
    named = {**HERE, "source": "//nas", "external_id": "photos@1"}
    first = (await v1.post("/jobs", named)).json["job"]["uuid"]
    for again in (await v1.post("/jobs", named), await v1.put(f"/jobs/{OTHER}", named)):
        assert (again.status, again.json["job"]["uuid"]) == (200, first)
    end = await v1.post("/jobs", {**named, "end": {"outcome": "succeeded"}})
    assert (end.status, end.json["job"]["state"]) == (200, "succeeded")
    there = await v1.refused("POST", "/jobs", {**named, "instance": "there"})
    assert (there["type"], there["job"], there["state"]) == (
        "already-registered",
        first,
        "succeeded",
    )
    for other in ({"source": "//mac"}, {"external_id": "photos@2"}):
        assert (await v1.post("/jobs", {**named, **other})).status == 201
    assert (await v1.post("/jobs", named, by=BOB)).json["job"]["uuid"] != first


def kept_answers(v1: V1) -> list[bytes | None]:
    def read(cursor: Cursor) -> list[bytes | None]:
        cursor.execute("SELECT body FROM claims")
        return [body for (body,) in cursor.fetchall()]

    return v1.service.ledger.read(read)


async def test_a_key_registers_once(v1: V1) -> None:
    """`Idempotency-Key`: a repeat gets the same job with its token; another body is refused."""
    key = {"Idempotency-Key": "nightly-1"}
    first, again = [await v1.post("/jobs", HERE, headers=key) for _ in range(2)]
    assert (first.status, first.json["job"]["uuid"], first.json["token"]) == (
        *(201, again.json["job"]["uuid"], again.json["token"]),
    )
    assert kept_answers(v1) == [None]  # it has a token, which is derived again
    other = await v1.refused("POST", "/jobs", {**HERE, "title": "x"}, headers=key)
    assert other["type"] == "bad-value"


async def test_a_job_may_wait_in_the_queue_or_be_a_group(v1: V1) -> None:
    """Nobody works on it, so it has no attempt, token or lease."""
    for said, state in (({"queued": True}, "queued"), ({"ends": "children"}, "running")):
        answer = (await v1.post("/jobs", {**HERE, **said})).json
        assert (answer["attempt"], answer["token"], answer["lease"]) == (None, None, None)
        assert (answer["job"]["state"], answer["job"]["attempt"]) == (state, None)


async def test_limits_are_brought_inside_their_bounds(v1: V1) -> None:
    """Never refused, whatever was said; without an instance no beats are expected."""
    wanted = {"lease_s": 0.5, "deadline_s": 1e300, "abandon_after_s": -7, "queue_s": 2.9}
    job = (await v1.post("/jobs", {**HERE, **wanted})).json["job"]
    day_s = 24 * 60 * 60
    assert job["limits"] == {
        "lease_s": 15,
        "deadline_s": 365 * day_s,
        "abandon_after_s": 300,
        "queue_s": 2,
    }
    leases = [
        (await v1.post("/jobs", said)).json["job"]["limits"]["lease_s"]
        for said in (HERE, {**HERE, "lease_s": None}, {"operation": "x"})
    ]
    assert leases == [90, None, None]


async def test_jobs_below_a_job(v1: V1) -> None:
    """Also by other processes; not below what is unknown, another account's, over or sealed."""
    await v1.put(f"/jobs/{JOB}", HERE)
    below = (await v1.post("/jobs", {**HERE, "parent": JOB.upper(), "instance": "there"})).json[
        "job"
    ]
    assert (below["parent"], below["root"]) == (JOB, JOB)
    children = (await v1.get(f"/jobs/{JOB}")).json["children"]
    assert (children["total"], children["running"]) == (1, 1)
    unknown = {"type": "parent-unknown", "status": 404}
    assert await v1.refused("POST", "/jobs", {**HERE, "parent": UNKNOWN}) == {
        **unknown,
        "parent": UNKNOWN,
    }
    assert await v1.refused("POST", "/jobs", {**HERE, "parent": JOB}, by=BOB) == {
        **unknown,
        "parent": JOB,
    }
    await v1.post(f"/jobs/{JOB}/end", {"outcome": "succeeded"})
    over = await v1.refused("POST", "/jobs", {**HERE, "parent": JOB})
    assert (over["type"], over["parent"]) == ("parent-over", JOB)
    group = (await v1.post("/jobs", {**HERE, "ends": "children", "expect_children": 1})).json["job"]
    await v1.post("/jobs", {**HERE, "parent": group["uuid"]})
    sealed = await v1.refused("POST", "/jobs", {**HERE, "parent": group["uuid"]})
    assert (sealed["type"], sealed["job"]) == ("sealed", group["uuid"])


@pytest.mark.parametrize("parent", [UNKNOWN, JOB], ids=["unknown", "over"])
async def test_what_a_spool_delivers_late_goes_without_its_parent(v1: V1, parent: str) -> None:
    """After a day, the job is registered as a root that says below which job it was; once."""
    await v1.put(f"/jobs/{JOB}", {**HERE, "end": {"outcome": "succeeded"}})
    late = {
        **HERE,
        "instance": "spool",
        "parent": parent,
        "observed_at": "2026-11-29T01:00:00+01:00",
        "sent_at": "2026-11-30T01:00:00+01:00",
    }
    first, again = [await v1.put(f"/jobs/{OTHER}", late) for _ in range(2)]
    assert (first.status, again.status) == (201, 200)
    job = first.json["job"]
    assert (job["parent"], job["root"], job["was_below"]) == (None, OTHER, parent)
    early = {**late, "observed_at": "2026-11-29T01:00:01+01:00"}
    assert (await v1.refused("POST", "/jobs", early))["type"].startswith("parent-")


async def test_a_job_below_one_that_is_asked_to_stop_learns_it_at_once(v1: V1) -> None:
    """However long after the request it registers."""
    await v1.put(f"/jobs/{JOB}", HERE)
    assert (await v1.post(f"/jobs/{JOB}/cancel", {"note": "the disk is replaced"})).status == 202
    below = await v1.post("/jobs", {**HERE, "parent": JOB, "instance": "there"})
    assert below.status == 201
    assert below.json["cancel"]["note"] == "the disk is replaced"
    assert below.json["cancel"] == below.json["job"]["cancel"]


async def test_a_job_about_a_drive_or_server_is_found_by_it(v1: V1) -> None:
    """By its URL, at this host or without one. It locks neither."""
    api = Api(v1.client, v1.service)
    drive, server = await api.drive(), await api.server()
    here = f"{v1.client.host}:{v1.client.port}"
    subjects = [
        {"uri": f"/api/2.0/drives/{drive}/"},
        {"uri": f"http://{here}/api/2.0/servers/{server.upper()}/"},
    ]
    job = (await v1.post("/jobs", {**HERE, "subjects": subjects})).json["job"]["uuid"]
    for elsewhere in (f"https://elsewhere.test/api/2.0/drives/{drive}/", f"file:{drive}"):
        more = await v1.post("/jobs", {**HERE, "subjects": [{"uri": elsewhere}]})
        assert more.status == 201
    foreign = await v1.post("/jobs", {**HERE, "subjects": subjects}, by=BOB)
    assert foreign.status == 201
    for resource in (drive, server):
        for lists in ("", "&limit=1", "&after=", "&operation=backup.rsync&after="):
            found = await api.get(f"/jobs/?resource={resource}{lists}")
            uuids = [each["uuid"] for each in found.json["objects"]]
            assert [uuid for uuid in uuids if uuid == job] == [job], (resource, lists)
            others = [each for each in found.json["objects"] if each["operation"] == "backup.rsync"]
            assert len(others) == 1
        assert (await api.get(f"/jobs/?resource={resource}", by=BOB)).json["objects"] == []
    assert (await api.delete(f"/servers/{server}/")).status == 204
    assert (await api.delete(f"/drives/{drive}/")).status == 204


async def test_a_subject_without_a_scheme_is_a_resource_uri(v1: V1) -> None:
    for uri in (f"/drives/{JOB}/", "/api/2.0/drives/", f"/api/2.0/jobs/{JOB}/", "photos"):
        refused = await v1.refused("POST", "/jobs", {**HERE, "subjects": [{"uri": uri}]})
        assert refused["type"] == "bad-value"

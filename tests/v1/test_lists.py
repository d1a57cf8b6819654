"""`GET /api/v1/jobs`, and the removal of the words of a job."""

from typing import Any
from urllib.parse import urlencode

import pytest

from ledger.domain.commands.jobs import CreateJob
from tests.api.calling import ALICE, AUDITOR, BOB, UNKNOWN
from tests.v1.calling import V1

SECRET = "Kennwort"


async def registered(v1: V1, **said: Any) -> str:
    answer = await v1.post("/jobs", {"operation": "backup", "instance": "x", **said})
    assert answer.status == 201, answer.body
    uuid: str = answer.json["job"]["uuid"]
    return uuid


async def ended(v1: V1, uuid: str, outcome: str = "succeeded", **said: Any) -> None:
    answer = await v1.post(f"/jobs/{uuid}/end", {"outcome": outcome, **said})
    assert answer.status == 200, answer.body


async def listed(v1: V1, **query: Any) -> list[str]:
    """The jobs of all pages."""
    found: list[str] = []
    after = ""
    while True:
        answer = await v1.get(f"/jobs?{urlencode({**query, 'after': after}, doseq=True)}")
        assert answer.status == 200, answer.body
        found += [job["uuid"] for job in answer.json["jobs"]]
        after = answer.json["next"]
        if after is None:
            return found


@pytest.fixture
async def family(v1: V1) -> dict[str, str]:
    """Jobs that differ in all that they are found by."""
    group = await registered(v1, ends="children", operation="fan out", instance=None)
    nas = await registered(
        v1,
        parent=group,
        labels={"env": "prod", "team": "a"},
        source="//nas",
        series="nightly",
        subjects=[{"uri": "file://nas/a", "role": "input"}],
        producer={"host": "nas", "pid": 1},
    )
    laptop = await registered(v1, labels={"env": "prod", "team": "b"}, queued=True)
    done = await registered(v1, labels={"env": "test"})
    await ended(v1, done)
    failed = await registered(v1, parent=nas)
    await ended(v1, failed, "failed")
    clone = v1.service.new_id()
    await v1.do(CreateJob(ALICE.uuid, clone, "scrub"))
    return {
        "group": group,
        "nas": nas,
        "laptop": laptop,
        "done": done,
        "failed": failed,
        "clone": clone,
    }


async def test_filters_find_what_they_name(v1: V1, family: dict[str, str]) -> None:
    """The newest first; several values of one filter are alternatives."""
    names = {uuid: name for name, uuid in family.items()}

    async def found(**query: Any) -> list[str]:
        return [names[uuid] for uuid in await listed(v1, **query)]

    everything = ["clone", "failed", "done", "laptop", "nas", "group"]
    assert await found() == everything
    assert await found(limit=1) == everything
    assert await found(select="env=prod") == ["laptop", "nas"]
    assert await found(select="env in (prod,test),team!=b") == ["done", "nas"]
    assert await found(select="env in (prod,test),team") == ["laptop", "nas"]
    assert await found(state="queued") == ["clone", "laptop"]
    assert await found(state=["queued", "failed"]) == ["clone", "failed", "laptop"]
    assert await found(operation="fan out") == ["group"]
    assert await found(operation="scrub") == ["clone"]
    assert await found(source="//nas") == ["nas"]
    assert await found(series="nightly", host="nas") == ["nas"]
    assert await found(series="nightly", host="laptop") == []
    assert await found(subject="file://nas/a") == ["nas"]
    assert await found(parent=family["group"]) == ["nas"]
    assert await found(root=family["group"]) == ["failed", "nas", "group"]
    assert await found(order="ended") == ["failed", "done"]
    assert await found(order="ended", select="env=test") == ["done"]
    at = {job["uuid"]: job for job in (await v1.get("/jobs")).json["jobs"]}
    created, over = at[family["laptop"]]["created_at"], at[family["failed"]]["ended_at"]
    assert await found(created_gte=created, limit=2) == ["clone", "failed", "done", "laptop"]
    assert await found(created_lt=created) == ["nas", "group"]
    assert await found(order="ended", ended_gte=over) == ["failed"]
    assert await found(order="ended", ended_lt=over) == ["done"]


async def test_a_job_is_shown_in_lists_as_by_itself(v1: V1, family: dict[str, str]) -> None:
    """Those of ours too; only a result is left out."""
    shown = {job["uuid"]: job for job in (await v1.get("/jobs")).json["jobs"]}
    for uuid in family.values():
        assert (await v1.get(f"/jobs/{uuid}")).json == {**shown[uuid], "result": None}
    assert shown[family["nas"]]["children"]["failed"] == 1
    assert shown[family["clone"]]["state"] == "queued"


async def test_who_is_asked_to_stop_through_a_job_above_is_found_and_shown(
    v1: V1, family: dict[str, str]
) -> None:
    """Nothing is recorded of it, also of what registers later; what cannot stop is not asked."""
    below = await registered(v1, parent=family["nas"])
    assert (await v1.post(f"/jobs/{family['nas']}/cancel", {})).status == 202
    later = await registered(v1, parent=below)
    await registered(v1, parent=below, cancellable=False)
    assert await listed(v1, condition="cancel_requested") == [later, below, family["nas"]]
    assert await listed(v1, condition=["lost", "cancel_requested"], limit=1) == [
        *(later, below, family["nas"])
    ]
    assert await listed(v1, parent=below, condition="cancel_requested") == [later]
    shown = (await v1.get(f"/jobs/{later}")).json
    (condition,) = shown["conditions"]
    assert condition == {"type": "cancel_requested", "since": shown["cancel"]["requested_at"]}
    await ended(v1, later)
    assert await listed(v1, parent=below, condition="cancel_requested") == []


async def test_conditions_are_found_as_they_are_shown(v1: V1, family: dict[str, str]) -> None:
    assert (await v1.post(f"/jobs/{family['nas']}/cancel", {})).status == 202
    assert await listed(v1, condition="cancel_requested") == [family["nas"]]
    running = await registered(v1, parent=family["nas"])
    await ended(v1, family["nas"])
    assert await listed(v1, condition="cancel_requested") == [running]
    assert await listed(v1, condition="children_running") == [family["nas"]]
    await ended(v1, running)
    assert await listed(v1, condition="children_running") == []
    assert await listed(v1, condition=["overdue", "lost"]) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=nonsense", "state"),
        ("condition=nonsense", "condition"),
        ("order=size", "order"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("after=nonsense", "after"),
        ("select=env", "select"),
        ("created_gte=yesterday", "created_gte"),
        ("ended_gte=2026-01-01T00:00:00Z", "ended_gte"),
        ("order=ended&created_lt=2026-01-01T00:00:00Z", "created_lt"),
        ("&".join(f"series={n}" for n in range(33)), "series"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(v1: V1, query: str, field: str) -> None:
    problem = await v1.refused("GET", f"/jobs?{query}")
    assert problem == {"type": "bad-value", "status": 400, "field": field}


async def test_unknown_parameters_are_refused(v1: V1) -> None:
    problem = await v1.refused("GET", "/jobs?offset=1")
    assert problem == {"type": "unknown-field", "status": 400, "unknown": ["offset"]}


async def test_a_cursor_is_bound_to_its_filters(v1: V1, family: dict[str, str]) -> None:
    """Not to the size of pages, nor to the order in which filters are given."""
    page = await v1.get("/jobs?select=env=prod&state=queued&state=running&limit=1")
    after = page.json["next"]
    again = await v1.get(f"/jobs?state=running&state=queued&select=env%3Dprod&after={after}")
    assert [job["uuid"] for job in again.json["jobs"]] == [family["nas"]]
    for other in ("select=env=test&state=queued&state=running", "", "select=env=prod"):
        problem = await v1.refused("GET", f"/jobs?{other}&after={after}")
        assert (problem["status"], problem["field"]) == (400, "after")
    foreign = await v1.call(
        "GET", f"/jobs?select=env=prod&state=queued&state=running&after={after}", by=BOB
    )
    assert foreign.status == 400


async def test_only_auditors_list_what_others_have(v1: V1, family: dict[str, str]) -> None:
    theirs = await v1.call("GET", f"/jobs?owner={ALICE.uuid}&limit=200", by=AUDITOR)
    assert [job["uuid"] for job in theirs.json["jobs"]] == await listed(v1)
    assert (await v1.call("GET", "/jobs", by=BOB)).json == {"jobs": [], "next": None}


# Words


def tables(v1: V1, cursor: Any) -> dict[str, list[Any]]:
    cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = [name for (name,) in cursor.fetchall() if not name.startswith("sqlite_")]
    found = {}
    for name in names:
        cursor.execute(f"SELECT * FROM {name}")
        found[name] = cursor.fetchall()
    return found


def holding(v1: V1) -> set[str]:
    """The tables that have the secret in any column, in bytes."""
    rows = v1.service.ledger.read(lambda cursor: tables(v1, cursor))
    return {name for name, found in rows.items() if SECRET.encode() in repr(found).encode()}


async def test_words_are_in_one_table_until_they_are_removed(v1: V1) -> None:
    """Not in events, nor in answers that are kept for repeats; a repeat shows the job as it is."""
    headers = {"Idempotency-Key": "once"}
    body = {"operation": "backup", "title": f"{SECRET} title", "instance": "x"}
    answer = await v1.call("POST", "/jobs", json=body, headers=headers)
    uuid = answer.json["job"]["uuid"]
    report = {"attempt": 1, "message": f"{SECRET} message", "progress": {"done": 1, "total": 2}}
    assert (await v1.post(f"/jobs/{uuid}/reports", report)).status == 200
    await v1.post(f"/jobs/{uuid}/cancel", {"note": f"{SECRET} note"})
    await ended(
        v1,
        uuid,
        "failed",
        error={"message": f"{SECRET} error", "tail": f"{SECRET} tail"},
        result={"word": SECRET},
    )
    assert holding(v1) == {"texts"}
    shown = await v1.get(f"/jobs/{uuid}")
    assert shown.json["title"] == f"{SECRET} title"
    again = await v1.call("POST", "/jobs", json=body, headers=headers)
    assert (again.status, again.json["job"]["uuid"]) == (200, uuid) or again.status == 201
    assert (await v1.call("DELETE", f"/jobs/{uuid}/texts")).status == 204
    assert holding(v1) == set()
    shown = await v1.get(f"/jobs/{uuid}")
    assert (shown.json["title"], shown.json["state"]) == (None, "failed")
    assert (await v1.call("DELETE", f"/jobs/{uuid}/texts")).status == 204


async def test_words_that_are_no_event_yet_are_removed_too(v1: V1) -> None:
    """A report that comes soon after another is kept with the lease, and its message in memory."""
    uuid = await registered(v1, lease_s=60)
    for done in (1, 2, 3):
        report = {"attempt": 1, "message": f"{SECRET} {done}", "progress": {"done": done}}
        assert (await v1.post(f"/jobs/{uuid}/reports", report)).status == 200
    await v1.service.beats.flush()
    assert "leases" in holding(v1)
    report = {"attempt": 1, "message": f"{SECRET} held", "progress": {"done": 4}}
    assert (await v1.post(f"/jobs/{uuid}/reports", report)).status == 200
    assert (await v1.call("DELETE", f"/jobs/{uuid}/texts")).status == 204
    assert holding(v1) == set()
    assert (await v1.post(f"/jobs/{uuid}/reports", {"attempt": 1})).status == 200
    await v1.service.beats.flush()
    assert holding(v1) == set()


async def test_only_the_owner_removes_words(v1: V1) -> None:
    uuid = await registered(v1, title="mine")
    for job, by in ((uuid, BOB), (UNKNOWN, ALICE)):
        answer = await v1.call("DELETE", f"/jobs/{job}/texts", by=by)
        assert answer.status == 404
    assert (await v1.get(f"/jobs/{uuid}")).json["title"] == "mine"

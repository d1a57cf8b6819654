"""What another account learns of a job: what it would learn of one that never was."""

import asyncio
from typing import Any

from tests.api.calling import BOB, UNKNOWN
from tests.v1.calling import V1
from tests.v1.test_description import OPERATIONS

JOB = "11111111-1111-4111-8111-111111111111"
BODIES: dict[str, Any] = {
    "beginAttempt": {"after": 1, "take_over": True},
    "endJob": {"outcome": "failed"},
    "report": {"attempt": 1, "cancel_seen": True},
    "labelJob": {"set": {"env": "prod"}},
    "cancelJob": {"force": True},
}
"""Those of operations that need one."""
CLAIMS = "putJob"
"""Takes an id of one's own; so it has to tell that one is taken, and tells nothing else."""


async def test_a_job_of_another_account_is_as_one_that_never_was(v1: V1) -> None:
    """For every operation on one, and wherever a uuid is looked up; to the last byte but the id."""
    said = {"operation": "backup", "instance": "ours", "source": "//nas", "external_id": "photos"}
    assert (await v1.put(f"/jobs/{JOB}", said)).status == 201
    of_jobs = [name for name in OPERATIONS if "{uuid}" in name]
    assert len(of_jobs) >= 10
    for name in of_jobs:
        method, path = name.split()
        body = BODIES.get(OPERATIONS[name]["operationId"])
        if OPERATIONS[name]["operationId"] != CLAIMS:
            await check_same(v1, method.upper(), path.replace("{uuid}", "UUID"), body)
    await check_same(v1, "GET", "/api/v1/jobs?parent=UUID&root=UUID", None)
    await check_same(v1, "GET", "/api/v1/events?root=UUID", None)
    await check_same(v1, "POST", "/api/v1/reports", {"reports": [{"job": "UUID"}]})
    await check_same(v1, "POST", "/api/v1/jobs", {"operation": "backup", "parent": "UUID"})
    taken = await v1.refused("PUT", f"/jobs/{JOB}", said, by=BOB)
    assert taken == {"type": "uuid-taken", "status": 409}
    assert (await v1.get("/control?instance=ours", by=BOB)).json == {"jobs": []}
    own = (await v1.post("/jobs", said, by=BOB)).json
    assert own["job"]["uuid"] != JOB


async def check_same(v1: V1, method: str, path: str, body: Any) -> None:
    """Check that an answer to BOB is the same with the job's uuid and with an unknown one."""
    answers = []
    for uuid in (JOB, UNKNOWN):
        named = None if body is None else filled(body, uuid)
        answer = await v1.call(method, path.replace("UUID", uuid), json=named, by=BOB)
        assert answer.status < 500
        answers.append((answer.status, answer.body.replace(uuid.encode(), b"UUID")))
    assert answers[0] == answers[1], (method, path)


def filled(value: Any, uuid: str) -> Any:
    """The value with this uuid for each `UUID` in it."""
    match value:
        case dict():
            return {key: filled(each, uuid) for key, each in value.items()}
        case list():
            return [filled(each, uuid) for each in value]
        case _:
            return uuid if value == "UUID" else value


async def test_no_end_is_lost_among_changes_at_once(v1: V1) -> None:
    """Whatever comes beside it is answered, and an end that was acknowledged stays."""
    assert (await v1.put(f"/jobs/{JOB}", {"operation": "backup"})).status == 201
    changes = [
        ("end", {"outcome": "succeeded"}),
        ("end", {"outcome": "failed"}),
        ("end", {"outcome": "failed", "final": False}),
        ("cancel", {}),
        ("reports", {"progress": {"done": 1, "total": 2}}),
    ]
    calls = [*changes * 3, *(("labels", {"set": {"nth": str(nth)}}) for nth in range(3))]
    answers = await asyncio.gather(*(v1.post(f"/jobs/{JOB}/{path}", body) for path, body in calls))
    ends = {
        body["outcome"]
        for (path, body), answer in zip(calls, answers, strict=True)
        if path == "end" and answer.status == 200 and body.get("final", True)
    }
    assert {answer.status for answer in answers} <= {200, 202, 409}
    state = (await v1.get(f"/jobs/{JOB}")).json["state"]
    assert ends <= {state}

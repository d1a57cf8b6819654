"""Programs with tokens of their own: what they register, and what the tokens of their jobs do."""

from typing import Any

import pytest

from api.accounts.scopes import Scope
from tests.accounts.calling import PASSWORD
from tests.v1.calling import V1, problem_of

EMAIL = "ada@example.test"
BACKUP = {"operation": "backup", "instance": "a process"}


@pytest.fixture
async def ada(real: V1) -> str:
    return (await real.service.accounts.add(EMAIL, PASSWORD)).uuid


def by(token: str) -> dict[str, Any]:
    return {"by": None, "headers": {"Authorization": f"Bearer {token}"}}


async def program(v1: V1, *restrictors: str, scopes: tuple[Scope, ...] = ()) -> dict[str, Any]:
    """What a program sends that registers jobs, and does more by these scopes."""
    add = v1.service.accounts.tokens.add
    wanted: tuple[Scope, ...] = ("jobs:register", "jobs:report", *scopes)
    return by((await add(EMAIL, "nas", scopes=wanted, restrictors=restrictors)).token)


async def register(v1: V1, sent: dict[str, Any], **said: Any) -> Any:
    return await v1.call("POST", "/jobs", json={**BACKUP, **said}, **sent)


async def registered(v1: V1, sent: dict[str, Any], **said: Any) -> Any:
    answer = await register(v1, sent, **said)
    assert answer.status == 201, answer.body
    return answer.json


async def test_what_is_registered_is_within_the_token(real: V1, ada: str) -> None:
    """Its source is filled in, its labels and series are forced; what says otherwise is refused."""
    nas = await program(real, "labels.env=prod", "series=photos", scopes=("jobs:label",))
    job = (await registered(real, nas, labels={"team": "a"}))["job"]
    assert (job["source"], job["series"]) == ("//nas", "photos")
    assert job["labels"] == {"env": "prod", "team": "a"}
    for said in ({"source": "//other"}, {"labels": {"env": "test"}}, {"series": "x"}):
        refused = problem_of(await register(real, nas, **said))
        assert (refused["type"], refused["status"]) == ("scope-missing", 403)
    path = f"/jobs/{job['uuid']}/labels"
    for change in ({"set": {"env": "test"}}, {"remove": ["env"]}):
        assert (await real.refused("POST", path, json=change, **nas))["type"] == "scope-missing"
    assert (await real.call("POST", path, json={"remove": ["team"]}, **nas)).status == 200


async def test_a_job_is_worked_on_by_its_token_alone(real: V1, ada: str) -> None:
    """The same registration is told the same token, with which the job is reported on and ended."""
    nas = await program(real)
    first = await registered(real, nas, external_id="x")
    again = await register(real, nas, external_id="x")
    assert (again.status, again.json["token"]) == (200, first["token"])
    own, path = by(first["token"]), f"/jobs/{first['job']['uuid']}"
    assert (await real.call("POST", f"{path}/reports", json={}, **own)).json["accepted"] is True
    assert (await real.call("GET", path, **own)).json["state"] == "running"
    for _ in range(2):
        ended = await real.call("POST", f"{path}/end", json={"outcome": "succeeded"}, **own)
        assert ended.status == 200, ended.body
    other = await real.refused("POST", f"{path}/end", json={"outcome": "failed"}, **own)
    assert other["type"] == "job-over"


async def test_a_jobs_token_registers_below_the_job(real: V1, ada: str) -> None:
    """Nowhere else; and what came from it ends with the token that all of them came from."""
    add = real.service.accounts.tokens.add
    scopes: tuple[Scope, ...] = ("jobs:register", "jobs:report")
    new = await add(EMAIL, "nas", scopes=scopes, restrictors=("labels.env=prod",))
    parent = await registered(real, by(new.token))
    own = by(parent["token"])
    assert problem_of(await register(real, own))["type"] == "scope-missing"
    child = await registered(real, own, parent=parent["job"]["uuid"])
    assert (child["job"]["source"], child["job"]["labels"]) == ("//nas", {"env": "prod"})
    needs_scope = await register(real, by(new.token), parent=parent["job"]["uuid"])
    assert problem_of(needs_scope)["scope"] == "jobs:child"
    path = f"/jobs/{child['job']['uuid']}/reports"
    assert (await real.call("POST", path, json={}, **by(child["token"]))).status == 200
    await real.service.accounts.tokens.remove(new.id)
    for each in (parent, child):
        refused = await real.refused("POST", path, json={}, **by(each["token"]))
        assert refused["why"] == "removed"


async def test_so_many_jobs_of_a_token_run(real: V1, ada: str) -> None:
    """One more is refused until one has ended; what is there already is not."""
    nas = await program(real, "max_running=2")
    first = await registered(real, nas, external_id="1")
    queued = await registered(real, nas, external_id="2", queued=True)
    refused = problem_of(await register(real, nas, external_id="3"))
    assert (refused["type"], refused["limit"]) == ("quota", 2)
    assert (await register(real, nas, external_id="1")).status == 200
    taken = f"/jobs/{queued['job']['uuid']}/attempts"
    begun = await real.call("POST", taken, json={"after": 0, "instance": "b"}, **nas)
    assert begun.status == 201, begun.body
    end = f"/jobs/{first['job']['uuid']}/end"
    assert (await real.call("POST", end, json={"outcome": "skipped"}, **nas)).status == 200
    await registered(real, nas, external_id="3")


async def test_nobody_registers_again_what_the_token_does_not_reach(real: V1, ada: str) -> None:
    """It would be shown to the token, and maybe given to it."""
    await registered(real, await program(real), external_id="x")
    narrow = await program(real, "labels.env=prod")
    assert problem_of(await register(real, narrow, external_id="x"))["type"] == "scope-missing"

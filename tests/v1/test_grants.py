"""What tokens reach, over HTTP: by source, restrictors, job and account."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from api.accounts.scopes import SCOPES, Scope
from api.http.access import URL_ACCESS
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import EndJob, RegisterJob
from ledger.store.writer import Caller
from tests.accounts.calling import PASSWORD
from tests.api.calling import UNKNOWN
from tests.support.producing import DONE, registered
from tests.v1.calling import V1, problem_of

JOB, OTHER = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f", "63f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
INSTANCE = "5f" * 32


class Program(NamedTuple):
    """What a program sends, and the id of its token."""

    headers: dict[str, str]
    id: str | None = None

    @property
    def by(self) -> dict[str, Any]:
        return {"by": None, "headers": self.headers}


def program(token: str, token_id: str | None = None) -> Program:
    return Program({"Authorization": f"Bearer {token}"}, token_id)


@pytest.fixture
async def owners(real: V1) -> dict[str, str]:
    """The uuids of two accounts, by email."""
    add = real.service.accounts.add
    return {
        email: (await add(email, PASSWORD)).uuid
        for email in ("ada@example.test", "bob@example.test")
    }


async def token(v1: V1, *scopes: Scope, owner: str = "ada@example.test", **terms: Any) -> Program:
    new = await v1.service.accounts.tokens.add(owner, "nas", scopes=scopes or None, **terms)
    return program(new.token, new.id)


async def register(
    v1: V1,
    owner: str,
    job: str = JOB,
    *,
    source: str = "//nas",
    token: str | None = None,
    **labels: str,
) -> None:
    said = replace(registered(source=source), labels=labels, token=token)
    command = RegisterJob(owner, job, "backup", said, holder=Holder(INSTANCE, token), chosen=True)
    await v1.service.ledger.execute(command, Caller(owner, "r"))


async def job_token(v1: V1, job: str = JOB, attempt: int = 1, instance: str = INSTANCE) -> Program:
    return program(await v1.service.accounts.job_token(job, attempt, instance))


async def report(v1: V1, by: Program, job: str = JOB, **said: Any) -> Any:
    return await v1.call("POST", f"/jobs/{job}/reports", json=said, **by.by)


async def test_a_reporter_reaches_what_is_below_its_source(
    real: V1, owners: dict[str, str]
) -> None:
    """One by one and in a batch, whose other reports are taken all the same."""
    ada = owners["ada@example.test"]
    await register(real, ada, source="//nas/cron")
    await register(real, ada, OTHER, source="//other")
    reporter = await token(real, "jobs:report")
    assert (await report(real, reporter)).json["accepted"] is True
    refused = problem_of(await report(real, reporter, OTHER))
    assert refused == {"type": "scope-missing", "status": 403, "scope": "jobs:report"}
    batch = {"reports": [{"job": OTHER}, {"job": JOB}]}
    answers = (await real.call("POST", "/reports", json=batch, **reporter.by)).json["results"]
    assert answers[0]["type"].endswith("scope-missing")
    assert answers[1]["accepted"] is True
    wide = await token(real, "jobs:report", source="//")
    assert (await report(real, wide, OTHER)).status == 200


async def test_a_restrictor_narrows_what_is_reached(real: V1, owners: dict[str, str]) -> None:
    """Where all jobs would be seen, the token is refused."""
    ada = owners["ada@example.test"]
    await register(real, ada, env="prod")
    await register(real, ada, OTHER, env="test")
    narrow = await token(real, *SCOPES, restrictors=("labels.env=prod",))
    for job, status in ((JOB, 202), (OTHER, 403)):
        answer = await real.call("POST", f"/jobs/{job}/cancel", json={}, **narrow.by)
        assert answer.status == status
    assert (await report(real, narrow, OTHER)).status == 403
    assert (await real.refused("GET", "/events", **narrow.by))["type"] == "scope-missing"
    assert (await real.refused("POST", "/cancels", json={}, **narrow.by))["type"] == "scope-missing"
    listed = (await real.call("GET", "/jobs", **narrow.by)).json["jobs"]
    assert [job["uuid"] for job in listed] == [JOB]
    assert (await real.call("GET", "/api/2.0/jobs/", **narrow.by)).status == 403
    assert (await real.call("GET", f"/api/2.0/jobs/{JOB}/", **narrow.by)).status == 200
    assert (await real.call("GET", f"/api/2.0/jobs/{OTHER}/", **narrow.by)).status == 403


async def test_a_jobs_token_is_for_its_job(real: V1, owners: dict[str, str]) -> None:
    """It knows its attempt, and reaches no other job, nor anything else of the account."""
    ada = owners["ada@example.test"]
    came_from = await token(real, "jobs:register")
    await register(real, ada, token=came_from.id)
    await register(real, ada, OTHER, token=came_from.id)
    own = await job_token(real)
    answer = await report(real, own, progress={"done": 1, "total": 2})
    assert (answer.json["accepted"], answer.json["attempt"]) == (True, 1)
    assert problem_of(await report(real, own, OTHER))["type"] == "scope-missing"
    batch = {"reports": [{"job": OTHER}, {"job": JOB}]}
    answers = (await real.call("POST", "/reports", json=batch, **own.by)).json["results"]
    assert [each.get("accepted") for each in answers] == [None, True]
    listed = (await real.call("GET", "/jobs", **own.by)).json["jobs"]
    assert [job["uuid"] for job in listed] == [JOB]
    for path in ("/events", "/tokens", "/account", "/api/2.0/jobs/", "/api/2.0/drives/"):
        assert (await real.call("GET", path, **own.by)).status == 403
    assert (await real.call("POST", f"/jobs/{JOB}/cancel", json={}, **own.by)).status == 403
    await real.service.accounts.tokens.remove(came_from.id or "")
    assert problem_of(await report(real, own))["why"] == "removed"


async def test_the_token_of_a_job_may_come_from_one_that_lasts(
    real: V1, owners: dict[str, str]
) -> None:
    """It outlives it by 30 days, also where the calendar has no more of them."""
    lasting = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    came_from = await token(real, "jobs:register", expires=lasting)
    await register(real, owners["ada@example.test"], token=came_from.id)
    assert (await report(real, await job_token(real))).status == 200


async def test_a_jobs_token_of_another_process_must_stop(real: V1, owners: dict[str, str]) -> None:
    """After a restore, the number of its attempt is another process's."""
    await register(real, owners["ada@example.test"])
    other = await job_token(real, instance="00" * 32)
    assert problem_of(await report(real, other)) == {
        "type": "attempt-replaced",
        "status": 409,
        "job": JOB,
        "attempt": 1,
        "must_stop": True,
    }


async def test_after_the_end_a_jobs_token_is_told_so(real: V1, owners: dict[str, str]) -> None:
    """And of a job that the ledger does not know, that it does not."""
    ada = owners["ada@example.test"]
    await register(real, ada)
    await real.service.ledger.execute(EndJob(JOB, 1, DONE), Caller(ada, "r"))
    own = await job_token(real)
    told = (await report(real, own)).json
    assert (told["accepted"], told["over"]) == (False, "succeeded")
    unknown = await job_token(real, OTHER)
    assert problem_of(await report(real, unknown, OTHER))["type"] == "job-unknown"


def job_routes(v1: V1) -> list[tuple[str, str]]:
    """Every method and URL of `/api/v1` that names a job."""
    app = v1.client.server.app
    return [
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
        and app[URL_ACCESS][route.resource] != "public"
        and route.resource.canonical.startswith("/api/v1/jobs/{")
        and route.method != "HEAD"
    ]


async def test_another_accounts_job_is_like_an_unknown_one(
    real: V1, owners: dict[str, str]
) -> None:
    """On every URL that names a job, with every kind of login; and nothing is done to it."""
    ada, bob = owners["ada@example.test"], owners["bob@example.test"]
    await register(real, ada)
    await register(real, bob, OTHER)
    kinds = [
        await token(real, owner="bob@example.test"),
        await token(real, *SCOPES, owner="bob@example.test", source="//"),
        await job_token(real, OTHER),
    ]
    before = real.service.ledger.position
    for method, template in job_routes(real):
        if method == "PUT":
            continue  # which says that the uuid is taken, and not a word more
        for by in kinds:
            answers = []
            for job in (JOB, UNKNOWN):
                path = template.partition("}")
                async with real.client.request(
                    method, f"/api/v1/jobs/{job}{path[2]}", headers=by.headers, json={}
                ) as answer:
                    answers.append((answer.status, (await answer.text()).replace(job, "JOB")))
            assert answers[0] == answers[1], (method, template)
            assert answers[0][0] in (400, 403, 404), (method, template)
    assert real.service.ledger.position == before


async def test_another_accounts_job_is_nowhere_to_be_seen(real: V1, owners: dict[str, str]) -> None:
    """In no answer of a URL that names no job."""
    await register(real, owners["ada@example.test"])
    bob = await token(real, owner="bob@example.test")
    app = real.client.server.app
    paths = {
        route.resource.canonical
        for route in app.router.routes()
        if route.resource is not None and route.method == "GET"
    }
    for path in paths:
        if path.startswith("/api/v1") and "{" not in path:
            async with real.client.get(path, headers=bob.headers) as answer:
                assert JOB not in await answer.text(), path
    batch = {"reports": [{"job": JOB}, {"job": UNKNOWN}]}
    first, second = (await real.call("POST", "/reports", json=batch, **bob.by)).json["results"]
    assert {**first, "job": ""} == {**second, "job": "", "detail": first["detail"]}


async def test_nobody_drops_the_words_of_another_accounts_job(
    real: V1, owners: dict[str, str]
) -> None:
    """Nor those that were last said, and are only held."""
    await register(real, owners["ada@example.test"])
    ada, bob = await token(real), await token(real, owner="bob@example.test")
    for message in ("one", "two"):
        assert (await report(real, ada, message=message)).status == 200
    refused = await real.refused("DELETE", f"/jobs/{JOB}/texts", **bob.by)
    assert refused["type"] == "job-unknown"
    assert (await real.get(f"/jobs/{JOB}", **ada.by)).json["message"] == "two"

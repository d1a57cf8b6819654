"""Auditors and operators see the whole ledger and other accounts' resources; nobody else does."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema_rs
import orjson
import pytest

from api.accounts.service import Account
from api.openapi.document import document_json
from api.service.service import Service
from tests.api.calling import ALICE, AUDITOR, BOB, UNKNOWN, Api
from tests.harness.cases import in_turn
from tests.support.wait import wait_until

DOCUMENT = orjson.loads(document_json())

WHOLE = ("status", "accounts", "retention", "retention/plan")


@pytest.fixture
def service(service: Service) -> Service:
    """One at whose clock it is always an hour from now: statistics begin no new bucket."""
    moment = service.now() + timedelta(hours=1)
    return replace(service, now=lambda: moment)


def assert_conforms(value: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(value)


# Another account's things


async def test_an_auditor_sees_another_accounts_resources(api: Api):
    """Drives and jobs, one by one, in lists, their history and as they were."""
    drive = await api.drive()
    copy, job = await api.clone(drive)
    as_alice = f"owner={ALICE.uuid}"
    for path in (f"/drives/{copy}/", f"/jobs/{job}/", f"/jobs/{job}/history/"):
        assert (await api.get(path, by=AUDITOR)).status == 404
        assert (await api.get(f"{path}?{as_alice}", by=AUDITOR)).json == (await api.get(path)).json
    for path in ("/jobs/", "/drives/", "/drives/detail/", "/jobs/statistics/"):
        shown = (await api.get(f"{path}?{as_alice}", by=AUDITOR)).json
        assert shown == (await api.get(path)).json
        assert shown != (await api.get(path, by=AUDITOR)).json
    position = (await api.get(f"/jobs/{job}/")).headers["X-Ledger-Position"]
    then = await api.get(f"/jobs/{job}/?{as_alice}&as_of={position}", by=AUDITOR)
    assert then.json["uuid"] == job


@in_turn("path", ["/jobs/", "/drives/", "/drives/detail/", "/jobs/statistics/"])
async def test_nobody_else_sees_another_accounts_resources(api: Api, path: str):
    """Whether there is such an account is not told; one's own may be named."""
    for owner in (ALICE.uuid, UNKNOWN, "nonsense", ""):
        refused = await api.get(f"{path}?owner={owner}", by=BOB)
        assert refused.error == (403, "permission", "owner")
    own = await api.get(f"{path}?owner={BOB.uuid.upper()}", by=BOB)
    assert own.json == (await api.get(path, by=BOB)).json


async def test_an_unknown_owner_is_refused(api: Api):
    """400: the query is wrong."""
    for owner in (UNKNOWN, "nonsense", ""):
        refused = await api.get(f"/jobs/?owner={owner}", by=AUDITOR)
        assert refused.error == (400, "validation", "owner")


async def test_staff_neither_see_secrets_nor_change_anything(api: Api):
    """Servers, which have passwords, images and tags are not shown; nothing is changed."""
    drive = await api.drive()
    server = await api.server()
    as_alice = f"owner={ALICE.uuid}"
    for path in (f"/servers/{server}/", f"/drives/{drive}/download/"):
        assert (await api.get(f"{path}?{as_alice}", by=AUDITOR)).status == 404
    for path in ("/servers/", "/servers/detail/", "/tags/", "/logs/"):
        shown = await api.get(f"{path}?{as_alice}", by=AUDITOR)
        assert shown.json["objects"] == []
    refused = await api.delete(f"/drives/{drive}/?{as_alice}", by=AUDITOR)
    assert refused.status == 403
    clone = await api.post(f"/drives/{drive}/action/?do=clone&{as_alice}", {}, by=BOB)
    assert clone.status == 404


# The whole ledger


@in_turn("path", WHOLE)
async def test_the_whole_ledger_is_for_the_staff(api: Api, path: str):
    """403 for a user, whatever there is."""
    assert (await api.get(f"/ledger/{path}/", by=BOB)).error == (403, "permission", None)
    assert (await api.get(f"/ledger/{path}/", by=AUDITOR)).status == 200
    assert (await api.get(f"/ledger/{path}/", by=None)).status == 401


async def test_the_status_counts_all_jobs(api: Api):
    """Of all accounts; and tells the newest kept checkpoint."""
    await api.job(owner=ALICE)
    await api.fail(await api.job(owner=BOB))
    status = (await api.get("/ledger/status/", by=AUDITOR)).json
    assert_conforms(status, "LedgerStatus")
    assert status["jobs"] == {"started": 1, "failed": 1}
    assert status["position"] == api.service.ledger.position

    async def with_checkpoint() -> Any:
        api.service.checkpoints.keep()  # unless the service itself is doing it
        shown = (await api.get("/ledger/status/", by=AUDITOR)).json
        return shown if shown["checkpoint"] else None

    status = await wait_until("a checkpoint is shown", with_checkpoint)
    assert_conforms(status, "LedgerStatus")
    assert status["checkpoint"]["note"].startswith(status["verifier"].split("+")[0])


async def test_the_status_and_plan_of_retention(api: Api):
    """A plan names trees, by any policy and moment, and discards nothing."""
    await api.job(owner=BOB)
    standing = (await api.get("/ledger/retention/", by=AUDITOR)).json
    assert_conforms(standing, "RetentionStanding")
    assert (standing["keep"], standing["keep_last"]) == ("P3D", 20)
    plan = (await api.get("/ledger/retention/plan/", by=AUDITOR)).json
    assert_conforms(plan, "RetentionPlan")
    assert plan["trees"] == []
    alone = await api.job(owner=ALICE)
    await api.fail(alone)
    later = (api.service.now() + timedelta(days=1)).isoformat().replace("+", "%2B")
    plan = (await api.get(f"/ledger/retention/plan/?keep=PT1H&as_of={later}", by=AUDITOR)).json
    assert_conforms(plan, "RetentionPlan")
    assert [(tree["job"], tree["owner"]) for tree in plan["trees"]] == [(alone, ALICE.uuid)]
    assert (plan["keep"], plan["trees_total"], plan["jobs_total"]) == ("PT1H", 1, 1)
    assert (await api.get(f"/jobs/{alone}/")).status == 200


@in_turn(
    ("query", "point"),
    [
        ("keep=3", "keep"),
        ("keep=-P1D", "keep"),
        ("keep=P99999D", "keep"),
        (f"keep=PT{'9' * 5_000}S", "keep"),
        ("keep_last=-1", "keep_last"),
        ("keep_last=1001", "keep_last"),
        ("keep_last=", "keep_last"),
        ("as_of=yesterday", "as_of"),
        ("as_of=2026-04-17T08:15:30", "as_of"),
    ],
)
async def test_a_senseless_plan_is_refused(api: Api, query: str, point: str):
    """With 400, and the name of what will not do."""
    refused = await api.get(f"/ledger/retention/plan/?{query}", by=AUDITOR)
    assert refused.error == (400, "validation", point)


@pytest.mark.parametrize("account", [ALICE, AUDITOR])
async def test_everybody_can_ask_for_their_own_account(api: Api, account: Account):
    """The page shows what the role may see."""
    own = (await api.get("/accounts/self/", by=account)).json
    assert_conforms(own, "OwnAccount")
    assert own == {"uuid": account.uuid, "email": account.email, "role": account.role}

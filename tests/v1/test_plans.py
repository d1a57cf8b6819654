"""Asking many jobs to stop: nobody is asked before somebody has seen who."""

from datetime import timedelta
from typing import Any

import pytest

from api.v1.stopping import plans
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.producers.commands import EndJob
from tests.api.calling import ALICE, BOB
from tests.support.producing import DONE, queued, running
from tests.v1.calling import V1
from tests.v1.families import Family


@pytest.fixture
def family(v1: V1) -> Family:
    return Family(v1)


async def plan(v1: V1, **wanted: Any) -> Any:
    answer = await v1.post("/cancels", {"filter": wanted})
    assert answer.status == 200, answer.body
    return answer.json


async def test_what_goes_on_and_was_found_is_asked(v1: V1, family: Family) -> None:
    """In two steps; what has ended meanwhile is not asked, nor what was not in the plan."""
    await family.register(
        *(running(name) for name in ("a", "b", "other")),
        running("deaf", cancellable=False),
        running("over", end=DONE),
        queued("waits"),
    )
    labelled = ("a", "b", "deaf", "over", "waits")
    await family.do(*(LabelJob(ALICE.uuid, family[name], {"env": "x"}) for name in labelled))
    found = await plan(v1, select="env=x")
    assert found["count"] == 4
    assert {job["uuid"] for job in found["sample"]} == {
        family[name] for name in ("a", "b", "deaf", "waits")
    }
    assert family.job("a").produced.cancel is None  # type: ignore[union-attr]
    await family.do(
        EndJob(family["b"], 1, DONE), LabelJob(ALICE.uuid, family["other"], {"env": "x"})
    )
    answer = await v1.post("/cancels", {"plan": found["plan"], "note": "enough", "grace_s": 5})
    assert answer.status == 202
    assert answer.json == {"asked": 2, "ended": 1, "cannot": 1, "left": 0}
    assert family.job("a").produced.cancel.grace_s == 5  # type: ignore[union-attr]
    assert family.job("other").produced.cancel is None  # type: ignore[union-attr]
    assert family.ended("waits") == ("cancelled", "requested")
    again = await v1.post("/cancels", {"plan": found["plan"]})
    assert again.json == {"asked": 1, "ended": 2, "cannot": 1, "left": 0}


async def test_a_plan_is_its_accounts_and_over_after_a_quarter_of_an_hour(
    v1: V1, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    await family.register(running("a"))
    found = await plan(v1, operation="backup")
    problem = await v1.refused("POST", "/cancels", {"plan": found["plan"]}, by=BOB)
    assert (problem["type"], problem["status"]) == ("plan-over", 410)
    monkeypatch.setattr(plans, "KEPT", timedelta(0))
    late = await plan(v1, operation="backup")
    assert (await v1.refused("POST", "/cancels", {"plan": late["plan"]}))["type"] == "plan-over"
    assert (await v1.post("/cancels", {"plan": found["plan"]})).json["asked"] == 1


async def test_too_many_are_refused_and_many_are_asked_in_slices(
    v1: V1, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    await family.register(*(running(f"j{nth}") for nth in range(5)))
    monkeypatch.setattr(plans, "AT_ONCE", 2)
    found = await plan(v1, source="//nas")
    assert found["count"] == 5
    monkeypatch.setattr(plans, "ANSWER_S", -1.0)
    answer = await v1.post("/cancels", {"plan": found["plan"]})
    assert answer.json == {"asked": 0, "ended": 0, "cannot": 0, "left": 5}
    monkeypatch.setattr(plans, "ANSWER_S", 25.0)
    assert (await v1.post("/cancels", {"plan": found["plan"]})).json["asked"] == 5
    monkeypatch.setattr(plans, "JOBS_MOST", 4)
    problem = await v1.refused("POST", "/cancels", {"filter": {"source": "//nas"}})
    assert (problem["type"], problem["limit"]) == ("bad-value", 4)


async def test_senseless_requests_ask_nobody(v1: V1) -> None:
    filters: list[dict[str, Any]] = [{}, {"state": "late"}, {"select": "!"}]
    bodies = [{}, {"plan": 7}, {"filter": {"operation": "x"}, "plan": "x"}]
    for body in (*bodies, *({"filter": wanted} for wanted in filters)):
        assert (await v1.refused("POST", "/cancels", body))["type"] == "bad-value", body

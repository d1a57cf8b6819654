"""Asking jobs to stop: by a request that reaches all below, and is settled where nobody works."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from api.accounts.account import Account
from api.composition import open_ledger, open_service
from api.service.settings import Settings
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import EndJob, LoseProducer, RequestCancel
from tests.api.begun import begin_as
from tests.api.calling import ALICE, AUDITOR, BOB, WORKER, KnownAccounts, authorization
from tests.support.producing import DONE, STOPPED, group, queued, running
from tests.support.wait import wait_until
from tests.support.world import ME
from tests.v1.calling import V1
from tests.v1.families import Family

NOW = {"grace_s": 0}
AUTHORIZATION = {"Authorization": authorization(ALICE)}


@pytest.fixture
def family(v1: V1) -> Family:
    return Family(v1)


async def test_a_job_is_asked_and_goes_on(family: Family) -> None:
    """Asking again changes nothing, whatever is said."""
    await family.register(running("j"))
    answer = await family.cancel("j", {"note": "the disk is being replaced", "grace_s": 60})
    assert answer.status == 202
    said = answer.json
    assert said.pop("cancel") | {"requested_at": "", "stop_within_s": 0} == {
        "requested_at": "",
        "by": None,
        "note": "the disk is being replaced",
        "stop_within_s": 0,
        "outcome": None,
    }
    below = {"asked": 0, "not_cancellable": 0}
    assert said == {"uuid": family["j"], "done": False, "over": None, "below": below}
    version = family.job("j").last_modified
    again = await family.cancel("j", {"note": "hurry", "grace_s": 1})
    assert again.status == 202
    assert again.json["cancel"]["note"] == "the disk is being replaced"
    assert family.job("j").last_modified == version
    await family.do(EndJob(family["j"], 1, STOPPED))
    over = await family.cancel("j")
    assert (over.status, over.json["over"]) == (200, "cancelled")
    assert over.json["cancel"]["outcome"] == "obeyed"


async def test_what_ended_without_a_request_is_over(v1: V1, family: Family) -> None:
    await family.register(running("j", end=DONE))
    problem = await v1.refused("POST", f"/jobs/{family['j']}/cancel", {})
    assert problem == {
        "type": "job-over",
        "status": 409,
        "job": family["j"],
        "over": "succeeded",
    }
    problem = await v1.refused("POST", f"/jobs/{family['j']}/cancel", {}, by=BOB)
    assert problem["type"] == "job-unknown"


async def test_what_nobody_works_on_is_settled(family: Family) -> None:
    """Queued jobs end, groups are sealed, also where they register after the request."""
    await family.register(
        running("night"),
        group("fan", "night"),
        queued("unworked", "fan"),
        running("worked", "fan"),
        running("deaf", "night", cancellable=False),
    )
    answer = await family.cancel("night")
    below = answer.json["below"]
    assert below["asked"] in (2, 3)  # the queued one may be over by now
    assert below["not_cancellable"] == 1
    await family.until_ended("unworked")
    await family.register(queued("late", "night"), group("empty", "night"))
    await family.until_ended("late", "empty")
    assert family.ended("late") == ("cancelled", "requested")
    await family.do(EndJob(family["worked"], 1, STOPPED))
    await family.until_ended("fan")
    assert family.ended("fan") == ("cancelled", "requested")
    assert family.job("night").ended is None
    assert family.job("deaf").ended is None


async def test_the_end_of_a_parent_stops_what_nobody_works_on(family: Family) -> None:
    await family.register(running("j"), queued("waits", "j"))
    await family.do(EndJob(family["j"], 1, STOPPED))
    await family.until_ended("waits")


async def test_a_queued_job_ends_on_the_spot(family: Family) -> None:
    await family.register(queued("j"))
    answer = await family.cancel("j")
    assert (answer.status, answer.json["over"]) == (202, "cancelled")
    assert (await family.cancel("j")).status == 200


async def test_some_jobs_cannot_be_cancelled(v1: V1, family: Family) -> None:
    await family.register(running("j", cancellable=False))
    problem = await v1.refused("POST", f"/jobs/{family['j']}/cancel", {})
    assert problem == {
        "type": "not-cancellable",
        "status": 409,
        "job": family["j"],
        "host": "nas",
    }


async def test_a_record_is_ended_by_force_after_the_grace(v1: V1, family: Family) -> None:
    await family.register(running("j"), running("below", "j"))
    url = f"/jobs/{family['below']}/cancel"
    problem = await v1.refused("POST", url, {"force": True})
    assert (problem["type"], problem["asked"]) == ("grace-not-over", False)
    await family.cancel("j", {"grace_s": 3600})
    problem = await v1.refused("POST", url, {"force": True})
    assert problem["asked"]
    assert 0 < problem["retry_after_s"] <= 3600
    await family.cancel("below", NOW)
    forced = await family.cancel("below", {"force": True})
    assert (forced.status, forced.json["over"]) == (202, "cancelled")
    assert family.ended("below") == ("cancelled", "forced")
    assert forced.json["cancel"]["outcome"] == "unanswered"
    assert (await family.cancel("below", {"force": True})).status == 200


async def test_an_operator_stops_jobs_of_any_account(v1: V1, family: Family) -> None:
    """Others do not even find them."""
    operator = Account(v1.service.new_id(), "operator@example.org", "operator")
    known = cast(KnownAccounts, cast(object, v1.service.accounts))
    known._by_header[authorization(operator)] = operator
    await family.register(running("j"))
    assert (await family.cancel("j", by=AUDITOR)).status == 403
    assert (await family.cancel("j", by=BOB)).status == 404
    asked = await family.cancel("j", NOW, by=operator)
    assert asked.status == 202
    forced = await family.cancel("j", {"force": True}, by=operator)
    assert forced.json["over"] == "cancelled"


async def test_a_lost_job_is_ended_at_once(family: Family) -> None:
    """Nobody has to be asked."""
    await family.register(running("j"))
    await family.do(LoseProducer(family["j"], 1))
    assert (await family.cancel("j", {"force": True})).json["over"] == "failed"
    assert (await family.cancel("j", {"force": True})).status == 200


async def test_senseless_requests_change_nothing(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    for said in ({"grace_s": -1}, {"note": 7}, {"force": "yes"}):
        problem = await v1.refused("POST", f"/jobs/{family['j']}/cancel", said)
        assert problem["type"] == "bad-value", said
    assert (await v1.refused("POST", f"/jobs/{family['j']}/cancel", {"reason": "x"}))["unknown"]
    assert family.job("j").produced.cancel is None  # type: ignore[union-attr]


async def test_who_ends_in_the_same_instant_has_ended(family: Family) -> None:
    """The request comes before the end, or is refused; nothing is left half done."""
    names = [f"j{nth}" for nth in range(10)]
    await family.register(*map(running, names))
    ends = [family.do(EndJob(family[name], 1, DONE)) for name in names]
    requests = [asyncio.create_task(family.cancel(name)) for name in names]
    await asyncio.gather(*requests, *ends)
    answers = [request.result() for request in requests]
    for name, answer in zip(names, answers, strict=True):
        asked = family.job(name).produced.cancel is not None  # type: ignore[union-attr]
        assert answer.status in ((200, 202) if asked else (409,))
        assert family.ended(name) == ("succeeded", None)


async def test_the_other_base_asks_too(v1: V1, family: Family) -> None:
    """Existing clients cancel what they see; a producer's job goes on until it ends."""
    await family.register(running("j"), queued("below", "j"))
    url = f"/api/2.0/jobs/{family['j']}/action/?do=cancel"
    async with v1.client.post(url, headers=AUTHORIZATION) as answer:
        assert answer.status == 202
    assert family.job("j").produced.cancel is not None  # type: ignore[union-attr]
    assert family.job("j").ended is None
    await family.until_ended("below")


async def test_a_service_that_starts_goes_on_with_what_was_asked(
    tmp_path: Path, begun: Path
) -> None:
    """Also if the one before was killed right after the request."""
    begin_as(begun, tmp_path)
    async with open_ledger(tmp_path) as opened:  # nothing is done in the background
        for command in (
            running("j"),
            queued("waits", "j"),
            RequestCancel(ME, "j", JobCancelRequested(60)),
        ):
            await opened.ledger.execute(command, WORKER)
    async with open_service(Settings(data=tmp_path, copying=False)) as service:

        def ended() -> bool:
            job = service.ledger.job("waits")
            return job is not None and job.ended is not None

        await wait_until("what waits has ended", ended)

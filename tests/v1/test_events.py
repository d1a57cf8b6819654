"""The events of an account's jobs, as CloudEvents, from cursor to cursor."""

import asyncio
from typing import Any

import pytest

from api.v1.events import decode_cursor, encode_cursor
from ledger.domain.commands.housekeeping import RecordRestore
from ledger.domain.producers.commands import EndJob
from projections.views.events import Place
from tests.api.calling import ALICE, AUDITOR, BOB, Answer
from tests.support.producing import DONE, running
from tests.support.wait import wait_until
from tests.v1.calling import V1
from tests.v1.families import Family


@pytest.fixture
def family(v1: V1) -> Family:
    return Family(v1)


def names(answer: Answer) -> list[str]:
    return [event["type"].removeprefix("job-ledger.") for event in answer.json]


async def test_events_are_cloud_events(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    answer = await v1.get("/events", headers={"Accept": "application/cloudevents-batch+json"})
    assert answer.headers["Content-Type"] == "application/cloudevents-batch+json"
    assert names(answer) == ["job-created", "job-registered", "job-attempt-started"]
    first: dict[str, Any] = answer.json[0]
    assert first["specversion"] == "1.0"
    assert first["subject"] == f"job-{family['j']}"
    assert first["source"].endswith("/0")
    assert first["data"]["operation"] == "backup"
    assert (first["version"], first["root"]) == (1, family["j"])
    ids = [int(event["id"]) for event in answer.json]
    assert ids == sorted(ids)


async def test_a_cursor_goes_on_where_the_last_answer_ended(v1: V1, family: Family) -> None:
    """Also an empty answer, and one in which nothing matched, has the next cursor."""
    await family.register(running("j"))
    seen, cursor = [], ""
    for _ in range(4):
        answer = await v1.get(f"/events?limit=1&after={cursor}")
        seen += names(answer)
        cursor = answer.headers["X-Ledger-Next"]
    assert seen == ["job-created", "job-registered", "job-attempt-started"]
    await family.do(EndJob(family["j"], 1, DONE))
    none = await v1.get(f"/events?after={cursor}&types=job-failed")
    assert (none.json, none.headers["X-Ledger-Next"]) != ([], cursor)
    found = await v1.get(f"/events?after={cursor}&types=job-ledger.job-succeeded,job-failed")
    assert names(found) == ["job-succeeded"]


async def test_only_the_account_and_staff_see_them(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    assert (await v1.get("/events", by=BOB)).json == []
    assert len((await v1.get(f"/events?owner={ALICE.uuid}", by=AUDITOR)).json) == 3
    assert (await v1.refused("GET", f"/events?owner={ALICE.uuid}", by=BOB))["status"] == 403


async def test_a_long_poll_is_woken_by_an_event(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    end = (await v1.get("/events?after=now")).headers["X-Ledger-Next"]
    waiting = asyncio.create_task(v1.get(f"/events?after={end}&wait=60&types=job-succeeded"))
    watchers = v1.service.feed._account_watchers
    await wait_until("it waits", lambda: watchers.count(ALICE.uuid))
    await family.register(running("other"))
    await family.do(EndJob(family["j"], 1, DONE))
    assert names(await waiting) == ["job-succeeded"]


async def test_a_reader_is_told_of_a_restore(v1: V1, family: Family) -> None:
    """With the cursor from which it goes on."""
    await family.register(running("j"))
    cursor = (await v1.get("/events")).headers["X-Ledger-Next"]
    await family.do(RecordRestore("r", 2, "note"), EndJob(family["j"], 1, DONE))
    answer = await v1.get(f"/events?after={cursor}&wait=60")
    assert answer.status == 410
    assert answer.json["type"] == "/api/v1/problems/ledger-restored"
    assert answer.json["cursor"] == answer.headers["X-Ledger-Next"]
    assert names(await v1.get(f"/events?after={answer.json['cursor']}")) == ["job-succeeded"]


async def test_a_reader_is_told_of_an_archive(v1: V1, family: Family, monkeypatch: Any) -> None:
    """This one knows of no archive although one is recorded that reaches beyond its place."""
    await family.register(running("j", end=DONE))
    place = Place(0, 1, 0)
    found = Place(0, 1, 7)
    monkeypatch.setattr("projections.views.events.after_archives", lambda *_: found)
    answer = await v1.get(f"/events?after={encode_cursor(place)}")
    assert answer.json["type"] == "/api/v1/problems/events-archived"
    assert decode_cursor(answer.headers["X-Ledger-Next"]) == found


async def test_senseless_parameters_are_refused(v1: V1) -> None:
    for query in ("after=x", "after=%ff", "limit=0", "limit=1001", "wait=-1"):
        assert (await v1.refused("GET", f"/events?{query}"))["type"] == "bad-value", query


@pytest.mark.parametrize("place", [Place(0, 0, 0), Place(2**48, 2**53, 2**50)])
def test_a_cursor_says_where_the_reader_is(place: Place) -> None:
    assert decode_cursor(encode_cursor(place)) == place

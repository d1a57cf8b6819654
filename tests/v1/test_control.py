"""A process learns at once that it is to stop, whoever asks and wherever in the tree."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from ledger.domain.events.producers import Holder, JobCancelRequested
from ledger.domain.producers.commands import (
    EndJob,
    LoseProducer,
    RequestCancel,
    SeeCancel,
    TakeUpJob,
)
from tests.api.calling import ALICE, BOB, UNKNOWN, WORKER, Answer
from tests.support.producing import DONE, STOPPED, queued, running
from tests.support.wait import wait_until
from tests.v1.calling import V1
from tests.v1.families import Family

OTHER = Holder(hashlib.sha256(b"other").hexdigest())


@pytest.fixture
def family(v1: V1) -> Family:
    return Family(v1)


@asynccontextmanager
async def waiting(
    v1: V1, url: str, watched: str, **given: Any
) -> AsyncIterator["asyncio.Task[Answer]"]:
    """A long poll that watches this job, or instance."""
    poll = asyncio.create_task(v1.get(f"{url}{'&' if '?' in url else '?'}wait=60", **given))
    watchers = v1.service.feed._stop_watchers
    await wait_until("it watches", lambda: watchers.count(watched))
    yield poll
    await poll


async def test_a_process_hears_of_a_request_to_a_job_above(v1: V1, family: Family) -> None:
    """And is told again at once, unless it says what it knows."""
    await family.register(running("j"), running("child", "j"), running("grandchild", "child"))
    url = f"/jobs/{family['grandchild']}/control"
    assert (await v1.get(url)).json == {
        "uuid": family["grandchild"],
        "attempt": 1,
        "cancel": None,
        "over": None,
        "replaced": False,
        "must_stop": False,
    }
    async with waiting(v1, url, family["j"]) as poll:
        await family.cancel("j", {"note": "stop", "grace_s": 3600})
    told = await poll
    assert told.json["cancel"]["note"] == "stop"
    assert not told.json["must_stop"]
    again = await v1.get(f"{url}?wait=60")
    assert again.json["cancel"]["requested_at"] == told.json["cancel"]["requested_at"]
    known = {"If-None-Match": told.headers["ETag"]}
    assert (await v1.get(url, headers=known)).status == 304
    async with waiting(v1, url, family["j"], headers=known) as poll:
        await family.do(SeeCancel(family["grandchild"], 1))
        await family.do(EndJob(family["grandchild"], 1, STOPPED))
    assert (await poll).json["over"] == "cancelled"


async def test_a_process_that_has_seen_a_request_waits_for_something_else(
    v1: V1, family: Family
) -> None:
    """Otherwise it would ask again and again while it stops."""
    await family.register(running("j"))
    await family.cancel("j")
    await family.do(SeeCancel(family["j"], 1))
    async with waiting(v1, f"/jobs/{family['j']}/control", family["j"]) as poll:
        assert not poll.done()
        await family.do(EndJob(family["j"], 1, STOPPED))
    assert (await poll).json["over"] == "cancelled"


async def test_a_request_between_the_first_look_and_the_wait_is_not_missed(
    v1: V1, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody wakes this poll: it looks once more after it has begun to watch."""
    await family.register(running("j"))

    @contextmanager
    def watch(*_: object) -> Iterator[asyncio.Event]:
        ask = RequestCancel(ALICE.uuid, family["j"], JobCancelRequested(60))
        v1.service.ledger.execute_blocking(ask, WORKER)
        yield asyncio.Event()

    monkeypatch.setattr(v1.service.feed, "watch_stops", watch)
    assert (await v1.get(f"/jobs/{family['j']}/control?wait=20")).json["cancel"]


async def test_what_is_over_or_replaced_is_told_at_once(v1: V1, family: Family) -> None:
    await family.register(running("done", end=DONE), running("taken"))
    over = await v1.get(f"/jobs/{family['done']}/control?wait=60")
    assert (over.json["over"], over.json["must_stop"]) == ("succeeded", False)
    url = f"/jobs/{family['taken']}/control?attempt=1"
    async with waiting(v1, url, family["taken"]) as poll:
        await family.do(TakeUpJob(family["taken"], 1, OTHER, replaces=True))
    assert (await poll).json["must_stop"]
    again = await v1.get(f"{url}&wait=60")
    assert (again.json["replaced"], again.json["attempt"]) == (True, 2)
    by_instance = await v1.get(f"/jobs/{family['taken']}/control?instance=mine&wait=60")
    assert by_instance.json["replaced"]
    assert not (await v1.get(f"/jobs/{family['taken']}/control?instance=other")).json["replaced"]


async def test_a_process_hears_of_all_its_jobs(v1: V1, family: Family) -> None:
    """Also of those that it registers while it waits; not of what others do, or of its own ends."""
    mine = hashlib.sha256(b"mine").hexdigest()
    await family.register(queued("a"), running("theirs"), queued("b"), queued("c"), queued("top"))
    url = "/control?instance=mine"
    assert (await v1.get(url)).json == {"jobs": []}
    me = Holder(mine)
    async with waiting(v1, url, mine) as poll:
        await family.do(*(TakeUpJob(family[name], 0, me) for name in ("a", "b", "c")))
        watchers = v1.service.feed._stop_watchers
        await wait_until("it watches the new ones", lambda: watchers.count(family["b"]))
        await family.cancel("theirs")
        await family.do(EndJob(family["c"], 1, DONE))
        await family.cancel("b")
    told = await poll
    assert [(job["uuid"], bool(job["cancel"])) for job in told.json["jobs"]] == [
        (family["b"], True)
    ]
    known = {"If-None-Match": told.headers["ETag"]}
    async with waiting(v1, url, mine, headers=known) as poll:
        await family.do(LoseProducer(family["a"], 1))
        await family.cancel("a", {"force": True})
    gone = {job["uuid"]: job for job in (await poll).json["jobs"]}
    assert gone[family["a"]]["over"] == "failed"
    assert (await v1.get(url, by=BOB)).json == {"jobs": []}


async def test_others_hear_nothing(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    for uuid, by in ((family["j"], BOB), (UNKNOWN, ALICE)):
        problem = await v1.refused("GET", f"/jobs/{uuid}/control?wait=60", by=by)
        assert problem["type"] == "job-unknown"
    assert (await v1.refused("GET", "/control?wait=60"))["field"] == "instance"


async def test_a_token_has_64_long_polls(v1: V1, family: Family) -> None:
    await family.register(running("j"))
    url = f"/jobs/{family['j']}/control?wait=60"
    polls = [asyncio.create_task(v1.get(url)) for _ in range(64)]
    watchers = v1.service.feed._stop_watchers
    await wait_until("all wait", lambda: watchers.count(family["j"]) == 64)
    problem = await v1.refused("GET", url)
    assert (problem["type"], problem["limit"]) == ("too-fast", 64)
    assert (await v1.get(url.partition("?")[0])).status == 200
    await family.do(EndJob(family["j"], 1, DONE))
    assert {(await poll).json["over"] for poll in polls} == {"succeeded"}

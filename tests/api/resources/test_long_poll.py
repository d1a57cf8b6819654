"""`?wait=SECONDS` on a job: it answers at the next change, at the end, or after that time."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, make_mocked_request

from api.app import make_app
from api.http.long_poll import wait_of
from api.resources import websocket
from api.service.service import Service
from ledger.domain.commands.jobs import UpdateProgress
from projections import estimates
from projections.shown.families import Families
from tests.api.calling import ALICE, BOB, Answer, Api
from tests.api.listening import listening
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.wait import patience, wait_until

LONG_S = 60
"""A wait whose end no test sees."""


@asynccontextmanager
async def waiting(
    api: Api, job: str, *, wait: object = LONG_S, tag: str | None = None, by: Any = ALICE
) -> AsyncIterator["asyncio.Task[Answer]"]:
    """A request that waits for the job; on the way out it is answered."""
    headers = {} if tag is None else {"If-None-Match": tag}
    request = api.get(f"/jobs/{job}/?wait={wait}", headers=headers, by=by)
    task = asyncio.create_task(request)
    try:
        await wait_until("the job is watched", lambda: api.service.feed._watchers.count(job))
        assert not task.done()
        yield task
        async with patience("the answer"):
            await task
    finally:
        task.cancel()


async def watched_no_more(service: Service) -> None:
    await wait_until("nobody watches a job", lambda: not service.feed._watchers)
    assert not service.feed._followed


async def all_told(api: Api) -> None:
    """Wait until the feed has sent everything so far, and woken everybody who waits for it."""
    async with listening(api) as listener:
        await listener.everything(api)


@pytest.fixture
def waits(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs for whose next change somebody was kept waiting."""
    noted: list[str] = []
    watch = api.service.feed.watch

    @contextmanager
    def watch_noted(job: str, account: str) -> Iterator[asyncio.Event]:
        with watch(job, account) as news:
            wait = news.wait

            def wait_noted() -> Coroutine[Any, Any, Any]:
                noted.append(job)
                return wait()

            monkeypatch.setattr(news, "wait", wait_noted)
            yield news

    monkeypatch.setattr(api.service.feed, "watch", watch_noted)
    return noted


async def begun_job(api: Api, parent: str | None = None) -> str:
    job = await api.job(parent=parent)
    await api.begin(job)
    return job


async def test_the_next_change(api: Api) -> None:
    """Progress is answered when it is recorded, and the job as it is then."""
    job = await begun_job(api)
    async with waiting(api, job) as answer:
        await api.do(UpdateProgress(job, 1, 30))
    assert answer.result().status == 200
    assert answer.result().json["data"]["progress"] == 30
    assert answer.result().json == (await api.get(f"/jobs/{job}/")).json


async def test_a_change_below(api: Api) -> None:
    """Of a sub-job, and of its sub-job."""
    root = await api.job()
    branch = await api.job(parent=root)
    leaf = await begun_job(api, branch)
    for progress in (40, 60):
        async with waiting(api, root) as answer:
            await api.do(UpdateProgress(leaf, 1, progress))
        assert answer.result().json["data"]["progress"] == progress
    async with waiting(api, root) as answer:
        await api.job(parent=branch)
    (shown,) = answer.result().json["children"]
    assert len(shown["children"]) == 2


async def test_changes_of_other_jobs(api: Api) -> None:
    """Changes of jobs beside or above it, or of another account's, do not count."""
    root = await api.job()
    job, beside = await begun_job(api, root), await begun_job(api, root)
    theirs = await api.job(owner=BOB)
    async with waiting(api, job) as answer:
        await api.begin(theirs)
        await api.do(UpdateProgress(beside, 1, 10))
        await api.job(parent=root)
        await api.drive()
        await all_told(api)
        assert not answer.done()
        await api.do(UpdateProgress(job, 1, 20))
    assert answer.result().json["data"]["progress"] == 20


async def test_the_end(api: Api, waits: list[str]) -> None:
    """A job's end is a change, and a job that is over is answered at once, again and again."""
    job = await begun_job(api)
    async with waiting(api, job) as answer:
        await api.succeed_begun(job)
    assert answer.result().json["state"] == "success"
    tag = answer.result().headers["ETag"]
    assert waits.pop() == job
    waits.clear()
    for headers, status in (({}, 200), ({"If-None-Match": tag}, 304)):
        again = await api.get(f"/jobs/{job}/?wait={LONG_S}", headers=headers)
        assert again.status == status
    assert waits == []


async def test_when_the_time_is_over(api: Api) -> None:
    """The job is answered as it is, not sooner than asked for."""
    job = await api.job()
    began = time.monotonic()
    answer = await api.get(f"/jobs/{job}/?wait=0.25")
    assert time.monotonic() - began >= 0.25
    assert (answer.status, answer.json) == (200, (await api.get(f"/jobs/{job}/")).json)
    headers = {"If-None-Match": answer.headers["ETag"]}
    assert (await api.get(f"/jobs/{job}/?wait=0.01", headers=headers)).status == 304
    await watched_no_more(api.service)


async def test_the_position_is_that_of_the_answer(api: Api) -> None:
    """Not that of the moment at which the waiting began."""
    job = await begun_job(api)
    before = (await api.get(f"/jobs/{job}/")).headers["X-Ledger-Position"]
    async with waiting(api, job) as answer:
        await api.do(UpdateProgress(job, 1, 30))
    position = answer.result().headers["X-Ledger-Position"]
    assert int(position) == api.service.ledger.position > int(before)


@in_turn(
    "wait",
    ["-1", "61", "60.001", "1e1", "ten", "", "0x1", "nan", "1.", "\u0663", "100", "1&wait=x"],
)
async def test_a_bad_wait(api: Api, wait: str) -> None:
    """Refused with the parameter's name, whatever state the job is in."""
    answer = await api.get(f"/jobs/{await api.job()}/?wait={wait}")
    assert answer.error == (400, "validation", "wait")


@in_turn("query", ["", "?wait=0", "?wait=0.000", "?wait=60&wait=0", "?limit=0"])
async def test_no_wait(api: Api, waits: list[str], query: str) -> None:
    """Nothing is waited for; of several waits the last one counts."""
    assert (await api.get(f"/jobs/{await api.job()}/{query}")).status == 200
    assert waits == []


def test_answers_come_before_a_proxy_gives_up() -> None:
    """Whatever is asked for: nginx waits 60 s for an answer, and as long for anything at all."""
    assert wait_of(make_mocked_request("GET", "/?wait=60")) <= 50
    assert wait_of(make_mocked_request("GET", "/?wait=49.5")) == 49.5
    assert websocket.HEARTBEAT_S <= 20


async def test_an_unknown_job(api: Api) -> None:
    """404 at once, also for another account's job."""
    theirs = await api.job(owner=BOB)
    for job in (theirs, "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f", "nonsense"):
        answer = await api.get(f"/jobs/{job}/?wait={LONG_S}")
        assert answer.error == (404, "notexist", None)
    assert not api.service.feed._watchers


# With If-None-Match


async def test_with_the_newest_tag_it_waits(api: Api) -> None:
    """With the tag of the last answer it is the next change that is answered."""
    job = await begun_job(api)
    for progress, form in enumerate(("{}", '"other", W/{}')):
        tag = (await api.get(f"/jobs/{job}/")).headers["ETag"]
        async with waiting(api, job, tag=form.format(tag)) as answer:
            await api.do(UpdateProgress(job, 1, progress))
        assert answer.result().json["data"]["progress"] == progress
        assert answer.result().headers["ETag"] != tag


async def test_with_an_older_tag_it_answers_at_once(api: Api, waits: list[str]) -> None:
    """So that a change between two requests is not waited for in vain."""
    job = await begun_job(api)
    tag = (await api.get(f"/jobs/{job}/")).headers["ETag"]
    await api.do(UpdateProgress(job, 1, 30))
    answer = await api.get(f"/jobs/{job}/?wait={LONG_S}", headers={"If-None-Match": tag})
    assert answer.json["data"]["progress"] == 30
    assert waits == []


async def test_no_change_is_missed(api: Api) -> None:
    """A client that keeps asking with the last tag sees the end of a job without waiting."""
    parent = await api.job()
    jobs = [await begun_job(api, parent) for _ in range(3)]
    asked: Counter[str] = Counter()

    async def follow(job: str) -> None:
        tag = ""
        while True:
            headers = {"If-None-Match": tag} if tag else {}
            answer = await api.get(f"/jobs/{job}/?wait={LONG_S}", headers=headers)
            assert answer.headers["ETag"] != tag
            tag = answer.headers["ETag"]
            asked[job] += 1
            if answer.json["state"] != "started":
                return

    async def work(job: str) -> None:
        await wait_until("it is watched", lambda: api.service.feed._watchers.count(job))
        await wait_until("so is what is above", lambda: api.service.feed._watchers.count(parent))
        await api.do(UpdateProgress(job, 1, 1))
        await wait_until("the first change is answered", lambda: asked[job] and asked[parent])
        for progress in range(2, 60):
            await api.do(UpdateProgress(job, 1, progress))
        await api.succeed_begun(job)

    async with patience("the jobs' ends"):
        await asyncio.gather(*(follow(job) for job in (parent, *jobs)), *map(work, jobs))
    assert all(asked[job] > 1 for job in (parent, *jobs))


async def test_estimates_do_not_count_as_a_change(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time left sinks all the time: it changes what is shown, and ends no wait."""
    monkeypatch.setattr(estimates, "MEASURED_S", 0)
    moment = [service.now()]
    timed = replace(service, now=lambda: moment[0])
    async with TestClient(ApiServer(make_app(timed))) as client:
        api = Api(client, timed)
        job = await begun_job(api)
        await api.do(UpdateProgress(job, 1, 1, 1000, 10**12, 1000))
        moment[0] = service.now()
        first = await api.get(f"/jobs/{job}/")
        moment[0] += timedelta(seconds=2)
        second = await api.get(f"/jobs/{job}/")
        assert first.headers["ETag"] != second.headers["ETag"]
        async with waiting(api, job, tag=first.headers["ETag"]) as answer:
            moment[0] += timedelta(seconds=2)
            await api.drive()
            await all_told(api)
            assert not answer.done()
            await api.do(UpdateProgress(job, 1, 10, 10**11, 10**12, 10**11))
        assert answer.result().json["data"]["progress"] == 10


# Those who wait


async def test_many_who_wait_cost_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read for them until the job changes; then all of them are answered."""
    job = await begun_job(api)
    reads: list[str] = []
    read = Families.job

    def noted(self: Families[Any], uuid: str, owner: str) -> object:
        reads.append(uuid)
        return read(self, uuid, owner)

    path = f"/jobs/{job}/?wait={LONG_S}"
    # The client has a hundred connections: one for whoever is told of everything, and the others.
    async with listening(api) as listener:
        answers = [asyncio.create_task(api.get(path)) for _ in range(500)]
        await wait_until("all who can wait", lambda: api.service.feed._watchers.count(job) == 99)
        monkeypatch.setattr(Families, "job", noted)
        for _ in range(10):
            await api.do(UpdateProgress(await begun_job(api), 1, 5))
        await listener.everything(api)
        assert reads == []
    async with patience("all answers"):
        _, *answered = await asyncio.gather(api.succeed_begun(job), *answers)
    states = {answer.json["state"] for answer in answered}
    assert states == {"success"}
    await watched_no_more(api.service)


async def test_a_client_that_leaves_is_forgotten(api: Api) -> None:
    """Its wait ends with it."""
    job = await api.job()
    with pytest.raises(asyncio.CancelledError):
        async with waiting(api, job) as answer:
            answer.cancel()
    await watched_no_more(api.service)


async def test_the_service_stops(api: Api, waits: list[str]) -> None:
    """Waiting clients are answered, and new ones do not have to wait."""
    job = await api.job()
    async with waiting(api, job) as answer:
        api.service.feed.close()
    assert answer.result().json["state"] == "started"
    waits.clear()
    assert (await api.get(f"/jobs/{job}/?wait={LONG_S}")).status == 200
    assert waits == []

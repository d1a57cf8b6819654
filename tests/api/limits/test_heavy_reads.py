"""Reads too long for the event loop: whoever asks for many, or reads slowly, waits alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from threading import Event, current_thread
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from aiohttp.web_runner import BaseRunner

from api.app import make_app
from api.http.streams import _Parts
from api.http.wire.server import ApiRunner
from api.resources.collections import AT_ONCE, Collection
from api.resources.logs import Logs
from api.service.admission import TooMuch
from api.service.answer_bytes import PART_BYTES
from api.service.service import Service
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.store.writer import Caller
from projections.shown import families
from tests.api.calling import ALICE, AUDITOR, BOB, DRIVE, SERVER, SIZE, Account, Answer, Api
from tests.api.lines import Line, line, request
from tests.api.resources.test_long_poll import waiting
from tests.api.unhurried import unhurried
from tests.support.wait import patience, wait_until

META_BYTES = 200_000
MANY = 400
"""Things so many that a tag of them is long."""
LONG = 8
"""Drives with so much meta that a page of them is never whole."""
SHORT_S = 0.05


async def long_drives(api: Api, owner: Account = ALICE, count: int = LONG) -> list[str]:
    """Drives as they were made before `meta` was limited."""
    drives = [api.service.new_id() for _ in range(count)]
    for drive in drives:
        meta = {"note": drive + "x" * META_BYTES}
        new = NewDrive(drive, DriveDefinition("long", "disk", SIZE, "dssd", meta))
        command = CreateDrives(owner.uuid, (new,), "blank")
        await api.service.ledger.execute(command, Caller(owner.uuid, "a request"))
    return drives


@asynccontextmanager
async def unread(
    api: Api, path: str, count: int, *, by: Account | None = ALICE
) -> AsyncIterator[list[Line]]:
    """Clients that ask and do not read."""
    async with AsyncExitStack() as stack:
        lines = []
        for _ in range(count):
            lines.append(await stack.enter_async_context(line(api.client.server, reads=False)))
            lines[-1].send(request(path, by=by))
        yield lines


def used(service: Service, account: Account, resource: str) -> int:
    return service.admission.used_by(account.uuid, resource)  # type: ignore[arg-type]


async def check_refused(answer: Answer, why: str) -> None:
    assert answer.error == (429, "quota", None)
    assert why in answer.json[0]["error_message"]
    assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture
def gate() -> Event:
    """Reads that are held until it is open."""
    return Event()


async def hold(
    service: Service, account: Account, gate: Event, count: int
) -> list[asyncio.Task[bool]]:
    """Reads of an account that take as long as the gate is closed."""
    held = [asyncio.create_task(service.reads.read(account.uuid, gate.wait)) for _ in range(count)]
    await asyncio.sleep(0)  # they ask for their turns
    return held


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that read what is shown by answers."""
    noted: list[str] = []
    among = Collection._among

    def note(self: Collection[Any, Any], *args: Any) -> Any:
        noted.append(current_thread().name.partition("_")[0])
        return among(self, *args)

    monkeypatch.setattr(Collection, "_among", note)
    return noted


# Threads


async def test_answers_about_what_is_long_are_made_in_threads(api: Api, makers: list[str]) -> None:
    """Whatever was asked: a tag of many things, a long server, or many things at once."""
    drives = [api.service.new_id() for _ in range(MANY)]
    disks = tuple(NewDrive(drive, DriveDefinition("", "disk", SIZE, "dssd")) for drive in drives)
    await api.do(CreateDrives(ALICE.uuid, disks, "blank"))

    def made_by() -> list[str]:
        noted = makers[:]
        makers.clear()
        return noted

    for resources, thread in ((drives, "read"), (drives[:9], "MainThread")):
        body = {"name": "oak", "resources": resources}
        made = (await api.post("/tags/", body)).json["objects"][0]
        tag = made["resource_uri"]
        for shown in (made, (await api.put(tag, body)).json, (await api.get(tag)).json):
            assert len(shown["resources"]) == len(resources)
        assert made_by() == [thread] * 3
        assert (await api.get(f"{tag}drives/?limit=1")).status == 200
        assert (await api.get(f"{tag}drives/", by=BOB)).status == 404
        assert made_by() == []
    for note, thread in (("x" * 65_000, "read"), ("x", "MainThread")):
        body = {**SERVER, "meta": {"note": note}, "nics": [{}] * 9}
        server = (await api.post("/servers/", body)).json["objects"][0]["uuid"]
        assert (await api.put(f"/servers/{server}/", {"name": "renamed"})).status == 200
        assert (await api.get(f"/servers/{server}/runtime/")).json["nics"] == []
        assert made_by() == [thread] * 3
        assert (await api.get(f"/servers/availability_groups/{server}/")).json == []
        assert made_by() == []
    many = {"objects": [{**DRIVE, "uuid": drive} for drive in drives[: AT_ONCE + 1]]}
    assert len((await api.put("/drives/", many)).json["objects"]) == AT_ONCE + 1
    assert made_by() == ["read"]


@pytest.mark.parametrize("limits", [unhurried(read_threads=1, read_wait_seconds=SHORT_S)])
async def test_a_change_whose_answer_has_no_turn_is_told_of_all_the_same(
    api: Api, gate: Event
) -> None:
    """It is recorded, so the answer is a success, which only names what was changed."""
    server = await api.server(meta={"note": "x" * 65_000}, nics=[{}] * 5)
    held = await hold(api.service, BOB, gate, 1)
    try:
        answer = await api.put(f"/servers/{server}/", {**SERVER, "name": "renamed"})
    finally:
        gate.set()
        await asyncio.gather(*held)
    uri = f"/api/2.0/servers/{server}/"
    assert (answer.status, answer.json) == (
        200,
        {"objects": [{"uuid": server, "resource_uri": uri}]},
    )
    assert (await api.get(uri)).json["name"] == "renamed"


@pytest.mark.parametrize("limits", [unhurried(running_reads_per_account=1)])
async def test_a_change_is_shown_before_all_reads_that_wait(
    api: Api, gate: Event, makers: list[str]
) -> None:
    """However many of the account do: what was recorded is never told of without its body."""
    drives = [await api.drive() for _ in range(AT_ONCE + 1)]
    many = {"objects": [{**DRIVE, "uuid": drive, "name": "renamed"} for drive in drives]}
    reads, most = api.service.reads, api.service.limits.waiting_reads_per_account
    held = await hold(api.service, ALICE, gate, 1)
    makers.clear()
    held += [
        asyncio.create_task(reads.read(ALICE.uuid, lambda: not makers.append("another")))
        for _ in range(most)
    ]
    await wait_until("all wait", lambda: used(api.service, ALICE, "waiting-reads") == most)
    changing = asyncio.create_task(api.put("/drives/", many))
    await wait_until(
        "the change is recorded, and waits",
        lambda: used(api.service, ALICE, "waiting-reads") == most + 1,
    )
    gate.set()
    answer = await changing
    await asyncio.gather(*held)
    assert [each["name"] for each in answer.json["objects"]] == ["renamed"] * len(drives)
    assert makers == ["read"] + ["another"] * most


@pytest.mark.parametrize("limits", [unhurried(read_threads=1)])
async def test_a_client_that_does_not_read_holds_no_thread(api: Api) -> None:
    """Four answers under way, one thread: the account's other reads, and everybody's, go on."""
    await long_drives(api)
    async with unread(api, "/drives/detail/?limit=0", 4):
        await wait_until("four are sent", lambda: used(api.service, ALICE, "streams") == 4)
        for account in (ALICE, BOB):
            for path in ("/logs/", "/jobs/statistics/", "/jobs/?as_of=1", "/ledger/checkpoint/"):
                assert (await api.get(path, by=account)).status == 200
    await wait_until("they are over", lambda: used(api.service, ALICE, "streams") == 0)
    assert used(api.service, ALICE, "answer-bytes") == 0


async def test_no_account_keeps_all_threads(api: Api, gate: Event) -> None:
    """However much one account asks for, another is answered; the first is told to wait."""
    limits = api.service.limits
    most = limits.running_reads_per_account + limits.waiting_reads_per_account
    held = await hold(api.service, ALICE, gate, most)
    try:
        await check_refused(await api.get("/logs/"), "long reads that wait for their turn")
        assert (await api.get("/logs/", by=BOB)).status == 200
        assert (await api.get("/tags/")).status == 200
    finally:
        gate.set()
        await asyncio.gather(*held)
    assert (await api.get("/logs/")).status == 200


@pytest.mark.parametrize("limits", [unhurried(read_threads=1, read_wait_seconds=SHORT_S)])
async def test_a_read_whose_turn_does_not_come_is_refused(api: Api, gate: Event) -> None:
    """And leaves the queue, so that others behind it come first."""
    held = await hold(api.service, BOB, gate, 1)
    try:
        await check_refused(await api.get("/logs/"), f"not this read's turn for {SHORT_S} s")
        assert used(api.service, ALICE, "waiting-reads") == 0
        assert api.service.reads._lanes.waiting == 0
    finally:
        gate.set()
        await asyncio.gather(*held)
    assert (await api.get("/logs/")).status == 200


@pytest.mark.parametrize("limits", [unhurried(read_threads=1)])
@pytest.mark.parametrize("turn", ["it waits for", "it is told of", "it has"])
async def test_a_read_whose_caller_has_gone_gives_its_turn_to_others(
    service: Service, gate: Event, turn: str
) -> None:
    """Whenever that is: the only thread is free again, and nothing counts any more."""
    full = service.reads.answers.charge(ALICE.uuid, service.limits.answer_bytes_per_account)
    if turn == "it has":
        full.give_back()
    (reading,) = await hold(service, ALICE, gate, 1)
    full.give_back()
    if turn == "it is told of":
        await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    gate.set()
    async with patience("another one's turn"):
        await asyncio.gather(reading, return_exceptions=True)
        assert await service.reads.read(BOB.uuid, lambda: "read") == "read"
    assert service.admission.accounts == 0


@pytest.mark.parametrize("limits", [unhurried(read_threads=1, shown_bytes=0)])
async def test_a_long_tree_of_jobs_is_read_in_its_turn(
    api: Api, gate: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered as a short one is, with its tag, and whoever waits for it is told."""
    root = await api.job()
    child = await api.job(parent=root)
    short = await api.get(f"/jobs/{root}/")
    monkeypatch.setattr(families, "TREE_MOST", 1)
    alone = await api.job()
    held = await hold(api.service, BOB, gate, 1)
    reading = asyncio.create_task(api.get(f"/jobs/{root}/"))
    await wait_until("it waits", lambda: used(api.service, ALICE, "waiting-reads") == 1)
    assert (await api.get(f"/jobs/{alone}/")).status == 200
    gate.set()
    await asyncio.gather(*held)
    long = await reading
    assert (long.json, long.headers["ETag"]) == (short.json, short.headers["ETag"])
    tag = long.headers["ETag"]
    assert (await api.get(f"/jobs/{root}/", headers={"If-None-Match": tag})).status == 304
    assert (await api.get(f"/jobs/{root}/", by=BOB)).status == 404
    async with waiting(api, root, tag=tag) as polling:
        await api.succeed(child)
    assert ((await polling).status, (await polling).headers["ETag"] == tag) == (200, False)


class ServerOfUsers(TestServer):
    """As users meet it: aiohttp's server for tests ends what it does for a client that has gone."""

    async def _make_runner(self, **_: Any) -> BaseRunner:
        return ApiRunner(self.app, prefix="test")


@pytest.mark.parametrize("limits", [unhurried(read_threads=1)])
async def test_nothing_is_read_for_a_client_that_has_gone(
    service: Service, gate: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It left while it waited for its turn."""
    signed = list[str]()
    monkeypatch.setattr(type(service.checkpoints), "sign", lambda _: signed.append("x") or "x")
    held = await hold(service, BOB, gate, 1)
    async with ServerOfUsers(make_app(service)) as server:
        runner = server.runner
        assert isinstance(runner, ApiRunner)
        async with line(server) as leaving:
            leaving.send(request("/ledger/checkpoint/"))
            await wait_until("it waits", lambda: used(service, ALICE, "waiting-reads") == 1)
        await wait_until("it is gone", lambda: not len(runner.connections))
        gate.set()
        await asyncio.gather(*held)
        async with line(server) as other:
            other.send(request("/ledger/checkpoint/"))
            assert (await other.answer()).body == b"x"
    assert signed == ["x"]


@pytest.mark.parametrize("limits", [unhurried(read_threads=2, running_reads_per_account=1)])
async def test_an_answer_that_is_given_up_keeps_no_second_thread(
    api: Api, gate: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot is ended by the thread that is in it; the other threads are for others."""
    begun, ended = Event(), Event()

    def pieces(_logs: Logs, owner: str, *_: object) -> Iterator[bytes]:
        try:
            yield b"["
            if owner == ALICE.uuid:
                begun.set()
                gate.wait()
            yield b"]"
        finally:
            if owner == ALICE.uuid:
                ended.set()

    monkeypatch.setattr(Logs, "_pieces", pieces)
    closing = asyncio.Event()
    close = _Parts.close
    monkeypatch.setattr(_Parts, "close", lambda parts: (close(parts), closing.set()))
    try:
        async with line(api.client.server) as leaving:
            leaving.send(request("/logs/"))
            await wait_until("it is being made", begun.is_set)
        async with patience("the end of the request"):
            await closing.wait()
            assert (await api.get("/logs/", by=BOB)).body == b"[]"
        assert not ended.is_set()
    finally:
        gate.set()
    await wait_until("its end", ended.is_set)


# Answers in parts


async def test_a_page_of_long_objects_is_sent_in_parts(api: Api) -> None:
    """It is bytes that count, not objects; and what is sent is the same as one by one."""
    drives = await long_drives(api)
    for path in ("/drives/detail/", "/drives/detail/?limit=3", "/drives/detail/?limit=3&after="):
        answer = await api.get(path)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "ETag" not in answer.headers
        limit = answer.json["meta"]["limit"]
        listed = [each["uuid"] for each in answer.json["objects"]]
        assert listed == (drives[:-4:-1] if "after" in path else drives[:limit])
    whole = await api.get("/drives/detail/?limit=1")
    assert whole.headers["ETag"]
    assert len(whole.body) < PART_BYTES
    assert whole.json["objects"] == [(await api.get(f"/drives/{drives[0]}/")).json]


async def test_an_account_has_few_answers_under_way(api: Api) -> None:
    """One more is refused before anything of it is sent; another account has its own."""
    await long_drives(api)
    await long_drives(api, BOB)
    path = "/drives/detail/?limit=0"
    async with unread(api, path, 4):
        await wait_until("four are sent", lambda: used(api.service, ALICE, "streams") == 4)
        await check_refused(await api.get(path), "long answers under way")
        assert len((await api.get(path, by=BOB)).json["objects"]) == LONG
    await wait_until("they are over", lambda: used(api.service, ALICE, "streams") == 0)
    assert len((await api.get(path)).json["objects"]) == LONG


async def test_staff_spend_their_own(api: Api) -> None:
    """Whoever looks at what another account has takes nothing away from it."""
    await long_drives(api)
    path = f"/drives/detail/?limit=0&owner={ALICE.uuid}"
    async with unread(api, path, 4, by=AUDITOR):
        await wait_until("four are sent", lambda: used(api.service, AUDITOR, "streams") == 4)
        assert used(api.service, ALICE, "answer-bytes") == 0
        assert (await api.get(path, by=AUDITOR)).status == 429
        assert (await api.get("/drives/detail/?limit=0")).status == 200


@pytest.mark.parametrize("limits", [unhurried(stream_seconds=SHORT_S, unread_seconds=0)])
async def test_an_answer_that_takes_too_long_is_cut_off(api: Api) -> None:
    """So that its snapshot does not keep the ledger's WAL growing for ever."""
    await long_drives(api)
    async with unread(api, "/drives/detail/?limit=0", 1):
        await wait_until("it is cut", lambda: len(api.client.server.handler.connections) == 0)
    assert api.service.admission.accounts == 0


# Bytes of answers


ONE_AND_A_PART = META_BYTES + 2_000 + PART_BYTES
"""Room for one long answer, and for another to begin."""


@pytest.mark.parametrize(
    "limits", [unhurried(answer_bytes_per_account=ONE_AND_A_PART, answer_wait_seconds=SHORT_S)]
)
async def test_answers_that_nobody_reads_are_counted(api: Api) -> None:
    """Beyond its budget an account's reads are refused, while what it changes is recorded."""
    (drive,) = await long_drives(api, count=1)
    async with unread(api, f"/drives/{drive}/", 2):
        await wait_until(
            "two are sent", lambda: used(api.service, ALICE, "answer-bytes") > 2 * META_BYTES
        )
        await check_refused(await api.get("/tags/"), "bytes of answers that were not read yet")
        assert (await api.get("/tags/", by=BOB)).status == 200
        assert (await api.post("/tags/", {"name": "oak"})).status == 201
    await wait_until("they are over", lambda: used(api.service, ALICE, "answer-bytes") == 0)
    assert (await api.get("/tags/")).status == 200


@pytest.mark.parametrize("limits", [unhurried(answer_bytes=ONE_AND_A_PART, answer_wait_seconds=0)])
async def test_a_read_waits_until_there_is_room(api: Api) -> None:
    """As soon as enough was read of what is under way, also by others, it goes on."""
    (drive,) = await long_drives(api, count=1)
    async with unread(api, f"/drives/{drive}/", 2):
        await wait_until(
            "two are sent", lambda: used(api.service, ALICE, "answer-bytes") > 2 * META_BYTES
        )
        reading = [asyncio.create_task(api.get(path, by=BOB)) for path in ("/tags/", "/logs/")]
        await wait_until("both wait", lambda: len(api.service.reads.answers._waiting) == 2)
        assert (await api.post("/tags/", {"name": "oak"}, by=BOB)).status == 201
        assert not any(each.done() for each in reading)
    assert [(await each).status for each in reading] == [200, 200]


DOCUMENT = "/openapi.json"
"""A long answer that anybody gets."""
WITHOUT_LOGIN = "bytes of answers without a login"


@pytest.mark.parametrize(
    "limits",
    [
        unhurried(answer_bytes_without_login_per_address=PART_BYTES, answer_wait_seconds=SHORT_S),
        unhurried(answer_bytes_without_login=PART_BYTES, answer_wait_seconds=SHORT_S),
    ],
    ids=["of an address", "of all"],
)
async def test_answers_without_a_login_are_counted_too(api: Api) -> None:
    """For the address, and for all of them; what is short is answered all the same.

    Accounts have their own budget, also at the same address.
    """
    of_all = bool(api.service.limits.answer_bytes_without_login == PART_BYTES)
    async with unread(api, DOCUMENT, 1, by=None) as (unread_line,):
        await wait_until("it is sent", lambda: api.service.admission.accounts == 1)
        async with line(api.client.server) as beside:
            beside.send(3 * request(DOCUMENT, by=None))
            refused = await beside.answer()
            assert (refused.status, WITHOUT_LOGIN in refused.message) == (429, True)
            assert await beside.end() == b"", "what it asked for in advance keeps it connected"
        async with line(api.client.server) as beside:
            for path, by, status in (
                ("/", None, 200),
                ("/drives/", None, 401),
                ("/tags/", ALICE, 200),
            ):
                beside.send(request(path, by=by))
                assert (await beside.answer()).status == status
        async with line(api.client.server, "127.0.0.2") as elsewhere:
            elsewhere.send(request(DOCUMENT, by=None))
            assert (await elsewhere.answer()).status == (429 if of_all else 200)
        assert unread_line.is_connected()
    await wait_until("it is over", lambda: api.service.admission.accounts == 0)
    async with line(api.client.server) as beside:
        beside.send(request(DOCUMENT, by=None))
        assert (await beside.answer()).status == 200


@pytest.mark.parametrize("limits", [unhurried(answer_wait_seconds=0)])
async def test_a_long_poll_waits_until_there_is_room(api: Api) -> None:
    """Many may wait for one change; not all of their answers are made at once."""
    job = await api.job()
    polling = asyncio.create_task(api.get(f"/jobs/{job}/?wait=60"))
    await wait_until("it waits", lambda: used(api.service, ALICE, "long-polls") == 1)
    answers = api.service.reads.answers
    full = answers.charge(ALICE.uuid, api.service.limits.answer_bytes_per_account)
    await api.succeed(job)
    await wait_until("it waits for room", lambda: len(answers._waiting) == 1)
    assert not polling.done()
    full.give_back()
    assert (await polling).status == 200


@pytest.mark.parametrize("limits", [unhurried(read_threads=1)])
async def test_no_part_is_made_without_room(service: Service) -> None:
    """While an account has too many bytes under way; another one's reads have their turns."""
    made = list[str]()
    full = service.reads.answers.charge(ALICE.uuid, service.limits.answer_bytes_per_account)
    reading = [
        asyncio.create_task(service.reads.read(account.uuid, partial(made.append, account.email)))
        for account in (ALICE, BOB)
    ]
    await reading[1]
    assert made == [BOB.email]
    full.give_back()
    await reading[0]
    assert made == [BOB.email, ALICE.email]


@pytest.mark.parametrize("limits", [unhurried(answer_bytes_per_account=PART_BYTES)])
async def test_waiting_reads_go_on_one_by_one_as_room_comes(service: Service) -> None:
    """Each is given room before the next: many do not rush in where there is room for one."""
    answers = service.reads.answers
    full = answers.charge(ALICE.uuid, service.limits.answer_bytes_per_account)
    went_on = list[int]()

    async def one(number: int) -> None:
        await answers.room(ALICE.uuid)
        went_on.append(number)
        answers.charge(ALICE.uuid, service.limits.answer_bytes_per_account)

    waiting = [asyncio.create_task(one(number)) for number in range(2)]
    await asyncio.sleep(0)
    full.give_back()
    await waiting[0]
    for _ in range(5):
        await asyncio.sleep(0)
    assert went_on == [0]
    waiting[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]


@pytest.mark.parametrize("limits", [unhurried(answer_bytes_per_account=1, answer_bytes=1)])
async def test_an_account_that_has_nothing_can_always_have_one_answer(api: Api) -> None:
    """However little the limit is, and however long the answer."""
    await long_drives(api, count=2)
    assert (await api.get("/drives/detail/?limit=0")).status == 200
    assert (await api.get("/tags/")).status == 200


# Requests


@pytest.mark.parametrize("limits", [unhurried(requests_per_second=1, requests_burst=3)])
async def test_an_account_makes_so_many_requests(api: Api) -> None:
    """Of whatever kind; one more is refused and changes nothing, and another account is not."""
    api.service.rates._clock = lambda: 1.0
    for _ in range(3):
        assert (await api.get("/tags/")).status == 200
    await check_refused(await api.get("/tags/"), "more than 1 requests a second")
    await check_refused(await api.post("/tags/", {"name": "oak"}), "more than 1 requests")
    assert (await api.get("/tags/", by=BOB)).json["meta"]["total_count"] == 0
    api.service.rates._clock = lambda: 2.0
    assert (await api.get("/tags/")).json["meta"]["total_count"] == 0


async def test_refusals_are_counted(api: Api) -> None:
    """By what there was too much of."""
    with pytest.raises(TooMuch):
        raise api.service.admission.refuse("requests", 1, 1, "too many")
    (metric,) = api.service.admission.refused.collect()
    counts = {s.labels["resource"]: s.value for s in metric.samples if s.name.endswith("_total")}
    assert counts["requests"] == 1
    assert counts["streams"] == 0

"""`Idempotency-Key`: a repeated request is executed once and gets the first answer."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.http.keyed_request import derived_ids
from api.service.ids import new_id
from api.service.limits import Limits
from api.service.settings import Settings
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.store.seam import Cursor
from tests.api.calling import (
    ALICE,
    AUDITOR,
    BOB,
    DRIVE,
    SERVER,
    UNKNOWN,
    Answer,
    Api,
    KnownAccounts,
)
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.wait import patience, wait_until

KEY = {"Idempotency-Key": "9f0c1f6e-clone-amber"}
IMAGE = b"wheel" * 40_000


def same(first: Answer, second: Answer) -> bool:
    """Whether a client can tell the answers apart, but for the request's id and the position."""
    named = ("Content-Type", "Location")
    return (first.status, first.body, [first.headers.get(name) for name in named]) == (
        second.status,
        second.body,
        [second.headers.get(name) for name in named],
    )


async def names(api: Api, kind: str = "drives") -> list[str]:
    """What there is of Alice's."""
    return [each["name"] for each in (await api.get(f"/{kind}/")).json["objects"]]


def lose_the_answers(api: Api) -> None:
    """As if a crash had come between every commit and its answer."""

    def lose(cursor: Cursor) -> int:
        cursor.execute("UPDATE claims SET status = NULL, body = NULL")
        return cursor.rowcount

    assert api.service.ledger.exclusive(lose).result() > 0


def age(api: Api, hours: int) -> None:
    """As if all that was recorded under keys had been recorded so much earlier."""

    def put_back(cursor: Cursor) -> None:
        cursor.execute("SELECT account, key, recorded FROM claims")
        for account, key, recorded in cursor.fetchall():
            earlier = datetime.fromisoformat(recorded) - timedelta(hours=hours)
            cursor.execute(
                "UPDATE claims SET recorded = ? WHERE account = ? AND key = ?",
                (earlier.isoformat(timespec="microseconds"), account, key),
            )

    api.service.ledger.exclusive(put_back).result()


async def kept(api: Api) -> int:
    """How many keys are remembered."""
    with api.service.ledger.log() as log:
        cursor = log.cursor()
        cursor.execute("SELECT count(*) FROM claims")
        return int(cursor.fetchone()[0])


async def upload(api: Api, image: bytes = IMAGE, **given: Any) -> Answer:
    return await api.call("POST", "/drives/upload/oak/", data=image, **given)


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[Api]:
    """One run of a service."""
    async with open_service(Settings(data=data, copying=False)) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE, BOB, AUDITOR))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield Api(client, service)


# Repeats


async def test_a_repeat_gets_the_first_answer(api: Api) -> None:
    """Byte for byte, with the place of what is new; and nothing is made again."""
    first = await api.post("/drives/", DRIVE, headers=KEY)
    second = await api.post("/drives/", DRIVE, headers=KEY)
    assert first.status == 201
    assert same(first, second)
    assert second.headers["Location"] == first.json["objects"][0]["resource_uri"]
    assert await names(api) == ["cedar"]


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (QuotaExceeded("drives", 1), []),
        (ConnectionResetError(), []),
        (ZeroDivisionError(), ["a request failed whose client has gone"]),
    ],
)
async def test_a_failure_that_no_client_sees_is_logged_only_if_it_is_a_fault(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    logged: list[str],
) -> None:
    """And asyncio tells of none: clients that leave must not flood the log."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fail(*_: Any) -> int:
        begun.set()
        await go_on.wait()
        raise error

    monkeypatch.setattr(api.service.ledger, "execute", fail)
    request = asyncio.create_task(api.post("/drives/", DRIVE, headers=KEY))
    async with patience("it is begun"):
        await begun.wait()
    request.cancel()
    await wait_until("it is gone", lambda: not api.client.server.handler.connections)
    go_on.set()
    await wait_until("its end", lambda: not api.service.idempotency_keys._turns)
    gc.collect()
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == logged


async def test_a_repeat_gets_the_first_answer_even_after_changes(api: Api) -> None:
    """It is kept, not made anew."""
    first = await api.post("/servers/", SERVER, headers=KEY)
    uuid = first.json["objects"][0]["uuid"]
    assert (await api.call("PUT", f"/servers/{uuid}/", json={"name": "ash"})).status == 200
    assert same(first, await api.post("/servers/", SERVER, headers=KEY))
    assert (await api.delete(f"/servers/{uuid}/")).status == 204
    assert same(first, await api.post("/servers/", SERVER, headers=KEY))


async def test_each_answer_has_its_own_id_and_position(api: Api) -> None:
    """A repeat is a request like any other, and its position is the current one."""
    first = await api.post("/drives/", DRIVE, headers={**KEY, "X-Request-ID": "one"})
    await api.post("/tags/", {"name": "hazel"})
    second = await api.post("/drives/", DRIVE, headers={**KEY, "X-Request-ID": "two"})
    assert (first.headers["X-Request-ID"], second.headers["X-Request-ID"]) == ("one", "two")
    positions = [int(answer.headers["X-Ledger-Position"]) for answer in (first, second)]
    assert positions[0] < positions[1]


async def test_without_a_key_a_repeat_is_another_request(api: Api) -> None:
    """Two drives."""
    for _ in range(2):
        assert (await api.post("/drives/", DRIVE)).status == 201
    assert await names(api) == ["cedar", "cedar"]
    assert await kept(api) == 0


async def test_servers_tags_and_actions(api: Api) -> None:
    """Whatever is posted is done once."""
    server = (await api.post("/servers/", SERVER)).json["objects"][0]["uuid"]
    drive = await api.drive()
    posts: list[tuple[str, Any]] = [
        ("/servers/", SERVER),
        ("/tags/", {"name": "hazel", "resources": [server]}),
        (f"/servers/{server}/action/?do=clone", {"name": "copy", "random_vnc_password": True}),
        (f"/servers/{server}/action/?do=start", None),
        (f"/drives/{drive}/action/?do=clone", {"name": "copy"}),
    ]
    for nth, (path, body) in enumerate(posts):
        key = {"Idempotency-Key": f"key-{nth}"}
        first = await api.post(path, body, headers=key)
        assert first.status in (201, 202), first.body
        assert same(first, await api.post(path, body, headers=key)), path
    assert sorted(await names(api, "servers")) == ["copy", "elm", "elm"]
    assert await names(api, "tags") == ["hazel"]
    assert sorted(await names(api)) == ["cedar", "copy"]


async def test_an_action_on_a_job(api: Api) -> None:
    """A second cancel would be refused, a repeat of the first is not."""
    job = await api.job()
    path = f"/jobs/{job}/action/?do=cancel"
    first = await api.post(path, headers=KEY)
    assert first.status == 202
    assert same(first, await api.post(path, headers=KEY))
    assert (await api.post(path)).error == (403, "permission", None)


async def test_a_request_that_changes_nothing_is_stored_too(api: Api) -> None:
    """It was done: another one under its key would be a mistake of the client's."""
    server = await api.server()
    path = f"/servers/{server}/action/?do=stop"
    first = await api.post(path, headers=KEY)
    assert same(first, await api.post(path, headers=KEY))


async def test_an_upload(api: Api) -> None:
    """Its bytes are compared and thrown away; there is one drive, with one file."""
    first = await upload(api, headers=KEY)
    assert first.status == 200, first.body
    assert same(first, await upload(api, headers=KEY))
    assert await names(api) == ["oak"]
    assert api.files() == {f"{first.body.decode()}.img"}
    got = await api.get(f"/drives/{first.body.decode()}/download/")
    assert got.body.startswith(IMAGE)


# Other requests under the same key


@in_turn(
    ("path", "body"),
    [
        ("/drives/", {**DRIVE, "name": "ash"}),
        ("/drives", DRIVE),
        ("/drives/?avoid=", DRIVE),
        ("/tags/", {"name": "cedar"}),
        ("/drives/", {"no": "drive"}),
        ("/drives/", None),
    ],
)
async def test_another_request_under_the_same_key_is_refused(
    api: Api, path: str, body: Any
) -> None:
    """With 422, and nothing is done."""
    first = await api.post("/drives/", DRIVE, headers=KEY)
    refused = await api.post(path, body, headers=KEY)
    assert refused.error == (422, "validation", "Idempotency-Key")
    assert await names(api) == ["cedar"]
    assert same(first, await api.post("/drives/", DRIVE, headers=KEY))


async def test_another_image_under_the_same_key_is_refused(api: Api) -> None:
    """One byte is enough, and nothing of it is left."""
    first = await upload(api, headers=KEY)
    refused = await upload(api, IMAGE[:-1] + b"!", headers=KEY)
    assert refused.error == (422, "validation", "Idempotency-Key")
    assert api.files() == {f"{first.body.decode()}.img"}


@pytest.mark.parametrize("limits", [Limits(uploads_per_account=1)])
async def test_an_image_that_is_sent_again_counts_as_an_upload(api: Api) -> None:
    """Though nothing is kept of it: an account sends a few at a time."""
    first = await upload(api, headers=KEY)
    with api.service.admission.take(ALICE.uuid, "uploads"):
        refused = await upload(api, headers=KEY)
        assert (refused.status, refused.headers["X-Ledger-Outcome"]) == (429, "not-recorded")
    assert same(first, await upload(api, headers=KEY))


async def test_each_account_has_its_own_keys(api: Api) -> None:
    """Nobody can learn or disturb what others do."""
    hers = await api.post("/drives/", DRIVE, headers=KEY)
    his = await api.post("/drives/", DRIVE, headers=KEY, by=BOB)
    assert his.status == 201
    assert hers.json["objects"][0]["uuid"] != his.json["objects"][0]["uuid"]


# Refusals


async def test_a_refused_request_can_be_corrected(api: Api) -> None:
    """Nothing was recorded, so nothing is kept: neither of a bad body nor of a refused command."""
    assert (await api.post("/drives/", {"name": "cedar"}, headers=KEY)).status == 400
    unknown = {**SERVER, "drives": [{"drive": UNKNOWN, "device": "ide", "dev_channel": "0:0"}]}
    assert (await api.post("/servers/", unknown, headers=KEY)).status == 404
    assert await kept(api) == 0
    assert (await api.post("/drives/", DRIVE, headers=KEY)).status == 201


async def test_a_refused_request_is_tried_again(api: Api) -> None:
    """The same request may succeed later."""
    server = await api.server()
    action = f"/servers/{server}/action/?do="
    assert (await api.post(f"{action}restart", headers=KEY)).status == 403
    assert (await api.post(f"{action}start")).status == 202
    assert (await api.post(f"{action}restart", headers=KEY)).status == 202


async def test_an_auditor_changes_nothing_with_a_key_either(api: Api) -> None:
    """The check of the caller comes first."""
    assert (await api.post("/drives/", DRIVE, headers=KEY, by=AUDITOR)).status == 403


@in_turn(
    "key",
    ["", "k" * 256, "with blank", "caf\u00e9", "tab\there"],
)
async def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    """Rather than taken for no key."""
    refused = await api.post("/drives/", DRIVE, headers={"Idempotency-Key": key})
    assert refused.error == (400, "validation", "Idempotency-Key")
    assert await names(api) == []


async def test_the_longest_key(api: Api) -> None:
    """255 characters."""
    key = {"Idempotency-Key": "~" * 255}
    assert same(
        await api.post("/drives/", DRIVE, headers=key),
        await api.post("/drives/", DRIVE, headers=key),
    )


async def test_a_key_does_not_raise_the_limit_of_bodies(api: Api) -> None:
    """It is read before its handler is asked, within the same limit."""
    refused = await api.post("/drives/", {**DRIVE, "name": "x" * 300_000}, headers=KEY)
    assert refused.error == (413, "validation", None)


async def test_other_methods_ignore_keys(api: Api) -> None:
    """They can be repeated as they are; the header means nothing there."""
    drive = await api.drive()
    for name in ("ash", "elm"):
        put = await api.call("PUT", f"/drives/{drive}/", json={"name": name}, headers=KEY)
        assert put.json["name"] == name
    assert await kept(api) == 0


# Twins, crashes and time


async def test_simultaneous_repeats_are_executed_once(api: Api) -> None:
    """All of them get the one answer."""
    answers = await asyncio.gather(*(api.post("/drives/", DRIVE, headers=KEY) for _ in range(8)))
    assert all(same(answers[0], answer) for answer in answers)
    assert await names(api) == ["cedar"]


async def test_simultaneous_repeats_of_an_upload_are_executed_once(api: Api) -> None:
    """The second one waits for the end of the first."""
    answers = await asyncio.gather(*(upload(api, headers=KEY) for _ in range(3)))
    assert all(same(answers[0], answer) for answer in answers)
    assert await names(api) == ["oak"]


async def test_a_repeat_of_a_request_that_was_recorded_but_not_answered(api: Api) -> None:
    """A crash came in between: the answer is made again, with the same uuids, and then kept."""
    source = await api.drive()
    server = await api.server(source)
    posts: list[tuple[str, Any]] = [
        ("/drives/", [DRIVE, {**DRIVE, "name": "ash"}]),
        ("/servers/", SERVER),
        ("/tags/", {"name": "hazel"}),
        (f"/servers/{server}/action/?do=clone", {}),
    ]
    for nth, (path, body) in enumerate(posts):
        key = {"Idempotency-Key": f"key-{nth}"}
        first = await api.post(path, body, headers=key)
        lose_the_answers(api)
        second = await api.post(path, body, headers=key)
        assert _uuids(first) == _uuids(second), path
        assert first.status == second.status
        assert same(second, await api.post(path, body, headers=key))


def _uuids(answer: Answer) -> list[str]:
    objects = answer.json.get("objects", [answer.json])
    return [each["uuid"] for each in objects]


async def test_an_action_that_was_recorded_but_not_answered(api: Api) -> None:
    """It is not done again, though it could not be."""
    job = await api.job()
    path = f"/jobs/{job}/action/?do=cancel"
    first = await api.post(path, headers=KEY)
    lose_the_answers(api)
    assert same(first, await api.post(path, headers=KEY))


async def test_an_upload_that_was_recorded_but_not_answered(api: Api) -> None:
    """The same uuid, and nothing of the second image is left."""
    first = await upload(api, headers=KEY)
    lose_the_answers(api)
    assert same(first, await upload(api, headers=KEY))
    assert await names(api) == ["oak"]
    assert api.files() == {f"{first.body.decode()}.img"}


async def test_a_client_that_disconnects_gets_its_answer_by_a_repeat(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer finishes its command, and the repeat waits for that."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    execute = api.service.ledger.execute

    async def later(*given: Any) -> int:
        await go_on.wait()
        return await execute(*given)

    async def slow(*given: Any) -> int:
        begun.set()
        return await asyncio.shield(asyncio.create_task(later(*given)))

    monkeypatch.setattr(api.service.ledger, "execute", slow)
    first = asyncio.create_task(api.post("/drives/", DRIVE, headers=KEY))
    async with patience("it is begun, and then repeated"):
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        repeat = asyncio.create_task(api.post("/drives/", DRIVE, headers=KEY))
        (turn,) = api.service.idempotency_keys._turns.values()
        await wait_until("the repeat waits for its turn", lambda: turn._waiters)
        go_on.set()
        assert (await repeat).status == 201
    assert await names(api) == ["cedar"]


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    """A repeat after a restart gets the answer from before."""
    async with served(tmp_path) as api:
        first = await api.post("/drives/", DRIVE, headers=KEY)
    async with served(tmp_path) as api:
        assert same(first, await api.post("/drives/", DRIVE, headers=KEY))


async def test_a_key_holds_for_a_day(api: Api) -> None:
    """Then it is a new one, also if its row is there still; the uuids are new ones, too."""
    first = await api.post("/drives/", DRIVE, headers=KEY)
    age(api, 23)
    assert same(first, await api.post("/drives/", DRIVE, headers=KEY))
    age(api, 2)
    second = await api.post("/drives/", DRIVE, headers=KEY)
    assert second.status == 201
    assert not same(first, second)
    assert same(second, await api.post("/drives/", DRIVE, headers=KEY))


async def test_expired_keys_are_removed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, in small transactions; what still holds stays."""
    monkeypatch.setattr("api.data.idempotency_keys.KEYS_PER_REMOVAL", 2)
    for nth in range(5):
        await api.post("/tags/", {"name": f"t{nth}"}, headers={"Idempotency-Key": f"key-{nth}"})
    age(api, 24)
    await api.post("/tags/", {"name": "hazel"}, headers=KEY)
    assert await api.service.idempotency_keys.expire() == 5
    assert await kept(api) == 1


def test_ids_follow_from_their_seed() -> None:
    """They are uuids of the seed's moment, all different, and the same ones each time."""
    seeds = [new_id(), new_id()]
    drawn = [list(islice(derived_ids(seed), 1000)) for seed in seeds]
    assert drawn == [list(islice(derived_ids(seed), 1000)) for seed in seeds]
    assert len({*drawn[0], *drawn[1]}) == 2000
    for seed, ids in zip(seeds, drawn, strict=True):
        assert {each[:18] for each in ids} == {seed[:18]}
        assert {(UUID(each).version, UUID(each).variant) for each in ids} == {(7, RFC_4122)}


@pytest.mark.parametrize(("key", "same_key"), [("k-1", '"k-1"'), ('"a\\\\b\\"c"', 'a\\b"c')])
async def test_quotation_marks_do_not_belong_to_a_key(api: Api, key: str, same_key: str) -> None:
    """Standards put a key between them, clients do not: it is one key, whoever comes first."""
    body = {**DRIVE, "name": key}
    keys = (key, same_key, f" {key} ")
    answers = [await api.post("/drives/", body, headers={"Idempotency-Key": each}) for each in keys]
    assert answers[0].status == 201
    assert all(same(answers[0], answer) for answer in answers)
    assert await names(api) == [key]
    for wrong in ('"', '""', '"a', "a b", '"a b"'):
        answer = await api.post("/drives/", body, headers={"Idempotency-Key": wrong})
        expected = 201 if wrong in ('"', '"a') else 400
        assert answer.status == expected, wrong


async def test_a_key_recorded_with_quotation_marks_is_found(api: Api) -> None:
    """As earlier versions recorded it; a repeat may come after the upgrade."""
    first = await api.post("/drives/", DRIVE, headers={"Idempotency-Key": '"k"'})

    def as_before(cursor: Cursor) -> None:
        cursor.execute("UPDATE claims SET key = '\"k\"' WHERE key = 'k'")
        assert cursor.rowcount == 1

    api.service.ledger.exclusive(as_before).result()
    for key in ('"k"', "k"):
        again = await api.post("/drives/", DRIVE, headers={"Idempotency-Key": key})
        assert same(first, again)
    assert len(await names(api)) == 1

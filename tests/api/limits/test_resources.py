"""What clients are told when they want too much: 429, 403, 507 or 400, and who is not refused."""

import asyncio
import os
from contextlib import AsyncExitStack

import aiohttp
import pytest

from api.http.fields import META_BYTES
from tests.api.calling import ALICE, AUDITOR, BOB, DRIVE, KEYPAIR, SERVER, Answer, Api
from tests.api.listening import listening
from tests.api.resources.test_downloads import LARGE, uploaded
from tests.api.resources.test_long_poll import waiting, watched_no_more
from tests.api.resources.test_uploads import begun
from tests.api.unhurried import unhurried
from tests.harness.cases import in_turn
from tests.support.wait import wait_until

RETRY = "Retry-After"


def refused_counts(api: Api) -> dict[str, float]:
    """How often a resource was refused, but for those that never were."""
    return {
        sample.labels["resource"]: sample.value
        for metric in api.service.admission.refused.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.value
    }


def assert_too_much(answer: Answer) -> None:
    assert answer.error == (429, "quota", None)
    assert int(answer.headers[RETRY]) > 0


# At one moment


@pytest.mark.parametrize("limits", [unhurried(websockets_per_account=2, websockets=3)])
async def test_websockets(api: Api) -> None:
    """One too many is refused before the upgrade; another account's is not, until all are taken."""

    async def refused(account: object = ALICE) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with listening(api, account):
                pass
        assert error.value.status == 429
        assert error.value.headers is not None
        assert int(error.value.headers[RETRY]) > 0

    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        await first.enter_async_context(listening(api))
        await stack.enter_async_context(listening(api))
        await refused()
        await stack.enter_async_context(listening(api, BOB))
        await refused(BOB)
        await first.aclose()
        await wait_until("one is given back", lambda: api.service.feed.subscribers == 2)
        await stack.enter_async_context(listening(api))
        await refused()
    await wait_until("all are given back", lambda: not api.service.admission.accounts)
    assert refused_counts(api) == {"websockets": 3}


@pytest.mark.parametrize("limits", [unhurried(long_polls_per_account=1)])
async def test_long_polls(api: Api) -> None:
    """Who waits already is told at once; other requests are answered as ever."""
    job, theirs = await api.job(), await api.job(owner=BOB)
    async with waiting(api, job):
        assert_too_much(await api.get(f"/jobs/{job}/?wait=50"))
        assert (await api.get(f"/jobs/{job}/")).status == 200
        async with waiting(api, theirs, by=BOB):
            await api.succeed(theirs)
        await api.succeed(job)
    await watched_no_more(api.service)
    assert (await api.get(f"/jobs/{job}/?wait=50")).status == 200


@pytest.mark.parametrize("limits", [unhurried(long_polls_per_account=1)])
async def test_staff_spend_their_own_budget(api: Api) -> None:
    """Not that of the account whose job they wait for."""
    job = await api.job()
    path = f"/jobs/{job}/?owner={ALICE.uuid}&wait=50"
    async with waiting(api, job):
        looking = asyncio.create_task(api.get(path, by=AUDITOR))
        await wait_until(
            "the auditor waits too", lambda: api.service.feed._watchers.count(job) == 2
        )
        assert_too_much(await api.get(path, by=AUDITOR))
        await api.succeed(job)
    assert (await looking).status == 200


@pytest.mark.parametrize("limits", [unhurried(uploads_per_account=1)])
async def test_uploads_that_arrive(api: Api) -> None:
    """Whole images and chunks count alike, and links for the drive's owner; others may send."""
    upload = await begun(api)
    link = await upload.link(0)
    go = asyncio.Event()

    async def slowly() -> object:
        yield b"x"
        await go.wait()
        yield b"y"

    sending = asyncio.create_task(
        api.call("POST", "/drives/upload/", data=slowly(), headers={"Content-Length": "2"})
    )
    await wait_until(
        "it arrives", lambda: api.service.admission.used_by(ALICE.uuid, "uploads") == 1
    )
    assert_too_much(await api.call("POST", "/drives/upload/", data=b"x"))
    assert_too_much(await upload.send(0))
    assert_too_much(await api.call("POST", link, data=upload.bytes_of(0), by=None))
    assert (await api.call("POST", "/drives/upload/", data=b"x", by=BOB)).status == 200
    go.set()
    assert (await sending).status == 200
    assert (await upload.send(0)).status == 200
    assert not api.service.admission.accounts


@pytest.mark.parametrize("limits", [unhurried(downloads_per_account=1, downloads=2)])
async def test_downloads(api: Api) -> None:
    """They count until the last byte is sent, and ranges like whole images."""
    download = await uploaded(api)
    os.truncate(download.image, LARGE)
    reader, writer = await download.begun()
    await reader.readexactly(1)
    assert_too_much(await download.get())
    assert_too_much(await download.get(Range="bytes=0-1"))
    writer.close()
    await wait_until("it is given back", lambda: not api.service.admission.accounts)
    tag = (await download.get(Range="bytes=0-1")).headers["ETag"]
    assert (await download.get(If_None_Match=tag)).status == 304
    assert (await download.get(Range="bytes=99999999999-")).status == 416
    assert not api.service.admission.accounts


# For good


QUOTAS = unhurried(
    drives_per_account=1,
    servers_per_account=1,
    tags_per_account=1,
    keypairs_per_account=1,
    addresses_per_account=1,
    things_per_tag=1,
    tags_per_thing=1,
    jobs_running_per_account=1,
)


@pytest.mark.parametrize("limits", [QUOTAS])
async def test_quotas(api: Api) -> None:
    """403 with words that say what helps, also for a repeat; another account has its own."""
    bodies = {
        "/drives/": DRIVE,
        "/servers/": SERVER,
        "/tags/": {"name": "fleet"},
        "/keypairs/": KEYPAIR,
    }
    for path, body in bodies.items():
        assert (await api.post(path, body)).status == 201
        again = await api.post(path, body, headers={"Idempotency-Key": "key"})
        assert again.error == (403, "quota", None)
        assert "delete some" in again.json[0]["error_message"]
        assert (await api.post(path, body, by=BOB)).status == 201
    drive, server, tag = [(await api.get(path)).json["objects"][0]["uuid"] for path in bodies][:3]
    assert (await api.put(f"/tags/{tag}/", {"name": "oak", "resources": [drive]})).status == 200
    refused = await api.put(f"/servers/{server}/", {**SERVER, "tags": [tag]})
    assert refused.error == (403, "quota", None)
    assert "remove it from some" in refused.json[0]["error_message"]
    cards = [{"ip_v4_conf": {"conf": "dhcp"}}] * 2
    assert (await api.put(f"/servers/{server}/", {**SERVER, "nics": cards})).status == 200
    refused = await api.post(f"/servers/{server}/action/?do=start")
    assert refused.error == (403, "quota", None)
    assert "stop some" in refused.json[0]["error_message"]
    assert refused_counts(api) == {
        "addresses": 1,
        "drives": 1,
        "servers": 1,
        "tags": 1,
        "keypairs": 1,
        "things-per-tag": 1,
    }


@pytest.mark.parametrize("limits", [unhurried(unfinished_uploads_per_account=1)])
async def test_uploads_that_are_not_finished(api: Api) -> None:
    upload = await begun(api)
    body = {"name": "birch", "media": "disk", "size": 5}
    assert_too_much(await api.post("/initupload/", body))
    assert (await api.post("/initupload/", body, by=BOB)).status == 201
    await api.delete(f"/drives/{upload.drive}/")
    assert (await api.post("/initupload/", body)).status == 201


@pytest.mark.parametrize("limits", [unhurried(ledger_bytes_a_day_per_account=2_000)])
async def test_bytes_that_an_account_may_record_in_a_day(api: Api) -> None:
    """What it has can be deleted all the same; others record on."""
    drive = await api.drive(meta={"note": "x" * 2_000})
    refused = await api.post("/drives/", DRIVE)
    assert refused.error == (507, "quota", None)
    assert "try again later" in refused.json[0]["error_message"]
    assert (await api.post("/drives/", DRIVE, by=BOB)).status == 201
    assert (await api.delete(f"/drives/{drive}/")).status == 204


@in_turn("path", ["/drives/", "/servers/", "/tags/", "/keypairs/"])
async def test_the_meta_of_a_thing(api: Api, path: str) -> None:
    """Names and texts have 64 KiB together, counted as UTF-8."""
    bodies = {"/drives/": DRIVE, "/servers/": SERVER, "/tags/": {"name": "fleet"}}
    body = bodies.get(path, KEYPAIR)
    fits = {"k": "\u00e9" * (META_BYTES // 2 - 1), "l": "1"[1:]}
    assert (await api.post(path, {**body, "meta": fits})).status == 201
    refused = await api.post(path, {**body, "meta": {**fits, "m": "1"}})
    assert refused.error == (400, "validation", "meta")

"""Uploads and downloads of whole images: tests/contract/CONTRACT.md 5."""

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.events.drives import DriveDefinition
from ledger.images.errors import PoolFull
from ledger.images.incoming_image import IncomingImage
from ledger.images.pools import Pool
from tests.api.calling import ALICE, ROOT, UNKNOWN, Api, KnownAccounts, authorization
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.wait import patience, wait_until

KIB = 1024
STEP = 16 * KIB
# A hole in the middle, and an end that is no multiple of anything.
IMAGE = b"a" * (64 * KIB) + bytes(256 * KIB) + b"b" * (64 * KIB + 5)
PADDED = IMAGE + bytes(-len(IMAGE) % STEP)


async def upload(api: Api, image: bytes = IMAGE, path: str = "/drives/upload/") -> str:
    answer = await api.call("POST", path, data=image)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.body.decode()


async def test_an_upload_makes_a_drive(api: Api):
    """The body of an upload becomes a drive, ready at once; the answer is its uuid."""
    drive = (await api.get(f"/drives/{await upload(api)}/")).json
    assert (drive["status"], drive["media"], drive["name"]) == ("unmounted", "disk", "")
    assert drive["size"] == len(PADDED)
    assert drive["jobs"] == []


async def test_an_upload_that_is_refused_once_its_sender_has_left(api: Api):
    """Nothing is left of it, and there is no error that nobody looks at."""
    asked, refuse = asyncio.Event(), asyncio.Event()

    async def record(_: object) -> None:
        asked.set()
        await refuse.wait()
        raise QuotaExceeded("drives", 1)

    async def sent() -> AsyncIterator[bytes]:
        yield IMAGE

    definition = DriveDefinition("left", "disk", len(PADDED), "dssd")
    receiving = asyncio.create_task(
        api.service.intake.receive(ALICE.uuid, definition, sent(), record)
    )
    async with patience("the command"):
        await asked.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    refuse.set()
    await wait_until("its file is gone", lambda: not api.files())
    gc.collect()


@in_turn(
    ("path", "name", "media"),
    [
        ("/drives/upload/?name=my+iso&media=cdrom", "my iso", "cdrom"),
        ("/drives/upload/my%20iso/?media=cdrom&storage_type=dssd", "my iso", "cdrom"),
        ("/drives/upload/path?name=query&unknown=1", "query", "disk"),
        ("/drives/upload/%C3%A9%2Fx", "é/x", "disk"),
    ],
)
async def test_the_fields_of_an_upload(api: Api, path: str, name: str, media: str):
    """Name, media and storage type come from the URL; curl puts a file's name in its path."""
    drive = (await api.get(f"/drives/{await upload(api, path=path)}/")).json
    assert (drive["name"], drive["media"]) == (name, media)


async def test_an_upload_takes_any_content_type(api: Api):
    """Neither Content-Type nor Accept matter for an upload."""
    headers = {"Content-Type": "application/octet-stream", "Accept": "text/plain"}
    answer = await api.call("POST", "/drives/upload/", data=IMAGE, headers=headers)
    assert answer.status == 200


@in_turn(
    ("query", "point"),
    [
        ("media=tape", "media"),
        ("storage_type=tape", "storage_type"),
        ("name=%00", "name"),
        (f"name={'x' * 256}", "name"),
    ],
)
async def test_bad_uploads_leave_nothing(api: Api, query: str, point: str):
    """An upload with a bad parameter is a 400, and no file stays."""
    answer = await api.call("POST", f"/drives/upload/?{query}", data=IMAGE)
    assert answer.error == (400, "validation", point)
    assert api.files() == set()


async def test_an_upload_needs_its_length(api: Api):
    """Without Content-Length an upload is a 411; an empty or boundless one is refused too."""

    async def chunks() -> AsyncIterator[bytes]:
        yield IMAGE

    answer = await api.call("POST", "/drives/upload/", data=chunks())
    assert answer.error == (411, "validation", None)
    answer = await api.call("POST", "/drives/upload/")
    assert answer.error[0] in {400, 411}
    assert api.files() == set()


async def test_an_upload_that_breaks_off_leaves_nothing(api: Api):
    """A client that goes away in the middle leaves no drive and no file."""
    server = api.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    head = (
        f"POST {ROOT}/drives/upload/ HTTP/1.1\r\nHost: test\r\nContent-Length: {len(IMAGE)}\r\n"
        f"Authorization: {authorization(ALICE)}\r\n\r\n"
    )
    writer.write(head.encode() + IMAGE[: len(IMAGE) // 2])
    await writer.drain()
    await wait_until("the image is being written", api.files)
    writer.close()
    await writer.wait_closed()
    await wait_until("its file is gone", lambda: not api.files())
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


async def test_a_full_pool_is_out_of_capacity(api: Api, monkeypatch: pytest.MonkeyPatch):
    """An upload that does not fit is a 507 that says what helps, and leaves nothing."""

    def full(self: IncomingImage, data: bytes) -> None:
        raise PoolFull("/secret/path")

    monkeypatch.setattr(IncomingImage, "write", full)
    answer = await api.call("POST", "/drives/upload/", data=IMAGE)
    assert answer.error == (507, "backend", None)
    assert b"delete drives" in answer.body
    assert b"secret" not in answer.body
    assert api.files() == set()


async def test_a_download_is_the_image(api: Api):
    """A download is what was uploaded, rounded up with zeros; holes read as zeros."""
    drive = await upload(api)
    image = api.service.pools["main"].image(drive)
    assert image.stat().st_blocks * 512 < len(IMAGE)
    for accept in ("*/*", "application/octet-stream"):
        answer = await api.get(f"/drives/{drive}/download/", headers={"Accept": accept})
        assert (answer.status, answer.body) == (200, PADDED)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert "X-Request-ID" in answer.headers


@in_turn(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-65600", 65530, 65601),
        ("bytes=327670-", 327670, len(PADDED)),
        ("bytes=-7", len(PADDED) - 7, len(PADDED)),
        ("bytes=0-99999999", 0, len(PADDED)),
    ],
)
async def test_a_range_of_an_image(api: Api, asked: str, start: int, end: int):
    """`Range` gives a 206 with just these bytes."""
    drive = await upload(api)
    answer = await api.get(f"/drives/{drive}/download/", headers={"Range": asked})
    assert (answer.status, answer.body) == (206, PADDED[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(PADDED)}"


@in_turn("asked", [f"bytes={10**9}-", f"bytes={len(PADDED)}-", "bytes=2-1", "x"])
async def test_a_range_behind_the_end(api: Api, asked: str):
    """A range that the image does not have, or that is none, is a 416."""
    drive = await upload(api)
    answer = await api.get(f"/drives/{drive}/download/", headers={"Range": asked})
    assert answer.error == (416, "validation", None)
    assert answer.headers["Content-Range"] == f"bytes */{len(PADDED)}"


async def test_a_drive_without_an_image_cannot_be_downloaded(api: Api):
    """While a drive has no complete image its download is a 403; an unknown one is a 404."""
    destination, _ = await api.clone(await api.drive())
    answer = await api.get(f"/drives/{destination}/download/")
    assert answer.error == (403, "permission", None)
    assert (await api.get(f"/drives/{UNKNOWN}/download/")).error == (404, "notexist", None)


async def test_a_blank_drive_downloads_as_zeros(api: Api):
    """A new drive is all zeros."""
    drive = await api.drive()
    answer = await api.get(f"/drives/{drive}/download/", headers={"Range": "bytes=-10"})
    assert answer.body == bytes(10)


async def test_a_compressed_upload_is_refused(api: Api):
    """Its Content-Length would be that of the packed image, and so no bound for the image."""
    answer = await api.post(
        "/drives/upload/", data=gzip.compress(IMAGE), headers={"Content-Encoding": "gzip"}
    )
    assert answer.error == (415, "validation", None)
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


@pytest.mark.parametrize(
    "target", ["POST /api/2.0/drives/upload/?name=", "GET /api/2.0/jobs/?state="]
)
async def test_a_url_that_is_not_unicode_is_refused(api: Api, target: str):
    """Bytes that are not UTF-8 get a 400, and no drive is created."""
    reader, writer = await asyncio.open_connection(api.client.host, api.client.port)
    head = f"Host: x\r\nAuthorization: {authorization(ALICE)}\r\nContent-Length: 5\r\n\r\n"
    writer.write(target.encode() + b"a\xffb HTTP/1.1\r\n" + head.encode() + b"image")
    async with patience("the answer"):
        status = (await reader.readline()).split()[1]
    writer.close()
    await writer.wait_closed()
    assert status == b"400"
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0
    assert api.files() == set()


async def test_a_form_is_not_taken_for_an_image(api: Api):
    """It would become a drive that begins with the form's head."""
    form = aiohttp.FormData()
    form.add_field("file", IMAGE, filename="disk.img")
    answer = await api.call("POST", "/drives/upload/", data=form)
    assert answer.error == (415, "validation", None)
    assert api.files() == set()


async def test_a_missing_image_is_not_a_missing_drive(api: Api):
    """The drive is there; that its image is not is the service's fault, and logged."""
    drive = await upload(api)
    api.service.pools["main"].image(drive).unlink()
    assert (await api.get(f"/drives/{drive}/download/")).error == (503, "backend", None)
    assert (await api.get(f"/drives/{drive}/")).status == 200


async def test_a_drive_waits_for_its_missing_pool(tmp_path: Path, caplog):
    """Started without it, the service says so; downloads are refused, a resize waits for it."""
    both = (Pool("main", tmp_path / "main"), Pool("other", tmp_path / "other", "nvme"))
    async with served(Settings(data=tmp_path, pools=both, copying=False)) as api:
        drive = await upload(api, path="/drives/upload/?storage_type=nvme")
    async with served(Settings(data=tmp_path, pools=both[:1], copying=False)) as api:
        assert "1 drives are in pool other, which is not configured" in caplog.text
        assert (await api.get(f"/drives/{drive}/download/")).error == (503, "backend", None)
        assert (await api.post(f"/drives/{drive}/action/?do=resize", {"size": 2**30})).status == 202
    async with served(Settings(data=tmp_path, pools=both, copying=False)) as api:
        shown = (await api.get(f"/drives/{drive}/")).json
        assert (shown["status"], shown["size"]) == ("unmounted", 2**30)


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Api]:
    async with open_service(settings) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield Api(client, service)

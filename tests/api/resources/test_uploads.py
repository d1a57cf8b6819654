"""Uploads in chunks: as resumable.js sends them, and by signed links."""

import asyncio
import errno
import hashlib
import hmac
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.http.outcome import OUTCOME
from api.http.wire.bodies import BODY_BYTES
from api.http.wire.multipart import FIELD_BYTES, FIELDS_MAX
from api.resources.drives import upload_links
from api.service.limits import Limits
from api.service.settings import Settings
from ledger.images.chunk_layout import CHUNKS_MAX
from ledger.images.chunked_upload import ChunkedUpload
from ledger.images.errors import PoolFull
from ledger.workers import chunk_intake
from tests.api.calling import (
    ALICE,
    AUDITOR,
    BOB,
    ROOT,
    UNKNOWN,
    Answer,
    Api,
    FixedKeys,
    KnownAccounts,
    authorization,
)
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.wait import patience, wait_until

KIB = 1024
STEP = 16 * KIB
CHUNK = 64 * KIB
# Four chunks, the third of them zeros; the last has five bytes more than the others.
IMAGE = os.urandom(2 * CHUNK) + bytes(CHUNK) + os.urandom(CHUNK + 5)
COUNT = len(IMAGE) // CHUNK
PADDED = IMAGE + bytes(-len(IMAGE) % STEP)


class Upload(NamedTuple):
    """A drive that waits for the chunks of `IMAGE`."""

    api: Api
    drive: str
    chunk_size: int = CHUNK

    @property
    def path(self) -> str:
        return f"/drives/{self.drive}/upload/"

    def bytes_of(self, number: int) -> bytes:
        start = number * self.chunk_size
        return IMAGE[start : start + self.chunk_size if number < COUNT - 1 else None]

    def said(self, number: int) -> dict[str, str]:
        return {
            "resumableChunkNumber": str(number + 1),
            "resumableChunkSize": str(self.chunk_size),
            "resumableTotalSize": str(len(IMAGE)),
            "resumableIdentifier": "disk.img",
        }

    async def find(self, number: int, **given: Any) -> Answer:
        said = "&".join(f"{key}={value}" for key, value in self.said(number).items())
        return await self.api.get(f"{self.path}?{said}", **given)

    async def send(
        self,
        number: int,
        data: bytes | None = None,
        *,
        said: Mapping[str, str] | None = None,
        **given: Any,
    ) -> Answer:
        data = self.bytes_of(number) if data is None else data
        form = aiohttp.FormData()
        for key, value in (self.said(number) if said is None else said).items():
            form.add_field(key, value)
        form.add_field("file", data, filename="blob")
        return await self.api.post(self.path, data=form, **given)

    async def ask(self, number: int, chunk_size: int | None = None, **given: Any) -> Answer:
        size = self.chunk_size if chunk_size is None else chunk_size
        wanted = {"chunk_number": number, "chunk_size": size}
        path = f"/drives/{self.drive}/action/?do=upload_chunk"
        return await self.api.post(path, wanted, **given)

    async def link(self, number: int) -> str:
        answer = await self.ask(number)
        assert answer.status == 200, answer.body
        assert set(answer.json) == {"link"}
        link: str = answer.json["link"]
        return link

    async def present(self) -> list[int]:
        return [n for n in range(COUNT) if (await self.find(n)).status == 200]

    async def status(self) -> str:
        status: str = (await self.api.get(f"/drives/{self.drive}/")).json["status"]
        return status

    async def image(self) -> bytes:
        answer = await self.api.get(f"/drives/{self.drive}/download/")
        assert answer.status == 200, answer.body
        return answer.body

    def files(self) -> set[str]:
        return {name.removeprefix(self.drive) for name in self.api.files()}


async def begun(api: Api, **said: Any) -> Upload:
    body = {"name": "birch", "media": "disk", "size": len(IMAGE), **said}
    answer = await api.post("/initupload/", body)
    assert answer.status == 201, answer.body
    (drive,) = answer.json["objects"]
    assert (drive["status"], drive["jobs"]) == ("uploading", [])
    return Upload(api, drive["uuid"])


@pytest.fixture
async def upload(api: Api) -> Upload:
    return await begun(api)


async def test_an_upload_begins_with_a_drive(api: Api):
    """It is made like any drive, of any size, and cannot be used before it is complete."""
    upload = await begun(api, size="5", name="tiny", meta={"a": "b"})
    drive = (await api.get(f"/drives/{upload.drive}/")).json
    assert (drive["size"], drive["name"], drive["meta"]) == (STEP, "tiny", {"a": "b"})
    answer = await api.get(f"/drives/{upload.drive}/download/")
    assert answer.error == (403, "permission", None)
    answer = await api.post(f"/drives/{upload.drive}/action/?do=clone")
    assert answer.error == (403, "permission", None)
    answer = await api.post("/initupload/?avoid=" + UNKNOWN, [{"name": "x"}])
    assert answer.error == (400, "validation", "media")
    answer = await api.post("/initupload/?avoid=x", {"name": "", "media": "disk", "size": 1})
    assert answer.error == (400, "validation", "avoid")


async def test_chunks_make_the_drive(upload: Upload):
    """Sent in any order, they are the drive's image once the last of them is answered."""
    for number in (3, 0, 2, 1):
        assert (await upload.find(number)).error == (404, "notexist", None)
        assert await upload.status() == "uploading"
        answer = await upload.send(number)
        assert (answer.status, answer.body) == (200, b"")
        assert (await upload.find(number)).status == 200
    assert await upload.status() == "unmounted"
    assert await upload.image() == PADDED
    assert upload.files() == {".img"}


async def test_chunks_at_once(api: Api):
    """Several connections may send at once, also the same chunk, and none disturbs another."""
    upload = await begun(api)
    answers = await asyncio.gather(*(upload.send(n) for n in [*range(COUNT), *range(COUNT)]))
    assert {answer.status for answer in answers} <= {200, 416, 503}
    assert sum(answer.status == 200 for answer in answers) == COUNT
    assert await upload.status() == "unmounted"
    assert await upload.image() == PADDED


async def test_a_chunk_that_was_sent_before(upload: Upload):
    """It is not taken again, nor is there a link for it; so it is for all of a finished drive."""
    await upload.send(0)
    assert (await upload.send(0)).error == (416, "validation", None)
    assert (await upload.ask(0)).error == (416, "validation", None)
    for number in range(1, COUNT):
        await upload.send(number)
    assert (await upload.find(3)).status == 200
    assert (await upload.send(3, b"other")).error == (416, "validation", None)
    assert (await upload.ask(3)).error == (416, "validation", None)
    assert await upload.image() == PADDED


WANT = {"Want-Repr-Digest": "sha-256=1"}


def repr_digest(content: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"


async def test_a_chunk_has_the_digest_of_what_is_on_disk(upload: Upload):
    """Asked for, it comes when the chunk is sent and ever after, also once the drive is ready."""
    for number in (3, 0, 2, 1):
        digest = repr_digest(upload.bytes_of(number))
        assert (await upload.send(number, headers=WANT)).headers["Repr-Digest"] == digest
        assert (await upload.find(number, headers=WANT)).headers["Repr-Digest"] == digest
        assert "Repr-Digest" not in (await upload.find(number)).headers
    assert await upload.status() == "unmounted"
    for number in range(COUNT):
        answer = await upload.find(number, headers=WANT)
        assert answer.headers["Repr-Digest"] == repr_digest(upload.bytes_of(number))


async def test_the_digest_of_a_chunk_is_read_from_the_disk(upload: Upload):
    """What was lost there is noticed by whoever compares it."""
    await upload.send(0)
    file = upload.api.service.pools["main"].upload(upload.drive)
    with file.open("r+b") as opened:
        opened.write(b"rotten")
    found = await upload.find(0, headers=WANT)
    assert found.headers["Repr-Digest"] == repr_digest(b"rotten" + upload.bytes_of(0)[6:])
    assert (await upload.find(1, headers=WANT)).error == (404, "notexist", None)


async def test_a_chunk_sent_by_a_link_has_its_digest(upload: Upload):
    """The last one too, whose length only its request says."""
    for number in range(COUNT):
        link = await upload.link(number)
        content = upload.bytes_of(number)
        answer = await upload.api.post(link, data=content, by=None, headers=WANT)
        assert answer.headers["Repr-Digest"] == repr_digest(content), number


async def test_a_chunk_that_was_taken_in_is_no_failure(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
):
    """If its digest cannot be made, the chunk is there all the same, and the drive is ready."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(chunk_intake, "_sha256", fail)
    for number in range(COUNT - 1):
        answer = await upload.send(number, headers=WANT)
        assert (answer.status, answer.body) == (200, b"")
        assert "Repr-Digest" not in answer.headers
    assert (await upload.send(COUNT - 1, headers=WANT)).status == 200
    assert await upload.status() == "unmounted"
    assert (await upload.find(0, headers=WANT)).status == 500


async def test_a_drive_that_is_ready_is_no_failure(upload: Upload, monkeypatch: pytest.MonkeyPatch):
    """The journal of its chunks cannot be removed, but what the last one asked for is recorded."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(chunk_intake, "remove", fail)
    answers = [await upload.send(number) for number in range(COUNT)]
    assert [(each.status, each.headers.get(OUTCOME)) for each in answers] == [(200, None)] * COUNT
    assert await upload.status() == "unmounted"


@pytest.mark.parametrize("by", ["form", "link"])
async def test_a_chunk_that_is_kept_leaves_it_open_what_else_is(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, by: str
):
    """The last one is there, and the drive is not ready: neither is all recorded, nor nothing."""

    def full(*_: object) -> None:
        raise PoolFull("no room")

    for number in range(COUNT - 1):
        await upload.send(number)
    link = await upload.link(COUNT - 1)
    with monkeypatch.context() as patch:
        patch.setattr(ChunkedUpload, "publish", full)
        if by == "form":
            answer = await upload.send(COUNT - 1)
        else:
            answer = await upload.api.post(link, data=upload.bytes_of(COUNT - 1), by=None)
    assert (answer.status, answer.headers[OUTCOME]) == (507, "unknown")
    assert await upload.present() == list(range(COUNT))


async def test_a_chunk_that_is_not_kept_is_not_recorded(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(ChunkedUpload, "keep", fail)
        answer = await upload.send(0)
    assert (answer.status, answer.headers[OUTCOME]) == (500, "not-recorded")
    assert await upload.present() == []


async def test_no_digest_is_made_of_a_very_large_chunk(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
):
    """It is there, but reading it again would take a thread for long."""
    monkeypatch.setattr(chunk_intake, "DIGEST_BYTES_MAX", CHUNK)
    await upload.send(0)
    await upload.send(3)
    assert "Repr-Digest" in (await upload.find(0, headers=WANT)).headers
    longer = await upload.find(3, headers=WANT)
    assert (longer.status, "Repr-Digest" in longer.headers) == (200, False)


async def test_an_upload_resumes_after_a_restart(tmp_path: Path):
    """The next process keeps the chunks that it finds, and takes the rest."""
    settings = Settings(data=tmp_path, copying=False)
    drive = ""
    for numbers in ([1, 3], [0], [2]):
        async with open_service(settings) as opened:
            service = replace(opened, accounts=KnownAccounts(ALICE))
            async with TestClient(ApiServer(make_app(service))) as client:
                api = Api(client, service)
                upload = Upload(api, drive) if drive else await begun(api)
                drive = upload.drive
                before = await upload.present()
                for number in numbers:
                    assert (await upload.send(number)).status == 200
                assert set(before) | set(numbers) == set(await upload.present())
                assert (await upload.status() == "uploading") == (numbers != [2])
    async with open_service(settings) as service:
        assert service.pools["main"].image(drive).read_bytes() == PADDED


async def test_as_the_python_client_sends_a_chunk(upload: Upload):
    """Every field may have a file name; what the URL says need not be repeated in the form."""
    with aiohttp.MultipartWriter("form-data") as form:
        for key, value in [*upload.said(0).items(), ("file", upload.bytes_of(0))]:
            part = form.append(value)
            part.set_content_disposition("form-data", name=key, filename=key)
    assert (await upload.api.post(upload.path, data=form)).status == 200
    said = "&".join(f"{key}={value}" for key, value in upload.said(1).items())
    form = aiohttp.FormData()
    form.add_field("file", upload.bytes_of(1), filename="blob")
    assert (await upload.api.post(f"{upload.path}?{said}", data=form)).status == 200
    assert await upload.present() == [0, 1]


async def test_a_chunk_with_a_key(api: Api):
    """A chunk may be longer than other bodies, also with an `Idempotency-Key`."""
    length = 2 * BODY_BYTES
    upload = (await begun(api, size=length))._replace(chunk_size=length)
    said = {**upload.said(0), "resumableTotalSize": str(length)}
    key = {"Idempotency-Key": "once"}
    assert (await upload.send(0, b"x" * length, said=said, headers=key)).status == 200
    answer = await upload.send(0, b"x" * length, said=said, headers=key)
    assert answer.error == (416, "validation", None)
    assert await upload.image() == b"x" * length


@in_turn("number", [0, 3])
@in_turn("wrong", [-1, 1, -CHUNK])
async def test_a_chunk_of_another_length(upload: Upload, number: int, wrong: int):
    """A chunk with bytes too few or too many is refused and is not there."""
    data = (upload.bytes_of(number) + b"x")[: len(upload.bytes_of(number)) + wrong]
    assert (await upload.send(number, data)).error == (400, "validation", None)
    assert await upload.present() == []


@in_turn(
    ("name", "value"),
    [
        ("resumableChunkSize", str(CHUNK + 1)),
        ("resumableTotalSize", str(len(IMAGE) - 1)),
        ("resumableTotalSize", str(len(PADDED) + 1)),
        ("resumableChunkNumber", str(COUNT + 1)),
    ],
)
async def test_sizes_that_do_not_fit(upload: Upload, name: str, value: str):
    """Chunk size and total stay what they were, and fit the drive."""
    await upload.send(0)
    said = {**upload.said(1), name: value}
    assert (await upload.send(1, said=said)).error == (400, "validation", None)
    assert await upload.present() == [0]


@in_turn(
    ("name", "value"),
    [
        ("resumableChunkNumber", "0"),
        ("resumableChunkNumber", str(CHUNKS_MAX + 1)),
        ("resumableChunkSize", "x"),
        ("resumableTotalSize", "-1"),
        ("resumableTotalSize", None),
    ],
)
async def test_impossible_fields(upload: Upload, name: str, value: str | None):
    """A field that is missing or out of bounds is named, in a GET and in a POST."""
    said = {key: text for key, text in {**upload.said(0), name: value}.items() if text is not None}
    assert (await upload.send(0, said=said)).error == (400, "validation", name)
    query = "&".join(f"{key}={text}" for key, text in said.items())
    assert (await upload.api.get(f"{upload.path}?{query}")).error == (400, "validation", name)


PART = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
GOOD = PART + bytes(CHUNK) + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/mixed; boundary=b", PART, 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"--b--", 400),
        ("multipart/form-data; boundary=b", PART + bytes(CHUNK), 400),
        ("multipart/form-data; boundary=b", PART + bytes(CHUNK) + b"\r\n--c--", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nno header", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Length: 99\r\n\r\nx", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n: x\r\n\r\n", 400),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n" + GOOD,
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\n\r\n" + bytes(FIELD_BYTES + 1) + b"\r\n" + GOOD,
            400,
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n" * FIELDS_MAX + GOOD, 400),
    ],
)
async def test_malformed_forms(upload: Upload, kind: str, body: bytes, status: int):
    """A body that is not a form, or is endless or broken, is refused and adds no chunk."""
    said = "&".join(f"{key}={value}" for key, value in upload.said(0).items())
    path = f"{upload.path}?{said}"
    answer = await upload.api.post(path, data=body, headers={"Content-Type": kind})
    assert answer.error[:2] == (status, "validation")
    assert await upload.present() == []
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b"--b\r\n\r\n\r\n" * (FIELDS_MAX - 1) + GOOD
    assert (await upload.api.post(path, data=body, headers=form)).status == 200


async def test_a_connection_that_breaks_off(upload: Upload):
    """Half a chunk is none, and the next connection can send it whole."""
    link = await upload.link(0)
    server = upload.api.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST {link} HTTP/1.1\r\nHost: test\r\nContent-Length: {CHUNK}\r\n\r\n"
    writer.write(head.encode() + bytes(CHUNK // 2))
    await writer.drain()
    await wait_until("the chunk is being written", upload.files)
    writer.close()
    await writer.wait_closed()
    assert await upload.present() == []
    assert (await upload.api.post(link, data=upload.bytes_of(0), by=None)).status == 200


@pytest.mark.parametrize("limits", [Limits(body_silence_seconds=0.05)])
async def test_a_chunk_that_stops_coming(upload: Upload):
    """A form that sends nothing for a while is cut."""
    server = upload.api.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = (
        f"POST {ROOT}{upload.path} HTTP/1.1\r\nHost: test\r\nContent-Length: 999\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: {authorization(ALICE)}\r\n\r\n"
    )
    writer.write(head.encode() + b"--b\r\n")
    async with patience("the answer"):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


# By link


async def test_a_link_is_no_secret_of_the_log(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Whatever fails: who reads the log could use the link else."""
    link = await upload.link(0)

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("kettle")

    monkeypatch.setattr(chunk_intake.ChunkIntake, "receive", fail)
    assert (await upload.api.post(link, data=upload.bytes_of(0), by=None)).status == 500
    assert "failed: POST /api/2.0/uploads/{token}" in caplog.text
    assert link.rstrip("/").split("/")[-1] not in caplog.text


async def test_links_take_chunks(upload: Upload):
    """A link takes the bytes of its chunk from anybody; the last one tells the image's size."""
    links = [await upload.link(number) for number in range(COUNT)]
    for number in (3, 0, 2, 1):
        assert links[number].startswith(f"{ROOT}/uploads/")
        answer = await upload.api.post(links[number], data=upload.bytes_of(number), by=None)
        assert (answer.status, answer.body) == (200, b"")
        answer = await upload.api.post(links[number], data=upload.bytes_of(number), by=BOB)
        assert answer.error == (416, "validation", None)
    assert await upload.status() == "unmounted"
    assert await upload.image() == PADDED


@in_turn("length", [1, STEP, CHUNK - 1, CHUNK])
async def test_an_image_of_one_chunk(api: Api, length: int):
    """An image that fits into one chunk is sent as one, by link and as a form."""
    upload = await begun(api, size=length)
    assert (await api.post(await upload.link(0), data=b"x" * length, by=None)).status == 200
    assert (await upload.image()).rstrip(b"\0") == b"x" * length
    upload = await begun(api, size=length)
    said = {**upload.said(0), "resumableTotalSize": str(length)}
    assert (await upload.send(0, b"x" * length, said=said)).status == 200
    assert (await upload.image()).rstrip(b"\0") == b"x" * length


async def test_a_chunk_by_link_has_its_length(upload: Upload):
    """A chunk that is neither as long as it should be nor the image's end is refused."""
    for data in (b"x", bytes(CHUNK - 1), bytes(CHUNK + 1), bytes(len(PADDED))):
        answer = await upload.api.post(await upload.link(0), data=data, by=None)
        assert answer.error == (400, "validation", None)
    answer = await upload.api.post(await upload.link(0), data=b"", by=None)
    assert answer.error[0] in {400, 411}
    headers = {"Content-Encoding": "gzip"}
    answer = await upload.api.post(await upload.link(0), data=b"x", by=None, headers=headers)
    assert answer.error == (415, "validation", None)
    assert await upload.present() == []


@in_turn(
    ("body", "point"),
    [
        ({}, "chunk_number"),
        ({"chunk_number": 0}, "chunk_size"),
        ({"chunk_number": -1, "chunk_size": CHUNK}, "chunk_number"),
        ({"chunk_number": 0, "chunk_size": STEP - 1}, "chunk_size"),
        ({"chunk_number": COUNT, "chunk_size": CHUNK}, None),
    ],
)
async def test_links_for_impossible_chunks(upload: Upload, body: dict[str, int], point: str | None):
    """There is no link for a chunk that has no place in the drive."""
    answer = await upload.api.post(f"/drives/{upload.drive}/action/?do=upload_chunk", body)
    assert answer.error == (400, "validation", point)


async def test_a_link_expires(api: Api):
    """A link is good for five minutes, and not a second more."""
    ahead = timedelta()
    service = replace(api.service, now=lambda: api.service.now() + ahead)
    async with TestClient(ApiServer(make_app(service))) as client:
        upload = await begun(Api(client, service))
        link = await upload.link(0)
        ahead = timedelta(seconds=upload_links.VALID_S + 1)
        answer = await upload.api.post(link, data=upload.bytes_of(0), by=None)
        assert answer.error == (403, "permission", None)
        ahead = timedelta(seconds=upload_links.VALID_S - 1)
        answer = await upload.api.post(link, data=upload.bytes_of(0), by=None)
        assert answer.status == 200


async def test_forged_links(upload: Upload):
    """A link that is not exactly one of ours opens nothing, whoever asks."""
    link = await upload.link(0)
    *said, mac = link.removeprefix(f"{ROOT}/uploads/").rstrip("/").split(".")
    forged = hmac.new(b"", ".".join(said).encode(), "sha256").hexdigest()
    number_one = [said[0], "1", *said[2:]]
    for parts in ([*said, forged], [*number_one, mac], [*said, ""], [mac], ["é", mac], [*said]):
        path = f"/uploads/{'.'.join(parts)}/"
        for by in (None, ALICE):
            answer = await upload.api.post(path, data=upload.bytes_of(0), by=by)
            assert answer.error == (403, "permission", None)
    assert (await upload.api.get(link)).error == (405, "validation", None)
    assert await upload.present() == []


async def test_links_of_another_service(upload: Upload):
    """Every process over the ledger takes a link; a service that has other keys does not."""
    link = await upload.link(0)
    stranger = KnownAccounts(ALICE)
    stranger.keys = FixedKeys(b"another key")
    for accounts, refused in ((KnownAccounts(ALICE), False), (stranger, True)):
        service = replace(upload.api.service, accounts=accounts)
        async with TestClient(ApiServer(make_app(service))) as client:
            answer = await Api(client, service).post(link, data=b"x", by=None)
        assert (answer.status == 403) == refused


# Whose, and what not


async def test_foreign_drives(upload: Upload):
    """Nobody else sees that the drive is there; an auditor changes nothing."""
    for drive in (upload.drive, UNKNOWN, "x"):
        foreign = upload._replace(drive=drive)
        for answer in (
            await foreign.find(0, by=BOB),
            await foreign.send(0, by=BOB),
            await foreign.ask(0, by=BOB),
        ):
            assert answer.error == (404, "notexist", None)
    assert (await upload.send(0, by=AUDITOR)).error == (403, "permission", None)
    assert (await upload.send(0, by=None)).status == 401
    assert await upload.present() == []


async def test_drives_that_are_not_uploaded(api: Api):
    """A drive that was not begun as an upload takes no chunks."""
    upload = Upload(api, await api.drive())
    for answer in (await upload.find(0), await upload.send(0), await upload.ask(0)):
        assert answer.error == (403, "permission", None)


async def test_a_drive_that_is_deleted_meanwhile(upload: Upload):
    """Deleted, it leaves no file and takes no more chunks, not even one that is on its way."""
    link = await upload.link(2)
    go_on = asyncio.Event()

    async def slowly():
        yield upload.bytes_of(0)[:1000]
        await go_on.wait()
        yield upload.bytes_of(0)[1000:]

    headers = {"Content-Length": str(CHUNK)}
    first = upload.api.post(await upload.link(0), data=slowly(), by=None, headers=headers)
    sending = asyncio.create_task(first)
    await wait_until("the chunk is being written", upload.files)
    assert (await upload.api.delete(f"/drives/{upload.drive}/")).status == 204
    await wait_until("its files are gone", lambda: not upload.files())
    go_on.set()
    assert (await sending).error == (404, "notexist", None)
    answer = await upload.api.post(link, data=upload.bytes_of(2), by=None)
    assert answer.error == (404, "notexist", None)
    assert (await upload.find(1)).error == (404, "notexist", None)
    assert upload.files() == set()

"""Uploads over cut connections, of files that change: exactly the file, or an error."""

import hashlib
import os
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from api.client import patience, uploads
from api.client.errors import (
    ChunkDiffers,
    ChunkUnknown,
    ClientError,
    FileChanged,
    FileMisfit,
    Mismatch,
    Refused,
    Unreachable,
)
from api.client.http import TRANSFER
from api.client.local_image import LocalImage, local_image
from api.client.sessions import SessionClient, timeout_of
from api.client.uploads import begin_upload, check_resumable, upload
from tests.api.calling import ALICE, Api, authorization
from tests.api.conftest import api, begun, limits, service, store
from tests.support.lying_proxy import Forwarded, LyingProxy, address_of, honest, lying_proxy

__all__ = ["api", "begun", "limits", "service", "store"]

KIB = 1024
CHUNK = 16 * KIB
COUNT = 4
SIZE = COUNT * CHUNK + 5
STEP = 16 * KIB


@dataclass
class Uploading:
    """A file, the proxy between, and the drive that it is uploaded to, once there is one."""

    api: Api
    proxy: LyingProxy
    client: SessionClient
    file: Path
    drive: str = ""

    async def run(self, before_chunk: Callable[[int, LocalImage], None] | None = None) -> None:
        """Begin an upload, or resume it; `before_chunk` is called with what is done."""
        with local_image(self.file) as image:
            if self.drive:
                await check_resumable(self.client, image, self.drive)
            else:
                self.drive = await begin_upload(self.client, image, "disk.img", "disk")
            await upload(
                self.client,
                image,
                self.drive,
                lambda done, _: before_chunk(done // CHUNK, image) if before_chunk else None,
            )

    async def fail(self, kind: type[ClientError], saying: str | None = None) -> None:
        with pytest.raises(kind, match=saying):
            await self.run()

    async def cut_after(self, chunks: int) -> None:
        """An upload of which only so many chunks arrive."""

        def lose(answer: Forwarded) -> Forwarded:
            self.proxy.loses_requests = len(self.proxy.concerned) >= chunks
            return answer

        self.proxy.lie, self.proxy.loses_requests = lose, not chunks
        await self.fail(Unreachable)
        self.proxy.lie, self.proxy.loses_requests = honest, False
        self.proxy.concerned.clear()

    @property
    def sent(self) -> int:
        """How many chunks were sent since the last cut."""
        return len(self.proxy.concerned)

    async def status(self) -> str:
        status: str = (await self.api.get(f"/drives/{self.drive}/")).json["status"]
        return status

    async def check(self) -> None:
        """The drive is the file, and what its size was rounded up by."""
        assert await self.status() == "unmounted"
        answer = await self.api.get(f"/drives/{self.drive}/download/")
        content = self.file.read_bytes()
        assert answer.body == content + bytes(-len(content) % STEP)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, few tries, and small chunks."""
    monkeypatch.setattr(patience, "PAUSE_S", 0)
    monkeypatch.setattr(patience, "TRIES", 3)
    monkeypatch.setattr(uploads, "CHUNK_BYTES", CHUNK)


@pytest.fixture
async def uploading(api: Api, tmp_path: Path) -> AsyncIterator[Uploading]:
    file = tmp_path / "disk.img"
    file.write_bytes(os.urandom(SIZE))
    headers = {"Authorization": authorization(ALICE), "Accept": "application/json"}
    async with (
        lying_proxy(address_of(api.client.server), is_chunk) as proxy,
        aiohttp.ClientSession(headers=headers, timeout=timeout_of(TRANSFER)) as session,
    ):
        yield Uploading(api, proxy, SessionClient(proxy.url, session), file)


def is_chunk(request: web.BaseRequest) -> bool:
    return request.method == "POST" and request.path.endswith("/upload/")


async def test_an_upload_is_resumed(uploading: Uploading) -> None:
    """Chunks that are there are compared, and only the others are sent."""
    await uploading.cut_after(2)
    assert await uploading.status() == "uploading"
    await uploading.run()
    assert uploading.sent == COUNT - 2
    await uploading.check()


async def test_another_file_is_not_resumed(uploading: Uploading) -> None:
    """One of the same size and time is told apart by the first chunk that differs."""
    await uploading.cut_after(2)
    state = uploading.file.stat()
    content = bytearray(uploading.file.read_bytes())
    content[CHUNK + 7] ^= 1
    uploading.file.write_bytes(content)
    os.utime(uploading.file, ns=(state.st_atime_ns, state.st_mtime_ns))
    await uploading.fail(ChunkDiffers, "chunk 2 ")
    assert uploading.sent == 0
    assert await uploading.status() == "uploading"


@pytest.mark.parametrize("more", [-STEP, STEP, 10 * CHUNK])
async def test_a_file_of_another_size_is_not_resumed(uploading: Uploading, more: int) -> None:
    """Even if not a chunk of it has arrived."""
    await uploading.cut_after(0)
    os.truncate(uploading.file, SIZE + more)
    await uploading.fail(FileMisfit, f"has {SIZE + more} bytes")
    assert uploading.sent == 0


def rewritten(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"other")


def longer(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def shorter(file: Path) -> None:
    os.truncate(file, SIZE - 1)


def replaced(file: Path) -> None:
    """By an equal file of the same time, as an editor or a build does."""
    state, other = file.stat(), file.with_name("other")
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.rename(file)


def removed(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [rewritten, longer, shorter, replaced, removed])
@pytest.mark.parametrize("after", [1, COUNT - 1])
async def test_a_file_that_changes_meanwhile_is_an_error(
    uploading: Uploading, change: Callable[[Path], None], after: int
) -> None:
    """Nothing more is sent, and the drive never becomes a mixture."""

    def before_chunk(done: int, _: LocalImage) -> None:
        if done == after:
            change(uploading.file)

    with pytest.raises(FileChanged, match="nothing more is sent"):
        await uploading.run(before_chunk)
    assert uploading.sent == after
    assert await uploading.status() == "uploading"


async def test_a_file_that_changes_at_the_end_is_an_error(uploading: Uploading) -> None:
    """The drive is what the file was, not what it is."""

    def before_chunk(done: int, _: LocalImage) -> None:
        if done == COUNT:
            rewritten(uploading.file)

    with pytest.raises(FileChanged):
        await uploading.run(before_chunk)


async def test_a_lost_answer_is_not_a_lost_chunk(uploading: Uploading) -> None:
    """It is looked for before it is sent again, and compared; so is the last."""
    uploading.proxy.lie = lambda answer: answer._replace(length=5, cut_at=0)
    await uploading.run()
    assert uploading.sent == COUNT
    await uploading.check()


async def test_a_chunk_that_is_damaged_on_its_way_is_an_error(uploading: Uploading) -> None:
    """The answer has the digest of what is on the service's disk."""
    other = b64encode(hashlib.sha256(b"other").digest()).decode()
    uploading.proxy.lie = lambda answer: answer.with_headers(Repr_Digest=f"sha-256=:{other}:")
    await uploading.fail(ChunkDiffers, "chunk 1 ")
    assert uploading.sent == 1


async def test_a_chunk_that_is_damaged_on_disk_is_an_error(uploading: Uploading) -> None:
    """It is read again when the upload is resumed."""
    await uploading.cut_after(2)
    rewritten(uploading.api.service.pools["main"].upload(uploading.drive))
    await uploading.fail(ChunkDiffers, "chunk 1 ")


async def test_what_another_client_sent_is_not_taken_for_the_file(uploading: Uploading) -> None:
    """Two that upload to one drive notice."""
    await uploading.cut_after(0)
    form = aiohttp.FormData(
        {
            "resumableChunkNumber": "2",
            "resumableChunkSize": str(CHUNK),
            "resumableTotalSize": str(SIZE),
        }
    )
    form.add_field("file", os.urandom(CHUNK), filename="chunk")
    answer = await uploading.api.post(f"/drives/{uploading.drive}/upload/", data=form)
    assert answer.status == 200, answer.body
    await uploading.fail(ChunkDiffers, "chunk 2 ")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_service_that_is_away_for_a_moment_is_waited_for(
    uploading: Uploading, status: int
) -> None:
    """Whether it has the chunk is asked; another node may have answered, or a proxy."""
    told = [status, None, status]

    def tell(answer: Forwarded) -> Forwarded:
        lie = told.pop(0) if told else None
        return answer if lie is None else answer._replace(status=lie).with_body(b"<html>")

    uploading.proxy.lie = tell
    await uploading.run()
    assert told == []
    assert uploading.sent == COUNT
    await uploading.check()


async def test_a_chunk_that_is_refused_for_the_moment_is_sent_again(uploading: Uploading) -> None:
    """It did not arrive."""
    uploading.proxy.answers = [web.Response(status=503)]
    await uploading.run()
    assert uploading.sent == COUNT + 1
    await uploading.check()


async def test_a_refusal_that_lasts_ends_it(uploading: Uploading) -> None:
    """Such as a full pool: whoever makes room resumes it."""
    uploading.proxy.answers = [web.Response(status=507)]
    await uploading.fail(Refused, "status 507")
    assert uploading.sent == 1


async def test_a_chunk_that_is_said_to_be_there_and_not_is_given_up(uploading: Uploading) -> None:
    """A service that contradicts itself is not asked for ever."""
    uploading.proxy.answers = [web.Response(status=416) for _ in range(patience.TRIES)]
    await uploading.fail(Refused)
    assert uploading.sent == patience.TRIES


async def test_a_service_that_gives_no_digests_is_not_resumed(
    uploading: Uploading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier one has chunks but cannot say which bytes; a new upload needs no digests."""
    monkeypatch.setattr(uploads, "WANT", {})
    await uploading.cut_after(2)
    await uploading.fail(ChunkUnknown, "chunk 1 ")
    assert uploading.sent == 0
    uploading.drive = ""
    await uploading.run()
    await uploading.check()


@pytest.mark.parametrize("count", [12, pytest.param(400, marks=pytest.mark.long)])
async def test_whatever_happens_an_upload_is_the_file_or_an_error(
    uploading: Uploading, seed: int, count: int
) -> None:
    """Lost requests, lost answers, and files that change between and during, drawn."""
    drawn = random.Random(seed)  # noqa: S311 - a test that can be repeated
    completed = 0
    for _ in range(count):
        uploading.drive = ""
        uploading.file.write_bytes(drawn.randbytes(SIZE))
        for _ in range(drawn.randrange(1, 5)):
            uploading.proxy.lie = lambda answer: (
                answer._replace(length=5, cut_at=0) if drawn.random() < 0.3 else answer
            )
            uploading.proxy.loses_requests = drawn.random() < 0.3
            changes = drawn.random() < 0.15
            at = drawn.randrange(COUNT)

            def before_chunk(done: int, _: LocalImage, at: int = at, *, do: bool = changes) -> None:
                uploading.proxy.loses_requests = drawn.random() < 0.1
                if do and done > at:
                    uploading.file.write_bytes(drawn.randbytes(SIZE))

            try:
                await uploading.run(before_chunk)
            except (Mismatch, Unreachable):
                uploading.proxy.loses_requests = False
                if drawn.random() < 0.2:
                    uploading.file.write_bytes(drawn.randbytes(SIZE))
            except ClientError:  # the answer to its last chunk was lost: it is complete already
                break
            else:
                await uploading.check()
                completed += 1
                break
    assert completed

"""Downloads of one version of an image, and of its digest. tests/contract/CONTRACT.md 5."""

import asyncio
import hashlib
import os
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import ExitStack, asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest

from api.resources.drives import image_digests, image_response, images
from api.resources.drives.image_digests import ImageDigests, _Step
from api.resources.drives.image_response import ImageResponse
from api.resources.drives.open_image import OpenImage, open_image
from ledger.images import digests
from ledger.workers.transfer_threads import TransferThreads
from tests.api.calling import ALICE, ROOT, Answer, Api, authorization
from tests.api.lines import line, request
from tests.harness.cases import in_turn
from tests.support.wait import PATIENCE_S, patience, wait_until

KIB = 1024
SIZE = 64 * KIB
IMAGE = os.urandom(SIZE)
WANT = {"Want-Repr-Digest": "sha-256=1"}
LARGE = 64 * 1024**2
"""More than the buffers of a connection hold."""


def repr_digest(content: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"


class Download:
    """The image of a drive, and requests for it."""

    def __init__(self, api: Api, drive: str) -> None:
        self.api = api
        self.drive = drive
        self.path = f"/drives/{drive}/download/"
        self.image = api.service.pools["main"].image(drive)

    async def get(self, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.get(self.path, headers=named)

    async def head(self, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.call("HEAD", self.path, headers=named)

    async def tag(self) -> str:
        tag: str = (await self.head()).headers["ETag"]
        return tag

    async def grow(self) -> None:
        body = {"size": 512 * 1024**2}
        answer = await self.api.post(f"/drives/{self.drive}/action/?do=resize", body)
        assert answer.status == 202, answer.body
        await wait_until("the image has grown", lambda: self.image.stat().st_size > SIZE)

        async def is_over() -> bool:
            shown = (await self.api.get(f"/drives/{self.drive}/")).json
            return bool(shown["status"] == "unmounted")

        await wait_until("the resize is over", is_over)

    async def begun(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A download whose client has read nothing yet."""
        server = self.api.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=KIB)
        writer.write(
            f"GET {ROOT}{self.path} HTTP/1.1\r\nHost: test\r\n"
            f"Authorization: {authorization(ALICE)}\r\n\r\n".encode()
        )
        await writer.drain()
        return reader, writer


async def uploaded(api: Api, image: bytes = IMAGE) -> Download:
    answer = await api.call("POST", "/drives/upload/", data=image)
    assert answer.status == 200, answer.body
    return Download(api, answer.body.decode())


@pytest.fixture
async def download(api: Api) -> Download:
    return await uploaded(api)


async def test_the_tag_is_of_the_content(download: Download) -> None:
    """It is strong, stays while the image does, and is of this drive alone."""
    tag = await download.tag()
    assert tag.startswith(f'"{download.drive}.')
    assert tag == (await download.get()).headers["ETag"]
    assert tag == (await download.get(Range="bytes=5-9")).headers["ETag"]
    assert tag != await (await uploaded(download.api)).tag()
    os.utime(download.image, ns=(1, 1))
    assert tag != (again := await download.tag())
    await download.grow()
    assert again != await download.tag()


async def test_the_tag_names_the_last_event_of_the_image(download: Download) -> None:
    """So contents that share size and time are told apart; a new name changes nothing."""
    tag = await download.tag()
    body = {"name": "renamed", "media": "disk", "size": SIZE}
    assert (await download.api.put(f"/drives/{download.drive}/", body)).status == 200
    assert await download.tag() == tag
    time = download.image.stat().st_mtime_ns
    await download.grow()
    os.truncate(download.image, SIZE)
    os.utime(download.image, ns=(time, time))
    before, after = tag.split("."), (await download.tag()).split(".")
    assert (before[0], before[2:]) == (after[0], after[2:])
    assert int(before[1]) < int(after[1])


async def test_a_range_of_this_version(download: Download) -> None:
    """With the tag, or exactly the date, a range counts."""
    head = (await download.head()).headers
    for named in (head["ETag"], head["Last-Modified"]):
        answer = await download.get(Range="bytes=5-9", If_Range=named)
        assert (answer.status, answer.body) == (206, IMAGE[5:10])
        assert answer.headers["Content-Range"] == f"bytes 5-9/{SIZE}"


async def test_a_range_of_another_version(download: Download) -> None:
    """With any other tag or date, earlier or later, the answer is the whole image."""
    time = download.image.stat().st_mtime
    others = [
        '"another"',
        f"W/{await download.tag()}",
        formatdate(time - 1, usegmt=True),
        formatdate(time + 1, usegmt=True),
        formatdate(time + 10**9, usegmt=True),
        "nothing of the kind",
    ]
    for named in others:
        for asked in ("bytes=5-9", f"bytes={10**9}-"):
            answer = await download.get(Range=asked, If_Range=named)
            assert (answer.status, answer.body) == (200, IMAGE), named
            assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes= 0-1, -3", "lines=0-1"])
async def test_ranges_that_are_not_given(download: Download, asked: str) -> None:
    """Several ranges, and other units, are answered with the whole."""
    answer = await download.get(Range=asked)
    assert (answer.status, answer.body) == (200, IMAGE)


@in_turn("asked", ["bytes=-0", "bytes=-", "bytes=a-b", f"bytes={'9' * 5000}-"])
async def test_ranges_of_nothing(download: Download, asked: str) -> None:
    """A range without a byte, or that cannot be read, is a 416."""
    answer = await download.get(Range=asked)
    assert answer.error == (416, "validation", None)
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


async def test_a_head_is_the_answer_without_the_image(download: Download) -> None:
    """It says what a GET without a range would."""
    get, head = await download.get(), await download.head(Range="bytes=5-9")
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert head.headers[name] == get.headers[name]
    assert get.headers["Content-Length"] == str(SIZE)


async def test_the_file_is_named_after_the_drive(download: Download, tmp_path: Path) -> None:
    """For the whole and for ranges, so that the documented call of curl saves it."""
    named = f'attachment; filename="{download.drive}"'
    for answer in (await download.get(), await download.get(Range="bytes=1-2")):
        assert answer.headers["Content-Disposition"] == named
    url = download.api.client.make_url(ROOT + download.path)
    header = f"Authorization: {authorization(ALICE)}"
    options = ("--silent", "--fail", "--location", "--remote-name", "--remote-header-name")
    curl = await asyncio.create_subprocess_exec(
        "curl", *options, "--header", header, str(url), cwd=tmp_path
    )
    assert await curl.wait() == 0
    assert (tmp_path / download.drive).read_bytes() == (await download.get()).body


async def test_what_the_client_has_is_not_sent(download: Download) -> None:
    """A tag, weak or strong, or a date gives a 304; the tag of another version does not."""
    head = (await download.head()).headers
    tag, date = head["ETag"], head["Last-Modified"]
    for condition in ({"If_None_Match": f'"x", W/{tag}'}, {"If_Modified_Since": date}):
        answer = await download.get(Range="bytes=0-1", **condition)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert (await download.get(If_None_Match='"x"', If_Modified_Since=date)).status == 200


async def test_another_version_is_not_sent(download: Download) -> None:
    """With If-Match or If-Unmodified-Since, only this one is; a weak tag names none."""
    head = (await download.head()).headers
    tag, date = head["ETag"], head["Last-Modified"]
    for condition in (
        {"If_Match": f'"x", {tag}'},
        {"If_Match": "*"},
        {"If_Unmodified_Since": date},
    ):
        assert (await download.get(**condition)).status == 200
    old = formatdate(0, usegmt=True)
    for condition in ({"If_Match": '"x"'}, {"If_Match": f"W/{tag}"}, {"If_Unmodified_Since": old}):
        assert (await download.get(**condition)).error == (412, "validation", None)


async def test_nothing_else_is_sent_in_place_of_an_image(download: Download) -> None:
    """Neither what a symlink leads to, nor a FIFO's, nor a packed file beside the image."""
    packed = download.image.with_name(f"{download.image.name}.gz")
    packed.write_bytes(b"packed by somebody")
    answer = await download.get(Accept_Encoding="gzip")
    assert (answer.body, answer.headers.get("Content-Encoding")) == (IMAGE, None)
    secret = download.image.with_name("secret")
    download.image.rename(secret)
    download.image.symlink_to(secret)
    assert (await download.get()).error == (503, "backend", None)
    download.image.unlink()
    os.mkfifo(download.image)
    async with patience("an answer about a FIFO"):
        assert (await download.get()).error == (503, "backend", None)


async def test_a_digest_comes_when_it_is_known(download: Download) -> None:
    """A HEAD that wants it waits for it; from then on every answer has it, also of a part."""
    assert "Repr-Digest" not in (await download.get()).headers
    assert (await download.head(**WANT)).headers["Repr-Digest"] == repr_digest(IMAGE)
    assert (await download.get()).headers["Repr-Digest"] == repr_digest(IMAGE)
    part = await download.get(Range="bytes=5-9")
    assert (part.body, part.headers["Repr-Digest"]) == (IMAGE[5:10], repr_digest(IMAGE))


async def test_a_digest_that_takes_long_is_announced(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEAD waits only so long, and says that it is worth asking again."""
    held = [True]

    def slowly(fd: int) -> Generator[None, None, bytes | None]:
        while held:
            yield
        return (yield from digests.digest_in_steps(fd))

    monkeypatch.setattr(images, "DIGEST_WAIT_S", 0.01)
    monkeypatch.setattr(image_digests, "digest_in_steps", slowly)
    head = (await download.head(**WANT)).headers
    assert (head["Retry-After"], "Repr-Digest" in head) == ("1", False)
    assert "Retry-After" not in (await download.head()).headers
    assert "Retry-After" not in (await download.get(**WANT)).headers
    held.clear()

    async def is_known() -> bool:
        return "Retry-After" not in (await download.head(**WANT)).headers

    await wait_until("the digest is known", is_known)
    assert (await download.head()).headers["Repr-Digest"] == repr_digest(IMAGE)


async def test_a_download_that_wants_a_digest_begins_it(download: Download) -> None:
    """The answer does not wait, but the digest is known some time after."""
    assert (await download.get(**WANT)).status == 200

    async def is_known() -> bool:
        return "Repr-Digest" in (await download.head()).headers

    await wait_until("the digest is known", is_known)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("sha-256=10", True),
        ("sha-512=9, sha-256=3", True),
        ("sha-256=0", False),
        ("sha-512=1", False),
        ("xsha-256=1", False),
        ("nonsense", False),
    ],
)
async def test_which_digest_is_wanted(download: Download, wanted: str, *, given: bool) -> None:
    """Only SHA-256 is given, to who wants it more than not at all."""
    answer = await download.head(Want_Repr_Digest=wanted)
    assert ("Repr-Digest" in answer.headers) == given


async def test_a_changed_image_has_another_digest(download: Download) -> None:
    """What was known of the earlier content is not said of the new one."""
    assert (await download.head(**WANT)).headers["Repr-Digest"] == repr_digest(IMAGE)
    other = os.urandom(SIZE)
    download.image.write_bytes(other)
    os.utime(download.image, ns=(1, 1))  # clocks of some file systems tick every few milliseconds
    assert "Repr-Digest" not in (await download.head()).headers
    assert (await download.head(**WANT)).headers["Repr-Digest"] == repr_digest(other)


async def test_a_client_that_reads_nothing_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would keep the connection and the file open for ever."""
    monkeypatch.setattr(image_response, "PIECE_S", 0.05)
    download = await uploaded(api)
    os.truncate(download.image, LARGE)
    reader, writer = await download.begun()
    await wait_until("it is given up", lambda: "a download was cut off: Timeout" in caplog.text)
    assert await rest_of(reader) < LARGE
    writer.close()
    await wait_until("the image is closed", lambda: not open_files(download.image))


async def test_an_image_that_becomes_shorter_is_cut_off(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees that the answer is not whole, however the image was lost."""
    download = await uploaded(api)
    os.truncate(download.image, LARGE)
    reader, writer = await download.begun()
    await reader.readuntil(b"\r\n\r\n")
    os.truncate(download.image, KIB)
    assert await rest_of(reader) < LARGE
    assert "a download was cut off: EOFError" in caplog.text
    writer.close()
    await wait_until("the image is closed", lambda: not open_files(download.image))


@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_client_that_goes_away_is_no_error(
    api: Api, caplog: pytest.LogCaptureFixture, *, abruptly: bool
) -> None:
    """Whenever it goes, the image is closed and nothing is said of it."""
    download = await uploaded(api)
    os.truncate(download.image, LARGE)
    for read in (0, KIB, LARGE // 2):
        reader, writer = await download.begun()
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(read)
        if abruptly:
            writer.transport.abort()
        writer.close()
        await wait_until("the image is closed", lambda: not open_files(download.image))
    await download.head()  # whatever went wrong before is logged by now
    assert [each.message for each in caplog.records if each.levelname != "INFO"] == []


async def test_a_connection_that_closes_between_two_pieces_is_no_error(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next piece is not begun: asyncio would call that a mistake of the program."""
    send = ImageResponse._send_piece
    raised: list[type[Exception]] = []

    async def close_after(self: ImageResponse, transport: asyncio.Transport, start: int) -> None:
        try:
            await send(self, transport, start)
        except Exception as error:
            raised.append(type(error))
            raise
        transport.close()

    monkeypatch.setattr(ImageResponse, "_send_piece", close_after)
    download = await uploaded(api)
    os.truncate(download.image, LARGE)
    reader, writer = await download.begun()
    assert 0 < await rest_of(reader) < LARGE
    writer.close()
    await wait_until("the next piece is not begun", lambda: raised)
    assert raised == [ConnectionResetError]
    await wait_until("the image is closed", lambda: not open_files(download.image))


async def rest_of(reader: asyncio.StreamReader) -> int:
    """How many bytes come until the connection ends, in whatever way."""
    received = 0
    with suppress(ConnectionError):
        async with patience("the end of the connection"):
            while block := await reader.read(LARGE):
                received += len(block)
    return received


async def test_an_answer_that_was_sent_already(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent early to a client that waits to be asked for a body; aiohttp then ends it anew."""
    prepare = ImageResponse.prepare
    prepared: list[bool] = []

    async def noting(self: ImageResponse, request: BaseRequest) -> AbstractStreamWriter | None:
        writer = await prepare(self, request)
        prepared.append(True)
        return writer

    monkeypatch.setattr(ImageResponse, "prepare", noting)
    ask = request(download.path, "Expect: 100-continue", "Content-Length: 5")
    async with line(download.api.client.server) as asking:
        asking.send(ask)
        assert (await asking.answer()).body == IMAGE
        assert await asking.end() == b""
    await wait_until("it is ended anew", lambda: len(prepared) > 1)
    await wait_until("the image is closed", lambda: not open_files(download.image))


async def test_no_answer_leaves_the_image_open(download: Download) -> None:
    """Whole, in part, without a body, or refused."""
    tag = await download.tag()
    await download.get()
    await download.get(Range="bytes=0-1")
    await download.get(If_None_Match=tag)
    await download.get(If_Match='"x"')
    await download.get(Range=f"bytes={SIZE}-")
    await download.head(**WANT)
    await wait_until("the image is closed", lambda: not open_files(download.image))


def open_files(path: Path) -> int:
    """How many descriptors of this process are of the file."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found += fd.readlink() == path
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


# Without a service


async def test_a_digest_that_nobody_wants_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not worked on further; whoever wants it again begins it again."""
    monkeypatch.setattr(digests, "STEP_BYTES", digests.READ_BYTES)
    monkeypatch.setattr(image_digests, "WANTED_S", 0.0)
    path = tmp_path / "d.img"
    path.write_bytes(IMAGE)
    os.truncate(path, 3 * digests.READ_BYTES)
    image = open_image(path, "d", 1)
    threads = TransferThreads(["main"])
    made = ImageDigests(threads)
    with image.file:
        assert await made.find(image, "me", "main", wait_s=60) is None
        monkeypatch.setattr(image_digests, "WANTED_S", 60.0)
        digest = hashlib.sha256(path.read_bytes()).digest()
        assert await made.find(image, "me", "main", wait_s=60) == digest
        os.utime(path, ns=(1, 1))
        assert await made.find(image, "me", "main", wait_s=60) is None
    await made.close()
    threads.close()


@asynccontextmanager
async def digesting(
    directory: Path, *sizes: int
) -> AsyncIterator[tuple[ImageDigests, list[OpenImage]]]:
    """Images of these sizes, open, and what makes their digests."""
    threads = TransferThreads(["main"])
    made = ImageDigests(threads)
    with ExitStack() as stack:
        stack.callback(threads.close)
        images = []
        for number, size in enumerate(sizes):
            path = directory / f"{number}.img"
            path.write_bytes(os.urandom(size))
            images.append(open_image(path, path.stem, 1))
            stack.enter_context(images[-1].file)
        yield made, images
        await made.close()


def sha256(image: OpenImage) -> bytes:
    return hashlib.sha256(image.path.read_bytes()).digest()


async def test_only_so_many_digests_are_made_for_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wants beyond that is not given, and takes no room; others are given theirs."""
    monkeypatch.setattr(image_digests, "WANTED_MAX", 1)
    async with digesting(tmp_path, 5, 6) as (made, [first, second]):
        assert await made.find(first, "loud", "main", wait_s=0) is None
        assert await made.find(second, "loud", "main", wait_s=60) is None
        assert not made.is_making("loud", second.version.tag)
        assert await made.find(second, "quiet", "main", wait_s=60) == sha256(second)
        assert await made.find(first, "loud", "main", wait_s=60) == sha256(first)
        assert await made.find(second, "loud", "main", wait_s=60) == sha256(second)


async def test_long_digests_of_one_account_keep_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts take turns step by step; each has one image after the other."""
    monkeypatch.setattr(digests, "STEP_BYTES", digests.READ_BYTES)
    steps: list[str] = []
    step = image_digests._uncut

    async def noting(taken: Coroutine[None, None, _Step]) -> _Step:
        task = asyncio.current_task()
        assert task is not None
        steps.append(task.get_name())
        return await step(taken)

    monkeypatch.setattr(image_digests, "_uncut", noting)
    long, short = 20 * digests.READ_BYTES, 2 * digests.READ_BYTES
    async with digesting(tmp_path, long, long, short) as (made, [first, second, third]):
        for image in (first, second):
            assert await made.find(image, "loud", "main", wait_s=0) is None
        loud = {task.get_name(): task for task in made._tasks.values()}
        assert await made.find(third, "quiet", "main", wait_s=60) == sha256(third)
        before = [name for name in steps if name in loud]
        assert len(before) <= len(steps) - len(before) + 5, "in turn with the other account"
        assert await asyncio.gather(*loud.values()) == [sha256(first), sha256(second)]
    of_loud = [name for name in steps if name in loud]
    assert of_loud == sorted(of_loud, key=[*loud].index), "one image after the other"


async def test_a_digest_that_two_accounts_want_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the one that comes to it first; the other is given the same."""
    monkeypatch.setattr(digests, "STEP_BYTES", digests.READ_BYTES)
    steps = held_steps(monkeypatch)
    async with digesting(tmp_path, 10 * digests.READ_BYTES) as (made, [image]):
        finding = [
            asyncio.create_task(made.find(image, account, "main", wait_s=60))
            for account in ("first", "second")
        ]
        await wait_until("it is begun", lambda: steps.taken)
        steps.go_on.set()
        assert await asyncio.gather(*finding) == [sha256(image)] * 2
    assert steps.taken == 11


async def test_a_digest_that_only_the_second_account_wants_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun for the first one ends, and it is made for the second."""
    monkeypatch.setattr(digests, "STEP_BYTES", digests.READ_BYTES)
    steps = held_steps(monkeypatch)
    async with digesting(tmp_path, 10 * digests.READ_BYTES) as (made, [image]):
        first = asyncio.create_task(made.find(image, "first", "main", wait_s=60))
        await wait_until("it is begun", lambda: steps.taken)
        second = asyncio.create_task(made.find(image, "second", "main", wait_s=60))
        await asyncio.sleep(0)
        for wanted in made._wanted_until:
            if wanted.account == "first":
                made._wanted_until[wanted] = 0.0
        steps.go_on.set()
        assert await first is None
        assert await second == sha256(image)


class Steps:
    """The steps of digests, which wait until they may go on."""

    def __init__(self) -> None:
        self.taken = 0
        self.go_on = threading.Event()


def held_steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    held, step = Steps(), image_digests._step

    def holding(steps: Generator[None, None, bytes | None]) -> tuple[bool, bytes | None]:
        held.taken += 1
        assert held.go_on.wait(PATIENCE_S)
        return step(steps)

    monkeypatch.setattr(image_digests, "_step", holding)
    return held

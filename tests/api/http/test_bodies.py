"""Bodies: when they are asked for, how they may be compressed, and how slowly they may come."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zstandard
from aiohttp import web
from aiohttp.compression_utils import ZLibDecompressor

from api.http.errors import RequestRefused
from api.http.wire import bodies, inflation
from api.http.wire.bodies import BODY_BYTES, LIMITS, upload_pace
from api.http.wire.inflation import MEMBERS_MAX, BadEncoding, BodyTooLong, inflate
from api.service.limits import Limits
from tests.api.calling import Api
from tests.api.lines import Line, line, request
from tests.harness.cases import in_turn

TAG = b'{"name": "elm"}'
BOMB_BYTES = 32 * 2**20
CONTINUE = b"HTTP/1.1 100 Continue\r\n"
SHORT_S = 0.1


@pytest.fixture
def limits() -> Limits:
    """Those of users: that they hurry nobody is what is tested."""
    return Limits()


def deflated(data: bytes) -> bytes:
    """Without zlib's header, as some clients send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", deflated),
    "zstd": ("zstd", zstandard.compress),
}
packings = pytest.mark.parametrize(("encoding", "pack"), PACKERS.values(), ids=PACKERS)


# Compression


@packings
async def test_a_compressed_body(api: Api, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """It is taken for what was compressed; the encoding's case does not matter."""
    headers = {"Content-Encoding": encoding.upper(), "Content-Type": "application/json"}
    answer = await api.call("POST", "/tags/", data=pack(TAG), headers=headers)
    assert answer.json["objects"][0]["name"] == "elm"


@packings
def test_how_long_a_compressed_body_may_be(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """As long as any other, once it is inflated, and not a byte longer."""
    most = bytes(BODY_BYTES)
    assert inflate(pack(most), encoding, BODY_BYTES) == most
    with pytest.raises(BodyTooLong):
        inflate(pack(most + b"x"), encoding, BODY_BYTES)


@packings
def test_a_compressed_body_that_is_damaged(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Neither a part of it nor more than it is taken for the whole."""
    packed = pack(TAG * 100)
    for cut in range(1, len(packed)):
        with pytest.raises(BadEncoding):
            inflate(packed[:cut], encoding, BODY_BYTES)
    for damaged in (packed + b"\0", b"nonsense" + packed):
        with pytest.raises(BadEncoding):
            inflate(damaged, encoding, BODY_BYTES)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_of_several_members(encoding: str) -> None:
    """They are one body, within the same limit; there may not be many."""
    member = dict(PACKERS.values())[encoding](bytes(BODY_BYTES // 16))
    assert inflate(member * MEMBERS_MAX, encoding, BODY_BYTES) == bytes(BODY_BYTES)
    with pytest.raises(BodyTooLong):
        inflate(member * 2, encoding, BODY_BYTES // 16)
    empty = dict(PACKERS.values())[encoding](b"")
    with pytest.raises(BadEncoding):
        inflate(empty * (MEMBERS_MAX + 1), encoding, BODY_BYTES)


def test_zstd_with_a_large_window() -> None:
    """What would need much memory is refused before it gets any."""
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BadEncoding):
        inflate(packer.compress(TAG) + packer.flush(), "zstd", BODY_BYTES)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A body of less than 256 KiB that inflates to 32 MiB."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(2**20)
    packed = b"".join(packer.compress(zeros) for _ in range(BOMB_BYTES // 2**20))
    return packed + packer.flush()


@pytest.fixture
def inflated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes zlib made, of each body, in our code and in aiohttp's."""
    lengths: list[int] = []
    make, theirs = zlib.decompressobj, ZLibDecompressor.decompress_sync

    class Watched:
        def __init__(self, bits: int) -> None:
            self._stream = make(bits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            content = self._stream.decompress(data, most)
            lengths.append(len(content))
            return content

    def watched(self: ZLibDecompressor, *given: Any, **named: Any) -> bytes:
        content = theirs(self, *given, **named)
        lengths.append(len(content))
        return content

    monkeypatch.setattr(inflation.zlib, "decompressobj", Watched)
    monkeypatch.setattr(ZLibDecompressor, "decompress_sync", watched)
    return lengths


GZIP = "Content-Encoding: gzip"
post = partial(request, method="POST")
REFUSED_UNREAD: dict[str, tuple[Callable[..., bytes], int]] = {
    "no login": (partial(post, "/tags/", GZIP, by=None), 401),
    "no such URL": (partial(post, "/nothing/", GZIP), 404),
    "a method that is not allowed": (partial(post, "/jobs/", GZIP), 405),
    "a GET": (partial(request, "/tags/", GZIP), 200),
    "a login": (partial(post, "/accounts/action/?do=login", GZIP, by=None), 415),
    "an upload": (partial(post, "/drives/upload/", GZIP), 415),
    "an unknown encoding": (partial(post, "/tags/", "Content-Encoding: x"), 415),
}


@in_turn(("sent", "status"), REFUSED_UNREAD.values())
async def test_a_body_that_nobody_wants_is_not_inflated(
    api: Api, bomb: bytes, inflated: list[int], sent: Callable[..., bytes], status: int
) -> None:
    """It is dropped as it came."""
    async with line(api.client.server) as bare:
        bare.send(sent(body=bomb))
        assert (await bare.answer()).status == status
        bare.send(request("/tags/"))
        assert (await bare.answer()).status == 200
    assert inflated == []


async def test_a_body_that_is_wanted_is_inflated_within_the_limit(
    api: Api, bomb: bytes, inflated: list[int]
) -> None:
    """One byte more shows that it is too long."""
    headers = {"Content-Encoding": "gzip"}
    answer = await api.call("POST", "/tags/", data=bomb, headers=headers)
    assert answer.error == (413, "validation", None)
    assert inflated == [BODY_BYTES + 1]


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("/tags/", "identity, gzip, deflate, zstd"),
        ("/drives/upload/", "identity"),
        ("/accounts/action/?do=login", "identity"),
    ],
)
async def test_an_encoding_that_is_refused(api: Api, path: str, accepted: str) -> None:
    """The answer names those that would do."""
    headers = {"Content-Encoding": "br"}
    answer = await api.call("POST", path, data=b"x", headers=headers)
    assert answer.error == (415, "validation", None)
    assert answer.headers["Accept-Encoding"] == accepted


async def test_a_key_does_not_mind_compression(api: Api) -> None:
    """A request that is repeated in another encoding is the same request."""
    headers = {"Idempotency-Key": "once", "Content-Type": "application/json"}
    first = await api.call("POST", "/tags/", data=TAG, headers=headers)
    headers["Content-Encoding"] = "gzip"
    again = await api.call("POST", "/tags/", data=gzip.compress(TAG), headers=headers)
    assert (again.status, again.body) == (first.status, first.body)


# 100 Continue


def awaiting(path: str, *fields: str, length: int = 15, **given: Any) -> bytes:
    fields = (*fields, "Expect: 100-continue", f"Content-Length: {length}")
    return request(path, *fields, **{"method": "POST", **given})


REFUSED_UNASKED: dict[str, tuple[bytes, int]] = {
    "no login": (awaiting("/tags/", by=None), 401),
    "no such URL": (awaiting("/nothing/"), 404),
    "no login and no such URL": (awaiting("/nothing/", by=None), 401),
    "a method that is not allowed": (awaiting("/jobs/"), 405),
    "a GET": (awaiting("/tags/", method="GET"), 200),
    "too long": (awaiting("/tags/", length=BODY_BYTES + 1), 413),
    "an encoding that is unknown": (awaiting("/tags/", "Content-Encoding: br"), 415),
    "an upload that is a form": (
        awaiting("/drives/upload/", "Content-Type: multipart/form-data; boundary=b"),
        415,
    ),
    "a link that is forged": (awaiting("/uploads/forged/", by=None), 403),
}


@in_turn(("sent", "status"), REFUSED_UNASKED.values())
async def test_a_body_that_nobody_wants_is_not_asked_for(
    api: Api, sent: bytes, status: int
) -> None:
    """The client is told at once; as it may send the body or not, the connection is closed."""
    async with line(api.client.server) as bare:
        bare.send(sent)
        answer = await bare.answer()
        assert answer.status == status
        assert answer.headers["Connection"] == "close"
        assert await bare.end() == b""


async def asked(bare: Line) -> None:
    assert await bare.line() == CONTINUE
    assert await bare.line() == b"\r\n"


@pytest.mark.parametrize("fields", [(), ("Idempotency-Key: once",)])
async def test_a_body_that_is_wanted_is_asked_for(api: Api, fields: tuple[str, ...]) -> None:
    """The client sends it then, and the connection goes on."""
    async with line(api.client.server) as bare:
        for _ in range(2):
            bare.send(awaiting("/tags/", *fields))
            await asked(bare)
            bare.send(TAG)
            assert (await bare.answer()).status == 201


async def test_uploads_are_asked_for(api: Api) -> None:
    """An image, a chunk by its link, and a chunk in a form: each once somebody takes it in."""
    size = 16 * 1024
    upload = {"name": "birch", "media": "disk", "size": size}
    (drive,) = (await api.post("/initupload/", upload)).json["objects"]
    wanted = {"chunk_number": 0, "chunk_size": size}
    path = f"/drives/{drive['uuid']}/"
    link = (await api.post(f"{path}action/?do=upload_chunk", wanted)).json["link"]
    form = (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=blob\r\n\r\n"
        + bytes(size)
        + b"\r\n--b--\r\n"
    )
    said = f"resumableChunkNumber=1&resumableChunkSize={size}&resumableTotalSize={size}"
    multipart = "Content-Type: multipart/form-data; boundary=b"
    async with line(api.client.server) as bare:
        for head, body in (
            (awaiting("/drives/upload/", length=size), bytes(size)),
            (awaiting(f"{path}upload/?{said}", multipart, length=len(form)), form),
            (awaiting(link.removeprefix("/api/2.0"), length=size, by=None), bytes(size)),
        ):
            bare.send(head)
            if "uploads" not in head.decode():
                await asked(bare)
                bare.send(body)
                assert (await bare.answer()).status == 200
        # The chunk is there by now: it is not asked for again.
        assert (await bare.answer()).status == 416


async def test_an_old_client_is_not_asked(api: Api) -> None:
    """HTTP/1.0 knows no `100 Continue`."""
    async with line(api.client.server) as bare:
        bare.send(awaiting("/tags/").replace(b"HTTP/1.1", b"HTTP/1.0") + TAG)
        assert (await bare.answer()).status == 201


# Speed


@pytest.mark.parametrize("limits", [Limits(body_seconds=SHORT_S, body_silence_seconds=0)])
@pytest.mark.parametrize("path", ["/tags/", "/accounts/action/?do=login"])
async def test_a_body_that_drips(api: Api, path: str) -> None:
    """A body has a time in which all of it must come."""
    async with line(api.client.server) as bare:
        bare.send(request(path, "Content-Length: 100000", method="POST"))
        dripping = asyncio.create_task(drip(bare))
        answer = await bare.answer()
        assert (answer.status, answer.message) == (408, f"the body took longer than {SHORT_S} s")
        await bare.end()
        dripping.cancel()


@pytest.mark.parametrize("limits", [Limits(bytes_per_second=10**9)])
@pytest.mark.parametrize("is_form", [False, True])
async def test_an_upload_that_drips(
    api: Api, monkeypatch: pytest.MonkeyPatch, *, is_form: bool
) -> None:
    """An upload may take long, but not for ever: it has a least speed."""
    monkeypatch.setattr(bodies, "WINDOW_S", SHORT_S)
    upload = {"name": "birch", "media": "disk", "size": 16 * 1024}
    (drive,) = (await api.post("/initupload/", upload)).json["objects"]
    path = f"/drives/{drive['uuid']}/upload/" if is_form else "/drives/upload/"
    fields = ("Content-Type: multipart/form-data; boundary=b",) if is_form else ()
    async with line(api.client.server) as bare:
        bare.send(request(path, "Content-Length: 100000", *fields, method="POST"))
        dripping = asyncio.create_task(drip(bare))
        answer = await bare.answer()
        assert answer.status == 408
        assert answer.message == "an upload must send 1000000000 bytes/s"
        await bare.end()
        dripping.cancel()


async def drip(bare: Line) -> None:
    """The attack: a byte now and then."""
    while True:
        bare.send(b"-")
        await asyncio.sleep(SHORT_S / 10)


class Incoming:
    """A body that comes at a speed of the test's own, by a clock of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.app = {LIMITS: Limits()}
        self.content = SimpleNamespace(total_bytes=0)
        monkeypatch.setattr(bodies, "monotonic", lambda: self.now)

    async def come(self, seconds: float, count: int) -> None:
        self.now += seconds
        self.content.total_bytes += count


@pytest.fixture
def incoming(monkeypatch: pytest.MonkeyPatch) -> Incoming:
    return Incoming(monkeypatch)


ENOUGH = 16 * 1024 * 30


async def test_an_upload_may_take_hours(incoming: Incoming) -> None:
    """As long as half a minute brings enough, wherever in it that comes."""
    pace = upload_pace(cast(web.Request, incoming))
    for _ in range(1_000):
        await pace.wait(incoming.come(29, 0))
        await pace.wait(incoming.come(1, ENOUGH))


@pytest.mark.parametrize("before", [0, 1, 100])
async def test_an_upload_that_becomes_too_slow(incoming: Incoming, before: int) -> None:
    """That it was faster before does not help."""
    pace = upload_pace(cast(web.Request, incoming))
    for _ in range(before):
        await pace.wait(incoming.come(30, 100 * ENOUGH))
    await pace.wait(incoming.come(29, ENOUGH - 1))
    with pytest.raises(RequestRefused, match="16384 bytes/s"):
        await pace.wait(incoming.come(1, 0))


async def test_the_time_of_the_service_is_not_the_clients(incoming: Incoming) -> None:
    """While a disk is busy, nothing is waited for, and nothing is too slow."""
    pace = upload_pace(cast(web.Request, incoming))
    for _ in range(100):
        await pace.wait(incoming.come(0.1, 1))
        incoming.now += 1_000

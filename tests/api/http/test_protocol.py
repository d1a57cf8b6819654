"""Bytes on a bare connection: whatever they are, the answer is the API's JSON."""

import asyncio
import base64
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from aiohttp import web, web_protocol
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from api.app import make_app
from api.http.wire.server import ApiRunner
from api.service.service import Service
from tests.api.calling import ALICE
from tests.harness.cases import in_turn
from tests.support.wait import patience

LOGIN = b"Authorization: Basic " + base64.b64encode(f"{ALICE.email}:password".encode()) + b"\r\n"
HOST = b"Host: localhost\r\n"
POST = b"POST /api/2.0/tags/ HTTP/1.1\r\n" + HOST + LOGIN


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


Talk = Callable[[bytes], Awaitable[Answer]]


@pytest.fixture
async def port(service: Service) -> AsyncIterator[int]:
    """Where the service listens, as `job-ledger serve` has it."""
    runner = ApiRunner(make_app(service), prefix="unread")
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
def talk(port: int) -> Talk:
    """Sends bytes and reads one answer."""

    async def talking(sent: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with patience("the answer"):
                writer.write(sent)
                return await _read(reader)
        finally:
            writer.close()
            await writer.wait_closed()

    return talking


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return Answer(int(head[0].split()[1]), headers, body)


def check_is_refused(answer: Answer, status: int = 400) -> None:
    """In the one form that errors have, with a name of its own."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Request-ID"]
    (error,) = json.loads(answer.body)
    assert set(error) == {"error_type", "error_message", "error_point"}
    assert (error["error_type"], error["error_point"]) == ("validation", None)


UNREADABLE = {
    "a URL that is too long": b"GET /api/2.0/" + b"x" * 9_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header that is too long": POST + b"X-Long: " + b"x" * 9_000 + b"\r\n\r\n",
    "too many headers": POST + b"".join(b"X-%d: x\r\n" % nth for nth in range(300)) + b"\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "an unknown method": b"BREW /api/2.0/drives/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in small letters": b"get /api/2.0/drives/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP of another kind": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a bad version": b"GET /api/2.0/drives/ HTTP/9.9\r\n" + HOST + b"\r\n",
    "a header without a colon": POST + b"Content-Length 3\r\n\r\n",
    "a header with a bad name": POST + b"X Y: z\r\n\r\n",
    "a header with a control character": POST + b"X-Name: a\x00b\r\n\r\n",
    "a length that is none": POST + b"Content-Length: many\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "an unknown transfer encoding": POST + b"Transfer-Encoding: smoke\r\n\r\n{}",
    "two hosts": POST + HOST + b"\r\n",
    "a URL of two": b"GET http://[::1/ HTTP/1.1\r\n" + HOST + b"\r\n",
}


@in_turn("sent", UNREADABLE.values())
async def test_a_malformed_request_is_answered_in_json(talk: Talk, sent: bytes) -> None:
    """The parser's own words quote what was sent, and are for the log only."""
    answer = await talk(sent)
    check_is_refused(answer)
    assert b"b'" not in answer.body


UNDERSTOOD_IN_PYTHON = {"an unknown method", "a method in small letters", "a bad version"}
"""What aiohttp's parser in Python takes for a request, which is then answered like any other."""


@pytest.mark.parametrize(
    ("parser", "understood"),
    [(HttpRequestParser, set()), (HttpRequestParserPy, UNDERSTOOD_IN_PYTHON)],
    ids=["compiled", "in Python"],
)
async def test_what_is_no_http_is_answered_alike_on_any_path_by_either_parser(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, parser: type, understood: set[str]
) -> None:
    """The path is not known then. aiohttp parses in Python where it has not been compiled."""
    monkeypatch.setattr(web_protocol, "HttpRequestParser", parser)
    for path in (b"/api/2.0/", b"/api/v1/", b"/"):
        for what in UNREADABLE.keys() - understood:
            answer = await talk(UNREADABLE[what].replace(b"/api/2.0/", path))
            check_is_refused(answer)
            assert b"b'" not in answer.body


@pytest.mark.parametrize("what", ["a URL that is too long", "a header that is too long"])
async def test_a_url_or_header_that_is_too_long_is_refused_as_such(talk: Talk, what: str) -> None:
    """It is the one thing that clients do by mistake."""
    assert b"too long" in (await talk(UNREADABLE[what])).body


BAD_BODIES = {
    "not what it is said to be": (b"Content-Encoding: gzip\r\n", b"no gzip"),
    "cut short in the compression": (
        b"Content-Encoding: gzip\r\n",
        gzip.compress(b'{"name": "elm"}')[:-12],
    ),
    "of bad chunks": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("header", "body"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_body_that_cannot_be_read(talk: Talk, header: bytes, body: bytes) -> None:
    """The head was a request, so a handler answers."""
    if b"chunked" not in header:
        header += b"Content-Length: %d\r\n" % len(body)
    check_is_refused(await talk(POST + header + b"\r\n" + body))


@pytest.mark.parametrize("encoding", [b"smoke", b"gzip, gzip"])
async def test_a_body_of_an_unknown_encoding(talk: Talk, encoding: bytes) -> None:
    """It is not taken for what it would be without."""
    head = POST + b"Content-Encoding: " + encoding + b"\r\nContent-Length: 15\r\n\r\n"
    check_is_refused(await talk(head + b'{"name": "elm"}'), 415)


async def test_a_body_of_a_known_encoding(talk: Talk) -> None:
    """It is taken for what was compressed."""
    body = gzip.compress(b'{"name": "elm"}')
    head = POST + b"Content-Encoding: GZip\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert (await talk(head + body)).status == 201


@pytest.mark.parametrize("path", [b"tags/", b"nothing/", b"drives/upload/"])
async def test_an_unknown_expect_header(talk: Talk, path: bytes) -> None:
    """It is refused before any handler is asked; the client's name for the request is kept."""
    head = b"POST /api/2.0/" + path + b" HTTP/1.1\r\n" + HOST + LOGIN
    answer = await talk(head + b"X-Request-ID: mine\r\nExpect: rain\r\nContent-Length: 2\r\n\r\n{}")
    check_is_refused(answer, 417)
    assert answer.headers["X-Request-ID"] == "mine"


async def test_a_known_expect_header(port: int) -> None:
    """The body is asked for, and then the answer is as always."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with patience("the answer"):
        writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 15\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"name": "elm"}')
        assert (await _read(reader)).status == 201
    writer.close()
    await writer.wait_closed()


async def test_a_malformed_request_closes_the_connection(port: int) -> None:
    """A good request before it is answered; what comes behind it is not looked at."""
    good = b"GET /api/2.0/tags/ HTTP/1.1\r\n" + HOST + LOGIN + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with patience("the answer"):
        writer.write(good)
        assert (await _read(reader)).status == 200
        writer.write(UNREADABLE["a length that is none"] + good)
        check_is_refused(await _read(reader))
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_each_request_has_its_own_id(talk: Talk) -> None:
    """One can be told from another in what a client reports."""
    names = {(await talk(UNREADABLE["no HTTP"])).headers["X-Request-ID"] for _ in range(3)}
    assert len(names) == 3


async def test_an_error_outside_the_middleware(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an unknown error like those inside, and the log has the rest."""
    app = make_app(service)

    @web.middleware
    async def broken(request: web.Request, handler: object) -> web.StreamResponse:
        raise KeyError("kettle")

    app.middlewares.insert(0, broken)
    runner = ApiRunner(app, prefix="unread")
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    with caplog.at_level(logging.ERROR):
        writer.write(b"GET /api/2.0/tags/ HTTP/1.1\r\n" + HOST + b"\r\n")
        async with patience("the answer, and the end of the connection"):
            answer = await _read(reader)
            assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
    assert (answer.status, json.loads(answer.body)[0]["error_type"]) == (500, "backend")
    assert answer.headers["X-Request-ID"]
    assert "kettle" in caplog.text
    assert b"kettle" not in answer.body

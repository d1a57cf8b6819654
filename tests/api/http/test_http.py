"""What holds for every URL: tests/contract/CONTRACT.md 0 and 4.1 to 4.4."""

import asyncio
import json
import logging
import zlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NoReturn

import aiohttp
import pytest
from aiohttp import web

from api.accounts.service import TooManyAttempts
from api.http.errors import answer_to
from api.http.wire.bodies import BODY_BYTES
from api.service.limits import Limits
from ledger.domain.errors import Invalid, NotFound, Refusal, WrongState
from ledger.domain.errors.pools import NoPools, NotMeasured, PoolsFull, PoolSilent
from ledger.domain.errors.quotas import LedgerBytesSpent, QuotaExceeded, TooManyUploads
from ledger.domain.errors.store import ConcurrentChange, ReadCut, StoreFailed, StoreFull
from ledger.domain.errors.uploads import ChunkPresent
from ledger.images.errors import PoolFull
from ledger.store.seam import Batch, StampsRefused
from projections.views.snapshot import Snapshot
from tests.api.calling import (
    ALICE,
    AUDITOR,
    DRIVE,
    ROOT,
    UNKNOWN,
    Api,
    authorization,
)
from tests.harness.cases import in_turn
from tests.support.wait import patience, wait_until

URLS = {
    "/jobs/": "GET",
    "/jobs/detail/": "GET",
    "/jobs/schema/": "GET",
    f"/jobs/{UNKNOWN}/": "GET",
    "/drives/": "GET,PUT,DELETE,POST",
    "/drives/detail/": "GET",
    "/drives/schema/": "GET",
    f"/drives/{UNKNOWN}/": "GET,PUT,DELETE",
    "/drives/availability_groups/": "GET",
    f"/drives/availability_groups/{UNKNOWN}/": "GET",
    f"/drives/{UNKNOWN}/action/": "POST",
    f"/drives/{UNKNOWN}/download/": "GET",
    "/drives/upload/": "POST",
    "/drives/upload/some%20name/": "POST",
    "/servers/": "GET,PUT,DELETE,POST",
    "/servers/detail/": "GET",
    "/servers/schema/": "GET",
    f"/servers/{UNKNOWN}/": "GET,PUT,DELETE",
    "/servers/availability_groups/": "GET",
    f"/servers/availability_groups/{UNKNOWN}/": "GET",
    f"/servers/{UNKNOWN}/runtime/": "GET",
    f"/servers/{UNKNOWN}/action/": "POST",
    f"/jobs/{UNKNOWN}/action/": "POST",
    "/tags/": "GET,POST",
    "/tags/detail/": "GET",
    "/tags/schema/": "GET",
    f"/tags/{UNKNOWN}/": "GET,PUT,DELETE",
    f"/tags/{UNKNOWN}/drives/": "GET",
    f"/tags/{UNKNOWN}/servers/detail/": "GET",
    "/keypairs/": "GET,POST",
    "/keypairs/detail/": "GET",
    "/keypairs/schema/": "GET",
    f"/keypairs/{UNKNOWN}/": "GET,PUT,DELETE",
    "/pubkeys/": "GET",
    f"/pubkeys/{UNKNOWN}/": "GET",
    "/ips/": "GET",
    "/ips/10.0.0.1/": "GET",
    "/libdrives/": "GET",
    "/libdrives/detail/": "GET",
    "/libdrives/schema/": "GET",
    f"/libdrives/{UNKNOWN}/": "GET",
    f"/libdrives/{UNKNOWN}/action/": "POST",
    "/profile/": "GET,PUT",
    "/profile/schema/": "GET",
    "/logs/": "GET",
}


# URLs and methods


@in_turn("path", list(URLS))
async def test_options_names_the_methods(api: Api, path: str):
    """OPTIONS is a 200 with the methods as plain text, with or without the last slash."""
    for url in (path, path.rstrip("/")):
        answer = await api.call("OPTIONS", url)
        assert (answer.status, answer.body.decode()) == (200, URLS[path])
        assert answer.headers["Content-Type"].startswith("text/plain")


@in_turn("path", list(URLS))
async def test_other_methods_are_not_allowed(api: Api, path: str):
    """A method that a URL does not have is a 405 with Allow, in the form of every error."""
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(URLS[path].split(",")):
        answer = await api.call(method, path)
        assert answer.error == (405, "validation", None)
        assert set(URLS[path].split(",")) < set(answer.headers["Allow"].split(","))


@in_turn("path", list(URLS))
async def test_the_last_slash_is_optional(api: Api, path: str):
    """Both forms of a URL give the same answer; there is no redirect."""
    for method in URLS[path].split(","):
        with_slash = await api.call(method, path)
        without = await api.call(method, path.rstrip("/"))
        assert with_slash.status == without.status
        assert with_slash.status not in {301, 302, 307, 308, 405}
        assert without.status < 500
        if "schema" not in path:
            assert with_slash.body == without.body


@pytest.mark.parametrize("path", ["/nothing/", "//jobs/", f"/jobs/{UNKNOWN}/x/"])
async def test_unknown_urls_do_not_exist(api: Api, path: str):
    """A URL that there is not is a 404, whatever the method."""
    for method in ("GET", "POST", "OPTIONS", "PUT"):
        assert (await api.call(method, path)).error == (404, "notexist", None)
    assert (await api.get("/api/2.0x/jobs/")).status == 404


@in_turn("kind", ["jobs", "drives", "servers"])
@in_turn("name", ["detail", "schema", "upload", "availability_groups"])
async def test_static_names_are_not_uuids(api: Api, kind: str, name: str):
    """No method takes the name of another URL for a uuid."""
    for method in ("GET", "DELETE", "PUT", "OPTIONS"):
        answer = await api.call(method, f"/{kind}/{name}/")
        assert b"uuid detail" not in answer.body
        assert name.encode() not in answer.body


async def test_head_is_get_without_a_body(api: Api):
    """HEAD gives GET's status without a body, for streamed lists too."""
    for path in ("/jobs/", "/jobs/?limit=0", f"/jobs/{UNKNOWN}/"):
        head = await api.call("HEAD", path)
        assert (head.status, head.body) == ((await api.get(path)).status, b"")
    assert (await api.get("/jobs/")).status == 200


# Logging in


@in_turn("path", [*URLS, "/nothing/"])
async def test_every_url_needs_a_login(api: Api, path: str):
    """Without credentials, or with wrong ones, any URL is a 401 that offers Basic."""
    for header in ({}, {"Authorization": "Basic nonsense"}, {"Authorization": "Bearer x"}):
        for method in ("GET", "POST", "OPTIONS"):
            answer = await api.call(method, path, by=None, headers=header)
            assert answer.error == (401, "permission", None)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="users"'


def test_too_many_logins_are_told_when_to_retry():
    """After too many wrong logins the answer is a 429 with Retry-After in whole seconds."""
    answer = answer_to(TooManyAttempts(4.2))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "5")


async def test_an_auditor_changes_nothing(api: Api):
    """An auditor may get everything; every POST, PUT and DELETE is a 403 for want of permission."""
    assert (await api.get("/jobs/", by=AUDITOR)).status == 200
    for path, methods in URLS.items():
        for method in {"POST", "PUT", "DELETE"} & set(methods.split(",")):
            answer = await api.call(method, path, json=DRIVE, by=AUDITOR)
            assert answer.error == (403, "permission", None)
            assert answer.headers["X-Ledger-Refusal"] == "permission"
    assert (await api.call("PUT", "/jobs/", by=AUDITOR)).status == 405


# Formats


@in_turn(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/*;q=0.1",
        "APPLICATION/JSON; charset=utf-8",
        "application/xml, application/json",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/xml, */*;q=0.01",
    ],
)
async def test_json_is_the_only_format(api: Api, accept: str | None):
    """A client that accepts JSON, alone or among others, gets it."""
    headers = {} if accept is None else {"Accept": accept}
    answer = await api.get("/jobs/", headers=headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@in_turn(
    "accept",
    ["application/xml", "text/html", "application/json;q=0", "*/*; q=0.000", "nonsense", ",", ";"],
)
async def test_other_formats_are_refused(api: Api, accept: str):
    """A client that does not accept JSON gets a 406, and nothing is done."""
    answer = await api.get("/jobs/", headers={"Accept": accept})
    assert answer.error == (406, "validation", None)
    answer = await api.post("/drives/", DRIVE, headers={"Accept": accept})
    assert answer.status == 406
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [("format=json", 200), ("format=xml&format=json", 200), ("format=json&format=xml", 406)],
)
async def test_format_beats_accept(api: Api, query: str, status: int):
    """On a GET the last `format` decides, whatever the header says."""
    for accept in ("application/xml", "application/json"):
        answer = await api.get(f"/jobs/?{query}", headers={"Accept": accept})
        assert answer.status == status


# Bodies


@in_turn(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("text/plain", 415),
        ("application/xml", 415),
        ("application/x-www-form-urlencoded", 415),
        ("nonsense", 415),
    ],
)
async def test_bodies_are_json(api: Api, content_type: str, status: int):
    """A body that is declared to be something other than JSON is a 415."""
    answer = await api.call(
        "POST", "/drives/", data=json.dumps(DRIVE), headers={"Content-Type": content_type}
    )
    assert answer.status == status
    if status == 415:
        assert answer.error == (415, "validation", None)


Sent = Callable[[], Awaitable[None]]


async def raw(api: Api, request: bytes, *pieces: bytes, when: Sent | None = None) -> bytes:
    """Sends bytes, then the other pieces `when` each may come; reads until the server closes."""
    server = api.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(request)
        for piece in pieces:
            assert when is not None
            await when()
            writer.write(piece)
        async with patience("the answer, and the end of the connection"):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def head(method: str, path: str, *fields: str) -> bytes:
    lines = (
        f"{method} {ROOT}{path} HTTP/1.1",
        "Host: test",
        f"Authorization: {authorization(ALICE)}",
        *fields,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_missing_content_type_is_fine(api: Api):
    """A body without a Content-Type is taken for JSON."""
    body = json.dumps(DRIVE)
    request = head("POST", "/drives/", f"Content-Length: {len(body)}", "Connection: close")
    assert b" 201 " in await raw(api, request + body.encode())


async def test_an_empty_body_may_have_any_type(api: Api):
    """Without a body its Content-Type does not matter."""
    source = await api.drive()
    answer = await api.call(
        "POST",
        f"/drives/{source}/action/?do=clone",
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status == 202


async def test_bodies_are_bounded(api: Api):
    """A body over 256 KiB is a 413, declared or in chunks, and also when it is compressed."""
    small = json.dumps({**DRIVE, "x": ""})
    most = json.dumps({**DRIVE, "x": "x" * (BODY_BYTES - len(small))})
    assert len(most) == BODY_BYTES
    headers = {"Content-Type": "application/json"}
    assert (await api.call("POST", "/drives/", data=most, headers=headers)).status == 201
    answer = await api.call("POST", "/drives/", data=most + " ", headers=headers)
    assert answer.error == (413, "validation", None)

    async def chunks() -> Any:
        for _ in range(5):
            yield b" " * (BODY_BYTES // 4)

    answer = await api.call("POST", "/drives/", data=chunks(), headers=headers)
    assert answer.error == (413, "validation", None)
    bomb = zlib.compress(b" " * (20 * BODY_BYTES))
    packed = {**headers, "Content-Encoding": "deflate"}
    answer = await api.call("POST", "/drives/", data=bomb, headers=packed)
    assert answer.error == (413, "validation", None)


async def test_a_body_that_is_badly_encoded(api: Api):
    """A body that cannot be unpacked is a 400."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
    answer = await api.call("POST", "/drives/", data=b"nonsense" * 10, headers=headers)
    assert answer.status == 400


@pytest.mark.parametrize("limits", [Limits(body_silence_seconds=0.1)])
@pytest.mark.parametrize("path", ["/drives/", "/drives/upload/"])
async def test_a_body_that_stalls_is_cut_off(api: Api, path: str):
    """A body that sends nothing for a while is a 408, and the connection is closed."""
    answer = await raw(api, head("POST", path, "Content-Length: 100") + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    (error,) = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert error["error_type"] == "validation"
    assert api.files() == set()


async def test_a_body_that_ends_early_changes_nothing(api: Api):
    """A client that goes away in the middle of a body has changed nothing."""
    body = json.dumps(DRIVE).encode()
    server = api.client.server
    others = set(server.handler.connections)
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head("POST", "/drives/", f"Content-Length: {len(body) + 1}") + body)
    await wait_until("it has come", lambda: set(server.handler.connections) - others)
    (connection,) = set(server.handler.connections) - others
    await wait_until("it is being handled", lambda: connection._current_request)
    writer.close()
    await writer.wait_closed()
    await wait_until("it is given up", lambda: connection not in server.handler.connections)
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


# Request ids


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 64])
async def test_a_request_keeps_its_id(api: Api, given: str):
    """A fit X-Request-ID is in the answer and in the envelope of every event."""
    headers = {"X-Request-ID": given}
    for path in ("/jobs/", "/jobs/?limit=0", "/nothing/", f"/jobs/{UNKNOWN}/"):
        assert (await api.get(path, headers=headers)).headers["X-Request-ID"] == given
    answer = await api.post("/drives/", DRIVE, headers=headers)
    assert answer.headers["X-Request-ID"] == given
    answer = await api.get("/jobs/", by=None, headers=headers)
    assert answer.headers["X-Request-ID"] == given


@in_turn("given", [None, "", "x" * 65, "a b", "é", "a/b", "a;b"])
async def test_an_unfit_request_id_is_replaced(api: Api, given: str | None):
    """Without a fit X-Request-ID one is drawn, another for each request."""
    headers = {} if given is None else {"X-Request-ID": given}
    drawn = {(await api.get("/jobs/", headers=headers)).headers["X-Request-ID"] for _ in range(3)}
    assert len(drawn) == 3
    assert given not in drawn
    assert all(0 < len(name) <= 64 for name in drawn)


# Errors


async def test_unexpected_errors_are_not_shown(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """What nobody expected is a 500 `unknown error`; the log has it, the answer does not."""

    def fail(*_: object) -> NoReturn:
        raise ValueError("secret detail")

    for module in ("handlers", "recorded"):
        monkeypatch.setattr(f"api.resources.jobs.{module}.represent_job", fail)
    job = await api.job()
    answer = await api.get(f"/jobs/{job}/")
    assert answer.error == (500, "backend", None)
    assert answer.json[0]["error_message"] == "unknown error"
    assert b"secret" not in answer.body
    assert "secret detail" in caplog.text
    caplog.clear()
    assert (await api.get("/jobs/?limit=0")).error == (500, "backend", None)


@pytest.mark.usefixtures("always_streamed")
async def test_a_list_that_breaks_off_does_not_look_complete(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """If reading fails in the middle of a streamed list, the connection is cut."""
    whole = Snapshot.batches

    def broken(self: Snapshot, *given: Any, **named: Any) -> Any:
        yield from whole(self, *given, **named)
        raise StoreFailed("the disk is gone")

    monkeypatch.setattr(Snapshot, "batches", broken)
    await api.job()
    with pytest.raises(aiohttp.ClientError), caplog.at_level(logging.CRITICAL):
        await api.get("/jobs/?limit=0")


def leaves(kind: type[Exception]) -> list[type[Exception]]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in leaves(each)] if below else [kind]


@pytest.mark.parametrize("refusal", leaves(Refusal))
def test_every_refusal_has_a_status(refusal: type[Refusal]):
    """Whatever the ledger refuses has a status of its own, never a 500."""
    kinds = {
        NotFound: (404, "notexist"),
        WrongState: (403, "permission"),
        Invalid: (400, "validation"),
        ChunkPresent: (416, "validation"),
        ConcurrentChange: (503, "concurrency"),
        PoolsFull: (507, "backend"),
        NoPools: (503, "backend"),
        PoolSilent: (503, "backend"),
        NotMeasured: (503, "backend"),
        QuotaExceeded: (403, "quota"),
        TooManyUploads: (429, "quota"),
        LedgerBytesSpent: (507, "quota"),
    }
    error = refusal.__new__(refusal, "why")
    Exception.__init__(error, "why")
    answer = answer_to(error)
    (expected,) = [kinds[kind] for kind in kinds if issubclass(refusal, kind)]
    (body,) = json.loads(answer.body)
    assert (answer.status, body["error_type"]) == expected


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (StoreFailed("disk /secret/path"), 503, "backend"),
        (ReadCut(), 503, "backend"),
        (PoolFull("/secret/path"), 507, "backend"),
        (StoreFull(), 507, "backend"),
        (web.HTTPExpectationFailed(), 417, "validation"),
    ],
)
def test_other_errors(error: Any, status: int, error_type: str):
    """Errors of the store or a pool are answered without paths."""
    answer = answer_to(error)
    (body,) = json.loads(answer.body)
    assert (answer.status, body["error_type"]) == (status, error_type)
    assert "secret" not in body["error_message"]


async def test_without_the_stores_time_nothing_is_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    """If all stamps are refused for a minute, the answer says so; then the service goes on.

    Stamps that are refused once, whenever that is, are no reason.
    """
    writer, minutes = api.service.ledger._writer, count(step=61)
    append, refusals = writer._store.append, iter([True, True, False, True])

    def refuse(batch: Batch) -> int:
        if next(refusals, False):
            raise StampsRefused
        return append(batch)

    monkeypatch.setattr(writer._group, "_elapsed_s", lambda: next(minutes))
    monkeypatch.setattr(writer._store, "append", refuse)
    refused = await api.post("/drives/", DRIVE)
    assert refused.error == (503, "backend", None)
    assert refused.json[0]["error_message"].startswith("nothing was recorded: the database's clock")
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0
    assert [(await api.post("/drives/", DRIVE)).status for _ in range(2)] == [201, 201]


async def test_the_point_of_a_refusal_is_shown(api: Api):
    """A refusal that names a field shows it as the error's point."""
    answer = await api.post("/drives/", {**DRIVE, "storage_type": "tape"})
    assert answer.error == (400, "validation", "storage_type")


async def test_the_caller_is_in_the_envelope(api: Api):
    """Every event of a request says whose it was and what it was called."""
    await api.post("/drives/", DRIVE, headers={"X-Request-ID": "my-request"})
    with api.service.ledger.log() as log:
        states = [event.state for event in log.events()]
    assert any(b"my-request" in state and ALICE.uuid.encode() in state for state in states)

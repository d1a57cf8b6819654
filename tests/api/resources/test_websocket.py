"""The websocket: tests/contract/CONTRACT.md 4.5."""

import asyncio
import gc
import socket as sockets
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from api.accounts.service import Account
from api.accounts.websocket_cookie import AsyncCookies, CookieHolder
from api.app import make_app
from api.composition import open_service
from api.http.edge.same_origin import is_same_origin
from api.http.wire.websocket_frames import close_frame
from api.resources import websocket
from api.resources.frames import frames
from api.service.clocks import now
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import FailJob, StartAttempt, SucceedJob, UpdateProgress
from projections import estimates
from projections.feed.feed import Feed, Frames
from tests.api.calling import ALICE, AUDITOR, BOB, DRIVE, KEYPAIR, SERVER, Api, KnownAccounts
from tests.api.listening import Listener, cookie, listening
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.wait import PATIENCE_S, patience, wait_until

MIB = 1024**2
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CLOSE_OF_CLIENT = bytes.fromhex("88 82 00 00 00 00 03 e8")


@pytest.fixture
async def listener(api: Api) -> AsyncIterator[Listener]:
    async with listening(api) as listener:
        yield listener


def uri(kind: str, uuid: str) -> str:
    return f"/api/2.0/{kind}/{uuid}/"


async def forgotten(service: Service, account: Account = ALICE) -> None:
    """Until nobody follows the account."""
    await wait_until("nobody follows", lambda: account.uuid not in service.feed._subscribers)


# What is sent


@in_turn("path", ["/websocket", "/2.0/websocket", "/api/2.0/websocket"])
@in_turn("slash", ["", "/"])
async def test_the_three_paths(api: Api, path: str, slash: str) -> None:
    """Documented, configured by clients and where all else is; with a slash at the end or not."""
    async with listening(api, path=path + slash) as listener:
        drive = await api.drive()
        # A frame of the drive before may come first: the feed may not have told of it yet.
        await listener.until(lambda frame: frame.uri == uri("drives", drive))


async def test_a_frame_shows_what_get_answers(api: Api, listener: Listener) -> None:
    """Type, uri and the whole object, of drives, servers and jobs alike."""
    source = await api.drive(meta={"tree": "cedar"}, name="ceðar")
    server = await api.server(source)
    _, job = await api.clone(source)
    seen = {frame.uri: frame for frame in await listener.everything(api)}
    for kind, uuid in (("drives", source), ("servers", server), ("jobs", job)):
        frame = seen[uri(kind, uuid)]
        assert frame.type == kind
        assert frame.shown == (await api.get(frame.uri)).json


async def test_a_drive_from_creation_to_deletion(api: Api, listener: Listener) -> None:
    """A frame for each status; the last one has no object and comes when GET answers 404."""
    drive = await api.drive()
    created = await listener.until_status(uri("drives", drive), "unmounted")
    assert [frame.status for frame in created] in (["creating", "unmounted"], ["unmounted"])
    deleting = asyncio.create_task(api.delete(f"/drives/{drive}/"))
    *_, frame = await listener.until(lambda frame: frame.shown is None)
    assert (frame.type, frame.uri) == ("drives", uri("drives", drive))
    assert (await api.get(frame.uri)).status == 404
    assert (await deleting).status == 204


async def test_a_server_from_creation_to_deletion(api: Api, listener: Listener) -> None:
    """There are frames of the server, and of the drives that it mounts or no longer mounts."""
    drive = await api.drive()
    server = await api.server(drive)
    told = (await listener.everything(api))[-2:]
    assert {frame.uri: frame.status for frame in told} == {
        uri("servers", server): "stopped",
        uri("drives", drive): "mounted",
    }
    await api.delete(f"/servers/{server}/?recurse=all_drives")
    told = await listener.everything(api)
    assert {frame.uri: frame.status for frame in told} == {
        uri("servers", server): None,
        uri("drives", drive): None,
    }


async def test_a_clone_is_followed_to_its_end(api: Api, listener: Listener) -> None:
    """Job, source and destination; the source is free no later than the destination is ready."""
    source = await api.drive()
    await listener.everything(api)
    clone, job = await api.clone(source)
    begun = {frame.uri: frame.status for frame in await listener.everything(api)}
    assert begun == {
        uri("jobs", job): "started",
        uri("drives", source): "cloning_src",
        uri("drives", clone): "cloning_dst",
    }
    await api.begin(job)
    await api.do(UpdateProgress(job, 1, 40, 4, 10, 4))
    told = await listener.until(lambda frame: frame.shown["data"]["progress"] == 40)
    assert {frame.uri for frame in told} == {uri("jobs", job)}
    ending = asyncio.create_task(api.succeed_begun(job))
    await listener.until_status(uri("drives", clone), "unmounted")
    assert (await api.get(f"/drives/{source}/")).json["status"] == "unmounted"
    await ending


async def test_a_get_shows_each_frame_already(api: Api, listener: Listener) -> None:
    """A GET that is sent when a frame comes answers at least what the frame says."""

    async def work(nth: int) -> None:
        drive = await api.drive(name=f"d{nth}")
        clone, job = await api.clone(drive)
        await api.begin(job)
        for progress in range(0, 100, 20):
            await api.do(UpdateProgress(job, 1, progress))
        await api.succeed_begun(job)
        for uuid in (drive, clone):
            await api.delete(f"/drives/{uuid}/")

    working = asyncio.gather(*map(work, range(10)))
    gone: set[str] = set()
    while len(gone) < 20:
        frame = await listener.frame()
        answer = await api.get(frame.uri)
        if frame.shown is None:
            assert answer.status == 404
            gone.add(frame.uri)
        elif frame.type == "jobs":
            assert answer.json["last_modified"] >= frame.shown["last_modified"]
            assert answer.json["data"]["progress"] >= frame.shown["data"]["progress"]
        elif answer.status == 200 and frame.status in {"unmounted", "cloning_src"}:
            assert answer.json["status"] in {"unmounted", "cloning_src"}
    await working


async def test_frames_alone_give_the_whole_state(tmp_path: Path) -> None:
    """The last frames of all resources equal what GET answers, whatever is changed."""
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        ada = await service.accounts.add("ada@example.test", "password")
        async with TestClient(ApiServer(make_app(service))) as client:
            api = Api(client, service)
            async with listening(api, ada) as listener:
                await _change_everything(Picture(api, ada, listener))


class Picture:
    """What there is, by frames alone, and requests that change it."""

    def __init__(self, api: Api, account: Account, listener: Listener) -> None:
        self._api = api
        self._account = account
        self._listener = listener
        self._seen: dict[str, object] = {}

    async def after(self, method: str, path: str, json: object = None) -> Any:
        """The answer to the request, after which the picture is true."""
        answer = await self._api.call(method, path, json=json, by=self._account)
        assert answer.status // 100 == 2, answer.body
        await self.after_command()
        return answer.json if answer.body else None

    async def after_command(self, *commands: Command) -> None:
        await self._api.do(*commands)
        await wait_until("the picture is true", self._is_whole)

    async def _is_whole(self) -> bool:
        for frame in await self._listener.everything(self._api, by=self._account):
            self._seen[frame.uri] = frame.shown
        return all([await self._is_true(uri) for uri in self._seen])

    async def _is_true(self, uri: str) -> bool:
        answer = await self._api.get(uri, by=self._account)
        return self._seen[uri] == (answer.json if answer.status == 200 else None)

    async def drive(self, **said: object) -> str:
        created = await self.after("POST", "/drives/", {**DRIVE, **said})
        return uri("drives", created["objects"][0]["uuid"])


async def _change_everything(picture: Picture) -> None:
    """One of each kind of change."""
    after = picture.after
    disk, cdrom = await picture.drive(), await picture.drive(media="cdrom")
    mounts = [
        {"drive": path.split("/")[-2], "device": "virtio", "dev_channel": f"0:{unit}"}
        for unit, path in enumerate((disk, cdrom))
    ]
    server = uri("servers", (await after("POST", "/servers/", SERVER))["objects"][0]["uuid"])
    await after("PUT", server, {"drives": mounts, "vnc_password": "fork"})
    keypair = uri("keypairs", (await after("POST", "/keypairs/", KEYPAIR))["objects"][0]["uuid"])
    card = {"ip_v4_conf": {"conf": "dhcp"}}
    await after("PUT", server, {"pubkeys": [keypair.split("/")[-2]], "nics": [card]})
    await after("POST", f"{server}action/?do=start")
    await after("PUT", keypair, {"name": "old laptop"})
    await after("DELETE", keypair)
    await after("POST", f"{server}action/?do=stop")
    await after("PUT", disk, {"name": "larch", "meta": {"key": "value"}})
    await after("POST", f"{disk}action/?do=resize", {"size": 2 * DRIVE["size"]})
    tagged = {"name": "green", "resources": [disk.split("/")[-2]]}
    tag = uri("tags", (await after("POST", "/tags/", tagged))["objects"][0]["uuid"])
    await after("PUT", tag, {"name": "blue", "resources": [server.split("/")[-2]]})
    await after("PUT", disk, {"tags": [tag.split("/")[-2]]})
    await after("PUT", "/profile/", {"nickname": "ada", "clone_naming": "COUNTER"})
    clone = await after("POST", f"{server}action/?do=clone")
    await _do_children(picture, clone["jobs"][0]["resource_uri"], fail=False)
    failing = await after("POST", f"{server}action/?do=clone")
    await _do_children(picture, failing["jobs"][0]["resource_uri"], fail=True)
    cancelled = await after("POST", f"{disk}action/?do=clone")
    await after("POST", f"{cancelled['objects'][0]['jobs'][0]['resource_uri']}action/?do=cancel")
    await after("DELETE", disk)
    await after("DELETE", tag)
    await after("DELETE", f"{server}?recurse=all_drives")


async def _do_children(picture: Picture, job: str, *, fail: bool) -> None:
    """As workers would."""
    shown = (await picture._api.get(job, by=picture._account)).json
    for child in (child["uuid"] for child in shown["children"]):
        await picture.after_command(StartAttempt(child, 1, "w"), UpdateProgress(child, 1, 10))
        await picture.after_command(FailJob(child, 1, "x") if fail else SucceedJob(child, 1))


async def test_anything_in_progress_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running copy, with the time left, and the drives it concerns, while nothing changes."""
    monkeypatch.setattr(estimates, "MEASURED_S", 0)
    moment = [now()]
    async with open_service(Settings(data=tmp_path, copying=False)) as opened:
        feed = Feed(
            opened.views, frames(lambda: moment[0]), on_failure=opened.failed.set, repeat_s=0.02
        )
        opened.ledger.listen(feed.notice)
        accounts = KnownAccounts(ALICE)
        service = replace(opened, accounts=accounts, feed=feed)
        async with feed, TestClient(ApiServer(make_app(service))) as client:
            api = Api(client, service)
            source = await api.drive()
            opened.pools["main"].image(source).write_bytes(bytes(MIB))
            clone, job = await api.clone(source)
            await api.begin(job)
            await api.do(UpdateProgress(job, 1, 1, 1, MIB, 1))
            reported = moment[0] = service.now()
            shown = (await api.get(f"/jobs/{job}/")).json["data"]
            async with listening(api) as listener:
                for later in (2, 4, 6):
                    moment[0] = reported + timedelta(seconds=later)
                    await listener.until(_shows_less(uri("jobs", job), shown["eta_s"] - later))
                expected = {
                    uri("jobs", job): "started",
                    uri("drives", source): "cloning_src",
                    uri("drives", clone): "cloning_dst",
                }
                told: dict[str, str | None] = {}
                async with patience("all of it is told of again, twice"):
                    for _ in range(2 * len(expected)):
                        frame = await listener.frame()
                        told[frame.uri] = frame.status
                    while told.keys() < expected.keys():
                        frame = await listener.frame()
                        told[frame.uri] = frame.status
            assert told == expected


def _shows_less(uri: str, seconds: int):
    return lambda f: f.uri == uri and 0 < f.shown["data"]["eta_s"] <= seconds + 1


async def test_who_asks_for_beats_is_never_left_in_silence(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame comes while nothing happens, too; others get none that they do not know."""
    monkeypatch.setattr(websocket, "BEAT_S", 0.05)
    async with listening(api, path="/websocket?beats=1") as asking, listening(api) as other:
        for _ in range(3):
            assert (await asking.frame())[:2] == ("beat", "/api/2.0/websocket/")
        drive = await api.drive()
        assert (await other.frame()).uri == uri("drives", drive)
        await asking.until(lambda frame: frame.uri == uri("drives", drive))


# Who may


async def test_everybody_gets_only_their_own_frames(api: Api) -> None:
    """All sockets of an account get its frames, and no others do, whatever their role."""
    async with AsyncExitStack() as sockets:
        accounts = (ALICE, ALICE, BOB, AUDITOR)
        listeners = [await sockets.enter_async_context(listening(api, each)) for each in accounts]
        mine, theirs = uri("drives", await api.drive()), uri("drives", await api.drive(by=BOB))
        for listener, account, own in zip(
            listeners, accounts, ({mine}, {mine}, {theirs}, set()), strict=True
        ):
            seen = {frame.uri for frame in await listener.everything(api, by=account)}
            assert {uri for uri in seen if "/drives/" in uri} == own


@in_turn("value", [None, "", "nonsense", "a|1|0", "changed", "old", "another's"])
async def test_a_bad_or_old_cookie(api: Api, value: str | None) -> None:
    """Refused with 401 in the one form of errors, also if the password is right."""
    cookies = api.service.accounts.cookies
    made = cookies.make(CookieHolder(ALICE.uuid, 0))
    if value == "changed":
        value = made.replace(ALICE.uuid, BOB.uuid)
    if value == "old":
        cookies._signing._now = lambda: now() - timedelta(seconds=121)
        value = cookies.make(CookieHolder(ALICE.uuid, 0))
        cookies._signing._now = now
    if value == "another's":
        value = AsyncCookies(now, lambda _hour: b"another").make(CookieHolder(ALICE.uuid, 0))
    headers = HANDSHAKE | ({} if value is None else {"Cookie": f"async_auth={value}"})
    for by in (None, ALICE):
        answer = await api.call("GET", "/websocket", headers=headers, by=by)
        assert answer.error == (401, "permission", None)
    assert (
        await api.call("GET", "/websocket", headers=HANDSHAKE | cookie(api, ALICE), by=None)
    ).status == 101


@in_turn("origin", ["http://evil.example", "null", "", "https://{host}x", "{host}"])
async def test_a_foreign_origin(api: Api, origin: str) -> None:
    """A page of another host is refused with 403, whatever cookie the browser sends along."""
    host = f"127.0.0.1:{api.client.port}"
    headers = HANDSHAKE | cookie(api, ALICE) | {"Origin": origin.format(host=host)}
    answer = await api.call("GET", "/websocket", headers=headers)
    assert answer.error == (403, "permission", None)
    assert not api.service.feed._subscribers
    async with listening(api, headers={"Origin": f"http://{host}"}):
        assert api.service.feed._subscribers
    await forgotten(api.service)


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://ledger.example", "ledger.example", True),
        ("http://ledger.example", "ledger.example:80", True),
        ("https://Ledger.example:443", "ledger.example", True),
        ("https://ledger.example", "ledger.EXAMPLE:443", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]", "[::1]:80", True),
        ("http://ledger.example:8080", "ledger.example", False),
        ("https://ledger.example", "ledger.example:80", False),
        ("http://ledger.example.evil", "ledger.example", False),
        ("http://evil/ledger.example", "ledger.example", False),
        ("file://ledger.example", "ledger.example", False),
        ("ledger.example", "ledger.example", False),
    ],
)
def test_an_origin_is_ours_if_host_and_port_match(origin: str, host: str, own: object) -> None:
    """An origin is ours if its host and port are what was asked for."""
    assert is_same_origin(origin, host) == own


async def test_requests_that_are_not_websocket_handshakes(api: Api) -> None:
    """426 for a plain GET, 400 for a bad handshake, 405 for other methods; OPTIONS names GET."""
    plain = await api.call("GET", "/websocket", headers=cookie(api, ALICE), by=None)
    assert plain.error == (426, "validation", None)
    assert plain.headers["Upgrade"] == "websocket"
    for changed in ({"Sec-WebSocket-Version": "12"}, {"Sec-WebSocket-Key": "short"}):
        headers = HANDSHAKE | cookie(api, ALICE) | changed
        bad = await api.call("GET", "/websocket", headers=headers, by=None)
        assert bad.error == (400, "validation", None)
    for method in ("POST", "PUT", "DELETE"):
        other = await api.call(method, "/websocket", by=None)
        assert other.error == (405, "validation", None)
    assert (await api.call("OPTIONS", "/websocket", by=None)).body == b"GET"
    assert (await api.call("HEAD", "/websocket", headers=HANDSHAKE, by=None)).status == 426


async def test_the_answer_to_a_handshake(api: Api) -> None:
    """No subprotocol, no compression, and the request's name as with any other answer."""
    headers = {"X-Request-ID": "mine", "Sec-WebSocket-Extensions": "permessage-deflate"}
    headers |= HANDSHAKE | cookie(api, ALICE)
    answer = await api.call("GET", "/websocket", headers=headers, by=None)
    assert answer.status == 101
    assert answer.headers["X-Request-ID"] == "mine"
    assert "Sec-WebSocket-Protocol" not in answer.headers
    assert "Sec-WebSocket-Extensions" not in answer.headers


# Clients that come and go


async def test_messages_from_clients_are_ignored(api: Api, listener: Listener) -> None:
    """Up to a length; who says more than that is sent away."""
    for _ in range(100):
        await listener.socket.send_str("x" * 1000)
    await listener.socket.send_bytes(b"x" * 1000)
    drive = await api.drive()
    await listener.until_status(uri("drives", drive), "unmounted")
    await listener.socket.send_str("x" * (websocket.MESSAGE_BYTES + 1))
    assert await listener.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await forgotten(api.service)


@pytest.mark.parametrize("how", ["politely", "abruptly"])
async def test_a_client_that_leaves_is_forgotten(api: Api, how: str) -> None:
    """Though nothing is sent to it meanwhile; the others stay."""
    async with listening(api, BOB) as bobs:
        async with listening(api) as listener:
            assert ALICE.uuid in api.service.feed._subscribers
            if how == "abruptly":
                listener.socket._response.connection.transport.abort()
        await forgotten(api.service)
        drive = await api.drive(by=BOB)
        await bobs.until_status(uri("drives", drive), "unmounted")
    await forgotten(api.service, BOB)


async def test_a_client_that_does_not_answer_pings(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is there no longer, and is forgotten; one that does is asked again and again, and stays."""
    monkeypatch.setattr(websocket, "HEARTBEAT_S", 0.05)
    async with listening(api, BOB, autoping=False) as alive:
        (socket,) = api.service.feed._subscribers[BOB.uuid]
        socket._response._pong_heartbeat = PATIENCE_S  # a slow machine answers late
        async with listening(api, autoping=False) as dead:
            ping = await dead.socket.receive(PATIENCE_S)
            assert ping.type is aiohttp.WSMsgType.PING
            await forgotten(api.service)
        for _ in range(3):  # the next one comes only after the answer to the last
            ping = await alive.socket.receive(PATIENCE_S)
            assert ping.type is aiohttp.WSMsgType.PING
            await alive.socket.pong(ping.data)
        assert BOB.uuid in api.service.feed._subscribers


async def _connect_deaf(deaf: sockets.socket, api: Api) -> None:
    """A client that takes next to nothing and never reads."""
    deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    deaf.settimeout(0)
    await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", api.client.port))
    headers = HANDSHAKE | cookie(api, ALICE) | {"Host": f"127.0.0.1:{api.client.port}"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    deaf.sendall(f"GET /websocket HTTP/1.1\r\n{lines}\r\n".encode())
    await wait_until("it is accepted", lambda: api.service.feed._subscribers.get(ALICE.uuid))


def _read_to_the_end(client: sockets.socket) -> int:
    """How many bytes there are, until the connection is over."""
    count = 0
    client.settimeout(PATIENCE_S)
    with suppress(ConnectionResetError):
        while block := client.recv(1024**2):
            count += len(block)
    return count


async def test_only_the_slow_reader_is_disconnected(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off once too much waits for it; meanwhile others get every frame."""
    monkeypatch.setattr(websocket, "BYTES_MAX", 512 * 1024)
    monkeypatch.setattr(websocket, "CLOSE_S", 0.2)
    with sockets.socket() as deaf:
        await _connect_deaf(deaf, api)
        drive = await api.drive(meta={f"key{n}": "x" * 10_000 for n in range(6)})
        subscribers = api.service.feed._subscribers[ALICE.uuid]
        (slow,) = subscribers
        told = told_before_the_slow_one = 0
        async with listening(api) as listener:
            while slow in subscribers:
                server = await api.server(drive)
                await listener.until_status(uri("drives", drive), "mounted")
                await api.get(f"/servers/{server}/")
                await api.delete(f"/servers/{server}/")
                await listener.until_status(uri("drives", drive), "unmounted")
                told += 2  # frames of 60 kB for the drive
                told_before_the_slow_one += slow._bytes > 0
                assert slow._bytes <= websocket.BYTES_MAX
                assert told <= 200
            assert told_before_the_slow_one > 0
            assert len(subscribers) == 1
            drive = await api.drive()
            await listener.until_status(uri("drives", drive), "unmounted")
        assert await asyncio.to_thread(_read_to_the_end, deaf) < told * 60_000


async def test_a_client_that_is_cut_off_while_frames_wait_is_forgotten(api: Api) -> None:
    """As any other that leaves: there is no error to log."""
    with sockets.socket() as deaf:
        await _connect_deaf(deaf, api)
        (slow,) = api.service.feed._subscribers[ALICE.uuid]
        drive = await api.drive(meta={f"key{n}": "x" * 10_000 for n in range(6)})

        async def a_frame_waits() -> bool:
            await api.put(f"/drives/{drive}/", {"name": api.service.new_id()})
            return slow._bytes > 0

        await wait_until("a frame waits", a_frame_waits)
        deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    await forgotten(api.service)
    gc.collect()


class _Deaf:
    """The connection of a client that reads nothing; what is written to it all the same."""

    takes_more = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def cut(self) -> None:
        pass


class _Reading(_Deaf):
    """The connection of one that reads."""

    takes_more = True


def _socket() -> tuple[websocket.Socket, list[bytes]]:
    """A socket whose client takes nothing, and what is written to it: the frame that closes it."""
    deaf = _Deaf()
    return websocket.Socket(SimpleNamespace(), deaf, 0, None), deaf.written


async def test_what_is_told_at_once_is_written_at_once() -> None:
    """By one call, without a task; and nothing after the client has closed."""
    reading, response = _Reading(), SimpleNamespace(closed=False)
    socket = websocket.Socket(response, reading, 0, None)
    socket.take(Frames((b"a", b"b"), b"ab"), again=False)
    assert reading.written == [b"ab"]
    response.closed = True
    socket.take(_one(b"c"), again=False)
    assert reading.written == [b"ab"]


def _waiting(socket: websocket.Socket) -> list[bytes]:
    return [frame for frames in socket._waiting for frame in frames.each]


def _one(frame: bytes) -> Frames:
    return Frames((frame,), frame)


async def test_the_limit_of_waiting_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many frames, and so many bytes, but one frame however large."""
    monkeypatch.setattr(websocket, "FRAMES_MAX", 3)
    monkeypatch.setattr(websocket, "BYTES_MAX", 10)
    for fits, too_much in (([b"a"] * 3, b"a"), ([b"aaaaa"] * 2, b"a"), ([b"a" * 99], b"a")):
        socket, written = _socket()
        for frame in fits:
            socket.take(_one(frame), again=False)
        await asyncio.sleep(0)
        assert _waiting(socket) == fits
        assert written == []
        socket.take(_one(too_much), again=False)
        socket.take(_one(too_much), again=False)
        await asyncio.sleep(0)
        assert written == [close_frame(aiohttp.WSCloseCode.TRY_AGAIN_LATER, b"too slow")]
        assert not _waiting(socket)


async def test_a_client_that_is_behind_gets_no_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only told again does not fill a queue, nor close a socket."""
    monkeypatch.setattr(websocket, "REPEATS_MAX", 2)
    socket, written = _socket()
    for _ in range(9):
        socket.take(_one(b"known"), again=True)
    socket.take(_one(b"new"), again=False)
    await asyncio.sleep(0)
    assert _waiting(socket) == [b"known", b"known", b"new"]
    assert written == []


# The end


async def test_the_service_stops(api: Api) -> None:
    """Every socket is closed with 1001, and so is one that comes too late."""
    async with listening(api) as one, listening(api, BOB) as two:
        api.service.feed.close()
        for listener in (one, two):
            assert await listener.closed() == aiohttp.WSCloseCode.GOING_AWAY
    async with listening(api) as late:
        assert await late.closed() == aiohttp.WSCloseCode.GOING_AWAY
    await forgotten(api.service)


async def test_a_client_is_cut_off_only_after_it_has_responded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it could lose what it has not read yet, such as why it is disconnected."""
    monkeypatch.setattr(websocket, "CLOSE_S", PATIENCE_S)
    receive = asyncio.get_running_loop().sock_recv
    with sockets.socket() as slow:
        await _connect_deaf(slow, api)
        api.service.feed.close()
        received = b""
        async with patience("it is told"):
            while not received.endswith(close_frame(aiohttp.WSCloseCode.GOING_AWAY, b"stopping")):
                block = await receive(slow, 1024)
                assert block, received
                received += block
        await api.get("/jobs/")
        with pytest.raises(BlockingIOError):
            slow.recv(1)
        slow.sendall(CLOSE_OF_CLIENT)
        async with patience("it is cut off"):
            assert await receive(slow, 1) == b""
    await forgotten(api.service)


async def test_a_revoked_login_closes_its_sockets(tmp_path: Path) -> None:
    """An account that gets another password, or is removed, is followed no longer."""
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        ada = await service.accounts.add("ada@example.test", "correct horse")
        async with TestClient(ApiServer(make_app(service))) as client:
            api = Api(client, service)
            for end in (
                service.accounts.set_password(ada.email, "another horse"),
                service.accounts.remove(ada.email),
            ):
                async with listening(api, ada) as listener:
                    await end
                    assert await listener.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION

"""How long the service waits for a client, and how many connections it holds open."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import repeat
from random import Random
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import TestServer, make_mocked_request
from aiohttp.web import Server

from api.app import make_app
from api.http.wire.answer_pace import AnswerPace
from api.http.wire.connection import Connection, _untaken_bytes
from api.http.wire.open_connections import OpenConnections
from api.http.wire.server import ApiRunner
from api.service.limits import Limits
from api.service.service import Service
from tests.api.calling import ROOT, Api
from tests.api.lines import Line, line, request
from tests.support.api_server import ApiServer
from tests.support.wait import PATIENCE_S, wait_until

GET = request("/tags/")
SHORT_S = 0.1
KIB = 1024
CHUNK = 64 * 1024

Connect = Callable[..., Any]


@pytest.fixture
def limits() -> Limits:
    """Those of users: that they hurry nobody is what is tested."""
    return Limits()


@pytest.fixture
async def server(service: Service) -> AsyncIterator[TestServer]:
    async with ApiServer(make_app(service)) as started:
        yield started


@pytest.fixture
def connect(server: TestServer) -> Connect:
    return partial(line, server)


async def check_serves(line: Line) -> None:
    line.send(GET)
    assert (await line.answer()).status == 200


# The head


@pytest.mark.parametrize("limits", [Limits(head_seconds=SHORT_S)])
class TestHead:
    """A request has to be complete soon after its first byte."""

    async def test_a_head_that_stops(self, connect: Connect) -> None:
        """It is a 408 in the form of every error, and the connection is closed."""
        async with connect() as line:
            line.send(GET[:30])
            answer = await line.answer()
            assert answer.status == 408
            assert answer.message == f"the head did not come within {SHORT_S} s"
            assert await line.end() == b""

    async def test_a_head_that_drips(self, connect: Connect) -> None:
        """That a byte comes now and then does not help."""

        async def drip(line: Line) -> None:
            while True:
                line.send(b"x")
                await asyncio.sleep(SHORT_S / 5)  # the attack itself

        async with connect() as line:
            line.send(GET[:30])
            dripping = asyncio.create_task(drip(line))
            assert b" 408 " in await line.end()
            dripping.cancel()

    async def test_a_second_head_that_stops(self, connect: Connect) -> None:
        """It is no different from the first; an answer before it is whole."""
        async with connect() as line:
            await check_serves(line)
            line.send(GET[:30])
            assert (await line.answer()).status == 408
            assert await line.end() == b""

    async def test_a_head_behind_a_request_that_takes_long(self, api: Api) -> None:
        """The request is answered, and then the connection is closed."""
        job = await api.job()
        async with line(api.client.server) as waiting:
            waiting.send(request(f"/jobs/{job}/?wait=60"))
            connection = await handled(api.client.server)
            waiting.send(GET[:30])
            await wait_until("the head was too slow", lambda: connection._close)
            await api.begin(job)
            assert (await waiting.answer()).status == 200
            assert await waiting.end() == b""

    async def test_between_requests_there_is_time(self, connect: Connect) -> None:
        """A connection that waits for a request stays; a line end is not the start of one."""
        async with connect() as idle, connect() as slow:
            await check_serves(idle)
            idle.send(b"\r\n")
            slow.send(GET[:30])
            assert (await slow.answer()).status == 408
            await check_serves(idle)


async def test_a_head_in_two_pieces(connect: Connect, server: TestServer) -> None:
    """Once it is whole, its time is over."""
    async with connect() as line:
        line.send(GET[:30])
        (connection,) = await wait_until("it is there", lambda: server.handler.connections)
        await wait_until("it has begun", lambda: connection._head_timer)
        line.send(GET[30:])
        assert (await line.answer()).status == 200
        assert connection._head_timer is None


@pytest.mark.parametrize("limits", [Limits(head_seconds=0)])
async def test_a_limit_can_be_off(connect: Connect, server: TestServer) -> None:
    """Zero is no limit: nothing is timed."""
    async with connect() as line:
        line.send(GET[:30])
        (connection,) = await wait_until("it is there", lambda: server.handler.connections)
        await wait_until("it has come", lambda: connection._parser is not None)
        line.send(GET[30:])
        assert (await line.answer()).status == 200
        assert connection._head_timer is None


COUNT = 100
HOST = b"Host: x\r\n"
POST = b"POST /api/2.0/tags/ HTTP/1.1\r\n" + HOST
UPGRADE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
WHOLE = (
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    UPGRADE,
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"Content-Length: 9\r\n\r\nGET / HTT",
    POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\nGET / HTT",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\nTrailer: x\r\n\r\n",
)


def waits(connection: Connection) -> bool:
    return connection._waiter is not None and not connection._waiter.done()


def is_closed(connection: Connection) -> bool:
    return connection._task_handler is None or connection._task_handler.done()


def is_handled(connection: Connection) -> bool:
    return is_closed(connection) or waits(connection)


async def test_nothing_is_timed_once_all_is_there(service: Service, seed: int) -> None:
    """Requests with and without bodies, cut anywhere: the end of a body begins no head."""
    drawn = Random(seed)  # noqa: S311 - a test that can be repeated
    runner = ApiRunner(make_app(service), prefix="test")
    await runner.setup()
    assert runner.server is not None
    whole = 0
    for number in range(COUNT):
        declined = UPGRADE if number % 2 else b""
        sent = declined + b"".join(drawn.choices(WHOLE, k=drawn.randrange(1, 4)))
        connection, left = runner.server(), sent
        assert isinstance(connection, Connection)
        connection.connection_made(Wire(0))
        least = len(declined)
        while left:
            cut = drawn.randrange(least, len(left)) + 1
            connection.data_received(left[:cut])
            left, least = left[cut:], 0
            for _ in range(drawn.choice((0, 1, 5, 50))):
                await asyncio.sleep(0)
        await wait_until("all is handled", partial(is_handled, connection))
        if not is_closed(connection):
            assert connection._head_timer is None, sent
            whole += 1
        connection.connection_lost(None)
    assert whole > 20
    await runner.cleanup()


async def test_a_body_behind_an_answer_that_is_not_read_is_not_timed(service: Service) -> None:
    """It is that of a request behind an upgrade which was declined."""
    runner = ApiRunner(make_app(service), prefix="test")
    await runner.setup()
    assert runner.server is not None
    connection = runner.server()
    assert isinstance(connection, Connection)
    connection.connection_made(Wire(0))
    connection.pause_writing()
    connection.data_received(UPGRADE + POST + b"Content-Length: 9\r\n\r\nGET")
    await wait_until("what is behind it has been looked at", lambda: connection._request_count == 2)
    connection.data_received(b" / HTT")
    assert connection._head_timer is None
    connection.resume_writing()
    await wait_until("all is handled", partial(is_handled, connection))
    connection.connection_lost(None)
    await runner.cleanup()


# The answer


class Wire(asyncio.Transport):
    """A connection whose client reads so much between one look and the next."""

    connection: Connection

    def __init__(self, read: int) -> None:
        super().__init__()
        self._read = read
        self._unread = 2**30
        self.looks = 0
        self.is_cut = False

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        self._unread -= self._read
        return self._unread

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        self.is_cut = True

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_cut


@asynccontextmanager
async def unread(service: Service, read: int) -> AsyncIterator[Wire]:
    """An answer of which the client reads so many bytes in each limit."""
    runner = ApiRunner(make_app(service), prefix="test")
    await runner.setup()
    assert runner.server is not None
    connection, wire = runner.server(), Wire(read)
    assert isinstance(connection, Connection)
    wire.connection = connection
    connection.connection_made(wire)
    connection.pause_writing()
    yield wire
    connection.connection_lost(None)
    await runner.cleanup()


@pytest.mark.parametrize("limits", [Limits(unread_seconds=0.01)])
async def test_an_answer_that_is_not_read(service: Service) -> None:
    """The connection is cut."""
    async with unread(service, read=0) as wire:
        await wait_until("it is cut", lambda: wire.is_cut)


@pytest.mark.parametrize("limits", [Limits(unread_seconds=0.01)])
async def test_an_answer_that_is_read_slowly(service: Service) -> None:
    """As long as enough of it is read it may take any time."""
    async with unread(service, read=1) as wire:
        await wait_until("it was looked at again and again", lambda: wire.looks > 9)
        assert not wire.is_cut


async def test_an_answer_that_turns_out_slow_at_its_end(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut while asyncio is still writing to it, and ends once."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told))
    monkeypatch.setattr(AnswerPace, "look_after_s", PATIENCE_S)
    monkeypatch.setattr(AnswerPace, "look", lambda *_: True)
    async with line(server) as reading:
        await check_serves(reading)
        assert isinstance(server.handler, Server)
        (connection,) = server.handler.connections
        assert isinstance(connection, Connection)
        connection.write(bytes(8 * 2**20))
        await reading.end()
        await wait_until("it has ended", lambda: not connection.transport)
    assert failures == []


class Reader:
    """A client that takes so many bytes in each second of a clock that a test sets."""

    def __init__(self, limits: Limits, speed: float) -> None:
        self.now = 0.0
        self._pace = AnswerPace(limits)
        self._speed = speed

    def cut_at(self, answers: Iterable[int], pause_s: float = 0.0) -> float | None:
        """Take the answers, with pauses in between; return when the connection is cut, if ever."""
        for size in answers:
            if self._is_cut_in(size):
                return self.now
            self.now += pause_s
        return None

    def _is_cut_in(self, size: int) -> bool:
        """Look at what the client takes as a connection does, and once it has taken all."""
        began, unread = self.now, size
        self._pace.begin_to_wait(self.now, unread)
        while unread:
            rest_s = unread / self._speed if self._speed else math.inf
            self.now += min(self._pace.look_after_s, rest_s)
            unread = max(0, round(size - (self.now - began) * self._speed))
            if self._pace.look(self.now, unread):
                return True
        return False


PACED = Limits(unread_seconds=20, bytes_per_second=16 * KIB)


@pytest.mark.parametrize("size", [KIB, 100 * KIB, 310 * KIB, 2**30])
def test_who_reads_too_slowly_is_cut_within_half_a_minute(size: int) -> None:
    """Whether of one long answer, or of many that the system's buffers take one by one."""
    slow = Reader(PACED, speed=15 * KIB)
    cut = slow.cut_at(repeat(size, 2**30 // size))
    assert cut is not None
    assert cut == pytest.approx(30, abs=size / (15 * KIB) if size < 2**30 else 0)
    assert Reader(PACED, speed=0).cut_at([size]) == 20


@pytest.mark.parametrize("size", [KIB, 100 * KIB, 310 * KIB, 10 * 2**20])
def test_who_reads_fast_enough_may_take_any_time(size: int) -> None:
    """For all that it asks for."""
    assert Reader(PACED, speed=17 * KIB).cut_at(repeat(size, 20 * 2**20 // size)) is None


def test_only_the_time_counts_for_which_the_service_waits() -> None:
    """A client that asks now and then, and reads at once, is never too slow."""
    assert Reader(PACED, speed=2**20).cut_at(repeat(300, 10_000), pause_s=60) is None
    unwaited = Limits(unread_seconds=20, bytes_per_second=0)
    assert Reader(unwaited, speed=1).cut_at([10_000]) is None
    assert Reader(Limits(unread_seconds=0, bytes_per_second=0), speed=0)._pace.look_after_s > 1e9


def test_who_stops_reading_is_cut_soon() -> None:
    """However much it has read before."""
    pace = AnswerPace(PACED)
    pace.begin_to_wait(0, 2**30)
    assert not pace.look(0.1, 2**29)
    now = 0.1
    while not pace.look(now, 2**29):
        now += pace.look_after_s
    assert now <= 31


async def test_what_the_system_has_taken_is_not_what_the_client_has() -> None:
    """The kernel takes more than a whole answer, and says how much of it the client's has."""
    receiver, listener = socket.socket(), socket.create_server(("127.0.0.1", 0))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    receiver.connect(listener.getsockname())
    sender, _ = listener.accept()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sender)
    transport.write(bytes(100 * KIB))
    unread = _untaken_bytes(transport)
    assert unread > 0
    while _untaken_bytes(transport):
        receiver.recv(KIB)
        await asyncio.sleep(0)
    transport.abort()
    await asyncio.sleep(0)
    receiver.close()
    listener.close()


@pytest.mark.parametrize(
    ("error", "has_gone", "logged"),
    [(ConnectionResetError(), True, 0), (ConnectionResetError(), False, 1), (KeyError(), True, 1)],
)
async def test_only_what_is_no_error_is_not_logged(
    service: Service,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    has_gone: bool,  # noqa: FBT001 - a parameter of the test
    logged: int,
) -> None:
    """A client that goes before its answer comes, as anybody can again and again."""
    async with unread(service, read=0) as wire:
        await asyncio.sleep(0)  # the connection begins
        request = make_mocked_request("GET", "/", writer=Mock(output_size=0))
        wire.is_cut = has_gone
        wire.connection.handle_error(request, 500, error)
        wire.is_cut = False
    assert len(caplog.records) == logged


@pytest.mark.parametrize("limits", [Limits(unread_seconds=SHORT_S)])
async def test_pipelined_answers_that_are_not_read(connect: Connect, server: TestServer) -> None:
    """They are not kept for a client that asks for many and reads none."""
    async with connect(reads=False) as greedy, connect() as other:
        for _ in range(1_000):
            greedy.send(request("/openapi.json", by=None))
        await wait_until("it is cut off", lambda: not greedy.is_connected())
        await wait_until("it is forgotten", lambda: len(server.handler.connections) == 1)
        await check_serves(other)


# How many there may be


class Counted:
    """A connection, as far as it is counted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


class Counting:
    """Connections of some addresses; a name begins with the address."""

    def __init__(self, *, each: int = 0, every: int = 0, proxy: str = "") -> None:
        limits = Limits(connections=every, connections_per_address=each)
        self.open = OpenConnections(limits, lambda peer: peer == proxy)
        self._all: dict[str, Counted] = {}

    def add(self, *names: str) -> None:
        for name in names:
            self._all[name] = Counted(name)
            self.open.add(self._all[name], name.partition("/")[0])

    def __getitem__(self, name: str) -> Counted:
        return self._all[name]

    @property
    def cut(self) -> list[str]:
        return [name for name, each in self._all.items() if each.is_cut]


def test_the_oldest_of_an_address_goes() -> None:
    """Too many of one address cost this address its oldest, and nobody else anything."""
    counting = Counting(each=2)
    counting.add("a/1", "b/1", "b/2", "a/2", "a/3")
    assert counting.cut == ["a/1"]
    counting.add("a/4", "b/3")
    assert counting.cut == ["a/1", "b/1", "a/2"]


def test_the_oldest_is_the_one_that_has_been_idle_the_longest() -> None:
    """Serving an account makes a connection the last in the row."""
    counting = Counting(each=3)
    counting.add("a/1", "a/2", "a/3")
    counting.open.occupy(counting["a/1"])
    counting.open.release(counting["a/1"])
    counting.add("a/4")
    assert counting.cut == ["a/2"]


def test_a_request_without_an_account_counts_as_well() -> None:
    """A connection that was just used has not been idle for long."""
    counting = Counting(each=3)
    counting.add("a/1", "a/2", "a/3")
    counting.open.release(counting["a/1"])
    counting.add("a/4")
    assert counting.cut == ["a/2"]


def test_a_connection_that_serves_an_account_stays() -> None:
    """If all of them do, it is the newcomer that goes."""
    counting = Counting(each=2)
    counting.add("a/1", "a/2")
    counting.open.occupy(counting["a/1"])
    counting.add("a/3")
    assert counting.cut == ["a/2"]
    counting.open.occupy(counting["a/3"])
    counting.add("a/4")
    assert counting.cut == ["a/2", "a/4"]


def test_when_the_service_is_full_the_busiest_address_gives_way() -> None:
    """Whoever has few connections neither loses one nor is turned away."""
    counting = Counting(every=4)
    counting.add("a/1", "b/1", "b/2", "b/3", "c/1")
    assert counting.cut == ["b/1"]
    for name in ("b/2", "b/3"):
        counting.open.occupy(counting[name])
    counting.add("d/1")
    assert counting.cut == ["a/1", "b/1"]


def test_a_proxy_has_the_connections_of_many() -> None:
    """A trusted proxy is not limited, and gives way last."""
    counting = Counting(each=1, every=4, proxy="p")
    counting.add("p/1", "p/2", "p/3", "a/1", "b/1")
    assert counting.cut == ["a/1"]
    counting.add("p/4")
    assert counting.cut == ["a/1", "b/1"]
    counting.add("p/5")
    assert counting.cut == ["p/1", "a/1", "b/1"]


@pytest.mark.parametrize("first", ["2001:db8::5/1", "2001:db8::6/1"])
def test_a_proxy_is_not_counted_with_its_neighbours(first: str) -> None:
    """Whoever of a network of IPv6 comes first, only the proxy is exempt."""
    counting = Counting(each=1, proxy="2001:db8::5")
    counting.add(first, "2001:db8::5/2", "2001:db8::6/2", "2001:db8::5/3", "2001:db8::6/3")
    assert {name.partition("/")[0] for name in counting.cut} == {"2001:db8::6"}
    assert not counting["2001:db8::6/3"].is_cut


def test_a_connection_that_has_ended_is_not_counted() -> None:
    """Nothing of it is kept."""
    counting = Counting(each=1, every=1)
    counting.add("a/1")
    for _ in range(2):
        counting.open.remove(counting["a/1"])
    counting.add("a/2")
    assert counting.cut == []
    assert len(counting.open) == 1


def test_a_network_of_ipv6_is_one_address() -> None:
    """Whoever has an address there has all of them."""
    counting = Counting(each=1)
    counting.add("2001:db8:1:2:3:4:5:6/1", "2001:db8:1:3::1/1", "2001:db8:1:2::7/2")
    assert counting.cut == ["2001:db8:1:2:3:4:5:6/1"]


def test_the_limits_hold_whatever_happens(seed: int) -> None:
    """No sequence of connections exceeds them, and the count is that of those that are open."""
    draw = Random(seed)  # noqa: S311
    counting = Counting(each=5, every=12)
    there: list[str] = []
    for number in range(2_000):
        there.append(f"{draw.choice('abcd')}/{number}")
        counting.add(there[-1])
        act = draw.choice([counting.open.occupy, counting.open.release, counting.open.remove])
        acted_on = draw.choice(there)
        act(counting[acted_on])
        if act == counting.open.remove:
            there.remove(acted_on)
        there = [name for name in there if not counting[name].is_cut]
        assert len(counting.open) == len(there) <= 12
        assert all(sum(name[0] == each for name in there) <= 5 for each in "abcd")


@pytest.mark.parametrize("limits", [Limits(connections_per_address=3)])
async def test_a_newcomer_is_served(connect: Connect) -> None:
    """The connection that has waited the longest is closed for it, and no other."""
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connect("127.0.0.2")) for _ in range(3)]
        for each in reversed(lines):
            await check_serves(each)
        newcomer = await stack.enter_async_context(connect("127.0.0.2"))
        await check_serves(newcomer)
        assert await lines[2].end() == b""
        await check_serves(lines[0])
        await check_serves(lines[1])


@pytest.mark.parametrize("limits", [Limits(connections=2)])
async def test_what_serves_nobody_gives_way(api: Api) -> None:
    """A body without a login does not hold a connection; a request of an account does."""
    job = await api.job()
    server = api.client.server
    async with line(server) as waiting, line(server) as anonymous:
        waiting.send(request(f"/jobs/{job}/?wait=60"))
        await handled(server)
        login = request("/accounts/action/?do=login", "Content-Length: 99", method="POST", by=None)
        anonymous.send(login)
        async with line(server) as newcomer:
            await check_serves(newcomer)
            assert await anonymous.end() == b""
            await api.begin(job)
            assert (await waiting.answer()).status == 200


@pytest.mark.parametrize("limits", [Limits(connections=2)])
async def test_an_upload_by_link_stays(api: Api) -> None:
    """Its link is the login: the connection serves an account while the chunk comes."""
    new = await api.post("/initupload/", {"name": "disk", "media": "disk", "size": CHUNK})
    (drive,) = new.json["objects"]
    chunk = {"chunk_number": 0, "chunk_size": CHUNK}
    answer = await api.post(f"/drives/{drive['uuid']}/action/?do=upload_chunk", chunk)
    link = answer.json["link"].removeprefix(ROOT)
    server = api.client.server
    async with line(server) as sending, line(server) as idle:
        sending.send(request(link, f"Content-Length: {CHUNK}", method="POST", by=None))
        await handled(server)
        async with line(server) as newcomer:
            await check_serves(newcomer)
            assert await idle.end() == b""
            sending.send(bytes(CHUNK))
            assert (await sending.answer()).status == 200


# All of it together

FLOOD = 50
HASTY = Limits(
    head_seconds=SHORT_S, body_seconds=SHORT_S, unread_seconds=SHORT_S, body_silence_seconds=0
)
SLOW = {
    "heads": request("/tags/")[:30],
    "bodies": request("/accounts/action/?do=login", "Content-Length: 99", method="POST", by=None),
    "readers": 8 * request("/openapi.json", by=None),
}


@pytest.mark.parametrize("limits", [HASTY])
@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
async def test_slow_clients_do_not_stay(server: TestServer, connect: Connect, sent: bytes) -> None:
    """None of many connections that do as little as they can is open for long."""
    clients: list[Line] = []
    async with AsyncExitStack() as stack:
        for number in range(FLOOD):
            slow = await stack.enter_async_context(connect(f"127.0.0.{2 + number}", reads=False))
            slow.send(sent)
            clients.append(slow)
        async with connect() as other:
            await check_serves(other)
        await wait_until("all of them are gone", lambda: not server.handler.connections)
        await wait_until("they know", lambda: not any(each.is_connected() for each in clients))


async def handled(server: TestServer) -> Any:
    """Wait until a request is being handled; return its connection."""
    return await wait_until(
        "a request is handled",
        lambda: next((c for c in server.handler.connections if c._current_request), None),
    )

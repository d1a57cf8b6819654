"""The admin socket: commands that change something reach the running service through it.

One process writes to a ledger, and a second connection would wait seconds for its lock. So while a
service runs, the command line asks it over `<data>/admin.sock`.

Socket paths are limited to about 100 bytes; bound and connected through `/proc/self/fd/N/`, the
path of the data directory does not count.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, assert_never

import aiohttp
import msgspec
from aiohttp import web

from api.accounts import Account
from api.doctor import Findings, examine, synchronous_of
from api.operations import OperationRefused, OwnOperations, Report
from api.service import Service
from projections.rebuild import Rebuilt

SOCKET_FILE = "admin.sock"
REPORT_S = 0.2
"""How often the progress of a rebuild is told."""
ANSWER_S = 60
STOP_S = 10

log = logging.getLogger(__name__)

# What goes over the socket


@dataclass(frozen=True, slots=True)
class _AccountRequest:
    email: str
    password: str = field(repr=False)
    role: str = "user"


class _Progress(msgspec.Struct, tag="progress"):
    done: int
    total: int


class _Done(msgspec.Struct, tag="rebuilt"):
    position: int
    events: int
    before: str
    after: str
    seconds: float


class _Refused(msgspec.Struct, tag="refused"):
    reason: str


_encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(_AccountRequest).decode
_account = msgspec.json.Decoder(Account).decode
_findings = msgspec.json.Decoder(Findings).decode
_refused = msgspec.json.Decoder(_Refused).decode
_line: Callable[[bytes], _Progress | _Done | _Refused] = msgspec.json.Decoder(
    _Progress | _Done | _Refused
).decode


class AdminServer:
    """Offers the operations at the admin socket of a service's data directory."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._operations = OwnOperations(service.ledger, service.accounts)
        self._data = service.file.parent
        app = web.Application()
        app.add_routes(
            [
                web.post("/accounts", self._add_account),
                web.post("/accounts/password", self._set_password),
                web.post("/rebuild", self._rebuild),
                web.get("/doctor", self._doctor),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, _bound_socket(self._data)).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        with contextlib.suppress(FileNotFoundError):
            (self._data / SOCKET_FILE).unlink()

    async def _add_account(self, request: web.Request) -> web.Response:
        asked = await _asked(request)
        adding = self._operations.add_account(asked.email, asked.password, asked.role)
        return await _answer(adding)

    async def _set_password(self, request: web.Request) -> web.Response:
        asked = await _asked(request)
        return await _answer(self._operations.set_password(asked.email, asked.password))

    async def _doctor(self, _: web.Request) -> web.Response:
        return await _answer(self._examine())

    async def _examine(self) -> Findings:
        service = self._service
        return await asyncio.to_thread(
            examine,
            service.file,
            service.pools.values(),
            synchronous=lambda: service.ledger.exclusive(synchronous_of).result(),
            service=os.getpid(),
        )

    async def _rebuild(self, request: web.Request) -> web.StreamResponse:
        """Streams progress, then the result; goes on to its end even if nobody listens."""
        latest = _Progress(0, 0)

        def report(done: int, total: int) -> None:  # in the rebuilding thread
            nonlocal latest
            latest = _Progress(done, total)

        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        rebuilding = asyncio.create_task(self._operations.rebuild(report))
        try:
            await response.prepare(request)
            while not (await asyncio.wait({rebuilding}, timeout=REPORT_S))[0]:
                await response.write(_encode(latest) + b"\n")
            await response.write(_encode(await _outcome(rebuilding)) + b"\n")
        except ConnectionError:
            log.info("nobody waits for the rebuild any more; it goes on")
            await _outcome(rebuilding)
        return response


async def _asked(request: web.Request) -> _AccountRequest:
    try:
        return _request(await request.read())
    except msgspec.MsgspecError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def _answer(operation: Awaitable[Any]) -> web.Response:
    try:
        result = await operation
    except OperationRefused as refusal:
        return web.json_response(body=_encode(_Refused(str(refusal))), status=409)
    return web.json_response(body=_encode(result))


async def _outcome(rebuilding: Awaitable[Rebuilt]) -> _Done | _Refused:
    try:
        return _Done(*await rebuilding)
    except OperationRefused as refusal:
        return _Refused(str(refusal))


class AdminClient:
    """Asks the service that runs; made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def add_account(self, email: str, password: str, role: str) -> Account:
        asked = _AccountRequest(email, password, role)
        return _account(await self._ask("POST", "/accounts", asked))

    async def set_password(self, email: str, password: str) -> None:
        await self._ask("POST", "/accounts/password", _AccountRequest(email, password))

    async def rebuild(self, report: Report) -> Rebuilt:
        patience = aiohttp.ClientTimeout(total=None)
        with _lost_service():
            async with self._session.post("/rebuild", timeout=patience) as response:
                async for line in response.content:
                    match _line(line):
                        case _Progress(done=done, total=total):
                            report(done, total)
                        case _Refused(reason=reason):
                            raise OperationRefused(reason)
                        case _Done() as rebuilt:
                            return Rebuilt(*msgspec.structs.astuple(rebuilt))
                        case never:
                            assert_never(never)
        raise OperationRefused("the service stopped before the rebuild was done")

    async def examine(self) -> Findings:
        """What the service finds when it looks at itself."""
        return _findings(await self._ask("GET", "/doctor"))

    async def _ask(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else _encode(body)
        with _lost_service():
            async with self._session.request(method, path, data=data) as response:
                answer = await response.read()
        if response.status == web.HTTPConflict.status_code:
            raise OperationRefused(_refused(answer).reason)
        if not response.ok:
            raise OperationRefused(f"the service answered {response.status} {response.reason}")
        return answer


@contextmanager
def _lost_service() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OperationRefused(f"the service does not answer any more: {error}") from error


@asynccontextmanager
async def connected(data: Path) -> AsyncIterator[AdminClient | None]:
    """A client of the service that runs on this data directory; None if none listens."""
    with _folder(data) as folder:
        if folder is None or not _listens(f"{folder}/{SOCKET_FILE}"):
            yield None
            return
        async with aiohttp.ClientSession(
            "http://job-ledger",
            connector=aiohttp.UnixConnector(f"{folder}/{SOCKET_FILE}"),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
        ) as session:
            yield AdminClient(session)


@contextmanager
def _folder(data: Path) -> Iterator[str | None]:
    """A short path to the directory; None if there is no such directory."""
    try:
        fd = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _bound_socket(data: Path) -> socket.socket:
    """The admin socket in the place of a stale one; only whoever has the lock may call this."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _folder(data) as folder, contextlib.ExitStack() as undo:
        undo.callback(bound.close)
        (data / SOCKET_FILE).unlink(missing_ok=True)
        os.fchmod(bound.fileno(), 0o600)  # before it has a name, so there is no moment without
        bound.bind(f"{folder}/{SOCKET_FILE}")
        undo.pop_all()
    return bound


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True

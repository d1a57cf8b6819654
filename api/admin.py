"""The admin socket: commands that change something reach the running service through it.

One process writes to a ledger, and a second connection would wait seconds for its lock. So while a
service runs, the command line asks it over `<data>/admin.sock`.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar, assert_never

import aiohttp
import msgspec
from aiohttp import web

from api.accounts import Account
from api.admin_messages import Refused, answer, asked, encode
from api.admin_retention import RetentionClient, RetentionServer
from api.admin_socket import SOCKET_FILE, bound_socket, listens, short_path
from api.doctor.examining import examine
from api.doctor.findings import Findings
from api.doctor.looking import synchronous_of
from api.library import LibraryImage, NewImage, OwnLibrary
from api.operations import OperationRefused, OwnOperations, Report
from api.retention import OwnRetention
from api.service import Service
from api.tokens import NewToken
from ledger.store.tokens import StoredToken
from projections.rebuild import Rebuilt

T = TypeVar("T")

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


class _TokenRequest(msgspec.Struct):
    email: str
    name: str


class _Removal(msgspec.Struct):
    id: str


class _Progress(msgspec.Struct, tag="progress"):
    done: int
    total: int


class _Done(msgspec.Struct, tag="rebuilt"):
    position: int
    events: int
    before: str
    after: str
    seconds: float


_account_request = msgspec.json.Decoder(_AccountRequest).decode
_token_request = msgspec.json.Decoder(_TokenRequest).decode
_removal = msgspec.json.Decoder(_Removal).decode
_account = msgspec.json.Decoder(Account).decode
_new_token = msgspec.json.Decoder(NewToken).decode
_tokens = msgspec.json.Decoder(list[StoredToken]).decode
_new_image = msgspec.json.Decoder(NewImage).decode
_image = msgspec.json.Decoder(LibraryImage).decode
_images = msgspec.json.Decoder(list[LibraryImage]).decode
_findings = msgspec.json.Decoder(Findings).decode
_refused = msgspec.json.Decoder(Refused).decode
_line: Callable[[bytes], _Progress | _Done | Refused] = msgspec.json.Decoder(
    _Progress | _Done | Refused
).decode


class AdminServer:
    """Offers the operations at the admin socket of a service's data directory."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._operations = OwnOperations(service.ledger, service.accounts)
        self._library = OwnLibrary(service)
        self._data = service.data
        app = web.Application()
        app.add_routes(
            [
                web.post("/accounts", self._add_account),
                web.post("/accounts/password", self._set_password),
                web.post("/tokens", self._add_token),
                web.get("/tokens", self._tokens),
                web.post("/tokens/remove", self._remove_token),
                web.post("/library", self._add_image),
                web.get("/library", self._images),
                web.post("/library/remove", self._remove_image),
                web.post("/rebuild", self._rebuild),
                web.get("/doctor", self._doctor),
                *RetentionServer(OwnRetention(service.retention)).routes,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, bound_socket(self._data)).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        with contextlib.suppress(FileNotFoundError):
            (self._data / SOCKET_FILE).unlink()

    async def _add_account(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _account_request)
        adding = self._operations.add_account(wanted.email, wanted.password, wanted.role)
        return await answer(adding)

    async def _set_password(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _account_request)
        return await answer(self._operations.set_password(wanted.email, wanted.password))

    async def _add_token(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _token_request)
        return await answer(self._operations.add_token(wanted.email, wanted.name))

    async def _tokens(self, request: web.Request) -> web.Response:
        return await answer(self._operations.tokens(request.query.get("email")))

    async def _remove_token(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _removal)
        return await answer(self._operations.remove_token(wanted.id))

    async def _add_image(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _new_image)
        return await answer(self._library.add_image(wanted))

    async def _images(self, _: web.Request) -> web.Response:
        return await answer(self._library.images())

    async def _remove_image(self, request: web.Request) -> web.Response:
        wanted = await asked(request, _removal)
        return await answer(self._library.remove_image(wanted.id))

    async def _doctor(self, _: web.Request) -> web.Response:
        return await answer(self._examine())

    async def _examine(self) -> Findings:
        service = self._service
        return await asyncio.to_thread(
            examine,
            service.data,
            service.database,
            service.pools.values(),
            synchronous=lambda: service.ledger.exclusive(synchronous_of).result(),
            clocks=service.clocks,
            service=os.getpid(),
            archiving=service.ledger.maintenance.locked(),
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
                await response.write(encode(latest) + b"\n")
            await response.write(encode(await _outcome(rebuilding)) + b"\n")
        except ConnectionError:
            log.info("nobody waits for the rebuild any more; it goes on")
            await _outcome(rebuilding)
        return response


async def _outcome(rebuilding: Awaitable[Rebuilt]) -> _Done | Refused:
    try:
        return _Done(*await rebuilding)
    except OperationRefused as refusal:
        return Refused(str(refusal))


class AdminClient:
    """Asks the service that runs; made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.retention = RetentionClient(self._ask)

    async def add_account(self, email: str, password: str, role: str) -> Account:
        wanted = _AccountRequest(email, password, role)
        return _account(await self._ask("POST", "/accounts", wanted))

    async def set_password(self, email: str, password: str) -> None:
        await self._ask("POST", "/accounts/password", _AccountRequest(email, password))

    async def add_token(self, email: str, name: str) -> NewToken:
        return _new_token(await self._ask("POST", "/tokens", _TokenRequest(email, name)))

    async def tokens(self, email: str | None) -> list[StoredToken]:
        query = {} if email is None else {"email": email}
        return _tokens(await self._ask("GET", "/tokens", query=query))

    async def remove_token(self, token_id: str) -> None:
        await self._ask("POST", "/tokens/remove", _Removal(token_id))

    async def add_image(self, image: NewImage) -> LibraryImage:
        return _image(await self._ask("POST", "/library", image, patience_s=None))

    async def images(self) -> list[LibraryImage]:
        return _images(await self._ask("GET", "/library"))

    async def remove_image(self, uuid: str) -> None:
        await self._ask("POST", "/library/remove", _Removal(uuid))

    async def rebuild(self, report: Report) -> Rebuilt:
        patience = aiohttp.ClientTimeout(total=None)
        with _lost_service():
            async with self._session.post("/rebuild", timeout=patience) as response:
                async for line in response.content:
                    match _line(line):
                        case _Progress(done=done, total=total):
                            report(done, total)
                        case Refused(reason=reason):
                            raise OperationRefused(reason)
                        case _Done() as rebuilt:
                            return Rebuilt(*msgspec.structs.astuple(rebuilt))
                        case never:
                            assert_never(never)
        raise OperationRefused("the service stopped before the rebuild was done")

    async def examine(self) -> Findings:
        """What the service finds when it looks at itself."""
        return _findings(await self._ask("GET", "/doctor"))

    async def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        patience_s: float | None = ANSWER_S,
    ) -> bytes:
        data = None if body is None else encode(body)
        patience = aiohttp.ClientTimeout(total=patience_s)
        with _lost_service():
            async with self._session.request(
                method, path, data=data, params=query, timeout=patience
            ) as response:
                body_read = await response.read()
        if response.status == web.HTTPConflict.status_code:
            raise OperationRefused(_refused(body_read).reason)
        if not response.ok:
            raise OperationRefused(f"the service answered {response.status} {response.reason}")
        return body_read


@contextmanager
def _lost_service() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OperationRefused(f"the service does not answer any more: {error}") from error


@asynccontextmanager
async def connected(data: Path) -> AsyncIterator[AdminClient | None]:
    """A client of the service that runs on this data directory; None if none listens."""
    with short_path(data) as folder:
        if folder is None or not listens(f"{folder}/{SOCKET_FILE}"):
            yield None
            return
        async with aiohttp.ClientSession(
            "http://job-ledger",
            connector=aiohttp.UnixConnector(f"{folder}/{SOCKET_FILE}"),
        ) as session:
            yield AdminClient(session)

"""The admin socket, over which the command line has the running service do the verbs.

Only one process writes to a ledger; a second connection would wait seconds for its lock. So while a
service runs, the command line asks it over `<data>/admin.sock`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self, assert_never

import aiohttp
import msgspec
from aiohttp import web

from api.admin.library import Library
from api.admin.socket import SOCKET_FILE, bind_socket, is_listening, short_path
from api.admin.verbs import VERBS, Admin, LocalAdmin, Report, Verb, read_arguments, read_result
from api.service.service import Service
from ledger.domain.errors import Expected
from projections.maintenance.rebuild import Rebuilt
from projections.maintenance.retention.service import Retention

REPORT_S = 0.2
"""How often the progress of a rebuild is reported."""
ALIVE_S = 8
"""How long a service may take to say that it is there, whatever is asked of it then."""
ANSWER_S = 60
STOP_S = 10
LONG: frozenset[Verb] = frozenset({Library.add, Retention.plan, Retention.run})
"""Verbs that the client waits for, however long they take."""

log = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


class AdminRefused(Expected):
    """The service refused, and says why; or it is gone."""


# What goes over the socket besides arguments and results


class _Refused(msgspec.Struct, tag="refused"):
    reason: str


class _Progress(msgspec.Struct, tag="progress"):
    done: int
    total: int


_refused = msgspec.json.Decoder(_Refused).decode
_line: Callable[[bytes], _Progress | _Refused | Rebuilt] = msgspec.json.Decoder(
    _Progress | _Refused | Rebuilt
).decode


class AdminServer:
    """Does the verbs for clients at the admin socket of a service's data directory."""

    def __init__(self, service: Service) -> None:
        accounts = service.accounts
        targets = (accounts, accounts.tokens, Library(service), service.retention, service)
        self._admin = LocalAdmin(service.ledger, *targets)
        self._data = service.data
        app = web.Application()
        app.add_routes(
            [
                web.get("/alive", self._alive),
                web.post("/call/{verb}", self._call),
                web.post("/rebuild", self._rebuild),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, bind_socket(self._data)).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        with contextlib.suppress(FileNotFoundError):
            (self._data / SOCKET_FILE).unlink()

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _call(self, request: web.Request) -> web.Response:
        """Answer with the verb's result, or with 409 and the reason why there is none."""
        verb = VERBS.get(request.match_info["verb"])
        if verb is None:
            raise web.HTTPNotFound
        try:
            arguments = read_arguments(verb, await request.read())
        except msgspec.MsgspecError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        outcome = await _result_or_refusal(self._admin.do(verb, arguments))
        status = 409 if isinstance(outcome, _Refused) else 200
        return web.json_response(body=encode(outcome), status=status)

    async def _rebuild(self, request: web.Request) -> web.StreamResponse:
        """Stream the progress, then the result; finish even if the client is gone."""
        latest = _Progress(0, 0)

        def report(done: int, total: int) -> None:  # in the rebuilding thread
            nonlocal latest
            latest = _Progress(done, total)

        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        rebuilding = asyncio.create_task(_result_or_refusal(self._admin.rebuild(report)))
        try:
            await response.prepare(request)
            while not (await asyncio.wait({rebuilding}, timeout=REPORT_S))[0]:
                await response.write(encode(latest) + b"\n")
            await response.write(encode(await rebuilding) + b"\n")
        except ConnectionError:
            log.info("the client of the rebuild is gone; the rebuild continues")
            await rebuilding
        return response


async def _result_or_refusal(doing: Awaitable[object]) -> object:
    try:
        return await doing
    except (Expected, OSError) as error:
        return _Refused(str(error))


class AdminClient(Admin):
    """Has the running service do the verbs; made by `connected`. Raises `AdminRefused`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def require_alive(self) -> None:
        """Raise `AdminRefused` if the service does not answer at all: it may be stopped."""
        limit = aiohttp.ClientTimeout(total=ALIVE_S)
        with _lost_service(f"the service has not answered for {ALIVE_S} s: it may be stopped"):
            async with self._session.get("/alive", timeout=limit):
                pass

    async def do(self, verb: Verb, arguments: Mapping[str, object]) -> object:
        path = f"/call/{verb.__qualname__}"
        patience = aiohttp.ClientTimeout(total=None if verb in LONG else ANSWER_S)
        late = f"the service has not answered for {ANSWER_S} s; it may still do what was asked"
        with _lost_service(late):
            async with self._session.post(
                path, data=encode(arguments), timeout=patience
            ) as response:
                body = await response.read()
        if response.status == web.HTTPConflict.status_code:
            raise AdminRefused(_refused(body).reason)
        if not response.ok:
            raise AdminRefused(f"the service answered {response.status} {response.reason}")
        return read_result(verb, body)

    async def rebuild(self, report: Report) -> Rebuilt:
        patience = aiohttp.ClientTimeout(total=None, sock_read=ANSWER_S)
        late = f"the service has not been heard for {ANSWER_S} s; the rebuild may go on"
        with _lost_service(late):
            async with self._session.post("/rebuild", timeout=patience) as response:
                async for line in response.content:
                    match _line(line):
                        case _Progress(done=done, total=total):
                            report(done, total)
                        case _Refused(reason=reason):
                            raise AdminRefused(reason)
                        case Rebuilt() as rebuilt:
                            return rebuilt
                        case never:
                            assert_never(never)
        raise AdminRefused("the service stopped before the rebuild was done")


@contextmanager
def _lost_service(late: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise AdminRefused(late) from error
    except aiohttp.ClientError as error:
        raise AdminRefused(f"the service does not answer any more: {error}") from error
    except msgspec.MsgspecError as error:
        raise AdminRefused("the service is another version of job-ledger: restart it") from error


@asynccontextmanager
async def connected(data: Path) -> AsyncIterator[AdminClient | None]:
    """Yield a client of the service that runs on this data directory; None if none listens.

    Raises `AdminRefused` if one listens and does not answer.
    """
    with short_path(data) as folder:
        if folder is None or not is_listening(f"{folder}/{SOCKET_FILE}"):
            yield None
            return
        async with aiohttp.ClientSession(
            "http://job-ledger",
            connector=aiohttp.UnixConnector(f"{folder}/{SOCKET_FILE}"),
        ) as session:
            client = AdminClient(session)
            await client.require_alive()
            yield client

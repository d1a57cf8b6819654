"""From a commit to the frame at a subscriber, against a queue and `send_str` to as many sockets.

The floor's thread hands the same bytes to the same event loop, where one task takes them from an
`asyncio.Queue` and sends them to each socket, without a ledger, reads or rendering. Both are
measured from the moment there is something to send until it arrives at each subscriber, in another
process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter

from aiohttp import web

from api.app import make_app
from api.composition import open_service
from api.http.wire.bodies import LIMITS
from api.http.wire.server import ApiRunner
from api.resources.frames import message
from api.service.ids import new_id
from api.service.limits import Limits
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.events.jobs import ProgressUpdated
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import seed
from scripts.benchmarks.support.listeners import NUMBER, Arrivals, listeners
from scripts.benchmarks.support.processes import Served
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

PAUSE_S = 0.02
"""The pause between two frames: each arrives before the next is due."""
WARM_UP = 20
TOTAL = 1_000_000
ANY_NUMBER = Limits(websockets_per_account=0, connections_per_address=0)


def frame(setting: Setting) -> Row:
    """One subscriber."""
    return asyncio.run(_row(setting, "frame", 1))


def frame_200(setting: Setting) -> Row:
    """Two hundred subscribers, all of which get every frame."""
    return asyncio.run(_row(setting, "frame-200", 200))


async def _row(setting: Setting, name: str, sockets: int) -> Row:
    scale, data = setting
    count = WARM_UP + scale.frames
    seeded = await seed(data)
    rounds, floor_p99s = [], []
    async with open_service(Settings(data=data, copying=False, limits=ANY_NUMBER)) as service:
        telling = await ReportingJob.begin(service, seeded.owner)
        for _ in range(scale.rounds):
            ours = await telling.round(sockets, count)
            floor = await _bare(telling.text, sockets, count)
            p50, p99 = percentile_ms(ours, 0.5), percentile_ms(ours, 0.99)
            rounds.append(Round(p50, percentile_ms(floor, 0.5), p50, p99))
            floor_p99s.append(percentile_ms(floor, 0.99))
    note = f"frames to {sockets} at once; the floor's p99 {median(floor_p99s):.2f} ms"
    return row(name, "ms p50", rounds, at_least=None, note=note, lower_is_better=True)


class ReportingJob:
    """A running job that reports progress, and when each update was committed."""

    def __init__(self, service: Service, caller: Caller, job: str) -> None:
        self._service = service
        self._caller = caller
        self.job = job
        self._committed: list[float] = []
        service.ledger.listen(self._notice)

    @classmethod
    async def begin(cls, service: Service, owner: str) -> "ReportingJob":
        job, caller = new_id(), Caller(owner, "")
        await service.ledger.execute(CreateJob(owner, job, "benchmark"), caller)
        await service.ledger.execute(StartAttempt(job, 1, "benchmark"), caller)
        return cls(service, caller, job)

    @property
    def text(self) -> str:
        """Return an example of a frame."""
        with self._service.views.snapshot() as snapshot:
            tree = snapshot.job(self.job, self._caller.actor)
        return message("jobs", self.job, tree, self._service.now()).decode()

    async def round(self, sockets: int, count: int) -> list[float]:
        """Return latencies from a commit to a subscriber."""
        self._committed.clear()
        (account,) = await self._service.accounts.every()
        cookie = await self._service.accounts.new_async_cookie(account)
        async with served(make_app(self._service)) as server:
            arrivals = await _arrivals(server, cookie, self.update, sockets, count)
        return _latencies(self._committed, arrivals)

    async def update(self, number: int) -> None:
        update = UpdateProgress(self.job, 1, 1, number, TOTAL, number)
        await self._service.ledger.execute(update, self._caller)

    def _notice(self, commit: Commit) -> None:
        now = perf_counter()
        if any(isinstance(recorded.event, ProgressUpdated) for _, recorded in commit.events):
            self._committed.append(now)


async def _bare(text: str, sockets: int, count: int) -> list[float]:
    """Return latencies from handing over a text to its arrival."""
    handed: list[float] = []
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    def hand_over(number: int) -> None:
        numbered = NUMBER.sub(f'"bytes_done":{number}', text)
        handed.append(perf_counter())
        loop.call_soon_threadsafe(queue.put_nowait, numbered)

    async def tell(number: int) -> None:
        await asyncio.to_thread(hand_over, number)

    async with served(bare_app(queue)) as server:
        arrivals = await _arrivals(server, "", tell, sockets, count)
    return _latencies(handed, arrivals)


def bare_app(queue: asyncio.Queue[str]) -> web.Application:
    """Return an app that sends everything in the queue to every socket."""
    sockets: set[web.WebSocketResponse] = set()

    async def open_socket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        async for _ in socket:
            pass
        sockets.discard(socket)
        return socket

    async def send() -> None:
        while True:
            text = await queue.get()
            for socket in tuple(sockets):
                await socket.send_str(text)

    async def sending(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(send())
        yield
        task.cancel()

    app = web.Application()
    app.router.add_get("/websocket", open_socket)
    app.cleanup_ctx.append(sending)
    return app


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[Served]:
    """Serve our application on our connections, and a bare one on aiohttp's."""
    runner = (
        ApiRunner(app, prefix="benchmark", handler_cancellation=True)
        if LIMITS in app
        else web.AppRunner(app, access_log=None, handler_cancellation=True)
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port, *_ = runner.addresses[0]
        yield Served(host, port)
    finally:
        await runner.cleanup()


async def _arrivals(
    server: Served,
    cookie: str,
    tell: Callable[[int], Awaitable[None]],
    sockets: int,
    count: int,
) -> Arrivals:
    """Return when each frame, sent one by one, arrived at each socket."""
    with listeners(server, cookie, sockets=sockets, frames=count) as listening:
        await asyncio.to_thread(listening.wait_until_connected)
        for number in range(1, count + 1):
            await tell(number)
            await asyncio.sleep(PAUSE_S)
        return await asyncio.to_thread(listening.arrivals)


def _latencies(sent: Sequence[float], arrivals: Arrivals) -> list[float]:
    """Return the latencies of every frame at every socket after the warm-up."""
    pairs = list(zip(sent, arrivals, strict=True))[WARM_UP:]
    return [came - at for at, times in pairs for came in times]

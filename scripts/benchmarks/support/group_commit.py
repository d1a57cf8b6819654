"""The floor of a report that becomes an event: aiohttp and SQLite, written by hand.

Each request is parsed and waits for a transaction with all that came meanwhile. It writes the last
event of the ledger again, and the rows of its job.

    python -m scripts.benchmarks.support.group_commit FILE

It prints its port, and serves until it is ended.
"""

import asyncio
import sqlite3
import sys
from pathlib import Path

import orjson
from aiohttp import web

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.store.seam import Row
from projections.rows import rows
from scripts.benchmarks.support.files import Written, opened_raw, replay

Waiting = asyncio.Queue[asyncio.Future[None]]


class Template:
    """The last event of a ledger, again and again, with the rows of its job."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._last: Row = connection.execute(
            "SELECT * FROM stored_events ORDER BY position DESC LIMIT 1"
        ).fetchone()
        history = connection.execute(
            "SELECT topic, state FROM stored_events WHERE originator_id = ?"
            " ORDER BY originator_version",
            (self._last[2],),
        )
        stream, job = str(self._last[2]), None
        for topic, state in history:
            job = evolve(job, stream, decode(topic, state))
        assert job is not None
        self._job: Aggregate = job
        self._written = 0

    def next(self, count: int) -> Written:
        events = []
        position, leaf_index, stream, version, *rest = self._last
        for _ in range(count):
            self._written += 1
            at = [_plus(number, self._written) for number in (position, leaf_index, version)]
            events.append((at[0], at[1], stream, at[2], *rest))
        return Written(events, rows(self._job))


def _plus(number: object, more: int) -> int:
    assert isinstance(number, int)
    return number + more


async def _write(connection: sqlite3.Connection, waiting: Waiting) -> None:
    template = Template(connection)
    while True:
        batch = [await waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get_nowait())
        await asyncio.to_thread(replay, connection, [template.next(len(batch))])
        for each in batch:
            each.set_result(None)


async def serve(connection: sqlite3.Connection) -> None:
    waiting: Waiting = asyncio.Queue()

    async def answer(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        written = asyncio.get_running_loop().create_future()
        waiting.put_nowait(written)
        await written
        return web.json_response({"accepted": True})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await _write(connection, waiting)


if __name__ == "__main__":
    with opened_raw(Path(sys.argv[1])) as opened:
        asyncio.run(serve(opened))

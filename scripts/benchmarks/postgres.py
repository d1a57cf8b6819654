"""Progress updates by 64 callers at once with the ledger in PostgreSQL, durable, with their rows.

The floor is raw psycopg: the same rows in transactions of the same sizes, each a pipeline with the
library's LOCK and NOTIFY, and nothing else. The server is one of the benchmark's own, with its
files on the same disk.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from statistics import median
from time import perf_counter

import psycopg

from api.composition import open_ledger
from ledger.store.postgres.connections import postgres_log
from ledger.store.postgres.cursor import translate
from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection, upsert_columns
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.files import Written
from scripts.benchmarks.support.rows import Round, Row, missing, percentile_ms, row
from scripts.benchmarks.support.scale import Setting
from scripts.benchmarks.updates import Updating, cut

P99_MOST = 2.0
"""The largest p99, in multiples of the floor's."""
_INSERT = (
    "INSERT INTO stored_events SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[],"
    " %s::bigint[], %s::text[], %s::bytea[], %s::bytea[])"
)
_table_of_key = itemgetter(0)


def updates_postgres(setting: Setting) -> Row:
    """Against raw inserts and upserts of the same rows, in transactions of the same sizes."""
    with databases(setting.directory / "postgres") as urls:
        return asyncio.run(_updates(setting, urls))


async def _updates(setting: Setting, urls: Iterator[str]) -> Row:
    scale, data = setting
    url = next(urls)
    rounds, batches, floors_p99_ms = [], [], []
    async with open_ledger(data, url=url) as opened:
        updating = await Updating.begin(opened.ledger, prepared=True)
        for _ in range(scale.rounds):
            position = opened.ledger.position
            updated = await updating.round(scale.updates_each)
            transactions = _transactions(url, position)
            floor = _floor(next(urls), transactions)
            latencies = updated.latencies_s
            p50, p99 = percentile_ms(latencies, 0.50), percentile_ms(latencies, 0.99)
            rounds.append(Round(updated.rate, len(latencies) / sum(floor), p50, p99))
            batches.append(len(updated.latencies_s) / len(transactions))
            floors_p99_ms.append(percentile_ms(floor, 0.99))
    floor_p99_ms = median(floors_p99_ms)
    note = (
        f"64 callers, one process, mean batch {sum(batches) / len(batches):.0f}, of both alike;"
        f" p99 of the floor's transactions {floor_p99_ms:.1f} ms"
    )
    found = row("updates-postgres", "updates/s", rounds, at_least=0.5, note=note)
    assert found.p99_ms is not None
    return missing(found) if found.p99_ms > P99_MOST * floor_p99_ms else found


def _transactions(url: str, after: int) -> list[Written]:
    """Return what the service wrote after a position, in its transactions."""
    with postgres_log(url) as log:
        sizes = log.cursor().execute(
            "SELECT count(*) FROM stored_events WHERE position > ?"
            " GROUP BY xmin ORDER BY min(position)",
            (after,),
        )
        batches = [size for (size,) in sizes.fetchall()]
        return cut([tuple(event) for event in log.events()], after, batches)


def _floor(url: str, transactions: Sequence[Written]) -> list[float]:
    """Write them directly to an empty ledger; return the seconds that each takes."""
    PostgresStore(url, PostgresProjection()).close()
    seconds = []
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for events, rows in transactions:
            started = perf_counter()
            with connection.pipeline():
                connection.execute("BEGIN")
                for name, keys in groupby(sorted(rows), _table_of_key):
                    columns = [list(column) for column in zip(*map(rows.get, keys), strict=True)]
                    connection.execute(translate(upsert_columns(name, 1)), columns)
                connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
                connection.execute(_INSERT, [list(column) for column in zip(*events, strict=True)])
                connection.execute("NOTIFY stored_events")
                connection.execute("COMMIT")
            seconds.append(perf_counter() - started)
    return seconds

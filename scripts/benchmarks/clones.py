"""Server clones over HTTP, 32 at once, against single commits of what one clone writes.

A service that commits each command by itself could not be faster than the floor, even without HTTP.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from api.data.location import LEDGER_FILE
from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.events import Event, Recorded
from ledger.store.seam import Row as Stored
from ledger.store.seam import RowKey
from ledger.store.sqlite.connections import WAL_PAGES
from projections.audit_log import entries
from projections.rows import rows
from scripts.benchmarks.support.data_directories import request_bytes, seed
from scripts.benchmarks.support.files import (
    PAGE_BYTES,
    Written,
    commit_singly,
    copy_ledger,
    events_after,
    last_position,
    opened_raw,
    replay,
)
from scripts.benchmarks.support.processes import Served, load, serving
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting

CONNECTIONS = 32
WARM_UP = 300
WARM_UPS_MAX = 20


def clones(setting: Setting) -> Row:
    """Clones of a server with four disks; nothing is copied."""
    scale, data = setting
    seeded = asyncio.run(seed(data))
    request = request_bytes("POST", f"/api/2.0/servers/{seeded.server}/action/?do=clone")
    rounds, singles, sizes = [], [], ""
    with serving(data, "--no-copying") as server:
        _warm_up(server, request, data)
        for _ in range(scale.rounds):
            found, single, sizes = _round(server, request, data, scale.clones)
            rounds.append(found)
            singles.append(single)
    note = (
        f"32 connections; a clone writes {sizes};"
        f" commits of a single event row: {median(singles):,.0f}/s"
    )
    return row("clones", "clones/s", rounds, at_least=1.0, note=note)


def _warm_up(server: Served, request: bytes, data: Path) -> None:
    """Clone until the WAL is as long as it gets, see `fill_wal`."""
    wal = data / f"{LEDGER_FILE}-wal"
    for _ in range(WARM_UPS_MAX):
        load(server, [request], connections=CONNECTIONS, count=WARM_UP)
        if wal.stat().st_size >= WAL_PAGES * PAGE_BYTES:
            return


def _round(server: Served, request: bytes, data: Path, count: int) -> tuple[Round, float, str]:
    file, floor_file = data / LEDGER_FILE, data / "floor.sqlite"
    copy_ledger(file, floor_file)
    position = last_position(file)
    done = load(server, [request], connections=CONNECTIONS, count=count)
    transactions = [_written(group) for group in _by_request(events_after(file, position))]
    assert len(transactions) == count, "clones and requests differ in number"
    with opened_raw(floor_file) as connection:
        floor = count / replay(connection, transactions)
        single = commit_singly(connection, count)
    one = transactions[0]
    sizes = f"{len(one.events)} event rows and {len(one.rows)} view rows"
    return Round(done.rate, floor, done.p50_ms, done.p99_ms), single, sizes


_Decoded = tuple[Stored, Recorded[Event]]


def _by_request(events: Iterable[Stored]) -> Iterator[Sequence[_Decoded]]:
    """Yield the events of each request; those of one command are adjacent."""
    decoded = [(event, _recorded(event)) for event in events]
    for _, group in groupby(decoded, key=lambda item: item[1].request_id):
        yield list(group)


def _recorded(event: Stored) -> Recorded[Event]:
    topic, state = event[4], event[5]
    assert isinstance(topic, str)
    assert isinstance(state, bytes)
    return decode(topic, state)


def _written(group: Sequence[_Decoded]) -> Written:
    """Return the events of one clone, with the rows of what it made and of the audit log."""
    puts: dict[RowKey, Stored] = {}
    states: dict[str, Aggregate] = {}
    for event, recorded in group:
        stream = str(event[2])
        state = states[stream] = evolve(states.get(stream), stream, recorded)
        version = event[3]
        assert isinstance(version, int)
        puts |= entries(stream, version, recorded, state.owner)
    for state in states.values():
        puts |= rows(state)
    return Written([event for event, _ in group], puts)

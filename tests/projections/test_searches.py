"""Searches for parts of names, on both stores: what they find, and what they read for it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from threading import get_ident
from typing import Any
from unicodedata import normalize

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from immutables import Map

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.store.postgres.cursor import PgCursor
from ledger.store.seam import Cursor
from projections.rows import rows
from projections.tables import fold_case
from projections.views.filters import Condition
from projections.views.generations import live_generation, put_rows
from projections.views.searches import Found
from projections.views.walks import Walked
from tests.support.opened import Opened
from tests.support.opened_postgres import InPostgres, in_postgres
from tests.support.read_models import drive_of
from tests.support.wait import wait_for
from tests.support.world import START, machine

KINDS: tuple[Walked, ...] = ("drives", "servers", "tags")
owners = (f"owner{number}" for number in count())


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    if request.param == "sqlite":
        opened = Opened(tmp_path / "ledger.sqlite")
    else:
        opened = in_postgres(request.getfixturevalue("ledger_database"))
    with opened:
        yield opened


def put_all(store: Opened, things: Iterable[Drive | Server | Tag]) -> None:
    shown = {key: row for each in things for key, row in rows(each).items()}
    store.ledger.exclusive(lambda c: put_rows(c, live_generation(c), shown)).result()


def thing(kind: Walked, owner: str, number: int, name: str) -> Drive | Server | Tag:
    uuid, at = f"{owner}-{number}", START + timedelta(seconds=number // 2)
    if kind == "drives":
        return drive_of(uuid, number // 2, owner=owner, name=name)
    if kind == "servers":
        return Server(uuid, owner, machine(name), (), (), at)
    return Tag(uuid, owner, name, {}, at, Map({uuid: "drives"}))


# What they find

LETTERS = st.one_of(
    st.sampled_from("eEé\u0301"),
    st.sampled_from("aAÉßsSiIİ%_*?\\'\" ,\u0131\u017f\u03c3\ufffe\U0001f600"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
NAMES = st.text(LETTERS, max_size=6)
composed, decomposed = partial(normalize, "NFC"), partial(normalize, "NFD")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    kind=st.sampled_from(KINDS),
    names=st.lists(NAMES, max_size=6),
    bounds=st.tuples(st.integers(-1, 4), st.integers(0, 3)),
)
def test_names_that_have_a_part_are_found(
    store: Opened, data: st.DataObject, kind: Walked, names: list[str], bounds: tuple[int, int]
) -> None:
    """Those that have it, as in Python: only case folds, and nothing is a wildcard."""
    part = NAMES | st.builds(
        lambda name, start, length, written: written(name[start : start + length]),
        st.sampled_from(names or [""]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from([str, str.swapcase, str.casefold, composed, decomposed]),
    )
    both = data.draw(st.lists(st.lists(part, min_size=1, max_size=3), min_size=1, max_size=2))
    owner = next(owners)
    put_all(store, (thing(kind, owner, *numbered) for numbered in enumerate(names)))
    wanted = [Condition("name_contains", tuple(map(fold_case, parts))) for parts in both]
    having = [
        f"{owner}-{number}"
        for number, name in enumerate(names)
        if all(any(part.casefold() in name.casefold() for part in parts) for parts in both)
    ]
    limit, offset = bounds
    page = having[offset:] if limit < 0 else having[offset : offset + limit]
    with store.snapshot() as snapshot:
        found = snapshot.search(kind, owner, wanted, limit=limit, offset=offset)
        walked = snapshot.walk(kind, owner, wanted, limit=10).uuids
    assert found == Found(len(having), page)
    assert walked == having[::-1]


# What they read

ACCOUNTS = 10
EACH = 300
PARTS = [Condition("name_contains", ("7", "x")), Condition("name_contains", ("elm",))]
Statement = tuple[str, Sequence[Any]]


@pytest.fixture
def filled(store: Opened) -> Opened:
    fill(store, KINDS)
    return store


def fill(store: Opened, kinds: Iterable[Walked]) -> None:
    """Make many accounts' things, mixed as time mixes them; PostgreSQL knows how many there are."""
    for kind in kinds:
        put_all(
            store,
            (
                thing(kind, f"account{account}", number, f"elm {number}")
                for number in range(EACH)
                for account in range(ACCOUNTS)
            ),
        )
    if isinstance(store, InPostgres):
        with psycopg.connect(store.url, autocommit=True) as connection:
            wait_for("no transaction is older than the rows", lambda: has_vacuumed(connection))


def has_vacuumed(connection: psycopg.Connection) -> bool:
    """Vacuum; return whether all rows are known to be visible, so that an index alone will do.

    Only these tables: others are of all databases, and so of tests that run at the same time.
    """
    tables = [f"{kind}_g1" for kind in (*KINDS, "tag_resources")]
    connection.execute(f"VACUUM (ANALYZE) {', '.join(tables)}".encode())
    (visible,) = connection.execute(
        "SELECT bool_and(relallvisible = relpages) FROM pg_class WHERE relname = ANY(%s)",
        [tables],
    ).fetchall()[0]
    return bool(visible)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """What PostgreSQL is asked here; the ledger's own threads ask it for commits of others."""
    asked: list[Statement] = []
    execute, streamed, here = PgCursor.execute, PgCursor.streamed, get_ident()

    def record(cursor: PgCursor, sql: str, parameters: Sequence[Any] = ()) -> PgCursor:
        if get_ident() == here:
            asked.append((sql, parameters))
        return execute(cursor, sql, parameters)

    def record_streamed(
        cursor: PgCursor, sql: str, parameters: Sequence[Any], *, rows: int
    ) -> Iterator[Any]:
        asked.append((sql, parameters))
        return streamed(cursor, sql, parameters, rows=rows)

    monkeypatch.setattr(PgCursor, "execute", record)
    monkeypatch.setattr(PgCursor, "streamed", record_streamed)
    return asked


def test_they_read_the_index_of_names_alone(
    filled: Opened, statements: list[Statement], subtests: pytest.Subtests
) -> None:
    """No row, which is long, and no other account's name: as a list and as pages of a walk."""
    for kind in KINDS:
        with subtests.test(kind=kind), filled.snapshot() as snapshot:
            statements.clear()
            if not isinstance(filled, InPostgres):
                snapshot._connection.set_trace_callback(lambda sql: statements.append((sql, ())))
            total, uuids = snapshot.search(kind, "account3", PARTS, limit=20)
            first = snapshot.walk(kind, "account3", PARTS, limit=10)
            snapshot.walk(kind, "account3", PARTS, key=first.next, limit=10)
            if not isinstance(filled, InPostgres):
                snapshot._connection.set_trace_callback(None)
            assert (total, len(uuids), len(statements)) == (57, 20, 3)
            explained = statements[:]
            for sql, parameters in explained:
                assert scans(snapshot.cursor, sql, parameters) == {f"{kind}_g1_name"}, sql


def test_names_of_tags_are_looked_up_among_those_of_the_account(
    store: Opened, statements: list[Statement]
) -> None:
    """Every account has a tag of this name; neither those nor what bears them is looked at."""
    put_all(store, (thing("drives", "account3", number, "") for number in range(EACH)))
    fill(store, ["tags"])
    named = [Condition("tag_name", ("elm 7", "elm 9"))]
    with store.snapshot() as snapshot:
        statements.clear()
        if not isinstance(store, InPostgres):
            snapshot._connection.set_trace_callback(lambda sql: statements.append((sql, ())))
        assert snapshot.count("drives", "account3", named) == 2
        found = list(snapshot.listed("drives", "account3", named, limit=20))
        if not isinstance(store, InPostgres):
            snapshot._connection.set_trace_callback(None)
        assert found == ["account3-7", "account3-9"]
        asked = statements[:]
        assert len(asked) == 2
        for sql, parameters in asked:
            assert reads_of_tags(snapshot.cursor, sql, parameters) == {
                "tags_g1": ["owner", "name"],
                "tag_resources_g1": ["tag"],
            }, sql


def reads_of_tags(cursor: Cursor, sql: str, parameters: Sequence[Any]) -> dict[str, list[str]]:
    """Return by which columns of an index tags, and what bears them, are found."""
    if isinstance(cursor, PgCursor):
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        nodes = [*nodes_of(cursor.fetchone()[0][0]["Plan"])]
        found = {
            str(node["Relation Name"]): str(node.get("Index Cond", ""))
            for node in nodes
            if "Relation Name" in node
        }
    else:
        details = [detail for *_, detail in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]
        found = {detail.split()[1]: detail for detail in details if detail.startswith("SEARCH")}
        assert not any(detail.startswith("SCAN") for detail in details), details
    return {
        table: re.findall(r"\b(owner|name|tag|resource|uuid)\b *=", condition)
        for table, condition in found.items()
        if table.startswith("tag")
    }


def scans(cursor: Cursor, sql: str, parameters: Sequence[Any]) -> set[str]:
    """Return the indexes that the statement reads without their tables, and what else it reads."""
    if isinstance(cursor, PgCursor):
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        nodes = [*nodes_of(cursor.fetchone()[0][0]["Plan"])]
        return {
            node["Index Name"] if node["Node Type"] == "Index Only Scan" else str(node)
            for node in nodes
            if "Relation Name" in node
        }
    details = [detail for *_, detail in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]
    covering = re.compile(r"SEARCH this USING COVERING INDEX (\w+) \(owner=\?\)")
    found = [(covering.fullmatch(detail), detail) for detail in details if "this" in detail]
    return {match[1] if match else detail for match, detail in found}


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)

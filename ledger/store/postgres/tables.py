"""The tables of a ledger in PostgreSQL, and whether they are its home or a copy."""

from pathlib import Path

from ledger.domain.errors.store import StoreUnfit
from ledger.store.postgres.server_clock import server_time
from ledger.store.schema import SCHEMA_VERSION, TABLES, missing_views, statements
from ledger.store.seam import Cursor
from ledger.store.upgrade import upgrade

OWN_TABLES = Path(__file__).with_name("tables.sql")
VIEWS = Path(__file__).with_name("views.sql")
MOVING = "moving"
"""A table; while it exists, the database may hold half of a ledger."""
_TRANSLATED = 5
"""The first schema without objects that imitate SQLite's."""
_MADE_BEFORE = (
    ("VIEW", "sqlite_master", ""),
    ("FUNCTION", "instr", "(text, text)"),
    ("FUNCTION", "json_array_length", "(bytea)"),
    ("AGGREGATE", "group_concat", "(text)"),
    ("FUNCTION", "group_concat_next", "(text, text)"),
    ("FUNCTION", "typeof", "(bigint)"),
    ("FUNCTION", "typeof", "(text)"),
    ("FUNCTION", "typeof", "(bytea)"),
)


def create_tables(cursor: Cursor) -> None:
    """Create missing tables and views of a store; refuse those of a later schema.

    If nothing is missing nothing is locked, so other nodes can continue.
    """
    cursor.execute("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
    cursor.execute("SELECT version FROM schema_version")
    found = cursor.fetchone()
    if found is not None and found[0] > SCHEMA_VERSION:
        raise StoreUnfit(f"the database has schema {found[0]}; this is {SCHEMA_VERSION}")
    if found is None or found[0] < SCHEMA_VERSION:
        _raise_schema(cursor, found and found[0])
    for statement in missing_views(VIEWS, lambda name: _is_there(cursor, name)):
        cursor.execute(statement)


def _raise_schema(cursor: Cursor, found: int | None) -> None:
    for statement in statements(TABLES) + statements(OWN_TABLES):
        cursor.execute(statement)
    if found is not None and found < _TRANSLATED:
        _drop_made_before(cursor)
    if found is not None:
        upgrade(cursor, found, server_time(cursor))
    cursor.execute("DELETE FROM schema_version")
    cursor.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))


def _is_there(cursor: Cursor, name: str) -> bool:
    cursor.execute("SELECT to_regclass(?) IS NOT NULL", (name,))
    (there,) = cursor.fetchone()
    return bool(there)


def _drop_made_before(cursor: Cursor) -> None:
    """Drop what only earlier versions needed, in the schema where they created it."""
    cursor.execute("SELECT quote_ident(current_schema())")
    (schema,) = cursor.fetchone()
    for kind, name, arguments in _MADE_BEFORE:  # in quotes, no name is translated
        cursor.execute(f'DROP {kind} IF EXISTS {schema}."{name}"{arguments}')


def move_in(cursor: Cursor) -> None:
    """Make this database the ledger's home; any other one is a copy from now on."""
    cursor.execute("UPDATE home SET place = (SELECT place FROM here)")


def require_home(cursor: Cursor) -> None:
    cursor.execute("SELECT home.place = here.place FROM home, here")
    if not cursor.fetchone()[0]:
        raise StoreUnfit(
            "the ledger was put back into this database from a copy: see `job-ledger adopt`"
        )

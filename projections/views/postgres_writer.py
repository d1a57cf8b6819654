"""Writes the read models in PostgreSQL, in the pipeline of a batch, without reading in between.

The rows of a table go as columns in one statement: a statement for each row would be most of the
work.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from ledger.domain.errors.store import StoreFailed
from ledger.store.postgres.cursor import PgCursor
from ledger.store.seam import Cursor, RowKey, Rows
from projections.tables import BY_NAME, SCHEMA_VERSION, upsert
from projections.views.generations import InlineProjection, drop_rows, live_generation, shape_of

_ARRAYS = {"TEXT": "text[]", "INTEGER": "bigint[]", "BLOB": "bytea[]"}
_table_of_key = itemgetter(0)


class PostgresProjection(InlineProjection):
    """The read models, as the writer's `Projection`; it remembers which generation is live."""

    def __init__(self) -> None:
        self._generation = 0

    def create(self, cursor: Cursor) -> None:
        super().create(cursor)
        self._generation = live_generation(cursor)

    def look_again(self, cursor: Cursor) -> None:
        """Raise `StoreFailed` if another node has given the rows another schema version."""
        if shape_of(cursor) != SCHEMA_VERSION:
            raise StoreFailed(
                "the read models have another version by now: this node is out of date"
            )
        self._generation = live_generation(cursor)

    def write(self, cursor: Cursor, puts: Rows, drops: Iterable[RowKey]) -> None:
        """Put and drop rows of the generation last seen as live; fail if another is live now."""
        assert isinstance(cursor, PgCursor)
        cursor.execute(
            "SELECT 1 / (CASE WHEN generation = ? THEN 1 ELSE 0 END) FROM projection_head",
            (self._generation,),
        )
        drop_rows(cursor, self._generation, drops)
        for name, keys in groupby(sorted(puts), _table_of_key):
            rows = [puts[key] for key in keys]
            cursor.execute_columns(
                upsert_columns(name, self._generation), [*zip(*rows, strict=True)]
            )


@lru_cache
def upsert_columns(name: str, generation: int) -> str:
    """Return the statement that puts many rows, given as columns."""
    table = BY_NAME[name]
    given = ", ".join(f"?::{_ARRAYS[kind.partition(' ')[0]]}" for kind in table.types)
    marks = ", ".join("?" * len(table.columns))
    return upsert(table, generation).replace(f"VALUES ({marks})", f"SELECT * FROM unnest({given})")

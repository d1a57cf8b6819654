"""Writing the read models in PostgreSQL, in the pipeline of a batch: nothing is read in between."""

from collections.abc import Iterable

from ledger.store.seam import Cursor, RowKey, Rows
from projections.views.sqlite import SqliteProjection, drop_rows, live_generation, put_rows


class PostgresProjection(SqliteProjection):
    """The read models, as the writer's `Projection`; it remembers which generation is live."""

    def __init__(self) -> None:
        self._generation = 0

    def create(self, cursor: Cursor) -> None:
        super().create(cursor)
        self._generation = live_generation(cursor)

    def write(self, cursor: Cursor, puts: Rows, drops: Iterable[RowKey]) -> None:
        """Puts and drops rows of the generation that was live; fails if another one is by now."""
        cursor.execute(
            "SELECT 1 / (CASE WHEN generation = ? THEN 1 ELSE 0 END) FROM projection_head",
            (self._generation,),
        )
        drop_rows(cursor, self._generation, drops)
        put_rows(cursor, self._generation, puts)

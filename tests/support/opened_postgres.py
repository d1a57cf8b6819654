"""Whole ledgers in PostgreSQL."""

from pathlib import Path

from ledger.images.surveys import Surveyor
from ledger.store.postgres.connections import postgres_reader
from ledger.store.postgres.store import PostgresStore
from ledger.store.seam import Store
from projections.views.generations import InlineProjection
from projections.views.postgres_writer import PostgresProjection
from projections.views.views import Views
from tests.support.opened import Opened
from tests.support.retained import Retained


class InPostgres(Opened):
    """An opened ledger in a database; a subclass sets `url`."""

    url: str

    def projection(self) -> InlineProjection:
        return PostgresProjection()

    def open_store(self, projection: InlineProjection) -> Store:
        return PostgresStore(self.url, projection, clock=self.now)

    def open_views(self) -> Views:
        return Views(postgres_reader(self.url), None)


def in_postgres(url: str, environment: Surveyor | None = None) -> Opened:
    """Return the class of opened ledgers in this database."""
    opened: type[Opened] = type("OpenedInPostgres", (InPostgres,), {"url": url})
    return opened(Path("no file"), environment=environment)


def retained_in_postgres(url: str) -> type[Retained]:
    """Return the same with archives and retention."""
    return type("RetainedInPostgres", (InPostgres, Retained), {"url": url})

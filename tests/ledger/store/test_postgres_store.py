"""The PostgreSQL store, against the suite for every store."""

from collections.abc import Callable, Iterator

import pytest

from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection
from tests.ledger.store.conformance import OpenStore, StoreConformance
from tests.support.postgres import PostgresServer


@pytest.fixture
def handles(postgres: PostgresServer) -> Iterator[Callable[[], PostgresStore]]:
    url = postgres.new_ledger()
    opened: list[PostgresStore] = []

    def open_one_more() -> PostgresStore:
        opened.append(PostgresStore(url, PostgresProjection()))
        return opened[-1]

    yield open_one_more
    for store in opened:
        store.close()


class TestPostgresStore(StoreConformance):
    """Past one machine."""

    @pytest.fixture
    def open_store(self, handles: OpenStore) -> OpenStore:
        return handles

    @pytest.fixture
    def projection(self) -> PostgresProjection:
        return PostgresProjection()

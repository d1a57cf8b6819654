"""Connections of those who read."""

from contextlib import closing

from ledger.store.postgres.connections import postgres_reader


def test_a_long_read_is_over_the_connection_of_the_read_before(ledger_database: str) -> None:
    """But two at once have one each."""
    with closing(postgres_reader(ledger_database)) as reader:
        with reader.snapshot() as short:
            pass
        with reader.long_snapshot() as first, reader.long_snapshot() as second:
            assert first is short
            assert second is not first

"""A database of an earlier version: leftovers that only it needed go, everything else stays."""

from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ledger.archives import Shelf
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors.store import StoreFailed
from ledger.merkle.signed_note import Signer
from ledger.proofs.checkpoints import checkpoint_of
from ledger.proofs.verification import verify
from ledger.store.postgres.connections import postgres_log
from ledger.store.postgres.store import PostgresStore
from ledger.store.schema import SCHEMA_VERSION
from ledger.store.tables.stamps import newest_stamp
from ledger.store.tables.tiles import position_at
from projections.audit.replay import replay
from projections.views.filters import Condition
from projections.views.postgres_writer import PostgresProjection
from tests.ledger.store.conformance import batch, stamped
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.read_models import drives_of, jobs_of
from tests.support.story import STORY
from tests.support.world import ME, START

SCHEMA_4 = Path(__file__).with_name("made_by_schema_4.sql")
SIGNER = Signer("job-ledger/test", bytes(32))
OBJECTS = """
SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'v' AND nspname IN ('public', 'mine')
UNION ALL
SELECT nspname || '.' || proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
WHERE nspname IN ('public', 'mine') AND proname NOT LIKE 'procrastinate%'
"""


def objects(url: str) -> list[str]:
    """The views and functions in a database, but for Procrastinate's."""
    with psycopg.connect(url) as connection:
        return sorted(name for (name,) in connection.execute(OBJECTS).fetchall())


@pytest.fixture
def earlier(database: str) -> str:
    """A ledger of schema 4, in a database in which somebody has a function of the same name."""
    with in_postgres(database) as opened:
        opened.do(*STORY)
    with psycopg.connect(database) as connection:
        connection.execute(SCHEMA_4.read_text(encoding="utf-8"))
        connection.execute("UPDATE schema_version SET version = 4")
        connection.execute("CREATE SCHEMA mine")
        connection.execute(
            "CREATE FUNCTION mine.instr(text, text) RETURNS integer LANGUAGE sql RETURN 0"
        )
    return database


def check_sound(opened: Opened) -> None:
    """Events, proofs and rows are as they were; all that was a function is read."""
    assert opened.replay().divergence is None
    rebuilt = opened.rebuild()
    assert rebuilt.before == rebuilt.after
    assert opened.replay().divergence is None
    with opened.ledger.log() as log:
        checkpoint = checkpoint_of(log, SIGNER.name)
        verified = verify(log, Shelf(Path("none")), checkpoint, SIGNER.verifier, names=())
    assert verified.intact
    with opened.snapshot() as snapshot:
        named = drives_of(snapshot, ME, [Condition("name_contains", ("a",))], limit=-1)
        assert [drive.uuid for drive in named][:1] == ["a"]
        assert snapshot.count_log_entries(ME) == len(list(snapshot.log_entries(ME)))
        assert [tree.job.uuid for tree in jobs_of(snapshot, ME) if tree.resources]
    assert opened.failures == []


def test_a_new_ledger_creates_nothing_of_sqlites(database: str) -> None:
    """Besides tables there are the place that the ledger has its home in, and what readers find."""
    with in_postgres(database) as opened:
        opened.do(*STORY)
        check_sound(opened)
    assert objects(database) == ["public.here", "public.recorded_events"]


def test_leftovers_of_an_earlier_version_are_removed(earlier: str) -> None:
    """When it is opened; objects of the user's own stay."""
    assert len(objects(earlier)) == 11
    with in_postgres(earlier) as opened:
        opened.do(CreateJob(ME, "late", "x"))
        check_sound(opened)
    assert objects(earlier) == ["mine.instr", "public.here", "public.recorded_events"]
    with psycopg.connect(earlier) as connection:
        found = connection.execute("SELECT version FROM schema_version").fetchall()
    assert found == [(SCHEMA_VERSION,)]


def test_marks_are_put_from_now_on(database: str) -> None:
    """Schema 5 had none."""
    with in_postgres(database) as opened:
        opened.do(*STORY)
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE writers")
        connection.execute("UPDATE schema_version SET version = 5")
    with in_postgres(database) as opened:
        opened.do(CreateJob(ME, "late", "x"))
        check_sound(opened)
        with psycopg.connect(database) as connection:
            assert len(connection.execute("SELECT mark FROM writers").fetchall()) == 1


def test_stamps_of_schema_5_are_dated_when_it_is_opened(database: str) -> None:
    """It knew neither the newest stamp, nor that one may be wrong."""
    days = [0, 4, 0.001, 0.002, 0.003]
    with closing(PostgresStore(database, PostgresProjection())) as store:
        store.append(batch(*stamped(day * 86400 for day in days)))
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE leaf_count DROP COLUMN latest")
        connection.execute("DROP TABLE stamp_faults")
        connection.execute("UPDATE schema_version SET version = 5")
    with in_postgres(database) as opened:
        newest = START + timedelta(days=0.003)
        assert opened.ledger.read(newest_stamp) == newest
        before = START + timedelta(days=0.0021)
        assert opened.ledger.read(lambda c: position_at(c, before)) == 4
        assert opened.ledger.read(lambda c: position_at(c, newest)) == 5


def test_a_database_of_an_earlier_version_is_read_without_changes(earlier: str) -> None:
    """An auditor needs nothing of it, and changes nothing."""
    before = objects(earlier)
    replayed = replay(partial(postgres_log, earlier), lambda done, total: None)
    assert replayed.divergence is None
    assert before == objects(earlier)


def test_a_leftover_that_other_objects_depend_on_is_reported(earlier: str) -> None:
    """Nothing goes that somebody's own view needs, and then nothing is changed."""
    with psycopg.connect(earlier) as connection:
        connection.execute("CREATE VIEW mine.names AS SELECT name FROM public.sqlite_master")
    before = objects(earlier)
    with pytest.raises(StoreFailed, match="other objects depend on it"):
        in_postgres(earlier)
    assert before == objects(earlier)

"""A ledger in PostgreSQL does all that one in SQLite does: rows, rebuilds, audits, archives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.domain.commands.jobs import CreateJob
from ledger.store.postgres.cursor import PgCursor
from projections.views.filters import Condition
from tests.retention.conftest import Clock
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres, retained_in_postgres
from tests.support.story import STORY
from tests.support.world import ME


def test_the_same_commands_give_the_same_rows(database: str, tmp_path: Path) -> None:
    """Byte for byte what SQLite has."""
    with Opened(tmp_path / "ledger.sqlite") as there, in_postgres(database) as here:
        there.do(*STORY)
        here.do(*STORY)
        assert here.rows() == there.rows()
        with there.ledger.log() as theirs, here.ledger.log() as ours:
            assert list(ours.events()) == list(theirs.events())


def test_a_page_that_is_short_is_fetched_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor of the server takes three questions more; a page that looks far needs one."""
    streamed: list[str] = []

    def noted(_: PgCursor, sql: str, *_given: object, **_rows: int) -> Iterator[object]:
        streamed.append(sql)
        return iter(())

    with in_postgres(database) as opened:
        opened.do(*STORY)
        monkeypatch.setattr(PgCursor, "streamed", noted)
        with opened.snapshot() as snapshot:
            assert len(snapshot.walk("jobs", ME, limit=2).uuids) == 2
            assert streamed == []
            snapshot.walk("jobs", ME, [Condition("operation", ("x",))], limit=2)
            assert len(streamed) == 1
        monkeypatch.undo()


def test_a_rebuild_and_an_audit(database: str, tmp_path: Path) -> None:
    """Both find the rows as they were written."""
    with in_postgres(database) as opened:
        opened.do(*STORY)
        assert opened.replay().divergence is None
        rebuilt = opened.rebuild()
        assert rebuilt.before == rebuilt.after
        assert opened.replay().divergence is None
        opened.do(CreateJob(ME, "after-the-flip", "x"))
        assert opened.replay().divergence is None


def test_discarded_events_go_to_an_archive(database: str, tmp_path: Path) -> None:
    """And all of it is sound, with the archive and without."""
    clock = Clock()
    with retained_in_postgres(database)(tmp_path / "none", clock) as kept:
        kept.do(*STORY)
        due = kept.retention.status().next_due
        assert due is not None
        clock.advance(days=3, seconds=1)
        assert due <= clock()
        ran = kept.run()
        assert ran.compacted is not None
        assert kept.replay().divergence is None
        assert kept.replay(kept.archives).divergence is None
        rebuilt = kept.rebuild()
        assert rebuilt.before == rebuilt.after

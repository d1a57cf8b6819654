"""The `eventsourcing` package alone reads a ledger: its own recorders, and a follower of those."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from eventsourcing.application import LocalNotificationLog
from eventsourcing.persistence import ApplicationRecorder, PersistenceError, StoredEvent
from psycopg.conninfo import conninfo_to_dict

from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from scripts.examples.follower import EVENTS, LEDGER, PAGE_EVENTS, Activity, recorder_of
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.world import ME, disk

READER = f"reader_{os.getpid()}"
COUNT = f"SELECT count(*) FROM {EVENTS}"


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    if request.param == "sqlite":
        opened = Opened(tmp_path / "ledger.sqlite")
    else:
        opened = in_postgres(request.getfixturevalue("ledger_database"))
    with opened:
        yield opened


@pytest.fixture
def place(opened: Opened) -> Iterator[str]:
    """Where the ledger is, for somebody who may only read the view."""
    url = getattr(opened, "url", None)
    if url is None:
        yield str(opened.file)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD 'birch'".encode())
        connection.execute(f"GRANT SELECT ON {EVENTS} TO {READER}".encode())
    at = conninfo_to_dict(url)
    yield f"postgresql://{READER}:birch@/{at['dbname']}?host={at['host']}&port={at.get('port', '')}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {READER}".encode())
        connection.execute(f"DROP ROLE {READER}".encode())


@pytest.fixture
def recorder(place: str) -> Iterator[ApplicationRecorder]:
    recorder = recorder_of(place)
    yield recorder
    recorder.datastore.close()  # type: ignore[attr-defined]


def work(opened: Opened, drive: str) -> None:
    new = NewDrive(drive, disk())
    opened.do(CreateDrives(ME, (new,), "blank"), MarkDriveReady(drive))
    opened.do(CloneDrive(ME, drive, f"copy-of-{drive}", f"job-of-{drive}"))


def test_a_plain_recorder_reads_every_event_in_order(
    opened: Opened, recorder: ApplicationRecorder
) -> None:
    """Section by section, also what is recorded meanwhile, and each stream by itself."""
    work(opened, "d")
    log = LocalNotificationLog(recorder, section_size=2)
    read = log.select(start=1, limit=2)
    work(opened, "e")
    while True:
        more = log.select(start=read[-1].id + 1, limit=2)
        if not more:
            break
        read = [*read, *more]
    with opened.ledger.log() as ours:
        expected = [
            (event.position, event.stream, event.version, event.topic, event.state)
            for event in ours.events()
        ]
    assert [
        (each.id, each.originator_id, each.originator_version, each.topic, each.state)
        for each in read
    ] == expected
    assert recorder.max_notification_id() == expected[-1][0]
    stream = expected[0][1]
    of_one = [(each.topic, bytes(each.state)) for each in recorder.select_events(stream)]
    assert of_one == [(topic, state) for _, name, _, topic, state in expected if name == stream]


def test_a_ledger_without_the_view_gets_it_at_its_next_start(opened: Opened) -> None:
    """Whatever its schema is; a start that finds it there leaves it alone."""
    work(opened, "d")
    opened.ledger.exclusive(lambda cursor: cursor.execute(f"DROP VIEW {EVENTS}")).result()
    for _ in range(2):
        opened.open_store(opened.projection()).close()
        counted = opened.ledger.read(lambda cursor: cursor.execute(COUNT).fetchone()[0])
        assert counted == opened.ledger.position


def test_a_reader_can_change_nothing(opened: Opened, recorder: ApplicationRecorder) -> None:
    work(opened, "d")
    before = len(recorder.select_notifications(1, 100))
    with pytest.raises(PersistenceError):
        recorder.insert_events([StoredEvent("job-x", 1, "job-created/1", b"{}")])
    assert len(recorder.select_notifications(1, 100)) == before


def test_a_follower_counts_each_event_once(
    opened: Opened,
    recorder: ApplicationRecorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In runs that continue one another, while the ledger grows."""
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.sqlite")
    monkeypatch.setenv("SQLITE_DBNAME", str(tmp_path / "own.sqlite"))
    counts: list[dict[str, int]] = []
    for drive in ("d", "e", None):
        if drive is not None:
            work(opened, drive)
        with Activity() as activity:
            activity.follow(LEDGER, LocalNotificationLog(recorder, PAGE_EVENTS))
            activity.pull_and_process(LEDGER)
            [account] = activity.accounts()
            counts.append(account.counts)
            assert activity.recorder.max_tracking_id(LEDGER) == recorder.max_notification_id()
    with opened.ledger.log() as log:
        names = Counter(event.topic.partition("/")[0] for event in log.events())
    assert counts[0] != counts[1] == counts[2] == names

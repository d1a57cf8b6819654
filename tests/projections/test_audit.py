"""An auditor finds whatever is not as it must be, and says where."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.codec import encode, leaf_hash
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveReady
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobCreated,
    JobFailed,
    JobSucceeded,
    ProgressUpdated,
)
from ledger.domain.events.servers import ServerDeleted
from ledger.store.seam import Batch
from ledger.store.sqlite.connections import sqlite_reader
from projections.audit.findings import Divergence
from projections.audit.history import job_history
from projections.audit.replay import replay
from tests.support.opened import CALLER, Opened, behind_its_back
from tests.support.producing import registered
from tests.support.world import ME, START


class At(NamedTuple):
    """Where an event is."""

    position: int
    stream: str
    version: int
    topic: str


def at(opened: Opened, stream: str, version: int) -> At:
    with closing(sqlite3.connect(opened.file)) as connection:
        row = connection.execute(
            "SELECT position, originator_id, originator_version, topic FROM stored_events"
            " WHERE originator_id = ? AND originator_version = ?",
            (stream, version),
        ).fetchone()
    assert row is not None
    return At(*row)


def newest_version(opened: Opened, stream: str) -> int:
    with opened.ledger.log() as log:
        return len(log.stream(stream))


def last(opened: Opened, stream: str) -> At:
    return at(opened, stream, newest_version(opened, stream))


def tamper(opened: Opened, sql: str, *parameters: object) -> None:
    with behind_its_back(opened.file) as connection:
        assert connection.execute(sql, parameters).rowcount > 0


def forge(opened: Opened, stream: str, *events: Event) -> At:
    """Events that no decision would have made, well stored; where the first of them is."""
    version = newest_version(opened, stream)
    stored = [
        encode(stream, version + nth, Recorded(START, "forger", "", event))
        for nth, event in enumerate(events, 1)
    ]
    opened.store.append(Batch(stored, [], {}, [], []))
    return at(opened, stream, version + 1)


def found(opened: Opened) -> Divergence:
    divergence = opened.replay().divergence
    assert divergence is not None, "nothing was found"
    return divergence


def check(opened: Opened, where: At, saying: str) -> None:
    """The auditor names this event and says what is wrong with it."""
    divergence = found(opened)
    assert (where.position, where.stream, where.topic) == divergence[:3]
    assert saying in divergence.reason


def test_a_sound_ledger_has_no_divergence(told: Opened) -> None:
    """And the auditor says how much there was of it."""
    replayed = told.replay()
    assert replayed.divergence is None
    with told.ledger.log() as log:
        assert (log.count(), len(log.streams_after(0)), log.last_position()) == replayed[:3]


def test_an_empty_ledger_is_sound(opened: Opened) -> None:
    """There is nothing to be wrong."""
    assert opened.replay() == (0, 0, 0, None)


def test_an_auditor_tells_how_far_it_is(told: Opened) -> None:
    """From none to all of the events."""
    reports: list[tuple[int, int]] = []
    replayed = replay(told.ledger.log, lambda done, total: reports.append((done, total)))
    assert (0, replayed.events) == reports[0]
    assert (replayed.events, replayed.events) == reports[-1]


# The events by themselves


def test_a_changed_byte_is_found(told: Opened) -> None:
    """One digit of one event."""
    where = last(told, "job-new-10")
    tamper(
        told,
        "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), '41', '40') AS BLOB)"
        " WHERE position = ?",
        where.position,
    )
    check(told, where, "leaf hash")


@pytest.mark.parametrize(
    "change",
    ["actor", "topic", "stream"],
)
def test_any_other_change_of_an_event_is_found(told: Opened, change: str) -> None:
    """Its envelope, its name, and the stream that it belongs to."""
    where = last(told, "job-clone-of-a")
    sql = {
        "actor": "state = CAST(replace(CAST(state AS TEXT), 'account-1', 'account-9') AS BLOB)",
        "topic": "topic = 'job-succeeded/2'",
        "stream": "originator_id = 'job-their-job', originator_version = 2",
    }[change]
    tamper(told, f"UPDATE stored_events SET {sql} WHERE position = ?", where.position)
    divergence = found(told)
    assert where.position == divergence.position
    assert "leaf hash" in divergence.reason


def test_a_wrong_leaf_is_found(told: Opened) -> None:
    """Also where the event itself is untouched."""
    where = at(told, "drive-b", 1)
    tamper(told, "UPDATE stored_events SET leaf = zeroblob(32) WHERE position = ?", where.position)
    check(told, where, "leaf hash")


@pytest.mark.parametrize("position", [1, 5, 20])
def test_a_removed_event_is_found(told: Opened, position: int) -> None:
    """The event after the gap is named."""
    tamper(told, "DELETE FROM stored_events WHERE position = ?", position)
    divergence = found(told)
    assert position + 1 == divergence.position
    assert "an event is missing" in divergence.reason


def test_the_newest_event_removed_is_found(told: Opened) -> None:
    """Though there is no event after the gap, and its row is gone too."""
    with told.ledger.log() as log:
        newest = log.last_position()
    tamper(told, "DELETE FROM stored_events WHERE position = ?", newest)
    tamper(told, "DELETE FROM jobs_g1 WHERE uuid = 'their-job'")
    assert f"there have been {newest} events; of the last, some are missing" == found(told).reason


def releafed(connection: sqlite3.Connection) -> None:
    """Makes every leaf that of its bytes, as a careful forger would."""
    rows = connection.execute(
        "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
    ).fetchall()
    for position, stream, version, topic, state in rows:
        leaf = leaf_hash(stream, version, topic, state)
        connection.execute("UPDATE stored_events SET leaf = ? WHERE position = ?", (leaf, position))


def test_reordered_versions_are_found(told: Opened) -> None:
    """Two events of a stream that changed places, with leaves made to fit."""
    first, second = at(told, "job-leaf", 2), at(told, "job-leaf", 3)
    with behind_its_back(told.file) as connection:
        for version, where in ((99, first), (2, second), (3, first)):
            connection.execute(
                "UPDATE stored_events SET originator_version = ? WHERE position = ?",
                (version, where.position),
            )
        releafed(connection)
    divergence = found(told)
    assert (first.position, "job-leaf") == divergence[:2]
    assert "version 3 of the stream follows version 1" in divergence.reason


def test_a_duplicated_version_is_found(told: Opened) -> None:
    """Where the table does not forbid it any more."""
    where = last(told, "job-new-10")
    with behind_its_back(told.file) as connection:
        connection.execute("CREATE TABLE copied AS SELECT * FROM stored_events")
        connection.execute("DROP VIEW recorded_events")
        connection.execute("DROP TABLE stored_events")
        connection.execute("ALTER TABLE copied RENAME TO stored_events")
        connection.execute(
            "INSERT INTO stored_events SELECT (SELECT max(position) + 1 FROM stored_events),"
            " (SELECT max(leaf_index) + 1 FROM stored_events), originator_id, originator_version,"
            " topic, state, leaf FROM stored_events WHERE position = ?",
            (where.position,),
        )
    divergence = found(told)
    assert divergence.position > where.position
    assert divergence.stream == "job-new-10"
    assert f"version {where.version} of the stream follows version {where.version}" in (
        divergence.reason
    )


def test_an_event_that_cannot_be_read_is_found(told: Opened) -> None:
    """It is named, with its leaf made to fit."""
    where = last(told, "job-leaf")
    with behind_its_back(told.file) as connection:
        connection.execute(
            "UPDATE stored_events SET topic = 'job-exploded/1' WHERE position = ?",
            (where.position,),
        )
        releafed(connection)
    divergence = found(told)
    assert (where.position, "job-leaf", "job-exploded/1") == divergence[:3]
    assert "no event is stored under the name" in divergence.reason


# What they say


FORGED: dict[str, tuple[str, Event, str]] = {
    "ready twice": ("drive-a", DriveReady(), "ready already"),
    "after deletion": ("drive-gone", DriveReady(), "had been deleted"),
    "deleted twice": ("server-t2", ServerDeleted(), "had been deleted"),
    "after the end": ("job-leaf", JobFailed("late"), "had ended"),
    "created twice": ("job-leaf", JobCreated("x", ME, (), "leaf"), "begins with its creation"),
    "no creation": ("drive-nothing", DriveReady(), "begins with its creation"),
    "unknown kind": ("balance-x", DriveReady(), "no streams of the kind balance"),
    "wrong stream": ("drive-theirs", JobSucceeded(), "creation|has no JobSucceeded"),
    "progress back": ("job-new-10", ProgressUpdated(1, 40, 0, 0, 0), "from 41 to 40"),
    "progress beyond": ("job-new-10", ProgressUpdated(1, 101, 0, 0, 0), "from 41 to 101"),
    "stale attempt": ("job-new-10", ProgressUpdated(2, 50, 0, 0, 0), "attempt 2"),
    "child still running": ("job-twig", JobSucceeded(), "still running"),
    "parent ended too early": ("job-running-clone-of-s", JobFailed("no"), "still running"),
    "child ended, it says": ("job-twig", ChildEnded("other-leaf", "success"), "did not end as"),
    "child ended twice": ("job-twig", ChildEnded("leaf", "success"), "no running child"),
    "another's child": ("job-root", ChildAttached("other-leaf"), "not name this job as its parent"),
    "a child that never was": ("job-root", ChildAttached("nobody"), "not name this job as its"),
    "parent that had ended": (
        "job-orphan",
        JobCreated("x", ME, (), "clone-of-s", "clone-of-s"),
        "not a running job",
    ),
    "another's root": ("job-orphan", JobCreated("x", ME, (), "wrong", "twig"), "the same tree"),
}


@pytest.mark.parametrize("what", FORGED)
def test_an_event_that_may_not_be_is_found(told: Opened, what: str) -> None:
    """However well it is stored: the auditor does not trust the code that decided."""
    stream, event, saying = FORGED[what]
    where = forge(told, stream, event)
    divergence = found(told)
    assert (where.position, where.stream, where.topic) == divergence[:3]
    assert any(part in divergence.reason for part in saying.split("|")), divergence.reason


def test_a_child_that_its_parent_does_not_know_is_found(told: Opened) -> None:
    """The child says who its parent is, the parent says nothing."""
    where = forge(told, "job-orphan", JobCreated("x", ME, (), "root", "twig", 2))
    check(told, where, "parent twig does not list it")


def test_a_producers_job_below_one_of_ours_is_found(told: Opened) -> None:
    """Each kind of job ends in its own way, and tells its parent so."""
    forge(told, "job-orphan", JobCreated("x", ME, (), "root", "twig", 2), registered())
    where = forge(told, "job-twig", ChildAttached("orphan"))
    check(told, where, "not both")


def test_a_child_whose_end_its_parent_does_not_know_is_found(told: Opened) -> None:
    """The child has ended, and its parent still waits for it."""
    where = forge(told, "job-other-leaf", JobSucceeded())
    check(told, where, "")
    assert "row" not in found(told).reason


def test_a_parent_that_was_not_settled_is_found(told: Opened) -> None:
    """All its children have ended, and it goes on."""
    forge(told, "job-other-leaf", JobSucceeded())
    where = forge(told, "job-twig", ChildEnded("other-leaf", "success"))
    check(told, where, "all its children have ended")


# What is shown of them


ROWS: dict[str, tuple[str, str, str]] = {
    "a changed row": ("UPDATE jobs_g1 SET progress = 42 WHERE uuid = 'new-10'", "job-new-10", "42"),
    "a changed definition": (
        "UPDATE drives_g1 SET definition = x'7b7d' WHERE uuid = 'b'",
        "drive-b",
        "should be",
    ),
    "a missing row": ("DELETE FROM servers_g1 WHERE uuid = 's'", "server-s", "is None"),
    "a missing relation": (
        "DELETE FROM attachments_g1 WHERE server = 's' AND place = 1",
        "server-s",
        "is None",
    ),
    "a resource that is busy no more": (
        "UPDATE job_resources_g1 SET running = 0 WHERE job = 'new-10'",
        "job-new-10",
        "job_resources",
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_row_that_is_not_what_the_events_say_is_found(told: Opened, what: str) -> None:
    """The newest event of its stream is named, with what is shown and what should be."""
    sql, stream, saying = ROWS[what]
    tamper(told, sql)
    check(told, last(told, stream), saying)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO attachments_g1 VALUES ('phantom', 0, 'a', 'now')",
        (
            "INSERT INTO servers_g1 SELECT 'phantom', owner, name, folded_name, created, host,"
            " active_since, definition, mounts, nics, addresses FROM servers_g1 WHERE uuid = 's'"
        ),
        (
            "INSERT INTO job_resources_g1"
            " VALUES ('phantom', 0, 'a', 'drives', 'source', 'now', 1, 'x')"
        ),
    ],
    ids=["attachments", "servers", "job_resources"],
)
def test_a_row_of_no_event_is_found(told: Opened, sql: str) -> None:
    """Its table and key are named."""
    tamper(told, sql)
    divergence = found(told)
    assert divergence.stream == "phantom"
    assert "comes from no event" in divergence.reason


def test_the_rows_of_a_deleted_drive_are_found(told: Opened) -> None:
    """A row that should have been dropped comes from no event."""
    tamper(
        told,
        "INSERT INTO drives_g1 SELECT 'gone', owner, name, folded_name, size, pool, origin, ready,"
        " failed, resizing, created, definition FROM drives_g1 WHERE uuid = 'a'",
    )
    assert "gone" in found(told).reason


def test_only_the_live_generation_is_audited(told: Opened) -> None:
    """What a rebuild left behind is nobody's truth."""
    told.rebuild()
    with behind_its_back(told.file) as connection:
        connection.execute("CREATE TABLE jobs_g9 AS SELECT * FROM jobs_g2 LIMIT 1")
    assert told.replay().divergence is None
    tamper(told, "UPDATE jobs_g2 SET state = 'failed' WHERE uuid = 'new-10'")
    assert found(told).stream == "job-new-10"


# Beside a running service


def test_an_audit_changes_nothing(told: Opened) -> None:
    """Neither the events nor the rows, and a service goes on beside it."""
    before = told.rows()
    replay(
        told.ledger.log, lambda done, total: told.do(CreateJob(ME, f"late-{done}", "x"), by=CALLER)
    )
    assert len(told.rows()["jobs"]) == len(before["jobs"]) + 2
    assert told.replay().divergence is None


@pytest.mark.parametrize("content", [None, "", "nonsense " * 99], ids=["none", "empty", "nonsense"])
def test_what_is_no_ledger_cannot_be_replayed(tmp_path: Path, content: str | None) -> None:
    """There is none, or it is something else; and none is made."""
    file = tmp_path / "no-ledger.sqlite"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StoreFailed):
        replay(sqlite_reader(file).log, lambda done, total: None)
    assert (content is not None) == file.exists()


def test_the_history_of_a_job_can_be_read(told: Opened) -> None:
    """Every event of it, oldest first, with its envelope; none for a job that never was."""
    with told.ledger.log() as log:
        history = job_history(log, "new-10")
        assert job_history(log, "nothing") == []
    assert [line.version for line in history] == [1, 2, 3]
    assert [line.event for line in history] == [
        "job-created/2",
        "job-attempt-started/2",
        "progress-updated/2",
    ]
    assert (CALLER.actor, CALLER.request_id) == (history[2].actor, history[2].request_id)
    assert history[2].fields["progress"] == 41
    assert last(told, "job-new-10").position == history[2].position

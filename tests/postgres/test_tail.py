"""The commits of other nodes: each is reported once, and in order."""

import logging
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Event, Lock
from typing import Any

import pytest

from ledger.codec import decode, encode
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.events import Recorded
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.store.seam import Batch, Commit
from tests.postgres.nodes import Nodes, at_once, make_drive
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import end_listeners
from tests.support.wait import wait_for
from tests.support.world import ME, START, Foreseen

TAIL_EVENTS = 100_000
WRITERS = 4


class Heard:
    """What a tail tells."""

    def __init__(self, node: Opened) -> None:
        self.commits: list[Commit] = []
        self._lock = Lock()
        node.ledger.listen(self.hear)

    def hear(self, commit: Commit) -> None:
        with self._lock:
            self.commits.append(commit)

    def events(self) -> list[tuple[str, Any]]:
        with self._lock:
            return [(stream, one.event) for commit in self.commits for stream, one in commit.events]

    def wait_for(self, events: int) -> list[tuple[str, Any]]:
        wait_for(f"for {events} events", lambda: len(self.events()) >= events)
        return self.events()


def recorded(node: Opened) -> list[tuple[str, Any]]:
    with node.ledger.log() as log:
        return [(each.stream, decode(each.topic, each.state).event) for each in log.events()]


def test_every_commit_of_all_nodes_is_reported_once_and_in_order(
    nodes: Nodes,
) -> None:
    """With the states as these events leave them, also of streams that began before."""
    one, two = nodes
    one.do(CreateJob(ME, "old", "x"), StartAttempt("old", 1, "w"))
    make_drive(one, "d")
    before = len(recorded(one))
    wait_for("for the tail to be there", lambda: two.ledger.position >= before)
    heard = Heard(two)
    one.do(UpdateProgress("old", 1, 10), CloneDrive(ME, "d", "copy", "j"))
    two.do(UpdateProgress("old", 1, 20), StartAttempt("j", 1, "w"))
    one.do(SucceedJob("j", 1))
    told = heard.wait_for(len(recorded(one)) - before)
    assert told == recorded(one)[before:]
    last = heard.commits[-1]
    assert last.position == one.ledger.position
    ended = last.states["job-j"]
    assert isinstance(ended, Job)
    assert ended.state == "success"
    assert {"d", "copy"} <= set().union(*(commit.related for commit in heard.commits))


def test_events_of_a_stream_that_is_gone_are_not_passed_on(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    """A compaction may delete its first event before a node that lags has read the others."""
    one, two = nodes
    heard = Heard(two)
    discard = JobsDiscarded(timedelta(0), START, 0, (), (), last=False)
    for version, job in ((2, "next"), (3, "last")):
        lost = encode("sweep-gone", version, Recorded(START, "test", "", discard))
        one.store.append(Batch([lost], [], {}, [], []))
        one.do(CreateJob(ME, job, "x"))
        told = heard.wait_for(version - 1)
    assert [stream for stream, _ in told] == ["job-next", "job-last"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_tail_misses_nothing_while_others_write(
    nodes: Nodes, many: Callable[[int], int], database: str
) -> None:
    """Thousands of events of four writers; the tail sees each position once, in order."""
    reader = nodes[0]
    heard = Heard(reader)
    each = many(TAIL_EVENTS) // WRITERS

    def write(nth: int) -> None:
        with in_postgres(database, Foreseen(prefix=f"w{nth}")) as writer:
            writer.do(CreateJob(ME, f"w{nth}", "x"), StartAttempt(f"w{nth}", 1, "w"))
            with ThreadPoolExecutor(16) as callers:
                updates = [UpdateProgress(f"w{nth}", 1, 50) for _ in range(each - 2)]
                list(callers.map(writer.do, updates))

    at_once(*(lambda nth=nth: write(nth) for nth in range(WRITERS)))
    told = heard.wait_for(each * WRITERS)
    assert told == recorded(reader)


def test_a_lost_listener_connection_loses_nothing(
    nodes: Nodes, many: Callable[[int], int], database: str
) -> None:
    """It is ended again and again while the other node writes."""
    one, two = nodes
    heard = Heard(two)
    stop = Event()
    ended: list[int] = []

    def interfere() -> None:
        while not stop.wait(0.05):  # time for it to be made anew
            ended.append(end_listeners(database))

    def write() -> None:
        one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
        written = 0
        while written < many(5_000) or not sum(ended):
            one.do(UpdateProgress("j", 1, 50, written))
            written += 1

    def write_and_stop() -> None:
        try:
            write()
        finally:
            stop.set()

    at_once(write_and_stop, interfere)
    assert heard.wait_for(len(recorded(one))) == recorded(one)


def test_a_tail_works_with_many_connections(
    nodes: Nodes,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its next one has a descriptor above 1023, as beside a thousand websockets."""
    monkeypatch.setattr("ledger.store.postgres.listener.RECONNECT_S", 0.5)
    one, two = nodes
    heard = Heard(two)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2_000), limits[1]))
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

        def opened(files: int) -> None:
            for _ in range(files):
                held.callback(os.close, os.open(os.devnull, os.O_RDONLY))

        opened(1_100)
        end_listeners(database)
        wait_for("for the connection to be lost", lambda: "nothing is heard" in caplog.text)
        opened(100)  # in the place of that one, too
        for nth in range(3):  # the last are waited for over the new one
            one.do(CreateJob(ME, f"j{nth}", "x"))
            heard.wait_for(nth + 1)
        wait_for("for the log to say so", lambda: ": over after " in caplog.text)


def test_polling_backs_up_notifications(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Events without a notification are reported within about a second."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))
    wait_for("for the tail to skip", lambda: two.ledger.position >= one.ledger.position)
    heard = Heard(two)
    monkeypatch.setattr("ledger.store.postgres.store.CHANNEL", "another_channel")
    one.do(StartAttempt("j", 1, "w"))
    assert [stream for stream, _ in heard.wait_for(1)][-1] == "job-j"


def test_nothing_is_read_while_nobody_listens(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new listener gets what comes after, not what was before."""
    one, two = nodes
    wanted = Event()
    told: list[Commit] = []
    two.ledger.listen(told.append, wanted.is_set)
    one.do(CreateJob(ME, "before", "x"))
    wait_for("for the tail to skip", lambda: two.ledger.position >= one.ledger.position)
    wanted.set()
    one.do(CreateJob(ME, "after", "x"))
    wait_for("for the tail to tell", lambda: bool(told))
    assert [stream for commit in told for stream, _ in commit.events] == ["job-after"]

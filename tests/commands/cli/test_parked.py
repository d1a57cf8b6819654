"""`job-ledger parked`, and what the doctor says of what cannot be read."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.archives import Shelf
from ledger.codec import leaf_hash
from tests.commands.cli.here import served_here
from tests.commands.cli.old_ledger import found, old_ledger
from tests.commands.cli.processes import ask
from tests.support.opened import shown_rows
from tests.support.wait import PATIENCE_S

STREAM = "job-b-below"


@contextmanager
def behind(data: Path) -> Iterator[sqlite3.Connection]:
    with (
        closing(sqlite3.connect(data / "ledger.sqlite", timeout=PATIENCE_S)) as connection,
        connection,
    ):
        yield connection


class Stored(NamedTuple):
    topic: str
    state: bytes


def replace(data: Path, new: Stored) -> Stored:
    """Another first event of the stream, with a leaf that fits; returns what it was."""
    with behind(data) as connection:
        where = "WHERE originator_id = ? AND originator_version = 1"
        before = connection.execute(f"SELECT topic, state FROM stored_events {where}", (STREAM,))
        stored = Stored._make(before.fetchone())
        connection.execute(
            f"UPDATE stored_events SET topic = ?, state = ?, leaf = ? {where}",
            (*new, leaf_hash(STREAM, 1, *new), STREAM),
        )
    return stored


class Poisoned(NamedTuple):
    data: Path
    before: Stored


@pytest.fixture(params=["running", "alone"])
def poisoned(request: pytest.FixtureRequest, data: Path) -> Iterator[Poisoned]:
    """Three old trees, of which one cannot be read; the others are discarded."""
    old_ledger(data, "a", "b", "c")
    before = replace(data, Stored("job-exploded/1", b"{}"))
    with served_here(data) if request.param == "running" else nullcontext():
        ran = ask("retention", "run", "--data", data)
        assert ran.code == 0
        assert "discarded 4 jobs in 2 trees" in ran.out
        assert f"parked {STREAM}, which cannot be read" in ran.out
        yield Poisoned(data, before)


def jobs(data: Path) -> set[object]:
    return {row[0] for row in shown_rows(data / "ledger.sqlite")["jobs"]}


def handling(data: Path) -> list[str]:
    """What `parked list` says of each stream."""
    lines = ask("parked", "list", "--data", data).out.splitlines()
    return [line.split()[1] for line in lines if STREAM in line.split()[:1]]


def acts(data: Path) -> list[tuple[str, str]]:
    with behind(data) as connection:
        return [
            (topic, json.loads(state)["actor"])
            for topic, state in connection.execute(
                "SELECT topic, state FROM stored_events WHERE originator_id = ? ORDER BY position",
                (f"parking-{STREAM}",),
            )
        ]


def test_what_is_parked_is_shown(poisoned: Poisoned) -> None:
    """With the reason; to the doctor it is a problem, to a rebuild and an audit the end."""
    data = poisoned.data
    assert handling(data) == ["parked"]
    with behind(data) as connection:
        asked = "SELECT min(position) FROM stored_events WHERE originator_id = ?"
        [position] = connection.execute(asked, (STREAM,)).fetchone()
    reason = f"{STREAM} cannot be read from position {position} on: no event is stored"
    assert reason in " ".join(ask("parked", "list", "--data", data).out.split())
    problems = found(data)["problems"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{STREAM} is parked by the sweep: {reason}")
    rebuilt = ask("rebuild", "--data", data)
    assert (rebuilt.code, rebuilt.err.count("\n")) == (1, 1)
    assert rebuilt.err.startswith(f"Error: {reason}")
    replayed = ask("audit", "replay", "--data", data)
    assert (replayed.code, f"stream: {STREAM}\n" in replayed.out) == (1, True)
    assert jobs(data) == {"b", "b-below"}


def test_a_retry_of_what_was_mended(poisoned: Poisoned) -> None:
    """Discards it like the others."""
    data = poisoned.data
    replace(data, poisoned.before)
    retried = ask("parked", "retry", STREAM, "--data", data)
    assert retried == (0, f"the next sweep tries {STREAM} again\n", "")
    assert handling(data) == ["retry"]
    assert found(data)["problems"] == []
    assert ask("retention", "run", "--data", data).code == 0
    check_that_all_is_gone(data)
    assert acts(data)[1:] == [("stream-released/1", "system:operator")]


def test_a_skip(poisoned: Poisoned) -> None:
    """Discards it unread, and archives it as it is."""
    data = poisoned.data
    skipped = ask("parked", "skip", STREAM, "--data", data)
    assert skipped == (0, f"the next sweep discards {STREAM} unread\n", "")
    assert handling(data) == ["skip"]
    assert "discarded 2 jobs in 1 tree," in ask("retention", "run", "--data", data).out
    check_that_all_is_gone(data)
    archived = Shelf(data / "archive").stream(STREAM)
    assert archived is not None
    assert archived[0][4:6] == ("job-exploded/1", b"{}")
    refused = ask("parked", "retry", STREAM, "--data", data)
    assert refused == (1, "", f"Error: {STREAM} is not parked\n")


def check_that_all_is_gone(data: Path) -> None:
    """And that a rebuild and an audit find nothing in their way."""
    assert jobs(data) == set()
    assert ask("parked", "list", "--data", data) == (0, "", "nothing is parked\n")
    assert ask("rebuild", "--data", data).out.endswith("identical\n")
    for arguments in ((), ("--with-archive",)):
        assert ask("audit", "replay", *arguments, "--data", data).code == 0
    assert ask("doctor", "--data", data).code == 0

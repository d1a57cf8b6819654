"""What the doctor says of retention: each thing that can be wrong with it."""

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.data.location import SqliteDatabase
from api.doctor.checks import examine
from api.doctor.retention import OVERDUE
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from projections.maintenance.retention import compaction
from projections.maintenance.retention.sweep import RetentionStopped
from tests.commands.cli.here import served_here
from tests.commands.cli.old_ledger import ENDED, found, old_ledger
from tests.commands.cli.processes import ask

MINUTE = timedelta(minutes=1)


@pytest.fixture
def archived(data: Path) -> Path:
    """A data directory with one archive, in good health; the archive's file."""
    old_ledger(data, "a", "b")
    assert ask("retention", "run", "--data", data).code == 0
    assert ask("doctor", "--data", data).code == 0
    [name] = Shelf(data / "archive").names()
    return data / "archive" / f"{name}.jsonl.zst"


def test_how_retention_stands_is_told(data: Path, archived: Path) -> None:
    """As `retention show` does, and for programs."""
    out = ask("doctor", "--data", data).out
    for line in ("jobs are kept for", "newest sweep", "archives", "parked streams", "wall clock"):
        assert f" {line} " in out
    standing = found(data)["retention"]
    assert standing["keep"] == "P3D"
    assert [archive["name"] for archive in standing["archives"]] == [archived.name.split(".")[0]]
    assert standing["swept"]["jobs"] == 4


def truncate(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-1])


def empty(archive: Path) -> None:
    archive.write_bytes(b"")


def exchange(archive: Path) -> None:
    """Whole, but another one."""
    other = archive.parent.with_name("other")
    old_ledger(other, "a")
    assert ask("retention", "run", "--data", other).code == 0
    [name] = Shelf(other / "archive").names()
    (other / "archive" / f"{name}.jsonl.zst").rename(archive)


@pytest.mark.parametrize(
    ("damage", "saying"),
    [
        (Path.unlink, "it is not there"),
        (truncate, "it does not end as an archive ends"),
        (empty, "cut off"),
        (exchange, "is not the one that was written"),
    ],
    ids=["missing", "truncated", "empty", "exchanged"],
)
def test_an_archive_that_is_not_as_it_was(
    data: Path, archived: Path, damage: Callable[[Path], None], saying: str
) -> None:
    """It is named."""
    damage(archived)
    [problem] = found(data)["problems"]
    assert problem.startswith(f"archive {archived}")
    assert saying in problem


def test_what_a_crash_left_of_writing_archives(data: Path, archived: Path) -> None:
    """Until the next run removes it."""
    part = archived.with_name("b.jsonl.zst.part")
    part.write_bytes(b"x")
    [problem] = found(data)["problems"]
    assert problem.startswith(f"archive {part} was not finished")
    assert ask("retention", "run", "--data", data).code == 0
    assert found(data)["problems"] == []
    assert not part.exists()


def overdue(data: Path, at: datetime, *, runs: bool = True) -> list[str]:
    examined = examine(
        data,
        SqliteDatabase(data / "ledger.sqlite"),
        [],
        reading=Reading("boot", at, timedelta(0)),
        service=1 if runs else None,
        archiving=False,
    )
    return [one for check in examined.checks if check.name == "overdue" for one in check.problems]


def due_since(problem: str) -> datetime:
    """The minute that it names."""
    said = re.fullmatch(r"jobs have been due since (.+) UTC and are still there", problem)
    assert said is not None, problem
    return datetime.fromisoformat(f"{said[1]}+00:00")


def test_what_is_overdue_while_a_service_runs(data: Path) -> None:
    """Then the sweeps do not come; without a service nobody expects them."""
    old_ledger(data, "a")
    due = ENDED + timedelta(days=3, seconds=1)
    assert overdue(data, due + OVERDUE + timedelta(days=1), runs=False) == []
    assert overdue(data, due + OVERDUE - timedelta(seconds=1)) == []
    [problem] = overdue(data, due + OVERDUE + timedelta(seconds=1))
    assert due - MINUTE - timedelta(seconds=1) < due_since(problem) <= due


def test_a_shorter_policy_makes_nothing_overdue(data: Path) -> None:
    """The next sweep after it was set has all the time that sweeps have."""
    old_ledger(data, "a")
    before = datetime.now(UTC)
    assert ask("retention", "set", "P1D", "--data", data).code == 0
    now = datetime.now(UTC)
    assert overdue(data, now) == []
    [problem] = overdue(data, now + OVERDUE + timedelta(seconds=1))
    assert before - MINUTE < due_since(problem) <= now


def test_an_act_that_cannot_be_read(data: Path, archived: Path) -> None:
    """Is told, and the doctor looks at the rest."""
    with closing(sqlite3.connect(data / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE stored_events SET state = x'00' WHERE topic LIKE 'archive-%'")
    findings = found(data)
    [problem] = findings["problems"]
    assert "archive-written/1" in problem
    assert findings["ledger"] is not None


def interrupt(_: float) -> None:
    raise RetentionStopped("interrupted")


def test_a_compaction_that_was_interrupted(data: Path) -> None:
    """Nothing is wrong; the archive and what is partly deleted are named until it is finished."""
    old_ledger(data, "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "DELETED_AT_ONCE", 1)
        patch.setattr(compaction, "SLICE_S", 0.0)
        paused = SimpleNamespace(sleep=interrupt, monotonic=time.monotonic)
        patch.setattr(compaction, "time", paused)
        assert ask("retention", "run", "--data", data).code == 1
    [name] = Shelf(data / "archive").names()
    findings = found(data)
    assert findings["problems"] == []
    assert findings["retention"]["deleting"] == {"archives": [name], "tails": ["job-a"]}
    for command in (("doctor",), ("retention", "show")):
        out = " ".join(ask(*command, "--data", data).out.split())
        assert f"what is in archive {name}; 1 stream in part" in out
        assert "job-a" in out
    assert ask("retention", "run", "--data", data).code == 0
    assert found(data)["retention"]["deleting"] is None


def test_a_service_that_archives_is_not_sick(archived: Path, data: Path) -> None:
    """A part that lies about while it does not is told of by the service, too."""
    with served_here(data):
        archived.with_name("b.jsonl.zst.part").write_bytes(b"x")
        [problem] = found(data)["problems"]
    assert "was not finished" in problem

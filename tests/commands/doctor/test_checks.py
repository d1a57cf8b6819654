"""Each check of the doctor, failing because of something that really is wrong, and nothing else."""

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from msgspec import structs

from api.data.location import STORE_FILE, Database, PostgresDatabase, SqliteDatabase
from api.doctor import directory, images
from api.doctor.checks import CURRENT, INSIDE, LEDGER, RETENTION, WHOLE, examine
from api.doctor.findings import Findings
from api.doctor.probes import examine_ledger
from api.doctor.subject import Subject
from api.service.ids import new_id
from ledger.domain.clock_trust import Reading
from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.housekeeping import ParkStream, SetRetention
from ledger.domain.commands.jobs import CreateJob, LoseAttempt, StartAttempt
from ledger.domain.context import PoolSpace
from ledger.images.pools import Pool
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, signer_of
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import report_pools
from ledger.store.sqlite.disk import RESERVE_FILE
from projections.maintenance.backup.restoration import STAGING
from tests.acceptance.running import run_command
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.processes import environment, job_ledger
from tests.support.world import ME, disk

NAMES = [*WHOLE, LEDGER, *INSIDE, RETENTION, *CURRENT]
BY_OTHER_TESTS = {
    # tests/commands/cli/test_doctor_retention.py and test_parked.py, by the commands
    *("clock", "overdue", "archives", "unfinished-archives", RETENTION),
}
READY = (CreateDrives(ME, (NewDrive("cedar", disk("cedar")),), "blank"), MarkDriveReady("cedar"))
NOW = datetime.now(UTC)
READING = Reading("boot", NOW, timedelta(0))


class Sick(NamedTuple):
    """A data directory in good health at first, and how it is examined."""

    data: Path
    pool: Pool

    @property
    def file(self) -> Path:
        return self.data / "ledger.sqlite"

    def write(self, sql: str) -> None:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute(sql)
            connection.commit()

    def examined(self, *, pools: list[Pool] | None = None) -> Findings:
        """As by a service that runs."""
        pools = [self.pool] if pools is None else pools
        return look(self.data, SqliteDatabase(self.file), pools)


def look(data: Path, database: Database, pools: list[Pool]) -> Findings:
    return examine(
        data,
        database,
        pools,
        reading=READING,
        service=1,
        archiving=False,
    )


def failed(findings: Findings) -> list[str]:
    return [check.name for check in findings.checks if check.problems]


@pytest.fixture
def sick(tmp_path: Path) -> Sick:
    """A ledger with a drive, its image, a job and a checkpoint."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    pool = Pool("fast", tmp_path / "fast")
    pool.path.mkdir()
    with Opened(data / "ledger.sqlite", now=lambda: NOW) as opened:
        opened.do(CreateDrives(ME, (NewDrive("cedar", disk("cedar")),), "blank"))
        opened.do(CreateJob(ME, "runs", "drive_clone", (), None))
        signer = signer_of(data, new_id=new_id)
        assert Checkpoints(opened.ledger, signer, now=lambda: NOW).keep()
    with closing(sqlite3.connect(data / "ledger.sqlite")) as connection:
        [(where,)] = connection.execute("SELECT pool FROM drives_g1")
        connection.execute("UPDATE drives_g1 SET ready = 1")
        connection.commit()
    pool = Pool(where, pool.path)
    pool.image("cedar").write_bytes(b"image")
    return Sick(data, pool)


def test_a_healthy_ledger_passes_all(sick: Sick) -> None:
    """At least twenty checks, each with a name of its own."""
    found = sick.examined()
    assert [check.name for check in found.checks] == NAMES
    assert len(set(NAMES)) == len(NAMES) >= 20
    assert found.problems == []


# What is done to it, by the check that must say so


def key_read_by_others(sick: Sick) -> None:
    (sick.data / KEY_FILE).chmod(0o644)


def spoil(sick: Sick) -> None:
    sick.file.write_bytes(b"this is no database" * 1000)


def change_tree(sick: Sick) -> None:
    """As somebody must who changes what was recorded and wants its proof to hold.

    (An event beside which the tree stays as it was is found by `audit replay`.)
    """
    sick.write("UPDATE leaf_tiles SET leaves = zeroblob(length(leaves))")


def leave_job(sick: Sick) -> None:
    sick.write("UPDATE jobs_g1 SET created = '2020-01-01T00:00:00.000000+00:00'")


def lose_worker(sick: Sick) -> None:
    """It is said at once, not after an hour."""
    with Opened(sick.file, now=lambda: NOW) as opened:
        opened.do(StartAttempt("runs", 1, "w"), LoseAttempt("runs", 1))


def lose_beginning(sick: Sick) -> None:
    """As no compaction does, since it has recorded what it deletes."""
    with Opened(sick.file, now=lambda: NOW) as opened:
        opened.do(StartAttempt("runs", 1, "w"))
    sick.write(
        "DELETE FROM stored_events WHERE originator_id = 'job-runs' AND originator_version = 1"
    )


def park(sick: Sick) -> None:
    with Opened(sick.file, now=lambda: NOW) as opened:
        opened.do(ParkStream("job-runs", "test", "it cannot be read"))


DONE: dict[str, Callable[[Sick], object]] = {
    "data-directory": lambda sick: sick.data.chmod(0o755),
    "signing-key": key_read_by_others,
    "journal-mode": lambda sick: sick.write("PRAGMA journal_mode=DELETE"),
    "auto-vacuum": lambda sick: [
        sick.write("PRAGMA journal_mode=DELETE"),
        vacuumed(sick),
        sick.write("PRAGMA journal_mode=WAL"),
    ],
    "schema": lambda sick: sick.write("PRAGMA user_version=99"),
    "read-models": lambda sick: sick.write("UPDATE projection_head SET shape = 1"),
    "pools-reached": lambda sick: shutil.rmtree(sick.pool.path),
    "images": lambda sick: sick.pool.image("cedar").unlink(),
    "running-jobs": leave_job,
    "lost-workers": lose_worker,
    "parked": park,
    "tails": lose_beginning,
    "checkpoint": change_tree,
}


def vacuumed(sick: Sick) -> None:
    with closing(sqlite3.connect(sick.file)) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")


@pytest.mark.parametrize("name", DONE)
def test_what_is_wrong_is_said(sick: Sick, name: str) -> None:
    """By its check, and by no other."""
    DONE[name](sick)
    assert failed(sick.examined()) == [name]


def test_a_key_that_is_gone(sick: Sick) -> None:
    """Its public half is there: no checkpoint can be signed any more."""
    (sick.data / KEY_FILE).unlink()
    assert failed(sick.examined()) == ["signing-key"]


def test_looking_makes_nothing(sick: Sick) -> None:
    """Not even a public half that is missing."""
    (sick.data / VERIFIER_FILE).unlink()
    assert sick.examined().problems == []
    assert not (sick.data / VERIFIER_FILE).exists()


NONSENSE = (
    "UPDATE stored_events SET state = x'ff' WHERE topic LIKE 'retention-policy%'",
    "UPDATE stored_events SET topic = 'no topic' WHERE topic LIKE 'retention-policy%'",
    "UPDATE stored_events SET state = 7 WHERE topic LIKE 'retention-policy%'",
    "UPDATE stored_events SET leaf = 7",
    "UPDATE checkpoints SET note = x'ff'",
    "UPDATE checkpoints SET note = 'nonsense'",
    "UPDATE checkpoints SET size = 'many'",
    "UPDATE leaf_tiles SET leaves = 'nonsense'",
    "UPDATE node_tiles SET nodes = 7",
    "UPDATE clock_watch SET seen = 'yesterday'",
    "UPDATE jobs_g1 SET last_modified = 'yesterday', state = 'success'",
    "UPDATE drives_g1 SET size = 'large'",
    "DELETE FROM projection_head",
    "DELETE FROM leaf_count",
    "DROP TABLE checkpoints",
)


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.thorough
def test_nonsense_in_the_database(sick: Sick, nonsense: str) -> None:
    """Whatever it is, the doctor makes all checks that can be made."""
    with Opened(sick.file, now=lambda: NOW) as opened:
        opened.do(SetRetention(timedelta(days=4)))
    at = NOW.isoformat()
    sick.write(f"INSERT INTO clock_watch VALUES ('boot', '{at}', '{at}')")
    assert sick.examined().problems == []
    sick.write(nonsense)
    assert {*WHOLE, LEDGER} <= {check.name for check in sick.examined().checks}


def test_a_ledger_that_cannot_be_read(sick: Sick) -> None:
    """One check says so, and what does not need it is looked at all the same."""
    spoil(sick)
    sick.data.chmod(0o750)
    found = sick.examined()
    assert failed(found) == ["data-directory", LEDGER]
    assert [check.name for check in found.checks] == [*WHOLE, LEDGER]


def test_a_store_file_that_is_no_text(sick: Sick) -> None:
    """The command says what it takes for the ledger's place."""
    sick.file.unlink()
    (sick.data / STORE_FILE).write_bytes(b"postgresql://\xff\xfe")
    done = run_command("doctor", "--data", str(sick.data))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "\ufffd" in done.stdout + done.stderr


def test_a_pool_that_nobody_has(sick: Sick) -> None:
    """Drives lie in it."""
    assert failed(sick.examined(pools=[])) == ["pools-known"]


def test_a_restore_that_was_broken_off(tmp_path: Path) -> None:
    """What it leaves (tests/backup/test_killed.py really kills it) is no ledger yet."""
    (tmp_path / STAGING).mkdir()
    tmp_path.chmod(0o700)
    found = look(tmp_path, SqliteDatabase(tmp_path / "ledger.sqlite"), [])
    assert failed(found) == ["restore", LEDGER]


def test_disks_that_are_nearly_full(sick: Sick, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's, and a pool's; this machine's have less than a million terabytes."""
    monkeypatch.setattr(directory, "FREE_BYTES_LOW", 10**18)
    assert failed(sick.examined()) == ["disk"]
    monkeypatch.undo()
    monkeypatch.setattr(images, "FREE_BYTES_LOW", 10**18)
    assert failed(sick.examined()) == ["pool-space"]


def test_a_disk_that_became_read_only(sick: Sick, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux makes it after errors, under a service (an audited copy may be on such a disk)."""
    monkeypatch.setattr(directory, "is_read_only", lambda _: True)
    assert failed(sick.examined()) == ["disk"]


def test_a_reader_that_never_ends(sick: Sick) -> None:
    """It keeps the WAL from starting over, which grows beyond half of the reserve."""
    (sick.data / RESERVE_FILE).write_bytes(bytes(200_000))
    with closing(sqlite3.connect(sick.file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM stored_events").fetchone()
        with Opened(sick.file, now=lambda: NOW) as opened:
            for number in range(40):
                opened.do(CreateJob(ME, f"job-{number}", "drive_clone", (), None))
            assert failed(sick.examined()) == ["wal"]


def test_few_files_may_be_open(sick: Sick) -> None:
    """As where a limit was set for the process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = f"ulimit -n 512; exec {' '.join(job_ledger('doctor', '--data', str(sick.data)))}"
    done = subprocess.run(
        ["bash", "-c", f"{limited} --pool {sick.pool}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 1, done
    assert "may have only 512 files open" in done.stdout
    assert most > 512


# PostgreSQL


@pytest.fixture
def altered(ledger_database: str) -> Callable[[str, str], Findings]:
    """Examines a ledger in a database for which a setting was changed."""

    def alter(name: str, value: str) -> Findings:
        with in_postgres(ledger_database):
            pass
        with psycopg.connect(ledger_database, autocommit=True) as connection:
            database = connection.info.dbname
            connection.execute(f'ALTER DATABASE "{database}" SET {name} = {value}')
        address = PostgresDatabase(ledger_database)
        return look(Path("/nonexistent"), address, [])

    return alter


def test_commits_that_are_not_waited_for(altered: Callable[[str, str], Findings]) -> None:
    """What is acknowledged may be lost, says the check of that setting."""
    assert "synchronous-commit" in failed(altered("synchronous_commit", "off"))


def test_a_server_without_fsync(altered: Callable[[str, str], Findings]) -> None:
    """The servers of these tests run without it, to be quick."""
    found = failed(altered("work_mem", "'8MB'"))
    assert "fsync" in found
    assert "synchronous-commit" not in found


def test_workers_that_are_not_there(ledger_database: str) -> None:
    """None at all, or none that has the pool in which a job runs; one that has it is enough."""
    address = PostgresDatabase(ledger_database)

    def said() -> list[str]:
        found = look(Path("/nonexistent"), address, [])
        return next(check.problems for check in found.checks if check.name == "workers")

    with in_postgres(ledger_database) as opened:
        opened.do(*READY, CloneDrive(ME, "cedar", "copy", "runs"))
    [problem] = said()
    assert problem.startswith("no worker is there")
    with connected(ledger_database) as connection:
        report_pools(connection, "w", [PoolSpace("elsewhere", "dssd", 1)])
    (drive,) = examine_ledger(address).drives
    assert said() == [f"pool {drive} has no worker; jobs that run there: 1"]
    with connected(ledger_database) as connection:
        report_pools(connection, "w", [PoolSpace(drive, "dssd", 1)])
    assert said() == []


def test_a_server_without_full_page_writes(sick: Sick) -> None:
    """It is the server's as a whole, so a finding stands for one here."""
    found = examine_ledger(SqliteDatabase(sick.file))
    settings = {**found.settings, "full_page_writes": "off"}
    subject = Subject(
        *(sick.data, SqliteDatabase(sick.file), [], [], READING),
        archiving=False,
        runs=False,
        found=structs.replace(found, settings=settings),
    )
    [problem] = INSIDE["full-page-writes"](subject)
    assert problem == "full_page_writes is off: what is acknowledged may be lost"


def test_every_check_is_tested_failing() -> None:
    """A new one must be tried too."""
    tried = {
        *DONE,
        *(LEDGER, "pools-known", "restore", "disk", "pool-space", "wal"),
        *("open-files", "synchronous-commit", "fsync", "full-page-writes", "workers"),
    }
    assert tried | BY_OTHER_TESTS == set(NAMES)

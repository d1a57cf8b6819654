import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli import cli
from api.data.directory import data_lock, holder
from tests.commands.cli.here import served_here
from tests.commands.cli.processes import Serve, Serving, ask, run
from tests.support.processes import ROOT

JOBS = "/api/2.0/jobs/"


def test_account_beside_a_service(shared: Serving) -> None:
    """An account that is added to a running service logs in; an old password ends at once."""
    email = "ada@example.test"
    added = ask("account", "add", email, "--data", shared.data)
    assert (added.code, added.err) == (0, "")
    password = added.out.splitlines()[1].removeprefix("password: ")
    assert shared.get(JOBS, email, password) == 200
    changed = ask(
        "account", "password", email, "--data", shared.data, "--password-stdin", stdin=b"new pass\n"
    )
    assert changed == (0, f"changed the password of {email}\n", "")
    assert shared.get(JOBS, email, password) == 401
    assert shared.get(JOBS, email, "new pass") == 200
    assert password not in shared.log


def test_account_without_a_service(serve: Serve, data: Path) -> None:
    """Without a service the command does it itself; the directory is made."""
    email = "ada@example.test"
    added = ask(
        "account", "add", email, "--role", "auditor", "--data", data, "--password-stdin",
        stdin="grün und blau".encode(),
    )  # fmt: skip
    assert added.code == 0
    assert added.out.startswith(f"added auditor {email} (")
    assert holder(data) is None
    assert ask("account", "password", email, "--data", data).code == 0
    changed = ask("account", "password", email, "--data", data)
    password = changed.out.splitlines()[1].removeprefix("password: ")
    service = serve()
    assert service.get(JOBS, email, password) == 200


@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_an_account_is_removed(shared: Serving, serve: Serve, data: Path, *, running: bool) -> None:
    """Whatever it logs in with has ended, beside a service that runs and at the next start."""
    where = shared.data if running else data
    email, other = "gone@example.test", f"stays-{running}@example.test"
    for each in (email, other):
        added = ask(
            "account", "add", each, "--data", where, "--password-stdin", stdin=b"a password"
        )
        assert added.code == 0
    token = ask("token", "add", email, "--data", where).out.split()[-1]
    if running:
        assert shared.get(JOBS, email, "a password") == shared.get(JOBS, token=token) == 200
    removed = ask("account", "remove", "Gone@example.test", "--data", where)
    assert (removed.code, removed.err) == (0, "")
    assert removed.out.startswith("removed Gone@example.test (")
    assert "1 token" in removed.out
    service = shared if running else serve()
    assert service.get(JOBS, email, "a password") == service.get(JOBS, token=token) == 401
    assert service.get(JOBS, other, "a password") == 200
    again = ask("account", "remove", email, "--data", where)
    assert again == (1, "", f"Error: there is no account {email}\n")


@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_account_refusals(shared: Serving, data: Path, *, running: bool) -> None:
    """Both ways say the same, in one line."""
    where = shared.data if running else data
    assert ask("account", "add", "eve@example.test", "--data", where).code == 0
    refusals = {
        ("add", "Eve@example.test"): "there is an account eve@example.test already",
        ("add", "eve"): "not an email: expected NAME@DOMAIN",
        ("password", "bob@example.test"): "there is no account bob@example.test",
        ("remove", "bob@example.test"): "there is no account bob@example.test",
        ("remove", "bob"): "not an email: expected NAME@DOMAIN",
    }
    for command, reason in refusals.items():
        refused = ask("account", *command, "--data", where)
        assert refused == (1, "", f"Error: {reason}\n")


@pytest.mark.parametrize("given", [b"short", b"", b"\xff" * 10, b"x" * 5000], ids=range(4))
def test_bad_password_on_standard_input(data: Path, given: bytes) -> None:
    """A password that cannot be is told in one line, and is not."""
    arguments = ["account", "add", "a@b.test", "--data", str(data), "--password-stdin"]
    refused = CliRunner().invoke(cli, arguments, input=given)
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
    assert "password" in refused.output
    assert "xxx" not in refused.output


@pytest.mark.parametrize("script", [False, True], ids=["command", "script"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_rebuild(data: Path, *, running: bool, script: bool) -> None:
    """The read models are built anew both ways, and come out identical."""
    assert ask("account", "add", "a@b.test", "--data", data).code == 0
    with served_here(data) if running else nullcontext():
        if script:
            rebuilt = run("--data", data, script=ROOT / "scripts/rebuild_projections.py")
        else:
            rebuilt = ask("rebuild", "--data", data)
    assert (rebuilt.code, rebuilt.err) == (0, "")
    lines = rebuilt.out.splitlines()
    assert lines[0].startswith("rebuilt from ")
    assert lines[1].removeprefix("digest before: ") == lines[2].removeprefix("digest after:  ")
    assert lines[3] == "identical"


def test_rebuild_of_nothing(data: Path) -> None:
    """Where there is no ledger none is made."""
    refused = ask("rebuild", "--data", data)
    assert refused == (1, "", f"Error: there is no ledger at {data}/ledger.sqlite\n")
    assert not data.exists()


def test_doctor_beside_a_service(shared: Serving) -> None:
    """A running service examines itself."""
    answer = ask("doctor", "--data", shared.data, "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["problems"]) == (0, [])
    assert found["service"] == shared.pid
    assert found["ledger"]["settings"]["journal_mode"] == "wal"
    assert found["ledger"]["settings"]["auto_vacuum"] == "incremental"
    assert [pool["name"] for pool in found["pools"]] == ["main"]
    shown = ask("doctor", "--data", shared.data)
    assert f"runs as process {shared.pid}" in shown.out
    assert f"nothing is wrong: {len(found['checks'])} checks\n" in shown.out


def test_doctor_shows_the_limits(data: Path) -> None:
    """As they are set here, or where the service runs."""
    with served_here(data, limits=("login-delay=60", "unknown-tokens=0")):
        found = json.loads(ask("doctor", "--data", data, "--json").out)
        shown = re.sub(" +", " ", ask("doctor", "--data", data).out)
    assert (found["limits"]["login-delay"], found["limits"]["connections"]) == (60, 1_000)
    assert "limit login-delay 60: the longest wait" in shown
    assert "limit unknown-tokens off" in shown
    found = json.loads(ask("doctor", "--data", data, "--json").out)
    assert found["limits"]["login-delay"] == 900


def test_doctor_without_a_service(data: Path) -> None:
    """Without one the files are examined, and nothing is changed."""
    assert ask("account", "add", "a@b.test", "--data", data).code == 0
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    answer = ask("doctor", "--data", data, "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["service"], found["problems"]) == (0, None, [])
    after = {path.name: path.read_bytes() for path in data.iterdir()}
    assert {name: after[name] for name in before} == before


def test_doctor_of_an_older_schema(data: Path) -> None:
    """A ledger that the next start brings up to date is not sick."""
    assert ask("account", "add", "a@b.test", "--data", data).code == 0
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()
    answer = ask("doctor", "--data", data, "--json")
    assert (answer.code, json.loads(answer.out)["ledger"]["schema_version"]) == (0, 1)


def test_doctor_finds_what_is_wrong(data: Path) -> None:
    """Each wrong thing is told, and the exit code is 1."""
    nothing = ask("doctor", "--data", data)
    assert nothing.code == 1
    assert f"WRONG: there is no ledger at {data}/ledger.sqlite" in nothing.out
    assert ask("account", "add", "a@b.test", "--data", data).code == 0
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with data_lock(data):
        sick = ask("doctor", "--data", data, "--pool", "gone=/dev/null/pool", "--json")
    assert sick.code == 1
    assert [problem.split(" is ")[0] for problem in json.loads(sick.out)["problems"]] == [
        "the journal mode",
        "the schema",
        "pool gone cannot be reached at /dev/null/pool",
        f"data directory {data}",
    ]


def test_somebody_has_it_who_does_not_answer(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command waits a while for whoever has the data directory, then says who that is."""
    monkeypatch.setattr("api.cli.admin.LOCK_WAIT_S", 0.1)
    with data_lock(data):
        refused = CliRunner().invoke(cli, ["account", "add", "a@b.test", "--data", str(data)])
    assert refused.exit_code == 1
    assert f"data directory {data} is in use by job-ledger process" in refused.output


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory with the demo's drive and job, at rest; and the job."""
    service = Serving(tmp_path_factory.mktemp("worked") / "data", "--demo")
    try:
        job = [service.line() for _ in range(3)][2].rstrip("/").rpartition("/")[2]
        assert service.stop() == 0
    finally:
        service.end()
    return service.data, job


@pytest.mark.parametrize("script", [False, True], ids=["command", "script"])
def test_audit_of_a_sound_ledger(worked: tuple[Path, str], *, script: bool) -> None:
    """A sound ledger is said to be sound."""
    data, _ = worked
    if script:
        answer = run("--data", data, "--json", script=ROOT / "scripts/audit_replay.py")
    else:
        answer = ask("audit", "replay", "--data", data, "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["sound"], found["divergence"]) == (0, True, None)
    assert found["events"] == found["position"] > 0
    assert ask("audit", "replay", "--data", data).out.endswith("sound\n")


def test_audit_of_a_running_service(shared: Serving) -> None:
    """It can be audited while it runs."""
    assert ask("audit", "replay", "--data", shared.data).code == 0


def test_audit_finds_a_violation(worked: tuple[Path, str], data: Path) -> None:
    """One changed byte is found, and told with its position, stream and event."""
    shutil.copytree(worked[0], data)
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute(
            "UPDATE stored_events SET state = CAST(replace(state, '64', '65') AS BLOB)"
            " WHERE position = 1"
        )
    connection.close()
    answer = ask("audit", "replay", "--data", data)
    assert answer.code == 1
    assert "VIOLATION" in answer.out
    assert "position: 1\n" in answer.out
    found = json.loads(ask("audit", "replay", "--data", data, "--json").out)
    assert found["sound"] is False
    assert found["divergence"].keys() == {"position", "stream", "event", "reason"}


def test_audit_that_cannot_run(worked: tuple[Path, str], data: Path) -> None:
    """No ledger, no such job and no directory are told in one line, with exit code 2."""
    for arguments in (
        ("--data", data),
        ("--data", data, "--job", "x"),
        ("--data", worked[0], "--job", "x"),
        (),
    ):
        answer = CliRunner().invoke(cli, ["audit", "replay", *map(str, arguments)])
        assert (answer.exit_code, answer.output.count("\n")) == (2, 1)
    assert not data.exists()


def test_history_of_a_job(worked: tuple[Path, str]) -> None:
    """An auditor reads a job's events in order, as a table or as JSON."""
    data, job = worked
    shown = ask("audit", "replay", "--data", data, "--job", job)
    assert (shown.code, shown.err) == (0, "")
    assert "job-created" in shown.out
    found = json.loads(ask("audit", "replay", "--data", data, "--job", job, "--json").out)
    assert [line["version"] for line in found] == list(range(1, len(found) + 1))
    assert found[0]["fields"]["operation"] == "drive_clone"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["serve", "--port", "http"],
        ["serve", "--port", "65536"],
        ["serve", "--copies-per-pool", "many"],
        ["account", "add"],
        ["account", "add", "a@b.test", "--role", "root"],
        ["rebuild", "--json"],
    ],
    ids=" ".join,
)
def test_wrong_arguments(arguments: list[str]) -> None:
    """What is no command is a usage error."""
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 2
    assert "Usage: " in answer.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve"],
        ["serve", "--data", "x", "--copy-rate", "fast"],
        ["serve", "--data", "x", "--pool", "x"],
        ["serve", "--data", "x", "--copies-per-pool", "0"],
    ],
    ids=" ".join,
)
def test_wrong_settings(arguments: list[str]) -> None:
    """A setting that makes no sense is told in one line that names it."""
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 2
    assert answer.output.startswith("Error: --")
    assert answer.output.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    ["", "serve", "account", "account add", "account password", "rebuild", "audit",
     "audit replay", "doctor"],
)  # fmt: skip
def test_help(command: str) -> None:
    """Every command says what it does."""
    answer = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()[2].strip()) > 20


def test_module_and_launcher_are_the_same() -> None:
    """The help names the program as users call it."""
    helped = subprocess.run(
        [sys.executable, "-m", "api.cli", "--help"], cwd=ROOT, capture_output=True, check=True
    )
    assert helped.stdout.startswith(b"Usage: job-ledger ")

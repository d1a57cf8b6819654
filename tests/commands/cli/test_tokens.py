import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli import cli
from tests.commands.cli.processes import Serve, Serving, ask

JOBS = "/api/2.0/jobs/"


def _added(data: Path, email: str, *arguments: str) -> tuple[str, str]:
    """A new token: its id and itself."""
    added = ask("token", "add", email, *arguments, "--data", data)
    assert (added.code, added.err) == (0, "")
    found = re.fullmatch(rf"added token (\w+) of {email}\ntoken: (jl_[\w-]+)\n", added.out)
    assert found, added.out
    return found[1], found[2]


def test_tokens_beside_a_service(shared: Serving) -> None:
    """A token logs in from when it is added until it is removed, while the service runs."""
    email = "tess@example.test"
    assert ask("account", "add", email, "--data", shared.data).code == 0
    token_id, token = _added(shared.data, email, "--name", "nightly [bold]backup")
    assert shared.get(JOBS, token=token) == 200
    listed = ask("token", "list", "Tess@example.test", "--data", shared.data)
    assert (listed.code, listed.err) == (0, "")
    assert token_id in listed.out
    assert "nightly [bold]backup" in listed.out
    assert token not in listed.out
    removed = ask("token", "remove", token_id, "--data", shared.data)
    assert removed == (0, f"removed token {token_id}\n", "")
    assert shared.get(JOBS, token=token) == 401
    assert token_id not in ask("token", "list", "--data", shared.data).out
    assert token not in shared.log


def test_tokens_without_a_service(serve: Serve, data: Path) -> None:
    """Without a service the commands do it themselves; the next start knows of it."""
    for email in ("tess@example.test", "ben@example.test"):
        assert ask("account", "add", email, "--data", data).code == 0
    kept_id, kept = _added(data, "tess@example.test")
    removed_id, removed = _added(data, "ben@example.test")
    listed = ask("token", "list", "--data", data).out
    assert kept_id in listed
    assert removed_id in listed
    assert removed_id not in ask("token", "list", "tess@example.test", "--data", data).out
    assert ask("token", "remove", removed_id, "--data", data).code == 0
    service = serve()
    assert service.get(JOBS, token=kept) == 200
    assert service.get(JOBS, token=removed) == 401
    assert kept.encode() not in (data / "ledger.sqlite").read_bytes()


@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_token_refusals(shared: Serving, data: Path, *, running: bool) -> None:
    """Both ways say the same, in one line."""
    where = shared.data if running else data
    ask("account", "add", "tara@example.test", "--data", where)
    refusals = {
        ("add", "nobody@example.test"): "there is no account nobody@example.test",
        ("add", "tara"): "not an email: expected NAME@DOMAIN",
        ("add", "tara@example.test", "--name", "x" * 65): "a token's name has up to 64 characters",
        ("list", "nobody@example.test"): "there is no account nobody@example.test",
        ("remove", "0123456789ab"): "there is no token 0123456789ab",
    }
    for command, reason in refusals.items():
        assert ask("token", *command, "--data", where) == (1, "", f"Error: {reason}\n")


@pytest.mark.parametrize("arguments", [["add"], ["remove"], ["list", "a@b.test", "c@d.test"]])
def test_wrong_arguments(arguments: list[str]) -> None:
    """What is no command is a usage error."""
    answer = CliRunner().invoke(cli, ["token", *arguments])
    assert answer.exit_code == 2
    assert "Usage: " in answer.output


@pytest.mark.parametrize("command", ["", "add", "list", "remove"])
def test_help(command: str) -> None:
    """Every command says what it does."""
    answer = CliRunner().invoke(cli, ["token", *command.split(), "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()[2].strip()) > 20


def test_a_start_deletes_expired_sessions(serve: Serve, data: Path) -> None:
    """What expired while no service ran is deleted as one starts; what is valid stays."""
    assert ask("account", "add", "tess@example.test", "--data", data).code == 0
    now = datetime.now(UTC)
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.executemany(
            "INSERT INTO sessions VALUES (?, 'uuid', x'00', ?, ?)",
            [
                (name, now.isoformat(), (now + timedelta(days=later)).isoformat())
                for name, later in ((b"expired", -1), (b"valid", 1))
            ],
        )
    connection.close()
    service = serve()
    assert service.get(JOBS) == 401
    assert service.stop() == 0
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        left = connection.execute("SELECT id_hash FROM sessions").fetchall()
    connection.close()
    assert left == [(b"valid",)]

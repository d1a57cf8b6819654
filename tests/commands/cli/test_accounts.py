"""`job-ledger account`: who may log in and as what, and what is left of one that is removed."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import cli
from tests.commands.cli.here import served_here

ADA, BOB = "ada@example.test", "bob@example.test"
UUID = r"[0-9a-f-]{36}"


@pytest.fixture(params=["running", "alone"])
def run(request: pytest.FixtureRequest, data: Path) -> Iterator["Run"]:
    """Runs a command beside a service, or without one."""
    run = Run(data)
    run("account", "add", ADA)
    with served_here(data) if request.param == "running" else nullcontext():
        yield run


class Run:
    def __init__(self, data: Path) -> None:
        self._data = data

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--data", str(self._data)])


def test_accounts_are_listed(run: Run) -> None:
    """The oldest first, with what they log in by; no secret among it."""
    run("account", "add", BOB, "--role", "operator")
    run("token", "add", ADA)
    shown = run("account", "list")
    assert shown.exit_code == 0
    rows = [line.split() for line in shown.output.splitlines() if "@" in line]
    assert [(row[0], row[1], row[-2], row[-1]) for row in rows] == [
        (ADA, "user", "1", "0"),
        (BOB, "operator", "0", "0"),
    ]
    assert all(re.fullmatch(UUID, row[2]) for row in rows)
    found = json.loads(run("account", "list", "--json").output)
    assert [each["email"] for each in found] == [ADA, BOB]
    assert set(found[0]) == {"uuid", "email", "role", "created", "tokens", "sessions"}


def test_a_role_is_changed(run: Run) -> None:
    """To one that there is, of an account that there is."""
    done = run("account", "role", "Ada@example.test", "auditor")
    assert (done.exit_code, done.output) == (0, "Ada@example.test is auditor now\n")
    assert [each["role"] for each in json.loads(run("account", "list", "--json").output)] == [
        "auditor"
    ]
    assert run("account", "role", ADA, "king").exit_code == 2
    nobody = run("account", "role", BOB, "user")
    assert (nobody.exit_code, nobody.output) == (1, f"Error: there is no account {BOB}\n")


def test_a_token_is_listed_with_what_it_may_do(run: Run) -> None:
    """And its secret is not."""
    terms = ("--scope", "jobs:read", "--restrict", "labels.env=prod", "--source", "//nas/x")
    added = run("token", "add", ADA, "--name", "nas", *terms, "--expires", "2099-01-31T00:00Z")
    assert added.exit_code == 0, added.output
    run("token", "add", ADA)
    listed = run("token", "list").output
    for told in ("jobs:read labels.env=prod", "//nas/x", "2099-01-31 00:00:00", "everything"):
        assert told in listed
    assert added.output.split()[-1] not in listed
    assert run("token", "add", ADA, "--name", "x", "--scope", "jobs:burn").exit_code == 2


def test_the_key_of_jobs_tokens_is_not_changed_twice_at_once(run: Run) -> None:
    """Each node must have time to learn of the new one."""
    done = run("token", "change-job-key")
    assert (done.exit_code, done.output) == (0, "tokens of jobs are derived from key 1\n")
    again = run("token", "change-job-key")
    assert (again.exit_code, again.output.count("\n")) == (1, 1)


def test_a_removal_says_what_has_ended(run: Run) -> None:
    run("token", "add", ADA)
    run("token", "add", ADA)
    done = run("account", "remove", ADA)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"removed {ADA} \({UUID}\)\nended: 0 sessions, 2 tokens\n", done.output), (
        done.output
    )
    assert "there are no accounts" in run("account", "list").output
    assert run("account", "remove", ADA).exit_code == 1


def test_no_ledger_is_made_to_look_into(tmp_path: Path) -> None:
    """A mistaken directory stays as it was."""
    for words in (["list"], ["role", ADA, "user"], ["remove", ADA]):
        done = CliRunner().invoke(cli, ["account", *words, "--data", str(tmp_path / "none")])
        assert (done.exit_code, "there is no ledger" in done.output) == (1, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", ["", "add", "list", "password", "role", "remove"])
def test_help(command: str) -> None:
    """Every command says what it does; that of a removal, what becomes of what the account has."""
    answer = CliRunner().invoke(cli, ["account", *command.split(), "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()[2].strip()) > 20
    if command == "remove":
        for word in (
            "sessions",
            "tokens",
            "drives",
            "servers",
            "jobs",
            "Nothing that belongs to others",
        ):
            assert word in answer.output

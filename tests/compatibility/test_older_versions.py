"""What earlier versions wrote is read, rebuilt, verified and resumed by this one.

Each folder beside this file holds what one version left behind: a ledger whose service was killed
in the middle of a copy (`ledger.tar.xz`), a backup of it, the same ledger in PostgreSQL as a dump,
and what that version answered about it (`answers.json`). `making.py` made them.
"""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client import Api
from tests.acceptance.running import Machine
from tests.compatibility.making import content_of
from tests.postgres.beginning import check
from tests.support.cluster import BIN, environment

VERSIONS = sorted(path.parent for path in Path(__file__).parent.glob("*/answers.json"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def answers(version: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((version / "answers.json").read_text())
    return answers


@pytest.fixture
def machine(version: Path, tmp_path: Path) -> Iterator[Machine]:
    """Yield the machine as that version left it."""
    unpack(version / "ledger.tar.xz", tmp_path)
    machine = Machine(tmp_path / "data", tmp_path / "pool", tmp_path / "server.log")
    yield machine
    machine.close()


def unpack(file: Path, directory: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(directory, filter="data")


def check_record(machine: Machine, answers: dict[str, Any], tmp_path: Path) -> None:
    """The record is sound, replays to the same outcome, and holds the old checkpoint."""
    note = tmp_path / "old.checkpoint"
    note.write_text(answers["checkpoint"])
    verified = check(machine, "audit", "verify", "--checkpoint", str(note))
    assert "intact" in verified.lower()
    machine.check_sound()


def check_answers(api: Api, answers: dict[str, Any]) -> None:
    """Everything that the old version answered is answered still; there may be more."""
    for path, before in answers["get"].items():
        assert_kept(before, api.get(path), path)


def assert_kept(before: Any, now: Any, where: str) -> None:
    match before:
        case dict():
            for name, value in before.items():
                assert_kept(value, now[name], f"{where} {name}")
        case list():
            assert len(before) == len(now), where
            for number, value in enumerate(before):
                assert_kept(value, now[number], f"{where} [{number}]")
        case _:
            assert before == now, where


def check_use(machine: Machine, answers: dict[str, Any], *options: str) -> None:
    """A service answers as the old one did, ends its copy, and makes new ones.

    The copy cannot be resumed: an unpacked image is another file than the one that was copied.
    """
    server = machine.start(*options)
    api = server.api
    assert api.call("GET", "/jobs/", auth=Bearer(answers["token"])).status_code == 200
    check_answers(api, answers)
    interrupted = api.follow(answers["interrupted"])[-1]
    assert "SourceChanged" in interrupted["data"]["error"]
    for drive, (blocks, fill) in answers["content"].items():
        assert api.download(drive) == content_of(blocks, fill)
        clone = api.clone(drive)
        api.succeed(clone.job)
        assert api.download(clone.uuid) == content_of(blocks, fill)
    check(machine, "retention", "set", "PT0S")
    check(machine, "retention", "run")
    assert server.stop() == 0


class Bearer:
    """Logs a request in by a token, whatever the session would do."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def test_a_ledger_goes_on(machine: Machine, answers: dict[str, Any], tmp_path: Path) -> None:
    check(machine, "rebuild")  # rows of an earlier version cannot be compared
    replayed = json.loads(check(machine, "audit", "replay", "--json"))
    assert_kept(answers["replay"], replayed, "replay")
    check_record(machine, answers, tmp_path)
    check_use(machine, answers)
    check_record(machine, answers, tmp_path)


def test_a_backup_is_restored(version: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    unpack(version / "backup.tar.xz", tmp_path)
    machine = Machine(tmp_path / "data", tmp_path / "pool", tmp_path / "server.log")
    try:
        pool = f"main={machine.pool}"
        check(machine, "restore", str(tmp_path / "backup"), "--pool", pool, "--unsealed")
        check_record(machine, answers, tmp_path)
        check_use(machine, answers)
    finally:
        machine.close()


def test_a_database_goes_on(
    version: Path, machine: Machine, answers: dict[str, Any], database: str, tmp_path: Path
) -> None:
    restore = (BIN / "pg_restore", "--exit-on-error", "--no-owner", "-d", database)
    subprocess.run((*restore, version / "database.dump"), check=True, env=environment())
    for file in machine.data.glob("ledger.sqlite*"):
        file.unlink()
    check(machine, "adopt", "--store", database, "--pool", f"main={machine.pool}")
    check_record(machine, answers, tmp_path)
    check_use(machine, answers, "--store", database)
    check_record(machine, answers, tmp_path)

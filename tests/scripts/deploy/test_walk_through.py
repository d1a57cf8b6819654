"""The walk-through of `scripts/deploy`, run as its reader would, but on one machine."""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.client import sha256, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, run_command
from tests.support.cluster import DEPLOY, free_port, run, run_as, server_user

README = (DEPLOY / "README.md").read_text(encoding="utf-8")
SETTINGS = re.search(r"^```sh settings\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]
SECTIONS = {
    section.partition("\n")[0]: re.findall(
        r"^```(sh|sh postgres)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL
    )
    for section in README.split("\n## ")[1:]
}


class Reader:
    """Who follows it, as the user that servers run as and as the one that has the ledger."""

    def __init__(self, servers: Path, own: Path) -> None:
        self.data = own / "data"
        self.ports = free_port(), free_port()
        self.servers = servers
        self._own = own
        passwords = servers / "pgpass"
        passwords.write_text("*:*:*:ledger:birch\n*:*:*:standby:alder\n")
        passwords.chmod(0o600)
        if server_user():
            shutil.chown(passwords, server_user())
        (own / "backups").mkdir()
        self._settings = {
            "PATH": f"{Path(sys.executable).parent}:{run('printenv', 'PATH').strip()}",
            "DB1": "127.0.0.1",
            "DB2": "127.0.0.1",
            "PORT1": str(self.ports[0]),
            "PORT2": str(self.ports[1]),
            "DATA1": servers / "one",
            "DATA2": servers / "two",
            "SOCKETS": servers,
            "BASE": servers / "base",
            "DEPLOY": DEPLOY,
            "BACKUPS": own / "backups",
            "DATA": self.data,
            "PGPASSFILE": passwords,
        }

    @property
    def url(self) -> str:
        one, two = self.ports
        return f"postgresql://ledger@127.0.0.1:{one},127.0.0.1:{two}/ledger"

    def follow(self, section: str) -> str:
        """All of its commands succeed; what they say."""
        assert SECTIONS[section], section
        return "".join(self._run(who, block) for who, block in SECTIONS[section])

    def _run(self, who: str, block: str) -> str:
        words = ("bash", "-euo", "pipefail", "-c", SETTINGS + block)
        if who == "sh":
            return run_as(None, *words, cwd=self._own, **self._settings)
        return run_as(server_user(), *words, **self._settings)

    def stop(self) -> None:
        for server in ("one", "two"):
            with suppress(AssertionError):
                run("pg_ctl", "-D", self.servers / server, "-m", "immediate", "stop")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    servers = Path(tempfile.mkdtemp(prefix="pg-deploy-"))
    if server_user():
        shutil.chown(servers, server_user())
    reader = Reader(servers, tmp_path)
    monkeypatch.setenv("PGPASSFILE", str(servers / "pgpass"))
    try:
        yield reader
    finally:
        reader.stop()
        shutil.rmtree(servers, ignore_errors=True)


@pytest.fixture
def machine(reader: Reader, tmp_path: Path) -> Iterator[Machine]:
    for directory in (reader.data, reader.data / "pools"):
        directory.mkdir(mode=0o700)
    machine = Machine(reader.data, reader.data / "pools" / "main", tmp_path / "server.log")
    machine.pool.mkdir()
    yield machine
    machine.close()


def test_it_does_what_it_says(reader: Reader, machine: Machine) -> None:
    """From two empty machines to a ledger that has survived one of them, and is put back."""
    reader.follow("The primary")
    reader.follow("The standby")
    server = machine.start("--store", reader.url)
    words = ("account", "add", EMAIL, "--password-stdin", "--data", str(reader.data))
    assert run_command(*words, stdin=f"{PASSWORD}\n").returncode == 0
    content = striped(1)
    before = server.api.upload(content)
    assert "WRONG" not in reader.follow("The service")

    reader.follow("Failing over")
    after = server.api.clone(before)
    server.api.succeed(after.job)
    assert sha256(server.api.download(after.uuid)) == sha256(content)
    assert {drive["uuid"] for drive in server.api.drives()} == {before, after.uuid}

    said = reader.follow("Backups")
    assert "INTACT" in said.upper()
    assert "this is epoch 2" in said
    assert server.stop() == 0

"""The commands tell of jobs of other programs as of others, in words."""

import json

import pytest

from tests.acceptance.running import EMAIL, Machine, Server
from tests.acceptance.seeded import NAMES, seed, uuid_of
from tests.commands.client.conftest import Shell


@pytest.fixture
def server(machine: Machine) -> Server:
    seed(machine.data, EMAIL)
    return machine.start()


def words(text: str) -> str:
    return " ".join(text.split())


def test_jobs_of_other_programs(server: Server, shell: Shell) -> None:
    """In a list, one by one, with a tree, with its history, as it was, and watched."""
    shell.log_in(server)
    listed = words(shell.run("jobs", "--limit", "100").out)
    for name, said in {
        "crew": "fan out started 43 % a sub-job is lost",
        "lost": "backup started 40 % lost: nothing is heard of it",
        "waiting": "backup started 0 % waiting",
        "sdb": "backup success 100 % skipped: there was nothing to do",
        "phone": "backup failed 0 % its producer fell silent; later reported: succeeded",
        "forced": "backup cancelled 0 %",
    }.items():
        assert f"{uuid_of(name)} {said}" in listed
    assert sum(uuid in listed for uuid in NAMES) == len(NAMES)
    tree = words(shell.run("job", uuid_of("fleet"), "--tree").out)
    assert "producer //nas" in tree
    assert f"├─ {uuid_of('nas')} success 100 % │ └─ {uuid_of('upload')} started 0 %" in tree
    history = ("job", uuid_of("phone"), "--history")
    assert "late-report" in shell.run(*history).out
    position = str(json.loads(shell.run(*history, "--json").out)["objects"][1]["position"])
    before = words(shell.run("job", uuid_of("phone"), "--as-of", position).out)
    assert "state started progress 0 %" in before
    watched = shell.run("watch", *(uuid_of(name) for name in ("sdb", "nightly", "killed")))
    assert watched.code == 1
    assert f"{uuid_of('killed')} failed 0 % its program was killed (signal KILL)" in watched.out
    assert shell.run("watch", uuid_of("sdb"), "--compact").code == 0

"""Several services over one ledger, in processes of their own, as operators run them."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.acceptance.client import Api
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, run_command
from tests.postgres.beginning import begin
from tests.support.postgres import PostgresServer
from tests.support.wait import PATIENCE_S, wait_for

KNOWN_S = 1.0
"""How long a node may go by what has ended."""
WAIT_S = 60
"""The longest poll."""
TAG = {"objects": [{"name": "oak"}]}


class Node(NamedTuple):
    machine: Machine
    server: Server

    @property
    def api(self) -> Api:
        return self.server.api


def machine_of(directory: Path, pool: Path | None = None) -> Machine:
    """With the pool of another, if that is given."""
    pool = pool or directory / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    directory.mkdir(exist_ok=True)
    return Machine(directory / "data", pool, directory / "server.log")


def joined(directory: Path, first: Machine, database: str, *options: str) -> Node:
    """One more node: it needs the key that signs, and nothing else."""
    machine = machine_of(directory, first.pool)
    machine.data.mkdir(mode=0o700)
    for name in ("checkpoint.key", "checkpoint.pub"):
        shutil.copy2(first.data / name, machine.data / name)
    return Node(machine, machine.start("--store", database, *options))


@pytest.fixture(scope="module")
def place(postgres: PostgresServer) -> str:
    """The database of all nodes."""
    return postgres.new_database()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[tuple[Node, Node]]:
    directory = tmp_path_factory.mktemp("nodes")
    machine = machine_of(directory / "one")
    one = Node(machine, begin(machine, place))
    two = joined(directory / "two", machine, place)
    yield one, two
    for node in (one, two):
        node.machine.close()
        print(node.machine.log.read_text(errors="replace"))  # noqa: T201 - for tests that fail


# What is shown


def test_a_get_at_any_node_is_current(
    nodes: tuple[Node, Node], request: pytest.FixtureRequest
) -> None:
    """10,000 times: what one node has answered is what the other shows."""
    one, two = nodes
    pairs = 10_000 if request.config.getoption("--long") else 400
    stale: list[str] = []
    tag = one.api.post("/tags/", TAG, status=201)["objects"][0]["uuid"]
    for nth in range(pairs):
        writer, reader = (one, two) if nth % 2 else (two, one)
        name = f"oak-{nth}"
        answer = writer.api.call("PUT", f"/tags/{tag}/", json={"name": name})
        assert answer.status_code == 200
        if reader.api.get(f"/tags/{tag}/")["name"] != name:
            stale.append(name)
    assert stale == []


def test_a_long_poll_at_one_node_sees_changes_of_the_other(nodes: tuple[Node, Node]) -> None:
    """As soon as the job is over, long before its time is."""
    one, two = nodes
    source = one.api.upload(b"x" * 65536)
    clone = one.api.clone(source)
    state = "started"
    while state == "started":
        began = time.monotonic()
        poll = f"/jobs/{clone.job}/?wait={WAIT_S}"
        state = two.api.call("GET", poll, timeout=PATIENCE_S).json()["state"]
        assert time.monotonic() - began < WAIT_S
    assert state == "success"


# Who may


def remembered(node: Node, **given: object) -> requests.Session:
    """A client whose login the node has seen."""
    client = requests.Session()
    client.trust_env = False
    for name, value in given.items():
        setattr(client, name, value)
    assert client.get(f"{node.api.root}/jobs/").status_code == 200
    return client


def status_later(node: Node, client: requests.Session) -> int:
    """What it is answered once the node must have noticed."""
    time.sleep(KNOWN_S)  # which is promised: it need not be asked before
    return client.get(f"{node.api.root}/jobs/").status_code


def password(node: Node, what: str, email: str, word: str) -> None:
    words = ("account", what, email, "--password-stdin", "--data", str(node.machine.data))
    done = run_command(*words, stdin=f"{word}\n")
    assert done.returncode == 0, done.stderr


def test_a_token_that_is_removed_at_one_node(nodes: tuple[Node, Node]) -> None:
    """Is refused at the other within a second."""
    one, two = nodes
    said = one.machine.command("token", "add", EMAIL).stdout
    number, token = re.findall(r"^(?:added token|token:) (\S+)", said, re.MULTILINE)
    client = remembered(two, headers={"Authorization": f"Bearer {token}"})
    assert one.machine.command("token", "remove", number).returncode == 0
    assert status_later(two, client) == 401


def test_a_password_that_is_changed_at_one_node(nodes: tuple[Node, Node]) -> None:
    """The old one, and sessions, are refused at the other within a second; the new one is good."""
    one, two = nodes
    email = "changing@example.test"
    password(one, "add", email, PASSWORD)
    client = remembered(two, auth=(email, PASSWORD))
    login = {"username": email, "password": PASSWORD}
    session = requests.Session()
    session.trust_env = False
    begun = session.post(f"{two.api.root}/accounts/action/?do=login", json=login)
    assert begun.status_code == 200
    assert session.get(f"{two.api.root}/jobs/").status_code == 200
    password(one, "password", email, "another password")
    assert status_later(two, client) == 401
    assert session.get(f"{two.api.root}/jobs/").status_code == 401
    remembered(two, auth=(email, "another password"))


def test_a_session_is_good_at_every_node_until_it_ends_at_one(nodes: tuple[Node, Node]) -> None:
    """It is begun at one node, used at the other, and logged out at the first."""
    one, two = nodes
    session = requests.Session()
    session.trust_env = False
    login = {"username": EMAIL, "password": PASSWORD}
    assert session.post(f"{one.api.root}/accounts/action/?do=login", json=login).status_code == 200
    token = {"X-CSRFToken": session.cookies["csrftoken"]}
    kept = session.cookies.copy()
    assert session.get(f"{two.api.root}/jobs/").status_code == 200
    ended = session.post(f"{one.api.root}/accounts/action/?do=logout", headers=token)
    assert ended.status_code == 200
    session.cookies.update(kept)
    assert status_later(two, session) == 401


def test_nodes_sign_with_one_key(nodes: tuple[Node, Node], tmp_path: Path, place: str) -> None:
    """A node with another key learns which file it lacks; all others sign the same."""
    one, two = nodes
    stranger = tmp_path / "stranger"
    done = run_command("serve", "--data", str(stranger), "--port", "0", "--store", place)
    assert done.returncode == 2
    assert "checkpoint.key is not the key of this ledger" in done.stderr
    origins = {
        node.api.call("GET", "/ledger/checkpoint/").text.partition("\n")[0] for node in (one, two)
    }
    assert len(origins) == 1


# Several processes of one service


def children(server: Server) -> list[int]:
    listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


@pytest.fixture
def several(tmp_path: Path, nodes: tuple[Node, Node], place: str) -> Iterator[Node]:
    """A service of three processes, which is one more node."""
    node = joined(tmp_path, nodes[0].machine, place, "--processes", "3")
    yield node
    node.machine.close()


def test_processes_share_a_port(several: Node) -> None:
    """All of them answer, from one ledger; commands and signals are for all of them."""
    machine, server = several
    pids = children(server)
    assert len(pids) == 3
    tag = server.api.post("/tags/", TAG, status=201)["objects"][0]["uuid"]
    prefixes = set()

    def all_answered() -> bool:
        answer = requests.get(
            f"{server.api.root}/tags/{tag}/", auth=(EMAIL, PASSWORD), timeout=PATIENCE_S
        )
        assert answer.status_code == 200
        prefixes.add(answer.headers["X-Request-Id"].rpartition("-")[0])
        return len(prefixes) == 3

    wait_for("an answer of each process", all_answered)
    assert machine.command("token", "add", EMAIL).returncode == 0
    assert machine.command("doctor").returncode in (0, 1)
    assert server.stop() == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_processes_end_together(several: Node) -> None:
    """With one that is killed, so that whoever started them can start them again."""
    server = several.server
    pids = children(server)
    os.kill(pids[1], signal.SIGKILL)
    assert server.ended() == 1
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_processes_end_with_their_parent(several: Node) -> None:
    """Also if that is killed; meanwhile they keep the data directory."""
    machine, server = several
    pids = children(server)
    server.kill()
    wait_for("for the processes to end", lambda: not any(Path(f"/proc/{p}").exists() for p in pids))
    assert machine.start("--processes", "2").stop() == 0


def test_several_processes_need_postgres(tmp_path: Path) -> None:
    """Only one process writes to a ledger in SQLite."""
    done = run_command("serve", "--data", str(tmp_path / "data"), "--processes", "2")
    assert done.returncode == 2
    assert "only a ledger in PostgreSQL can have several" in done.stderr


def test_processes_refuse_a_port_in_use(several: Node, tmp_path: Path, place: str) -> None:
    """Also of another service whose processes share it."""
    machine, server = several
    port = server.api.address.rpartition(":")[2]
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    for name in ("checkpoint.key", "checkpoint.pub"):
        shutil.copy2(machine.data / name, other / name)
    words = ("serve", "--data", str(other), "--store", place, "--port", port, "--processes", "2")
    done = run_command(*words)
    assert done.returncode == 1
    assert "in use" in done.stderr

"""What a service manager such as systemd is told, over a real socket of its protocol."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from api.cli import supervision
from api.cli.supervision import Pulses, ServiceManager, supervised
from tests.commands.cli.processes import Serve
from tests.support import processes
from tests.support.opened import Opened
from tests.support.wait import PATIENCE_S, wait_until

SENT = 1_000
"""Messages, more than any socket holds."""
USEC = "600000"
"""So that a sign of life is due three times a second."""
END = b"the end of the test"


class Manager:
    """Reads all at once, as systemd does: the system keeps ten messages, and drops others."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._messages = SimpleQueue[str]()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self._address, "WATCHDOG_USEC": USEC}

    def told(self) -> list[str]:
        """Return the lines of the next message."""
        return self._messages.get(timeout=PATIENCE_S).split("\n")

    def told_to_the_end(self) -> list[str]:
        """Return all messages that are left, once nobody sends any."""
        self._end()
        return [self._messages.get_nowait() for _ in range(self._messages.qsize())]

    def close(self) -> None:
        if self._reading.is_alive():
            self._end()
        self._socket.close()

    def _end(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(END, self._socket.getsockname())
        self._reading.join()

    def _read(self) -> None:
        while (message := self._socket.recv(4096)) != END:
            self._messages.put(message.decode())


@pytest.fixture(params=["{tmp}/notify", "@job-ledger-{pid}"], ids=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(request.param.format(tmp=tmp_path, pid=os.getpid()))
    yield manager
    manager.close()


class Watching:
    """A supervisor in this process; it counts."""

    pause_s = 0.01

    def __init__(self) -> None:
        self.signs = 0

    def ready(self, status: str) -> None: ...

    def alive(self) -> None:
        self.signs += 1

    def stopping(self) -> None: ...


@pytest.mark.parametrize("manager", ["{tmp}/notify"], indirect=True)
def test_a_service_is_ready_once_it_answers(
    serve: Serve, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it says again and again that it is alive, and at last that it stops."""
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    service = serve()
    ready, status = manager.told()
    assert ready == "READY=1"
    assert status == f"STATUS=listens on http://127.0.0.1:{service.port}"
    assert service.get("/readyz") == 200
    assert [manager.told() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    assert service.stop() == 0
    assert manager.told_to_the_end()[-1] == "STOPPING=1"


@pytest.mark.parametrize("manager", ["{tmp}/notify"], indirect=True)
def test_a_worker_is_ready_once_it_works(
    ledger_database: str, manager: Manager, tmp_path: Path
) -> None:
    """As a service: ready, alive, and at last stopping."""
    options = ("--store", ledger_database, "--pool", f"main={tmp_path / 'main'}")
    environment = processes.environment() | manager.environment
    worker = processes.start("worker", *options, env=environment)
    try:
        assert manager.told() == ["READY=1", "STATUS=works on main"]
        assert manager.told() == ["WATCHDOG=1"]
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait(PATIENCE_S)
    assert manager.told_to_the_end()[-1] == "STOPPING=1"


async def test_no_sign_of_life_while_the_writer_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so; once the writer gets on, it is alive."""
    monkeypatch.setattr(supervision, "HANG_S", 1e-9)
    watching, gate = Watching(), threading.Event()
    with Opened(tmp_path / "ledger.sqlite") as opened:
        async with supervised(watching, opened.ledger, ""):
            await wait_until("it is alive", lambda: watching.signs > 1)
            held = opened.ledger.exclusive(lambda _: gate.wait(PATIENCE_S))
            await wait_until("it hangs", lambda: opened.ledger.stuck_s > 0)
            before, logged = watching.signs, len(caplog.records)
            await wait_until("three looks", lambda: len(caplog.records) > logged + 2)
            assert watching.signs == before
            assert "busy with one thing" in caplog.text
            gate.set()
            await asyncio.wrap_future(held)
            await wait_until("it is alive again", lambda: watching.signs > before)


async def test_no_sign_of_life_while_the_event_loop_hangs(tmp_path: Path) -> None:
    watching = Watching()
    with Opened(tmp_path / "ledger.sqlite") as opened:
        async with supervised(watching, opened.ledger, ""):
            await wait_until("it is alive", lambda: watching.signs > 1)
            before = watching.signs
            time.sleep(10 * watching.pause_s)  # noqa: ASYNC251 - this is the hang
            assert watching.signs == before


def test_several_processes_are_ready_with_the_last_and_alive_together(manager: Manager) -> None:
    service_manager = ServiceManager(manager.environment)
    pulses, end = Pulses(2, service_manager.pause_s), threading.Event()
    one, two = pulses.of(0), pulses.of(1)
    one.ready("")
    assert not pulses.have_begun()
    telling = threading.Thread(target=pulses.pass_on, args=(service_manager, "of both", end))
    telling.start()
    two.ready("")
    assert manager.told() == ["READY=1", "STATUS=of both"]
    end.set()
    telling.join(PATIENCE_S)


class End(threading.Event):
    """One that comes after three waits."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return self.waits > 3


@pytest.mark.parametrize(("alive", "signs"), [(True, 3), (False, 0)], ids=["alive", "hanging"])
def test_a_parent_is_alive_as_long_as_its_processes_are(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, *, alive: bool, signs: int
) -> None:
    pulses = Pulses(1, PATIENCE_S)
    pulses.beat(0)
    monkeypatch.setattr(pulses, "are_alive", lambda: alive)
    pulses.pass_on(ServiceManager(manager.environment), "", End())
    assert manager.told_to_the_end() == ["READY=1\nSTATUS=", *["WATCHDOG=1"] * signs]


def test_a_parent_is_not_ready_before_all_its_processes_are(manager: Manager) -> None:
    pulses = Pulses(2, PATIENCE_S)
    pulses.beat(0)
    pulses.pass_on(ServiceManager(manager.environment), "", End())
    assert manager.told_to_the_end() == []


def test_a_sign_of_life_comes_twice_in_the_time_that_a_manager_waits() -> None:
    said = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "60000000"}
    assert ServiceManager(said).pause_s == 30


def test_a_manager_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    """What does not fit into its socket is lost."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread:
        unread.bind(address)
        service_manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": USEC})
        telling = threading.Thread(
            target=lambda: [service_manager.alive() for _ in range(SENT)], daemon=True
        )
        telling.start()
        telling.join(PATIENCE_S)
        assert not telling.is_alive()
        assert unread.recv(4096) == b"WATCHDOG=1"


def test_one_of_several_processes_that_is_silent_is_missed() -> None:
    pulses = Pulses(2, PATIENCE_S)
    pulses.beat(0)
    assert not pulses.are_alive()
    pulses.beat(1)
    assert pulses.are_alive()
    silent = Pulses(1, 1e-9)
    silent.beat(0)
    assert not silent.are_alive()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": USEC},
        {"NOTIFY_SOCKET": "/nowhere"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": USEC, "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
    ],
)
def test_no_signs_of_life_where_nobody_wants_them(environment: dict[str, str]) -> None:
    """And a manager that is gone does no harm."""
    service_manager = ServiceManager(environment)
    assert service_manager.pause_s is None
    service_manager.ready("")

import os
import resource
import signal
import socket
import sqlite3
import stat
from collections.abc import Callable
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from api.cli import sockets as sockets_module
from api.cli.sockets import CannotListen, MayNotListen, Use, bound, reserve_port, urls_of
from api.service.limits import Limits
from api.service.settings import BadSettings, load_settings
from ledger.domain.errors import Misconfigured
from ledger.images.pools import Pool
from tests.commands.cli.processes import Serve, Serving, ask, run
from tests.support.wait import PATIENCE_S, wait_for

JOBS = "/api/2.0/jobs/"
CONFIGURATION = 2
"""The exit code that says that nothing changes by itself: not to be started again."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_stops_cleanly(serve: Serve, data: Path, number: signal.Signals) -> None:
    """Asked to stop, it ends with 0 and leaves a closed ledger and no socket."""
    service = serve()
    assert service.get(JOBS) == 401
    assert service.stop(number) == 0
    left = {path.name for path in data.iterdir()}
    assert left == {"checkpoint.key", "checkpoint.pub", "ledger.sqlite", "lock", "pools"}
    assert "Traceback" not in service.log


def test_files_are_private(serve: Serve, data: Path) -> None:
    """Nobody else can read the data directory or speak to the admin socket."""
    service = serve()
    modes = {p: stat.S_IMODE((data / p).stat().st_mode) for p in (".", "lock", "admin.sock")}
    assert modes == {".": 0o700, "lock": 0o600, "admin.sock": 0o600}
    assert (data / "lock").read_text() == f"{service.pid}\n"


def test_second_start_is_refused(serve: Serve, data: Path) -> None:
    """A data directory is one process's; who has it is told."""
    service = serve()
    refused = run("serve", "--data", data, "--port", 0)
    assert refused == (
        1,
        "",
        f"Error: data directory {data} is in use by job-ledger process {service.pid}\n",
    )
    assert service.get(JOBS) == 401
    again = run("serve", "--data", data, "--port", service.port)
    assert again.err == refused.err, "not that the port is taken"


def test_starts_again_after_kill(serve: Serve, data: Path) -> None:
    """The lock and the socket of a process that was killed are in nobody's way."""
    serve().stop(signal.SIGKILL)
    assert (data / "admin.sock").exists()
    assert ask("account", "add", "ada@example.test", "--data", data).code == 0
    service = serve()
    assert ask("account", "add", "bob@example.test", "--data", data).code == 0
    assert service.stop() == 0


def test_what_is_no_http_is_answered_in_json(serve: Serve) -> None:
    """Like every other error; the log has one line of it, and quotes nothing."""
    service = serve()
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE_S) as connection:
        connection.sendall(b"kettle\r\n\r\n")
        with connection.makefile("rb") as answer:
            head, body = answer.read().split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"X-Request-ID: " in head
    assert body.startswith(b'[{"error_type":"validation","error_message":"')
    assert service.stop() == 0
    assert "Traceback" not in service.log
    assert "kettle" not in service.log


def test_port_in_use(data: Path) -> None:
    """An address that is taken is told in one line, and nothing is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("serve", "--data", data, "--port", port, "--demo")
    assert refused.code == 1
    assert refused.err == f"Error: cannot listen on 127.0.0.1:{port}: it is in use\n"
    assert not data.exists()


def test_foreign_address(data: Path) -> None:
    """An address of another machine is told in one line."""
    refused = run("serve", "--data", data, "--host", "192.0.2.1", "--port", 0)
    assert refused.code == 1
    assert refused.err.startswith("Error: cannot listen on 192.0.2.1:0: ")
    assert refused.err.count("\n") == 1
    assert not data.exists()


@pytest.fixture
def dual(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host with an address of IPv6 and one of IPv4, as `localhost` mostly is."""

    def resolved(_host: str, port: int, **_given: object) -> list[tuple[object, ...]]:
        tcp = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
        return [
            (socket.AF_INET6, *tcp, ("::1", port, 0, 0)),
            (socket.AF_INET, *tcp, ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return "dual"


def test_all_addresses_of_a_host_have_one_port(dual: str) -> None:
    """Also if any free port will do; and it is said at which URLs."""
    for _ in range(5):
        with bound(dual, 0) as sockets:
            six, four = [each.getsockname()[:2] for each in sockets]
            port = six[1]
            assert (six, four) == (("::1", port), ("127.0.0.1", port))
            assert urls_of(sockets) == [f"http://[::1]:{port}", f"http://127.0.0.1:{port}"]


def test_another_port_is_tried_if_one_is_free_at_one_address_only(
    dual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first try is left bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offered = iter([taken.getsockname()[1], 0])
        resolved = socket.getaddrinfo(dual, 0)
        bind = sockets_module._bound

        def offer(family: int, address: tuple[Any, ...], *, use: Use) -> socket.socket:
            at = (address[0], address[1] or next(offered), *address[2:])
            return bind(family, at, use=use)

        monkeypatch.setattr(sockets_module, "_bound", offer)
        with bound(dual, 0) as sockets:
            assert len(sockets) == len(resolved)
            assert taken.getsockname()[1] not in {each.getsockname()[1] for each in sockets}


@pytest.mark.parametrize("error", [EAFNOSUPPORT, EADDRNOTAVAIL], ids=["no IPv6", "no ::1"])
def test_what_the_machine_has_is_enough(
    dual: str, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Where there is no IPv6, though the name has such an address; not if another has the port."""
    bind = sockets_module._bound

    def without_six(family: int, address: tuple[Any, ...], *, use: Use) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(error, os.strerror(error))
        return bind(family, address, use=use)

    monkeypatch.setattr(sockets_module, "_bound", without_six)
    with bound(dual, 0) as sockets:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
        port = sockets[0].getsockname()[1]
        sockets[0].listen()
        with pytest.raises(CannotListen, match="it is in use"), bound(dual, port):
            pass


def test_processes_share_a_port_of_all_addresses(dual: str) -> None:
    """Nobody else gets it meanwhile, at any of them."""
    with reserve_port(dual, 0) as port, bound(dual, port, "shared") as one:
        with bound(dual, port, "shared") as two:
            assert {each.getsockname()[1] for each in (*one, *two)} == {port}
        with pytest.raises(CannotListen), bound(dual, port):
            pass


def test_a_port_that_is_not_for_us() -> None:
    """It stays so until somebody changes it; one that is taken may be free at the next start."""
    denied = CannotListen.at("127.0.0.1", 80, PermissionError(EACCES, "Permission denied"))
    assert isinstance(denied, Misconfigured)
    assert str(denied) == "cannot listen on 127.0.0.1:80: Permission denied"
    taken = CannotListen.at("127.0.0.1", 80, OSError(EADDRINUSE, "Address already in use"))
    assert not isinstance(taken, Misconfigured)


def test_ports_end_at_65535() -> None:
    """Several processes count the port for their metrics up: that is told in words."""
    with pytest.raises(MayNotListen, match="ports end at 65535"), bound("127.0.0.1", 65_536):
        pass


@pytest.mark.parametrize("where", ["/dev/null", "/dev/null/data", "/proc/data"])
def test_unusable_directory(where: str) -> None:
    """A data directory that cannot be is told in one line."""
    refused = run("serve", "--data", where, "--port", 0)
    assert refused.code == CONFIGURATION
    assert refused.err.startswith(f"Error: cannot use data directory {where}: ")
    assert refused.err.count("\n") == 1


def test_no_ledger_of_ours(data: Path) -> None:
    """A file that is no database is told in one line and left alone."""
    data.mkdir(mode=0o700)
    (data / "ledger.sqlite").write_text("a letter to grandmother" * 1000)
    (data / "ledger.sqlite").chmod(0o600)
    refused = run("serve", "--data", data, "--port", 0)
    assert (refused.code, refused.err.count("\n")) == (CONFIGURATION, 1)
    assert "not a database" in refused.err
    assert (data / "ledger.sqlite").read_text().startswith("a letter")


def of_a_later_version(data: Path) -> None:
    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        ledger.execute("PRAGMA user_version = 99")
    ledger.close()


def with_a_foreign_key(data: Path) -> None:
    (data / "checkpoint.pub").write_text("no key\n")


def after_a_move(data: Path) -> None:
    (data / "ledger.sqlite").rename(data / "ledger.sqlite.moved")


@pytest.mark.parametrize("spoil", [of_a_later_version, with_a_foreign_key, after_a_move])
def test_what_is_there_cannot_be_used(data: Path, spoil: Callable[[Path], None]) -> None:
    assert ask("account", "add", "ada@example.test", "--data", data).code == 0
    spoil(data)
    refused = run("serve", "--data", data, "--port", 0)
    said = [line for line in refused.err.splitlines() if " INFO " not in line]
    assert (refused.code, len(said)) == (CONFIGURATION, 1), refused


@pytest.mark.parametrize(
    "flags",
    [
        ("--pool", "nowhere"),
        ("--copy-rate", "fast"),
        ("--store", "mysql://x"),
        ("--processes", "2"),
        ("--no-such-flag",),
    ],
    ids=lambda flags: flags[0],
)
def test_a_setting_that_makes_no_sense(data: Path, flags: tuple[str, ...]) -> None:
    assert run("serve", "--data", data, "--port", 0, *flags).code == CONFIGURATION


def test_a_worker_without_a_store() -> None:
    assert ask("worker", "--pool", "a=/tmp").code == CONFIGURATION


def test_failed_store_ends_the_process(serve: Serve, data: Path) -> None:
    """When the store cannot write, nothing is acknowledged and the process ends with 70."""
    service = serve()
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    refused = ask("account", "add", "ada@example.test", "--data", data)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert service.wait() == 70
    assert "the store failed" in service.log
    service = serve()
    assert ask("account", "add", "ada@example.test", "--data", data).code == 0
    assert service.stop() == 0


def test_as_many_connections_as_there_may_be(serve: Serve) -> None:
    """The usual low limit of open files is raised to what the process may have."""
    low, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        service = serve()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, most))
    assert resource.prlimit(service.pid, resource.RLIMIT_NOFILE) == (most, most)


def test_request_under_way_is_answered(serve: Serve, data: Path) -> None:
    """Asked to stop, it takes no new requests and finishes those it has."""
    ask("account", "add", "ada@example.test", "--password-stdin", "--data", data, stdin=b"a secret")
    body = b'{"media":"disk","name":"late","size":1073741824}'
    service = serve()
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE_S) as connection:
        connection.sendall(
            b"POST /api/2.0/drives/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Basic YWRhQGV4YW1wbGUudGVzdDphIHNlY3JldA==\r\n"
            b"Accept: application/json\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        # It is handled from now on.
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        os.kill(service.pid, signal.SIGTERM)
        wait_for("nobody else is let in", lambda: not _accepts(service.port))
        connection.sendall(body)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert service.wait() == 0


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_long_path(tmp_path: Path) -> None:
    """A data directory deeper than a socket's path may be long works like any other."""
    data = tmp_path / ("d" * 100) / ("e" * 100) / "data"
    service = Serving(data)
    try:
        assert ask("account", "add", "ada@example.test", "--data", data).code == 0
        assert ask("doctor", "--data", data).code == 0
    finally:
        service.end()


def test_demo(serve: Serve, data: Path) -> None:
    """The first start makes an account, a drive and a job; later ones show the account again."""
    service = serve("--demo")
    email, password = (service.line().rpartition(" ")[2] for _ in range(2))
    curl = service.line()
    job = curl.rpartition("/api/2.0/jobs/")[2].rstrip("/")
    assert curl.startswith(
        f"demo job: curl -u '{email}:{password}' http://127.0.0.1:{service.port}/"
    )
    assert service.get(f"{JOBS}{job}/", email, password) == 200
    assert stat.S_IMODE((data / "demo-password").stat().st_mode) == 0o600
    assert service.stop() == 0

    service = serve("--demo")
    assert service.line() == f"demo account: {email}"
    assert service.line() == f"demo password: {password}"
    assert service.get(JOBS, email, password) == 200
    assert service.stop() == 0
    assert service.line() == ""


def test_settings_from_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags win over the environment, and both are checked."""
    monkeypatch.setenv("JOB_LEDGER_DATA", str(data))
    monkeypatch.setenv("JOB_LEDGER_COPY_RATE", "200M")
    monkeypatch.setenv("JOB_LEDGER_POOLS", "fast=/mnt/fast,type=nvme; slow=relative")
    monkeypatch.setenv("JOB_LEDGER_DEMO", "true")
    found = load_settings(port=1, host=None)
    assert (found.data, found.port, found.copy_rate, found.demo) == (data, 1, 200 * 1024**2, True)
    assert found.pools == (
        Pool("fast", Path("/mnt/fast"), "nvme"),
        Pool("slow", Path.cwd() / "relative"),
    )
    assert load_settings(copy_rate="1G").copy_rate == 1024**3
    for bad in ({"copy_rate": "fast"}, {"copy_rate": "0"}, {"pools": ("x",)}, {"port": 70000},
                {"pools": ("a=/x", "a=/y")}, {"copies_per_pool": 0}):  # fmt: skip
        with pytest.raises(BadSettings, match=r"^--"):
            load_settings(**bad)
    monkeypatch.delenv("JOB_LEDGER_DATA")
    with pytest.raises(BadSettings, match=r"--data .or JOB_LEDGER_DATA.: is missing"):
        load_settings()


def test_trusted_proxies_and_limits(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address or a network, and some of the limits; the others keep their defaults."""
    monkeypatch.setenv("JOB_LEDGER_TRUSTED_PROXIES", "10.0.0.0/8; ::1")
    monkeypatch.setenv("JOB_LEDGER_LIMITS", "login-delay=60;unknown-tokens=0")
    found = load_settings(data=data)
    assert found.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert found.limits == Limits(login_delay=60, unknown_tokens=0)
    for bad in ({"trusted_proxies": ("10.0.0.1/8",)}, {"trusted_proxies": ("proxy",)},
                {"limits": ("no-such=1",)}, {"limits": ("login-delay",)},
                {"limits": ("login-delay=-1",)}, {"limits": ("login-delay=x",)},
                {"limits": ("login-delay=3601",)}):  # fmt: skip
        with pytest.raises(BadSettings, match=r"^--(trusted-proxy|limit) "):
            load_settings(data=data, **bad)


@pytest.mark.parametrize("text", ["08080", " 8080 ", "+8080", "8_080"])
def test_a_number_is_read_as_python_reads_it(
    data: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("JOB_LEDGER_PORT", text)
    assert load_settings(data=data).port == 8080


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT", "COPIES_PER_POOL", "STALLED_AFTER"])
@pytest.mark.parametrize("text", ["null", "", "fast", "-1"])
def test_what_is_no_number_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"JOB_LEDGER_{name}", text)
    with pytest.raises(BadSettings, match=f"JOB_LEDGER_{name}"):
        load_settings(data=data)


def test_a_range_of_addresses(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By flag or variable; a network of IPv4 in which there is an address to give."""
    assert load_settings(data=data).address_range == IPv4Network("10.0.0.0/8")
    monkeypatch.setenv("JOB_LEDGER_ADDRESS_RANGE", "192.0.2.0/30")
    assert load_settings(data=data).address_range == IPv4Network("192.0.2.0/30")
    for bad in ("192.0.2.0/31", "192.0.2.1/24", "2001:db8::/64", "everywhere"):
        with pytest.raises(BadSettings, match=r"^--address-range "):
            load_settings(data=data, address_range=bad)

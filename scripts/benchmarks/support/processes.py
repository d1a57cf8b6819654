"""Processes that a benchmark starts and ends: servers, and the load on them."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from scripts.load import Result

ROOT = Path(__file__).resolve().parents[3]
STOP_S = 30
OFF = (
    "requests-per-second",
    "websockets",
    *(f"{kind}-per-account" for kind in ("websockets", "drives", "servers", "jobs-running")),
)
"""Limits that an account of a benchmark would meet."""
_decode_result = msgspec.json.Decoder(Result).decode


class BenchmarkBroken(Exception):
    """Something failed, so there is no number to report."""


class Served(NamedTuple):
    """Where a server on this machine listens, and its process if it is ours."""

    host: str
    port: int
    pid: int = 0


def python(*arguments: str, given: bytes = b"") -> bytes:
    """Run a module of ours in a process of its own; return what it printed."""
    done = subprocess.run(  # noqa: S603 - a module of ours with arguments of ours
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=_environment(),
        input=given,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkBroken(f"{arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


@contextmanager
def serving(data: Path, *flags: str) -> Iterator[Served]:
    """Serve a data directory as a user does, on any free port; one account may have anything."""
    off = tuple(f"--limit={name}=0" for name in OFF)
    arguments = ("api.cli", "serve", "--data", str(data), "--port", "0", *off, *flags)
    with _process(arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        host, _, port = line.strip().rpartition("/")[2].partition(":")
        if not port:
            raise BenchmarkBroken(f"the server did not say where it listens, but {line!r}")
        yield Served(host, int(port), process.pid)


def memory_mib(server: Served, what: str = "VmRSS") -> float:
    """Return the memory of a server of ours, now or (`VmHWM`) at its peak."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) / 1024
    raise BenchmarkBroken(f"the system does not say {what}")


@contextmanager
def answering(body: bytes, content_type: str) -> Iterator[Served]:
    """Serve a bare aiohttp handler that always answers these bytes."""
    with _process(("scripts.benchmarks.support.bare", content_type)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(len(body).to_bytes(8) + body)
        process.stdin.flush()
        yield Served("127.0.0.1", int(process.stdout.readline()), process.pid)


def load(server: Served, requests: Sequence[bytes], *, connections: int, count: int) -> Result:
    """Send `count` of these requests from a process of its own; all answers must be 2xx."""
    spec = {
        "host": server.host,
        "port": server.port,
        "connections": connections,
        "requests": count,
        "templates": [base64.b64encode(request).decode() for request in requests],
    }
    result = _decode_result(python("scripts.load", given=msgspec.json.encode(spec)))
    if any(status // 100 != 2 for status in result.statuses):  # noqa: PLR2004 - 2xx
        raise BenchmarkBroken(f"not every request succeeded: {result.statuses}")
    return result


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run a module of ours until the block is left; hide its log."""
    with _process(arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdin, process.stdout


@contextmanager
def _process(arguments: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(  # noqa: S603 - a module of ours with arguments of ours
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _environment() -> dict[str, str]:
    """Return our environment without settings of the service."""
    return {name: value for name, value in os.environ.items() if "JOB_LEDGER" not in name}

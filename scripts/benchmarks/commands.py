"""What commands cost that people wait for: their processor time, and the time of `jl run`."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import orjson

from scripts.benchmarks.support.data_directories import EMAIL, PASSWORD, ask, seed
from scripts.benchmarks.support.processes import ROOT, BenchmarkBroken, Served, serving
from scripts.benchmarks.support.rows import Round, Row, missing, row
from scripts.benchmarks.support.scale import MIB, Setting

ROUNDS = 15
HELP_MOST_MS = 300.0
JOBS_MOST_MS = 250.0
"""The aims, for `--help`, and for `jobs` and a TAB."""

_LEDGER = (sys.executable, "-P", "-m", "api.cli")
_FLOOR = (sys.executable, "-c", "import click")
_NOWHERE = {"JOB_LEDGER_URL": "http://127.0.0.1:1", "JOB_LEDGER_TOKEN": "none"}


def help_(setting: Setting) -> Row:
    return _row("processor time of --help", ("--help",), {}, HELP_MOST_MS)


def jobs(setting: Setting) -> Row:
    """Up to the connection, which is refused."""
    return _row("of jobs", ("jobs",), _NOWHERE, JOBS_MOST_MS)


def tab(setting: Setting) -> Row:
    line = {"COMP_WORDS": "job-ledger serve --p", "COMP_CWORD": "2"}
    completing = {**line, "_JOB_LEDGER_COMPLETE": "bash_complete"}
    return _row("of a TAB after an option of serve", (), completing, JOBS_MOST_MS)


def _row(name: str, words: Sequence[str], environment: Mapping[str, str], most_ms: float) -> Row:
    rounds = [
        Round(_cpu_ms((*_LEDGER, *words), environment), _cpu_ms(_FLOOR, {})) for _ in range(ROUNDS)
    ]
    note = f"aim: {most_ms:.0f} ms"
    found = row(name, "ms", rounds, at_least=None, note=note, lower_is_better=True)
    return missing(found) if found.value > most_ms else found


def _cpu_ms(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the processor time of one process, in user and in system mode."""
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(words[0], list(words), {**os.environ, **environment}, file_actions=silent)
    _, _, used = os.wait4(pid, 0)
    return 1000 * (used.ru_utime + used.ru_stime)


# Commands that `jl run` runs, while the ledger answers

MORE_MOST_MS = 150.0
"""By how much `true` may take longer."""
_RUN = (sys.executable, "-S", str(ROOT / "api/sdk/job_ledger.py"), "run", "--")


def run_true(setting: Setting) -> Row:
    """A command that does nothing."""
    with _telling(setting.directory) as environment:
        rounds = [
            Round(1000 * _take_s((*_RUN, "true"), environment), 1000 * _take_s(("true",), {}))
            for _ in range(setting.scale.runs)
        ]
    note = f"floor: the command alone; aim: {MORE_MOST_MS:.0f} ms more"
    found = row("run-true", "ms", rounds, at_least=None, note=note, lower_is_better=True)
    return missing(found) if found.value - found.floor > MORE_MOST_MS else found


def run_cat(setting: Setting) -> Row:
    """A command that passes much from its input to its output."""
    scale, data = setting
    file = data / "piped"
    with file.open("wb") as piped:
        for _ in range(scale.piped_bytes // MIB):
            piped.write(os.urandom(MIB))
    with _telling(data / "ledger") as environment:
        _take_s(("cat",), {}, file)
        rounds = [
            Round(
                scale.piped_bytes / MIB / _take_s((*_RUN, "cat"), environment, file),
                scale.piped_bytes / MIB / _take_s(("cat",), {}, file),
            )
            for _ in range(scale.rounds)
        ]
    note = f"{scale.piped_bytes // MIB:,} MiB through a pipe; floor: the command alone"
    return row("run-cat", "MiB/s", rounds, at_least=0.97, note=note)


@contextmanager
def _telling(data: Path) -> Iterator[Mapping[str, str]]:
    """Serve a ledger; yield the environment in which `jl` tells it of jobs."""
    data.mkdir(exist_ok=True)
    asyncio.run(seed(data))
    with serving(data, "--no-copying") as server:
        yield {
            "JOB_LEDGER_URL": f"http://{server.host}:{server.port}",
            "JOB_LEDGER_TOKEN": _token(server),
            "JOB_LEDGER_SPOOL": str(data / "spool"),
        }
        if not ask(server, "GET", "/api/v1/jobs?state=succeeded&limit=1").json["jobs"]:
            raise BenchmarkBroken("the ledger was not told of the commands")


def _token(server: Served) -> str:
    body = {"username": EMAIL, "password": PASSWORD, "name": "benchmark"}
    said = ask(server, "POST", "/api/2.0/accounts/action/?do=create_token", orjson.dumps(body)).json
    token: str = said["token"]
    return token


def _take_s(
    words: Sequence[str], environment: Mapping[str, str], file: Path = Path(os.devnull)
) -> float:
    """Return how long it takes, with its output read from a pipe by another process."""
    started = perf_counter()
    with (
        file.open("rb") as given,
        subprocess.Popen(  # noqa: S603 - commands of ours
            list(words), stdin=given, stdout=subprocess.PIPE, env={**os.environ, **environment}
        ) as process,
        subprocess.Popen(("wc", "-c"), stdin=process.stdout, stdout=subprocess.DEVNULL) as reader,  # noqa: S607
    ):
        assert process.stdout is not None
        process.stdout.close()
        code = process.wait()
        reader.wait()
    if code:
        raise BenchmarkBroken(f"{words[-1]} ended with {code}")
    return perf_counter() - started

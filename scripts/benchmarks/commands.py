"""The processor time of commands that people wait for, beside an interpreter that imports click."""

import os
import sys
from collections.abc import Mapping, Sequence

from scripts.benchmarks.support.rows import Round, Row, missing, row
from scripts.benchmarks.support.scale import Setting

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

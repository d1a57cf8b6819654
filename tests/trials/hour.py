"""Processes for which an hour passes in seconds.

    python hour.py SDK FASTER WORDS ...

It is `jl` with these words, or the program in the file that they name. The clocks of the SDK go
faster, alike in all processes, and so do its pauses and the time for which it waits for an answer.
An answer has `LEAST_S` at the least. At its end it notes in the file `WAITED` for how long it has
kept anybody waiting.
"""

import math
import os
import runpy
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, sys.argv[1])

import job_ledger as jl  # type: ignore[import-not-found]

FASTER, LEAST_S = float(sys.argv[2]), float(os.environ["LEAST_S"])
_BEGAN, _AT = float(os.environ["BEGAN"]), datetime.fromisoformat(os.environ["BEGAN_AT"])


def elapsed_s() -> float:
    return (time.monotonic() - _BEGAN) * FASTER


class Condition(threading.Condition):
    """Whose pauses are shorter, as the clocks go faster."""

    def wait_for(self, predicate: Any, timeout: float | None = None) -> Any:
        give_up = None if timeout is None else elapsed_s() + timeout
        while not (found := predicate()):
            left = None if give_up is None else give_up - elapsed_s()
            if left is not None and left <= 0:
                return found
            super().wait(None if left is None else left / FASTER)
        return found

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / FASTER)


def exchange(ledger: Any, method: str, path: str, *told: Any) -> Any:
    """Wait less long for an answer; as long as ever for one that is late by its nature."""
    *content, within_s = told
    if "/control" not in path:
        within_s = max(within_s / FASTER, LEAST_S)
    return _exchange(ledger, method, path, *content, within_s)


_exchange = jl.Ledger._exchange
jl.MARK_S = math.inf  # an answer is waited for longer than it should, as the clock goes
jl.Ledger._exchange = exchange
jl.threading = SimpleNamespace(**{**vars(threading), "Condition": Condition})
jl.time = SimpleNamespace(
    monotonic=elapsed_s,
    time=lambda: _AT.timestamp() + elapsed_s(),
    sleep=lambda seconds: time.sleep(seconds / FASTER),
)
jl._now = lambda: (_AT + timedelta(seconds=elapsed_s())).isoformat(timespec="milliseconds")


def leave(code: int) -> None:
    """End at once, as `jl run` does, after noting for how long it has waited."""
    Path(os.environ["WAITED"]).write_text(str(jl.WAIT_S - jl.Courier.wait_left_s))
    _exit(code)


_exit, os._exit = os._exit, leave  # type: ignore[assignment]
words = sys.argv[3:]
if Path(words[0]).exists():
    runpy.run_path(words[0])
    jl._at_exit()
    leave(0)
leave(jl.main(words))

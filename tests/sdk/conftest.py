"""The SDK in this process, as a program, and the ledgers that it tells."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.sdk.fake_ledger import FakeLedger, fake_ledger
from tests.support.processes import ROOT
from tests.support.wait import PATIENCE_S

REFUSED = "http://127.0.0.1:1"
"""Where nobody listens."""
IN_BACKGROUND = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
FILE = ROOT / "api/sdk/job_ledger.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("job_ledger", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["job_ledger"] = module
    spec.loader.exec_module(module)
    return module


MODULE = _load()


@pytest.fixture(autouse=True)
def _no_signal_is_ignored() -> Iterator[None]:
    """Let processes begin with signals as usual, though these tests run in the background.

    Who starts a program there, or with `nohup`, lets it ignore some, and then so do all below it.
    """
    ignored = [each for each in IN_BACKGROUND if signal.getsignal(each) == signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


@pytest.fixture
def ledger() -> Iterator[FakeLedger]:
    with fake_ledger() as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def jl(ledger: FakeLedger, spool: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, set up for a ledger, as new; nothing of it is left afterwards."""
    monkeypatch.setenv("JOB_LEDGER_URL", ledger.url)
    monkeypatch.setenv("JOB_LEDGER_TOKEN", "secret")
    monkeypatch.setenv("JOB_LEDGER_SPOOL", str(spool))
    monkeypatch.delenv("JOB_LEDGER_PARENT", raising=False)
    monkeypatch.setattr(MODULE._State, "is_hooked", True)
    monkeypatch.setattr(MODULE.Courier, "wait_left_s", PATIENCE_S)
    yield MODULE
    ledger.end()
    MODULE._at_exit()
    MODULE._State.couriers.clear()


def environment(url: str = "", spool: Path | None = None, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name[:10] != "JOB_LEDGER"}
    ours = {"JOB_LEDGER_URL": url, "JOB_LEDGER_TOKEN": "secret", "JOB_LEDGER_SPOOL": str(spool)}
    return {**kept, **(ours if url else {}), **more}


def start_of(*, is_patient: bool = True) -> str:
    """Return the code that imports the SDK; a slow machine must not be what it gives up for."""
    lines = [f"import sys; sys.path.insert(0, {str(FILE.parent)!r})", "import job_ledger as jl"]
    if is_patient:
        lines.append(f"jl.WAIT_S = jl.Courier.wait_left_s = {PATIENCE_S}")
    return "\n".join(lines)


def jl_words(*words: str, is_patient: bool = True) -> list[str]:
    """Return the command line of an installed `jl`: unlike a script, a module is compiled once."""
    start = start_of(is_patient=is_patient)
    return [sys.executable, "-S", "-I", "-c", f"{start}\nsys.exit(jl.main())", *words]


def run_jl(
    *words: str, env: dict[str, str] | None = None, is_patient: bool = True, **options: Any
) -> Any:
    """Run a command of the SDK to its end."""
    return subprocess.run(
        jl_words(*words, is_patient=is_patient),
        env=environment() if env is None else env,
        timeout=PATIENCE_S,
        check=False,
        **{"capture_output": True, **options},
    )


def run_python(code: str, env: dict[str, str], *, is_patient: bool = True) -> Any:
    """Run a program that uses the SDK."""
    return subprocess.run(
        [sys.executable, "-S", "-c", f"{start_of(is_patient=is_patient)}\n{code}"],
        env=env,
        timeout=PATIENCE_S,
        check=False,
        capture_output=True,
        text=True,
    )


def lines_in(spool: Path) -> list[dict[str, Any]]:
    texts = [path.read_text() for path in spool.glob("*.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines()]

"""What `run` tells the ledger about a command, and how a request to cancel comes to it."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import environment, jl_words, lines_in, run_jl
from tests.sdk.fake_ledger import Answered, Asked, FakeLedger, problem
from tests.support.wait import PATIENCE_S, wait_for

pytestmark = pytest.mark.process


def run(ledger: FakeLedger, spool: Path, *words: str, **more: str) -> int:
    code: int = run_jl("run", *words, env=environment(ledger.url, spool, **more)).returncode
    return code


def test_a_command_is_registered_and_its_end_is_told(ledger: FakeLedger, spool: Path) -> None:
    options = ["--title", "Photos", "--series", "nas/photos", "--label", "env=home"]
    options += ["--lease", "2m", "--deadline", "6h"]
    assert run(ledger, spool, *options, "--", "sh", "-c", "exit 0") == 0
    [registered], [ended] = ledger.bodies("jobs"), ledger.bodies("end")
    expected = {
        "operation": "sh",
        "title": "Photos",
        "series": "nas/photos",
        "labels": {"env": "home"},
        "lease_s": 120,
        "deadline_s": 21600,
    }
    assert registered.items() >= expected.items()
    assert ended.items() >= {"attempt": 1, "outcome": "succeeded"}.items()
    assert ended["exit"] == {"code": 0, "signal": None}
    assert [*spool.iterdir()] == [], "all of it is answered"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 23", {"outcome": "failed", "reason": "program"}),
        (
            "kill -SEGV $$",
            {
                "outcome": "failed",
                "reason": "signal",
                "error": {"type": "signal.SIGSEGV"},
                "exit": {"code": None, "signal": "SIGSEGV"},
            },
        ),
        ("kill -TERM $PPID; sleep 600", {"outcome": "cancelled", "reason": "interrupted"}),
        ("exec /no/such/command", {"outcome": "failed", "reason": "program"}),
    ],
)
def test_how_it_has_ended(
    script: str, expected: dict[str, Any], ledger: FakeLedger, spool: Path
) -> None:
    run(ledger, spool, "--", "sh", "-c", script)
    [ended] = ledger.bodies("end")
    assert ended.items() >= expected.items()


def test_the_last_of_stderr_is_told_of_a_failure_only_and_without_secrets(
    ledger: FakeLedger, spool: Path
) -> None:
    script = "echo key=123 >&2; echo out; exit"
    run(ledger, spool, "--redact", "key=[0-9]+", "--", "sh", "-c", f"{script} 1")
    run(ledger, spool, "--", "sh", "-c", f"{script} 0")
    run(ledger, spool, "--log", "none", "--", "sh", "-c", f"{script} 1")
    failed, succeeded, silent = ledger.bodies("end")
    assert failed["error"] == {"type": "exit.1", "tail": "[redacted]\n"}
    assert "error" not in succeeded
    assert silent["error"] == {"type": "exit.1"}


def test_run_inside_run_makes_a_tree(ledger: FakeLedger, spool: Path) -> None:
    """By the environment alone; the inner one may come first, so it asks again for its parent."""
    known: set[str] = set()

    def answer(asked: Asked) -> Answered | None:
        uuid = asked.path.rpartition("/")[2]
        if asked.method == "PUT" and asked.body.get("parent", uuid) not in {*known, uuid}:
            return problem(404, "parent-unknown")
        known.add(uuid)
        return None

    ledger.answer = answer
    inner = shlex.join(jl_words("run", "--", "true"))
    assert run(ledger, spool, "--", "sh", "-c", f"{inner}; exit 0") == 0
    trees = {body.get("parent") for body in ledger.bodies("jobs")}
    [outer] = {asked.path.rpartition("/")[2] for asked in ledger.asked if asked.method == "PUT"
               and "parent" not in asked.body}  # fmt: skip
    assert trees == {None, outer}
    traces = {body["traceparent"][:35] for body in ledger.bodies("jobs")}
    assert len(traces) == 1, "they are of one trace"


def test_progress_is_read_from_the_file_or_from_what_it_prints(
    ledger: FakeLedger, spool: Path
) -> None:
    script = "echo '3/8 photos/2019' > $JOB_LEDGER_PROGRESS_FILE"
    run(ledger, spool, "--", "sh", "-c", script)
    run(ledger, spool, "--progress", r"regex:(\d+) of (\d+)", "--", "echo", "1 of 9, 2 of 9")
    by_file, printed = ledger.reports()
    assert by_file["progress"] == {"done": 3, "total": 8}
    assert by_file["message"] == "photos/2019"
    assert printed["progress"] == {"done": 2, "total": 9}


def test_a_request_to_cancel_stops_the_command(ledger: FakeLedger, spool: Path) -> None:
    """It is told that it was seen; the outcome is that it was obeyed."""
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    words = jl_words("run", "--", "sh", "-c", script)
    env = environment(ledger.url, spool)
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        ledger.wait_for("jobs")
        uuid = ledger.asked[0].path.rpartition("/")[2]
        ledger.tell(uuid=uuid, cancel={"requested_at": "now", "by": "ops"})
        assert process.wait(PATIENCE_S) == 9
    [ended] = ledger.bodies("end")
    assert (ended["outcome"], ended["reason"]) == ("cancelled", "requested")
    assert any(report.get("cancel_seen") for report in ledger.reports())


def test_a_failure_is_tried_again_as_another_attempt(ledger: FakeLedger, spool: Path) -> None:
    """If it ends as one that may be, and only until it succeeds."""
    script = "echo >> tries; test $(wc -l < tries) = 3 || exit 75"
    words = jl_words("run", "--retry", "5", "--retry-on", "75,TERM", "--", "sh", "-c", script)
    env = environment(ledger.url, spool)
    done = subprocess.run(words, cwd=spool.parent, env=env, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0
    first, second, last = ledger.bodies("end")
    assert [end["attempt"] for end in (first, second, last)] == [1, 2, 3]
    assert (first["final"], second["final"], last.get("final", True)) == (False, False, True)
    assert [body["after"] for body in ledger.bodies("attempts")] == [1, 2]
    run(ledger, spool, "--retry", "5", "--retry-on", "75", "--", "sh", "-c", "exit 3")
    assert len(ledger.bodies("end")) == 4
    run(ledger, spool, "--retry", "5", "--", "true")
    assert len(ledger.bodies("end")) == 5


def test_the_job_of_an_id_is_taken_up_or_run_again(ledger: FakeLedger, spool: Path) -> None:
    """If the one that is there was lost, this is its next attempt; otherwise it is a new job."""
    lost = {"is": True}

    def answer(asked: Asked) -> Answered | None:
        if "external_id" in asked.body:
            return problem(409, "already-registered", job="there", attempt=4)
        if asked.path.endswith("attempts") and not lost["is"]:
            return problem(409, "attempt-taken")
        return None

    ledger.answer = answer
    show = ["--id", "photos", "--", "sh", "-c", "echo $JOB_LEDGER_JOB > job"]
    env = environment(ledger.url, spool)
    run_jl("run", *show, env=env, cwd=spool.parent)
    assert (spool.parent / "job").read_text() == "there\n"
    assert ledger.asked[-1].path == "/api/v1/jobs/there/end"
    assert ledger.bodies("end")[-1]["attempt"] == 5
    lost["is"] = False
    run_jl("run", *show, env=env, cwd=spool.parent)
    assert ledger.bodies("jobs")[-1]["rerun_of"] == "there"
    assert len(ledger.bodies("end")) == 2


def test_its_own_token_is_all_that_the_command_gets(ledger: FakeLedger, spool: Path) -> None:
    show = "echo $JOB_LEDGER_JOB $JOB_LEDGER_TOKEN"
    done = run_jl("run", "--own-token", "--", "sh", "-c", show, env=environment(ledger.url, spool))
    job, token = done.stdout.decode().split()
    assert token == f"jlj_{job}.1.mac"
    done = run_jl("run", "--", "sh", "-c", show, env=environment(ledger.url, spool))
    assert done.stdout.split()[1] == b"secret"


def test_a_ledger_that_refuses_is_no_matter_for_the_command(
    ledger: FakeLedger, spool: Path
) -> None:
    """What it does not take is kept with its answer, without the token."""
    ledger.answer = lambda _: problem(403, "scope-missing", scope="jobs:register")
    assert run(ledger, spool, "--", "sh", "-c", "exit 3") == 3
    [kept] = [*(spool / "refused").iterdir()]
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert lines[0]["answer"]["scope"] == "jobs:register"
    assert "secret" not in kept.read_text()
    assert lines_in(spool) == []


def test_strict_says_that_it_is_refused(ledger: FakeLedger, spool: Path) -> None:
    ledger.answer = lambda _: problem(401, "unauthorized")
    assert run(ledger, spool, "--strict", "--", "true") == 125


def test_dry_run_shows_what_would_be_told(ledger: FakeLedger, spool: Path) -> None:
    env = environment(ledger.url, spool)
    done = run_jl("run", "--dry-run", "--title", "A", "--", "rm", "-r", "x", env=env)
    shown = json.loads(done.stdout)
    assert (shown["command"], shown["job"]["title"]) == (["rm", "-r", "x"], "A")
    assert ledger.asked == []
    wait_for("no spool", lambda: not spool.exists())

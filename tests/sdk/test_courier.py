"""How the ledger is told: in what order, how often, and what is done if it does not take it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import environment, lines_in, run_python
from tests.sdk.fake_ledger import Answered, Asked, FakeLedger, problem
from tests.support.wait import wait_for


def test_figures_of_many_jobs_are_told_together(jl: Any, ledger: FakeLedger) -> None:
    """And no more often than the ledger wants to hear."""
    ledger.answer = lambda asked: (
        Answered(201, {"attempt": 1, "report_every_s": 3600}) if asked.method == "PUT" else None
    )
    jobs = [jl.Job(f"job.{n}").begin() for n in range(30)]
    ledger.wait_for("jobs", 30)
    [courier] = jl._State.couriers.values()
    wait_for("all answered", lambda: not courier._untold())
    for each in jobs:
        each.progress(1, 2)
        each.progress(2, 2)
    assert ledger.reports() == []
    with courier._changed:
        for record in courier._records:
            record.told_at = 0.0
        courier._changed.notify_all()
    [batch] = ledger.wait_for("reports")
    assert len(batch["reports"]) == 30
    assert {report["progress"]["done"] for report in batch["reports"]} == {2}


def test_a_beat_comes_at_a_third_of_the_lease(jl: Any, ledger: FakeLedger) -> None:
    ledger.answer = lambda asked: (
        Answered(201, {"attempt": 1, "lease": {"expires_in_s": 0.03}})
        if asked.method == "PUT"
        else None
    )
    job = jl.Job("a").begin()
    ledger.wait_for("reports", 3)
    assert job._record.beat_every_s == pytest.approx(0.01)
    assert {"progress", "message"} & set(ledger.reports()[0]) == set()
    assert [report["seq"] for report in ledger.reports()[:3]] == [1, 2, 3]


def test_a_job_that_the_ledger_has_lost_is_registered_again(jl: Any, ledger: FakeLedger) -> None:
    """By the same body, after a restore; what was to be told is told then."""
    lost = threading.Event()
    lost.set()

    def answer(asked: Asked) -> Answered | None:
        if asked.path.endswith("/end") and lost.is_set():
            lost.clear()
            return problem(404, "job-unknown")
        return None

    ledger.answer = answer
    with jl.job("a"):
        pass
    ledger.wait_for("end", 2)
    first, again = ledger.bodies("jobs")
    assert {**first, "sent_at": 0} == {**again, "sent_at": 0}


def test_a_parent_ends_after_its_children_are_registered(jl: Any, ledger: FakeLedger) -> None:
    """However short they are: a job that has ended takes no more of them."""
    has_left = threading.Event()

    def answer(asked: Asked) -> None:
        if asked.body.get("operation") == "parent":
            has_left.wait()

    ledger.answer = answer
    with jl.job("parent") as job:
        ledger.wait_for("jobs")
        with job.child("child"), jl.job("grandchild"):
            pass
    has_left.set()
    ledger.wait_for("end", 3)
    kinds = [asked.body.get("operation", "end") for asked in ledger.asked]
    assert kinds[0] == "parent"
    assert kinds.index("child") < kinds.index("end")
    assert f"/jobs/{job.uuid}/end" in next(a.path for a in ledger.asked if a.method == "POST")


def test_a_ledger_that_has_lost_a_parent_is_told_of_it_again(jl: Any, ledger: FakeLedger) -> None:
    lost = [problem(404, "parent-unknown")]
    ledger.answer = lambda asked: lost.pop() if "parent" in asked.body and lost else None
    with jl.job("parent") as job, job.child("child"):
        pass
    ledger.wait_for("end", 2)
    assert [body["operation"] for body in ledger.bodies("jobs")] == [
        "parent",
        "child",
        "parent",
        "child",
    ]


def test_fields_that_a_service_does_not_know_are_left_out_from_then_on(
    jl: Any, ledger: FakeLedger
) -> None:
    def answer(asked: Asked) -> Answered | None:
        if "tolerate" in asked.body or "pid" in asked.body.get("producer", {}):
            return problem(400, "unknown-field", unknown=["tolerate", "producer.pid"])
        return None

    ledger.answer = answer
    for _ in range(2):
        with jl.job("a", tolerate=["failed"]):
            pass
    ledger.wait_for("end", 2)
    first, *others = ledger.bodies("jobs")
    assert "tolerate" in first
    assert len(others) == 2
    for body in others:
        assert "tolerate" not in body
        assert "pid" not in body["producer"]
        assert body["producer"]["agent"].startswith("job-ledger-sdk/")


@pytest.mark.parametrize(
    "trouble",
    [
        problem(429, "too-fast")._replace(headers={"Retry-After": "0"}),
        Answered(503, {}),
        Answered(403, {"error": "a proxy"}),
        Answered(302, {}, {"Location": "http://elsewhere.test/"}),
    ],
    ids=["429", "503", "a proxy's 403", "a redirect"],
)
def test_trouble_passes_and_nothing_is_lost(
    trouble: Answered, jl: Any, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is anything dropped for what a proxy says in place of the ledger."""
    monkeypatch.setattr(jl, "PAUSES_S", (0.01,))
    left = [trouble] * 3
    ledger.answer = lambda _: left.pop() if left else None
    with jl.job("a") as job:
        job.progress(1, 2)
    ledger.wait_for("end")
    assert ledger.bodies("end")[0]["outcome"] == "succeeded"
    assert ledger.reports()[0]["progress"]["done"] == 1


def test_a_process_does_not_wait_at_its_end_for_what_it_has_put_off(
    jl: Any, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an absence not all flush at once; who has ended by then leaves that to others."""
    monkeypatch.setattr(jl, "PAUSES_S", (0.01,))
    monkeypatch.setattr(jl, "ABSENCE_S", 1e9)
    monkeypatch.setattr(jl, "WAIT_S", 1.0)
    left = [Answered(503)]
    ledger.answer = lambda _: left.pop() if left else None
    with jl.job("a"):
        pass
    ledger.wait_for("end")
    jl._at_exit()
    assert jl.Courier.wait_left_s > 0


def test_a_job_that_was_discarded_is_dropped_and_the_others_go_on(
    jl: Any, ledger: FakeLedger, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.answer = lambda asked: (
        problem(410, "job-discarded") if asked.body.get("operation") == "old" else None
    )
    with jl.job("old"), jl.job("new"):
        pass
    ledger.wait_for("end")
    jl._at_exit()
    assert len(ledger.bodies("end")) == 1
    assert lines_in(spool) == []
    assert not (spool / "refused").exists()
    assert "does not record" in caplog.text


def test_who_was_replaced_must_stop(jl: Any, ledger: FakeLedger) -> None:
    ledger.answer = lambda asked: (
        problem(409, "attempt-replaced", must_stop=True) if asked.path.endswith("reports") else None
    )
    with jl.job("a") as job:
        job.progress(1)
        wait_for("it is told", lambda: job.is_cancel_requested)
        with pytest.raises(jl.Cancelled):
            job.check_cancelled()


def test_under_the_token_of_a_job_each_job_is_told_by_its_own(
    jl: Any, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That token registers below its job, and speaks for no other."""
    monkeypatch.setenv("JOB_LEDGER_TOKEN", "jlj_above.1.mac")
    jobs = [jl.Job("a").begin() for _ in range(2)]
    for each in jobs:
        each.progress(1)
        each.end()
    ledger.wait_for("end", 2)
    tokens = {asked.path.split("/")[4]: asked.token for asked in ledger.asked
              if asked.method == "POST"}  # fmt: skip
    assert tokens == {each.uuid: f"jlj_{each.uuid}.1.mac" for each in jobs}
    assert {asked.token for asked in ledger.asked if asked.method == "PUT"} == {"jlj_above.1.mac"}


def test_threads_share_one_courier(jl: Any, ledger: FakeLedger) -> None:
    def work() -> None:
        for _ in range(5):
            with jl.job("a") as job:
                for done in range(50):
                    job.progress(done, 50)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    ledger.wait_for("end", 20)
    assert len(jl._State.couriers) == 1
    assert len({body["instance"] for body in ledger.bodies("jobs")}) == 1


@pytest.mark.process
def test_after_a_fork_only_the_parent_has_the_job(ledger: FakeLedger, spool: Path) -> None:
    """The child may begin its own; it neither ends its parent's nor opens its spool for others."""
    code = (
        "import os\n"
        "with jl.job('parent') as job:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        assert jl.current() is None\n"
        "        job.progress(1); job.end('failed')\n"
        "        with jl.job('child'): pass\n"
        "        sys.exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
    )
    done = run_python(code, environment(ledger.url, spool))
    assert done.returncode == 0, done.stderr
    parent, child = ledger.bodies("jobs")
    assert parent["instance"] != child["instance"]
    assert [body["outcome"] for body in ledger.bodies("end")] == ["succeeded", "succeeded"]
    assert ledger.reports() == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("hook", "code", "reason"),
    [
        ("", -15, "interrupted"),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))", 0, "interrupted"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0, None),
    ],
    ids=["no handler", "a handler", "ignored"],
)
def test_sigterm_is_chained(
    hook: str, code: int, reason: str | None, ledger: FakeLedger, spool: Path
) -> None:
    """The program ends as without us, and its job ends as cancelled."""
    program = (
        f"import os, signal\n{hook}\n"
        "with jl.job('a'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('goes on')\n"
    )
    done = run_python(program, environment(ledger.url, spool))
    assert done.returncode == code
    assert ledger.bodies("end")[0].get("reason") == reason
    assert [*spool.iterdir()] == []


@pytest.mark.process
def test_what_still_runs_at_the_end_of_its_process_was_interrupted(
    ledger: FakeLedger, spool: Path
) -> None:
    """Hooks of the program still run, and find the jobs as they were."""
    program = (
        "import atexit\n"
        "job = jl.Job('a').begin()\n"
        "atexit.register(lambda: job.message('the last word'))\n"
    )
    assert run_python(program, environment(ledger.url, spool)).returncode == 0
    [ended] = ledger.bodies("end")
    assert (ended["outcome"], ended["reason"]) == ("cancelled", "interrupted")
    assert ledger.reports()[-1]["message"] == "the last word"

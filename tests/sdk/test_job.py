"""What a program says of its jobs by how it leaves their blocks, and by what it says in them."""

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest

from tests.sdk.fake_ledger import FakeLedger
from tests.support.wait import wait_for, wait_until


class Odd(Exception):
    """An exception of a module other than builtins."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, {"outcome": "succeeded"}),
        (SystemExit(), {"outcome": "succeeded"}),
        (SystemExit(0), {"outcome": "succeeded"}),
        (SystemExit(23), {"outcome": "failed", "exit": {"code": 23, "signal": None}}),
        (SystemExit("no room"), {"outcome": "failed", "exit": {"code": 1, "signal": None}}),
        (KeyboardInterrupt(), {"outcome": "cancelled", "reason": "interrupted"}),
        (asyncio.CancelledError(), {"outcome": "cancelled", "reason": "interrupted"}),
        (ValueError("no"), {"error": {"type": "ValueError", "message": "no"}}),
        (Odd("a\ud800\0"), {"error": {"type": f"{__name__}.Odd", "message": "a?\0"}}),
        (Unspeakable(), {"outcome": "failed", "reason": "program"}),
        (concurrent.futures.CancelledError(), {"outcome": "failed"}),
    ],
)
def test_leaving_a_block_says_how_the_job_has_ended(
    error: BaseException | None, expected: dict[str, Any], jl: Any
) -> None:
    ended = jl._end_by(error, is_requested=False)
    assert ended.items() >= expected.items()
    if ended["outcome"] == "cancelled":
        assert jl._end_by(error, is_requested=True)["reason"] == "requested"


def test_a_job_its_child_its_phases_and_its_result(jl: Any, ledger: FakeLedger) -> None:
    with jl.job("backup.rsync", title="Photos", labels={"env": "home"}) as job:
        assert jl.current() is job
        with job.phase("scan", of=3):
            job.message("looking")
        with job.child("upload") as upload:
            assert jl.current() is upload
            assert [*upload.track("abc", unit="item")] == ["a", "b", "c"]
        assert jl.current() is job
        job.result({"files": 3, "rate": float("nan"), "when": threading})
    assert jl.current() is None
    assert jl.flush(60)
    parent, child = ledger.bodies("jobs")
    assert parent["title"] == "Photos"
    assert child["parent"] == job.uuid
    assert parent["instance"] == child["instance"]
    ended = {asked.path.split("/")[4]: asked.body for asked in ledger.asked
             if asked.path.endswith("/end")}  # fmt: skip
    assert ended[job.uuid]["result"]["files"] == 3
    assert ended[job.uuid]["result"]["rate"] == "NaN"
    last = [report for report in ledger.reports() if "progress" in report][-1]
    assert last["progress"] == {"done": 3, "total": 3, "unit": "item"}


def test_a_result_that_cannot_be_told_does_not_prevent_the_end(
    jl: Any, ledger: FakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    endless: list[Any] = []
    endless.append(endless)
    for result in (endless, "x" * 10**6):
        with jl.job("a") as job:
            job.result(result)
    assert jl.flush(60)
    assert [body.get("result") for body in ledger.bodies("end")] == [None, None]
    assert caplog.text.count("a result is not recorded") == 2


def test_figures_are_brought_inside_what_can_be_recorded(jl: Any, ledger: FakeLedger) -> None:
    with jl.job("a") as job:
        job.progress(float("inf"), -3)
        job.progress(float("nan"), message="x" * 9999)
    assert jl.flush(60)
    assert ledger.reports()[-1]["progress"] == {"done": 2**53 - 1, "total": 0}
    assert len(ledger.reports()[-1]["message"]) == 500


def test_a_request_to_cancel_is_seen_where_the_program_looks(jl: Any, ledger: FakeLedger) -> None:
    """It is told at once that it was seen, and how the job has ended."""

    def work() -> None:
        with jl.job("a") as job:
            job.check_cancelled()
            ledger.wait_for("jobs")
            ledger.tell(uuid=job.uuid, cancel={"by": "ops"})
            wait_for("the request", lambda: job.is_cancel_requested)
            job.check_cancelled()

    with pytest.raises(jl.Cancelled):
        work()
    [ended] = ledger.wait_for("end")
    assert (ended["outcome"], ended["reason"]) == ("cancelled", "requested")
    assert any(report.get("cancel_seen") for report in ledger.reports())
    assert issubclass(jl.Cancelled, BaseException)
    assert not issubclass(jl.Cancelled, Exception)


async def test_a_job_below_an_asynchronous_one_is_asynchronous(jl: Any, ledger: FakeLedger) -> None:
    async with jl.ajob("etl") as job, job.child("etl.load") as child:
        child.progress(1, 2)
    assert type(child) is type(job)
    assert [end["outcome"] for end in ledger.wait_for("end", 2)] == ["succeeded"] * 2


async def test_a_scope_cancels_its_task_and_no_other(jl: Any, ledger: FakeLedger) -> None:
    """Once it is left, a request is no longer for the task."""
    inside = asyncio.Event()

    async def work() -> None:
        async with jl.ajob("etl.load") as job, job.cancel_scope():
            inside.set()
            await asyncio.Event().wait()

    async def work_behind() -> None:
        async with jl.ajob("etl.load") as job:
            async with job.cancel_scope():
                pass
            ledger.tell(uuid=job.uuid, cancel={"by": "ops"})
            await wait_until("the request", lambda: job.is_cancel_requested)

    task = asyncio.create_task(work())
    await inside.wait()
    await asyncio.to_thread(ledger.wait_for, "jobs")
    uuid = ledger.asked[0].path.rpartition("/")[2]
    ledger.tell(uuid=uuid, cancel={"by": "ops"})
    with pytest.raises(asyncio.CancelledError):
        await task
    [ended] = await asyncio.to_thread(ledger.wait_for, "end")
    assert ended["reason"] == "requested"
    await work_behind()
    assert (await asyncio.to_thread(ledger.wait_for, "end", 2))[1]["outcome"] == "succeeded"


async def test_each_call_of_a_tracked_function_is_a_job(jl: Any, ledger: FakeLedger) -> None:
    @jl.tracked("reports.monthly", series="reports", deadline=3600)
    def monthly(month: int) -> int:
        return month

    @jl.tracked("reports.daily")
    async def daily(day: int) -> int:
        assert jl.current()
        return day

    @jl.tracked("reports.rows")
    def rows() -> Any:
        yield 1
        raise Odd

    assert (monthly(3), await daily(7)) == (3, 7)
    with pytest.raises(Odd):
        list(rows())
    assert await asyncio.to_thread(jl.flush, 60)
    assert [body["operation"] for body in ledger.bodies("jobs")] == [
        "reports.monthly",
        "reports.daily",
        "reports.rows",
    ]
    assert ledger.bodies("jobs")[0]["deadline_s"] == 3600
    assert sorted(body["outcome"] for body in ledger.bodies("end")) == [
        "failed",
        "succeeded",
        "succeeded",
    ]
    with pytest.raises(Odd):
        jl.tracked("a")(raise_odd)()


def raise_odd() -> None:
    raise Odd


def test_a_job_is_carried_through_headers_and_environments(
    jl: Any, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jl.job("a") as above:
        headers, environment = jl.inject(headers=True), jl.inject({"PATH": "/bin"})
    assert "secret" not in str([headers, environment]), "a token is never carried"
    assert environment["PATH"] == "/bin"
    lower = {name.lower(): value for name, value in headers.items()}
    for carrier in (headers, lower, environment):
        with jl.job("b", parent=jl.extract(carrier)):
            pass
    monkeypatch.setenv("JOB_LEDGER_PARENT", above.uuid)
    with jl.job("b"):
        pass
    with jl.job("b", parent=None):
        pass
    jl.flush(60)
    parents = [body.get("parent") for body in ledger.bodies("jobs")]
    assert parents == [None, *[above.uuid] * 4, None]
    puts = [body["traceparent"] for body in ledger.bodies("jobs")]
    assert {trace[:35] for trace in puts[:4]} == {above.traceparent[:35]}


def test_a_group_is_sealed_where_other_jobs_end(jl: Any, ledger: FakeLedger) -> None:
    with jl.job("fan-out", ends="children", expect_children=2) as group, group.child("part"):
        pass
    assert jl.flush(60)
    assert len(ledger.bodies("seal")) == 1
    assert len(ledger.bodies("end")) == 1
    assert "lease_s" not in ledger.bodies("jobs")[0]


def test_without_a_ledger_a_job_is_only_a_block(jl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_LEDGER_URL")
    with jl.job("a") as job, job.child("b") as child, job.phase("c"):
        assert [*child.track(iter("ab"))] == ["a", "b"]
        job.progress(1, 2, message="x")
        job.label(a="b")
        job.result({})
        job.check_cancelled()
        assert (job.uuid, jl.current(), jl.inject()) == ("", None, {})
    assert jl.flush()
    assert jl._State.couriers == {}

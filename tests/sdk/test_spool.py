"""What is in a spool, and how it is told by whoever comes next."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import lines_in
from tests.sdk.fake_ledger import Answered, Asked, FakeLedger, problem
from tests.support.wait import wait_for


@pytest.fixture
def line(jl: Any, ledger: FakeLedger) -> Any:
    """Make a line of a spool for this ledger."""

    def make(kind: str, job: str, **body: Any) -> Any:
        return jl.Line(kind, job, body, ledger.url, "writer")

    return make


def write(spool: Path, name: str, *lines: Any, end: bytes = b"") -> Path:
    spool.mkdir(exist_ok=True)
    path = spool / f"{name}.jsonl"
    path.write_bytes(b"".join(each.encoded() for each in lines) + end)
    return path


def told(ledger: FakeLedger) -> list[str]:
    """Return what was asked: `PUT job`, or the rest of the address."""
    return [
        f"register {asked.path.rpartition('/')[2]}"
        if asked.method == "PUT"
        else asked.path.partition("/jobs/")[2]
        for asked in ledger.asked
    ]


def test_parents_come_before_children_and_ends_last(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    """In whichever files they are; all under the token that wrote them, as what is told late."""
    write(
        spool,
        "child",
        line("register", "child", operation="a", parent="parent"),
        line("reports", "child", seq=1),
        line("end", "child", outcome="succeeded", observed_at="1"),
    )
    write(
        spool,
        "parent",
        line("register", "parent", operation="a"),
        line("reports", "parent", seq=1),
        line("end", "parent", outcome="succeeded", observed_at="2"),
    )
    flushed = jl.flush_spool(str(spool))
    requests = told(ledger)
    assert requests[:2] == ["register parent", "register child"]
    assert set(requests[2:4]) == {"parent/reports", "child/reports"}
    assert requests[4:] == ["child/end", "parent/end"]
    assert {asked.token for asked in ledger.asked} == {"writer"}
    assert all(asked.body["buffered"] and asked.body["sent_at"] for asked in ledger.asked)
    assert (flushed.told, flushed.refused, flushed.left) == (6, 0, 0)
    assert [*spool.iterdir()] == []


def test_a_job_may_be_told_of_by_many_processes(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    """As by a script: each command of it has a spool of its own."""
    for seq in range(5):
        write(spool, f"report {seq}", line("reports", "a", seq=seq))
    write(spool, "end", line("end", "a", outcome="succeeded"))
    write(spool, "start", line("register", "a", operation="a"))
    jl.flush_spool(str(spool))
    requests = told(ledger)
    assert (requests[0], requests[-1], len(requests)) == ("register a", "a/end", 7)
    assert [*spool.iterdir()] == []


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "killed before its end"])
def test_attempts_are_told_in_their_order(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any, *, is_over: bool
) -> None:
    """The end of an attempt comes before the next one, although ends of jobs come last."""
    write(
        spool,
        "a",
        line("register", "a", operation="a"),
        line("end", "a", attempt=1, final=False),
        line("attempts", "a", after=1, instance="x"),
        line("reports", "a", attempt=2, seq=2),
        *([line("end", "a", attempt=2, outcome="succeeded")] if is_over else []),
    )
    jl.flush_spool(str(spool))
    in_order = ["register a", "a/end", "a/attempts", "a/reports", "a/end"]
    assert told(ledger) == in_order[: 5 if is_over else 4]
    assert ledger.bodies("attempts")[0]["after"] == 1


LEFT, PUT_ASIDE, DROPPED = "left", "put aside", "dropped"


@pytest.mark.parametrize(
    "case",
    [
        (problem(404, "parent-unknown"), LEFT),
        (problem(429, "too-fast"), LEFT),
        (problem(503, "unavailable"), LEFT),
        (problem(410, "job-discarded"), DROPPED),
        (problem(422, "bad-value"), PUT_ASIDE),
        (problem(401, "unauthorized", why="removed"), PUT_ASIDE),
    ],
    ids=lambda case: case[0].body["type"][17:],
)
def test_what_is_not_taken_is_told_later_or_shown_to_a_person(
    case: tuple[Answered, str], jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    answered, fate = case
    lines = [line("register", "a", operation="a"), line("end", "a", outcome="failed")]
    write(spool, "a", *lines)
    ledger.answer = lambda asked: answered if asked.method == "PUT" else None
    jl.flush_spool(str(spool))
    assert lines_in(spool) == ([each._asdict() for each in lines] if fate == LEFT else [])
    texts = [path.read_text() for path in spool.glob("refused/*")]
    kept = [json.loads(each) for text in texts for each in text.splitlines()]
    assert [each["kind"] for each in kept] == (["register", "end"] if fate == PUT_ASIDE else [])
    assert all(each["answer"] == answered.body and "token" not in each for each in kept)
    assert told(ledger) == ["register a"], "nothing of the job is told before it is registered"


def test_a_registration_stays_as_long_as_anything_of_its_job(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    """So that a ledger that was restored meanwhile can be told of the job again."""
    write(spool, "a", line("register", "a"), line("reports", "a", seq=1), line("end", "a"))
    ledger.answer = lambda asked: Answered(503) if asked.path.endswith("end") else None
    jl.flush_spool(str(spool))
    assert [each["kind"] for each in lines_in(spool)] == ["register", "end"]


def test_a_line_that_is_not_whole_is_ignored(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    write(spool, "a", line("register", "a"), end=b'{"kind": "end", "job"')
    write(spool, "b", end=b'\xff\n[1]\n{"kind": 1}\n')
    jl.flush_spool(str(spool))
    assert told(ledger) == ["register a"]
    assert [*spool.iterdir()] == []


def test_the_spool_of_a_process_that_runs_is_left_alone(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    path = write(spool, "a", line("register", "a"))
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        jl.flush_spool(str(spool))
        assert told(ledger) == []
    jl.flush_spool(str(spool))
    assert told(ledger) == ["register a"]


def test_one_ledger_that_is_away_is_not_in_the_way_of_another(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    away = [line("register", job)._replace(url="http://127.0.0.1:1") for job in ("x", "y")]
    write(spool, "a", *away)
    write(spool, "b", line("register", "b"))
    flushed = jl.flush_spool(str(spool))
    assert told(ledger) == ["register b"]
    assert flushed.left == 2


def test_the_next_process_tells_what_others_have_left(
    jl: Any, ledger: FakeLedger, spool: Path, line: Any
) -> None:
    """Only to its own ledger."""
    write(spool, "a", line("register", "a"), line("end", "a"))
    elsewhere = write(spool, "b", line("register", "b")._replace(url="http://other.test"))
    with jl.job("mine"):
        pass
    wait_for("it is told", lambda: "a/end" in told(ledger))
    jl._at_exit()
    assert [*spool.iterdir()] == [elsewhere]


def test_an_end_is_in_the_spool_before_it_is_told_and_until_it_is_answered(
    jl: Any, ledger: FakeLedger, spool: Path
) -> None:
    """Behind the registration of its job, though that was answered."""
    found: list[list[str]] = []

    def answer(asked: Asked) -> None:
        found.append([each["kind"] for each in lines_in(spool)])

    ledger.answer = answer
    with jl.job("a"):
        wait_for("it is registered", lambda: found)
    assert jl.flush(60)
    assert found == [["register"], ["register", "end"]]
    assert lines_in(spool) == []


def test_reports_of_an_absence_are_told_afterwards(
    jl: Any, ledger: FakeLedger, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As buffered ones; what is told live is how things stand then."""
    monkeypatch.setattr(jl, "PAUSES_S", (0.01,))
    away = Answered(503)
    ledger.answer = lambda _: away
    with jl.job("a") as job:
        job.progress(1, 4)
        wait_for("it is spooled", lambda: "reports" in {each["kind"] for each in lines_in(spool)})
        job.progress(2, 4)
        ledger.asked.clear()
        ledger.answer = lambda _: None
        wait_for("both are told", lambda: len(ledger.reports()) > 1)
    late, live = ledger.reports()
    assert (late["progress"]["done"], late["buffered"]) == (1, True)
    assert (live["progress"]["done"], live.get("buffered")) == (2, None)
    assert jl.flush(60)
    assert lines_in(spool) == []


def test_a_spool_that_is_full_drops_the_oldest_reports_and_never_an_end(
    jl: Any, spool: Path, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jl, "SPOOL_MOST", 20_000)
    made = jl.Spool(str(spool), "mine")
    for job in range(30):
        made.write(line("register", f"job {job}"))
    for seq in range(300):
        made.write(line("reports", "job 0", seq=seq))
        assert (spool / "mine.jsonl").stat().st_size <= 20_000
    for job in range(30):
        made.write(line("end", f"job {job}"))
    lines = lines_in(spool)
    kinds = [each["kind"] for each in lines]
    assert (kinds.count("register"), kinds.count("end")) == (30, 30)
    seqs = [each["body"]["seq"] for each in lines if each["kind"] == "reports"]
    assert seqs == list(range(300 - len(seqs), 300))
    assert seqs
    made.close()


def test_what_is_answered_makes_room_first(
    jl: Any, spool: Path, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that lives for years has a spool of what it has not told, no more."""
    monkeypatch.setattr(jl, "SPOOL_MOST", 20_000)
    made = jl.Spool(str(spool), "mine")
    made.write(line("register", "first"))
    for job in range(500):
        made.write(line("register", f"job {job}"))
        made.write(line("end", f"job {job}"))
        made.forget(f"job {job}")
        assert (spool / "mine.jsonl").stat().st_size <= 20_000
    assert "first" in {each["job"] for each in lines_in(spool)}
    made.forget("first")
    assert (spool / "mine.jsonl").stat().st_size == 0
    made.close()
    assert [*spool.iterdir()] == []

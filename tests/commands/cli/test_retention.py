"""`job-ledger retention`: how long jobs are kept, and what is discarded."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from api.service.clocks import now
from ledger.archives import Shelf
from tests.commands.cli.here import served_here
from tests.commands.cli.old_ledger import old_ledger
from tests.commands.cli.processes import ask
from tests.support.opened import shown_rows
from tests.support.wait import PATIENCE_S


@pytest.fixture(params=["running", "alone"])
def old(request: pytest.FixtureRequest, data: Path) -> Iterator[Path]:
    """A data directory with three trees of old jobs, a service running on it or not."""
    old_ledger(data, "a", "b", "c")
    with served_here(data) if request.param == "running" else nullcontext():
        yield data


def jobs(data: Path) -> set[object]:
    return {row[0] for row in shown_rows(data / "ledger.sqlite")["jobs"]}


def events(data: Path) -> int:
    with closing(sqlite3.connect(data / "ledger.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM stored_events").fetchone()[0])


def plan(data: Path, *arguments: str) -> str:
    """The digest in the last line of a plan."""
    answer = ask("retention", "plan", *arguments, "--data", data)
    assert (answer.code, answer.err) == (0, "")
    digest = answer.out.splitlines()[-1]
    assert digest.startswith("digest: ")
    return digest.removeprefix("digest: ")


LAST = "and the last 20 of each series\n"


def test_a_policy_says_how_many_of_a_series_are_kept(old: Path) -> None:
    """And as many are kept by the next, unless it says otherwise."""
    for arguments, last in ((("--keep-last", "5"), 5), ((), 5), (("--keep-last", "0"), 0)):
        said = ask("retention", "set", "P3D", *arguments, "--data", old).out
        assert said.endswith(f"and the last {last} of each series\n")
        shown = ask("retention", "show", "--data", old).out
        assert re.search(rf"and of each series +the last {last}, and the last success", shown)
    refused = ask("retention", "set", "P3D", "--keep-last", "1001", "--data", old)
    assert refused == (1, "", "Error: of each series, 0 to 1000 jobs can be kept\n")


def test_a_policy_is_set_planned_and_run(old: Path) -> None:
    """Also while the service runs; a plan names the jobs and changes nothing."""
    answer = ask("retention", "set", "P20D", "--data", old)
    assert answer == (0, f"jobs are kept for P20D from now on, {LAST}", "")
    assert ask("retention", "run", "--data", old) == (0, "nothing was due\n", "")
    ask("retention", "set", "P1DT6H", "--data", old)
    shown = ask("retention", "show", "--data", old).out
    assert re.search(r"jobs are kept for +P1DT6H, since ", shown)
    assert re.search(r"newest sweep +none\s", shown)
    assert re.search(r"wall clock +trusted\s", shown)
    before = events(old)
    planned = ask("retention", "plan", "--data", old).out
    assert [line.split()[0] for line in planned.splitlines()[3:6]] == ["a", "b", "c"]
    assert "6 jobs in 3 trees, and 0 other streams" in planned
    assert events(old) == before
    answer = ask("retention", "run", "--plan", plan(old, "--as-of", cutoff(planned)), "--data", old)
    assert answer.code == 1  # a plan of another moment, by when nothing was due
    assert len(jobs(old)) == 6


def cutoff(planned: str) -> str:
    found = re.search(r"ended before (\S+) (\S+) UTC", planned)
    assert found is not None
    return f"{found[1]}T{found[2]}Z"


def test_a_run_does_what_the_plan_says(old: Path) -> None:
    """And moves it to an archive, of which `show` tells."""
    digest = plan(old)
    before = events(old)
    ran = ask("retention", "run", "--plan", digest, "--data", old)
    assert (ran.code, ran.err) == (0, "")
    [name] = Shelf(old / "archive").names()
    size = (old / "archive" / f"{name}.jsonl.zst").stat().st_size
    assert ran.out == (
        "discarded 6 jobs in 3 trees, and 0 other streams\n"
        f"archived {before} events in {name}, {size:,} bytes\n"
    )
    assert jobs(old) == set()
    shown = ask("retention", "show", "--data", old).out
    assert re.search(r"newest sweep .* UTC, 6 jobs in 3 trees, and 0 other streams\s", shown)
    assert re.search(rf"archive {name} +{size:,} bytes\s", shown)
    assert re.search(r"next due +nothing\s", shown)
    assert ask("audit", "replay", "--data", old).code == 0


def test_a_plan_for_the_past_says_what_it_does_not_know(old: Path) -> None:
    """Of which series the trees were that are discarded since. Other plans know all of it."""
    unknown, before = "of what series that was is not looked up", now().isoformat()
    assert unknown not in ask("retention", "plan", "--data", old).out
    ask("retention", "run", "--data", old)
    planned = ask("retention", "plan", "--as-of", before, "--data", old).out
    assert "6 jobs in 3 trees" in planned
    assert unknown in planned
    none = ("--as-of", before, "--keep-last", "0")
    assert unknown not in ask("retention", "plan", *none, "--data", old).out


def test_a_plan_as_json(data: Path) -> None:
    """With all jobs of all trees, and the digest."""
    old_ledger(data, "a", "b", "c")
    arguments = ("--keep", "PT0S", "--as-of", "2999-01-01T00:00:00+02:00")
    answer = ask("retention", "plan", *arguments, "--json", "--data", data)
    found = json.loads(answer.out)
    assert [tree["jobs"] for tree in found["trees"]] == [[x, f"{x}-below"] for x in "abc"]
    assert found["cutoff"] == "2998-12-31T22:00:00Z"
    assert found["digest"] == plan(data, *arguments)


def test_refusals(old: Path) -> None:
    """In one line, with exit code 1, and nothing is changed."""
    digest = plan(old)
    other = f"{digest[:-1]}{'0' if digest[-1] != '0' else '1'}"
    before = events(old)
    refusals = {
        ("retention", "set", "P36526D"): "jobs can be kept for 0 to 36525 days",
        ("retention", "run", "--plan", "kettle"): "'kettle' is no digest of a plan",
        ("retention", "run", "--plan", ""): "'' is no digest of a plan",
        ("retention", "run", "--plan", other): "something else would be discarded by now:"
        " plan anew",
        ("parked", "skip", "job-a"): "job-a is not parked",
        ("parked", "retry", "kettle"): "kettle is not parked",
    }
    for command, reason in refusals.items():
        assert ask(*command, "--data", old) == (1, "", f"Error: {reason}\n")
    assert (events(old), len(jobs(old))) == (before, 6)


@pytest.mark.parametrize(
    "duration", ["", "3", "3D", "P", "PT", "P1DT", "P1Y", "P1M", "P-1D", "p1d", "P1.5D", "P٣D",
                 "P99999999999D", "P1D\n"]
)  # fmt: skip
def test_what_is_no_duration(data: Path, duration: str) -> None:
    """Is a usage error, which says what one looks like."""
    for arguments in (("set", "--", duration), ("plan", "--keep", duration)):
        answer = ask("retention", *arguments[:1], "--data", data, *arguments[1:])
        assert answer.code == 2
        assert (
            "is not a duration such as P3D, PT12H or P1DT6H" in answer.err or "long" in answer.err
        )
    assert not data.exists()


@pytest.mark.parametrize("moment", ["", "now", "2026-04-17", "2026-04-17T08:15:30", "12"])
def test_what_is_no_time(data: Path, moment: str) -> None:
    """Also one without an offset: it would be another's on another machine."""
    answer = ask("retention", "plan", "--as-of", moment, "--data", data)
    assert answer.code == 2
    assert "is not a time with an offset" in answer.err


@pytest.mark.parametrize("given", ["P3D", "PT12H", "P1DT6H", "PT0S", "PT1M30S", "P2W"])
def test_durations(data: Path, given: str) -> None:
    """Are told as they could be given."""
    old_ledger(data)
    told = ask("retention", "set", given, "--data", data).out
    assert told == f"jobs are kept for {given.replace('P2W', 'P14D')} from now on, {LAST}"


def test_nothing_is_made_where_there_is_no_ledger(data: Path) -> None:
    for command in (
        ("retention", "set", "P3D"),
        ("retention", "show"),
        ("retention", "plan"),
        ("retention", "run"),
        ("retention", "confirm-clock"),
        ("parked", "list"),
        ("parked", "skip", "job-a"),
    ):
        refused = ask(*command, "--data", data)
        assert refused == (1, "", f"Error: there is no ledger at {data}/ledger.sqlite\n")
    assert not data.exists()


def test_a_clock_that_was_set(old: Path) -> None:
    """Stops every run, until it is said to be right; the doctor says so too."""
    assert ask("retention", "run", "--data", old).code == 0
    set_clock_back(old)
    refused = ask("retention", "run", "--data", old)
    assert refused.code == 1
    assert refused.err.startswith("Error: the wall clock was set forward by 2:00:00, to ")
    assert "retention confirm-clock" in refused.err
    shown = ask("retention", "show", "--data", old).out
    assert re.search(r"wall clock +NOT TRUSTED: the wall clock was set forward by 2:00:00\s", shown)
    sick = ask("doctor", "--data", old)
    assert sick.code == 1
    assert "WRONG: the wall clock was set forward by 2:00:00: nothing is discarded" in sick.out
    confirmed = ask("retention", "confirm-clock", "--data", old)
    assert confirmed == (0, "the wall clock is trusted as it is\n", "")
    assert ask("retention", "run", "--data", old).code == 0
    assert ask("doctor", "--data", old).code == 0


def set_clock_back(data: Path) -> None:
    """As if the clock had shown two hours less when it was last looked at."""
    with (
        closing(sqlite3.connect(data / "ledger.sqlite", timeout=PATIENCE_S)) as connection,
        connection,
    ):
        connection.execute(
            "UPDATE clock_watch SET booted ="
            " strftime('%Y-%m-%dT%H:%M:%f+00:00', booted, '-2 hours')"
        )


@pytest.mark.parametrize(
    "command",
    [
        "retention", "retention set", "retention show", "retention plan", "retention run",
        "retention confirm-clock", "parked", "parked list", "parked retry", "parked skip",
    ],
)  # fmt: skip
def test_help(command: str) -> None:
    """Every command says what it does."""
    answer = ask(*command.split(), "--help")
    assert answer.code == 0
    assert len(answer.out.splitlines()[2].strip()) > 20

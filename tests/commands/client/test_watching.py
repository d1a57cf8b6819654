"""`job-ledger watch`: to the end of jobs, whatever happens on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.client import Api, data_blocks, striped
from tests.acceptance.running import Machine, Server, run_command
from tests.commands.client.conftest import SLOW, Shell, endless
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S

UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
ANOTHER, ANOTHERS_PASSWORD = "fir@example.test", "battery staple correct horse"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
TIMEOUT_S = 8
"""Time enough for a first look."""


@pytest.fixture
def port() -> tuple[str, str]:
    """One that nobody else is given while the service is away."""
    return "--port", str(free_port())


@pytest.fixture
def begun(shell: Shell) -> Iterator[list["subprocess.Popen[str]"]]:
    """Those still running at the end are ended."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def lines_of(process: "subprocess.Popen[str]", *parts: str) -> str:
    """Its lines until each of these has been in one."""
    assert process.stdout is not None
    said = ""
    while not all(part in said for part in parts):
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def test_a_pipe_gets_lines(
    slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """With the time of each, for a sub-job too; no line moves the cursor."""
    shell.log_in(slow)
    disks = [slow.api.upload(data_blocks(4, seed)) for seed in (1, 2)]
    source, before = slow.api.create_server(*disks), endless(slow.api)
    clone = slow.api.clone_server(source)
    uuids = [clone.job, *(child["uuid"] for child in slow.api.job(clone.job)["children"])]
    begun.append(watching := shell.begin("watch", clone.job))
    said = lines_of(watching, *(f"{uuid} started" for uuid in uuids))
    slow.api.cancel(before)
    rest, err = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, err) == (0, "")
    said += rest
    assert "\x1b" not in said
    for uuid in uuids:
        assert re.search(rf"^\d{{4}}-\S+Z {uuid} started \d+ %", said, re.MULTILINE)
        assert f"{uuid} success 100 %" in said
    compact = shell.run("watch", clone.job, "--compact")
    assert compact.out.count("\n") == 1


def test_a_terminal_gets_bars(slow: Server, shell: Shell) -> None:
    """They move in their place, with bytes, rate and time left."""
    shell.log_in(slow)
    source, before = slow.api.upload(data_blocks(16)), endless(slow.api)
    job = slow.api.clone(source).job
    with shell.begun_on_terminal("watch", job) as terminal:
        terminal.wait_for("started")
        slow.api.cancel(before)
        done = terminal.ended()
    assert done.code == 0
    assert "━" in done.out
    assert "\x1b[" in done.out
    assert "of 1.0 MiB" in done.out
    assert "/s" in done.out
    assert "success" in done.out


def test_a_terminated_watch_gives_the_cursor_back(slow: Server, shell: Shell) -> None:
    shell.log_in(slow)
    with shell.begun_on_terminal("watch", endless(slow.api)) as terminal:
        terminal.wait_for("started")
        terminal.terminate()
        done = terminal.ended()
    assert done.code == 128 + signal.SIGTERM
    assert done.out.rfind(SHOW_CURSOR) > done.out.rfind(HIDE_CURSOR) >= 0


def test_a_log_gets_lines_though_colours_are_forced(slow: Server, shell: Shell) -> None:
    """FORCE_COLOR, which build servers set, makes no terminal of a pipe."""
    shell.log_in(slow)
    bad = endless(slow.api)
    slow.api.cancel(bad)
    done = shell.run("watch", bad, FORCE_COLOR="1")
    assert (done.code, done.err) == (1, "")
    assert f"{bad} cancelled" in done.out
    assert "\x1b" not in done.out
    out = shell.home / "image"
    source = slow.api.upload(striped(1))
    done = shell.run("download", source, str(out), FORCE_COLOR="1")
    assert done.code == 0
    assert HIDE_CURSOR not in done.err


def test_programs_get_objects(
    slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """A line of JSON, the service's own, whenever the job is another; the last one is its end."""
    shell.log_in(slow)
    source, before = slow.api.upload(data_blocks(4)), endless(slow.api)
    job = slow.api.clone(source).job
    begun.append(watching := shell.begin("watch", job, "--json"))
    said = lines_of(watching, job)
    slow.api.cancel(before)
    said += watching.communicate(timeout=PATIENCE_S)[0]
    lines = [json.loads(line) for line in said.splitlines()]
    assert {line["uuid"] for line in lines} == {job}
    assert (lines[0]["state"], lines[-1]["state"]) == ("started", "success")
    answer = slow.api.call("GET", f"/jobs/{job}/").text
    assert said.splitlines()[-1] == answer
    assert all(line.keys() == lines[-1].keys() for line in lines)


def test_a_failure_is_the_exit_code(slow: Server, shell: Shell) -> None:
    """1 for a job that failed or was cancelled, though another went well."""
    shell.log_in(slow)
    good = slow.api.clone(slow.api.upload(striped(1))).job
    bad = endless(slow.api)
    slow.api.cancel(bad)
    slow.api.succeed(good)
    assert shell.run("watch", good).code == 0
    assert shell.run("watch", good, bad).code == 1


def test_the_first_failure_can_be_enough(slow: Server, shell: Shell) -> None:
    """With --fail-fast what still runs is not waited for."""
    shell.log_in(slow)
    runs, bad = endless(slow.api), endless(slow.api)
    slow.api.cancel(bad)
    assert shell.run("watch", runs, bad, "--fail-fast").code == 1
    assert slow.api.job(runs)["state"] == "started"


def test_the_time_can_be_up(
    slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """124, as timeout(1); the job goes on. A job that is not there yet is waited for as long."""
    shell.log_in(slow)
    runs = endless(slow.api)
    begun += [shell.begin("watch", job, "--timeout", str(TIMEOUT_S)) for job in (runs, UNKNOWN)]
    (_, err), (out, _) = (watching.communicate(timeout=PATIENCE_S) for watching in begun)
    assert [watching.returncode for watching in begun] == [124, 124]
    assert err == "the time is up; the jobs continue\n"
    assert slow.api.job(runs)["state"] == "started"
    assert f"{UNKNOWN} does not exist yet" in out


def test_a_clone_that_is_waited_for_speaks_json(server: Server, shell: Shell) -> None:
    """One object after the other, the clone and its job; nothing else is on stdout."""
    shell.log_in(server)
    source = server.api.upload(striped(1))
    done = shell.run("clone", "drive", source, "--wait", "--json")
    decoder, said, rest = json.JSONDecoder(), [], done.out.strip()
    while rest:
        each, end = decoder.raw_decode(rest)
        said.append(each)
        rest = rest[end:].strip()
    assert done.code == 0
    assert said[-1]["state"] == "success"


def test_what_runs_is_watched_by_default(
    machine: Machine, slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """Whole trees, each once; nothing at all is soon watched."""
    shell.log_in(slow)
    server = slow.api.create_server(slow.api.upload(data_blocks(1)))
    with another(machine, slow) as api:
        before = endless(api)
        assert shell.run("watch") == (0, "", "no job is running\n")
        job = slow.api.clone_server(server).job
        begun.append(watching := shell.begin("watch", "--compact"))
        said = lines_of(watching, job)
        api.cancel(before)
    said += watching.communicate(timeout=PATIENCE_S)[0]
    assert watching.returncode == 0
    assert {line.split()[1] for line in said.splitlines()} == {job}


def another(machine: Machine, server: Server) -> Api:
    """Somebody else, whose jobs are not ours, but keep ours waiting."""
    added = run_command(
        *("account", "add", ANOTHER, "--password-stdin", "--data", str(machine.data)),
        stdin=f"{ANOTHERS_PASSWORD}\n",
    )
    assert added.returncode == 0, added.stderr
    return Api(server.api.address, ANOTHER, ANOTHERS_PASSWORD)


def test_a_service_that_stops_is_waited_for(
    machine: Machine,
    port: tuple[str, str],
    shell: Shell,
    begun: list["subprocess.Popen[str]"],
) -> None:
    """The watch says so, and sees the end of the job once the service is there again."""
    slow = machine.start(*port, "--copy-rate", SLOW)
    shell.log_in(slow)
    job = endless(slow.api)
    watching = shell.begin("watch", job)
    begun.append(watching)
    assert watching.stdout is not None
    assert f"{job} started" in watching.stdout.readline()
    assert slow.stop() == 0
    lines = iter(watching.stdout.readline, "")
    assert any("connection lost" in line for line in lines)
    machine.start(*port)
    said = "".join(lines)
    assert watching.wait(PATIENCE_S) == 0
    assert "connected again" in said
    assert f"{job} success 100 %" in said


def test_a_job_that_is_not_there_yet(
    machine: Machine,
    port: tuple[str, str],
    shell: Shell,
    begun: list["subprocess.Popen[str]"],
) -> None:
    """It is seen once it comes. (A service on an older copy of the ledger does not have it yet.)"""
    server = machine.start(*port)
    shell.log_in(server)
    before, after = machine.data.with_name("before"), machine.data.with_name("after")
    assert server.stop() == 0
    shutil.copytree(machine.data, before)
    server = machine.start(*port)
    job = server.api.clone(server.api.upload(striped(1))).job
    server.api.succeed(job)
    assert server.stop() == 0
    machine.data.rename(after)
    before.rename(machine.data)
    server = machine.start(*port)
    watching = shell.begin("watch", job)
    begun.append(watching)
    assert watching.stdout is not None
    assert f"{job} does not exist yet" in watching.stdout.readline()
    assert server.stop() == 0
    machine.data.rename(before)
    after.rename(machine.data)
    machine.start(*port)
    out, _ = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, f"{job} success 100 %" in out) == (0, True)


def test_a_service_that_is_silent_is_said_to_be(
    slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """Its connections seem alive, and nothing comes: no command waits for it without a word.

    Nothing is said of jobs that nobody has seen.
    """
    shell.log_in(slow)
    job = slow.api.clone(slow.api.upload(striped(1))).job
    slow.api.succeed(job)
    os.kill(slow.pid, signal.SIGSTOP)
    try:
        begun += [shell.begin(*words) for words in (("watch", job), ("watch",), ("cancel", job))]
        watching, finding, cancelling = begun
        assert watching.stdout is not None
        line = watching.stdout.readline()
        assert "the service cannot be reached, trying again" in line
        assert " 0 %" not in line
        _, err = finding.communicate(timeout=PATIENCE_S)
        assert (finding.returncode, "it has not answered for 8 s" in err) == (3, True)
        _, err = cancelling.communicate(timeout=PATIENCE_S)
        assert (cancelling.returncode, "it may have been done all the same" in err) == (3, True)
    finally:
        os.kill(slow.pid, signal.SIGCONT)
    assert "connected again" in watching.stdout.readline()
    assert f"{job} success" in watching.stdout.read()

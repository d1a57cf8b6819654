"""`job-ledger watch`: to the end of jobs, whatever happens on the way."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.client import data_blocks, striped
from tests.acceptance.running import Machine, Server
from tests.client.conftest import Shell

UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"


@pytest.fixture
def begun(shell: Shell) -> Iterator[list["subprocess.Popen[str]"]]:
    """Those still running at the end are ended."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_a_pipe_gets_lines(slow: Server, shell: Shell) -> None:
    """With the time of each, for a sub-job too; no line moves the cursor."""
    shell.log_in(slow)
    disks = [slow.api.upload(data_blocks(64, seed)) for seed in (1, 2)]
    clone = slow.api.clone_server(slow.api.create_server(*disks))
    children = [child["uuid"] for child in slow.api.job(clone.job)["children"]]
    done = shell.run("watch", clone.job)
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    for uuid in (clone.job, *children):
        assert re.search(rf"^\d{{4}}-\S+Z {uuid} started \d+ %", done.out, re.MULTILINE)
        assert f"{uuid} success 100 %" in done.out
    compact = shell.run("watch", clone.job, "--compact")
    assert compact.out.count("\n") == 1


def test_a_terminal_gets_bars(slow: Server, shell: Shell) -> None:
    """They move in their place, with bytes, rate and time left."""
    shell.log_in(slow)
    job = slow.api.clone(slow.api.upload(data_blocks(96))).job
    done = shell.run_on_terminal("watch", job)
    assert done.code == 0
    assert "━" in done.out
    assert "\x1b[" in done.out
    assert "of 6.0 MiB" in done.out
    assert "/s" in done.out
    assert "success" in done.out


def test_programs_get_objects(slow: Server, shell: Shell) -> None:
    """A line of JSON whenever the job is another; the last one is its end."""
    shell.log_in(slow)
    job = slow.api.clone(slow.api.upload(data_blocks(64))).job
    lines = [json.loads(line) for line in shell.run("watch", job, "--json").out.splitlines()]
    assert {line["uuid"] for line in lines} == {job}
    assert (lines[0]["state"], lines[-1]["state"]) == ("started", "success")


def test_a_failure_is_the_exit_code(slow: Server, shell: Shell) -> None:
    """1 for a job that failed or was cancelled, though another went well."""
    shell.log_in(slow)
    good = slow.api.clone(slow.api.upload(striped(1))).job
    bad = slow.api.clone(slow.api.upload(data_blocks(1000))).job
    slow.api.post(f"/jobs/{bad}/action/?do=cancel", {}, status=202)
    slow.api.succeed(good)
    assert shell.run("watch", good).code == 0
    assert shell.run("watch", good, bad).code == 1


def test_the_first_failure_can_be_enough(slow: Server, shell: Shell) -> None:
    """With --fail-fast what still runs is not waited for."""
    shell.log_in(slow)
    runs = slow.api.clone(slow.api.upload(data_blocks(1000))).job
    bad = slow.api.clone(slow.api.upload(data_blocks(1000, 2))).job
    slow.api.post(f"/jobs/{bad}/action/?do=cancel", {}, status=202)
    assert shell.run("watch", runs, bad, "--fail-fast").code == 1
    assert slow.api.job(runs)["state"] == "started"


def test_the_time_can_be_up(slow: Server, shell: Shell) -> None:
    """124, as timeout(1); the job goes on. A job that is not there yet is waited for as long."""
    shell.log_in(slow)
    runs = slow.api.clone(slow.api.upload(data_blocks(1000))).job
    done = shell.run("watch", runs, "--timeout", "3")
    assert (done.code, done.err) == (124, "the time is up; the jobs go on\n")
    missing = shell.run("watch", UNKNOWN, "--timeout", "3")
    assert missing.code == 124
    assert f"{UNKNOWN} is not there yet" in missing.out


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


def test_what_runs_is_watched_by_default(slow: Server, shell: Shell) -> None:
    """Whole trees, each once; nothing at all is soon watched."""
    shell.log_in(slow)
    assert shell.run("watch") == (0, "", "nothing runs\n")
    server = slow.api.create_server(slow.api.upload(data_blocks(128)))
    job = slow.api.clone_server(server).job
    done = shell.run("watch", "--compact")
    assert done.code == 0
    assert {line.split()[1] for line in done.out.splitlines()} == {job}


def test_a_service_that_stops_is_waited_for(
    machine: Machine, slow: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """The watch says so, and sees the end of the job once the service is there again."""
    shell.log_in(slow)
    job = slow.api.clone(slow.api.upload(data_blocks(192))).job
    port = slow.api.address.rsplit(":", 1)[1]
    watching = shell.begin("watch", job)
    begun.append(watching)
    assert watching.stdout is not None
    assert f"{job} started" in watching.stdout.readline()
    assert slow.stop() == 0
    lines = iter(watching.stdout.readline, "")
    assert any("connection lost" in line for line in lines)
    machine.start("--port", port)
    said = "".join(lines)
    assert watching.wait(30) == 0
    assert "connected again" in said
    assert f"{job} success 100 %" in said


def test_a_job_that_is_not_there_yet(
    machine: Machine, server: Server, shell: Shell, begun: list["subprocess.Popen[str]"]
) -> None:
    """It is seen once it comes. (A service on an older copy of the ledger does not have it yet.)"""
    shell.log_in(server)
    address = server.api.address
    before, after = machine.data.with_name("before"), machine.data.with_name("after")
    assert server.stop() == 0
    shutil.copytree(machine.data, before)
    port = ("--port", address.rsplit(":", 1)[1])
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
    assert f"{job} is not there yet" in watching.stdout.readline()
    assert server.stop() == 0
    machine.data.rename(before)
    after.rename(machine.data)
    machine.start(*port)
    out, _ = watching.communicate(timeout=30)
    assert (watching.returncode, f"{job} success 100 %" in out) == (0, True)

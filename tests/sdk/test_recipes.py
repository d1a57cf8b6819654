"""The recipes of the SDK's document, run as cron, make, a CI runner and a laptop run them."""

import asyncio
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.readme.reading import blocks
from tests.sdk.conftest import jl_words, lines_in
from tests.sdk.test_service import Real, begun, real
from tests.support.cluster import free_port
from tests.support.wait import wait_until

__all__ = ["begun", "real"]

pytestmark = pytest.mark.process

DOCUMENT = "api/sdk/README.md"
BARE = "/usr/bin:/bin"
"""All that cron looks for programs in."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `jl` and the programs of the recipes are; those do nothing, and succeed."""
    made = tmp_path / "programs"
    made.mkdir()
    write(made / "jl", f'exec {shlex.join(jl_words())} "$@"')
    for name in ("backup-photos", "load", "report"):
        write(made / name, "exit 0")
    write(made / "run-tests", "exit 3")
    return made


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def run(folder: Path, *words: str, env: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, env=env)
    return await process.wait()


def beside(real: Real, folder: Path, **more: str) -> dict[str, str]:
    """The environment of a person or a runner for whom the ledger is set up."""
    return {**real.env, "PATH": f"{folder}:{os.environ['PATH']}", **more}


async def only_job(real: Real) -> Any:
    (job,) = (await real.call("GET", "/jobs"))["jobs"]
    return job


async def test_a_line_of_a_crontab(real: Real, folder: Path) -> None:
    """As cron does: by `sh -c`, with nothing but what the crontab says and a bare environment."""
    said = dict(re.findall(r"^(\w+)=(.*)$", blocks(DOCUMENT, "cron"), re.MULTILINE))
    assert {*said} == {"JOB_LEDGER_URL", "JOB_LEDGER_TOKEN"}
    (command,) = re.findall(r"^(?:\S+ ){5}(.*)$", blocks(DOCUMENT, "cron"), re.MULTILINE)
    assert "%" not in command  # which cron takes for a new line
    env = {name: real.env[name] for name in said}
    env |= {"PATH": BARE, "SHELL": "/bin/sh", "LOGNAME": "ada", "HOME": str(folder)}
    command = command.replace("/usr/local/bin", str(folder))
    assert await run(folder, "/bin/sh", "-c", command, env=env) == 0
    job = await only_job(real)
    assert (job["title"], job["series"], job["state"]) == (
        "Nightly photos",
        "nas/photos",
        "succeeded",
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
async def test_a_tree_of_make(real: Real, folder: Path) -> None:
    (folder / "Makefile").write_text(blocks(DOCUMENT, "make"))
    assert await run(folder, "make", env=beside(real, folder)) == 0
    jobs = {job["title"]: job for job in (await real.call("GET", "/jobs"))["jobs"]}
    whole = jobs.pop("Monthly figures")
    assert {*jobs} == {"Load the month", "Write the report"}
    assert {job["parent"] for job in jobs.values()} == {whole["uuid"]}
    assert {job["state"] for job in (whole, *jobs.values())} == {"succeeded"}


async def test_a_step_of_a_ci_run_and_a_laptop_that_was_away(real: Real, folder: Path) -> None:
    """The runner sees the exit code; what happened while the ledger was away is told later."""
    step, away, flush = blocks(DOCUMENT, "bash").split("\n", 1)[0], *laptop()
    runner = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    env = beside(real, folder, CI="true", CI_COMMIT="4f1c2d", CI_BRANCH="main")
    assert await run(folder, *runner, step, env=env) == 3
    tests = await only_job(real)
    assert (tests["title"], tests["labels"]) == ("Tests of 4f1c2d", {"branch": "main"})
    assert (tests["state"], tests["exit"]["code"]) == ("failed", 3)
    port = free_port()
    env["JOB_LEDGER_URL"] = f"http://127.0.0.1:{port}"
    assert await run(folder, "bash", "-c", away, env=env) == 0
    assert (await only_job(real))["uuid"] == tests["uuid"]
    assert [line["kind"] for line in lines_in(real.spool)] == ["register", "end"]
    await real.listen_at(port)
    assert await run(folder, "bash", "-c", flush, env=env) == 0
    told = {job["title"]: job["state"] for job in (await real.call("GET", "/jobs"))["jobs"]}
    assert told["Photos to the office"] == "succeeded"


@pytest.mark.parametrize("is_asked", [True, False], ids=["asked to stop", "left alone"])
async def test_a_script_that_cleans_up_when_it_is_asked_to_stop(
    real: Real, folder: Path, *, is_asked: bool
) -> None:
    """Its part is gone and the job is cancelled; left alone, the same script succeeds."""
    (folder / "copy-all").write_text(blocks(DOCUMENT, "shell"))
    (folder / "copy-all").chmod(0o755)
    last = "exec sleep 600" if is_asked else "exit 0"
    write(folder / "copy-photos", f'echo half > "$1"\n{last}')
    (command,) = (line for line in blocks(DOCUMENT, "bash").splitlines() if "--grace" in line)
    task = asyncio.create_task(run(folder, "bash", "-c", command, env=beside(real, folder)))
    if is_asked:
        await wait_until("it copies", (folder / "photos.part").exists)
        await wait_until("it is registered", lambda: is_running(real))
        await real.call("POST", f"/jobs/{(await only_job(real))['uuid']}/cancel", json={})
    assert await task == (143 if is_asked else 0)
    assert not (folder / "photos.part").exists()
    assert (folder / "photos").exists() is not is_asked
    assert (await only_job(real))["state"] == ("cancelled" if is_asked else "succeeded")


async def is_running(real: Real) -> bool:
    jobs = (await real.call("GET", "/jobs"))["jobs"]
    return bool(jobs) and jobs[0]["state"] == "running"


def laptop() -> list[str]:
    """The two commands of the last recipe."""
    return blocks(DOCUMENT, "bash").strip().splitlines()[-2:]

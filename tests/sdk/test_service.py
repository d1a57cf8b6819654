"""The SDK and a real service: what is told becomes what the service shows."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from tests.api.begun import begin_as, begun
from tests.api.unhurried import unhurried
from tests.sdk.conftest import MODULE, environment, jl_words, lines_in, run_jl
from tests.support.api_server import ApiServer
from tests.support.wait import PATIENCE_S, wait_until

__all__ = ["begun"]

pytestmark = pytest.mark.process


class Real:
    """A service, and what it shows to the account whose token the SDK has."""

    def __init__(self, client: TestClient[Any, Any], token: str, spool: Path) -> None:
        self._client = client
        self._token = token
        self.url = str(client.make_url("")).rstrip("/")
        self.spool = spool
        self.env = environment(self.url, spool, JOB_LEDGER_TOKEN=token)

    async def listen_at(self, port: int) -> None:
        """Answer at this port, too."""
        runner = self._client.server.runner
        assert runner is not None
        await web.TCPSite(runner, "127.0.0.1", port).start()

    async def call(self, method: str, path: str, **given: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"/api/v1{path}"
        async with self._client.request(method, url, headers=headers, **given) as response:
            return await response.json()

    async def job(self, uuid: str) -> Any:
        return await self.call("GET", f"/jobs/{uuid}")

    async def run(self, *words: str, **more: str) -> Any:
        return await asyncio.to_thread(run_jl, *words, env={**self.env, **more}, text=True)


@pytest.fixture
async def real(tmp_path: Path, begun: Path, spool: Path) -> AsyncIterator[Real]:
    data = tmp_path / "data"
    data.mkdir()
    begin_as(begun, data)
    settings = Settings(data=data, copying=False, limits=unhurried())
    async with open_service(settings) as service:
        account = await service.accounts.add("ada@example.org", "a long password", "user")
        token = (await service.accounts.tokens.add(account.email, "sdk")).token
        async with TestClient(ApiServer(make_app(service))) as client:
            yield Real(client, token, spool)


async def test_a_command_its_progress_and_its_failure(real: Real) -> None:
    script = (
        "echo $JOB_LEDGER_JOB; echo '3/8 copying' > $JOB_LEDGER_PROGRESS_FILE; echo no >&2; exit 23"
    )
    options = ["--title", "Photos", "--series", "nas/photos", "--label", "env=home"]
    done = await real.run("run", *options, "--deadline", "6h", "--", "sh", "-c", script)
    assert done.returncode == 23
    job = await real.job(done.stdout.strip())
    assert (job["operation"], job["title"], job["series"]) == ("sh", "Photos", "nas/photos")
    assert (job["state"], job["reason"], job["labels"]) == ("failed", "program", {"env": "home"})
    assert job["exit"] == {"code": 23, "signal": None}
    assert (job["error"]["type"], job["error"]["tail"]) == ("exit.23", "no\n")
    assert (job["progress"]["done"], job["progress"]["total"]) == (3, 8)
    assert lines_in(real.spool) == []
    assert not (real.spool / "refused").exists()


async def test_a_tree_of_commands_with_tokens_of_their_own(real: Real) -> None:
    """The inner command has the token of the outer job, and no other."""
    inner = shlex.join(jl_words("run", "--own-token", "--", "sh", "-c", "echo $JOB_LEDGER_JOB"))
    script = f"echo $JOB_LEDGER_JOB; {inner}"
    done = await real.run("run", "--own-token", "--", "sh", "-c", script)
    outer, below = done.stdout.split()
    assert (await real.job(below))["parent"] == outer
    assert [(await real.job(each))["state"] for each in (outer, below)] == ["succeeded"] * 2


async def test_a_request_to_cancel_stops_a_command(real: Real) -> None:
    script = "trap 'exit 9' TERM; echo $JOB_LEDGER_JOB; while :; do sleep 0.05; done"
    words = jl_words("run", "--", "sh", "-c", script)
    process = await asyncio.create_subprocess_exec(
        *words, env=real.env, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    uuid = (await process.stdout.readline()).decode().strip()

    async def is_running() -> bool:
        return bool((await real.job(uuid)).get("state") == "running")

    await wait_until("it is registered", is_running)
    await real.call("POST", f"/jobs/{uuid}/cancel", json={"note": "no room"})
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 9
    job = await real.job(uuid)
    assert (job["state"], job["reason"]) == ("cancelled", "requested")
    assert {each["type"] for each in job["conditions"]} <= {
        "cancel_requested",
        "cancel_acknowledged",
    }


async def test_attempts_ids_and_runs_again(real: Real) -> None:
    """Each failure is an attempt of one job; the same id again is a job of its own."""
    script = "echo $JOB_LEDGER_JOB; echo >> tries; test $(wc -l < tries) -ge 2 || exit 75"
    script = f"cd {real.spool.parent}; {script}"
    options = ["--retry", "2", "--id", "photos"]
    done = await real.run("run", *options, "--", "sh", "-c", script)
    first = done.stdout.split()[0]
    job = await real.job(first)
    assert (job["state"], job["attempt"]["n"], job["external_id"]) == ("succeeded", 2, "photos")
    done = await real.run("run", *options, "--", "sh", "-c", script)
    again = await real.job(done.stdout.split()[0])
    assert (again["state"], again["rerun_of"]) == ("succeeded", first)


async def test_a_program(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "TOKEN", "SPOOL"):
        monkeypatch.setenv(f"JOB_LEDGER_{name}", real.env[f"JOB_LEDGER_{name}"])
    jl = MODULE
    monkeypatch.setattr(jl._State, "is_hooked", True)
    monkeypatch.setattr(jl.Courier, "wait_left_s", PATIENCE_S)

    def work() -> list[str]:
        with jl.job("group", ends="children") as group, group.child("load") as job:
            with job.phase("copy", of=2):
                list(job.track(range(5), unit="row"))
            job.items(ok=5, total=5)
            job.label(team="a")
            job.result({"rows": 5})
        assert jl.flush(PATIENCE_S)
        jl._at_exit()
        jl._State.couriers.clear()
        return [group.uuid, job.uuid]

    group, job = [await real.job(uuid) for uuid in await asyncio.to_thread(work)]
    assert (group["state"], group["children"]["succeeded"]) == ("succeeded", 1)
    assert (job["state"], job["parent"], job["labels"]) == (
        "succeeded",
        group["uuid"],
        {"team": "a"},
    )
    assert job["progress"]["done"] == 5
    assert job["phase"] == {"name": "copy", "n": 1, "of": 2}
    assert not (real.spool / "refused").exists()


async def test_a_job_whose_parent_is_over_stands_on_its_own(real: Real) -> None:
    """Also if it is told of again, as after a kill before the spool was removed."""
    above = (await real.run("run", "--", "sh", "-c", "echo $JOB_LEDGER_JOB")).stdout.strip()
    away = {"JOB_LEDGER_URL": "http://127.0.0.1:1"}
    script = "echo $JOB_LEDGER_JOB"
    done = await real.run("run", "--parent", above, "--", "sh", "-c", script, **away)
    [path] = real.spool.glob("*.jsonl")
    said = path.read_text().replace(away["JOB_LEDGER_URL"], real.url)
    for _ in range(2):
        path.write_text(said)
        flushed = await real.run("flush")
        assert (flushed.returncode, flushed.stderr) == (0, "2 delivered, 0 refused, 0 left\n")
    job = await real.job(done.stdout.strip())
    assert (job["state"], job["parent"]) == ("succeeded", None)


async def test_a_script_and_what_was_spooled(real: Real) -> None:
    """What could not be told in time is told by the next flush, and shown as it was."""
    away = {"JOB_LEDGER_URL": "http://127.0.0.1:1"}
    uuid = (await real.run("start", "backup", **away)).stdout.strip()
    await real.run("report", uuid, "--done", "3", "--total", "8", "--message", "here", **away)
    await real.run("end", uuid, "--exit", "1", "--message", "no room", **away)
    for path in real.spool.glob("*.jsonl"):
        path.write_text(path.read_text().replace(away["JOB_LEDGER_URL"], real.url))
    done = await real.run("flush")
    assert (done.returncode, done.stderr) == (0, "3 delivered, 0 refused, 0 left\n")
    job = await real.job(uuid)
    assert (job["state"], job["error"]["message"]) == ("failed", "no room")
    uuid = (await real.run("start", "backup")).stdout.strip()
    assert (await real.run("cancelled", uuid)).returncode == 1
    await real.call("POST", f"/jobs/{uuid}/cancel")
    assert (await real.run("cancelled", uuid)).returncode == 0

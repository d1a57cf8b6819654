"""Make the files that later versions must read: a ledger, its archives, a backup and a dump.

    python -m tests.compatibility.making tests/compatibility/version_0_1_0

Run it once with each version that wrote files which users may still have, and keep what it makes.
It uses the service and the command line only, as users do.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.acceptance.client import BLOCK, Api
from tests.acceptance.running import EMAIL, Machine, make_data, run_command
from tests.support.cluster import BIN, environment
from tests.support.postgres import PostgresServer, new_directory
from tests.support.wait import wait_for

INTERRUPTED_BLOCKS = 48
COPY_RATE = "1M"


def content_of(blocks: int, fill: int) -> bytes:
    """Return the bytes of an image that packs well and has a hole in its middle."""
    half = bytes([fill]) * (blocks // 2 * BLOCK)
    return half + bytes(BLOCK) + half


def make(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        machine = Machine(directory / "data", directory / "pool", directory / "server.log")
        machine.pool.mkdir()
        make_data(machine.data)
        try:
            answers = record_story(machine)
            interrupt_clone(machine, answers)
        finally:
            machine.close()
        answers["checkpoint"] = expect(machine, "audit", "checkpoint")
        answers["replay"] = json.loads(expect(machine, "audit", "replay", "--json"))
        (machine.data / "lock").unlink(missing_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        pack(directory, ("data", "pool"), target / "ledger.tar.xz")
        back_up(machine, directory, target)
        dump(machine, target)
        (target / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


def record_story(machine: Machine) -> dict[str, Any]:
    """Record a bit of everything; return what the service answers about it."""
    server = machine.start()
    api = server.api
    token = expect(machine, "token", "add", EMAIL, "--name", "kept").split("token: ")[1]
    image = machine.data.parent / "library.img"
    image.write_bytes(content_of(2, 7))
    expect(machine, "library", "add", str(image), "--name", "library disk")
    golden = api.upload(content_of(4, 1), "golden")
    api.succeed(api.clone(golden, name="archived copy").job)
    expect(machine, "retention", "set", "PT0S")
    expect(machine, "retention", "run")
    expect(machine, "retention", "set", "P3D")
    api.post("/tags/", {"objects": [{"name": "fleet", "resources": [golden]}]}, status=201)
    oak = api.create_server(golden, api.upload(content_of(2, 2), "second"))
    elm = api.clone_server(oak, name="clone of oak")
    api.succeed(elm.job)
    doomed = api.clone(golden, name="doomed")
    api.succeed(doomed.job)
    api.delete(f"/drives/{doomed.uuid}/")
    api.call("PUT", "/profile/", json={"phone": "12345"})
    answers = {"token": token.strip(), "content": {golden: [4, 1]}, "get": look(api)}
    assert server.stop() == 0
    return answers


def look(api: Api) -> dict[str, Any]:
    """Return the answers to GETs of each thing that there is, by path."""
    answers = {"/profile/": api.get("/profile/")}
    for kind in ("drives", "servers", "tags", "jobs", "libdrives"):
        for thing in api.get(f"/{kind}/?limit=0")["objects"]:
            path = f"/{kind}/{thing['uuid']}/"
            answers[path] = api.get(path)
            if kind == "jobs":
                history = f"{path}history/?limit=0"
                answers[history] = api.get(history)
    return answers


def interrupt_clone(machine: Machine, answers: dict[str, Any]) -> None:
    """Kill the service while it copies."""
    server = machine.start("--copy-rate", COPY_RATE)
    source = server.api.upload(content_of(INTERRUPTED_BLOCKS, 3), "large")
    clone = server.api.clone(source, name="interrupted")
    wait_for("for progress", lambda: server.api.job(clone.job)["data"]["progress"] > 0)
    server.kill()
    answers["interrupted"] = clone.job


def back_up(machine: Machine, directory: Path, target: Path) -> None:
    pool = f"main={machine.pool}"
    expect(machine, "backup", str(directory / "backup"), "--images", "--pool", pool)
    pack(directory, ("backup",), target / "backup.tar.xz")


def dump(machine: Machine, target: Path) -> None:
    """Move the ledger to PostgreSQL and dump it; the other files of the data are in the archive."""
    server = PostgresServer(new_directory())
    server.start()
    try:
        url = server.new_database()
        expect(machine, "move", "--to", url)
        words = (BIN / "pg_dump", "-Fc", "-Z9", "--no-owner", "-f", target / "database.dump", url)
        subprocess.run(words, check=True, env=environment())
    finally:
        server.stop()
        shutil.rmtree(server.directory)


def pack(directory: Path, names: tuple[str, ...], file: Path) -> None:
    with tarfile.open(file, "w:xz", preset=9) as archive:
        for name in names:
            archive.add(directory / name, name)


def expect(machine: Machine, *words: str) -> str:
    """Run a command on the data; return what it prints."""
    done = run_command(*words, "--data", str(machine.data))
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


if __name__ == "__main__":
    make(Path(sys.argv[1]))

"""The worked example of ledger/README.md, "Add an operation", applied to a copy of the code."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance.client import Json
from tests.acceptance.running import Machine, Server, machine_in, make_data
from tests.readme.reading import ROOT, blocks
from tests.support.wait import PATIENCE_S, wait_for

FILES_MOST = 6
MIB = 1024 * 1024
_FILE = re.compile(r"^--- (\S+)\n\+\+\+ \1\n", re.MULTILINE)


def changes() -> dict[str, list[str]]:
    """The hunks of the example by the file that they change."""
    _, *rest = _FILE.split(blocks("ledger/README.md", "diff"))
    return {
        path: text.strip("\n").removeprefix("@@\n").split("\n@@\n")
        for path, text in zip(rest[::2], rest[1::2], strict=True)
    }


def applied(hunk: str, text: str) -> str:
    """The text with the hunk; what that keeps and removes stands there exactly once."""
    lines = hunk.split("\n")
    before = "\n".join(line[1:] for line in lines if line[:1] != "+")
    after = "\n".join(line[1:] for line in lines if line[:1] != "-")
    assert text.count(before) == 1, f"{text.count(before)} times:\n{before}"
    return text.replace(before, after)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One that runs a copy of our code, changed as the example says."""
    code = tmp_path / "code"
    for package in ("api", "ledger", "projections"):
        shutil.copytree(
            ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", code)
    for path, hunks in changes().items():
        text = (code / path).read_text()
        for hunk in hunks:
            text = applied(hunk, text)
        (code / path).write_text(text)
    make_data(tmp_path / "account")
    with machine_in(tmp_path, tmp_path / "account", code=code) as machine:
        yield machine


def scrub(server: Server, drive: str) -> tuple[Json, str]:
    """Start a scrub; the answered drive and the job."""
    answer = server.api.post(f"/drives/{drive}/action/?do=scrub", status=202)
    (shown,) = answer["objects"]
    (job,) = shown["jobs"]
    return shown, job["uuid"]


def ended(server: Server, job: str) -> Json:
    wait_for("for the job to end", lambda: server.api.job(job)["state"] != "started")
    return server.api.job(job)


def test_few_files_are_touched() -> None:
    assert len(changes()) <= FILES_MOST


def test_the_example_works(machine: Machine) -> None:
    """A scrub stops, resumes and succeeds; one without an image fails; all of it is sound."""
    server = machine.start("--copy-rate", "1K")  # so slow that it cannot end by itself
    drive, lost = server.api.upload(b"b" * 3 * MIB), server.api.upload(b"c" * MIB)
    shown, job = scrub(server, drive)
    assert shown["status"] == "scrubbing"
    assert server.api.job(job)["operation"] == "drive_scrub"
    assert server.stop() == 0
    (machine.pool / f"{lost}.img").unlink()

    server = machine.start()
    assert ended(server, job)["state"] == "success"
    assert server.api.drive(drive)["status"] == "unmounted"
    _, failing = scrub(server, lost)
    assert ended(server, failing)["state"] == "failed"
    entries = server.api.get("/logs/?limit=0")["objects"]
    assert [entry["action"] for entry in entries].count("scrub") == 2
    check_words(server)
    machine.check_sound()


def page_file(server: Server, name: str) -> str:
    return requests.get(f"{server.api.address}/page/{name}", timeout=PATIENCE_S).text


def check_words(server: Server) -> None:
    """The API's description, `/schema/` and the page know the operation."""
    schemas = server.api.get("/openapi.json")["components"]["schemas"]
    assert "drive_scrub" in schemas["Operation"]["examples"]
    assert "Scrub of a drive" in schemas["Operation"]["description"]
    assert "scrubbing" in schemas["Drive"]["properties"]["status"]["enum"]
    assert "scrubbing" in server.api.get("/drives/schema/")["fields"]["status"]["choices"]
    assert '"drive_scrub":"Scrub of a drive"' in page_file(server, "operations.js")

"""The log: a line for a line, whatever is in it; as JSON with the request's id."""

import io
import json
import logging
import re
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import requests
from hypothesis import given
from hypothesis import strategies as st

from api.service.logging import CURRENT_REQUEST_ID, OncePerSecond, formatter
from api.service.settings import LogFormat
from tests.acceptance.client import Api
from tests.acceptance.running import EMAIL, PASSWORD, Machine
from tests.support.wait import PATIENCE_S, wait_for

HOSTILE = "a\nb\r\x1b[31m\u202ec\u2028d"


def written(log_format: LogFormat, *given: object, failed: Exception | None = None) -> str:
    """The line that a message makes."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(formatter(log_format))
    message, *arguments = given
    record = logging.LogRecord(
        *("ledger", logging.WARNING, "", 0, message, tuple(arguments)),
        (type(failed), failed, failed.__traceback__) if failed else None,
    )
    handler.handle(record)
    return said.getvalue()


def test_text_stays_one_line() -> None:
    """With the time in UTC, the level and who says it."""
    line = written("text", "drive %s", HOSTILE)
    assert line.count("\n") == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING ledger: drive a", line)
    assert not set(line[:-1]) & set("\r\n\x1b\u202e\u2028")
    assert r"\u{1b}[31m" in line


def test_json_is_an_object_a_line() -> None:
    """With the same, and the id of the request that is answered; the text comes back as it was."""
    token = CURRENT_REQUEST_ID.set("deploy-42")
    line = written("json", "drive %s", HOSTILE)
    CURRENT_REQUEST_ID.reset(token)
    assert line.isascii()
    assert line.count("\n") == 1
    said = json.loads(line)
    assert set(said) == {"event", "level", "logger", "request_id", "timestamp"}
    assert (said["event"], said["level"]) == (f"drive {HOSTILE}", "warning")
    assert said["request_id"] == "deploy-42"


def test_what_repeats_itself_is_logged_once_a_second() -> None:
    """With the number of those that were dropped; other records are not held back."""
    now = 0.0
    once = OncePerSecond(lambda: now)
    said: list[str] = []

    def log(message: str) -> None:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "%s", (message,), None)
        if once.filter(record):
            said.append(record.getMessage())

    for number in range(3):
        log(f"full\nsocket {number}")
    log("something else")
    assert said == ["full\nsocket 0", "something else"]
    now = 1.0
    log("full\nsocket 3")
    assert said[2:] == ["full\nsocket 3 (and 2 more like it before)"]


def test_a_service_out_of_descriptors_does_not_flood_its_log(machine: Machine) -> None:
    """It answers again once there are some."""
    server = machine.start()
    pid = server.pid
    used = len([*Path(f"/proc/{pid}/fd").iterdir()])
    limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 8, limit[1]))
    address = urlsplit(server.api.address)
    assert address.hostname is not None

    def complaints() -> int:
        return machine.log.read_text().count("out of system resource")

    with ExitStack() as connections:
        began = time.monotonic()
        for _ in range(60):  # fewer than wait to be accepted
            connected = socket.create_connection((address.hostname, address.port), PATIENCE_S)
            connections.enter_context(connected)
        wait_for("the third complaint", lambda: complaints() >= 3)
        found, passed_s = complaints(), time.monotonic() - began
        assert found <= passed_s + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    assert server.api.drives() == []


def test_json_has_tracebacks() -> None:
    """In the same line."""
    line = written("json", "it failed", failed=ValueError(HOSTILE))
    assert line.count("\n") == 1
    said = json.loads(line)
    assert "ValueError" in said["exception"]
    assert "request_id" not in said


def test_text_has_tracebacks() -> None:
    """Below the line, indented, so that what an error says is not taken for a line of the log."""
    line = written("text", "it failed", failed=ValueError(f"{HOSTILE}\n2026-01-01 INFO all well"))
    first, *rest = line[:-1].split("\n")
    assert first.endswith("it failed")
    assert len(rest) >= 2
    assert all(each.startswith("  ") for each in rest)
    assert not set(line) & set("\r\x1b\u202e\u2028")


@given(text=st.text())
def test_no_text_makes_two_lines(text: str) -> None:
    """Nor anything that a terminal would obey."""
    for log_format in get_args(LogFormat):
        line = written(log_format, "%s", text)
        assert len(line.splitlines()) == 1
        assert all(each.isprintable() or each.isspace() for each in line[:-1])


def test_a_service_logs_json_and_no_secret(machine: Machine) -> None:
    """A wrong password, a right one, a token and an upload link are in no line."""
    api = machine.start("--log-format", "json").api
    wrong = Api(api.address, EMAIL, "quite another password")
    assert wrong.call("GET", "/jobs/").status_code == 401
    login = {"username": EMAIL, "password": PASSWORD, "name": "test"}
    made = api.post("/accounts/action/?do=create_token", login, status=201)
    made_link = api.call(
        "POST", "/initupload/", json={"name": "x", "media": "disk", "size": 70_000}
    )
    drive = made_link.json()["objects"][0]["uuid"]
    link = api.post(
        f"/drives/{drive}/action/?do=upload_chunk",
        {"chunk_number": 0, "chunk_size": 16384},
        status=200,
    )["link"]
    lines = [line for line in machine.log.read_text().splitlines() if line.startswith("{")]
    said = [json.loads(line) for line in lines]
    assert any(each["event"].startswith("wrong login") and each["request_id"] for each in said)
    log = machine.log.read_text()
    for secret in (PASSWORD, "quite another", made["token"], link.split("/")[-2]):
        assert secret not in log


def test_a_link_that_cannot_be_used_stays_secret(machine: Machine) -> None:
    """Where what it leads to is broken, nobody who reads the log can use the link."""
    api = machine.start("--log-format", "json").api
    drive = api.call(
        "POST", "/initupload/", json={"name": "x", "media": "disk", "size": 2**20}
    ).json()["objects"][0]["uuid"]
    chunk = {"chunk_number": 0, "chunk_size": 2**20}
    link = api.post(f"/drives/{drive}/action/?do=upload_chunk", chunk, status=200)["link"]
    (machine.pool / f"{drive}.upload").mkdir()  # no such file can be made
    token = link.rstrip("/").split("/")[-1]
    assert len(token) > 64
    sent = requests.post(f"{api.address}{link}", data=bytes(2**20), timeout=PATIENCE_S)
    assert sent.status_code == 503
    assert token not in machine.log.read_text()

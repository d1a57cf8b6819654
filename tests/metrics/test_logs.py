"""The log: a line for a line, whatever is in it; as JSON with the request's id."""

import io
import json
import logging
import re
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from api.log_formats import REQUEST_NAME, LogFormat, formatter
from tests.acceptance.client import Api
from tests.acceptance.running import EMAIL, PASSWORD, Machine

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
    token = REQUEST_NAME.set("deploy-42")
    line = written("json", "drive %s", HOSTILE)
    REQUEST_NAME.reset(token)
    assert line.isascii()
    assert line.count("\n") == 1
    said = json.loads(line)
    assert set(said) == {"event", "level", "logger", "request_id", "timestamp"}
    assert (said["event"], said["level"]) == (f"drive {HOSTILE}", "warning")
    assert said["request_id"] == "deploy-42"


def test_json_has_tracebacks() -> None:
    """In the same line."""
    line = written("json", "it failed", failed=ValueError(HOSTILE))
    assert line.count("\n") == 1
    said = json.loads(line)
    assert "ValueError" in said["exception"]
    assert "request_id" not in said


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

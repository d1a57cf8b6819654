"""What is told of a running service, beside what really happened in it."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from api.metrics.table import METRICS
from ledger.store.metrics import PREFIX, Metric
from tests.acceptance.client import data_blocks
from tests.acceptance.running import Machine, Server, run_command
from tests.commands.metrics.conftest import Told
from tests.support.wait import wait_for

MONITORING = Path(__file__).resolve().parents[3] / "scripts" / "monitoring"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SAMPLES = {
    f"{PREFIX}{metric.name}{suffix}" for metric in METRICS for suffix in SUFFIXES[metric.kind]
}


def sample(told: Told, name: str, **labels: str) -> float:
    return told().get((f"{PREFIX}{name}", frozenset(labels.items())), 0.0)


def test_all_that_the_table_names_is_told(server: Server, told: Told) -> None:
    """Each metric with its labels and no others, and nothing but them and the process itself."""
    server.api.succeed(server.api.clone(server.api.upload(data_blocks(2))).job)
    found = told()
    ours = {name for name, _ in found if name.startswith(PREFIX)}
    assert ours == SAMPLES
    for metric in METRICS:
        expected = set(metric.labels) | ({"le"} if metric.kind == "histogram" else set())
        for name, labels in found:
            if name == f"{PREFIX}{metric.name}{SUFFIXES[metric.kind][0]}":
                assert {label for label, _ in labels} == expected, name


def test_requests_are_counted_by_route(server: Server, told: Told) -> None:
    """By the template of the URL, and never by what somebody made up."""
    drive = server.api.upload(data_blocks(1))
    for path in (f"/drives/{drive}/", f"/drives/{drive}", "/drives/nothing/", "/made/up"):
        server.api.call("GET", path)
    server.api.call("BREW", "/drives/")
    route = {"method": "GET", "route": "/api/2.0/drives/{uuid}"}
    found = told()
    uuid_route = next(
        dict(labels)["route"]
        for name, labels in found
        if name == f"{PREFIX}requests_total"
        and dict(labels)["route"].startswith("/api/2.0/drives/{")
    )
    route["route"] = uuid_route
    assert sample(told, "requests_total", **route, status="200") == 2
    assert sample(told, "requests_total", **route, status="404") == 1
    assert sample(told, "requests_total", method="GET", route="none", status="404") == 1
    assert sample(told, "request_seconds_count", **route) == 3
    routes = {dict(labels).get("route", "") for _, labels in found}
    methods = {dict(labels).get("method", "GET") for _, labels in found}
    assert not any("made" in each or drive in each for each in routes)
    assert methods <= {"GET", "POST", "other"}


def test_long_polls_are_not_timed(server: Server, told: Told) -> None:
    """They take as long as the client likes; they are counted."""
    job = server.api.clone(server.api.upload(data_blocks(1))).job
    for query in ("", "?wait=0.01"):
        server.api.call("GET", f"/jobs/{job}/{query}")
    counts = {
        name: value
        for (name, labels), value in told().items()
        if dict(labels).get("route", "").startswith("/api/2.0/jobs/")
    }
    assert counts[f"{PREFIX}requests_total"] == 2
    assert counts[f"{PREFIX}request_seconds_count"] == 1


def test_commands_commits_and_copies_are_counted(server: Server, told: Told) -> None:
    """What is recorded, what is refused and why, and the bytes that were really copied."""
    api = server.api
    source = api.upload(data_blocks(16))
    api.succeed(job := api.clone(source).job)
    assert sample(told, "commands_total", command="CloneDrive", outcome="recorded") == 1
    assert sample(told, "commands_total", command="SucceedJob", outcome="recorded") == 1
    assert sample(told, "copied_bytes_total") == 16 * 64 * 1024
    assert api.call("POST", f"/jobs/{job}/action/?do=cancel", json={}).status_code == 403
    refused = [
        dict(labels)
        for (name, labels) in told()
        if name == f"{PREFIX}commands_total" and dict(labels)["outcome"] != "recorded"
    ]
    assert refused == [{"command": "CancelJob", "outcome": "JobOver"}]
    assert sample(told, "outcomes_total", outcome="not-recorded") == 1
    assert sample(told, "outcomes_total", outcome="unknown") == 0
    commits = sample(told, "commit_seconds_count")
    assert commits == sample(told, "batch_commands_count") > 0
    assert sample(told, "batch_commands_sum") >= commits
    assert sample(told, "position") >= commits


def test_what_the_store_says(server: Server, told: Told) -> None:
    """Jobs by state, soon; nothing is behind, parked or overdue."""
    job = server.api.clone(server.api.upload(data_blocks(2))).job
    server.api.succeed(job)
    wait_for("the job", lambda: sample(told, "jobs", state="success") == 1)
    assert sample(told, "jobs", state="started") == 0
    assert sample(told, "reader_lag_events", reader="feed") == 0
    assert sample(told, "parked_streams") == 0
    assert sample(told, "retention_overdue_seconds") == 0
    assert sample(told, "pool_free_bytes", pool="main") > 0


def test_what_cannot_be_read_is_left_out(machine: Machine, server: Server, told: Told) -> None:
    """And the rest is told: a policy that was tampered with must not blind whoever watches."""
    server.api.call("GET", "/jobs/")
    assert run_command("retention", "set", "P4D", "--data", str(machine.data)).returncode == 0
    with closing(sqlite3.connect(machine.data / "ledger.sqlite")) as connection, connection:
        spoilt = "UPDATE stored_events SET state = x'00' WHERE topic LIKE 'retention-policy-set%'"
        assert connection.execute(spoilt).rowcount == 1
    wait_for(
        "the next read",
        lambda: (f"{PREFIX}parked_streams", frozenset[tuple[str, str]]()) not in told(),
    )
    assert sample(told, "requests_total", method="GET", route="/api/2.0/jobs", status="200") == 1
    assert sample(told, "pool_free_bytes", pool="main") > 0
    assert "without those of the store" in machine.log.read_text()


def test_they_have_a_port_of_their_own(machine: Machine, server: Server, told: Told) -> None:
    """The service itself does not tell them, and a port that is taken is said to be."""
    assert told()
    assert server.api.call("GET", "/metrics").status_code == 404
    port = server.api.address.rsplit(":", 1)[1]
    other = run_command(
        *("serve", "--data", str(machine.data) + "-2", "--port", "0", "--metrics-port", port)
    )
    assert other.returncode == 1
    assert "it is in use" in other.stderr
    assert not Path(str(machine.data) + "-2").exists()


# What Prometheus and Grafana are given


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bjob_ledger_\w+", expression))


def test_alerts_watch_what_is_told() -> None:
    """Each rule is whole, says what to do, and names metrics that there are."""
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) > 5
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert named(rule["expr"]) <= SAMPLES, rule
        assert named(rule["expr"]) or rule["alert"] == "JobLedgerDown"


def test_the_dashboard_shows_what_is_told() -> None:
    """Every metric is on it, and it asks for no other."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in named(target["expr"])
    }
    assert shown <= SAMPLES
    unseen = [
        metric.name
        for metric in METRICS
        if not shown & {f"{PREFIX}{metric.name}{suffix}" for suffix in SUFFIXES[metric.kind]}
    ]
    assert unseen == []
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_names_them(metric: Metric) -> None:
    """Base units, and no suffix that the library adds."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_ms"))

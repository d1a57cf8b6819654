"""`/api/2.0` shows the jobs of producers as it shows all jobs: to clients that know no others."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from api.doctor.checks import examine_service
from api.metrics.collector import of_service
from api.metrics.request_counts import RequestCounts
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.events.jobs import job_stream
from ledger.domain.producers.commands import EndJob
from ledger.store.writer import Caller
from projections.audit.replay import replay
from projections.maintenance.rebuild import rebuild
from projections.maintenance.retention.compaction import ARCHIVES
from tests.acceptance.seeded import NAMES, uuid_of
from tests.api.calling import ALICE, AUDITOR, BOB, Api
from tests.api.listening import listening
from tests.api.resources.test_staff import assert_conforms
from tests.support.producing import DONE, PRODUCED, named
from tests.support.wait import patience

Shown = Mapping[str, Any]


BY_ALICE = Caller(ALICE.uuid, "request-of-alice")
HISTORY = tuple(named(PRODUCED, ALICE.uuid, uuid_of))


@pytest.fixture
async def produced(api: Api) -> Api:
    """A service in which most things have happened to jobs of producers."""
    for command in HISTORY:
        await api.service.ledger.execute(command, BY_ALICE)
    return api


async def listed(api: Api, query: str = "") -> list[Shown]:
    jobs: list[Shown] = (await api.get(f"/jobs/?limit=200&{query}")).json["objects"]
    return jobs


async def names(api: Api, query: str) -> set[str]:
    return {NAMES[job["uuid"]] for job in await listed(api, query)}


WORKING = {"phase": "working"}
WAITING = {"phase": "waiting"}
LOST = {"phase": "working", "lost": True}
FAILED = {"error": "its program failed (exit code 23)"}
EXPECTED: dict[str, tuple[str, int, Shown]] = {
    "fleet": ("failed", 66, {"error": "1 of 3 failed"}),
    "nas": ("success", 100, {}),
    "upload": ("started", 0, WORKING),
    "disks": ("success", 100, {}),
    "sda": ("failed", 0, FAILED),
    "sdb": ("success", 100, {"skipped": True}),
    "tonight": ("failed", 0, FAILED),
    "laptop": ("started", 7, WORKING),
    "phone": ("failed", 0, {"error": "its producer fell silent; later reported: succeeded"}),
    "asked": ("cancelled", 0, {}),
    "never": ("cancelled", 0, {}),
    "waiting": ("started", 0, WAITING),
    "night": ("started", 20, WORKING),
    "fan": ("started", 0, WORKING),
    "worked": ("started", 0, WORKING),
    "unworked": ("cancelled", 0, {}),
    "nightly": ("success", 100, {}),
    "crew": ("started", 43, LOST),
    "lost": ("started", 40, LOST),
    "again": ("started", 30, WAITING),
    "beats": ("started", 60, WORKING),
    "dated": ("started", 0, WORKING),
    "expired": ("failed", 0, {"error": "nobody took it up"}),
    "killed": ("failed", 0, {"error": "its program was killed (signal KILL)"}),
    "forced": ("cancelled", 0, {}),
    "gone": ("failed", 0, {"error": "it was ended while its producer was silent"}),
}


async def test_each_job_has_the_shape_that_clients_know(produced: Api) -> None:
    """With the states that they know, each below its parent, alone as in the list."""
    jobs = {NAMES[job["uuid"]]: job for job in await listed(produced)}
    assert jobs.keys() == EXPECTED.keys()
    for name, (state, progress, more) in EXPECTED.items():
        job = jobs[name]
        assert (await produced.get(f"/jobs/{job['uuid']}/")).json == job
        assert_conforms(job, "Job")
        assert len(job) == 9
        data = {key: value for key, value in job["data"].items() if key != "ended"}
        assert (job["state"], data) == (state, {"progress": progress, "source": "//nas", **more})
        assert ("ended" in job["data"]) == (name in ("phone", "nightly"))
    below = {name: {NAMES[child["uuid"]] for child in jobs[name]["children"]} for name in jobs}
    assert {name: children for name, children in below.items() if children} == {
        "fleet": {"nas", "disks", "tonight"},
        "nas": {"upload"},
        "disks": {"sda", "sdb"},
        "night": {"fan"},
        "fan": {"worked", "unworked"},
        "crew": {"lost", "again", "beats"},
    }


async def test_they_are_listed_filtered_and_counted_like_others(produced: Api) -> None:
    """By state and operation, in pages and walks; in statistics, and in the account's log."""
    running = {name for name, (state, _, _) in EXPECTED.items() if state == "started"}
    assert await names(produced, "state=started") == running
    assert await names(produced, "operation=fan+out") == {"fleet", "disks", "crew", "fan"}
    assert await names(produced, "state=success,failed&operation=backup") == {
        name
        for name, (state, _, _) in EXPECTED.items()
        if state in ("success", "failed") and name not in ("fleet", "disks", "crew")
    }
    last = (await listed(produced))[0]["last_modified"]
    assert await names(produced, f"last_modified__gte={last.replace('+', '%2B')}") == {"gone"}
    walked, after = [], ""
    while after is not None:
        page = (await produced.get(f"/jobs/?limit=4&after={after}")).json
        walked += [NAMES[job["uuid"]] for job in page["objects"]]
        after = page["meta"]["next"]
    assert sorted(walked) == sorted(EXPECTED)
    assert (await produced.get("/jobs/", by=BOB)).json["objects"] == []
    statistics = (await produced.get("/jobs/statistics/")).json
    everything = (await produced.get("/jobs/?limit=0")).json["objects"]
    assert statistics["operations"] == sorted({each["operation"] for each in everything})
    assert (await produced.get("/jobs/statistics/", by=BOB)).json["operations"] == []
    counted = statistics["buckets"]
    total = {key: sum(each[key] for each in counted) for key in ("success", "failed", "cancelled")}
    assert total == {"success": 1, "failed": 5, "cancelled": 3}  # roots only
    assert counted[-1]["running"] == 5
    logged = (await produced.get("/logs/?limit=0")).json["objects"]
    told = {(NAMES[each["uuid"]], each["action"], each["error_message"]) for each in logged}
    assert told == {
        (name, "fail" if state == "failed" else "cancel", error.partition("; later")[0])
        for name, (state, _, more) in EXPECTED.items()
        if state in ("failed", "cancelled")
        for error in [more.get("error", "")]
    }
    assert all(each["success"] == (each["action"] == "cancel") for each in logged)


async def test_each_history_is_told_in_full(produced: Api) -> None:
    """Every event, as it is stored."""
    for uuid in NAMES:
        events = (await produced.get(f"/jobs/{uuid}/history/?limit=0")).json["objects"]
        assert [each["event"].partition("/")[0] for each in events][:2] == [
            "job-created",
            "job-registered",
        ]
        assert {each["actor"] for each in events} == {ALICE.uuid}


async def test_the_past_is_as_it_was_shown_then(api: Api) -> None:
    """From the rows, from the store and from archives; alone and in the list."""
    seen: dict[int, list[Shown]] = {}
    for nth, command in enumerate(HISTORY):
        position = await api.service.ledger.execute(command, BY_ALICE)
        if nth % 5 == 0:
            seen[position] = await listed(api)

    async def check() -> None:
        for position, jobs in seen.items():
            past = await listed(api, f"as_of={position}")
            assert by_uuid(past) == by_uuid(jobs)
            one = jobs[0]["uuid"]
            assert (await api.get(f"/jobs/{one}/?as_of={position}")).json == by_uuid(jobs)[one]

    await check()
    retention = api.service.retention
    retention.set(timedelta(0), 0)
    assert retention.run_if_worthwhile().swept is not None
    assert await names(api, "") == {
        *("fleet", "nas", "upload", "disks", "sda", "sdb", "tonight"),  # what is below one runs
        *("laptop", "waiting", "crew", "lost", "again", "beats"),
        *("night", "fan", "worked", "unworked", "dated"),
    }
    await check()
    assert retention.run().compacted is not None
    await check()
    with api.service.ledger.log() as log:
        assert log.stream(job_stream(uuid_of("phone"))) == []
    shelf = api.service.data / ARCHIVES
    assert replay(api.service.ledger.log, lambda *_: None, shelf).divergence is None
    rebuilt = rebuild(api.service.ledger, lambda *_: None)
    assert rebuilt.before == rebuilt.after
    await check()


def by_uuid(jobs: list[Shown]) -> dict[str, Shown]:
    return {job["uuid"]: job for job in jobs}


async def test_websockets_get_each_change(api: Api) -> None:
    """The last frame of each job shows it as it is; also what follows its end."""
    async with listening(api) as listener:
        for command in HISTORY:
            await api.service.ledger.execute(command, BY_ALICE)
        shown = {job["resource_uri"]: job for job in await listed(api)}
        frames: dict[str, Any] = {}
        async with patience("each job has been shown as it is"):
            while frames != shown:  # what is below a job is told a while later
                frame = await listener.frame()
                frames[frame.uri] = frame.shown
        late = LabelJob(ALICE.uuid, uuid_of("asked"), {"env": "x"})
        await api.service.ledger.execute(late, BY_ALICE)
        [frame, *_] = await listener.everything(api)
        assert frame.uri == f"/api/2.0/jobs/{uuid_of('asked')}/"
        assert "ended" in frame.shown["data"]


async def test_a_plan_tells_what_a_series_keeps(produced: Api) -> None:
    """By the policy, and by any other."""
    later = (produced.service.now() + timedelta(days=9)).isoformat().replace("+", "%2B")
    for last, is_kept in (("", True), ("&keep_last=1", True), ("&keep_last=0", False)):
        path = f"/ledger/retention/plan/?as_of={later}{last}"
        plan = (await produced.get(path, by=AUDITOR)).json
        planned = {NAMES[tree["job"]] for tree in plan["trees"]}
        assert ("nightly" not in planned) == is_kept
        assert planned >= {"killed", "phone"}
        assert plan["keep_last"] == int(last.partition("=")[2] or 20)


async def test_a_late_report_changes_the_entity_tag(produced: Api) -> None:
    """So that no client goes on showing what is no longer so."""
    path = f"/jobs/{uuid_of('gone')}/"
    before = (await produced.get(path)).headers["ETag"]
    late = EndJob(uuid_of("gone"), 1, DONE)
    await produced.service.ledger.execute(late, BY_ALICE)
    after = await produced.get(path, headers={"If-None-Match": before})
    assert after.status == 200
    assert after.json["data"]["error"].endswith("; later reported: succeeded")


async def test_operators_see_how_many_run_are_lost_and_have_ended(produced: Api) -> None:
    """Without anything that a client chose; the doctor finds nothing wrong with them."""
    metrics = of_service(produced.service, RequestCounts())
    try:
        text = (await metrics.text()).decode()
    finally:
        await metrics.close()
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if "producer_jobs{" in line)
    assert {key.split('"')[1]: float(value) for key, value in told.items()} == {
        "running": 10,
        "lost": 1,
        "succeeded": 3,
        "skipped": 1,
        "failed": 7,
        "cancelled": 4,
    }
    assert "nas" not in text
    checks = {check.name: check.problems for check in examine_service(produced.service).checks}
    for name in ("running-jobs", "lost-workers", "workers", "read-models"):
        assert checks[name] == [], name

"""`/jobs/`: tests/contract/CONTRACT.md 1."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace
from yarl import URL

from api.http.requests import SHORT_LIMIT, alternatives, filter_values
from api.resources.jobs.representation import represent_job
from ledger.domain.commands.jobs import (
    CreateJob,
    FailJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.store.parameters import timestamp
from projections.tables import JobRow
from projections.views.read_models import JobTree
from tests.api.calling import ALICE, UNKNOWN, Api
from tests.harness.cases import in_turn

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEN = timedelta(seconds=10)
STATES = ("started", "success", "failed")
WAITS = {
    "phase": "waiting",
    "bytes_done": 0,
    "bytes_total": 0,
    "bytes_per_s": None,
    "eta_s": None,
}
"""The figures of a clone of a blank drive that has not begun."""


async def jobs_in_all_states(api: Api) -> dict[str, str]:
    """A job of each state; its uuid by state, the newest change first."""
    started, success, failed = [await api.job() for _ in STATES]
    await api.fail(failed)
    await api.succeed(success)
    await api.begin(started)
    return {"started": started, "success": success, "failed": failed}


def uuids(answer: Any) -> list[str]:
    return [job["uuid"] for job in answer.json["objects"]]


# 1.3, 1.4: what a job tells


async def test_a_clone_begins_as_started(api: Api):
    """A job is there when the 202 is sent: started, progress 0, named by both drives."""
    source = await api.drive()
    destination, job = await api.clone(source)
    shown = (await api.get(f"/jobs/{job}/")).json
    assert shown["operation"] == "drive_clone"
    assert (shown["state"], shown["data"]) == ("started", {"progress": 0, **WAITS})
    assert shown["children"] == []
    for drive in (source, destination):
        assert [named["uuid"] for named in (await api.get(f"/drives/{drive}/")).json["jobs"]] == [
            job
        ]


async def test_resources_are_sorted_uris(api: Api):
    """A drive_clone names the URIs of both drives, sorted as texts."""
    source = await api.drive()
    destination, job = await api.clone(source)
    expected = sorted(f"/api/2.0/drives/{drive}/" for drive in (source, destination))
    assert (await api.get(f"/jobs/{job}/")).json["resources"] == expected


async def test_deleted_resources_are_dropped(api: Api):
    """A drive that is deleted leaves `resources`; a job whose drives are all gone stays."""
    source = await api.drive()
    destination, job = await api.clone(source)
    await api.succeed(job)
    await api.delete(f"/drives/{destination}/")
    path = f"/jobs/{job}/"
    assert (await api.get(path)).json["resources"] == [f"/api/2.0/drives/{source}/"]
    await api.delete(f"/drives/{source}/")
    assert (await api.get(path)).json["resources"] == []


async def test_timestamps_have_six_digits_and_an_offset(api: Api):
    """Times are ISO 8601 with six digits and +00:00."""
    shown = (await api.get(f"/jobs/{await api.job()}/")).json
    for field in ("created", "last_modified"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", shown[field])


async def test_success_shows_progress_100(api: Api):
    """A job that has succeeded shows progress 100 and nothing else in `data`."""
    job = await api.job()
    await api.succeed(job)
    shown = (await api.get(f"/jobs/{job}/")).json
    assert (shown["state"], shown["data"]) == ("success", {"progress": 100})


async def test_a_failed_job_keeps_its_progress_and_shows_its_error(api: Api):
    """A failed job keeps the progress it had; why it failed is in `data.error`."""
    job = await api.job()
    await api.begin(job)
    await api.do(UpdateProgress(job, 1, 40, 40, 100, 40))
    await api.do(FailJob(job, 1, "disk on fire"))
    shown = (await api.get(f"/jobs/{job}/")).json
    assert (shown["state"], shown["data"]) == ("failed", {"progress": 40, "error": "disk on fire"})


async def test_a_running_copy_shows_its_bytes(api: Api):
    """Once that is known, `data` has the reported bytes; too early to say how fast it is."""
    job = await api.job()
    await api.begin(job)
    await api.do(UpdateProgress(job, 1, 40, 4096, 10240, 4096))
    assert (await api.get(f"/jobs/{job}/")).json["data"] == {
        "progress": 40,
        "phase": "working",
        "bytes_done": 4096,
        "bytes_total": 10240,
        "bytes_per_s": None,
        "eta_s": None,
    }


async def test_a_lost_worker_is_shown(api: Api):
    """A job whose worker is considered dead shows it, as do those above it, until it continues."""
    parent = await api.job()
    job = await api.job(parent=parent)
    await api.begin(job)
    await api.do(UpdateProgress(job, 1, 40), LoseAttempt(job, 1))
    above = (await api.get(f"/jobs/{parent}/")).json
    assert above["data"] == {"progress": 40, "worker_lost": True}
    assert above["children"][0]["data"] == {"progress": 40, "worker_lost": True}
    assert above["state"] == above["children"][0]["state"] == "started"
    await api.do(StartAttempt(job, 2, "v"))
    assert (await api.get(f"/jobs/{parent}/")).json["data"] == {"progress": 40}


def leaf(uuid: str, **said: Any) -> JobTree:
    row = JobRow(
        uuid=uuid,
        owner="o",
        root="r",
        parent=None,
        ordinal=0,
        operation="drive_clone",
        state="started",
        created="",
        last_modified="",
        ended=None,
        progress=0,
        weight=None,
        bytes_done=0,
        bytes_total=None,
        bytes_verified=None,
        error=None,
        worker_lost=0,
        began=None,
        bytes_before=0,
        copied=None,
        reported=None,
        source=None,
        outcome=None,
        cancellable=1,
        unattended=0,
    )
    return JobTree(replace(row, **said), [], [])


def stated(uuid: str, total: int, **said: Any) -> JobTree:
    """A job whose bytes were stated when it was created."""
    return leaf(uuid, weight=total, bytes_total=total, **said)


def reporting(uuid: str, total: int, **said: Any) -> JobTree:
    """One that has reported 10 s after its attempt began."""
    times = {"began": timestamp(START), "reported": timestamp(START + TEN)}
    return stated(uuid, total, **{**times, **said})


def parent(*children: JobTree, **said: Any) -> JobTree:
    return JobTree(leaf("parent", **said).job, [], list(children))


def shown_as_json(tree: JobTree, now: datetime | None) -> Any:
    return to_builtins(represent_job(tree, now))


def figures(tree: JobTree) -> Any:
    return shown_as_json(tree, START + TEN)["data"]


def test_figures_come_from_reports():
    """Speed and time left follow from what was copied since the attempt began."""
    assert figures(reporting("a", 1000, bytes_done=400, bytes_before=100, progress=40)) == {
        "progress": 40,
        "phase": "working",
        "bytes_done": 400,
        "bytes_total": 1000,
        "bytes_per_s": 30,
        "eta_s": 20,
    }


def test_a_running_job_is_never_about_to_end_at_once():
    """Less than a second is left: shown as one, for there is something left."""
    assert figures(reporting("a", 1000, bytes_done=980, progress=98))["eta_s"] == 1


def test_a_verification_is_part_of_the_work():
    """The copy is complete and its verification is not: the time left is not 0."""
    copied = {"bytes_done": 1000, "progress": 60, "copied": timestamp(START + TEN / 2)}
    assert figures(reporting("a", 1000, bytes_verified=200, **copied)) == {
        "progress": 60,
        "phase": "verifying",
        "bytes_done": 1000,
        "bytes_total": 1000,
        "bytes_verified": 200,
        "bytes_per_s": 40,
        "eta_s": 20,
    }


def test_a_parents_figures_are_sums():
    """A parent tells of all bytes together, of jobs that have ended and of those that wait, too."""
    tree = parent(
        reporting("a", 1000, bytes_done=500, progress=50),
        reporting("b", 2000, bytes_done=2000, progress=100, state="success"),
        stated("c", 5000),
    )
    assert figures(tree) == {
        "progress": 31,
        "phase": "working",
        "bytes_done": 2500,
        "bytes_total": 8000,
        "bytes_per_s": 250,
        "eta_s": 22,
    }


def test_a_parent_of_an_unknown_number_of_bytes_says_so():
    """One job does not say how much it has to copy: the total is null, not that of others."""
    tree = parent(reporting("a", 1000, bytes_done=500, progress=50), leaf("b"))
    assert figures(tree)["bytes_done"] == 500
    assert figures(tree)["bytes_total"] is None
    assert figures(tree)["eta_s"] is None
    assert figures(tree)["progress"] == 25


@given(
    st.lists(
        st.integers(0, 10**6).flatmap(
            lambda total: st.tuples(st.just(total), st.integers(0, total))
        ),
        min_size=1,
    )
)
def test_per_cent_and_bytes_of_a_parent_agree(copies: Sequence[tuple[int, int]]):
    """Both are weighted by the bytes of its children."""
    tree = parent(
        *(
            stated("x", total, bytes_done=done, progress=_percent(done, total))
            for total, done in copies
        )
    )
    shown = figures(tree)
    whole = _percent(shown["bytes_done"], shown["bytes_total"])
    assert shown["bytes_total"] == sum(total for total, _ in copies)
    assert not shown["bytes_total"] or whole - 1 <= shown["progress"] <= whole


def _percent(done: int, total: int) -> int:
    return done * 100 // total if total else 0


@given(st.lists(st.integers(0, 100), min_size=1), st.lists(st.integers(0, 100), min_size=1))
def test_a_parents_progress_is_the_mean_of_its_childrens(left: Sequence[int], right: Sequence[int]):
    """Without bytes, it is its children's mean, rounded down, at every level."""
    below = parent(*(leaf("x", progress=value) for value in left))
    tree = parent(below, *(leaf("x", progress=value) for value in right))
    mean = sum(left) // len(left)
    shown = shown_as_json(tree, None)
    assert shown["children"][0]["data"]["progress"] == mean
    assert shown["data"]["progress"] == (mean + sum(right)) // (1 + len(right))


def test_a_parent_that_succeeded_is_at_100():
    """A parent that has succeeded shows 100 whatever its children show."""
    shown = shown_as_json(parent(leaf("a", progress=7), state="success", progress=100), None)
    assert shown["data"] == {"progress": 100}


# 1.6: parents and children


async def test_children_are_listed_and_nested(api: Api):
    """A child is nested in its parent and also in the list by itself; total_count counts both."""
    server = await api.server(await api.drive(), await api.drive())
    clone = (await api.post(f"/servers/{server}/action/?do=clone")).json
    job = (await api.get(clone["jobs"][0]["resource_uri"])).json
    children = [child["uuid"] for child in job["children"]]
    assert len(children) == 2
    answer = await api.get("/jobs/")
    assert set(uuids(answer)) == {job["uuid"], *children}
    assert answer.json["meta"]["total_count"] == 3
    assert (await api.get(f"/jobs/{children[0]}/")).json == job["children"][0]


async def test_a_parent_succeeds_with_its_last_child(api: Api):
    """A parent's progress is the mean of its children's; it succeeds when all have."""
    server = await api.server(await api.drive(), await api.drive())
    clone = (await api.post(f"/servers/{server}/action/?do=clone")).json
    path = clone["jobs"][0]["resource_uri"]
    first, second = [child["uuid"] for child in (await api.get(path)).json["children"]]
    await api.succeed(first)
    half = (await api.get(path)).json
    assert (half["state"], half["data"]["progress"]) == ("started", 50)
    await api.succeed(second)
    assert (await api.get(path)).json["state"] == "success"


async def test_jobs_nest_four_deep_in_every_answer(api: Api):
    """A tree four levels deep is shown whole, from any of its jobs down, and its progress rises."""
    deep = [api.service.new_id() for _ in range(4)]
    for uuid, parent in zip(deep, [None, *deep], strict=False):
        await api.do(CreateJob(ALICE.uuid, uuid, "drive_clone", (), parent))
    leaf = deep[-1]
    await api.do(StartAttempt(leaf, 1, "test"), UpdateProgress(leaf, 1, 40))
    for level, uuid in enumerate(deep):
        shown = (await api.get(f"/jobs/{uuid}/")).json
        below = []
        while True:
            below.append(shown["uuid"])
            assert shown["data"]["progress"] == 40
            if not shown["children"]:
                break
            (shown,) = shown["children"]
        assert below == deep[level:]
    listed = (await api.get("/jobs/?limit=0")).json
    assert listed["meta"]["total_count"] == 4
    assert {job["uuid"]: job for job in listed["objects"]} == {
        uuid: (await api.get(f"/jobs/{uuid}/")).json for uuid in deep
    }
    await api.do(SucceedJob(leaf, 1))
    assert {job["state"] for job in (await api.get("/jobs/")).json["objects"]} == {"success"}


# 1.2: the list


async def test_the_newest_change_is_first(api: Api):
    """The list is ordered by last_modified, the newest first."""
    by_state = await jobs_in_all_states(api)
    assert uuids(await api.get("/jobs/")) == list(by_state.values())
    assert uuids(await api.get("/jobs/?limit=0")) == list(by_state.values())


async def test_the_default_limit_is_20(api: Api):
    """Without a limit, 20 objects are shown and all are counted."""
    for _ in range(21):
        await api.job()
    answer = (await api.get("/jobs/")).json
    assert answer["meta"] == {"limit": 20, "offset": 0, "total_count": 21}
    assert len(answer["objects"]) == 20


@pytest.mark.parametrize("kind", ["jobs", "drives", "servers"])
async def test_pages_are_parts_of_the_whole_list(api: Api, kind: str):
    """Any limit and offset gives that part of the list; meta echoes both and counts all."""
    for _ in range(5):
        await {"jobs": api.job, "drives": api.drive, "servers": api.server}[kind]()
    whole = uuids(await api.get(f"/{kind}/?limit=0"))
    assert len(whole) == 5
    for limit in (0, 1, 2, 5, SHORT_LIMIT, SHORT_LIMIT + 1, 10**15):
        for offset in (0, 1, 3, 5, 10**15):
            answer = await api.get(f"/{kind}/?limit={limit}&offset={offset}")
            end = offset + limit if limit else None
            assert uuids(answer) == whole[offset:end]
            assert answer.json["meta"] == {"limit": limit, "offset": offset, "total_count": 5}


async def test_an_empty_list_is_an_envelope(api: Api):
    """Without jobs the list is empty, read at once or streamed."""
    for limit in (0, 20):
        assert (await api.get(f"/jobs/?limit={limit}")).json == {
            "meta": {"limit": limit, "offset": 0, "total_count": 0},
            "objects": [],
        }


async def test_a_long_list_is_streamed_whole(api: Api, monkeypatch: pytest.MonkeyPatch):
    """`limit=0` gives everything, in as many pieces as it takes."""
    monkeypatch.setattr("api.http.streams.PART_BYTES", 1024)
    number = 2 * SHORT_LIMIT + 7
    made = [await api.job() for _ in range(number)]
    answer = await api.get("/jobs/?limit=0")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert uuids(answer) == made[::-1]
    assert answer.json["meta"]["total_count"] == number
    part = await api.get(f"/jobs/?limit={SHORT_LIMIT + 50}&offset=100")
    assert uuids(part) == made[::-1][100 : 150 + SHORT_LIMIT]


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/detail/", "/jobs/?limit=0&"])
async def test_fields_are_exactly_those_asked_for(api: Api, path: str):
    """`fields` gives exactly these keys; names that are none are ignored."""
    await api.job()
    url = f"{path}{'' if '?' in path else '?'}fields=state%2Cuuid,nonsense"
    (job,) = (await api.get(url)).json["objects"]
    assert set(job) == {"state", "uuid"}


@pytest.mark.parametrize("kind", ["drives", "servers"])
@pytest.mark.parametrize("path", ["", "detail/"])
async def test_fields_reach_every_field_of_a_list(api: Api, kind: str, path: str):
    """`fields` may name any field of the object, also in the plain list."""
    await {"drives": api.drive, "servers": api.server}[kind]()
    (shown,) = (await api.get(f"/{kind}/{path}?fields=meta,uuid")).json["objects"]
    assert set(shown) == {"meta", "uuid"}


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ("state=started", {"started"}),
        ("state=started,failed", {"started", "failed"}),
        ("state=started%2Cfailed&state=failed%2Csuccess", {"failed"}),
        ("state=started&state=failed", set()),
        ("state=start", set()),
        ("state=", set()),
        (r"state=started\,failed", set()),
        (r"state=started\\,failed", {"failed"}),
        ("state=Started", set()),
        ("state=%00", set()),
        ("state=%ff", set()),
        ("unknown=started", set(STATES)),
    ],
)
@pytest.mark.parametrize("limit", [20, 0])
async def test_state_filter(api: Api, query: str, states: set[str], limit: int):
    """Commas are alternatives, repetition narrows down, a backslash makes a comma literal."""
    by_state = await jobs_in_all_states(api)
    answer = await api.get(f"/jobs/?{query}&limit={limit}")
    assert uuids(answer) == [job for state, job in by_state.items() if state in states]
    assert answer.json["meta"]["total_count"] == len(states)


def naive_alternatives(text: str) -> list[str]:
    """The same by another way: from the left, one backslash at a time."""
    parts, part, at = [], "", 0
    while at < len(text):
        run = len(text) - at - len(text[at:].lstrip("\\"))
        if run and text[at + run : at + run + 1] == ",":
            part += "\\" * (run // 2)
            if run % 2:
                part += ","
                at += run + 1
            else:
                at += run
            continue
        if run:
            part += "\\" * run
            at += run
        elif text[at] == ",":
            parts.append(part)
            part = ""
            at += 1
        else:
            part += text[at]
            at += 1
    return [*parts, part]


@given(st.text(alphabet="a,\\", max_size=12))
@example("\\\\\\,a")
def test_alternatives_against_a_naive_model(text: str):
    """Splitting at commas follows the rule for backslashes, whatever comes."""
    assert alternatives(text) == naive_alternatives(text)


@given(st.lists(st.lists(st.sampled_from((*STATES, "other", "")), min_size=1), min_size=1))
def test_filter_against_a_naive_model(asked: list[list[str]]):
    """A state passes the filter if every parameter names it."""
    url = URL("/").with_query([("state", ",".join(states)) for states in asked])
    wanted = filter_values(make_mocked_request("GET", str(url)), "state")
    assert wanted is not None
    for state in STATES:
        assert (state in wanted) == all(state in states for states in asked)


async def test_detail_is_the_same_list(api: Api):
    """`/jobs/detail/` is the same as `/jobs/`."""
    await jobs_in_all_states(api)
    assert (await api.get("/jobs/detail/")).body == (await api.get("/jobs/")).body


@in_turn("uuid", [UNKNOWN, "nonsense", "%ff", "a" * 4000, "detail2"])
async def test_unknown_and_malformed_uuids_do_not_exist(api: Api, uuid: str):
    """A uuid that is unknown or none at all is a 404."""
    for kind in ("jobs", "drives", "servers"):
        assert (await api.get(f"/{kind}/{uuid}/")).error == (404, "notexist", None)


async def test_limit_is_ignored_where_nothing_is_listed(api: Api):
    """`?limit=0` and unknown parameters are ignored on a single object."""
    job = await api.job()
    assert (await api.get(f"/jobs/{job}/?limit=0&x=y")).json["uuid"] == job


async def test_an_uppercase_uuid_is_the_same(api: Api):
    """Uuids are compared without regard to case."""
    job = await api.job()
    assert (await api.get(f"/jobs/{job.upper()}/")).json["uuid"] == job

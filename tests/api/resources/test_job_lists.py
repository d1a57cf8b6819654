"""Lists of jobs: filters, and paging by key."""

import pytest

from ledger.domain.commands import CreateJob, UpdateProgress
from tests.api.calling import ALICE, BOB, Api

NO_JOB = "MjAyNi0wNC0xN1QwODoxNTozMC4wMDAwMDArMDA6MDAg"


async def found(api: Api, query: str) -> list[str]:
    answer = await api.get(f"/jobs/?{query}")
    assert answer.status == 200, answer.body
    return [job["uuid"] for job in answer.json["objects"]]


async def walked(api: Api, query: str, limit: int) -> list[str]:
    """All that pages by key have, each of which must be full but the last."""
    uuids: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await api.get(f"/jobs/?{query}&limit={limit}&after={after}")
        assert answer.status == 200, answer.body
        page, after = answer.json["objects"], answer.json["meta"]["next"]
        assert answer.json["meta"] == {"limit": limit, "next": after}
        assert len(page) == limit or after is None
        uuids += [job["uuid"] for job in page]
    return uuids


async def test_jobs_are_filtered_by_operation(api: Api):
    """A comma separates alternatives, a repeated filter narrows down, an unknown one has none."""
    source = await api.drive()
    _, drive_clone = await api.clone(source)
    server = await api.server()
    cloned = await api.post(f"/servers/{server}/action/?do=clone")
    server_clone = cloned.json["jobs"][0]["uuid"]
    assert await found(api, "operation=drive_clone") == [drive_clone]
    assert await found(api, "operation=server_clone") == [server_clone]
    assert await found(api, "operation=drive_clone,server_clone") == [server_clone, drive_clone]
    assert await found(api, "operation=drive_clone&operation=server_clone") == []
    assert await found(api, "operation=nonsense") == []
    assert (await api.get("/jobs/?operation=drive_clone")).json["meta"]["total_count"] == 1


async def test_jobs_are_filtered_by_their_resources(api: Api):
    """`resource` is a drive or server that a job names; one of another account has no jobs here."""
    one, other = await api.drive(), await api.drive()
    copy, job = await api.clone(one)
    _, another = await api.clone(other)
    for resource in (one, copy, one.upper()):
        assert await found(api, f"resource={resource}") == [job]
    assert await found(api, f"resource={one},{other}") == [another, job]
    assert await found(api, "resource=nonsense") == []
    theirs = await api.drive(by=BOB)
    await api.clone(theirs, by=BOB)
    assert await found(api, f"resource={theirs}") == []


async def test_jobs_are_filtered_by_their_last_change(api: Api):
    """From a time on, and before a time; both may be given, in any offset."""
    jobs = [await api.job() for _ in range(3)]
    times = {job: (await api.get(f"/jobs/{job}/")).json["last_modified"] for job in jobs}
    middle = times[jobs[1]].replace("+", "%2B")
    assert await found(api, f"last_modified__gte={middle}") == [jobs[2], jobs[1]]
    assert await found(api, f"last_modified__lt={middle}") == [jobs[0]]
    assert await found(api, f"last_modified__lt={middle}&last_modified__gte={middle}") == []
    assert await found(api, "last_modified__gte=2020-01-01T02:00:00%2B02:00&state=success") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
@pytest.mark.parametrize("query", ["", "state=started", "state=started,failed", "operation=x"])
async def test_pages_by_key_are_the_list(api: Api, query: str, limit: int):
    """Page after page gives all that the list has, in its order, whatever the filter."""
    jobs = [await api.job() for _ in range(6)]
    await api.do(CreateJob(ALICE.uuid, api.service.new_id(), "x", (), None))
    await api.fail(jobs[4])
    await api.succeed(jobs[1])
    await api.job(owner=BOB)
    whole = await found(api, f"{query}&limit=200")
    assert whole
    assert await walked(api, query, limit) == whole


async def test_a_job_that_changes_meanwhile_moves_to_the_front(api: Api):
    """Who pages by key misses no job that stays as it is, and meets none twice."""
    jobs = [await api.job() for _ in range(6)]
    first = (await api.get("/jobs/?limit=2&after=")).json
    assert [job["uuid"] for job in first["objects"]] == [jobs[5], jobs[4]]
    await api.begin(jobs[2])
    await api.do(UpdateProgress(jobs[2], 1, 4, 4, 100, 4))
    rest = (await api.get(f"/jobs/?limit=9&after={first['meta']['next']}")).json
    assert [job["uuid"] for job in rest["objects"]] == [jobs[3], jobs[1], jobs[0]]
    assert await found(api, "limit=1&after=") == [jobs[2]]


async def test_a_page_by_key_has_fields_and_a_tag(api: Api):
    """As other pages have."""
    job = await api.job()
    answer = await api.get("/jobs/?after=&fields=uuid")
    assert answer.json["objects"] == [{"uuid": job}]
    tag = answer.headers["ETag"]
    again = await api.get("/jobs/?after=&fields=uuid", headers={"If-None-Match": tag})
    assert again.status == 304


@pytest.mark.parametrize(
    ("query", "point"),
    [
        ("after=&offset=1", "offset"),
        ("after=&limit=0", "limit"),
        ("after=&limit=201", "limit"),
        ("after=nonsense", "after"),
        ("after=%00", "after"),
        ("after=\u20ac", "after"),
        (f"after={NO_JOB}", "after"),
        ("after=&as_of=1", "after"),
        ("operation=x&as_of=1", "operation"),
        ("resource=x&as_of=1", "resource"),
        ("last_modified__lt=2026-04-17T08:15:30Z&as_of=1", "last_modified__lt"),
        ("last_modified__lt=2026-04-17T08:15:30", "last_modified__lt"),
        ("last_modified__gte=yesterday", "last_modified__gte"),
        ("operation=%00", "operation"),
    ],
)
async def test_senseless_parameters_are_refused(api: Api, query: str, point: str):
    """With 400, and the name of what will not do."""
    await api.job()
    assert (await api.get(f"/jobs/?{query}")).error == (400, "validation", point)

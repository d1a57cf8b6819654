"""Lists of jobs: their filters, and what is refused."""

from tests.api.calling import BOB, Api
from tests.harness.cases import in_turn


async def found(api: Api, query: str) -> list[str]:
    answer = await api.get(f"/jobs/?{query}")
    assert answer.status == 200, answer.body
    return [job["uuid"] for job in answer.json["objects"]]


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


@in_turn(
    ("query", "point"),
    [
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

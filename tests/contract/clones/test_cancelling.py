"""`POST /jobs/{uuid}/action/?do=cancel`: what a client can do about a job that runs."""

from tests.api.calling import BOB, UNKNOWN, Answer, Api
from tests.contract.following import listed, shown
from tests.harness.cases import in_turn


async def cancel(api: Api, job: str) -> Answer:
    return await api.post(f"/jobs/{job}/action/?do=cancel")


async def test_a_cancelled_clone_is_gone(api: Api):
    """The job is `cancelled` with the answer, its destination a 404, and its source free."""
    source = await api.drive()
    destination, job = await api.clone(source)
    await api.begin(job)
    answer = await cancel(api, job)
    assert answer.status == 202
    assert answer.json == {"action": "cancel", "result": "success", "uuid": job}
    found = await shown(api, f"/jobs/{job}/")
    assert (found["state"], found["data"]) == ("cancelled", {"progress": 0})
    assert found["resources"] == [f"/api/2.0/drives/{source}/"]
    assert (await api.get(f"/drives/{destination}/")).error == (404, "notexist", None)
    assert (await shown(api, f"/drives/{source}/"))["status"] == "unmounted"
    assert await listed(api, "/jobs/?state=cancelled") == [job]


@in_turn("ending", ["success", "failed", "cancelled"])
async def test_a_job_that_is_over_is_not_cancelled(api: Api, ending: str):
    """Whichever way it ended: 403, and it stays as it is."""
    _, job = await api.clone(await api.drive())
    if ending == "success":
        await api.succeed(job)
    elif ending == "failed":
        await api.fail(job)
    else:
        await cancel(api, job)
    before = await shown(api, f"/jobs/{job}/")
    assert (await cancel(api, job)).error == (403, "permission", None)
    assert before["state"] == ending
    assert await shown(api, f"/jobs/{job}/") == before


async def test_a_cancelled_parent_ends_with_all_its_children(api: Api):
    """Cancelling a server's clone cancels what runs below it, and the new server is gone."""
    disks = [await api.drive() for _ in range(2)]
    source = await api.server(*disks)
    copy = (await api.post(f"/servers/{source}/action/?do=clone")).json
    job = copy["jobs"][0]["uuid"]
    first, _ = (await shown(api, f"/jobs/{job}/"))["children"]
    await api.succeed(first["uuid"])
    assert (await cancel(api, job)).status == 202
    found = await shown(api, f"/jobs/{job}/")
    assert found["state"] == "cancelled"
    assert [child["state"] for child in found["children"]] == ["success", "cancelled"]
    assert await listed(api, "/servers/") == [source]
    assert (await shown(api, f"/servers/{source}/"))["status"] == "stopped"
    assert {(await shown(api, f"/drives/{disk}/"))["status"] for disk in disks} == {"mounted"}


async def test_a_cancelled_child_settles_its_parent(api: Api):
    """When one child was cancelled and the others are done, the parent is `cancelled` too."""
    source = await api.server(await api.drive(), await api.drive())
    copy = (await api.post(f"/servers/{source}/action/?do=clone")).json
    job = copy["jobs"][0]["uuid"]
    first, second = (await shown(api, f"/jobs/{job}/"))["children"]
    assert (await cancel(api, first["uuid"])).status == 202
    assert (await shown(api, f"/jobs/{job}/"))["state"] == "started"
    await api.succeed(second["uuid"])
    assert (await shown(api, f"/jobs/{job}/"))["state"] == "cancelled"


async def test_anothers_job_is_not_cancelled(api: Api):
    """A job that is another's, or that there is not, is a 404 and goes on."""
    _, foreign = await api.clone(await api.drive(by=BOB), by=BOB)
    for job in (foreign, UNKNOWN, "nonsense"):
        assert (await cancel(api, job)).error == (404, "notexist", None)
    assert (await api.get(f"/jobs/{foreign}/", by=BOB)).json["state"] == "started"

"""A clone with `auto_start` starts when its job succeeds: CONTRACT.md 2.8."""

from ledger.domain.events.jobs import JobSucceeded
from ledger.domain.events.servers import ServerPowerChanged
from ledger.store.seam import Commit
from tests.api.calling import Api
from tests.contract.following import jobs_of, shown
from tests.support.wait import wait_until


async def test_a_clone_starts_with_the_end_of_its_job(api: Api):
    """In one commit, so that nothing comes between the two; and once: a stop is a stop."""
    commits: list[list[type]] = []

    def note(commit: Commit) -> None:
        commits.append([type(recorded.event) for _, recorded in commit.events])

    api.service.ledger.listen(note)
    source = await api.server(await api.drive(), auto_start=True)
    copy = (await api.post(f"/servers/{source}/action/?do=clone")).json
    assert copy["status"] == "stopped"
    (job,) = jobs_of(copy)
    (child,) = (await shown(api, f"/jobs/{job}/"))["children"]
    await api.succeed(child["uuid"])

    assert (await shown(api, f"/jobs/{job}/"))["state"] == "success"
    started = await shown(api, copy["resource_uri"])
    assert (started["status"], started["runtime"]["active_since"] is None) == ("running", False)
    assert (await shown(api, f"/servers/{source}/"))["status"] == "stopped"
    assert await shown(api, f"/servers/availability_groups/{copy['uuid']}/") == [copy["uuid"]]
    (both,) = await wait_until(
        "the commit is heard of",
        lambda: [commit for commit in commits if ServerPowerChanged in commit] or None,
    )
    assert JobSucceeded in both

    assert (await api.post(f"{copy['resource_uri']}action/?do=stop")).status == 202
    assert (await shown(api, copy["resource_uri"]))["status"] == "stopped"
    actions = [entry["action"] for entry in (await shown(api, "/logs/?limit=0"))["objects"]]
    assert actions.count("start_send") == 1

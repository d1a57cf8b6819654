"""Looking at drives and jobs until something has come of them."""

from typing import Any

from tests.api.calling import Api
from tests.support.wait import wait_until

Json = dict[str, Any]


async def shown(api: Api, uri: str) -> Json:
    """What a URI shows; `/drives/{uuid}/` and the like, or whole ones."""
    answer = await api.get(uri)
    assert answer.status == 200, answer.body
    found: Json = answer.json
    return found


async def listed(api: Api, path: str) -> list[str]:
    """The uuids in a list."""
    return [each["uuid"] for each in (await shown(api, path))["objects"]]


async def settled(api: Api, drive: str, *passing: str) -> Json:
    """The drive once it is unmounted or mounted; until then only `passing` statuses may be seen."""

    async def look() -> Json | None:
        seen = await shown(api, f"/drives/{drive}/")
        if seen["status"] in {"unmounted", "mounted"}:
            return seen
        assert seen["status"] in passing
        return None

    return await wait_until(f"for drive {drive} to be settled", look)


def reference(kind: str, uuid: str) -> Json:
    """How a drive, server, tag or job is named in answers."""
    return {"resource_uri": f"/api/2.0/{kind}/{uuid}/", "uuid": uuid}


def jobs_of(found: Json) -> list[str]:
    return [job["uuid"] for job in found["jobs"]]

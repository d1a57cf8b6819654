"""Follow jobs until they have ended, whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from api.client.errors import Refused, Unreachable
from api.client.http import NOT_MODIFIED, Client, decoded
from api.client.responses import Job

PAUSE_S = 0.5
"""The pause between two looks at a job, at least ..."""
LOOKS_PER_S_MAX = 50
"""... and the number of looks at all jobs together: a watch must cost the service little."""
NOT_FOUND = 404
SERVICE_AWAY = frozenset({502, 503, 504})
"""The statuses while a service stops or starts, also from a proxy in front of it."""


@dataclass
class Followed:
    """A job as it was last seen; None until it exists."""

    uuid: str
    job: Job | None = None
    lost: bool = False
    """Whether the service cannot be reached at the moment."""
    etag: str = ""

    @property
    def has_ended(self) -> bool:
        return self.job is not None and self.job.state != "started"

    @property
    def has_succeeded(self) -> bool:
        return self.job is not None and self.job.state == "success"


async def follow(
    client: Client, uuids: Sequence[str], *, fail_fast: bool
) -> AsyncIterator[list[Followed]]:
    """Yield all jobs after each look, until all have ended; with `fail_fast`, until one fails.

    Jobs that do not exist yet and a service that is away are waited for. Raises any other
    `ClientError`.
    """
    followed = [Followed(uuid) for uuid in dict.fromkeys(uuids)]
    while True:
        running = [each for each in followed if not each.has_ended]
        await asyncio.gather(*(_look(client, each) for each in running))
        yield followed
        failed = any(each.has_ended and not each.has_succeeded for each in followed)
        if all(each.has_ended for each in followed) or (fail_fast and failed):
            return
        await asyncio.sleep(max(PAUSE_S, len(running) / LOOKS_PER_S_MAX))


async def _look(client: Client, followed: Followed) -> None:
    headers = {"If-None-Match": followed.etag} if followed.etag else {}
    try:
        answer = await client.get(f"/jobs/{followed.uuid}/", headers=headers)
    except Unreachable:
        followed.lost = True
        return
    except Refused as error:
        followed.lost = error.status in SERVICE_AWAY
        if not followed.lost and (error.status != NOT_FOUND or followed.job is not None):
            raise  # also for a job that existed: it has been discarded
        return
    followed.lost = False
    if answer.status != NOT_MODIFIED:
        followed.job = decoded(answer, Job)
        followed.etag = answer.headers.get("ETag", "")

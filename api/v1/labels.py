"""`/api/v1/jobs/{uuid}/labels`: changing labels, also after the end."""

from aiohttp import web
from msgspec import field

from api.http.requests import GRANT, owner_of, uuid_in_url
from api.v1.bodies import REGISTRATION_BYTES, Strict, read_strictly
from api.v1.fields import GivenLabels
from api.v1.jobs import JobAnswer, Jobs
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.errors.jobs import JobNotFound


class LabelsBody(Strict, frozen=True):
    """Labels to set, and keys of labels to remove."""

    set: GivenLabels = field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Labels:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def change(self, request: web.Request) -> web.Response:
        """Change labels of a job; what is so already changes nothing."""
        given = await read_strictly(request, LabelsBody, most=REGISTRATION_BYTES)
        uuid = uuid_in_url(request, JobNotFound)
        request[GRANT].check_labels(given.body.set, given.body.remove)
        command = LabelJob(owner_of(request), uuid, given.body.set, given.body.remove)
        await self._jobs.record(request, command, uuid)
        job = await self._jobs.shown(request, uuid)
        return self._jobs.answer(JobAnswer(job, given.told), job)

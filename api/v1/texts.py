"""`/jobs/{uuid}/texts`: the words that lie beside a job, which its owner may remove at any time."""

from aiohttp import web

from api.http.outcome import Changed
from api.http.record import record_command
from api.http.requests import owner_of, uuid_in_url
from api.service.service import Service
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.producers.commands import RemoveTexts


class Texts:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._reporting = service.reporting

    async def remove(self, request: web.Request) -> web.Response:
        """Remove all words of the job; none are no error."""
        uuid = uuid_in_url(request, JobNotFound)
        await self._reporting.drop_words(uuid)
        command = RemoveTexts(owner_of(request), uuid)
        await record_command(request, self._ledger, command, Changed(204))
        return web.Response(status=204)

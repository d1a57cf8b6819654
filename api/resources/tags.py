"""`/tags/`: names that drives and servers bear."""

from aiohttp import web
from msgspec import Struct
from msgspec.structs import asdict

from api.http.record import new_id
from api.http.requests import owner_of, read_object, read_objects, uuid_in_url
from api.http.responses import created, only_answer
from api.resources.collections import NAME_FILTERS, Collection
from api.resources.drives.handlers import drives_of
from api.resources.servers.handlers import servers_of
from api.resources.tag_bodies import NewTag, Tag, TagEdit, represent_tag
from api.resources.unsupported import empty_list
from api.service.service import Service
from ledger.domain.commands import tags as commands
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag
from ledger.domain.errors.tags import TagNotFound
from projections.views.filters import Condition
from projections.views.reader import Named
from projections.views.snapshot import Snapshot


class Tags:
    """Handlers of the URLs below `/tags/`."""

    def __init__(self, service: Service) -> None:
        self.collection = Collection(
            "tags",
            service,
            NAME_FILTERS,
            Snapshot.tags_among,
            represent_tag,
            TagNotFound,
        )
        self._bearers: dict[str, Collection[Named, Struct]] = {
            "drives": drives_of(service),
            "servers": servers_of(service),
        }

    async def create(self, request: web.Request) -> web.Response:
        """Create all of the tags or none."""
        new = tuple(
            commands.NewTag(new_id(request), said.name, said.meta, said.resources)
            for said in await read_objects(request, NewTag, Tag)
        )
        made = [tag.tag for tag in new]
        command = CreateTags(owner_of(request), new)
        return await self.collection.record(request, command, made, 201, created)

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields; `meta` and `resources` are replaced as a whole."""
        uuid = uuid_in_url(request, TagNotFound)
        said = await read_object(request, TagEdit, Tag)
        command = EditTag(owner=owner_of(request), tag=uuid, **asdict(said))
        return await self.collection.record(request, command, [uuid], 200, only_answer)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the tag; what bore it stays."""
        uuid = uuid_in_url(request, TagNotFound)
        command = DeleteTag(owner_of(request), uuid)
        return await self.collection.delete(request, command, [uuid])

    async def resources(self, request: web.Request) -> web.StreamResponse:
        """List what bears the tag, of one kind, as the lists of that kind do."""
        uuid = uuid_in_url(request, TagNotFound)
        self.collection.check_there(owner_of(request), uuid)
        bearers = self._bearers.get(request.match_info["kind"])
        if bearers is None:
            return await empty_list(request)
        detail = request.path.rstrip("/").endswith("/detail")
        fields = None if detail else bearers.list_fields
        return await bearers.answer(request, fields, [Condition("tag", (uuid,))])

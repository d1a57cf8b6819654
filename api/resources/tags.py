"""`/tags/`: names that drives and servers bear."""

from aiohttp import web
from msgspec.structs import asdict

from api.http.outcome import Changed
from api.http.record import new_id, record_command
from api.http.requests import owner_of, read_object, read_objects, uuid_in_url
from api.http.responses import created, json_answer
from api.resources.collections import NAME_FILTERS, Collection
from api.resources.drives.handlers import drives_of
from api.resources.drives.representation import DRIVE_LIST_FIELDS
from api.resources.references import references
from api.resources.servers.handlers import servers_of
from api.resources.servers.representation import SERVER_LIST_FIELDS
from api.resources.tag_bodies import NewTag, TagEdit, represent_tag
from api.resources.unsupported import empty_list
from api.service.service import Service
from ledger.domain import commands
from ledger.domain.commands import CreateTags, DeleteTag, EditTag
from ledger.domain.errors import TagNotFound
from projections.views.filters import Condition
from projections.views.snapshot import Snapshot


class Tags:
    """Handlers of the URLs below `/tags/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._collection = Collection(
            "tags",
            service.views,
            NAME_FILTERS,
            Snapshot.count_tags,
            Snapshot.tags_among,
            represent_tag,
            TagNotFound,
        )
        self._drives = drives_of(service)
        self._servers = servers_of(service)

    async def list(self, request: web.Request) -> web.StreamResponse:
        return await self._collection.answer(request)

    async def one(self, request: web.Request) -> web.Response:
        uuid = uuid_in_url(request, TagNotFound)
        return json_answer(self._collection.shown(owner_of(request), [uuid])[0])

    async def create(self, request: web.Request) -> web.Response:
        """Create all of the tags or none."""
        owner = owner_of(request)
        new = tuple(
            commands.NewTag(new_id(request), said.name, said.meta, said.resources)
            for said in await read_objects(request, NewTag)
        )
        made = [tag.tag for tag in new]
        changed = Changed(201, references("tags", made))
        await record_command(request, self._ledger, CreateTags(owner, new), changed)
        return created(await self._collection.recorded(owner, made))

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields; `meta` and `resources` are replaced as a whole."""
        uuid = uuid_in_url(request, TagNotFound)
        owner = owner_of(request)
        said = await read_object(request, TagEdit)
        command = EditTag(owner=owner, tag=uuid, **asdict(said))
        changed = Changed(200, references("tags", [uuid]))
        await record_command(request, self._ledger, command, changed)
        return json_answer((await self._collection.recorded(owner, [uuid]))[0])

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the tag; what bore it stays."""
        uuid = uuid_in_url(request, TagNotFound)
        owner = owner_of(request)
        changed = Changed(204, references("tags", [uuid]))
        await record_command(request, self._ledger, DeleteTag(owner, uuid), changed)
        return web.Response(status=204)

    async def resources(self, request: web.Request) -> web.StreamResponse:
        """List what bears the tag, of one kind, as the lists of that kind do."""
        uuid = uuid_in_url(request, TagNotFound)
        self._collection.shown(owner_of(request), [uuid])
        detail = request.path.rstrip("/").endswith("/detail")
        borne = [Condition("tag", (uuid,))]
        match request.match_info["kind"]:
            case "drives":
                fields = None if detail else DRIVE_LIST_FIELDS
                return await self._drives.answer(request, fields, borne)
            case "servers":
                fields = None if detail else SERVER_LIST_FIELDS
                return await self._servers.answer(request, fields, borne)
            case _:
                return await empty_list(request)

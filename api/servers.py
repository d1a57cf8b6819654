"""`/servers/`: servers are made, looked at, cloned and deleted; nothing runs them."""

from collections.abc import Sequence

from aiohttp import web
from msgspec.structs import asdict

from api.answers import created, json_answer
from api.errors import BadRequest
from api.requests import CALLER, read_object, read_objects, read_references, uuid_in_url
from api.resources import Collection, complete, do_action
from api.schema import load_schema
from api.server_bodies import new_server
from api.service import Service
from api.shapes import SERVER_LIST_FIELDS, JsonObject, server_json
from ledger.commands import CloneServer, CreateServers, DeleteServers, Recurse
from ledger.errors import ServerNotFound
from projections.views.reading import Snapshot

RECURSE: tuple[Recurse, ...] = ("disks", "cdroms", "all_drives")


class Servers:
    """Handlers of the URLs below `/servers/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._collection = Collection(service.views, _count, _read)
        self._new_id = service.new_id
        self._new_mac = service.new_mac
        self._new_password = service.new_password
        self._schema = load_schema("servers")

    async def list(self, request: web.Request) -> web.StreamResponse:
        return await self._collection.answer(request, SERVER_LIST_FIELDS)

    async def list_detail(self, request: web.Request) -> web.StreamResponse:
        return await self._collection.answer(request)

    async def one(self, request: web.Request) -> web.Response:
        uuid = uuid_in_url(request, ServerNotFound)
        return json_answer(self._shown(request[CALLER].actor, [uuid])[0])

    async def schema(self, request: web.Request) -> web.Response:
        return json_answer(asdict(self._schema))

    async def create(self, request: web.Request) -> web.Response:
        """All or none, and stopped at once."""
        caller = request[CALLER]
        new = tuple(
            new_server(fields, server=self._new_id(), new_mac=self._new_mac)
            for fields in await read_objects(request)
        )
        await self._ledger.execute(CreateServers(caller.actor, new), caller)
        return created(self._shown(caller.actor, [server.server for server in new]))

    async def delete(self, request: web.Request) -> web.Response:
        return await self._delete(request, [uuid_in_url(request, ServerNotFound)])

    async def delete_many(self, request: web.Request) -> web.Response:
        return await self._delete(request, await read_references(request))

    async def act(self, request: web.Request) -> web.StreamResponse:
        return await do_action(request, {"clone": self._clone})

    async def _clone(self, request: web.Request) -> web.Response:
        """Answered with the new server, which is stopped and has its drives already."""
        caller = request[CALLER]
        source = uuid_in_url(request, ServerNotFound)
        fields = await read_object(request)
        command = CloneServer(
            owner=caller.actor,
            source=source,
            destination=self._new_id(),
            job=self._new_id(),
            name=fields.text("name", None),
            vnc_password=(
                self._new_password() if fields.flag("random_vnc_password", default=False) else None
            ),
        )
        await self._ledger.execute(command, caller)
        return json_answer(self._shown(caller.actor, [command.destination])[0], status=202)

    async def _delete(self, request: web.Request, uuids: Sequence[str]) -> web.Response:
        caller = request[CALLER]
        command = DeleteServers(caller.actor, tuple(uuids), _recurse(request))
        await self._ledger.execute(command, caller)
        return web.Response(status=204)

    def _shown(self, owner: str, uuids: Sequence[str]) -> Sequence[JsonObject]:
        with self._views.snapshot() as snapshot:
            found = snapshot.servers_among(uuids, owner)
        return [server_json(server) for server in complete(found, uuids, ServerNotFound)]


def _recurse(request: web.Request) -> Recurse:
    """Which drives go with the server."""
    given = request.query.get("recurse")
    if given is None:
        return "none"
    for recurse in RECURSE:
        if recurse == given:
            return recurse
    raise BadRequest(f"recurse must be one of {', '.join(RECURSE)}", point="recurse")


def _count(snapshot: Snapshot, owner: str) -> int:
    return snapshot.count_servers(owner)


def _read(snapshot: Snapshot, owner: str, limit: int, offset: int) -> list[JsonObject]:
    return [server_json(server) for server in snapshot.servers(owner, limit=limit, offset=offset)]

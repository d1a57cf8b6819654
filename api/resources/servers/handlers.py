"""`/servers/`: makes, shows, changes, switches, clones and deletes servers.

Switching a server only records it: there is no hypervisor.
"""

from collections.abc import Sequence
from functools import partial

from aiohttp import web

from api.http.errors import BadRequest
from api.http.outcome import Changed
from api.http.record import new_id, record_command
from api.http.requests import (
    avoided,
    check_object,
    owner_of,
    read_edits,
    read_object,
    read_objects,
    read_references,
    uuid_in_url,
)
from api.http.responses import created, json_answer, objects_answer, only_answer
from api.resources.collections import (
    FILTERS,
    Action,
    Collection,
    do_action,
    group_of,
    groups,
)
from api.resources.references import references
from api.resources.servers.bodies import (
    NewServer,
    Server,
    ServerActionResult,
    ServerClone,
    ServerEdit,
    StoppedRuntime,
    ignored,
    new_server,
    server_clone,
    server_edit,
)
from api.resources.servers.representation import SERVER_LIST_FIELDS, represent_server
from api.service.service import Service
from ledger.domain.commands.servers import (
    ChangePower,
    CreateServers,
    DeleteServers,
    EditServers,
    Recurse,
)
from ledger.domain.errors.servers import ServerNotFound
from ledger.domain.events.servers import PowerAction
from projections.views.read_models import ServerView
from projections.views.snapshot import Snapshot

RECURSE: tuple[Recurse, ...] = ("disks", "cdroms", "all_drives")
SWITCHES: tuple[PowerAction, ...] = ("start", "stop", "shutdown", "restart")


class Servers:
    """Handlers of the URLs below `/servers/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self.collection = servers_of(service)
        self._new_mac = service.new_mac
        self._new_password = service.new_password

    async def create(self, request: web.Request) -> web.Response:
        """Create all of the servers or none; they are ready and stopped at once."""
        new = tuple(
            new_server(said, server=new_id(request), new_mac=self._new_mac)
            for said in await read_objects(request, NewServer, Server)
        )
        made = [server.server for server in new]
        command = CreateServers(owner_of(request), new)
        return await self.collection.record(request, command, made, 201, created)

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields; `drives`, `nics`, `meta` and `tags` are replaced as a whole."""
        uuid = uuid_in_url(request, ServerNotFound)
        owner = owner_of(request)
        said = await read_object(request, ServerEdit, Server)
        command = server_edit(said, owner=owner, server=uuid, new_mac=self._new_mac)
        return await self.collection.edit(request, command, {uuid: command}, ignored, only_answer)

    async def edit_many(self, request: web.Request) -> web.Response:
        """Change all of the servers or none."""
        owner = owner_of(request)
        said = await read_edits(request, ServerEdit, Server)
        edits = {
            uuid: server_edit(said[uuid], owner=owner, server=uuid, new_mac=self._new_mac)
            for uuid in said
        }
        command = EditServers(tuple(edits.values()))
        return await self.collection.edit(request, command, edits, ignored, objects_answer)

    async def runtime(self, request: web.Request) -> web.Response:
        """Show the server's runtime: an object even of a stopped one, for the public client."""
        uuid = uuid_in_url(request, ServerNotFound)

        def answer(found: Sequence[ServerView]) -> web.Response:
            return json_answer(represent_server(found[0]).runtime or StoppedRuntime())

        return await self.collection.make(request, [uuid], answer)

    async def availability_groups(self, request: web.Request) -> web.Response:
        """Group the account's running servers by the host that they are on."""
        return json_answer(groups(await self.collection.placed(request, Snapshot.hosts)))

    async def availability_group(self, request: web.Request) -> web.Response:
        """List the servers on the host of this one; none while it is stopped."""
        uuid = uuid_in_url(request, ServerNotFound)
        self.collection.check_there(owner_of(request), uuid)
        return json_answer(group_of(uuid, await self.collection.placed(request, Snapshot.hosts)))

    async def delete(self, request: web.Request) -> web.Response:
        return await self._delete(request, [uuid_in_url(request, ServerNotFound)])

    async def delete_many(self, request: web.Request) -> web.Response:
        return await self._delete(request, await read_references(request))

    async def act(self, request: web.Request) -> web.StreamResponse:
        actions: dict[str, Action] = {"clone": self._clone}
        for action in SWITCHES:
            actions[action] = partial(self._switch, action=action)
        return await do_action(request, actions)

    async def _switch(self, request: web.Request, action: PowerAction) -> web.Response:
        uuid = uuid_in_url(request, ServerNotFound)
        # It may name an allocation method, which has no meaning here: there are no pools of cpu.
        await check_object(request)
        command = ChangePower(owner_of(request), uuid, action, avoided(request))
        changed = Changed(202, references("servers", [uuid]))
        await record_command(request, self._ledger, command, changed)
        return json_answer(ServerActionResult(action=action, uuid=uuid), status=202)

    async def _clone(self, request: web.Request) -> web.Response:
        """Answer with the new server, which is stopped and has its drives already."""
        source = uuid_in_url(request, ServerNotFound)
        command = server_clone(
            await read_object(request, ServerClone, Server),
            owner=owner_of(request),
            source=source,
            destination=new_id(request),
            job=new_id(request),
            new_password=self._new_password,
            avoid=avoided(request),
        )
        answer = partial(only_answer, status=202)
        return await self.collection.record(request, command, [command.destination], 202, answer)

    async def _delete(self, request: web.Request, uuids: Sequence[str]) -> web.Response:
        command = DeleteServers(owner_of(request), tuple(uuids), _recurse(request))
        return await self.collection.delete(request, command, uuids)


def _recurse(request: web.Request) -> Recurse:
    """Return which drives are deleted with the server."""
    given = request.query.get("recurse")
    if given is None:
        return "none"
    for recurse in RECURSE:
        if recurse == given:
            return recurse
    raise BadRequest(f"recurse must be one of {', '.join(RECURSE)}", point="recurse")


def servers_of(service: Service) -> Collection[ServerView, Server]:
    return Collection(
        "servers",
        service,
        FILTERS,
        Snapshot.servers_among,
        represent_server,
        ServerNotFound,
        SERVER_LIST_FIELDS,
    )

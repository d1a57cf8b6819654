"""`/drives/`: makes, shows, changes, clones and deletes drives."""

from collections.abc import Sequence
from functools import partial

from aiohttp import web
from msgspec.structs import asdict

from api.http.record import new_id
from api.http.requests import (
    avoided,
    owner_of,
    read_edits,
    read_object,
    read_objects,
    read_references,
    uuid_in_url,
)
from api.http.responses import created, json_answer, objects_answer, only_answer
from api.resources.collections import FILTERS, Collection, do_action, group_of, groups
from api.resources.drives.bodies import (
    Drive,
    DriveClone,
    DriveEdit,
    DriveResize,
    NewDrive,
    NewUpload,
    default_storage_type,
    drive_definition,
    ignored,
)
from api.resources.drives.representation import DRIVE_LIST_FIELDS, represent_drive
from api.resources.drives.uploads import Uploads
from api.service.service import Service
from ledger.domain.commands import drives as commands
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    EditDrives,
    ResizeDrive,
)
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.events.drives import DriveOrigin
from projections.views.read_models import DriveView
from projections.views.snapshot import Snapshot

_accepted = partial(objects_answer, status=202)


class Drives:
    """Handlers of the URLs below `/drives/`, except those that carry images."""

    def __init__(self, service: Service, uploads: Uploads) -> None:
        self._uploads = uploads
        self._views = service.views
        self.collection = drives_of(service)
        self._storage_type = default_storage_type(service.pools)

    async def create(self, request: web.Request) -> web.Response:
        """Create all of the drives or none; the answer does not wait for the images."""
        return await self._create(request, "blank", NewDrive)

    async def begin_upload(self, request: web.Request) -> web.Response:
        """Do the same for drives whose images come in chunks."""
        return await self._create(request, "chunked", NewUpload)

    async def _create(
        self, request: web.Request, origin: DriveOrigin, kind: type[NewDrive]
    ) -> web.Response:
        owner = owner_of(request)
        new = tuple(
            commands.NewDrive(
                new_id(request), drive_definition(said, self._storage_type), tags=said.tags
            )
            for said in await read_objects(request, kind, Drive)
        )
        command = CreateDrives(owner, new, origin, avoided(request))
        made = [drive.drive for drive in new]
        return await self.collection.record(request, command, made, 201, created)

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields. A new size is a resize, and the old one is shown meanwhile."""
        uuid = uuid_in_url(request, DriveNotFound)
        said = await read_object(request, DriveEdit, Drive)
        command = EditDrive(owner=owner_of(request), drive=uuid, **asdict(said))
        return await self.collection.edit(request, command, {uuid: command}, ignored, only_answer)

    async def edit_many(self, request: web.Request) -> web.Response:
        """Change all of the drives or none."""
        owner = owner_of(request)
        said = await read_edits(request, DriveEdit, Drive)
        edits = {uuid: EditDrive(owner=owner, drive=uuid, **asdict(said[uuid])) for uuid in said}
        command = EditDrives(tuple(edits.values()))
        return await self.collection.edit(request, command, edits, ignored, objects_answer)

    async def availability_groups(self, request: web.Request) -> web.Response:
        """Group the account's drives by the pool that they are in."""
        return json_answer(groups(await self.collection.placed(request, Snapshot.pools)))

    async def availability_group(self, request: web.Request) -> web.Response:
        """List the drives in the pool of this one, itself among them."""
        uuid = uuid_in_url(request, DriveNotFound)
        group = group_of(uuid, await self.collection.placed(request, Snapshot.pools))
        if not group:
            raise DriveNotFound(uuid)
        return json_answer(group)

    async def delete(self, request: web.Request) -> web.Response:
        return await self._delete(request, [uuid_in_url(request, DriveNotFound)])

    async def delete_many(self, request: web.Request) -> web.Response:
        return await self._delete(request, await read_references(request))

    async def act(self, request: web.Request) -> web.StreamResponse:
        actions = {
            "clone": self.clone,
            "resize": self._resize,
            "upload_chunk": self._uploads.link,
        }
        return await do_action(request, actions)

    async def clone(self, request: web.Request) -> web.Response:
        source = uuid_in_url(request, DriveNotFound)
        said = await read_object(request, DriveClone, Drive)
        command = CloneDrive(
            owner=owner_of(request),
            source=source,
            destination=new_id(request),
            job=new_id(request),
            avoid=avoided(request),
            **asdict(said),
        )
        made = [command.destination]
        return await self.collection.record(request, command, made, 202, _accepted)

    async def _resize(self, request: web.Request) -> web.Response:
        uuid = uuid_in_url(request, DriveNotFound)
        said = await read_object(request, DriveResize, Drive)
        command = ResizeDrive(owner=owner_of(request), drive=uuid, **asdict(said))
        return await self.collection.record(request, command, [uuid], 202, _accepted)

    async def _delete(self, request: web.Request, uuids: Sequence[str]) -> web.Response:
        command = DeleteDrives(owner_of(request), tuple(uuids))
        return await self.collection.delete(request, command, uuids)


def drives_of(service: Service) -> Collection[DriveView, Drive]:
    return Collection(
        "drives",
        service,
        FILTERS,
        Snapshot.drives_among,
        represent_drive,
        DriveNotFound,
        DRIVE_LIST_FIELDS,
    )

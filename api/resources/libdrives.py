"""`/libdrives/`: the library, whose drives everybody may see and clone."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from aiohttp import web

from api.http.requests import (
    alternatives,
    check_parts,
    order_by,
    page,
    shown_fields,
    uuid_in_url,
)
from api.http.responses import json_answer, only, page_answer
from api.resources.collections import ORDERS, do_action
from api.resources.drives.bodies import LibraryDrive
from api.resources.drives.handlers import Drives
from api.resources.drives.representation import represent_library_drive
from api.service.service import Service
from ledger.domain.errors.drives import DriveNotFound
from projections.tables import fold_case

_EXACT = ("name", "os", "arch", "distribution", "image_type", "version")
_PARTS = ("name__contains", "name__icontains")


def _is_uuid(shown: object, wanted: str) -> bool:
    return shown == wanted.lower()


def _contains(shown: object, wanted: str) -> bool:
    return fold_case(wanted) in fold_case(str(shown))


def _among(shown: object, wanted: str) -> bool:
    return isinstance(shown, tuple) and wanted in shown


FILTERS: Mapping[str, tuple[str, Callable[[object, str], bool]]] = {
    **{name: (name, lambda shown, wanted: shown == wanted) for name in _EXACT},
    **dict.fromkeys(_PARTS, ("name", _contains)),
    "category": ("category", _among),
    "uuid": ("uuid", _is_uuid),
}
"""For each parameter: the field that it filters, and whether a value fits an alternative."""


class Libdrives:
    """Handlers of the URLs below `/libdrives/`. Each reads the whole library, which is small."""

    def __init__(self, service: Service, drives: Drives) -> None:
        self._views = service.views
        self._drives = drives

    async def list(self, request: web.Request) -> web.Response:
        asked, fields = page(request), shown_fields(request)
        wanted, order = _conditions(request), order_by(request, ORDERS)
        found = [drive for drive in self._all() if all(each.holds(drive) for each in wanted)]
        for by in reversed(order):
            found.sort(key=attrgetter(by.field), reverse=by.descending)
        shown = [only(drive, fields) for drive in found[asked.bounds]]
        return page_answer(asked, len(found), shown)

    async def one(self, request: web.Request) -> web.Response:
        uuid = uuid_in_url(request, DriveNotFound)
        for drive in self._all():
            if drive.uuid == uuid:
                return json_answer(drive)
        raise DriveNotFound(uuid)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Clone the drive for the account; nothing else can be done to a library drive."""
        await self.one(request)
        return await do_action(request, {"clone": self._drives.clone})

    def _all(self) -> Sequence[LibraryDrive]:
        with self._views.snapshot() as snapshot:
            return [represent_library_drive(drive) for drive in snapshot.library()]


class _Condition(NamedTuple):
    """A filter of the request: one of the alternatives must fit."""

    filter: str
    alternatives: list[str]

    def holds(self, drive: LibraryDrive) -> bool:
        field, fits = FILTERS[self.filter]
        return any(fits(getattr(drive, field), wanted) for wanted in self.alternatives)


def _conditions(request: web.Request) -> list[_Condition]:
    found = [
        _Condition(name, alternatives(text))
        for name in FILTERS
        for text in request.query.getall(name, ())
    ]
    check_parts([each.filter for each in found if each.filter in _PARTS for _ in each.alternatives])
    return found

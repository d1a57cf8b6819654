"""Retention at the admin socket: both ends."""

from datetime import datetime, timedelta

import msgspec
from aiohttp import web

from api.admin_messages import Ask, answer, asked
from api.retention import RetentionOperations
from ledger.acts import Parking
from ledger.retention import Plan
from projections.retention.keeping import Ran
from projections.retention.standing import Standing


class _Policy(msgspec.Struct):
    keep: timedelta


class _Planned(msgspec.Struct):
    as_of: datetime | None
    keep: timedelta | None


class _Run(msgspec.Struct):
    digest: str | None


class _Release(msgspec.Struct):
    stream: str
    skip: bool


_policy = msgspec.json.Decoder(_Policy).decode
_planned = msgspec.json.Decoder(_Planned).decode
_run = msgspec.json.Decoder(_Run).decode
_release = msgspec.json.Decoder(_Release).decode
_standing = msgspec.json.Decoder(Standing).decode
_plan = msgspec.json.Decoder(Plan).decode
_ran = msgspec.json.Decoder(Ran).decode
_parked = msgspec.json.Decoder(list[Parking]).decode


class RetentionServer:
    """Answers what is asked of retention."""

    def __init__(self, operations: RetentionOperations) -> None:
        self._operations = operations
        self.routes = [
            web.get("/retention", self._standing),
            web.post("/retention", self._set),
            web.post("/retention/plan", self._plan),
            web.post("/retention/run", self._run),
            web.post("/retention/clock", self._confirm_clock),
            web.get("/parked", self._parked),
            web.post("/parked/release", self._release),
        ]

    async def _standing(self, _: web.Request) -> web.Response:
        return await answer(self._operations.standing())

    async def _set(self, request: web.Request) -> web.Response:
        policy = await asked(request, _policy)
        return await answer(self._operations.set(policy.keep))

    async def _plan(self, request: web.Request) -> web.Response:
        planned = await asked(request, _planned)
        return await answer(self._operations.plan(planned.as_of, planned.keep))

    async def _run(self, request: web.Request) -> web.Response:
        run = await asked(request, _run)
        return await answer(self._operations.run(run.digest))

    async def _confirm_clock(self, _: web.Request) -> web.Response:
        return await answer(self._operations.confirm_clock())

    async def _parked(self, _: web.Request) -> web.Response:
        return await answer(self._operations.parked())

    async def _release(self, request: web.Request) -> web.Response:
        release = await asked(request, _release)
        return await answer(self._operations.release(release.stream, skip=release.skip))


class RetentionClient:
    """Asks the service that runs."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def standing(self) -> Standing:
        return _standing(await self._ask("GET", "/retention"))

    async def set(self, keep: timedelta) -> None:
        await self._ask("POST", "/retention", _Policy(keep))

    async def plan(self, as_of: datetime | None, keep: timedelta | None) -> Plan:
        planned = _Planned(as_of, keep)
        return _plan(await self._ask("POST", "/retention/plan", planned, patience_s=None))

    async def run(self, digest: str | None) -> Ran:
        return _ran(await self._ask("POST", "/retention/run", _Run(digest), patience_s=None))

    async def confirm_clock(self) -> None:
        await self._ask("POST", "/retention/clock")

    async def parked(self) -> list[Parking]:
        return _parked(await self._ask("GET", "/parked"))

    async def release(self, stream: str, *, skip: bool) -> None:
        await self._ask("POST", "/parked/release", _Release(stream, skip))

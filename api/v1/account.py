"""`GET /api/v1/account`: quotas and what is used of them, rates, and what the caller may do."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from aiohttp import web

from api.accounts.grants import Grant
from api.http.fields import Representation, Time, Uuid, about
from api.http.requests import GRANT
from api.http.responses import json_answer
from api.service.request_rates import KINDS
from api.service.service import Service
from ledger.domain.quotas import Kind
from ledger.store.parameters import timestamp_or_none
from ledger.store.seam import Cursor
from ledger.store.tables import tokens
from projections.views.belongings import count_of

_KINDS: tuple[Kind, ...] = ("jobs-running", "jobs-kept")


class Quota(Representation, frozen=True):
    """How many the account may have, and has; a limit of 0 is none."""

    limit: int
    used: int


class Rate(Representation, frozen=True):
    """How many in a minute, and at once after a pause; 0 is no limit."""

    per_minute: int
    burst: int


class OwnGrant(Representation, frozen=True):
    """What the token of the request may do. Null `scopes` are everything."""

    id: str | None
    scopes: tuple[str, ...] | None
    restrictors: tuple[str, ...]
    source: str | None
    expires_at: Time | None


class AccountUse(Representation, frozen=True):
    uuid: Uuid
    quotas: Annotated[Mapping[str, Quota], about("By what is counted.")]
    rates: Annotated[Mapping[str, Rate], about("Of each token, by what it does.")]
    token: OwnGrant


class AccountPage:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def show(self, request: web.Request) -> web.Response:
        grant = request[GRANT]
        owner, limits = grant.account.uuid, self._service.limits
        used = await asyncio.to_thread(self._service.ledger.read, lambda c: _used(c, owner))
        quotas = {
            "jobs_running": Quota(limits.jobs_running_per_account, used["jobs-running"]),
            "jobs_kept": Quota(limits.jobs_kept_per_account, used["jobs-kept"]),
            "tokens": Quota(limits.tokens_per_account, used["tokens"]),
        }
        rates = self._service.call_rates
        told = {str(kind): Rate(rates.limit(kind), rates.burst(kind)) for kind in KINDS}
        return json_answer(AccountUse(owner, quotas, told, _own(grant)))


def _used(cursor: Cursor, owner: str) -> dict[str, int]:
    return {
        **{kind: count_of(cursor, owner, kind) for kind in _KINDS},
        "tokens": tokens.count(cursor, owner),
    }


def _own(grant: Grant) -> OwnGrant:
    return OwnGrant(
        grant.token,
        tuple(sorted(grant.scopes)) if grant.scoped else None,
        grant.restrictors.texts(),
        grant.source,
        timestamp_or_none(grant.expires),
    )

"""`/profile/`: what an account says about itself, and how its clones are named."""

from typing import get_args

import orjson
from aiohttp import web

from api.http.fields import Fields
from api.http.record import record_command
from api.http.requests import owner_of, read_fields
from api.http.responses import JsonObject, json_answer
from api.service.service import Service
from ledger.domain.commands import EditProfile
from ledger.domain.errors import NotFound
from ledger.domain.events import CloneNaming
from projections.views.read_models import ProfileView

CLONE_NAMINGS: tuple[CloneNaming, ...] = get_args(CloneNaming)
TEXTS = (
    "address",
    "company",
    "country",
    "first_name",
    "language",
    "last_name",
    "my_notes",
    "nickname",
    "phone",
    "postcode",
    "title",
    "town",
    "vat",
)
_FIXED: JsonObject = {
    "api_https_only": False,
    "autotopup_amount": "0E-16",
    "autotopup_threshold": "0E-16",
    "bank_reference": "",
    "currency": "EUR",
    "has_autotopup": False,
    "has_tx_autotopup": False,
    "invoicing": False,
    "key_auth": False,
    "network_restrictions": None,
    "reseller": "",
    "state": "REGULAR",
    "tax_name": None,
    "tax_rate": None,
    "tx_autotopup_amount": "0E-16",
    "tx_autotopup_threshold": "0E-16",
}
"""What cannot be changed here: there is no billing, and no reseller."""


def profile_json(profile: ProfileView) -> JsonObject:
    """All keys of a profile; decimals are texts."""
    personal = {name: orjson.loads(value) for name, value in profile.personal.items()}
    return {
        **_FIXED,
        **dict.fromkeys(TEXTS, ""),
        "mailing_list": False,
        "meta": {},
        **personal,
        "clone_naming": profile.clone_naming,
        "email": profile.email,
        "signup_time": profile.created,
        "uuid": profile.account,
    }


class Profile:
    """Handlers of `/profile/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views

    async def show(self, request: web.Request) -> web.Response:
        return json_answer(self._shown(request))

    async def edit(self, request: web.Request) -> web.Response:
        """Partial; what cannot be changed is passed over, so a whole profile may be sent back."""
        owner = owner_of(request)
        fields = await read_fields(request)
        shown = self._shown(request)
        wanted = _wanted(fields)
        changed = {name: value for name, value in wanted.items() if value != shown[name]}
        naming = fields.one_of("clone_naming", CLONE_NAMINGS, None)
        command = EditProfile(
            owner,
            {name: orjson.dumps(value).decode() for name, value in changed.items()},
            naming,
        )
        await record_command(request, self._ledger, command)
        return json_answer(self._shown(request))

    def _shown(self, request: web.Request) -> JsonObject:
        account = owner_of(request)
        with self._views.snapshot() as snapshot:
            profile = snapshot.profile(account)
        if profile is None:
            raise NotFound("the account has been removed")
        return profile_json(profile)


def _wanted(fields: Fields) -> JsonObject:
    """The personal fields that are given."""
    given: JsonObject = {name: fields.text(name, None) for name in TEXTS}
    given["mailing_list"] = fields.flag("mailing_list", default=None)
    given["meta"] = fields.meta("meta", None)
    return {name: value for name, value in given.items() if value is not None}

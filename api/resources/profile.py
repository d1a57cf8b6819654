"""`/profile/`: the personal data of an account, and how its clones are named."""

import orjson
from aiohttp import web
from msgspec.structs import asdict

from api.http.fields import Reference, decode_fields
from api.http.not_applied import note_not_applied
from api.http.outcome import Changed, show
from api.http.record import record_command
from api.http.requests import owner_of, read_fields
from api.http.responses import JsonObject, json_answer
from api.resources.account_bodies import Profile, ProfileEdit
from api.service.service import Service
from api.text.urls import API_ROOT
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.errors import NotFound
from projections.views.read_models import ProfileView


def profile_json(profile: ProfileView) -> JsonObject:
    personal = {name: orjson.loads(value) for name, value in profile.personal.items()}
    return asdict(
        Profile(
            **personal,
            clone_naming=profile.clone_naming,
            email=profile.email,
            signup_time=profile.created,
            uuid=profile.account,
        )
    )


class Profiles:
    """Handlers of `/profile/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views

    async def show(self, request: web.Request) -> web.Response:
        return json_answer(self._shown(request))

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields; ignore fixed ones, so that a whole profile may be sent back."""
        owner = owner_of(request)
        given = await read_fields(request)
        said = asdict(decode_fields(given, ProfileEdit))
        shown = self._shown(request)
        fixed = {
            name: value for name, value in given.items() if name not in said and value is not None
        }
        note_not_applied(request, (name for name in fixed if fixed[name] != shown.get(name)))
        naming = said.pop("clone_naming")
        edited = {
            name: orjson.dumps(value).decode()
            for name, value in said.items()
            if value is not None and value != shown[name]
        }
        command = EditProfile(owner, edited, naming)
        profile = Reference(resource_uri=f"{API_ROOT}/profile/", uuid=owner)
        await record_command(request, self._ledger, command, Changed(200, (profile,)))

        async def read() -> JsonObject:
            return self._shown(request)

        return json_answer(await show(read))

    def _shown(self, request: web.Request) -> JsonObject:
        account = owner_of(request)
        with self._views.snapshot() as snapshot:
            profile = snapshot.profile(account)
        if profile is None:
            raise NotFound("the account has been removed")
        return profile_json(profile)

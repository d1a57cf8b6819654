"""`/api/v1/tokens`: the tokens of the account; a token issues no more than it has itself."""

from datetime import datetime
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from api.accounts.grants import WrongRestrictor
from api.accounts.scopes import Scope
from api.accounts.tokens import (
    ID_LENGTH,
    NAME_LENGTH_MAX,
    SOURCE_LENGTH_MAX,
    InvalidTokenName,
    InvalidTokenTerms,
    Terms,
    TokenNotFound,
    terms_within,
)
from api.http.fields import Representation, Time, about
from api.http.requests import CALLER, GRANT
from api.http.responses import json_answer
from api.service.service import Service
from api.v1.bodies import SMALL_BYTES, Strict, read_strictly
from api.v1.problems import Problem, bad_value
from ledger.store.parameters import timestamp, timestamp_or_none
from ledger.store.tables.tokens import GrantedToken

RESTRICTORS_MOST = 40

Scopes = Annotated[tuple[Scope, ...], Meta(min_length=1)]
Source = Annotated[str, Meta(max_length=SOURCE_LENGTH_MAX)]
Restrictor = Annotated[str, Meta(max_length=512)]


class NewToken(Strict, frozen=True):
    """A token to be issued. What is not said is as for the token that issues it."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    scopes: Annotated[Scopes, about("What it may do, and nothing else.")]
    restrictors: Annotated[
        tuple[Restrictor, ...],
        about(
            "Only these jobs: `series=nas/*`, `labels.env=prod`, `max_running=50`.",
            max_length=RESTRICTORS_MOST,
        ),
    ] = ()
    source: Annotated[
        Source | None,
        about("The source of what it registers, or above that; `//<name>` by default."),
    ] = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class Token(Representation, frozen=True):
    """A token. With `scopes` null it may do whatever the account may."""

    id: Annotated[str, Meta(max_length=ID_LENGTH)]
    name: str
    scopes: tuple[str, ...] | None
    restrictors: tuple[str, ...]
    source: str | None
    created_at: Time
    expires_at: Time | None
    last_used_at: Annotated[Time | None, about("Stored some minutes later.")]
    issuer: Annotated[str | None, about("The token by which it was issued.")]


class IssuedToken(Token, frozen=True):
    """A token with its secret, which only this answer has."""

    token: Annotated[str, Meta(pattern="^jl_")]


class TokenList(Representation, frozen=True):
    tokens: tuple[Token, ...]


class Tokens:
    def __init__(self, service: Service) -> None:
        self._accounts = service.accounts

    async def issue(self, request: web.Request) -> web.Response:
        """Issue a token within what the caller may do."""
        grant, caller = request[GRANT], request[CALLER]
        said = (await read_strictly(request, NewToken, most=SMALL_BYTES)).body
        try:
            terms = terms_within(
                grant, Terms(said.scopes, said.restrictors, said.source, said.expires_at)
            )
            new = await self._accounts.tokens.issue(caller.actor, said.name, terms, caller)
        except InvalidTokenName as error:
            raise bad_value("name", str(error)) from None
        except WrongRestrictor as error:
            raise bad_value("restrictors", str(error)) from None
        except InvalidTokenTerms as error:
            raise bad_value(_FIELDS.get(error.point, error.point), str(error)) from None
        [stored] = [
            each
            for each in await self._accounts.tokens.of_account(caller.actor)
            if each.id == new.id
        ]
        return json_answer(IssuedToken(*_members(stored), new.token), status=201)

    async def list(self, request: web.Request) -> web.Response:
        """Show all tokens of the account; to a token with scopes, itself and those it issued."""
        grant = request[GRANT]
        stored = await self._accounts.tokens.of_account(grant.account.uuid)
        shown = [
            each for each in stored if not grant.scoped or grant.token in (each.id, each.issuer)
        ]
        return json_answer(TokenList(tuple(Token(*_members(each)) for each in shown)))

    async def remove(self, request: web.Request) -> web.Response:
        """Remove a token; the tokens of jobs that came from it end with it."""
        grant, caller, token_id = request[GRANT], request[CALLER], request.match_info["id"]
        stored = await self._accounts.tokens.of_account(caller.actor)
        own = {each.id for each in stored if grant.token in (each.id, each.issuer)}
        if grant.scoped and token_id not in own:
            raise _unknown(token_id)
        try:
            await self._accounts.tokens.remove_of(caller.actor, token_id, caller)
        except TokenNotFound:
            raise _unknown(token_id) from None
        return web.Response(status=204)


_FIELDS = {"expires": "expires_at"}


def _unknown(token_id: str) -> Problem:
    return Problem("not-found", f"there is no token {token_id[:ID_LENGTH]}")


def _members(
    token: GrantedToken,
) -> tuple[
    *tuple[str, str, tuple[str, ...] | None, tuple[str, ...], str | None],
    *tuple[str, str | None, str | None, str | None],
]:
    return (
        *(token.id, token.name, token.scopes, token.restrictors, token.source),
        *(timestamp(token.created), timestamp_or_none(token.expires)),
        *(timestamp_or_none(token.used), token.issuer),
    )

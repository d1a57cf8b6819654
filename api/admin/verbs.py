"""The verbs of operators, called by name: in this process, or in the service that runs.

A verb is a method that exists anyhow. Over the admin socket, its arguments and its result are JSON
by their annotations.
"""

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Concatenate, ParamSpec, TypeVar, get_type_hints, overload

import msgspec

from api.accounts.service import Accounts
from api.accounts.tokens import Tokens
from api.admin.library import Library
from api.doctor.checks import examine_service
from api.service.service import Service
from ledger.application import Ledger
from ledger.store.lease import PATIENCE_S
from projections.maintenance.rebuild import Rebuilt, rebuild
from projections.maintenance.retention.service import Retention

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

Verb = Callable[..., object]

Report = Callable[[int, int], None]
"""Called with the number of events done and of all events; in any thread."""

_VERBS_OF: Mapping[type, tuple[Verb, ...]] = {
    Accounts: (
        Accounts.add,
        Accounts.listed,
        Accounts.set_password,
        Accounts.set_role,
        Accounts.remove,
    ),
    Tokens: (Tokens.add, Tokens.every, Tokens.remove, Tokens.change_job_key),
    Library: (Library.add, Library.every, Library.remove),
    Retention: (
        Retention.status,
        Retention.set,
        Retention.plan,
        Retention.run,
        Retention.confirm_clock,
        Retention.parked,
        Retention.release,
    ),
    Service: (examine_service,),
}
_TARGETS = {verb: target for target, verbs in _VERBS_OF.items() for verb in verbs}
VERBS: Mapping[str, Verb] = {verb.__qualname__: verb for verb in _TARGETS}
"""The verbs by name; nothing else can be called."""


class Admin(ABC):
    """Does the verbs with a ledger. Raises what they raise."""

    @overload
    async def call(
        self, verb: Callable[Concatenate[S, P], Awaitable[T]], *args: P.args, **named: P.kwargs
    ) -> T: ...
    @overload
    async def call(
        self, verb: Callable[Concatenate[S, P], T], *args: P.args, **named: P.kwargs
    ) -> T: ...
    async def call(self, verb: Verb, *args: object, **named: object) -> object:
        """Do the verb with these arguments; its `self` is found here."""
        _, *given = inspect.signature(verb).bind(None, *args, **named).arguments.items()
        return await self.do(verb, dict(given))

    @abstractmethod
    async def do(self, verb: Verb, arguments: Mapping[str, object]) -> object: ...

    @abstractmethod
    async def rebuild(self, report: Report) -> Rebuilt:
        """Build the read models anew, and report the progress."""


class LocalAdmin(Admin):
    """Does the verbs with a ledger that this process has open."""

    def __init__(self, ledger: Ledger, *targets: object) -> None:
        self._ledger = ledger
        self._targets = {type(target): target for target in targets}

    async def do(self, verb: Verb, arguments: Mapping[str, object]) -> object:
        target = self._targets[_TARGETS[verb]]
        if inspect.iscoroutinefunction(verb):
            return await verb(target, **arguments)
        return await asyncio.to_thread(verb, target, **arguments)

    async def rebuild(self, report: Report) -> Rebuilt:
        return await asyncio.to_thread(rebuild, self._ledger, report, patience_s=PATIENCE_S)


def read_arguments(verb: Verb, body: bytes) -> dict[str, object]:
    """Raise `msgspec.MsgspecError` unless they are arguments of the verb."""
    return msgspec.structs.asdict(_arguments_of(verb).decode(body))


def read_result(verb: Verb, body: bytes) -> object:
    return _result_of(verb).decode(body)


@cache
def _arguments_of(verb: Verb) -> msgspec.json.Decoder[msgspec.Struct]:
    hints = get_type_hints(verb)
    _, *parameters = inspect.signature(verb).parameters.values()
    fields = [
        (
            each.name,
            hints[each.name],
            msgspec.NODEFAULT if each.default is each.empty else each.default,
        )
        for each in parameters
    ]
    arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(arguments)


@cache
def _result_of(verb: Verb) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(get_type_hints(verb)["return"])

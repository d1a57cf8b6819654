"""The scopes of tokens: which kinds of requests they may make."""

from typing import Literal, get_args

Scope = Literal[
    "jobs:register",
    "jobs:report",
    "jobs:child",
    "jobs:read",
    "events:read",
    "jobs:cancel",
    "jobs:label",
    "tokens:manage",
    "resources:read",
    "resources:write",
    "ledger:read",
    "ledger:operate",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

"""The roles that accounts may have."""

from typing import Literal, get_args

Role = Literal["user", "auditor", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

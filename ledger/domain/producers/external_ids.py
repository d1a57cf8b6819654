"""The ids of jobs in the systems that they come from."""

from typing import NamedTuple


class ExternalId(NamedTuple):
    """An id that an account's job has at its source; no two of its jobs have the same."""

    owner: str
    source: str
    external_id: str

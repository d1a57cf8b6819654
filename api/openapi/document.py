"""The API's description as JSON: `openapi.yaml`, schemas of bodies, names of operations."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import orjson

from api.openapi.components import describe_bodies
from ledger.domain.operations import OPERATIONS

FILE = Path(__file__).with_name("openapi.yaml")
SHARED = "x-shared"
"""Where the file keeps what its merge keys insert elsewhere; nothing else needs it."""


@cache
def document_json() -> bytes:
    """Return the document for programs, with all that is shared in its place.

    What the file says about a schema adds to what the structs of bodies say, and overrides it.
    """
    read: Any = msgspec.yaml.decode(FILE.read_bytes())
    del read[SHARED]
    schemas, written = describe_bodies(), read["components"]["schemas"]
    written["Operation"] |= {"examples": list(OPERATIONS), "description": _titles()}
    read["components"]["schemas"] = {
        name: {**schemas.get(name, {}), **written.get(name, {})}
        for name in sorted(schemas.keys() | written.keys())
    }
    return orjson.dumps(read)


def _titles() -> str:
    ours = (f"- `{each.name}`: {each.title}." for each in OPERATIONS.values())
    return "\n".join([*ours, "- Any other: what a producer does."])

"""The description of `/api/v1` as JSON: `v1.yaml`, and the schemas of its bodies."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import orjson

from api.openapi.components import describe_structs
from api.openapi.document import SHARED
from api.text.urls import V1_ROOT
from api.v1.problem_kinds import PROBLEMS
from api.v1.schemas import BODIES

FILE = Path(__file__).with_name("v1.yaml")


@cache
def v1_document_json() -> bytes:
    """Return the document for programs. What the file says about a schema adds to the struct's."""
    read: Any = msgspec.yaml.decode(FILE.read_bytes())
    del read[SHARED]
    schemas, written = describe_structs(BODIES), read["components"]["schemas"]
    types = [f"{V1_ROOT}/problems/{name}" for name in PROBLEMS]
    written["Problem"]["properties"]["type"] |= {"enum": types}
    read["components"]["schemas"] = {
        name: {**schemas.get(name, {}), **written.get(name, {})}
        for name in sorted(schemas.keys() | written.keys())
    }
    return orjson.dumps(read)

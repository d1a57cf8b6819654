"""The API's own description, `openapi.yaml`, as JSON."""

from functools import cache
from pathlib import Path

import msgspec
import orjson

FILE = Path(__file__).with_name("openapi.yaml")
SHARED = "x-shared"
"""Where the file keeps what its merge keys put elsewhere; of no use to anybody else."""


@cache
def document_json() -> bytes:
    """The document for programs, with all that is shared in its place."""
    read = msgspec.yaml.decode(FILE.read_bytes(), type=dict[str, object])
    del read[SHARED]
    return orjson.dumps(read)

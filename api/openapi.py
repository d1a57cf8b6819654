"""The API's own description, `openapi.yaml`: as JSON for programs, and typed for the page."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import orjson
from msgspec import UNSET, Struct, UnsetType, field

FILE = Path(__file__).with_name("openapi.yaml")
SHARED = "x-shared"
"""Where the file keeps what its merge keys put elsewhere; of no use to anybody else."""

R = TypeVar("R", bound="Referring")


class Referring(Struct, frozen=True, rename="camel", kw_only=True):
    """What may be a reference to a component instead; `ref` is its pointer."""

    ref: str | None = field(default=None, name="$ref")
    description: str = ""

    @property
    def component(self) -> str:
        """The name of the component that is referred to."""
        return (self.ref or "").rpartition("/")[2]


class Schema(Referring, frozen=True, kw_only=True):
    """As much of a JSON Schema as the file makes use of."""

    type: str | list[str] | None = None
    format: str | None = None
    enum: list[object] | None = None
    const: object | UnsetType = UNSET
    default: object | UnsetType = UNSET
    pattern: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    multiple_of: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    items: "Schema | None" = None
    properties: dict[str, "Schema"] = {}
    required: list[str] = []
    additional_properties: "bool | Schema" = True
    property_names: "Schema | None" = None
    any_of: list["Schema"] = []
    one_of: list["Schema"] = []
    examples: list[object] = []

    @property
    def alternatives(self) -> list["Schema"]:
        return self.any_of or self.one_of


class Example(Struct, frozen=True):
    """A value, and what it is an example of."""

    value: object
    summary: str = ""


class Content(Struct, frozen=True, rename="camel"):
    """A body of one media type."""

    schema: Schema
    example: object | UnsetType = UNSET
    examples: dict[str, Example] = {}


class Parameter(Referring, frozen=True, kw_only=True):
    """A part of a request besides its body; `place` is path, query, header or cookie."""

    name: str = ""
    place: str = field(default="", name="in")
    required: bool = False
    schema: Schema = Schema()
    example: object | UnsetType = UNSET


class Header(Referring, frozen=True, kw_only=True):
    """A header of an answer."""

    required: bool = False
    schema: Schema = Schema()


class Response(Referring, frozen=True, kw_only=True):
    """An answer, by media type; a shared one says its status."""

    status: str = field(default="", name="x-status")
    headers: dict[str, Header] = {}
    content: dict[str, Content] = {}


class RequestBody(Struct, frozen=True):
    """The body of a request, by media type."""

    content: dict[str, Content]
    description: str = ""
    required: bool = False


class Operation(Struct, frozen=True, rename="camel"):
    """A method of a URL."""

    operation_id: str
    tags: list[str]
    summary: str
    responses: dict[str, Response]
    description: str = ""
    parameters: list[Parameter] = []
    request_body: RequestBody | None = None
    security: list[dict[str, list[str]]] | None = None


class PathItem(Struct, frozen=True):
    """A URL, and what all its methods take."""

    parameters: list[Parameter] = []
    get: Operation | None = None
    put: Operation | None = None
    post: Operation | None = None
    delete: Operation | None = None

    @property
    def operations(self) -> Iterator[tuple[str, Operation]]:
        """Each with its method."""
        for method in ("get", "put", "post", "delete"):
            operation: Operation | None = getattr(self, method)
            if operation is not None:
                yield method.upper(), operation


class Tag(Struct, frozen=True):
    """A chapter."""

    name: str
    description: str


class SecurityScheme(Struct, frozen=True):
    """A way to say who asks."""

    type: str
    description: str
    scheme: str = ""
    place: str = field(default="", name="in")
    name: str = ""


class Components(Struct, frozen=True, rename="camel"):
    """What others refer to, by name."""

    security_schemes: dict[str, SecurityScheme]
    parameters: dict[str, Parameter]
    headers: dict[str, Header]
    responses: dict[str, Response]
    schemas: dict[str, Schema]


class Info(Struct, frozen=True):
    """The document about itself."""

    title: str
    version: str
    summary: str
    description: str


class Document(Struct, frozen=True):
    """The whole description."""

    info: Info
    security: list[dict[str, list[str]]]
    tags: list[Tag]
    paths: dict[str, PathItem]
    components: Components


def resolved(referring: R, components: Mapping[str, R]) -> R:
    """The thing itself, if it is a reference to one of the components."""
    return referring if referring.ref is None else components[referring.component]


@cache
def document() -> Document:
    return msgspec.convert(_read(), Document)


@cache
def document_json() -> bytes:
    """The document for programs, with all that is shared in its place."""
    return orjson.dumps(_read())


def _read() -> dict[str, object]:
    read = msgspec.yaml.decode(FILE.read_bytes(), type=dict[str, object])
    del read[SHARED]
    return read

"""Schemas as HTML: what a value may be in a line, and what an object's keys are in a list."""

from collections.abc import Iterator
from html import escape

import orjson
from markdown_it import MarkdownIt
from msgspec import UNSET

from api.openapi import Schema

_MARKDOWN = MarkdownIt("commonmark", {"html": False})


def prose(text: str) -> str:
    """Markdown as HTML; HTML in it is shown as it is written."""
    html: str = _MARKDOWN.render(text)
    return html


def code(value: object) -> str:
    """A value as it stands in JSON."""
    return f"<code>{escape(orjson.dumps(value).decode())}</code>"


def example(caption: str, value: object) -> str:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return f"<details><summary>{escape(caption)}</summary><pre>{escape(text)}</pre></details>"


def kind(schema: Schema) -> str:
    """What a value may be, in a line."""
    if schema.ref is not None:
        name = escape(schema.component)
        return f'<a href="#schema-{name}">{name}</a>'
    if schema.const is not UNSET:
        return code(schema.const)
    if schema.enum is not None:
        return ", ".join(map(code, schema.enum))
    if schema.alternatives:
        return " or ".join(kind(each) for each in schema.alternatives)
    return ", ".join([_type(schema), *_bounds(schema)])


def definition(schema: Schema) -> str:
    """What a value may be, with all keys of its objects."""
    return f"<p>{kind(schema)}</p>{prose(schema.description)}{''.join(_within(schema))}"


def _type(schema: Schema) -> str:
    types = [schema.type] if isinstance(schema.type, str) else schema.type or ["anything"]
    return " or ".join(_one_type(schema, each) for each in types)


def _one_type(schema: Schema, name: str) -> str:
    if name == "array":
        return "list" if schema.items is None else f"list of {kind(schema.items)}"
    if name == "object" and isinstance(schema.additional_properties, Schema):
        return f"object with {kind(schema.additional_properties)} by name"
    return escape(name)


def _bounds(schema: Schema) -> Iterator[str]:
    """What else a value must be like."""
    if schema.format is not None:
        yield escape(schema.format)
    if schema.pattern is not None:
        yield f"like <code>{escape(schema.pattern)}</code>"
    yield from _between(schema.minimum, schema.maximum, "")
    if schema.multiple_of is not None:
        yield f"a multiple of {schema.multiple_of}"
    yield from _between(schema.min_length, schema.max_length, " characters")
    yield from _between(schema.min_items, schema.max_items, " entries")
    if schema.default is not UNSET:
        yield f"{code(schema.default)} if not given"


def _between(least: float | None, most: float | None, unit: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{least} to {most}{unit}"
    elif least is not None:
        yield f"{least}{unit} or more"
    elif most is not None:
        yield f"{most}{unit} or less"


def _within(schema: Schema) -> Iterator[str]:
    """The keys of the objects in it that are no components, which tell of theirs elsewhere."""
    if schema.properties:
        yield f"<dl>{''.join(_key(schema, name) for name in schema.properties)}</dl>"
    if schema.items is not None:
        yield from _within(schema.items)
    if isinstance(schema.additional_properties, Schema):
        yield from _within(schema.additional_properties)
    for alternative in schema.alternatives:
        yield from _within(alternative)


def _key(schema: Schema, name: str) -> str:
    value = schema.properties[name]
    optional = "" if name in schema.required else " <small>may be left out</small>"
    return (
        f"<dt><code>{escape(name)}</code>{optional}</dt>"
        f"<dd><p>{kind(value)}</p>{prose(value.description)}{''.join(_within(value))}</dd>"
    )

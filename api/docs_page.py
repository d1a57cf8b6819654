"""The API's description as a page to read: one HTML document, without a script."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path

from api.docs_operation import method_html, operation_html, parameter_html, response_html
from api.docs_schema import definition, example, kind, prose
from api.openapi import Components, Document, Header, Operation, Response, SecurityScheme, document

STYLE = Path(__file__).with_name("docs_style.css")
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"
"""What the page needs of a browser: its stylesheet, and nothing else."""


@cache
def docs_page() -> bytes:
    """The page of this API, in UTF-8; its stylesheet is `style.css` beside it."""
    return page_html(document()).encode()


def page_html(described: Document) -> str:
    title, version = escape(described.info.title), escape(described.info.version)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: API {version}</title>
<link rel="stylesheet" href="/api/docs/style.css">
</head>
<body>
<nav aria-label="Contents">{_contents(described)}</nav>
<main>
<header>
<h1>{title} <small>API {version}</small></h1>
<p class="lead">{escape(described.info.summary)}</p>
{prose(described.info.description)}
<p><a href="/api/2.0/openapi.json">The same as an OpenAPI document</a>, for programs.</p>
</header>
{_credentials(described.components.security_schemes)}
{"".join(_chapters(described))}
{_headers(described.components)}
{_shared_answers(described.components.responses)}
{_schemas(described.components)}
</main>
</body>
</html>
"""


def _contents(described: Document) -> str:
    chapters = "".join(
        f'<li><a href="#{_chapter_id(tag.name)}">{escape(tag.name)}</a>'
        f"<ul>{''.join(_entries(described, tag.name))}</ul></li>"
        for tag in described.tags
    )
    return (
        '<ul><li><a href="#credentials">Credentials</a></li>'
        f'{chapters}<li><a href="#headers">Headers</a></li>'
        '<li><a href="#answers">Answers that many have</a></li>'
        '<li><a href="#schemas">Schemas</a></li></ul>'
    )


def _entries(described: Document, tag: str) -> Iterator[str]:
    for _, method, operation in _operations(described, tag):
        name, summary = escape(operation.operation_id), escape(operation.summary)
        yield f'<li><a href="#{name}">{method_html(method)} {summary}</a></li>'


def _operations(described: Document, tag: str) -> Iterator[tuple[str, str, Operation]]:
    """The operations of a chapter, each with its URL and method."""
    for path, item in described.paths.items():
        for method, operation in item.operations:
            if tag in operation.tags:
                yield path, method, operation


def _chapter_id(tag: str) -> str:
    return f"chapter-{escape(tag.lower())}"


def _chapters(described: Document) -> Iterator[str]:
    for tag in described.tags:
        yield f'<section id="{_chapter_id(tag.name)}"><h2>{escape(tag.name)}</h2>'
        yield prose(tag.description)
        for path, method, operation in _operations(described, tag.name):
            yield operation_html(described, path, method, operation)
        yield "</section>"


def _credentials(schemes: Mapping[str, SecurityScheme]) -> str:
    said = "".join(
        f'<dt id="scheme-{escape(name)}">{escape(name)} '
        f"<code>{escape(_carrier(scheme))}</code></dt>"
        f"<dd>{prose(scheme.description)}</dd>"
        for name, scheme in schemes.items()
    )
    return _section("credentials", "Credentials", said)


def _carrier(scheme: SecurityScheme) -> str:
    """What carries the credentials."""
    match scheme.type, scheme.place:
        case "http", _:
            return f"Authorization: {scheme.scheme.capitalize()}"
        case _, "cookie":
            return f"Cookie: {scheme.name}"
        case _:
            return scheme.name


def _headers(components: Components) -> str:
    """The headers of requests, then those of answers."""
    taken = "".join(
        f'<div id="parameter-{escape(name)}">{parameter_html(parameter)}</div>'
        for name, parameter in components.parameters.items()
        if parameter.place == "header"
    )
    answered = "".join(_answered(name, each) for name, each in components.headers.items())
    return _section("headers", "Headers", taken + answered)


def _answered(name: str, header: Header) -> str:
    return (
        f'<div id="header-{escape(name)}"><dt>{escape(name)} <small>of an answer</small></dt>'
        f"<dd>{prose(header.description)}<p>{kind(header.schema)}</p></dd></div>"
    )


def _shared_answers(responses: Mapping[str, Response]) -> str:
    said = "".join(
        f'<div id="answer-{escape(name)}">{response_html(response.status, response)}</div>'
        for name, response in responses.items()
    )
    return _section("answers", "Answers that many have", said)


def _schemas(components: Components) -> str:
    said = "".join(
        f'<article id="schema-{escape(name)}"><h3><a href="#schema-{escape(name)}">'
        f"{escape(name)}</a></h3>{definition(schema)}{_examples(schema.examples)}</article>"
        for name, schema in components.schemas.items()
    )
    return f'<section id="schemas"><h2>Schemas</h2>{said}</section>'


def _examples(values: Iterable[object]) -> str:
    return "".join(example("Example", value) for value in values)


def _section(name: str, title: str, entries: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2><dl>{entries}</dl></section>'

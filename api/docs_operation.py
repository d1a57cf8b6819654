"""One operation of the API as HTML: what it takes and what it answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from http import HTTPStatus

from msgspec import UNSET

from api.docs_schema import definition, example, kind, prose
from api.openapi import Content, Document, Header, Operation, Parameter, Response, resolved

PLACES = {"path": "in the URL", "query": "in the query", "header": "header", "cookie": "cookie"}


def operation_html(described: Document, path: str, method: str, operation: Operation) -> str:
    name = escape(operation.operation_id)
    parameters = [*described.paths[path].parameters, *operation.parameters]
    return (
        f'<article id="{name}"><h3><a href="#{name}">{escape(operation.summary)}</a></h3>'
        f'<p class="url">{method_html(method)} <code>{_breakable(path)}</code></p>'
        f"{prose(operation.description)}{_credentials(described, operation)}"
        f"{_parameters(described, parameters)}{_body(operation)}"
        f"{_answers(operation.responses)}</article>"
    )


def method_html(method: str) -> str:
    return f'<b class="method {method.lower()}">{method}</b>'


def parameter_html(parameter: Parameter) -> str:
    """An entry of a list of parameters."""
    needed = ", required" if parameter.required else ""
    given = parameter.example
    such_as = "" if given is UNSET else f", such as <code>{escape(str(given))}</code>"
    return (
        f"<dt><code>{escape(parameter.name)}</code> "
        f"<small>{PLACES[parameter.place]}{needed}</small></dt>"
        f"<dd>{prose(parameter.description)}<p>{kind(parameter.schema)}{such_as}</p></dd>"
    )


def response_html(status: str, response: Response) -> str:
    """An entry of a list of answers."""
    return (
        f"<dt><b>{escape(status)}</b> {_phrase(status)}</dt>"
        f"<dd>{prose(response.description)}{_headers(response.headers)}"
        f"{''.join(_contents(response.content))}</dd>"
    )


def _phrase(status: str) -> str:
    return escape(HTTPStatus(int(status)).phrase)


def _breakable(path: str) -> str:
    """A URL that a narrow window may break after a slash."""
    return escape(path).replace("/", "/<wbr>")


def _credentials(described: Document, operation: Operation) -> str:
    ways = described.security if operation.security is None else operation.security
    if not any(ways):
        return "<p>Needs no credentials.</p>"
    said = " or ".join(_together(way) if way else "none" for way in ways)
    return f"<p>Credentials: {said}.</p>"


def _together(way: Iterable[str]) -> str:
    return " with ".join(f'<a href="#scheme-{escape(name)}">{escape(name)}</a>' for name in way)


def _parameters(described: Document, parameters: Sequence[Parameter]) -> str:
    """Headers that many operations take are told of once, elsewhere."""
    known = described.components.parameters
    shared = {each.component for each in parameters if _is_shared_header(described, each)}
    own = [resolved(each, known) for each in parameters if each.component not in shared]
    listed = "".join(map(parameter_html, own))
    links = ", ".join(
        f'<a href="#parameter-{escape(name)}">{escape(known[name].name)}</a>'
        for name in sorted(shared)
    )
    listed = listed and f"<h4>Parameters</h4><dl>{listed}</dl>"
    return listed + (links and f"<p>Headers taken: {links}.</p>")


def _is_shared_header(described: Document, parameter: Parameter) -> bool:
    known = described.components.parameters
    return parameter.ref is not None and known[parameter.component].place == "header"


def _body(operation: Operation) -> str:
    body = operation.request_body
    if body is None:
        return ""
    needed = "" if body.required else " <small>may be empty</small>"
    return f"<h4>Body{needed}</h4>{prose(body.description)}{''.join(_contents(body.content))}"


def _answers(responses: Mapping[str, Response]) -> str:
    """Its own answers in full; those that many operations have are told of once, elsewhere."""
    own = {status: each for status, each in responses.items() if each.ref is None}
    shared = {status: each for status, each in responses.items() if each.ref is not None}
    listed = "".join(response_html(status, own[status]) for status in sorted(own))
    links = ", ".join(
        f'<a href="#answer-{escape(shared[status].component)}">{status}&nbsp;{_phrase(status)}</a>'
        for status in sorted(shared)
    )
    also = "Also" if own else "Only"
    listed = listed and f"<dl>{listed}</dl>"
    links = links and f'<p class="also">{also} {links}.</p>'
    return f"<h4>Answers</h4>{listed}{links}"


def _headers(headers: Mapping[str, Header]) -> str:
    said = ", ".join(_header(name, header) for name, header in headers.items())
    return f"<p>{said}</p>" if said else ""


def _header(name: str, header: Header) -> str:
    if header.ref is None:
        return f"<code>{escape(name)}</code>: {escape(header.description)}"
    return f'<a href="#header-{escape(header.component)}"><code>{escape(name)}</code></a>'


def _contents(content: Mapping[str, Content]) -> Iterator[str]:
    for media_type, each in content.items():
        yield f'<div class="body"><p class="type">{escape(media_type)}</p>{definition(each.schema)}'
        if each.example is not UNSET:
            yield example("Example", each.example)
        for named in each.examples.values():
            yield example(f"Example: {named.summary}", named.value)
        yield "</div>"

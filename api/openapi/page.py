"""The API's description as a page to read: the whole OpenAPI document, with links.

It is one HTML document without a script. Descriptions are Markdown; schemas are shown in YAML, in
which each reference to a component is a link.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import yaml  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

from api.http.responses import JsonObject
from api.openapi.document import document_json
from api.text.urls import API_ROOT

STYLE = Path(__file__).with_name("style.css")
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"
"""Lets the page load its stylesheet, and nothing else."""

METHODS = ("get", "put", "post", "delete")
COMPONENTS = {
    "securitySchemes": ("scheme", "Credentials"),
    "parameters": ("parameter", "Parameters"),
    "headers": ("header", "Headers of answers"),
    "responses": ("answer", "Answers of many operations"),
    "schemas": ("schema", "Schemas"),
}
"""The kinds of components: the beginning of their anchors, and the title of their chapter."""

_MARKDOWN = MarkdownIt("commonmark", {"html": False})
_REFERENCE = re.compile(r"(\{\$ref: )?'#/components/(\w+)/([\w-]+)'(?(1)\})")


@cache
def docs_page() -> bytes:
    """Return the page of this API in UTF-8; its stylesheet is `style.css` beside it."""
    return page_html(orjson.loads(document_json())).encode()


def page_html(document: JsonObject) -> str:
    described: Any = document
    info = described["info"]
    title, version = escape(info["title"]), escape(info["version"])
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
<nav aria-label="Contents"><ul>{"".join(_contents(described))}</ul></nav>
<main>
<h1>{title} <small>API {version}</small></h1>
<p class="lead">{escape(info["summary"])}</p>
{_prose(info)}
<p><a href="{API_ROOT}/openapi.json">The same as an OpenAPI document</a>, for programs.</p>
{"".join(_chapter(described, tag) for tag in described["tags"])}
{"".join(_components(described, kind) for kind in COMPONENTS)}
</main>
</body>
</html>
"""


# The whole


def _contents(described: Any) -> Iterator[str]:
    for tag in described["tags"]:
        entries = "".join(_entry(*each) for each in _operations(described, tag))
        yield f"<li>{_link(_chapter_id(tag), escape(tag['name']))}<ul>{entries}</ul></li>"
    for anchor, title in COMPONENTS.values():
        yield f"<li>{_link(f'{anchor}s', title)}</li>"


def _entry(_: str, method: str, operation: Any) -> str:
    summary = escape(operation["summary"])
    return f"<li>{_link(operation['operationId'], f'{_badge(method)} {summary}')}</li>"


def _chapter(described: Any, tag: Any) -> str:
    operations = "".join(_operation(described, *each) for each in _operations(described, tag))
    return (
        f'<section id="{_chapter_id(tag)}"><h2>{escape(tag["name"])}</h2>'
        f"{_prose(tag)}{operations}</section>"
    )


def _chapter_id(tag: Any) -> str:
    return f"chapter-{escape(tag['name'].lower())}"


def _operations(described: Any, tag: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the operations of a chapter, each with its URL and method."""
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item and tag["name"] in item[method]["tags"]:
                yield path, method, item[method]


def _components(described: Any, kind: str) -> str:
    anchor, title = COMPONENTS[kind]
    entries = "".join(
        _answer_article(name, each)
        if kind == "responses"
        else _article(f"{anchor}-{name}", name, _schema(each))
        for name, each in described["components"][kind].items()
    )
    return f'<section id="{anchor}s"><h2>{title}</h2>{entries}</section>'


def _answer_article(name: str, answer: Any) -> str:
    return _article(f"answer-{name}", f"{answer['x-status']} {name}", _answer(answer))


# An operation


def _operation(described: Any, path: str, method: str, operation: Any) -> str:
    parameters = [*described["paths"][path].get("parameters", []), *operation.get("parameters", [])]
    ways = operation.get("security", described["security"])
    url = escape(path).replace("/", "/<wbr>")
    return _article(
        operation["operationId"],
        operation["summary"],
        f'<p class="url">{_badge(method)}<code>{url}</code></p>{_prose(operation)}'
        f"<p>Credentials: {' or '.join(map(_credentials, ways)) or 'none'}.</p>"
        f"{_parameters(described, parameters)}{_body(operation.get('requestBody'))}"
        f"{_answers(operation['responses'])}",
    )


def _credentials(way: Iterable[str]) -> str:
    return " with ".join(_link(f"scheme-{name}", escape(name)) for name in way) or "none"


def _parameters(described: Any, parameters: Iterable[Any]) -> str:
    """Put each into a row of a table; only name headers that many operations take."""
    known = described["components"]["parameters"]
    rows, headers = [], []
    for parameter in parameters:
        name = _referred(parameter)
        if name is not None and known[name]["in"] == "header":
            headers.append(_link(f"parameter-{name}", escape(known[name]["name"])))
        else:
            rows.append(_parameter(parameter if name is None else known[name]))
    return (
        ("<h4>Parameters</h4>" if rows or headers else "")
        + (f"<table>{''.join(rows)}</table>" if rows else "")
        + (f"<p>Headers: {', '.join(headers)}.</p>" if headers else "")
    )


def _parameter(parameter: Any) -> str:
    required = ", required" if parameter.get("required") else ""
    return (
        f"<tr><th><code>{escape(parameter['name'])}</code> "
        f"<small>{parameter['in']}{required}</small></th>"
        f"<td>{_prose(parameter)}{_yaml(_bare(parameter, 'name', 'in', 'required'))}</td></tr>"
    )


def _body(body: Any) -> str:
    if body is None:
        return ""
    optional = "" if body.get("required") else " <small>may be empty</small>"
    return f"<h4>Body{optional}</h4>{_prose(body)}{_content(body['content'])}"


def _answers(responses: Mapping[str, Any]) -> str:
    """Show the operation's own answers in full; only name those that many operations have."""
    own, shared = [], []
    for status, answer in sorted(responses.items()):
        name, phrase = _referred(answer), escape(HTTPStatus(int(status)).phrase)
        if name is None:
            own.append(f"<h5>{escape(status)} {phrase}</h5>{_answer(answer)}")
        else:
            shared.append(_link(f"answer-{name}", f"{escape(status)}&nbsp;{phrase}"))
    links = f"<p>{'Also' if own else 'Only'} {', '.join(shared)}.</p>" if shared else ""
    return f"<h4>Answers</h4>{''.join(own)}{links}"


def _answer(answer: Any) -> str:
    headers = answer.get("headers", {})
    return f"{_prose(answer)}{_content(answer.get('content', {}))}" + (
        _folded("Headers", _yaml(headers)) if headers else ""
    )


def _content(content: Mapping[str, Any]) -> str:
    """Show bodies by media type."""
    return "".join(
        f"{_yaml({media_type: each['schema']})}{_examples(each)}"
        for media_type, each in content.items()
    )


# Pieces


def _article(anchor: str, title: str, html: str) -> str:
    return f'<article id="{escape(anchor)}"><h3>{_link(anchor, escape(title))}</h3>{html}</article>'


def _link(anchor: str, html: str) -> str:
    return f'<a href="#{escape(anchor)}">{html}</a>'


def _badge(method: str) -> str:
    return f'<b class="{method}">{method.upper()}</b>'


def _prose(node: Any) -> str:
    """Render a description; markup in it is shown as it is written."""
    html: str = _MARKDOWN.render(node.get("description", ""))
    return html


def _schema(node: Any) -> str:
    return f"{_prose(node)}{_yaml(_bare(node, 'examples'))}{_examples(node)}"


def _examples(node: Any) -> str:
    """Show in JSON all examples of a schema or body, or its only one."""
    given = node.get("examples", [node["example"]] if "example" in node else [])
    named = given.values() if isinstance(given, dict) else ({"value": each} for each in given)
    return "".join(
        _folded(each.get("summary", "Example"), f"<pre>{escape(_json(each['value']))}</pre>")
        for each in named
    )


def _folded(summary: str, html: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def _referred(node: Any) -> str | None:
    """Return the name of the component that a reference points to; None if it is none."""
    return node["$ref"].rpartition("/")[2] if "$ref" in node else None


def _bare(node: Any, *but: str) -> JsonObject:
    """Return the keys that are not shown elsewhere."""
    return {key: value for key, value in node.items() if key not in {"description", *but}}


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _yaml(value: object) -> str:
    text = yaml.dump(
        value, Dumper=yaml.CSafeDumper, allow_unicode=True, default_flow_style=None, sort_keys=False
    )
    return f"<pre>{_REFERENCE.sub(_component, escape(text, quote=False))}</pre>"


def _component(found: re.Match[str]) -> str:
    _, kind, name = found.groups()
    return _link(f"{COMPONENTS[kind][0]}-{name}", name)

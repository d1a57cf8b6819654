"""The page of the API's description: complete, without scripts, under a strict content policy."""

from html.parser import HTMLParser

import orjson

from api.openapi.document import document_json
from api.openapi.page import METHODS, page_html
from tests.api.calling import ROOT, Api

DOCUMENT = orjson.loads(document_json())
COMPONENTS = DOCUMENT["components"]
OPERATIONS = {
    item[method]["operationId"]
    for item in DOCUMENT["paths"].values()
    for method in METHODS
    if method in item
}


async def test_the_page_needs_nothing_but_its_stylesheet(api: Api) -> None:
    """The page is answered to whoever asks; its policy lets nothing in but the stylesheet."""
    async with api.client.get("/api/docs/") as page:
        assert (page.status, page.content_type) == (200, "text/html")
        policy = page.headers["Content-Security-Policy"]
        text = await page.text()
    assert policy.startswith("default-src 'none'; style-src 'self'")
    seen = Seen(text)
    assert not {"script", "style", "iframe", "img"} & seen.tags
    assert not [name for name in seen.attributes if name == "style" or name.startswith("on")]
    (style,) = seen.linked
    async with api.client.get(style) as sheet:
        assert (sheet.status, sheet.content_type) == (200, "text/css")


async def test_the_page_describes_everything(api: Api) -> None:
    """Each operation and each component has its place on the page, and every link leads to one."""
    async with api.client.get("/api/docs/") as page:
        seen = Seen(await page.text())
    assert seen.ids >= OPERATIONS
    assert {f"schema-{name}" for name in COMPONENTS["schemas"]} <= seen.ids
    assert {f"answer-{name}" for name in COMPONENTS["responses"]} <= seen.ids
    assert seen.targets - seen.ids == set()
    assert len(seen.ids) == seen.ids_given


def test_the_page_shows_markup_as_text() -> None:
    """What the document says is shown, never run, wherever it stands."""
    evil = "</code><script>alert(1)</script>"
    said = {"summary": evil, "description": evil}
    jobs = DOCUMENT["paths"][f"{ROOT}/jobs/"]["get"]
    schema = {"description": evil, "pattern": evil, "examples": [evil]}
    described = {
        **DOCUMENT,
        "info": {**DOCUMENT["info"], "title": evil, **said},
        "paths": {f"/{evil}/": {"get": {**jobs, "operationId": evil, **said}}},
        "components": {**COMPONENTS, "schemas": {evil: schema}},
    }
    text = page_html(described)
    assert "script" not in Seen(text).tags
    assert text.count("&lt;script&gt;") >= 8


class Seen(HTMLParser):
    """What there is on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: set[str] = set()
        self.ids_given = 0
        self.targets: set[str] = set()
        self.linked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(given)
        if "id" in given:
            self.ids.add(str(given["id"]))
            self.ids_given += 1
        href = given.get("href") or ""
        if href.startswith("#"):
            self.targets.add(href[1:])
        if tag == "link":
            self.linked.append(href)

"""The files of the page: one document for every address, and a strict content policy."""

import gzip
from pathlib import Path

from api.resources.page_files import FOLDER, POLICY
from tests.api.calling import ALICE, Api, authorization
from tests.harness.cases import in_turn

ADDRESSES = (
    "/",
    "/login",
    "/jobs",
    "/jobs/",
    "/jobs/53f94b39-2bb6-4aca-80e7-c3ffa8d0224f",
    "/drives",
    "/drives/53f94b39-2bb6-4aca-80e7-c3ffa8d0224f",
    "/servers",
    "/activity",
    "/retention",
    "/ledger",
    "/accounts",
)
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())


@in_turn("address", ADDRESSES)
async def test_each_address_has_the_document(api: Api, address: str):
    """Nobody needs a login for it; and it may load and do nothing but its own."""
    async with api.client.get(f"{address}?state=started") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "no-cache"
        assert await answer.read() == (FOLDER / "index.html").read_bytes()


@in_turn("file", FILES)
async def test_each_file_is_served(api: Api, file: Path):
    """As it is, compressed if that is asked for, and not again if the browser has it."""
    url = f"/page/{file.relative_to(FOLDER).as_posix()}"
    async with api.client.get(url, headers={"Accept-Encoding": "identity"}) as plain:
        assert await plain.read() == file.read_bytes()
        assert plain.headers["X-Content-Type-Options"] == "nosniff"
    tag = plain.headers["ETag"]
    async with api.client.get(url, headers={"Accept-Encoding": "gzip"}, compress=False) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["ETag"] != tag
    headers = {"Accept-Encoding": "identity", "If-None-Match": tag}
    async with api.client.get(url, headers=headers) as again:
        assert again.status == 304
        kept = ("Cache-Control", "ETag", "Vary")
        assert {name: again.headers[name] for name in kept} == {
            "Cache-Control": "no-cache",
            "ETag": tag,
            "Vary": "Accept-Encoding",
        }


@in_turn(
    "path", ["/page/", "/page/nothing.js", "/page/../app.py", "/page/%2e%2e/app.py", "/nothing"]
)
async def test_nothing_else_is_served(api: Api, path: str):
    """No path leads out of the page's folder."""
    headers = {"Authorization": authorization(ALICE)}
    async with api.client.get(path, headers=headers) as answer:
        assert answer.status == 404


async def test_nothing_is_sent_to_the_page(api: Api):
    """It is read only."""
    async with api.client.post("/jobs") as answer:
        assert answer.status == 405


def test_it_loads_little() -> None:
    """All scripts together are at most 62 kB, compressed as they are sent."""
    scripts = [path.read_bytes() for path in FILES if path.suffix == ".js"]
    assert sum(len(gzip.compress(script)) for script in scripts) <= 62_000


def test_nothing_is_inline() -> None:
    """No script, style or handler is written into the document: a browser would refuse it."""
    document = (FOLDER / "index.html").read_text()
    assert "<script>" not in document
    assert "style=" not in document
    assert " on" not in document.replace(" only", "")


def test_text_is_never_inserted_as_markup() -> None:
    """None of our scripts puts a text into the page other than as text."""
    for path in FILES:
        if path.suffix == ".js" and path.parent == FOLDER:
            script = path.read_text()
            for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
                assert forbidden not in script, path

"""What the documents name is there: files, headings, functions, sections of the contract."""

import re
from pathlib import Path, PurePosixPath

import pytest

from tests.readme.reading import FOLDERS, ROOT, anchors, blocks, documents, prose, quoted, text_of

README_WORDS = 1_500
MAPPED = {
    "api": ("", "http", "resources"),
    "ledger": ("", "domain", "store"),
    "projections": ("",),
}
"""The folders of which each README names everything that is in them."""

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"[\w.@-]+(?:/[\w.@-]+)*/?")
SOURCE = re.compile(r".+\.(?:py|md|sql|yaml|jsonl?|js|sh|service|env|conf)")
NO_PATHS = {"10.0.0.0/8", "application/json", "archive/", "pools/", "share/job-ledger"}
STORED_NAME = re.compile(r"[a-z-]+/\d+")
CALLED = re.compile(r"\b(?:(\w+)\.)?(\w+)\(\)")
CAMEL = re.compile(r"\b(?:[A-Z][a-z]+){2,}\b")
DEFINED = re.compile(r"^\s*(?:(?:async )?def|class) (\w+)|^(\w+) = ", re.MULTILINE)
CITED = re.compile(r"CONTRACT\.md (.+)")


def defined() -> set[str]:
    """The names of all functions, classes and constants of the code, but for the tests."""
    sources = (path for folder in FOLDERS[:-1] for path in folder.rglob("*.py"))
    found = (DEFINED.findall(path.read_text(encoding="utf-8")) for path in sources)
    return {function or constant for each in found for function, constant in each}


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    for target in LINK.findall(prose(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / document).parent / path if path else ROOT / document
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(str(found.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("document", documents())
def test_every_path_is_there(document: str) -> None:
    """A path is looked for from the root of the project and from the document's own folder."""
    missing = [
        text
        for text in quoted(document)
        if PATH.fullmatch(text) and ("/" in text or SOURCE.fullmatch(text))
        if text not in NO_PATHS and not STORED_NAME.fullmatch(text)
        if not any((folder / text).exists() for folder in (ROOT, (ROOT / document).parent))
    ]
    assert missing == []


@pytest.mark.parametrize("document", documents())
def test_every_function_and_class_is_there(document: str) -> None:
    """In text between backticks, and in drawings."""
    code = "\n".join((*quoted(document), blocks(document, "mermaid")))
    called = {name for names in CALLED.findall(code) for name in names if name}
    named = called | {word for text in code.split("\n") for word in CAMEL.findall(text)}
    assert sorted(named - defined()) == []


@pytest.mark.parametrize(
    ("package", "folder"), [(name, folder) for name in MAPPED for folder in MAPPED[name]]
)
def test_a_map_names_all_that_is_in_its_folder(package: str, folder: str) -> None:
    named = set(quoted(f"{package}/README.md"))
    there = {
        str(PurePosixPath(folder) / path.name) + ("/" if path.is_dir() else "")
        for path in (ROOT / package / folder).iterdir()
        if path.name[0] not in "._" and (path.suffix == ".py" or _holds_anything(path))
    }
    assert sorted(there - named) == []


def _holds_anything(path: Path) -> bool:
    """Whether it is a folder in which something is left but compiled code."""
    return path.is_dir() and any(each.name != "__pycache__" for each in path.iterdir())


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").split()) <= README_WORDS


def test_what_is_cited_of_the_contract_stands_there() -> None:
    contract = text_of("tests/contract/CONTRACT.md")
    sections = set(re.findall(r"^##+ (\d+(?:\.\d+)?)\b", contract, re.MULTILINE))
    rows = set(re.findall(r"^\| (\d+) \|", contract, re.MULTILINE))
    for path in (ROOT / "tests").rglob("*.py"):
        for cited in CITED.findall(path.read_text(encoding="utf-8")):
            of_rows = re.findall(r"row (\d+)", cited)
            of_sections = re.findall(r"\d+(?:\.\d+)?", re.sub(r"row \d+", "", cited))
            assert of_sections, path
            assert set(of_sections) <= sections, path
            assert set(of_rows) <= rows, path

"""The project's documents, as text: their code blocks, headings, links and names."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [ROOT / name for name in ("api", "ledger", "projections", "scripts", "tests")]
_FENCED = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def documents() -> list[str]:
    """Every document of the project, by its path from the root."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.md"))]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str = "sh") -> str:
    """All code blocks in this language, one after the other."""
    found = _FENCED.findall(text_of(document))
    return "\n".join(block for named, block in found if named == language)


def prose(document: str) -> str:
    """The text without its code blocks."""
    return _FENCED.sub("", text_of(document))


def quoted(document: str) -> Iterator[str]:
    """What stands between backticks."""
    return iter(re.findall(r"`([^`\n]+)`", prose(document)))


def anchors(document: str) -> set[str]:
    """What a link can lead to, as GitHub names it."""
    headings = _HEADING.findall(prose(document))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

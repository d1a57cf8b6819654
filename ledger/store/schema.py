"""The schema of a store: which tables and views there are, in both databases."""

import re
from collections.abc import Callable
from pathlib import Path

SCHEMA_VERSION = 8
TABLES = Path(__file__).with_name("tables") / "tables.sql"

_VIEW = re.compile(r"^CREATE VIEW (\w+) AS$", re.MULTILINE)


def statements(script: Path) -> list[str]:
    """Return the statements of an SQL script, one by one."""
    parts = script.read_text(encoding="utf-8").split(";\n")
    return [statement for statement in parts if statement.strip()]


def missing_views(script: Path, is_there: Callable[[str], bool]) -> list[str]:
    """Return the statements of those views that are not there.

    Each start looks, whatever the schema: a view holds nothing, and needs no schema of its own.
    """
    return [text for text in statements(script) if not is_there(_VIEW.findall(text)[0])]

"""The schema of a store: which tables there are, in both databases."""

from pathlib import Path

SCHEMA_VERSION = 6
TABLES = Path(__file__).with_name("tables.sql")


def statements(script: Path) -> list[str]:
    """Return the statements of an SQL script, one by one."""
    parts = script.read_text(encoding="utf-8").split(";\n")
    return [statement for statement in parts if statement.strip()]

"""The table of rules names each case that leaves a rule out, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


def cases() -> Iterator[str]:
    for path in HERE.glob("test_*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(each, ast.FunctionDef)
                and each.name == "test_without_a_rule_it_is_broken"
            ):
                (ids,) = (word.value for word in each.decorator_list[0].keywords)
                yield from ast.literal_eval(ids)


def test_the_rules_name_each_case() -> None:
    rows = re.findall(r"^\|.*\|(.*)\|$", (HERE / "README.md").read_text(), re.MULTILINE)
    named = {case for row in rows for case in re.findall(r"\*([^*]+)\*", row)}
    assert named == {*cases()}

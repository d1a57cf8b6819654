"""Filters of lists: all conditions must hold, each by one of its alternatives."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

from ledger.store.parameters import marks

NamedLookup = Literal["uuid", "name", "name_contains", "tag", "tag_name"]
"""What drives, servers and tags can be looked up by."""

JobLookup = Literal["uuid", "operation", "resource", "modified_from", "modified_before"]
"""What jobs can be looked up by."""

Lookup = NamedLookup | JobLookup


class Condition(NamedTuple):
    """A condition on a resource: one of the alternatives must match, exactly if it is a text."""

    lookup: Lookup
    alternatives: tuple[str, ...]


Conditions = Sequence[Condition]


def condition_sql(condition: Condition, generation: int) -> str:
    """Return the condition on a row with `uuid` and `name`; its parameters are the alternatives."""
    alternatives = marks(condition.alternatives)
    match condition.lookup:
        case "uuid" | "name" | "operation":
            return f"{condition.lookup} IN ({alternatives})"
        case "name_contains":
            return f"({' OR '.join(['instr(name, ?) > 0'] * len(condition.alternatives))})"
        case "tag":
            return _tagged(
                f"SELECT resource FROM tag_resources_g{generation} WHERE tag", alternatives
            )
        case "tag_name":
            return _tagged(
                f"SELECT resource FROM tag_resources_g{generation} JOIN tags_g{generation} AS t"
                " ON t.uuid = tag WHERE t.name",
                alternatives,
            )
        case "resource":
            named = f"SELECT job FROM job_resources_g{generation} WHERE resource"
            return f"uuid IN ({named} IN ({alternatives}))"
        case "modified_from":
            return "last_modified >= ?"
        case "modified_before":
            return "last_modified < ?"
        case _:
            assert_never(condition.lookup)


def _tagged(resources: str, alternatives: str) -> str:
    return f"uuid IN ({resources} IN ({alternatives}))"

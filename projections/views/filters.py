"""Filters of lists: all conditions must hold, each by one of its alternatives."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

from ledger.store.parameters import marks

NamedLookup = Literal["uuid", "name", "name_contains", "tag", "tag_name"]
"""What drives, servers and tags can be looked up by."""

JobLookup = Literal["state", "operation", "resource", "modified_from", "modified_before"]
"""What jobs can be looked up by."""

Lookup = NamedLookup | JobLookup


class Condition(NamedTuple):
    """A condition on a resource: one of the alternatives must match, exactly if it is a text.

    A part of a name is folded (`projections.tables.fold_case`).
    """

    lookup: Lookup
    alternatives: tuple[str, ...]


Conditions = Sequence[Condition]


class Order(NamedTuple):
    """What a list is ordered by."""

    field: str
    descending: bool


def is_narrow(conditions: Conditions) -> bool:
    """Return whether only rows of the list itself, or of one resource, must be looked at.

    All that bear a tag are looked up for a condition on it, and all jobs that name a resource.
    """
    resources = [each for each in conditions if each.lookup == "resource"]
    return sum(len(each.alternatives) for each in resources) <= 1 and not any(
        each.lookup in ("tag", "tag_name") for each in conditions
    )


def condition_sql(condition: Condition, generation: int) -> str:
    """Return the condition on a row with `uuid` and `name`; its parameters are the alternatives."""
    alternatives = marks(condition.alternatives)
    match condition.lookup:
        case "uuid" | "name" | "state" | "operation":
            return f"{condition.lookup} IN ({alternatives})"
        case "name_contains":
            found = " OR ".join(["instr(folded_name, ?) > 0"] * len(condition.alternatives))
            return f"({found})"
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


def check_sql(condition: Condition, generation: int) -> str:
    """Return the condition on one row, `this`; it looks at no more than belongs to that row."""
    alternatives = marks(condition.alternatives)
    g = generation
    match condition.lookup:
        case "tag":
            return (
                f"EXISTS (SELECT 1 FROM tag_resources_g{g} WHERE resource = this.uuid"
                f" AND tag IN ({alternatives}))"
            )
        case "tag_name":
            return (
                f"EXISTS (SELECT 1 FROM tag_resources_g{g} JOIN tags_g{g} AS t ON t.uuid = tag"
                f" WHERE resource = this.uuid AND t.name IN ({alternatives}))"
            )
        case "resource":
            return (
                f"EXISTS (SELECT 1 FROM job_resources_g{g} WHERE job = this.uuid"
                f" AND resource IN ({alternatives}))"
            )
        case (
            "uuid"
            | "name"
            | "name_contains"
            | "state"
            | "operation"
            | "modified_from"
            | "modified_before"
        ):
            return condition_sql(condition, generation)
        case _:
            assert_never(condition.lookup)


def _tagged(resources: str, alternatives: str) -> str:
    return f"uuid IN ({resources} IN ({alternatives}))"

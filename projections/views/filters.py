"""Filters of lists: all conditions must hold, each by one of its alternatives."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

from ledger.store.parameters import marks
from projections.facets import RESOURCE

NamedLookup = Literal["uuid", "name", "name_contains", "tag", "tag_name"]
"""What drives, servers and tags can be looked up by."""

JobLookup = Literal["state", "operation", "resource", "modified_from", "modified_before"]
"""What jobs can be looked up by."""

Lookup = NamedLookup | JobLookup

ColumnLookup = Literal[
    "uuid", "name", "name_contains", "state", "operation", "modified_from", "modified_before"
]
"""Those that a row itself answers."""


class Condition(NamedTuple):
    """A condition on a resource: one of the alternatives must match, exactly if it is a text.

    A part of a name is folded (`projections.tables.fold_case`).
    """

    lookup: Lookup
    alternatives: tuple[str, ...]


Conditions = Sequence[Condition]

_ABOUT = f"owner = ? AND key = '{RESOURCE}'"
"""Rows of labels of an account's jobs that are about a drive or server and do not lock it."""


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


def condition_sql(condition: Condition, owner: str, generation: int) -> tuple[str, tuple[str, ...]]:
    """Return the condition on a row of the owner's with `uuid` and `name`, and its parameters.

    Of tags, it looks at those of the owner alone, and at what bears them.
    """
    alternatives, g = marks(condition.alternatives), generation
    match condition.lookup:
        case "tag":
            return _tagged(alternatives, g), condition.alternatives
        case "tag_name":
            own = f"SELECT uuid FROM tags_g{g} WHERE owner = ? AND name IN ({alternatives})"
            return _tagged(own, g), (owner, *condition.alternatives)
        case "resource":
            named = f"SELECT job FROM job_resources_g{g} WHERE resource IN ({alternatives})"
            about = f"SELECT uuid FROM labels_g{g} WHERE {_ABOUT} AND value IN ({alternatives})"
            found = (*condition.alternatives, owner, *condition.alternatives)
            return f"uuid IN ({named} UNION ALL {about})", found
        case _:
            return _column_sql(condition.lookup, condition.alternatives), condition.alternatives


def check_sql(condition: Condition, generation: int) -> str:
    """Return the condition on one row, `this`; it looks at no more than belongs to that row.

    Its parameters are the alternatives.
    """
    alternatives, g = marks(condition.alternatives), generation
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
            named = f"SELECT resource FROM job_resources_g{g} WHERE job = this.uuid"
            about = f"SELECT value FROM labels_g{g} WHERE uuid = this.uuid AND key = '{RESOURCE}'"
            return (
                f"EXISTS (SELECT 1 FROM ({named} UNION ALL {about}) AS looked_up"
                f" WHERE resource IN ({alternatives}))"
            )
        case _:
            return _column_sql(condition.lookup, condition.alternatives)


def jobs_of_resource_sql(resource: str, owner: str, generation: int) -> tuple[str, tuple[str, ...]]:
    """Return a source of (created, job): those that name the resource, and those about it.

    Each of the two is indexed in that order. Another account's may be among the former.
    """
    g = generation
    named = f"SELECT created, job FROM job_resources_g{g} WHERE resource = ?"
    about = f"SELECT created, uuid FROM labels_g{g} WHERE {_ABOUT} AND value = ?"
    return f"({named} UNION ALL {about})", (resource, owner, resource)


def _column_sql(lookup: ColumnLookup, alternatives: Sequence[str]) -> str:
    match lookup:
        case "uuid" | "name" | "state" | "operation":
            return f"{lookup} IN ({marks(alternatives)})"
        case "name_contains":
            return f"({' OR '.join(['instr(folded_name, ?) > 0'] * len(alternatives))})"
        case "modified_from":
            return "last_modified >= ?"
        case "modified_before":
            return "last_modified < ?"
        case _:
            assert_never(lookup)


def _tagged(tags: str, generation: int) -> str:
    bearers = f"SELECT resource FROM tag_resources_g{generation} WHERE tag IN ({tags})"
    return f"uuid IN ({bearers})"

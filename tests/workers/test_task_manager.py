"""What we take from inside Procrastinate is still there: a release without it must not be used."""

import inspect
import re
from pathlib import Path

import pytest
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager

from ledger.store.postgres import task_queue
from ledger.workers import task_manager
from ledger.workers.task_manager import TaskManager

OVERRIDDEN = [
    name
    for name, member in vars(TaskManager).items()
    if inspect.isfunction(member) and not name.startswith("_")
]
CALLED = sorted(
    {
        name
        for module in (task_manager, task_queue)
        for name in re.findall(r"(procrastinate_\w+_v\d+)\(", Path(module.__file__).read_text())
    }
)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_overridden_method_has_procrastinates_parameters(name: str) -> None:
    ours, theirs = getattr(TaskManager, name), getattr(JobManager, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", CALLED)
def test_a_called_function_is_in_procrastinates_schema(name: str) -> None:
    assert re.search(rf"FUNCTION {name}\s*\(", SchemaManager.get_schema())


def test_something_is_overridden_and_called() -> None:
    assert OVERRIDDEN
    assert CALLED

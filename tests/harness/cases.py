"""Cases of one test that share what it is given, where that costs more than the cases."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

Test = Callable[..., Any]


def in_turn(names: str | Sequence[str], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test for each case, as `parametrize` does, but one after the other as one test.

    All of them get the same fixtures: a service, with what the cases before have left in it. The
    first that fails is named, and is the last.
    """
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    given = [_named(wanted, case) for case in cases]

    def decorate(test: Test) -> Test:
        if inspect.iscoroutinefunction(test):

            @wraps(test)
            async def all_cases(**fixtures: Any) -> None:
                for case in given:
                    with _told(case):
                        await test(**fixtures, **case)
        else:

            @wraps(test)
            def all_cases(**fixtures: Any) -> None:
                for case in given:
                    with _told(case):
                        test(**fixtures, **case)

        signature = inspect.signature(test)
        fixtures = [each for name, each in signature.parameters.items() if name not in wanted]
        vars(all_cases)["__signature__"] = signature.replace(parameters=fixtures)
        return all_cases

    return decorate


def _named(names: Sequence[str], case: Any) -> Mapping[str, Any]:
    return dict(zip(names, case if len(names) > 1 else [case], strict=True))


@contextmanager
def _told(case: Mapping[str, Any]) -> Iterator[None]:
    """Note the case on whatever it fails with."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {', '.join(f'{name}={value!r}' for name, value in case.items())}")
        raise

"""Plays every interleaving of a few processes, and shows the shortest one that breaks a promise.

A process is a generator. It yields before each of its steps; what it does until it yields again
happens at once, as a transaction does. It yields a step's name, `when(ready, name)` for a step that
waits for something, or `either(name, other)` for one of which chance decides: the name that came is
what the `yield` returns. A process that may be killed is begun anew afterwards: its local variables
are the memory that it loses.

A world holds everything else. Two runs are in the same state if their worlds and the local
variables of each process read the same (`repr`) and each stands at the same place; what comes after
is played once. So whatever matters later must have a name: the position in `for each in ["a", "a"]`
has none.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple


class Step(NamedTuple):
    names: tuple[str, ...]
    ready: Callable[[], bool] | None = None


def when(ready: Callable[[], bool], name: str) -> Step:
    return Step((name,), ready)


def either(*names: str) -> Step:
    return Step(names)


Steps = Generator[str | Step, str, None]
Part = Generator[str | Step, str, object]
"""A part of a process that several have in common: `yield from` it."""


class World:
    """What the processes share. A model adds its state, its processes and its promises."""

    def processes(self) -> Iterator[Steps | Callable[[], Steps]]:
        """Yield the processes; as a function one that may be killed, `kills` times in all."""
        raise NotImplementedError

    kills = 0

    def holds(self) -> object:
        """Return all that matters later; what has no `repr` of its own needs another form."""
        return vars(self)

    def broken(self) -> Iterator[str]:
        """Yield what must never be so, and is."""
        yield from ()

    def left_undone(self) -> Iterator[str]:
        """Yield what must be so once nothing more can happen, and is not."""
        yield from ()


class Explored(NamedTuple):
    states: int
    broken: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join([self.broken or f"{self.states} states", *self.trace])


Option = tuple[int, str]
"""What may happen next: a step of the nth process, by its name."""
KILLED = " is killed"


def explore(make: Callable[[], World]) -> Explored:
    """Play all interleavings, shortest first, until a promise is broken."""
    start = _Run(make, ())
    seen = {start.state()}
    waiting: deque[tuple[tuple[Option, ...], list[Option]]] = deque([((), start.options())])
    while waiting:
        path, options = waiting.popleft()
        for option in options:
            run = _Run(make, (*path, option))
            state = run.state()
            if state in seen:
                continue
            seen.add(state)
            then = run.options()
            if broken := run.broken(over=not then):
                return Explored(len(seen), broken, tuple(name for _, name in (*path, option)))
            waiting.append(((*path, option), then))
    return Explored(len(seen))


class _Run:
    """One world and its processes, after all that is on a path."""

    def __init__(self, make: Callable[[], World], path: tuple[Option, ...]) -> None:
        self._world = make()
        self._kills_left = self._world.kills
        self._begun = list(self._world.processes())
        self._going = [each() if callable(each) else each for each in self._begun]
        self._next = [_advance(steps, None) for steps in self._going]
        for option in path:
            self._do(*option)

    def options(self) -> list[Option]:
        found = []
        for nth, step in enumerate(self._next):
            if step is None:
                continue
            if step.ready is None or step.ready():
                found += [(nth, name) for name in step.names]
            begun = self._begun[nth]
            if self._kills_left and callable(begun):
                found.append((nth, begun.__name__ + KILLED))
        return found

    def broken(self, *, over: bool) -> str:
        found = next(self._world.broken(), "")
        return found or (next(self._world.left_undone(), "") if over else "")

    def state(self) -> str:
        places = [_place(steps, self._world) for steps in self._going]
        return repr((self._kills_left, self._world.holds(), places))

    def _do(self, nth: int, name: str) -> None:
        begun = self._begun[nth]
        if callable(begun) and name.endswith(KILLED):
            self._kills_left -= 1
            self._going[nth].close()
            self._going[nth] = begun()
            self._next[nth] = _advance(self._going[nth], None)
        else:
            self._next[nth] = _advance(self._going[nth], name)


def _advance(steps: Steps, name: str | None) -> Step | None:
    """Let a process take its step, and return its next one; None after the last."""
    try:
        step = steps.send(name)  # type: ignore[arg-type]
    except StopIteration:
        return None
    return Step((step,)) if isinstance(step, str) else step


def _place(steps: Part, world: World) -> object:
    """Return where a process stands and what it remembers, also in what it yields from."""
    frame = steps.gi_frame
    if frame is None:
        return None
    inner = _place(steps.gi_yieldfrom, world) if steps.gi_yieldfrom else None
    remembered = [each for each in frame.f_locals.values() if each is not world]
    return frame.f_lasti, [getattr(each, "__qualname__", each) for each in remembered], inner

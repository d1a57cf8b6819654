"""Lets input come late and in pieces, as from a slow network: on one machine it never does."""

from asyncio import selector_events
from random import Random
from typing import Any

import pytest

LATE = 0.3
"""How often what has come is read at the next turn of the event loop, after what else is due."""
PIECES = 200
"""So many times a connection is read in pieces; then it is left alone, since images are long."""
LONGEST = 2_000
"""Of a piece, in bytes."""


class LateInput:
    """Changes how the event loops of this process read their sockets."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)  # noqa: S311 - a load, no secret
        self._patch = pytest.MonkeyPatch()

    def pytest_sessionstart(self) -> None:
        transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
        read, whole = transport._read_ready, transport.max_size

        def read_some(self: Any) -> None:
            pieces = vars(self).setdefault("_pieces", PIECES)
            if pieces and chance.random() < LATE:
                return  # the socket stays readable
            self._pieces = max(0, pieces - 1)
            self.max_size = chance.randint(1, LONGEST) if pieces else whole
            read(self)

        chance = self._chance
        self._patch.setattr(transport, "_read_ready", read_some)

    def pytest_unconfigure(self) -> None:
        self._patch.undo()

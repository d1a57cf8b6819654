"""Asking several pools one thing at once, without waiting long for any."""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import TypeVar

from ledger.images.pool_thread import PoolThread
from ledger.images.pools import Pool

T = TypeVar("T")

log = logging.getLogger(__name__)


def answers_of(pools: Mapping[str, Pool], ask: Callable[[Pool], T]) -> dict[str, T]:
    """Return what those pools answer that do so soon; raise what `ask` raises of one of them.

    The question stays asked of one that hangs.
    """
    answers: dict[str, T] = {}

    def note(name: str, pool: Pool) -> None:
        answers[name] = ask(pool)

    with ExitStack() as threads:
        asked = [
            threads.enter_context(closing(PoolThread(name))).ask(
                partial(note, name, pool), needed=False
            )
            for name, pool in pools.items()
        ]
        for owed in asked:
            owed.wait()
    for name in pools.keys() - answers.keys():
        log.warning("pool %s does not answer: it is unavailable until it does", name)
    return dict(answers)

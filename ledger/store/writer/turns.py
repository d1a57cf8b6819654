"""What waits for the writer, in turns: one thing of each account after the other."""

from collections import OrderedDict, deque
from collections.abc import Sequence

from ledger.store.writer.waiting import WaitingCommand, WaitingWork

Waiting = WaitingCommand | WaitingWork


class Turns:
    """Lets no account wait for more than one thing of each other; its own keep their order.

    All work that is no command counts as one account's.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Waiting]] = OrderedDict()
        """What each account waits for; the account whose turn it is comes first."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, item: Waiting) -> None:
        self._waiting.setdefault(_account_of(item), deque()).append(item)

    def put_back(self, items: Sequence[Waiting]) -> None:
        """Let these be the next, in the order in which they were taken."""
        for item in reversed(items):
            account = _account_of(item)
            self._waiting.setdefault(account, deque()).appendleft(item)
            self._waiting.move_to_end(account, last=False)

    def next(self) -> Waiting:
        """Take the next one; there must be one."""
        account, items = next(iter(self._waiting.items()))
        item = items.popleft()
        if items:
            self._waiting.move_to_end(account)
        else:
            del self._waiting[account]
        return item


def _account_of(item: Waiting) -> str:
    return item.caller.actor if isinstance(item, WaitingCommand) else ""

"""What commands must know of the pools, read outside of the writer's thread.

A command is decided with what is known. If more is needed, the decision is refused, the pools are
asked, and the command is decided again. However many pools it needs, and however often, it waits
for them no longer than for one. So that this is rare, what the last clone of a source needed is
read for the next one beforehand.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives
from ledger.domain.commands.servers import CloneServer
from ledger.domain.context import Environment, ImageData
from ledger.domain.errors import Refusal
from ledger.domain.errors.pools import NotMeasured
from ledger.images.pool_thread import SILENCE_S, Owed, Patience

T = TypeVar("T")

_PLACING = (CreateDrives, CloneDrive, CloneServer)

Images = Sequence[tuple[str, str]]
"""Drives and their pools, a pool first."""
REMEMBERED_MAX = 10_000
"""Sources of clones whose images are remembered."""


class Surveyor(Environment, Protocol):
    """The environment, and how to learn more of the pools. In any thread; nothing blocks."""

    def renew(self) -> Sequence[Owed]:
        """Measure the room in those pools whose last measurement is too old."""

    def look(self, refusal: Refusal) -> Sequence[Owed]:
        """Ask for the pools for want of which something was refused. Raise `PoolSilent`."""

    def measure(
        self, images: Images, found: dict[str, int | None], *, needed: bool = True
    ) -> Sequence[Owed]:
        """Find how much data the images of these pools and drives have.

        Raise `PoolSilent`, unless they are not `needed`.
        """


class Surveys:
    """What was read for commands. In any thread."""

    def __init__(self, surveyor: Surveyor) -> None:
        self._surveyor = surveyor
        self._needed: dict[tuple[str, str], Images] = {}
        """The images that an account's last clone of a source needed: nobody has others' read."""

    async def surveyed(self, command: Command, attempt: Callable[[ImageData], Awaitable[T]]) -> T:
        """Return what `attempt` does with the command, as `surveyed` does."""
        return await _surveyed(self._begin(command), attempt)

    def surveyed_blocking(self, command: Command, attempt: Callable[[ImageData], T]) -> T:
        """Do the same, for threads other than an event loop's."""
        survey, patience = self._begin(command), Patience(SILENCE_S)
        owed = survey.before()
        while True:
            for each in owed:
                each.wait(patience)
            try:
                return attempt(survey.images)
            except Refusal as refusal:
                owed = survey.after(refusal)

    def _begin(self, command: Command) -> "_Survey":
        if not isinstance(command, CloneDrive | CloneServer):
            return _Survey(self._surveyor)
        source = command.owner, command.source

        def remember(images: Images) -> None:
            if len(self._needed) >= REMEMBERED_MAX:
                self._needed.clear()
            self._needed[source] = images

        return _Survey(self._surveyor, self._needed.get(source, ()), remember)


def _forget(_: Images) -> None:
    pass


class _Survey:
    """What was read for one command."""

    def __init__(
        self,
        surveyor: Surveyor,
        expected: Images = (),
        remember: Callable[[Images], None] = _forget,
    ) -> None:
        """`expected` may be needed; `remember` is told what was."""
        self._surveyor = surveyor
        self._expected = expected
        self._remember = remember
        self._has_looked = False
        self.images: dict[str, int | None] = {}

    def before(self) -> Sequence[Owed]:
        """Return what to wait for before the first attempt."""
        renewed = self._surveyor.renew()
        if not self._expected:
            return renewed
        return [*renewed, *self._surveyor.measure(self._expected, self.images, needed=False)]

    def after(self, refusal: Refusal) -> Sequence[Owed]:
        """Return what to wait for before trying again. Raise the refusal if it stands.

        For want of a pool it stands only if the store knows of no other: whether a worker is there
        must not depend on when this process heard of it.
        """
        if isinstance(refusal, NotMeasured):
            self._remember(() if self._expected else refusal.images)  # wrongly expected: forget
            return self._surveyor.measure(refusal.images, self.images)
        if self._has_looked or not refusal.needs_pool:
            raise refusal
        self._has_looked = True
        return self._surveyor.look(refusal)


def places(command: Command) -> bool:
    """Return whether the command chooses pools."""
    return isinstance(command, _PLACING)


async def surveyed(surveyor: Surveyor, attempt: Callable[[ImageData], Awaitable[T]]) -> T:
    """Return what `attempt` does, which must know of the pools. Raise `PoolSilent`."""
    return await _surveyed(_Survey(surveyor), attempt)


async def _surveyed(survey: _Survey, attempt: Callable[[ImageData], Awaitable[T]]) -> T:
    patience = Patience(SILENCE_S)
    owed = survey.before()
    while True:
        for each in owed:
            await each.answered(patience)
        try:
            return await attempt(survey.images)
        except Refusal as refusal:
            owed = survey.after(refusal)

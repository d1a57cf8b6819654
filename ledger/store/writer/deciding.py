"""The decision of one command, within a batch."""

import logging

from ledger.domain.commands.jobs import UpdateProgress
from ledger.domain.context import Discarded, Environment, Fact
from ledger.domain.decisions import decide
from ledger.domain.decisions.room import begins_something
from ledger.domain.disk_space import DiskState
from ledger.domain.errors import Refusal
from ledger.domain.errors.quotas import LedgerBytesSpent
from ledger.domain.errors.store import AlreadyClaimed, StoreFailed, StoreFull
from ledger.domain.events import Recorded
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.producers.commands import ReportProgress, words_of
from ledger.domain.producers.leases import Expect, Forget
from ledger.domain.producers.texts import DropTexts
from ledger.store.patience import read_patiently
from ledger.store.seam import Conflict, Projection, Store
from ledger.store.tables import idempotency_keys as claims
from ledger.store.unit_of_work import UnitOfWork
from ledger.store.writer.committed import Committed
from ledger.store.writer.waiting import WaitingCommand

log = logging.getLogger(__name__)


class Decider:
    """Decides commands, one on top of the other. In the writer's thread."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        environment: Environment,
        committed: Committed,
    ) -> None:
        self._store = store
        self._projection = projection
        self._environment = environment
        self._committed = committed

    def decide(
        self, waiting: WaitingCommand, batch: UnitOfWork, disk: DiskState
    ) -> Exception | None:
        """Stage the command's changes on the batch, or return why not.

        It reads the store at several moments. If others record something in between, what it sees
        may be impossible, such as a server with a drive that is gone: then raise `Conflict`.
        """
        if self._has_spent(waiting):
            return LedgerBytesSpent(self._environment.quotas.ledger_bytes_a_day)
        try:
            self._stage(waiting, batch, disk)
        except (Refusal, StoreFull) as refusal:
            return refusal
        except StoreFailed:
            raise
        except Exception as error:
            if self._committed.catch_up():
                raise Conflict("others have changed what was looked at") from error
            log.exception("a command could not be decided")
            return error
        return None

    def _stage(self, waiting: WaitingCommand, batch: UnitOfWork, disk: DiskState) -> None:
        at = self._committed.clock.stamp()
        unit = UnitOfWork(batch, self._projection, at, disk, waiting.images)
        actor, request_id, claim = waiting.caller
        if claim is not None:
            self._claim(RecordedClaim(actor, claim, at), batch, unit)
        for change in decide(waiting.command, unit, self._environment):
            match change:
                case Fact(stream, event):
                    unit.stage(stream, Recorded(at, actor, request_id, event))
                case Discarded():
                    unit.discard(change)
                case DropTexts():
                    unit.texts.append(change)
                case Expect() | Forget():
                    unit.change_lease(change)
                case _:
                    unit.secrets.append(change)
        unit.keep(words_of(waiting.command))
        batch.settle(unit)

    def _has_spent(self, waiting: WaitingCommand) -> bool:
        """Return whether its account has recorded too much today for anything new.

        Progress is reported by workers, which have no quota.
        """
        limit = self._environment.quotas.ledger_bytes_a_day
        if not limit or isinstance(waiting.command, UpdateProgress | ReportProgress):
            return False
        recorded = self._committed.bytes.of(waiting.caller.actor)
        return recorded >= limit and begins_something(waiting.command)

    def _claim(self, wanted: RecordedClaim, batch: UnitOfWork, unit: UnitOfWork) -> None:
        """Stage the claim. It is looked up in the store, without a cache: most are new."""
        key = wanted.account, wanted.claim.key
        earlier = batch.claims.get(key) or read_patiently(
            self._store, lambda cursor: claims.find(cursor, *key)
        )
        if earlier is not None and not earlier.is_over(wanted.at):
            raise AlreadyClaimed
        unit.claims[key] = wanted

"""What can go wrong with a command without being a fault of the program."""

from api.cli.listening import CannotListen
from api.lock import DataInUse, DataUnusable
from api.operations import OperationRefused
from api.settings import BadSettings
from ledger.errors import StoreFailed, UnknownEvent
from ledger.proofs.keys import KeyUnusable
from ledger.store.moving import NotMoved
from ledger.store.tiles import LeavesMissing
from projections.backup.errors import BadBackup, NotBackedUp, NotRestored

EXPECTED = (
    BadBackup,
    BadSettings,
    CannotListen,
    DataInUse,
    DataUnusable,
    KeyUnusable,
    LeavesMissing,
    NotBackedUp,
    NotMoved,
    NotRestored,
    OperationRefused,
    OSError,
    StoreFailed,
    UnknownEvent,
)

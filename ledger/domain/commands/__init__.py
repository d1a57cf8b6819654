"""The commands: what may be asked of the ledger.

A command acts for an account, its `owner`; things of other accounts do not exist for it. The caller
chooses the ids of what is created, so that a repeated command creates the same thing.
"""

from ledger.domain.commands.drives import DriveCommand
from ledger.domain.commands.housekeeping import HousekeepingCommand
from ledger.domain.commands.jobs import JobCommand
from ledger.domain.commands.keypairs import KeypairCommand
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import ServerCommand
from ledger.domain.commands.tags import TagCommand
from ledger.domain.commands.tokens import TokenCommand
from ledger.domain.producers.commands import ProducerCommand

Command = (
    DriveCommand
    | ServerCommand
    | TagCommand
    | KeypairCommand
    | EditProfile
    | TokenCommand
    | JobCommand
    | HousekeepingCommand
    | ProducerCommand
)

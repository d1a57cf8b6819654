#!/usr/bin/env python3
"""Follow a ledger by the `eventsourcing` package alone, and keep a projection of one's own.

    follower.py LEDGER FILE

LEDGER is `ledger.sqlite` in a data directory, or the URL of a PostgreSQL database; it is only read.
FILE is an SQLite file, in which the follower counts what each account has done, together with how
far it has come: each event counts exactly once, however often the follower is run, or killed.
`scripts/HOWTO.md` says what of a ledger such a reader may rely on.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import (
    AggregateNotFoundError,
    LocalNotificationLog,
    NotificationLog,
    ProcessingEvent,
)
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import ApplicationRecorder, Mapper, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from eventsourcing.system import ProcessApplication

EVENTS = "recorded_events"
"""The view of events that is made for readers."""
LEDGER = "ledger"
PAGE_EVENTS = 1_000


class LedgerEvent(NamedTuple):
    """An event as the ledger has it: its name, and what it says."""

    stream: str
    name: str
    recorded_at: str
    actor: str
    fields: dict[str, Any]


class LedgerMapper(Mapper[Any]):
    """Reads the ledger's form of events: JSON, under a name and its version."""

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        said = json.loads(stored_event.state)
        name = stored_event.topic.partition("/")[0]
        stream = str(stored_event.originator_id)
        return LedgerEvent(stream, name, said["recorded_at"], said["actor"], said["event"])


class Account(Aggregate):
    """What an account has done: the number of events of each name."""

    @event("Met")
    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.counts: dict[str, int] = {}

    @staticmethod
    def create_id(actor: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/accounts/{actor}")

    @event("Counted")
    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


class Activity(ProcessApplication[UUID]):
    """The projection: what it makes of an event is stored along with the event's position."""

    pull_section_size = PAGE_EVENTS

    def follow(self, name: str, log: NotificationLog) -> None:
        super().follow(name, log)
        self.mappers[name] = LedgerMapper(self.construct_transcoder())

    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        account = self.account(domain_event.actor)
        account.count(domain_event.name)
        processing_event.collect_events(account)

    def account(self, actor: str) -> Account:
        try:
            found: Account = self.repository.get(Account.create_id(actor))
        except AggregateNotFoundError:
            return Account(actor)
        return found

    def accounts(self) -> list[Account]:
        """All of them, by their first events in the application's own log."""
        met = (each for each in self.recorder.select_notifications(1, sys.maxsize))
        first = (each.originator_id for each in met if each.originator_version == 1)
        return [self.repository.get(UUID(str(each))) for each in first]


def recorder_of(ledger: str) -> ApplicationRecorder:
    """Return the package's own recorder, which reads the ledger and can change nothing."""
    if ledger.startswith("postgresql://"):
        from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
        from psycopg.conninfo import conninfo_to_dict

        at = {"port": 5432, "password": "", **conninfo_to_dict(ledger)}
        names = ("dbname", "host", "port", "user", "password")
        in_postgres = PostgresDatastore(
            *(str(at[name]) for name in names), originator_id_type="text"
        )
        return PostgresApplicationRecorder(in_postgres, events_table_name=EVENTS)
    url = f"{Path(ledger).absolute().as_uri()}?mode=ro"
    return SQLiteApplicationRecorder(
        SQLiteDatastore(url, originator_id_type="text"), events_table_name=EVENTS
    )


def main(ledger: str, file: str) -> None:
    os.environ |= {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": file}
    with Activity() as activity:
        activity.follow(LEDGER, LocalNotificationLog(recorder_of(ledger), PAGE_EVENTS))
        activity.pull_and_process(LEDGER)
        print(f"up to position {activity.recorder.max_tracking_id(LEDGER)}")
        for account in activity.accounts():
            done = ", ".join(f"{name} {count}" for name, count in sorted(account.counts.items()))
            print(f"{account.actor}: {done}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A stream that was discarded never gets another event, whoever asks, on whichever node, and when.

The uuid of a discarded job is spent. Before there were spent ids, one that a client registered
again after its events were archived made every audit of the ledger diverge, for ever.
"""

from collections.abc import Callable

import pytest

from ledger.domain.commands import Command
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound
from ledger.domain.errors.producers import AlreadyRegistered, UuidTaken
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import EndJob, RegisterJob
from ledger.store.seam import Batch, Cursor
from ledger.store.tables import spent_ids
from projections.maintenance.retention.spent import spend_archived
from tests.retention.conftest import Clock, Nodes
from tests.retention.telling import DAYS, check, family, jobs
from tests.support.opened import behind_its_back
from tests.support.producing import BROKEN, DONE, HERE, THERE, registered
from tests.support.retained import Retained
from tests.support.world import ME


def register(uuid: str, owner: str = ME, holder: Holder = HERE) -> RegisterJob:
    """A job whose client chose its uuid, and which is over at once."""
    known = registered()
    return RegisterJob(owner, uuid, "backup", known, holder=holder, end=DONE, chosen=True)


def discard_only(kept: Retained) -> None:
    """Discard what is due; so little is not archived at once."""
    assert kept.retention.run_if_worthwhile().compacted is None


def refused(kept: Retained, command: Command, by: type[Exception]) -> None:
    with pytest.raises(by):
        kept.do(command)


@pytest.mark.parametrize("gone", [discard_only, Retained.run], ids=["discarded", "compacted"])
def test_a_discarded_uuid_is_never_registered_again(
    nodes: Nodes, clock: Clock, gone: Callable[[Retained], object]
) -> None:
    """By neither node nor account, and whether or not it was a client who chose it first.

    To another account a uuid is taken, or there is no such job: it does not learn that there was.
    """
    one, two = nodes
    one.do(register("chosen"))
    family(one, "drawn")
    refused(two, register("chosen", "account-2"), UuidTaken)
    clock.advance(days=DAYS, seconds=1)
    gone(one)
    for node in nodes:
        for uuid in ("chosen", "drawn", "drawn-below"):
            refused(node, register(uuid), JobDiscarded)
        refused(node, register("chosen", "account-2"), UuidTaken)
        refused(node, LabelJob("account-2", "chosen", {"env": "x"}), JobNotFound)
        refused(node, EndJob("chosen", 1, BROKEN), JobDiscarded)
        refused(node, LabelJob(ME, "chosen", {"env": "x"}), JobDiscarded)
    two.do(register("another"))
    one.retention.run()
    check(two)


@pytest.mark.parametrize("nodes", ["postgres"], indirect=True)
def test_a_uuid_that_is_discarded_just_after_it_was_looked_up_is_not_registered(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node begins, ends, discards and archives it while this one is about to write."""
    one, two = nodes
    one.keep(days=0)
    append = two.store.append

    def late(batch: Batch) -> int:
        monkeypatch.undo()
        one.do(register("chosen"))
        one.run()
        return append(batch)

    monkeypatch.setattr(two.store, "append", late)
    refused(two, register("chosen"), JobDiscarded)
    assert spent(one) == {"chosen"}
    check(one)


@pytest.mark.parametrize("nodes", ["postgres"], indirect=True)
def test_two_that_register_a_uuid_at_once_begin_one_job(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who comes second is told so, with whatever else is recorded beside it."""
    one, two = nodes
    append = two.store.append

    def late(batch: Batch) -> int:
        monkeypatch.undo()
        one.do(register("chosen"))
        return append(batch)

    monkeypatch.setattr(two.store, "append", late)
    refused(two, register("chosen", holder=THERE), AlreadyRegistered)
    check(one)


@pytest.mark.parametrize("nodes", ["postgres"], indirect=True)
def test_two_that_register_an_external_id_at_once_begin_one_job(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under uuids of their own; who comes second is told which job has the id."""
    one, two = nodes
    append = two.store.append
    named = registered(external_id="photos@1")

    def late(batch: Batch) -> int:
        monkeypatch.undo()
        one.do(RegisterJob(ME, "first", "backup", named, holder=HERE))
        return append(batch)

    monkeypatch.setattr(two.store, "append", late)
    refused(two, RegisterJob(ME, "second", "backup", named, holder=THERE), AlreadyRegistered)
    two.do(RegisterJob(ME, "second", "backup", named, holder=HERE, end=DONE))
    assert jobs(two) == {"first"}
    check(one)


def spent(kept: Retained) -> set[str]:
    def read(cursor: Cursor) -> set[str]:
        cursor.execute("SELECT uuid FROM spent_ids")
        return {uuid for (uuid,) in cursor.fetchall()}

    return kept.ledger.read(read)


@pytest.fixture
def archived(kept: Retained, clock: Clock) -> Retained:
    """A ledger with a tree in an archive, and one that is discarded and in the store."""
    for name in ("archived", "stored"):
        family(kept, name)
        clock.advance(days=DAYS, seconds=1)
        if name == "archived":
            kept.run()
    discard_only(kept)
    return kept


EVERY = {"archived", "archived-below", "stored", "stored-below"}


def test_an_upgrade_spends_what_was_discarded_before(archived: Retained, clock: Clock) -> None:
    """From the sweeps that the store has, and from the indexes of archives: each is read once."""
    assert spent(archived) == EVERY
    archived.close()
    with behind_its_back(archived.file) as connection:
        for table in ("spent_ids", "spent_archives"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 6")
    with Retained(archived.file, clock) as upgraded:
        assert spent(upgraded) >= {"stored", "stored-below"}
        spend_archived(upgraded.ledger, upgraded.shelf)
        assert spent(upgraded) == EVERY
        refused(upgraded, register("archived-below"), JobDiscarded)
        refused(upgraded, register("stored"), UuidTaken)  # whose it was, no sweep says


def test_archives_that_a_ledger_does_not_know_are_read_at_its_start(archived: Retained) -> None:
    """As those beside a ledger that was restored from before its jobs were discarded."""

    def forget(cursor: Cursor) -> None:
        cursor.execute("DELETE FROM spent_ids")
        cursor.execute("DELETE FROM spent_archives")

    archived.ledger.exclusive(forget).result()
    spend_archived(archived.ledger, archived.shelf)
    assert spent(archived) == {"archived", "archived-below"}
    assert archived.ledger.read(spent_ids.archives) == set(archived.shelf.names())
    refused(archived, register("archived"), JobDiscarded)
    refused(archived, register("archived", "account-2"), UuidTaken)


def test_archives_that_are_known_are_not_read_again(
    archived: Retained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one that cannot be read keep a service from starting."""
    shelf = archived.shelf
    monkeypatch.setattr(shelf, "get", None)
    spend_archived(archived.ledger, shelf)
    monkeypatch.undo()
    (archived.archives / "broken.jsonl.zst").write_bytes(b"no archive")
    spend_archived(archived.ledger, shelf)
    assert archived.ledger.read(spent_ids.archives) == {*shelf.names()} - {"broken"}

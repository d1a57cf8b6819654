"""What every store must do, whatever database it is in: one suite for all of them.

To add a store, subclass `StoreConformance` in a test module of its own, with a fixture
`open_store` that opens another handle on one store, empty at first. A fault that is found in
one database becomes a test here, for all of them.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from types import MappingProxyType

import pytest
from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace

from ledger.codec import decode, encode, leaf_hash
from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.relations import Relations
from ledger.domain.aggregates.server import Server
from ledger.domain.context import (
    AddToken,
    CopyVncPassword,
    DropTokens,
    DropVncPassword,
    Secret,
    SetVncPassword,
)
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveDeleted, DriveReady
from ledger.domain.events.jobs import JobCreated, Resource
from ledger.domain.events.servers import ServerCreated
from ledger.domain.events.tokens import TokenIssued
from ledger.domain.idempotency import KEPT, Claim, KeptAnswer, RecordedClaim
from ledger.domain.producers.external_ids import ExternalId
from ledger.store.compaction import delete_events
from ledger.store.seam import (
    Batch,
    Conflict,
    Cursor,
    Guard,
    LoggedEvent,
    Projection,
    Row,
    RowKey,
    Stamps,
    Store,
)
from ledger.store.tables import accounts, guards, login_revocations, tiles, tokens
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables.external_ids import job_of
from ledger.store.tables.spent_ids import is_spent, owner_of
from ledger.store.tables.stamps import date_stored, has_faults, newest_stamp
from ledger.store.tables.streams import (
    events_of_kind,
    histories,
    last_version,
    spans,
    stored_of,
    stored_since,
    stream_events,
)
from ledger.store.whole_streams import tails
from tests.ledger.store.lease_conformance import Leases
from tests.support.wait import PATIENCE_S
from tests.support.world import ME, START, machine, mount

OpenStore = Callable[[], Store]


def event(stream: str, version: int = 1, what: Event | None = None) -> StoredEvent:
    return encode(stream, version, Recorded(START, "test", "", what or DriveReady()))


def batch(
    *events: StoredEvent,
    guards: Sequence[Guard] = (),
    puts: dict[RowKey, Row] | None = None,
    drops: Sequence[RowKey] = (),
    secrets: Sequence[Secret] = (),
    claims: Sequence[RecordedClaim] = (),
    unspent: Sequence[str] = (),
    spent: Sequence[str] = (),
    external_ids: Mapping[ExternalId, str] = MappingProxyType({}),
) -> Batch:
    return Batch(
        list(events),
        list(guards),
        puts or {},
        list(drops),
        list(secrets),
        list(claims),
        unspent=list(unspent),
        spent=dict.fromkeys(spent, "a"),
        external_ids=external_ids,
    )


def claimed(
    key: str, seed: str = "seed", *, account: str = ME, at: datetime = START
) -> RecordedClaim:
    return RecordedClaim(account, Claim(key, b"fingerprint", seed), at)


def server(uuid: str, *drives: str) -> Server:
    mounts = tuple(mount(drive, nth) for nth, drive in enumerate(drives))
    return Server(uuid, ME, machine(), mounts, (), START)


def job(uuid: str, *drives: str) -> Job:
    named = tuple(Resource("drives", drive, "source") for drive in drives)
    return Job(uuid, "x", ME, named, uuid, None, 0, START, START)


def passwords(store: Store) -> dict[str, str]:
    with store.log() as log:
        cursor = log.cursor()
        cursor.execute("SELECT server, vnc_password FROM server_secrets")
        return dict(cursor.fetchall())


def positions(store: Store) -> list[int]:
    with store.log() as log:
        return [logged.position for logged in log.events()]


def read_stream(store: Store, stream: str) -> list[LoggedEvent]:
    return store.read(lambda cursor: stream_events(cursor, stream))


def read_guard(store: Store, uuid: str) -> int:
    return store.read(lambda cursor: guards.version_of(cursor, uuid))


def read_relations(store: Store, projection: Projection, uuid: str) -> tuple[int, Relations]:
    """With the version of the guard, as of the same moment."""
    return store.read(
        lambda cursor: (guards.version_of(cursor, uuid), projection.relations(cursor, uuid))
    )


def read_claim(store: Store, account: str, key: str) -> RecordedClaim | None:
    return store.read(lambda cursor: claims.find(cursor, account, key))


def cut(store: Store, after: int) -> None:
    """Deletes the newest events, as compaction may."""

    def delete(cursor: Cursor) -> None:
        cursor.execute(f"DELETE FROM stored_events WHERE position > {after}")

    store.exclusive(delete)


def lose(store: Store, stream: str, *versions: int) -> None:
    """Deletes some events of a stream, as a compaction does some at a time."""
    store.exclusive(
        lambda cursor: cursor.executemany(
            "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = ?",
            [(stream, version) for version in versions],
        )
    )


class _Suite:
    @pytest.fixture
    def open_store(self) -> OpenStore:
        """Opens one more handle on the same store; all of them are closed after the test."""
        raise NotImplementedError

    @pytest.fixture
    def projection(self) -> Projection:
        """The projection that the store was opened with."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    @pytest.fixture
    def other(self, store: Store, open_store: OpenStore) -> Store:
        """Another process's handle on the same store."""
        return open_store()


class Appending(_Suite):
    def test_append_returns_the_last_position(self, store: Store) -> None:
        """The position is that of the newest event of the batch, as the log has it."""
        returned = store.append(batch(event("drive-a"), event("drive-b")))
        assert positions(store)[-1] == returned

    def test_positions_grow(self, store: Store) -> None:
        """Every event's position is above all earlier ones."""
        returned = [
            store.append(batch(*(event(f"drive-{nth}-{i}") for i in range(3)))) for nth in range(4)
        ]
        found = positions(store)
        assert len(found) == 12
        assert all(earlier < later for earlier, later in pairwise(found))
        assert found[2::3] == returned

    def test_a_position_is_never_used_again(self, store: Store) -> None:
        """Not even after the newest events are deleted: readers remember positions."""
        kept = store.append(batch(event("drive-a")))
        newest = store.append(batch(event("drive-b"), event("drive-c")))
        cut(store, kept)
        assert [kept] == positions(store)
        assert store.append(batch(event("drive-b"))) > newest

    def test_a_position_is_never_used_again_after_reopening(self, open_store: OpenStore) -> None:
        """The highest position is kept on disk."""
        first = open_store()
        newest = first.append(batch(event("drive-a"), event("drive-b")))
        cut(first, 0)
        first.close()
        assert open_store().append(batch(event("drive-a"))) > newest

    def test_a_batch_without_events_returns_the_last_position(self, store: Store) -> None:
        """The last one that was given out."""
        newest = store.append(batch(event("drive-a")))
        assert newest == store.append(batch(guards=[Guard("a", 0)]))

    def test_an_empty_store_is_at_position_zero(self, store: Store) -> None:
        """Before the first event."""
        with store.log() as log:
            assert (log.last_position(), log.count(), log.leaf_count()) == (0, 0, 0)
            assert list(log.events()) == []
            assert list(log.by_stream()) == []

    def test_what_is_appended_is_kept_byte_for_byte(self, store: Store) -> None:
        """Whatever characters it has."""
        stored = event("server-ü", 1, ServerCreated(ME, machine("☃\x01\n'\"")))
        store.append(batch(stored))
        [kept] = read_stream(store, "server-ü")
        assert (stored.topic, stored.state, 1) == (kept.topic, kept.state, kept.version)
        assert isinstance(kept.state, bytes)
        assert "☃" in str(decode(kept.topic, kept.state))


class Conflicts(_Suite):
    def test_a_taken_version_conflicts(self, store: Store) -> None:
        """A stream has one event at each version."""
        store.append(batch(event("drive-a")))
        with pytest.raises(Conflict):
            store.append(batch(event("drive-a", 1, DriveDeleted())))
        assert len(read_stream(store, "drive-a")) == 1

    def test_nothing_is_written_that_rests_on_a_job_which_was_discarded(
        self, store: Store, other: Store
    ) -> None:
        """Be it long ago and elsewhere, and one of many. What discards it may rest on it."""
        jobs = [f"j{nth}" for nth in range(600)]
        store.append(batch(event("drive-a"), unspent=jobs[:1], spent=jobs[:1]))
        with pytest.raises(Conflict):
            other.append(batch(event("drive-b"), unspent=jobs))
        assert read_stream(store, "drive-b") == []
        other.append(batch(event("drive-b"), unspent=jobs[1:], spent=jobs[:2]))
        assert [store.read(partial(is_spent, job=job)) for job in jobs[:3]] == [True, True, False]
        assert [store.read(partial(owner_of, job=job)) for job in jobs[:3]] == ["a", "a", None]

    def test_one_job_takes_an_external_id(self, store: Store, other: Store) -> None:
        """The second fails as a whole, until the first is discarded and gives it back."""
        wanted = ExternalId("a", "//nas", "photos@1")
        near = [wanted._replace(owner="b"), wanted._replace(source="//nas/photos")]
        store.append(batch(event("drive-a"), external_ids={wanted: "j"}))
        with pytest.raises(Conflict):
            other.append(batch(event("drive-b"), external_ids={near[0]: "k", wanted: "l"}))
        assert read_stream(store, "drive-b") == []
        other.append(batch(event("drive-b"), external_ids=dict(zip(near, "kl", strict=True))))
        found = [store.read(partial(job_of, wanted=each)) for each in (wanted, *near)]
        assert found == ["j", "k", "l"]
        store.append(batch(event("drive-c"), spent=["j"], external_ids={wanted: "m"}))
        assert other.read(partial(job_of, wanted=wanted)) == "m"

    def test_a_token_is_written_with_its_event(self, store: Store, other: Store) -> None:
        """Unless its account or that version of its password is gone; removed, it is known as such.

        Each removal is a revocation, which other nodes hear of.
        """
        mine = {"uuid": ME, "email": "me@example.test", "role": "user", "password_hash": "hash"}
        store.exclusive(partial(accounts.add, **mine, created=START))
        issued = TokenIssued(ME, "nas", ("jobs:read",), ("labels.env=prod",), "//nas", START)
        for name, owner, version in (("a", ME, None), ("b", ME, 1), ("c", ME, 2), ("d", "x", None)):
            new = AddToken(name, name.encode(), replace(issued, owner=owner), START, version)
            store.append(batch(event(f"token-{name}"), secrets=[new]))
        found = [other.read(partial(tokens.by_hash, token_hash=name)) for name in (b"a", b"b")]
        terms = (("jobs:read",), ("labels.env=prod",), "//nas", START)
        assert [each and each[4:8] for each in found] == [terms, terms]
        assert other.read(partial(tokens.count, account=ME)) == 2
        for name in ("a", "b"):
            dropped = DropTokens(ME, (name, "unknown"), START)
            other.append(batch(event(f"token-{name}", 2), secrets=[dropped]))
        assert [number for number, _ in store.read(lambda c: login_revocations.since(c, 0))] == [2]
        assert store.read(partial(tokens.by_hash, token_hash=b"a")) is None
        known = [
            store.read(partial(tokens.was_removed, token_hash=name)) for name in (b"a", b"b", b"c")
        ]
        assert known == [True, True, False]

    def test_a_stream_does_not_begin_over_its_tail(self, store: Store) -> None:
        """Which a compaction has left of it, and which would become part of the new one."""
        store.append(batch(*(event("tag-a", version) for version in (1, 2, 3))))
        lose(store, "tag-a", 1)
        with pytest.raises(Conflict):
            store.append(batch(event("tag-b"), event("tag-a")))
        assert store.read(lambda cursor: last_version(cursor, "tag-a")) == 3
        lose(store, "tag-a", 2, 3)
        store.append(batch(event("tag-b"), event("tag-a"), event("tag-a", 2)))
        assert [kept.version for kept in read_stream(store, "tag-a")] == [1, 2]

    def test_two_handles_that_continue_one_stream_conflict(
        self, store: Store, other: Store
    ) -> None:
        """The first one wins, whichever handle it was; the second can go on after it."""
        store.append(batch(event("drive-a")))
        other.append(batch(event("drive-a", 2)))
        with pytest.raises(Conflict):
            store.append(batch(event("drive-a", 2, DriveDeleted())))
        store.append(batch(event("drive-a", 3, DriveDeleted())))
        assert len(read_stream(other, "drive-a")) == 3

    def test_two_handles_that_depend_on_one_guard_conflict(
        self, store: Store, other: Store
    ) -> None:
        """Two decisions about one drive, though they write to different streams."""
        store.append(batch(event("job-a"), guards=[Guard("d", 0)]))
        with pytest.raises(Conflict):
            other.append(batch(event("job-b"), guards=[Guard("d", 0)]))
        other.append(batch(event("job-b"), guards=[Guard("d", 1)]))
        assert read_guard(store, "d") == 2

    @pytest.mark.parametrize("behind", [1, 2, 5])
    def test_a_stale_guard_conflicts_however_stale_it_is(
        self, store: Store, other: Store, behind: int
    ) -> None:
        """Also when the other process has decided more than once meanwhile."""
        for version in range(behind):
            store.append(batch(event(f"job-{version}"), guards=[Guard("d", version)]))
        for stale in range(behind):
            with pytest.raises(Conflict):
                other.append(batch(event("job-stale"), guards=[Guard("d", stale)]))
        assert behind == read_guard(other, "d")

    def test_a_guard_from_the_future_conflicts(self, store: Store) -> None:
        """A version that was never reached was never seen."""
        store.append(batch(guards=[Guard("d", 0)]))
        with pytest.raises(Conflict):
            store.append(batch(guards=[Guard("d", 2)]))

    def test_guards_of_different_things_do_not_conflict(self, store: Store, other: Store) -> None:
        """Each drive and server has its own."""
        store.append(batch(guards=[Guard("a", 0), Guard("b", 0)]))
        other.append(batch(guards=[Guard("a", 1), Guard("c", 0)]))
        assert [read_guard(store, uuid) for uuid in "abc"] == [2, 1, 1]

    @pytest.mark.parametrize("stale", [Guard("d", 0), Guard("z", 0)], ids=["first", "last"])
    def test_a_store_works_on_after_a_conflict_at_any_time(
        self, store: Store, projection: Projection, stale: Guard
    ) -> None:
        """However often it has executed the same statements, which may be prepared by then."""

        def written(nth: int, *stale: Guard) -> Batch:
            rows = dict(projection.rows(server(f"s-{nth}", "d")))
            secrets = [SetVncPassword(f"s-{nth}", "hush")]
            guards = [Guard(f"server-{nth}", 0), *stale]
            return batch(event(f"server-{nth}"), guards=guards, puts=rows, secrets=secrets)

        store.append(batch(guards=[stale]))
        for nth in range(12):
            with pytest.raises(Conflict):
                store.append(written(nth, stale))
            store.append(written(nth))
        assert len(positions(store)) == len(passwords(store)) == 12

    @pytest.mark.parametrize("on", ["version", "guard"])
    def test_a_conflict_keeps_nothing_of_the_batch(
        self, store: Store, other: Store, projection: Projection, on: str
    ) -> None:
        """No event, no guard, no row, no secret; and the position is that of before."""
        store.append(batch(event("drive-a"), guards=[Guard("d", 0)]))
        before = positions(store)
        stale_version = [event("drive-a")] if on == "version" else []
        stale_guard = [Guard("d", 0)] if on == "guard" else []
        with pytest.raises(Conflict):
            other.append(
                batch(
                    event("drive-b"),
                    *stale_version,
                    guards=[Guard("c", 0), *stale_guard, Guard("e", 0)],
                    puts=dict(projection.rows(server("s", "c"))),
                    secrets=[SetVncPassword("s", "hush")],
                )
            )
        assert before == positions(store)
        assert read_stream(store, "drive-b") == []
        assert (
            (0, Relations())
            == read_relations(store, projection, "c")
            == read_relations(store, projection, "e")
        )
        assert read_guard(store, "d") == 1
        assert passwords(store) == {}
        with store.log() as log:
            assert log.leaf_count() == 1

    def test_many_handles_at_once_lose_nothing(self, open_store: OpenStore) -> None:
        """Exactly those who came second get a conflict; positions stay unique."""
        handles = [open_store() for _ in range(3)]
        start = threading.Barrier(len(handles))

        def write(nth: int) -> int:
            start.wait(PATIENCE_S)
            won = 0
            for version in range(1, 21):
                try:
                    handles[nth].append(
                        batch(event(f"drive-{version}"), event(f"job-{nth}-{version}"))
                    )
                    won += 1
                except Conflict:
                    pass
            return won

        with ThreadPoolExecutor(len(handles)) as threads:
            won = sum(threads.map(write, range(len(handles))))
        found = positions(handles[0])
        assert won == 20
        assert 40 == len(found) == len(set(found))


class Leaves(_Suite):
    def test_each_event_has_the_leaf_hash_of_its_bytes(self, store: Store) -> None:
        """Over the exact bytes that are stored."""
        store.append(batch(event("drive-a"), event("drive-a", 2, DriveDeleted())))
        with store.log() as log:
            for logged in log.events():
                assert logged.leaf == leaf_hash(
                    logged.stream, logged.version, logged.topic, logged.state
                )

    def test_leaf_indexes_are_dense(self, store: Store, other: Store) -> None:
        """They count events, also where positions have gaps and batches conflicted."""
        store.append(batch(event("drive-a"), event("drive-b")))
        with pytest.raises(Conflict):
            other.append(batch(event("drive-c"), event("drive-a")))
        other.append(batch(event("drive-c")))
        store.append(batch(event("drive-d")))
        with store.log() as log:
            assert [logged.leaf_index for logged in log.events()] == [0, 1, 2, 3]
            assert 4 == log.leaf_count() == log.count()

    def test_leaf_indexes_continue_after_events_are_deleted(self, store: Store) -> None:
        """A leaf that was once there keeps its index."""
        store.append(batch(event("drive-a"), event("drive-b")))
        cut(store, 0)
        store.append(batch(event("drive-c")))
        with store.log() as log:
            assert [logged.leaf_index for logged in log.events()] == [2]
            assert (log.leaf_count(), log.count()) == (3, 1)


class Reading(_Suite):
    def test_a_stream_is_read_in_the_order_of_its_versions(self, store: Store) -> None:
        """By number: version ten comes after version two."""
        store.append(batch(*(event("drive-a", version) for version in range(1, 13))))
        store.append(batch(event("drive-ab")))
        assert list(range(1, 13)) == [s.version for s in read_stream(store, "drive-a")]
        with store.log() as log:
            assert positions(store)[:12] == [position for position, *_ in log.stream("drive-a")]

    def test_an_unknown_stream_is_empty(self, store: Store) -> None:
        """This is not an error."""
        assert read_stream(store, "drive-a") == []
        with store.log() as log:
            assert log.stream("drive-a") == []

    def test_what_another_handle_committed_is_read_at_once(
        self, store: Store, other: Store
    ) -> None:
        """A read is as of the last commit, whoever made it."""
        read_stream(store, "drive-a")
        other.append(batch(event("drive-a"), guards=[Guard("a", 0)]))
        assert len(read_stream(store, "drive-a")) == 1
        assert read_guard(store, "a") == 1

    def test_the_log_has_every_event_in_order(self, store: Store) -> None:
        """From the beginning, or after a position."""
        first = store.append(batch(event("drive-a"), event("drive-b")))
        last = store.append(batch(event("drive-a", 2)))
        with store.log() as log:
            assert [(logged.stream, logged.version) for logged in log.events()] == [
                ("drive-a", 1),
                ("drive-b", 1),
                ("drive-a", 2),
            ]
            assert [last] == [logged.position for logged in log.events(after=first)]
            assert last == log.last_position()

    def test_the_log_can_be_read_stream_by_stream(self, store: Store) -> None:
        """One stream after the other, each whole and in order."""
        store.append(batch(event("drive-b"), event("drive-a")))
        store.append(
            batch(
                event("drive-b", 2, DriveDeleted()), event("job-a", 1, JobCreated("x", ME, (), "a"))
            )
        )
        with store.log() as log:
            read = [(stream, topic) for stream, topic, _ in log.by_stream()]
        assert sorted(s for s, _ in read) == ["drive-a", "drive-b", "drive-b", "job-a"]
        assert [t for s, t in read if s == "drive-b"] == ["drive-ready/1", "drive-deleted/1"]
        assert (
            abs(
                read.index(("drive-b", "drive-deleted/1"))
                - read.index(("drive-b", "drive-ready/1"))
            )
            == 1
        )

    def test_the_log_is_a_snapshot_while_others_write(self, store: Store, other: Store) -> None:
        """Everything that is read from it is as of the moment when it was opened."""
        position = store.append(batch(event("drive-a")))
        with store.log() as log:
            other.append(batch(event("drive-a", 2), event("drive-b"), guards=[Guard("a", 0)]))
            store.append(batch(event("drive-c"), secrets=[SetVncPassword("s", "hush")]))
            assert position == log.last_position()
            assert (log.count(), log.leaf_count()) == (1, 1)
            assert [logged.stream for logged in log.events()] == ["drive-a"]
            assert len(list(log.by_stream())) == 1
            assert len(log.stream("drive-a")) == 1
            assert log.streams_after(position) == []
            cursor = log.cursor()
            cursor.execute("SELECT count(*) FROM server_secrets")
            assert cursor.fetchone() == (0,)
        with store.log() as log:
            assert log.count() == 4

    def test_the_log_is_a_snapshot_of_the_moment_it_is_opened(
        self, store: Store, other: Store
    ) -> None:
        """Not from the first read on: nothing that is written after opening is seen."""
        with store.log() as log:
            other.append(batch(event("drive-a")))
            assert list(log.events()) == []
            assert 0 == log.count() == log.last_position()

    def test_a_log_held_open_does_not_hinder_writers(self, store: Store) -> None:
        """However long somebody reads."""
        store.append(batch(event("drive-a")))
        with store.log() as log:
            reading = log.events()
            next(reading)
            store.append(batch(event("drive-b")))
            store.exclusive(lambda cursor: None)

    def test_a_log_can_be_read_in_any_thread(self, store: Store) -> None:
        """Readers are not the writer."""
        store.append(batch(event("drive-a")))

        def count() -> int:
            with store.log() as log:
                return log.count()

        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(count).result() == 1

    def test_streams_with_new_events_are_named_once(self, store: Store) -> None:
        """Those with an event above a position, however many."""
        position = store.append(batch(event("drive-a"), event("drive-b")))
        store.append(batch(event("drive-b", 2), event("drive-c"), event("drive-b", 3)))
        with store.log() as log:
            assert sorted(log.streams_after(position)) == ["drive-b", "drive-c"]
            assert log.streams_after(log.last_position()) == []
            assert len(log.streams_after(0)) == 3

    def test_the_streams_of_a_kind(self, store: Store) -> None:
        """By the word before the first dash, in the order of their names."""
        names = ["drive-b", "drive-a", "drive-", "drive.x", "drives-c", "driv-d", "job-drive-e"]
        store.append(batch(*map(event, names), event("drive-a", 2)))
        with store.log() as log:
            assert log.streams_of("drive") == ["drive-", "drive-a", "drive-b"]
            assert log.streams_of("server") == []

    def test_a_stream_without_its_first_event_is_not_there(self, store: Store) -> None:
        """However it is read; what is left of it are only leaves of the log."""
        streams = ["drive-a", "drive-half", "drive-z"]
        store.append(batch(*(event(stream, version) for stream in streams for version in (1, 2))))
        lose(store, "drive-half", 1)
        with store.log() as log:
            cursor, there = log.cursor(), ["drive-a", "drive-z"]
            assert log.count() == len(list(log.events())) == 5
            assert [stream for stream, _, _ in log.by_stream()] == sorted(there * 2)
            assert log.streams_of("drive") == there
            assert log.stream("drive-half") == []
            assert stored_of(cursor, "drive-half") == []
            assert [stored_since(cursor, "drive-half", at) for at in (0, 1, 2)] == [None] * 3
            assert stream_events(cursor, "drive-half") == []
            assert [*spans(cursor, streams)] == there
            assert [stream for stream, _ in histories(cursor, streams, 6)] == there
            assert len(events_of_kind(cursor, "drive", 0)) == 4
            assert tails(cursor) == ["drive-half"]

    def test_a_stream_is_read_on_from_a_version(self, store: Store) -> None:
        store.append(batch(*(event("drive-a", version) for version in (1, 2, 3))))
        store.append(batch(event("drive-b")))
        with store.log() as log:
            cursor = log.cursor()
            stored = stored_of(cursor, "drive-a")
            assert len(stored) == 3
            since = [stored_since(cursor, "drive-a", at) for at in range(5)]
            assert since == [stored, stored[1:], stored[2:], [], []]
            assert stored_since(cursor, "drive-c", 0) is None


class Showing(_Suite):
    """Rows, relations and secrets."""

    def put(self, store: Store, projection: Projection, *states: Aggregate) -> None:
        rows = {key: row for state in states for key, row in projection.rows(state).items()}
        store.append(batch(puts=rows))

    def test_relations_are_read_back_from_rows(self, store: Store, projection: Projection) -> None:
        """Which servers mount a drive, and how many running jobs need it."""
        self.put(store, projection, server("s", "d"), server("t", "d", "e"))
        self.put(store, projection, job("j", "d"), job("k", "d"))
        assert (0, Relations(frozenset("st"), 2)) == read_relations(store, projection, "d")
        assert (0, Relations(frozenset("t"), 0)) == read_relations(store, projection, "e")
        assert (0, Relations()) == read_relations(store, projection, "f")

    def test_rows_are_replaced_by_key(self, store: Store, projection: Projection) -> None:
        """A later row with the same key takes the place of the earlier."""
        self.put(store, projection, server("s", "d"))
        self.put(store, projection, server("s", "e"))
        assert frozenset() == read_relations(store, projection, "d")[1].servers
        assert frozenset("s") == read_relations(store, projection, "e")[1].servers

    def test_rows_are_put_and_dropped_with_their_events(
        self, store: Store, projection: Projection
    ) -> None:
        """In one transaction: other readers see both or neither."""
        shown = dict(projection.rows(server("s", "d", "e")))
        store.append(batch(event("server-s"), puts=shown))
        with store.log() as before:
            fewer = projection.rows(server("s", "d"))
            gone = [key for key in shown if key not in fewer]
            store.append(batch(event("server-s", 2), puts=dict(fewer), drops=gone))
            assert frozenset("s") == projection.relations(before.cursor(), "e").servers
            assert before.count() == 1
        with store.log() as after:
            assert frozenset() == projection.relations(after.cursor(), "e").servers
            assert frozenset("s") == projection.relations(after.cursor(), "d").servers
            assert after.count() == 2

    def test_dropping_a_missing_row_does_nothing(
        self, store: Store, projection: Projection
    ) -> None:
        """Dropping is idempotent."""
        store.append(batch(drops=list(projection.rows(server("s", "d")))))
        assert (0, Relations()) == read_relations(store, projection, "d")

    def test_secrets_are_set_copied_and_dropped(self, store: Store) -> None:
        """In their plain table, in order, and nowhere else."""
        store.append(batch(secrets=[SetVncPassword("s", "hush"), CopyVncPassword("t", "s")]))
        store.append(batch(secrets=[CopyVncPassword("u", "nobody"), DropVncPassword("s")]))
        assert passwords(store) == {"t": "hush"}
        with store.log() as log:
            assert log.count() == 0


class KeyedRequest(_Suite):
    def test_a_claim_is_read_back(self, store: Store) -> None:
        """By its account and key; another account's key is another key."""
        store.append(batch(claims=[claimed("k"), claimed("k", account="another")]))
        assert claimed("k") == read_claim(store, ME, "k")
        assert claimed("k", account="another") == read_claim(store, "another", "k")
        assert read_claim(store, ME, "l") is None

    def test_a_claim_is_recorded_with_its_events(self, store: Store) -> None:
        """In one transaction: if the events are refused, nothing is claimed."""
        store.append(batch(event("drive-a"), claims=[claimed("k")]))
        with pytest.raises(Conflict):
            store.append(batch(event("drive-a"), claims=[claimed("l")]))
        assert read_claim(store, ME, "l") is None

    def test_the_second_claim_conflicts(self, store: Store, other: Store) -> None:
        """Two processes that were asked for the same at once: one of them does it."""
        store.append(batch(event("drive-a"), claims=[claimed("k", "first")]))
        with pytest.raises(Conflict):
            other.append(batch(event("drive-b"), claims=[claimed("l"), claimed("k", "second")]))
        assert read_claim(other, ME, "k") == claimed("k", "first")
        assert read_claim(other, ME, "l") is None
        assert len(positions(store)) == 1

    def test_a_claim_holds_to_the_microsecond(self, store: Store) -> None:
        """From the end of its day on, another may be recorded in its place."""
        over = START + KEPT
        store.append(batch(claims=[claimed("k", "first")]))
        with pytest.raises(Conflict):
            store.append(batch(claims=[claimed("k", "early", at=over - timedelta(microseconds=1))]))
        store.append(batch(claims=[claimed("k", "second", at=over)]))
        assert read_claim(store, ME, "k") == claimed("k", "second", at=over)

    def test_an_answer_is_kept_with_its_claim(self, store: Store) -> None:
        """It goes when another claim takes the place; one that comes too late is not kept."""
        answer = KeptAnswer(201, "application/json", "/drives/a/", b"[]")
        store.append(batch(claims=[claimed("k", "first")]))
        store.exclusive(lambda c: claims.keep(c, ME, claimed("k", "first").claim, answer))
        with store.log() as log:
            assert claims.find_answer(log.cursor(), ME, "k") == answer
        store.append(batch(claims=[claimed("k", "second", at=START + KEPT)]))
        store.exclusive(lambda c: claims.keep(c, ME, claimed("k", "first").claim, answer))
        with store.log() as log:
            assert claims.find_answer(log.cursor(), ME, "k") is None

    def test_expired_claims_are_removed(self, store: Store) -> None:
        """The oldest first, up to the given number, and none that still holds."""
        times = [START + timedelta(hours=hours) for hours in range(3)]
        store.append(batch(claims=[claimed(f"k{at.hour}", at=at) for at in times]))
        now = times[1] + KEPT
        removed = [store.exclusive(lambda c: claims.remove_over(c, now, 1)) for _ in range(3)]
        assert removed == [1, 1, 0]
        left = [read_claim(store, ME, f"k{at.hour}") for at in times]
        assert left == [None, None, claimed(f"k{times[2].hour}", at=times[2])]


class Alone(_Suite):
    """`exclusive`."""

    def test_exclusive_returns_what_the_work_returns(self, store: Store) -> None:
        """And keeps what it wrote."""

        def work(cursor: Cursor) -> int:
            cursor.execute("INSERT INTO server_secrets VALUES ('s', 'hush')")
            cursor.execute("SELECT count(*) FROM server_secrets")
            return int(cursor.fetchone()[0])

        assert store.exclusive(work) == 1
        assert passwords(store) == {"s": "hush"}

    def test_exclusive_keeps_nothing_when_the_work_fails(self, store: Store) -> None:
        """The caller gets the work's own exception, and the store continues."""

        def work(cursor: Cursor) -> None:
            cursor.execute("INSERT INTO server_secrets VALUES ('s', 'hush')")
            cursor.execute("DELETE FROM stored_events")
            raise KeyError("mine")

        store.append(batch(event("drive-a")))
        with pytest.raises(KeyError, match="mine"):
            store.exclusive(work)
        assert passwords(store) == {}
        assert len(positions(store)) == 1
        store.append(batch(event("drive-b")))

    def test_nobody_sees_exclusive_work_before_it_is_done(self, store: Store, other: Store) -> None:
        """Readers see the state before it."""

        def work(cursor: Cursor) -> dict[str, str]:
            cursor.execute("INSERT INTO server_secrets VALUES ('s', 'hush')")
            return passwords(other)

        assert store.exclusive(work) == {}
        assert passwords(other) == {"s": "hush"}


class Reopening(_Suite):
    def test_reopening_keeps_everything(
        self, open_store: OpenStore, projection: Projection
    ) -> None:
        """Events, leaves, guards, rows and secrets."""
        first = open_store()
        position = first.append(
            batch(
                event("drive-a"),
                event("drive-b"),
                guards=[Guard("d", 0)],
                puts=dict(projection.rows(server("s", "d"))),
                secrets=[SetVncPassword("s", "hush")],
            )
        )
        with first.log() as log:
            before = list(log.events())
        first.close()
        again = open_store()
        with again.log() as log:
            assert before == list(log.events())
            assert (2, position) == (log.leaf_count(), log.last_position())
        assert (1, Relations(frozenset("s"), 0)) == read_relations(again, projection, "d")
        assert passwords(again) == {"s": "hush"}
        with pytest.raises(Conflict):
            again.append(batch(event("drive-a")))
        assert again.append(batch(event("drive-a", 2))) > position


def stamped(seconds: Iterable[float]) -> list[StoredEvent]:
    """Return events of one stream with stamps at these seconds."""
    return [
        encode(
            "drive-d", version, Recorded(START + timedelta(seconds=at), "test", "", DriveReady())
        )
        for version, at in enumerate(seconds, start=1)
    ]


class Stamping(_Suite):
    """The newest stamp, and stamps of earlier versions."""

    APART_S = 19
    NOW = START + timedelta(days=1)

    def check_past(self, store: Store, events: int) -> None:
        """Each event is found at its time, or with the next one."""
        for number in range(0, events - 1, 7):
            at = START + timedelta(seconds=number * self.APART_S)
            found = store.read(lambda c: tiles.position_at(c, at))  # noqa: B023 - asked at once
            assert number <= found <= number + 2
        latest = store.read(newest_stamp)
        assert store.read(lambda c: tiles.position_at(c, latest)) == events

    def fill(self, store: Store, hours: float, at: int = 100) -> int:
        """Record events of which a worker has stamped one; all but the last 70 are tiled."""
        events = 2 * tiles.TILE + 70
        right = [number * self.APART_S for number in range(events)]
        wrong = [second + hours * 3600 * (number == at) for number, second in enumerate(right)]
        every = stamped(wrong)
        store.append(batch(*every[: 2 * tiles.TILE]))
        while store.exclusive(tiles.extend):
            pass
        store.append(batch(*every[2 * tiles.TILE :]))
        return events

    def test_the_newest_stamp_is_kept(self, store: Store) -> None:
        """Whatever is recorded after it."""
        assert store.read(newest_stamp) == datetime(1970, 1, 1, tzinfo=UTC)
        now = datetime.now(UTC)
        store.append(
            batch(event("drive-a"))._replace(stamps=Stamps(now - timedelta(seconds=9), now))
        )
        earlier = now - timedelta(seconds=1)
        store.append(batch(event("drive-b"))._replace(stamps=Stamps(earlier, earlier)))
        assert store.read(newest_stamp) == now

    @pytest.mark.parametrize(("hours", "at"), [(-96, 100), (2, 100), (96, 100), (96, 550)])
    def test_the_past_is_right_beside_the_stamp_of_a_wrong_worker(
        self, store: Store, hours: int, at: int
    ) -> None:
        """To within an event, in tiles, after them, and once they are tiled as well."""
        events = self.fill(store, hours, at)
        store.exclusive(lambda c: date_stored(c, self.NOW))
        self.check_past(store, events)
        store.append(batch(*stamped(n * self.APART_S for n in range(4 * tiles.TILE))[events:]))
        while store.exclusive(tiles.extend):
            pass
        self.check_past(store, events)
        late = START + timedelta(seconds=900 * self.APART_S)
        assert store.read(lambda c: tiles.position_at(c, late)) == 901

    def test_the_past_is_right_when_the_wrong_stamp_is_gone(self, store: Store) -> None:
        """What a tile says of events that are not there counts as one event."""
        events = self.fill(store, 96)
        store.exclusive(lambda c: delete_events(c, range(50, 151)))
        store.exclusive(lambda c: date_stored(c, self.NOW))
        at = START + timedelta(seconds=200 * self.APART_S)
        assert store.read(lambda c: tiles.position_at(c, at)) <= tiles.TILE
        at = START + timedelta(seconds=300 * self.APART_S)
        assert abs(store.read(lambda c: tiles.position_at(c, at)) - 301) <= 1
        assert store.read(newest_stamp) == START + timedelta(seconds=(events - 1) * self.APART_S)

    def test_stamps_in_order_are_no_faults(self, store: Store) -> None:
        """Then nothing is kept of them but the newest."""
        self.fill(store, 0)
        tiled = store.read(tiles.tiled)
        store.exclusive(lambda c: date_stored(c, self.NOW))
        assert store.read(tiles.tiled) == tiled
        assert not store.read(lambda c: has_faults(c, START - timedelta(days=1)))


class StoreConformance(
    Appending,
    Conflicts,
    Leaves,
    Reading,
    Showing,
    KeyedRequest,
    Alone,
    Reopening,
    Stamping,
    Leases,
):
    """All of it."""

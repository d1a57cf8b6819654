"""The stored form of events: it must stay readable for ever."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from ledger.codec import DECODERS, decode, encode, leaf_hash, recorded_at
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events import (
    Event,
    Recorded,
    drives,
    housekeeping,
    jobs,
    keypairs,
    producers,
    profiles,
    servers,
    tags,
    tokens,
)

GOLDEN = Path(__file__).with_name("golden_events.jsonl")


class Stored(NamedTuple):
    """A line of the golden file."""

    stream: str
    version: int
    topic: str
    state: bytes
    leaf: str


def golden() -> list[Stored]:
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    return [_stored(**json.loads(line)) for line in lines]


def _stored(state: str, **rest: Any) -> Stored:
    return Stored(state=state.encode(), **rest)


def _at(second: int, microsecond: int = 0) -> datetime:
    return datetime(2026, 1, 2, 3, 4, second, microsecond, UTC)


def _recorded(event: Event, at: datetime) -> Recorded[Event]:
    return Recorded(at, "account-1", "request-1", event)


ADDRESS = servers.Address("22:00:00:00:00:01", "10.0.0.2", "10.0.0.0/8")
DEFINITION = drives.DriveDefinition(
    "système ☃",
    "disk",
    10737418240,
    "dssd",
    {"key": "value"},
    ("ssd", "sata"),
    allow_multimount=True,
)
WORDS = producers.Text(5, "3a" * 32)
LIMITS = producers.Limits(90, 21600, 604800, 604800)
MACHINE = servers.ServerDefinition(
    "server",
    2000,
    2147483648,
    2,
    cpu_type="intel",
    cpu_model="model",
    hypervisor="kvm",
    auto_start=True,
    context=False,
    cpus_instead_of_cores=True,
    enable_numa=True,
    hv_relaxed=True,
    hv_tsc=True,
    meta={"k": "v"},
    requirements=("sgx",),
    pubkeys=("key-1",),
    gpus=({"model": "a100", "count": 1, "share": 0.5, "shared": False, "slot": None},),
    epcs=({"size": 1},),
)
NICS = (
    servers.Nic(
        "22:00:00:00:00:01",
        "e1000",
        servers.IpConf("static", "10.0.0.1"),
        servers.IpConf("dhcp"),
        "vlan-1",
        "policy-1",
        2,
    ),
    servers.Nic("22:00:00:00:00:02"),
)
MOUNTS = (servers.Mount("drive-1", "virtio", "0:0", 1), servers.Mount("drive-2", "ide", "1:1"))

EXPECTED: dict[str, list[Recorded[Event]]] = {
    "job-created/1": [
        _recorded(jobs.JobCreated("drive_resize", "account-1", (), "job-1"), _at(1)),
        _recorded(
            jobs.JobCreated(
                "drive_clone",
                "account-1",
                (
                    jobs.Resource("drives", "drive-1", "source"),
                    jobs.Resource("servers", "server-1", "destination"),
                ),
                "job-0",
                "job-0",
                3,
            ),
            _at(1, 123456),
        ),
    ],
    "job-created/2": [
        _recorded(jobs.JobCreated("drive_resize", "account-1", (), "job-1"), _at(1)),
        _recorded(
            jobs.JobCreated(
                "drive_clone",
                "account-1",
                (jobs.Resource("drives", "drive-1", "source"),),
                "job-0",
                "job-0",
                3,
                10485760,
            ),
            _at(1, 123456),
        ),
    ],
    "child-attached/1": [_recorded(jobs.ChildAttached("job-1"), _at(2))],
    "job-attempt-started/1": [
        _recorded(jobs.JobAttemptStarted(1, "worker:a", None), _at(3)),
        _recorded(
            jobs.JobAttemptStarted(2, "worker:b", jobs.Fingerprint(4096, 1767323045678901234, 77)),
            _at(3),
        ),
    ],
    "job-attempt-lost/1": [_recorded(jobs.JobAttemptLost(2), _at(3, 5))],
    "progress-updated/1": [
        _recorded(jobs.ProgressUpdated(2, 41, 4194304, 10485760, 8388608), _at(4, 1))
    ],
    "progress-updated/2": [
        _recorded(jobs.ProgressUpdated(2, 41, 4194304, 10485760, 8388608), _at(4, 1)),
        _recorded(jobs.ProgressUpdated(2, 60, 10485760, 10485760, 16777216, 2097152), _at(4, 2)),
    ],
    "child-ended/1": [
        _recorded(jobs.ChildEnded("job-1", "success"), _at(5)),
        _recorded(jobs.ChildEnded("job-2", "failed"), _at(5)),
        _recorded(jobs.ChildEnded("job-3", "cancelled"), _at(5)),
    ],
    "job-succeeded/1": [_recorded(jobs.JobSucceeded(), _at(6))],
    "job-failed/1": [_recorded(jobs.JobFailed('it said "no"\n'), _at(7))],
    "job-cancelled/1": [_recorded(jobs.JobCancelled(), _at(7))],
    "job-attempt-started/2": [
        _recorded(jobs.JobAttemptStarted(1, "worker:a"), _at(3)),
        _recorded(
            jobs.JobAttemptStarted(2, "worker:b", jobs.Fingerprint(4096, 1767323045678901234, 77)),
            _at(3),
        ),
        _recorded(
            jobs.JobAttemptStarted(
                3, holder=producers.Holder("5f" * 32, "token-1", "nas", 4711), happened_at=_at(2)
            ),
            _at(3),
        ),
    ],
    "job-attempt-lost/2": [
        _recorded(jobs.JobAttemptLost(2), _at(3, 5)),
        _recorded(jobs.JobAttemptLost(2, producers.ProgressReported(2, _at(3), 7)), _at(3, 5)),
    ],
    "job-succeeded/2": [
        _recorded(jobs.JobSucceeded(), _at(6)),
        _recorded(jobs.JobSucceeded(_at(5), producers.Exit(0), WORDS, stops_below=True), _at(6)),
    ],
    "job-failed/2": [
        _recorded(jobs.JobFailed('it said "no"\n'), _at(7)),
        _recorded(
            jobs.JobFailed(
                reason="signal",
                happened_at=_at(6),
                error_type="OSError",
                message=WORDS,
                exit=producers.Exit(signal="KILL"),
                result=WORDS,
                retryable=True,
            ),
            _at(7),
        ),
        _recorded(jobs.JobFailed(reason="program", tail=WORDS), _at(7)),
    ],
    "job-cancelled/2": [
        _recorded(jobs.JobCancelled(), _at(7)),
        _recorded(
            jobs.JobCancelled("interrupted", _at(6), WORDS, producers.Exit(130), WORDS), _at(7)
        ),
    ],
    "job-registered/1": [
        _recorded(producers.JobRegistered("//cron", LIMITS, _at(7)), _at(7)),
        _recorded(
            producers.JobRegistered(
                source="//nas/cron",
                limits=producers.Limits(None, 86400, 604800, 604800),
                happened_at=_at(7),
                ends="children",
                external_id="photos@2026-11-29",
                series="nas/photos",
                title=WORDS,
                labels={"example.test/env": "home"},
                subjects=(producers.Subject("file://nas/srv", "input"),),
                links=(producers.Link("runbook", "https://wiki.example.test/"),),
                cancellable=False,
                on_deadline="cancel",
                expect_children=12,
                tolerate=("failed", "missing"),
                token="token-1",
                trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                rerun_of="job-0",
                was_below="job-2",
            ),
            _at(7),
        ),
        _recorded(
            producers.JobRegistered(
                "//cron", LIMITS, _at(7), about=(producers.Topic("drives", "drive-1"),)
            ),
            _at(7),
        ),
    ],
    "progress-reported/1": [
        _recorded(producers.ProgressReported(1, _at(7), done=None), _at(7)),
        _recorded(
            producers.ProgressReported(
                attempt=2,
                happened_at=_at(7),
                done=734003200,
                total=1610612736,
                unit="byte",
                total_is="estimate",
                percent=45,
                items=producers.Items(5120, 3, 11, 9000),
                phase=producers.Phase("transfer", 2, 3),
                message=WORDS,
                seq=118,
                stale=True,
            ),
            _at(7),
        ),
        _recorded(producers.ProgressReported(1, _at(7), done=0), _at(7)),
    ],
    "job-attempt-returned/1": [_recorded(producers.JobAttemptReturned(2), _at(7))],
    "job-attempt-failed/1": [
        _recorded(
            producers.JobAttemptFailed(2, _at(7), _at(9), "OSError", WORDS, producers.Exit(75)),
            _at(7),
        ),
        _recorded(producers.JobAttemptFailed(2, _at(7), reason="deadline"), _at(7)),
        _recorded(producers.JobAttemptFailed(2, _at(7), tail=WORDS), _at(7)),
    ],
    "job-sealed/1": [_recorded(producers.JobSealed(), _at(7))],
    "job-cancel-requested/1": [
        _recorded(producers.JobCancelRequested(60, note=WORDS), _at(7)),
        _recorded(producers.JobCancelRequested(0, cascade=False), _at(7)),
    ],
    "job-cancel-seen/1": [_recorded(producers.JobCancelSeen(2), _at(7))],
    "job-skipped/1": [_recorded(producers.JobSkipped(_at(7), WORDS), _at(7))],
    "late-report-recorded/1": [
        _recorded(producers.LateReportRecorded(1, "succeeded", _at(7)), _at(7)),
        _recorded(
            producers.LateReportRecorded(
                1, "failed", _at(7), "OSError", WORDS, producers.Exit(1), WORDS
            ),
            _at(7),
        ),
        _recorded(
            producers.LateReportRecorded(1, "failed", _at(7), reason="deadline", retryable=True),
            _at(7),
        ),
        _recorded(
            producers.LateReportRecorded(1, "cancelled", _at(7), reason="interrupted"), _at(7)
        ),
        _recorded(producers.LateReportRecorded(1, "failed", _at(7), tail=WORDS), _at(7)),
    ],
    "job-texts-removed/1": [_recorded(producers.JobTextsRemoved(), _at(7))],
    "job-labelled/1": [
        _recorded(jobs.JobLabelled({"example.test/env": "prod", "empty": ""}, ("team",)), _at(8)),
        _recorded(jobs.JobLabelled(), _at(8)),
    ],
    "drive-created/1": [
        _recorded(drives.DriveCreated("account-1", DEFINITION, "pool-1", "upload"), _at(8)),
    ],
    "drive-ready/1": [_recorded(drives.DriveReady(), _at(9))],
    "drive-image-failed/1": [_recorded(drives.DriveImageFailed("PoolFull"), _at(9))],
    "drive-changed/1": [_recorded(drives.DriveChanged(DEFINITION), _at(9))],
    "drive-resize-started/1": [_recorded(drives.DriveResizeStarted(21474836480), _at(9))],
    "drive-resized/1": [_recorded(drives.DriveResized(), _at(9))],
    "drive-resize-failed/1": [_recorded(drives.DriveResizeFailed("PoolFull"), _at(9))],
    "drive-deleted/1": [_recorded(drives.DriveDeleted(), _at(10))],
    "server-created/1": [
        _recorded(servers.ServerCreated("account-1", MACHINE, MOUNTS, NICS), _at(11)),
        _recorded(
            servers.ServerCreated("account-1", servers.ServerDefinition("s", 1, 2, 3)), _at(11)
        ),
    ],
    "server-changed/1": [_recorded(servers.ServerChanged(MOUNTS), _at(12))],
    "server-changed/2": [
        _recorded(servers.ServerChanged(MOUNTS), _at(12)),
        _recorded(servers.ServerChanged(None, NICS, MACHINE), _at(12)),
    ],
    "server-power-changed/1": [
        _recorded(servers.ServerPowerChanged("start", "running", "host-a"), _at(12)),
        _recorded(servers.ServerPowerChanged("shutdown", "stopped"), _at(12)),
    ],
    "server-power-changed/2": [
        _recorded(
            servers.ServerPowerChanged("start", "running", "host-a", (ADDRESS,)),
            _at(12),
        ),
        _recorded(servers.ServerPowerChanged("shutdown", "stopped"), _at(12)),
    ],
    "server-deleted/1": [_recorded(servers.ServerDeleted(), _at(13))],
    "tag-created/1": [_recorded(tags.TagCreated("account-1", "fleet", {"k": "v"}), _at(14))],
    "tag-changed/1": [_recorded(tags.TagChanged("flotte", {}), _at(15))],
    "resource-tagged/1": [_recorded(tags.ResourceTagged("servers", "server-1"), _at(16))],
    "resource-untagged/1": [_recorded(tags.ResourceUntagged("server-1"), _at(17))],
    "tag-deleted/1": [_recorded(tags.TagDeleted(), _at(18))],
    "keypair-created/1": [
        _recorded(
            keypairs.KeypairCreated("account-1", "laptop", "ssh-rsa AAAA me@x", {"k": "v"}), _at(18)
        )
    ],
    "keypair-changed/1": [_recorded(keypairs.KeypairChanged("old laptop", {}), _at(18))],
    "keypair-deleted/1": [_recorded(keypairs.KeypairDeleted(), _at(18))],
    "token-issued/1": [
        _recorded(tokens.TokenIssued("account-1", "laptop"), _at(19)),
        _recorded(
            tokens.TokenIssued(
                "account-1",
                "nas",
                ("jobs:child", "jobs:register"),
                ("series=nas/*", "labels.env=prod", "max_running=50"),
                "//nas/cron",
                _at(59),
                "0123456789ab",
            ),
            _at(19),
        ),
    ],
    "token-removed/1": [_recorded(tokens.TokenRemoved("account-1"), _at(20))],
    "profile-changed/1": [
        _recorded(profiles.ProfileChanged(("phone", "clone_naming"), "COUNTER"), _at(19)),
        _recorded(profiles.ProfileChanged(("phone",)), _at(19)),
    ],
    "retention-policy-set/1": [
        _recorded(housekeeping.RetentionPolicySet(timedelta(days=3, hours=1), _at(20)), _at(20))
    ],
    "retention-policy-set/2": [
        _recorded(housekeeping.RetentionPolicySet(timedelta(days=3), _at(20), 20), _at(20))
    ],
    "jobs-discarded/1": [
        _recorded(
            housekeeping.JobsDiscarded(
                timedelta(days=3),
                _at(21, 5),
                9,
                (housekeeping.DiscardedTree("account-1", ("job-1", "job-2"), _at(1)),),
                ("drive-drive-1",),
            ),
            _at(22),
        ),
        _recorded(housekeeping.JobsDiscarded(timedelta(0), _at(21), 9, (), last=True), _at(22)),
    ],
    "archive-written/1": [
        _recorded(
            housekeeping.ArchiveWritten("a.jsonl.zst", "00ff", 7, 1, 9, ("sweep-1",)), _at(23)
        )
    ],
    "ledger-compacted/1": [_recorded(housekeeping.LedgerCompacted(7), _at(24))],
    "ledger-restored/1": [_recorded(housekeeping.LedgerRestored(2, "note"), _at(25))],
    "stream-parked/1": [
        _recorded(housekeeping.StreamParked("job-1", "sweep", "not a job"), _at(26))
    ],
    "stream-released/1": [_recorded(housekeeping.StreamReleased(skip=True), _at(27))],
}
"""What the lines of the golden file mean, in order, by topic."""

SUPERSEDED = frozenset(
    {
        "job-created/1",
        "job-attempt-started/1",
        "job-attempt-lost/1",
        "progress-updated/1",
        "job-succeeded/1",
        "job-failed/1",
        "job-cancelled/1",
        "retention-policy-set/1",
        "server-changed/1",
        "server-power-changed/1",
    }
)
"""Topics that are read by an upcast and written no more."""

NAMED = [(topic, nth) for topic, those in EXPECTED.items() for nth in range(len(those))]
WRITTEN = [(topic, nth) for topic, nth in NAMED if topic not in SUPERSEDED]


def lines_of(topic: str) -> list[Stored]:
    return [line for line in golden() if line.topic == topic]


def test_every_topic_ever_written_is_in_the_golden_file() -> None:
    """A new topic needs a golden line and an expectation; an old one never goes."""
    assert set(DECODERS) == {line.topic for line in golden()} == set(EXPECTED)


def test_every_event_has_a_topic() -> None:
    """The closed union of events and the table have the same members."""
    written = {type(decode(line.topic, line.state).event) for line in golden()}
    assert set(get_args(Event)) == written


@pytest.mark.parametrize(("topic", "nth"), NAMED)
def test_a_golden_line_is_decoded_as_expected(topic: str, nth: int) -> None:
    """This version reads what any earlier version wrote."""
    line = lines_of(topic)[nth]
    assert EXPECTED[topic][nth] == decode(topic, line.state)


@pytest.mark.parametrize(("topic", "nth"), WRITTEN)
def test_a_golden_line_is_encoded_unchanged(topic: str, nth: int) -> None:
    """Byte for byte: names, order and form of the fields."""
    line = lines_of(topic)[nth]
    stored = encode(line.stream, line.version, EXPECTED[topic][nth])
    assert (line.stream, line.version, line.topic, line.state) == (
        stored.originator_id,
        stored.originator_version,
        stored.topic,
        stored.state,
    )


@pytest.mark.parametrize(("topic", "nth"), NAMED)
def test_the_leaf_of_a_golden_line_never_changes(topic: str, nth: int) -> None:
    """The hash of what is stored never changes."""
    line = lines_of(topic)[nth]
    assert line.leaf == leaf_hash(line.stream, line.version, topic, line.state).hex()


@pytest.mark.parametrize(
    "changed",
    [
        ("job-2", 1, "t/1", b"{}"),
        ("job-1", 2, "t/1", b"{}"),
        ("job-1", 1, "t/2", b"{}"),
        ("job-1", 1, "t/1", b"{ }"),
    ],
    ids=["stream", "version", "topic", "state"],
)
def test_a_leaf_covers_all_of_a_stored_event(changed: tuple[str, int, str, bytes]) -> None:
    """Whichever part is changed, the hash is another."""
    assert leaf_hash("job-1", 1, "t/1", b"{}") != leaf_hash(*changed)


@pytest.mark.parametrize(
    "topic",
    [
        "job-exploded/1",
        "job-created/3",
        "job-created/0",
        "job-created",
        "",
        "JobCreated",
        "ledger.events:JobCreated",
    ],
)
def test_an_unknown_name_or_version_is_refused(topic: str) -> None:
    """Nothing is guessed, and no module path is imported."""
    [line, *_] = lines_of("job-created/1")
    with pytest.raises(UnknownEvent, match="no event is stored under the name"):
        decode(topic, line.state)


ENVELOPE = '{"recorded_at":"2026-01-02T03:04:05Z","actor":"a","request_id":"r","event":%s}'


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        (ENVELOPE % "null").encode(),
        (ENVELOPE % "{}").encode(),
        (ENVELOPE % '{"child":"j"}').encode(),
        (ENVELOPE % '{"child":"j","how":"perhaps"}').encode(),
        (ENVELOPE % '{"child":1,"how":"failed"}').encode(),
        (ENVELOPE % '{"child":"j","how":"failed"').encode(),
        (ENVELOPE % '{"child":"\xff","how":"failed"}').encode("latin-1"),
        (ENVELOPE % '{"child":"j","how":"failed"}').replace("2026-01", "2026-13").encode(),
        (ENVELOPE % '{"child":"j","how":"failed"}').replace('"actor":"a",', "").encode(),
        (ENVELOPE % '{"child":"j","how":"failed","why":"unknown"}').encode(),
        (ENVELOPE % '{"child":"j","how":"failed"}').replace('"actor"', '"node":1,"actor"').encode(),
    ],
)
def test_an_unknown_shape_is_refused(state: bytes) -> None:
    """A field that is missing, of another type, or not known to this version."""
    with pytest.raises(UnknownEvent, match="not a child-ended/1"):
        decode("child-ended/1", state)


def test_a_timestamp_is_read_without_decoding_the_event() -> None:
    """Whatever the event is; bytes without a time and its zone are refused."""
    stored = encode("drive-1", 1, Recorded(_at(5), "me", "", drives.DriveReady()))
    assert recorded_at(stored.state) == _at(5)
    assert recorded_at(b'{"recorded_at":"2026-01-02T03:04:05Z","event":{"new":1}}') == _at(5)
    for state in (b"", b"{}", b'{"recorded_at":1}', b'{"recorded_at":"2026-01-02T03:04:05"}'):
        with pytest.raises(UnknownEvent):
            recorded_at(state)

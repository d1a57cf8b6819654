"""Keypairs: public keys with names, and the servers that have them."""

import pytest

from ledger.domain.commands import Command
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, EditKeypair, NewKeypair
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.context import Fact
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.keypairs import KeypairNotFound, OtherPublicKey, UnknownKeypair
from ledger.domain.event_rules import violation
from ledger.domain.events.keypairs import KeypairChanged, KeypairCreated, KeypairDeleted
from ledger.domain.events.servers import ServerChanged
from ledger.domain.events.tags import TagDeleted
from tests.support.deciding import given
from tests.support.world import ME, SOMEBODY_ELSE, machine, server_created

KEY = "ssh-ed25519 AAAA me@example"
KEPT = CreateKeypairs(ME, (NewKeypair("k", "laptop", KEY, {"a": "b"}),))
THEIRS = CreateKeypairs(SOMEBODY_ELSE, (NewKeypair("theirs", "x", KEY),))
GONE = (CreateKeypairs(ME, (NewKeypair("gone", "x", KEY),)), DeleteKeypair(ME, "gone"))


def with_keys(*keys: str, server: str = "s") -> Fact:
    return server_created(server, definition=machine(pubkeys=keys))


def create(*keys: str) -> CreateServers:
    return CreateServers(ME, (NewServer("s", machine(pubkeys=keys), (), (), "hush"),))


def edit(*keys: str) -> EditServer:
    return EditServer(ME, "s", ServerEdit(pubkeys=keys))


def test_keypairs_are_created() -> None:
    two = (NewKeypair("k", "laptop", KEY, {"a": "b"}), NewKeypair("l", "", KEY))
    given().when(CreateKeypairs(ME, two)).then(
        Fact("keypair-k", KeypairCreated(ME, "laptop", KEY, {"a": "b"})),
        Fact("keypair-l", KeypairCreated(ME, "", KEY)),
    )


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (EditKeypair(ME, "k", name="desk"), KeypairChanged("desk", {"a": "b"})),
        (EditKeypair(ME, "k", meta={}), KeypairChanged("laptop", {})),
        (EditKeypair(ME, "k", "desk", KEY, {}), KeypairChanged("desk", {})),
    ],
)
def test_an_edit_changes_what_is_given(command: Command, changed: KeypairChanged) -> None:
    given(KEPT).when(command).then(Fact("keypair-k", changed))


@pytest.mark.parametrize("key", [None, KEY, "ssh-ed25519 AAAA", "ssh-ed25519  AAAA other comment"])
def test_an_edit_that_changes_nothing_records_nothing(key: str | None) -> None:
    """The comment of a public key is no part of it."""
    given(KEPT).when(EditKeypair(ME, "k", "laptop", key, {"a": "b"})).then()


@pytest.mark.parametrize("key", ["ssh-ed25519 BBBB me@example", "ssh-rsa AAAA me@example"])
def test_a_public_key_never_changes(key: str) -> None:
    """It would open servers to another."""
    given(KEPT).when(EditKeypair(ME, "k", "desk", key)).then_refused(
        OtherPublicKey, point="public_key"
    )


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_keypairs_can_be_used(uuid: str) -> None:
    """What never was, belongs to another account, or is deleted, is not there."""
    world = given(KEPT, THEIRS, GONE, with_keys("k"))
    world.when(EditKeypair(ME, uuid, "x")).then_refused(KeypairNotFound, uuid)
    world.when(DeleteKeypair(ME, uuid)).then_refused(KeypairNotFound, uuid)
    world.when(edit("k", uuid)).then_refused(UnknownKeypair, uuid, point="pubkeys")
    given(KEPT, THEIRS, GONE).when(create(uuid)).then_refused(UnknownKeypair, uuid, point="pubkeys")


def test_a_server_may_have_keypairs() -> None:
    assert given(KEPT).when(create("k")).refusal is None
    given(KEPT, with_keys()).when(edit("k")).then(
        Fact("server-s", ServerChanged(definition=machine(pubkeys=("k",))))
    )


def test_what_a_server_has_need_not_be_there() -> None:
    """Keypairs are deleted, and earlier versions took any uuid; none of them can be given again."""
    world = given(KEPT, with_keys("unknown", "k"), DeleteKeypair(ME, "k"))
    assert world.when(EditServer(ME, "s", ServerEdit(name="renamed"))).refusal is None
    assert world.when(CloneServer(ME, "s", "copy", "j")).refusal is None
    for uuid in ("unknown", "k"):
        world.when(edit(uuid)).then_refused(UnknownKeypair, uuid, point="pubkeys")


def test_keypairs_of_a_running_server_stay() -> None:
    """As its other properties do; what is sent is not even looked at."""
    world = given(KEPT, with_keys("k"), ChangePower(ME, "s", "start"))
    world.when(edit("nothing")).then()


def test_a_keypair_is_deleted_alone() -> None:
    """Thousands of servers may have it, and record nothing of it."""
    world = given(KEPT, with_keys("k"), with_keys("k", server="t"), ChangePower(ME, "t", "start"))
    world.when(DeleteKeypair(ME, "k")).then(Fact("keypair-k", KeypairDeleted()))


def test_a_taken_uuid_is_refused() -> None:
    given(KEPT).when(KEPT).then_refused(AlreadyExists, "k")


def test_nothing_follows_a_deletion() -> None:
    """In the eyes of an auditor."""
    world = given(KEPT)
    assert violation(world.world.keypair("k"), "keypair-k", TagDeleted()) is not None
    deleted = world.when(DeleteKeypair(ME, "k")).world
    state = deleted.cached_stream("keypair-k").state
    assert violation(state, "keypair-k", KeypairChanged("x", {})) == "the keypair had been deleted"

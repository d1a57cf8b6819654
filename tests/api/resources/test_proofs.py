"""Every account can get a checkpoint of all that was answered, and proofs against it."""

from base64 import b64decode
from typing import Any

import pytest

from ledger.merkle.signed_note import Checkpoint, read_checkpoint
from ledger.proofs.tile_builder import tile
from ledger.store.tables.tiles import TILE
from tests.api.calling import AUDITOR, BOB, Answer, Api
from tests.ledger.proofs.client import verify_consistency, verify_inclusion
from tests.ledger.proofs.tiling import delete

INCLUSION = "/ledger/proofs/inclusion/"
CONSISTENCY = "/ledger/proofs/consistency/"


async def checkpoint(api: Api, **given: Any) -> Checkpoint:
    answer = await api.get("/ledger/checkpoint/", **given)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return read(api, answer)


def read(api: Api, answer: Answer) -> Checkpoint:
    with api.service.ledger.log() as log:
        assert int(answer.headers["X-Ledger-Position"]) == log.last_position()
    return read_checkpoint(answer.body, api.service.checkpoints.verifier)


def hashes(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer.body
    return [b64decode(each, validate=True) for each in answer.json["hashes"]]


async def jobs(api: Api, count: int) -> None:
    for _ in range(count):
        await api.job()


@pytest.mark.parametrize("by", [BOB, AUDITOR])
async def test_a_checkpoint_includes_what_was_answered(api: Api, by: Any) -> None:
    """Any account can ask, whatever account the event belongs to."""
    assert (await checkpoint(api, by=by)).size == 0
    await jobs(api, 3)
    found = await checkpoint(api, by=by)
    with api.service.ledger.log() as log:
        assert (found.size, found.position, found.epoch) == (3, log.last_position(), 1)


async def test_a_checkpoint_is_not_sent_again(api: Api) -> None:
    """The signature is the same as long as nothing is recorded."""
    first = await api.get("/ledger/checkpoint/")
    has = {"If-None-Match": first.headers["ETag"], "Accept": "text/plain"}
    assert (await api.get("/ledger/checkpoint", headers=has)).status == 304
    await jobs(api, 1)
    assert (await api.get("/ledger/checkpoint", headers=has)).status == 200


async def test_an_event_is_proved_to_be_in_the_tree(api: Api) -> None:
    """Against a checkpoint of any size since."""
    await jobs(api, 7)
    of_seven = await checkpoint(api)
    await jobs(api, 2)
    with api.service.ledger.log() as log:
        leaf = next(event.leaf for event in log.events() if event.leaf_index == 4)
    answer = await api.get(f"{INCLUSION}?leaf=4&size=7")
    assert answer.json.keys() == {"leaf", "size", "leaf_hash", "hashes"}
    assert (answer.json["leaf"], answer.json["size"]) == (4, 7)
    assert b64decode(answer.json["leaf_hash"]) == leaf
    assert verify_inclusion(leaf, 4, 7, hashes(answer), of_seven.root)


async def test_a_checkpoint_is_proved_to_continue_another(api: Api) -> None:
    await jobs(api, 5)
    old = await checkpoint(api)
    await jobs(api, 4)
    new = await checkpoint(api)
    answer = await api.get(f"{CONSISTENCY}?old=5&new=9")
    assert (answer.json["old"], answer.json["new"]) == (5, 9)
    assert verify_consistency(5, 9, old.root, new.root, hashes(answer))
    assert hashes(await api.get(f"{CONSISTENCY}?old=9&new=9")) == []


@pytest.mark.parametrize(
    ("url", "point"),
    [
        (INCLUSION, "leaf"),
        (f"{INCLUSION}?leaf=0", "size"),
        (f"{INCLUSION}?leaf=x&size=1", "leaf"),
        (f"{INCLUSION}?leaf=-1&size=1", "leaf"),
        (f"{INCLUSION}?leaf=0&size=1.0", "size"),
        (f"{INCLUSION}?leaf=0&size={'9' * 19}", "size"),
        (f"{INCLUSION}?leaf=0&size=3", "size"),
        (f"{INCLUSION}?leaf=2&size=2", "leaf"),
        (f"{INCLUSION}?leaf=0&size=0", "leaf"),
        (f"{CONSISTENCY}?new=1", "old"),
        (f"{CONSISTENCY}?old=1&new=", "new"),
        (f"{CONSISTENCY}?old=1&new=3", "new"),
        (f"{CONSISTENCY}?old=2&new=1", "old"),
    ],
)
async def test_impossible_proofs_are_refused(api: Api, url: str, point: str) -> None:
    """Of two events; the parameter at fault is named."""
    await jobs(api, 2)
    answer = await api.get(url)
    assert answer.error == (400, "validation", point)


@pytest.mark.parametrize("url", ["/ledger/checkpoint/", INCLUSION, CONSISTENCY])
async def test_checkpoints_and_proofs_need_a_login(api: Api, url: str) -> None:
    assert (await api.get(url, by=None)).error == (401, "permission", None)


async def test_leaves_in_a_missing_archive_are_not_found(api: Api) -> None:
    """As long as its archive is not here; all others are proved as before."""
    ledger = api.service.ledger
    await jobs(api, TILE + 1)
    tile(ledger)
    ledger.exclusive(lambda cursor: delete(cursor, list(range(TILE)))).result()
    answer = await api.get(f"{INCLUSION}?leaf=3&size={TILE + 1}")
    assert answer.error == (404, "notexist", None)
    assert b"archive" in answer.body
    new = await checkpoint(api)
    answer = await api.get(f"{INCLUSION}?leaf={TILE}&size={TILE + 1}")
    leaf = b64decode(answer.json["leaf_hash"])
    assert verify_inclusion(leaf, TILE, TILE + 1, hashes(answer), new.root)

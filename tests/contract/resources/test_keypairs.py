"""`/keypairs/` and `/pubkeys/`: tests/contract/CONTRACT.md 5."""

import logging
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.api.calling import ALICE, BOB, KEYPAIR, PUBLIC_KEY, SERVER, UNKNOWN, Api
from tests.api.shapes import KEYPAIR_SHAPE, PUBKEY, assert_shape
from tests.contract.following import Json, listed, reference, shown

RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC5T716fDpTC0M9b7zaYumQQqK0ufV2sJa4u9Z2F14J"
    "8xQJUAtkBCJBmTPDIPrHFq/a5HLM/c/ucsa4UP9sX7Govqqr/sq+rMpvv1J8tgQ4uuksDAH7wBeA20td"
    "kcQTQpMEgalP0j9Epd95ZkCZBZKKBNESO64A5BxvLu1vgiCiKw=="
)
RSA_FINGERPRINT = "79:20:0b:49:72:11:b1:bc:df:73:94:09:3d:f8:90:71"
"""Of this key, as the public API shows it."""
KEY = {"Idempotency-Key": "once"}


async def create(api: Api, body: Any, **said: Any) -> list[Json]:
    answer = await api.post("/keypairs/", body, **said)
    assert (answer.status, set(answer.json)) == (201, {"objects"}), answer.body
    made: list[Json] = answer.json["objects"]
    for keypair in made:
        assert_shape(keypair, KEYPAIR_SHAPE)
    return made


async def test_a_public_key_is_given(api: Api):
    """In any wrapping, with the line break of its file; there is no private key then."""
    body = {"name": "test_pub", "meta": {"a": "b"}, "public_key": f"{RSA}\n"}
    given = {**body, "public_key": RSA, "fingerprint": RSA_FINGERPRINT, "private_key": ""}
    for wrapped in (body, [body], {"objects": [body]}):
        (made,) = await create(api, wrapped)
        assert given.items() <= made.items()
        assert await shown(api, made["resource_uri"]) == made
    two = [{"name": "", "public_key": PUBLIC_KEY}, {"name": "x", "public_key": RSA}]
    assert [each["name"] for each in await create(api, two)] == ["", "x"]
    answer = await api.post("/keypairs", body)  # as libcloud asks for it
    assert answer.headers["Location"] == answer.json["objects"][0]["resource_uri"]
    # The private key that belongs to it, if that is sent too, is in this one answer.
    (made,) = await create(api, {**body, "private_key": "mine"})
    assert made["private_key"] == "mine"
    assert await shown(api, made["resource_uri"]) == {**made, "private_key": ""}


async def test_a_keypair_is_edited_and_deleted(api: Api):
    """PUT is partial, takes a whole keypair, and no other public key; after the 204 it is a 404."""
    (made,) = await create(api, {**KEYPAIR, "meta": {"a": "b"}})
    uri = made["resource_uri"]
    assert (await api.put(uri, made)).json == made
    assert (await api.put(uri, {"name": "new", "meta": None})).json == {**made, "name": "new"}
    assert (await api.put(uri, {"meta": {}})).json == {**made, "name": "new", "meta": {}}
    for key in (RSA, "nonsense"):
        answer = await api.put(uri, {"name": "x", "public_key": key})
        assert answer.error == (400, "validation", "public_key")
    assert (await shown(api, uri))["name"] == "new"
    for answer in (await api.put(uri, {}, by=BOB), await api.delete(uri, by=BOB)):
        assert answer.error == (404, "notexist", None)
    answer = await api.delete(uri)
    assert (answer.status, answer.body) == (204, b"")
    for call in (api.get(uri), api.put(uri, {}), api.delete(uri)):
        assert (await call).error == (404, "notexist", None)


async def test_public_keys_can_only_be_read(api: Api):
    """The same keypairs, with `has_private_key`, which is false, in place of the private key."""
    keypairs = [await shown(api, f"/keypairs/{await api.keypair(name=name)}/") for name in "abc"]
    uuids = [each["uuid"] for each in keypairs]
    for path in ("/pubkeys/", "/pubkeys/detail/"):
        assert await listed(api, path) == uuids
    for keypair in keypairs:
        pubkey = await shown(api, f"/pubkeys/{keypair['uuid']}/")
        assert_shape(pubkey, PUBKEY)
        same = {name: keypair[name] for name in keypair if name != "private_key"}
        same |= reference("pubkeys", keypair["uuid"])
        assert pubkey == {**same, "has_private_key": False}
    for method, path in (("POST", "/pubkeys/"), ("DELETE", f"/pubkeys/{uuids[0]}/")):
        assert (await api.call(method, path)).error == (405, "validation", None)
    assert (await api.get(f"/pubkeys/{uuids[0]}/", by=BOB)).error == (404, "notexist", None)
    for kind in ("keypairs", "pubkeys"):
        assert await listed(api, f"/{kind}/?name=c,a") == [uuids[0], uuids[2]]
        assert await listed(api, f"/{kind}/?name__contains=b") == [uuids[1]]
        assert await listed(api, f"/{kind}/?limit=1&offset=2&uuid={','.join(uuids)}") == uuids[2:]
        assert await listed(api, f"/{kind}/?after=&limit=2") == uuids[:0:-1]
    shapes = {"keypairs": {*KEYPAIR_SHAPE}, "pubkeys": {*PUBKEY}}
    for kind, shape in shapes.items():
        assert set((await shown(api, f"/{kind}/schema/"))["fields"]) == shape


async def test_servers_have_keypairs(api: Api):
    """Given in any form by POST and PUT, shown as objects; an unknown one is a 400."""
    one, two, foreign = [await api.keypair(by=by) for by in (ALICE, ALICE, BOB)]
    server = await api.server(pubkeys=[one, {"uuid": two}])
    uri = f"/servers/{server}/"
    both = [reference("pubkeys", one), reference("pubkeys", two)]
    assert (await shown(api, uri))["pubkeys"] == both
    assert (await api.put(uri, {"pubkeys": [both[1]]})).json["pubkeys"] == both[1:]
    assert (await api.put(uri, {"pubkeys": both})).json["pubkeys"] == both
    for uuid in (UNKNOWN, foreign):
        bad = (400, "validation", "pubkeys")
        assert (await api.put(uri, {"pubkeys": [one, uuid]})).error == bad
        assert (await api.post("/servers/", {**SERVER, "pubkeys": [uuid]})).error == bad
    assert await listed(api, "/servers/") == [server]
    assert (await api.post(f"{uri}action/?do=start")).status == 202
    copy = (await api.post(f"{uri}action/?do=clone")).json
    assert copy["pubkeys"] == both
    # A deleted one is gone from all of them, also from running ones.
    assert (await api.delete(f"/keypairs/{one}/")).status == 204
    again = (await api.post(f"{uri}action/?do=clone")).json
    for each in (uri, copy["resource_uri"], again["resource_uri"]):
        assert (await shown(api, each))["pubkeys"] == both[1:]
    # What is shown can be sent back, with another or without; the deleted one cannot.
    sent = await api.put(copy["resource_uri"], await shown(api, copy["resource_uri"]))
    assert (sent.status, sent.json["pubkeys"]) == (200, both[1:])
    assert (await api.put(copy["resource_uri"], {"pubkeys": both})).error == bad
    assert (await api.delete(f"/keypairs/{two}/")).status == 204
    for each in (await shown(api, "/servers/detail/"))["objects"]:
        assert each["pubkeys"] == []


async def test_a_private_key_is_kept_nowhere(
    api: Api, store: str | None, caplog: pytest.LogCaptureFixture
):
    """Neither for a repeat of the request, which gets the keypair without it, nor in any log."""
    caplog.set_level(logging.DEBUG)
    body = [{"name": "made", "algorithm_type": "ed25519"}, {**KEYPAIR, "private_key": "MyOwnKey"}]
    first = await create(api, body, headers=KEY)
    again = await create(api, body, headers=KEY)
    assert again == [{**each, "private_key": ""} for each in first]
    assert len(await listed(api, "/keypairs/")) == 2
    other = await api.post("/keypairs/", [KEYPAIR], headers=KEY)
    assert other.error == (422, "validation", "Idempotency-Key")
    twice = {"Idempotency-Key": "twice"}
    assert await create(api, KEYPAIR, headers=twice) == await create(api, KEYPAIR, headers=twice)

    edited = await api.put(first[0]["resource_uri"], {"private_key": "MyOtherKey"})
    assert edited.json["private_key"] == "MyOtherKey"
    assert await shown(api, first[0]["resource_uri"]) == again[0]

    made, given = (each["private_key"] for each in first)
    secrets = [made.splitlines()[-2], given, "MyOtherKey"]
    public = first[0]["public_key"].split()[1]
    stored = stored_texts(api, store)
    assert public in stored, "looks where nothing would be"
    for secret in secrets:
        assert secret not in stored
        assert secret not in caplog.text


def stored_texts(api: Api, store: str | None) -> str:
    """All that is in any file of the data directory, and in any table of the database."""
    files = (path for path in api.service.data.rglob("*") if path.is_file())
    found = [path.read_bytes().decode("latin-1") for path in files]
    if store is not None:
        with psycopg.connect(store) as connection:
            tables = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            ).fetchall()
            for (table,) in tables:
                rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
                found += [_text(value) for row in rows for value in row]
    return "\n".join(found)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
